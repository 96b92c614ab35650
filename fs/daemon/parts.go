package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/control"
	"mediafs/fs/facts"
	"mediafs/fs/fuse"
	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/view"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/transport"
)

// offlineAfter is how long the store must have been silent before status calls the mount offline:
// shorter silences are a hiccup of the network.
const offlineAfter = 30 * time.Second

// What lies in a catalog directory beside our own files.
const (
	catalogName = "catalog"
	spoolName   = "spool"
	localName   = "local" // what desktop systems drop
)

// parts are what a library is made of, in the order of opening.
type parts struct {
	opt      Options
	store    *bucket.Store
	fs       *engine.FS
	facts    *facts.Worker     // nil: facts are not read
	local    *local.Library    // of a mount: what the kernel talks to, in front of the views, in front of fs
	requests transport.Counter // of the store, by classify; a local store makes none

	mu   sync.Mutex
	last *vfs.Status // as it was when fs was closed; guarded by mu
}

// openParts opens the store and the file system over it. Notes are for whoever asked for the mount.
func openParts(ctx context.Context, opt Options) (p *parts, notes []string, err error) {
	p = &parts{opt: opt}
	if p.store, notes, err = openStore(ctx, opt, &p.requests); err != nil {
		return nil, nil, err
	}
	machine, err := machineID(opt.CatalogDir)
	if err == nil {
		o := engine.Options{
			Store: p.store,
			Catalog: catalog.Options{
				Dir:           filepath.Join(opt.CatalogDir, catalogName),
				Machine:       machine,
				AppendTimeout: opt.AppendTimeout,
				Progress:      opt.Opening,
			},
			Cache: block.Options{
				Dir:      opt.CacheDir,
				MaxBytes: opt.CacheSize,
				Patience: opt.ReadTimeout,
				Stall:    opt.StallTimeout,
			},
			SpoolDir:      filepath.Join(opt.CatalogDir, spoolName),
			ReadOnly:      opt.ReadOnly,
			Background:    opt.Background,
			Trash:         opt.trash(),
			UID:           uint32(os.Geteuid()),
			GID:           uint32(os.Getegid()),
			UploadTimeout: opt.AppendTimeout,
			Log:           opt.Log,
			FlushDelay:    opt.FlushDelay,
			Step:          opt.Step,
		}
		if !opt.NoFacts && !opt.ReadOnly {
			p.facts = facts.NewWorker(facts.Options{Log: opt.Log})
			o.Facts = p.facts
		}
		if opt.RootUID != nil {
			o.UID = *opt.RootUID
		}
		if opt.RootGID != nil {
			o.GID = *opt.RootGID
		}
		if opt.Tune != nil {
			opt.Tune(&o)
		}
		p.fs, err = engine.Open(ctx, o)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.closeFacts(), p.store.Close())
	}
	if text := lockText(p.store.Habits().Lock); text != "" {
		notes = append(notes, text)
	}
	return p, append(append(notes, p.otherOwner(ctx)...), p.blocked()...), nil
}

// blocked is a note of a library that is read-only for now.
func (p *parts) blocked() []string {
	b := p.status().Catalog.Blocked
	if b == nil {
		return nil
	}
	return []string{
		fmt.Sprintf(
			"the library is read-only for now, as it was after commit %d, since its log cannot be read on: %s",
			b.Commit, b.Why,
		),
		b.Advice,
	}
}

// otherOwner is a note for whoever named an owner for a library that is there already and has
// another.
func (p *parts) otherOwner(ctx context.Context) []string {
	if p.opt.RootUID == nil && p.opt.RootGID == nil {
		return nil
	}
	root, err := p.fs.GetAttr(ctx, vfs.Root)
	if err != nil ||
		(p.opt.RootUID == nil || *p.opt.RootUID == root.UID) && (p.opt.RootGID == nil || *p.opt.RootGID == root.GID) {
		return nil
	}
	return []string{
		fmt.Sprintf(
			"uid and gid count for a library that the mount makes; the root folder of this one belongs to user %d and group %d: chown it",
			root.UID, root.GID,
		),
	}
}

// adjust changes what may change while the library is open.
func (p *parts) adjust(a engine.Adjustment) { p.fs.Adjust(a) }

// mount puts the kernel in front. Between it and the tree stand, in this order, what stays on this
// machine and the views: files that desktop systems drop are kept for folders of the tree alone,
// and views, which are asked for all other names, show and take none of them.
func (p *parts) mount() (kernel, error) {
	// With the library's own identity as salt, nodes of views have the same numbers in every mount
	// of it.
	salt := sha256.Sum256([]byte(p.store.Facts().Library))
	views, err := view.New(p.fs, view.Options{Salt: [16]byte(salt[:16]), Log: p.opt.Log})
	if err != nil {
		return nil, err
	}
	if p.local, err = p.openLocal(views); err != nil {
		return nil, err
	}
	o := p.opt.kernel()
	o.Library = front{p.local, views}
	o.FSName = cmp.Or(p.opt.Source, p.store.Facts().URL)
	o.Log, o.HangTimeout = p.opt.Log, p.opt.HangTimeout
	o.Received = func() int64 { return p.requests.Get(http.MethodGet, contents).Received }
	s, err := fuse.Mount(o)
	if err != nil {
		return nil, err
	}
	p.fs.Announce(p.local.Announcer(s.Announcer()))
	views.Announce(s.Announcer())
	return s, nil
}

// kernel are the options of the mount that are known before anything is opened.
func (o Options) kernel() fuse.Options {
	return fuse.Options{Dir: o.Dir, AllowOther: o.AllowOther, ReadOnly: o.ReadOnly, Mount: o.MountOptions}
}

// front is what the kernel talks to: what stays on this machine, in front of the views. Listings of
// views do not pass the first, which takes the lowest cookies for those of its own files, as a
// folder of the tree leaves them free and a view does not.
type front struct {
	*local.Library
	views *view.Library
}

// OpenDir opens a folder of the tree or of a view.
func (f front) OpenDir(ctx context.Context, id vfs.ID) (vfs.Dir, error) {
	if id>>61 == record.ViewBit>>61 { // and not one of this machine's own, which have the next bit too
		return f.views.OpenDir(ctx, id)
	}
	return f.Library.OpenDir(ctx, id)
}

// openLocal puts what stays on this machine in front of a library.
func (p *parts) openLocal(inner vfs.Library) (*local.Library, error) {
	o := local.Options{
		Dir: filepath.Join(p.opt.CatalogDir, localName), Names: p.opt.LocalNames, ReadOnly: p.opt.ReadOnly,
		OpenForWriting: p.fs.OpenForWriting, Log: p.opt.Log,
	}
	l, err := local.New(inner, o)
	if p.opt.LocalNames == nil && errors.Is(err, remote.Unsupported) {
		// Nobody asked for it: such files are then files of the library, as any other.
		p.opt.Log.Warnf("no names stay on this machine: %v", err)
		o.Names = []string{}
		l, err = local.New(inner, o)
	}
	return l, err
}

func (p *parts) media() vfs.MediaLibrary { return p.fs }

func (p *parts) flush(ctx context.Context) error { return p.fs.Flush(ctx) }

func (p *parts) close(ctx context.Context) error {
	var errs []error
	if ctx.Err() == nil {
		// The kernel let go of files after the flush before the unmount.
		errs = append(errs, p.fs.Flush(ctx))
	}
	last := p.fs.Status()
	p.mu.Lock()
	p.last = &last
	p.mu.Unlock()
	if p.local != nil {
		errs = append(errs, p.local.Close())
	}
	// What the facts reader has under way is read again with the next mount; ended first, it holds
	// nobody up.
	errs = append(errs, p.closeFacts(), p.fs.Close(), p.store.Close())
	return errors.Join(errs...)
}

func (p *parts) closeFacts() error {
	if p.facts == nil {
		return nil
	}
	return p.facts.Close()
}

func (p *parts) status() vfs.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil {
		return *p.last
	}
	return p.fs.Status()
}

func (p *parts) describe(s *control.Status) {
	v, now := p.status(), time.Now()
	store := p.store.Facts()
	s.Store, s.Library, s.Client = store.URL, store.Library, uint64(v.Catalog.Client)
	s.Pending = control.Pending{Files: v.Pending.Files, Bytes: v.Pending.Bytes, Operations: v.Catalog.Outbox}
	s.Used = v.Used
	s.Cache.Bytes, s.Cache.Fetched = v.Cache.Bytes, v.Cache.Fetched
	s.Cache.Hits, s.Cache.Misses = v.Cache.Hits, v.Cache.Misses
	s.Log = control.LogState{Applied: v.Catalog.Applied, Newest: v.Catalog.Newest}
	silent := now.Sub(v.Catalog.Reached)
	if !v.Catalog.Reached.IsZero() {
		s.Log.LagSeconds = silent.Seconds()
	}
	s.Offline = v.Catalog.Error != "" && silent > offlineAfter
	if b := v.Catalog.Blocked; b != nil {
		s.ReadOnly, s.Blocked = true, &control.Blocked{Commit: b.Commit, Why: b.Why, Advice: b.Advice}
	}
	s.Dropped, s.Kept, s.Conflicts = v.Catalog.Dropped, v.Catalog.Kept, v.Catalog.Conflicts
	s.Troubles, s.ObjectLock = v.Troubles, lockText(p.store.Habits().Lock)
	s.Media = control.MediaState{
		FactsPending: p.facts != nil && !p.fs.FactsIdle(),
		Indexed:      v.Catalog.Indexed,
		ToIndex:      v.Catalog.ToIndex,
	}
	switch {
	case v.Catalog.Fatal != "":
		s.LastError = &control.LastError{Text: v.Catalog.Fatal}
	case v.Catalog.Error != "":
		s.LastError = &control.LastError{Text: v.Catalog.Error, Time: v.Catalog.ErrorTime}
	case v.Pending.Error != "":
		s.LastError = &control.LastError{Text: v.Pending.Error}
	}
}

// machineID tells this catalog directory from every other, copies of it included: the machine and
// the folder's inode. Not the file system's number, which some make of the device's and so change
// when disks are found in another order.
func machineID(dir string) ([]byte, error) {
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil && !errors.Is(err, os.ErrNotExist) { // a container may have none; the rest tells enough
		return nil, remote.OSError("identify this machine", "/etc/machine-id", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, remote.OSError("identify the catalog directory", dir, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", machine, st.Ino))
	return sum[:16], nil
}
