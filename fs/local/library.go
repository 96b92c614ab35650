package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	stored "mediafs/remote/bucket/record"
)

// Options configure a Library. Dir is needed; the zero value of the rest works.
type Options struct {
	// for this Library alone, on a file system that keeps user attributes; made when missing. Its
	// parent exists
	Dir string
	// what stays local; nil: DefaultNames. An empty list keeps nothing local, and Dir is not looked
	// at
	Names    []string
	ReadOnly bool // droppings are shown and not changed, as the library is

	// largest dropping; 0: 64 MiB, some times what Windows and macOS make. What is larger is no
	// by-product
	MaxBytes int64
	// bytes of Dir's file system that droppings leave free; 0: 512 MiB, less on a small disk, as
	// the spool does
	KeepFree int64

	// OpenForWriting reports whether somebody has a node of the inner library open for writing.
	// nil: no file of the inner library leaves it.
	OpenForWriting func(vfs.ID) bool

	Now func() time.Time // nil: time.Now
	Log *logrus.Entry    // nil: nowhere
}

// A Library is another one with droppings. It implements vfs.Library.
//
// Node ids of droppings have bits 62 and 61 set: no stored node has the first, no view the second.
// The rest is the real file's inode number, so an id stays what it was over a remount.
//
// Locks, in this order: a claim on a folder, a node's io, mu. mu is held over single system calls
// on the local disk and never over a call of the inner library; what is about no dropping never
// waits for it.
type Library struct {
	inner    vfs.Library
	names    patterns
	readOnly bool
	max      int64
	log      *logrus.Entry
	opt      Options
	disk     *disk // nil: nothing is local
	claims   claims
	opens    opens

	seen struct {
		sync.RWMutex
		has  map[vfs.ID]bool // folders that have a directory, and so maybe droppings
		open map[vfs.ID]int  // listings under way, by folder
	}

	mu     sync.Mutex
	lists  map[vfs.ID]*list // of folders that were asked for; a part of seen.has
	listed int              // names in all of lists
	nodes  map[vfs.ID]*node // that the kernel knows, or that are open
	closed bool

	// Of what crossed the border and is known by its old id; guarded by mu.
	entered map[vfs.ID]*node // by the id in the inner library, on which each has a reference there
	left    map[vfs.ID]*node // by the id that they had in the inner library; each has a reference
	forgets []vfs.ID         // references on the inner library that unlock gives back
	moved   atomic.Int64     // how many are in both: mostly none
}

var _ vfs.Library = (*Library)(nil)

// New puts a Library in front of inner, which stays its owner's to close, and to open before.
// Droppings of an earlier process are there again; those whose folder inner says does not exist are
// deleted, with one call of inner for each folder that has some.
//
// Errors: Invalid (a name of the list), Permission (Dir is somebody else's, or others could write
// there), NotDir, Unsupported (Dir's file system keeps no user attributes).
func New(inner vfs.Library, opt Options) (*Library, error) {
	if opt.Names == nil {
		opt.Names = DefaultNames()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &Library{
		inner:    inner,
		opt:      opt,
		readOnly: opt.ReadOnly,
		max:      opt.MaxBytes,
		log:      opt.Log,
		lists:    make(map[vfs.ID]*list),
		nodes:    make(map[vfs.ID]*node),
	}
	l.entered, l.left = make(map[vfs.ID]*node), make(map[vfs.ID]*node)
	l.seen.has, l.seen.open = make(map[vfs.ID]bool), make(map[vfs.ID]int)
	if l.max == 0 {
		l.max = 64 << 20
	}
	if l.log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		l.log = logrus.NewEntry(silent)
	}
	var err error
	if l.names, err = parseNames(opt.Names); err != nil || len(opt.Names) == 0 {
		return l, err
	}
	if l.disk, err = openDisk(opt.Dir); err != nil {
		return nil, err
	}
	l.disk.keep = opt.KeepFree
	if err := l.find(); err != nil {
		return nil, errors.Join(err, l.disk.close())
	}
	return l, nil
}

// Close closes every dropping that is still open. What was written is on the local disk, as after
// the end of the process. inner is not closed.
func (l *Library) Close() error {
	if l.disk == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, n := range l.nodes {
		if n.f != nil {
			errs = append(errs, n.f.Close())
		}
	}
	return errors.Join(append(errs, l.disk.close())...)
}

const (
	idBits   vfs.ID = 3 << 61
	idNumber        = 1<<61 - 1
)

// nodeID gives the id of a real file. Of inode numbers beyond 61 bits, which only stacked file
// systems make, and there all with the same highest bits, the lower ones tell.
func nodeID(ino uint64) vfs.ID { return idBits | ino&idNumber }

// local tells whether an id is a dropping's.
func local(id vfs.ID) bool { return id>>61 == 3 }

// dropping tells whether a file of this name would be one, in this folder.
func (l *Library) dropping(folder vfs.ID, name string) bool {
	return l.names.match(name) && folder < stored.ViewBit
}

// has tells whether a folder may have droppings.
func (l *Library) has(folder vfs.ID) bool {
	l.seen.RLock()
	defer l.seen.RUnlock()
	return l.seen.has[folder]
}

func (l *Library) setHas(folder vfs.ID, has bool) {
	l.seen.Lock()
	defer l.seen.Unlock()
	if has {
		l.seen.has[folder] = true
	} else {
		delete(l.seen.has, folder)
	}
}

// hidden tells whether the inner library has something of this name, which then is what everybody
// sees.
func (l *Library) hidden(ctx context.Context, folder vfs.ID, name string) (bool, error) {
	kind, err := l.innerKind(ctx, folder, name)
	return kind != 0, err
}

// innerKind gives the type bits of what the inner library has of this name; 0 when it has nothing.
func (l *Library) innerKind(ctx context.Context, folder vfs.ID, name string) (uint32, error) {
	a, err := l.inner.Lookup(ctx, folder, name)
	switch {
	case err == nil:
		l.inner.Forget(a.ID, 1)
		return a.Mode & unix.S_IFMT, nil
	case remote.KindOf(err) == remote.NotExist:
		return 0, nil
	}
	return 0, err
}

// shows tells whether a name means a dropping.
func (l *Library) shows(ctx context.Context, folder vfs.ID, name string) (bool, error) {
	if !l.dropping(folder, name) || !l.has(folder) {
		return false, nil
	}
	l.mu.Lock()
	l.forgetLists()
	t, err := l.list(folder)
	is := err == nil && t != nil && t.names[name] != nil
	l.mu.Unlock()
	if !is {
		return false, err
	}
	hidden, err := l.hidden(ctx, folder, name)
	return !hidden, err
}

func (l *Library) mayChange(op, name string) error {
	if l.readOnly {
		return remote.E(op, quoted(name), remote.ReadOnly, errors.New("the library is mounted read-only"))
	}
	return nil
}

// quoted is a name in an error: whatever bytes it has, it is one line of text.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%q", name)
}

// folder gives the attributes of a folder in which something is to be made.
func (l *Library) folder(ctx context.Context, op string, id vfs.ID, name string) (vfs.Attr, error) {
	if local(id) {
		return vfs.Attr{}, remote.E(op, quoted(name), remote.NotDir, nil)
	}
	a, err := l.inner.GetAttr(ctx, id)
	switch {
	case err != nil:
		return a, err
	case a.Mode&unix.S_IFMT != unix.S_IFDIR:
		return a, remote.E(op, quoted(name), remote.NotDir, nil)
	case a.Nlink == 0:
		return a, remote.E(op, quoted(name), remote.NotExist, errors.New("the folder was removed"))
	}
	return a, nil
}

// Lookup finds a name: the inner library's, or else a dropping.
func (l *Library) Lookup(ctx context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	if local(parent) && (name == "." || name == "..") {
		return l.lookupNumber(ctx, parent, name == "..")
	}
	if local(parent) {
		return vfs.Attr{}, remote.E("lookup", quoted(name), remote.NotDir, nil)
	}
	a, err := l.inner.Lookup(ctx, parent, name)
	if err == nil {
		if name != "." && name != ".." { // who asks by a number gets that one
			l.known(&a)
		}
		return a, nil
	}
	if !l.dropping(parent, name) || !l.has(parent) || remote.KindOf(err) != remote.NotExist {
		return a, err
	}
	n, nerr := l.pinName(parent, name)
	if nerr != nil {
		if remote.KindOf(nerr) == remote.NotExist {
			return a, err
		}
		return a, nerr
	}
	defer l.unpin(n)
	if a, err = n.attr(); err == nil {
		l.lookedUp(n)
	}
	return a, err
}

// Forget gives back references.
func (l *Library) Forget(id vfs.ID, n uint64) {
	if local(id) {
		l.forget(id, n)
		return
	}
	l.inner.Forget(id, n)
	l.forgotten()
}

// Open opens a file. A dropping is opened without a look at who else has it open: there is one real
// file behind all.
func (l *Library) Open(ctx context.Context, c vfs.Caller, id vfs.ID, flags uint32) (vfs.File, error) {
	if id = l.at(id); !local(id) {
		if l.disk == nil {
			return l.inner.Open(ctx, c, id, flags)
		}
		l.opens.begin(id)
		defer l.opens.end(id)
		if now := l.at(id); now == id {
			return l.inner.Open(ctx, c, id, flags)
		} else {
			id = now
		}
	}
	return l.open(ctx, c, id, flags)
}

// Readlink reads a symlink, which no dropping is.
func (l *Library) Readlink(ctx context.Context, id vfs.ID) ([]byte, error) {
	if local(id) {
		return nil, remote.E("readlink", fmt.Sprint(id), remote.Invalid, nil)
	}
	return l.inner.Readlink(ctx, id)
}

// StatFS tells of the inner library: what droppings take is this machine's.
func (l *Library) StatFS(ctx context.Context) (vfs.StatFS, error) { return l.inner.StatFS(ctx) }
