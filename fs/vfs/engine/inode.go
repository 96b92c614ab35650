package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// An inode is what this process keeps of a node that the kernel knows, that is open, or that has
// bytes in the spool.
//
// Locks, in this order: up, io, the catalog's, FS.mu, mu. The catalog's is never taken under FS.mu
// or mu.
type inode struct {
	id vfs.ID

	// Counted under FS.mu; the inode is forgotten when all are zero.
	lookups uint64 // the kernel's
	holds   int    // this process's own: open files, running calls, the upload queue
	writers int    // open files that may write
	orphan  bool   // it was deleted while known here: its record may be kept as an orphan

	// up is held by who changes the bytes in the spool or uploads them: a lock of one place that
	// waiters can leave. An upload holds it for as long as the store takes.
	up chan struct{}
	// io guards the pointer w, exclusively for who sets it (with up held), shared for who reads the
	// bytes. Never held for long.
	io sync.RWMutex
	w  *writing

	mu sync.Mutex
	// Guarded by mu:
	pages   string   // the head, or state of the spool file, that the kernel's pages are of; empty: not known
	dirty   bool     // w has bytes that are still to be uploaded
	local   bool     // w has bytes that no head has: everybody here reads them
	size    int64    // with w
	blocks  int64    // of 512 bytes that w takes, holes not counted; with local
	unsent  int64    // of fs.unsent
	mtime   vfs.Time // with local
	ctime   vfs.Time
	lastErr error // why the last upload failed
	gone    bool  // this machine took its last name: what is in the spool of it is wanted by nobody
	unnamed bool  // with gone: it was made without a name and has got none so far
	never   bool  // with unnamed: and gets none
	saved   bool  // w is of an earlier process and not what the media holds now: it becomes a version
	cramped bool  // its writer waits for room in the spool
	gives   bool  // with cramped: that writer has bytes to send, which will make some

	// Of deferred changes of its attributes (deferred.go).
	came    time.Time // when it was made here or its bytes last came into the store; zero: not by this process
	owed    uint64    // the last that no close or fsync has confirmed; 0: none
	notMade error     // why one was not made, until somebody is told

	// Where it was last when another machine deleted it; an empty name: not known.
	lastFolder vfs.ID
	lastName   string

	copyOf []byte // the media that its bytes are a copy of, until a head says so

	cancel    context.CancelCauseFunc // ends the upload that runs; nil: none does
	cancelled int                     // uploads cancelled so far: files that were opened before the last write no more

	sum *atomic.Int64 // fs.unsent
}

func (fs *FS) newInode(id vfs.ID) *inode {
	return &inode{id: id, up: make(chan struct{}, 1), sum: &fs.unsent}
}

// lock takes up. It gives up when ctx ends, the file system closes, or an upload takes longer than
// close may.
func (fs *FS) lock(ctx context.Context, ino *inode) error {
	if ino.tryLock() {
		return nil
	}
	timeout := time.NewTimer(fs.uploadTimeout())
	defer timeout.Stop()
	select {
	case ino.up <- struct{}{}:
		return nil
	case <-ctx.Done():
		return remote.E("wait for an upload", "", remote.KindOf(ctx.Err()), ctx.Err())
	case <-fs.ctx.Done():
		return remote.E("wait for an upload", "", remote.Unavailable, errClosing)
	case <-timeout.C:
		return remote.E(
			"wait for an upload", "", remote.Unavailable, errors.New("another upload of this file has not ended"),
		)
	}
}

func (ino *inode) tryLock() bool {
	select {
	case ino.up <- struct{}{}:
		return true
	default:
		return false
	}
}

// unlock gives up back, after a look at how much of the media is no hole now.
func (ino *inode) unlock() {
	ino.measure()
	<-ino.up
}

// measure counts the blocks of what is in the spool (the file's own, and what shows of the content
// that it lies over, cut to the size), and the bytes that no store has. Up is held. Pages of which
// a part was written over count twice, which the size bounds.
func (ino *inode) measure() {
	var own, shown int64
	if w := ino.w; w != nil {
		st, err := w.file.Stat()
		if err != nil {
			return
		}
		own = st.Blocks
		if w.file.Overlay() {
			shown = (w.file.Shown() + 511) / 512
		}
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if ino.w != nil && ino.local {
		ino.blocks = min(own+shown, (ino.size+511)/512)
	}
	was := ino.unsent
	if ino.unsent = 0; ino.w != nil && ino.dirty {
		ino.unsent = min(512*own, ino.size)
	}
	ino.sum.Add(ino.unsent - was)
}

// swap sets the spool file. up is held.
func (ino *inode) swap(w *writing) {
	ino.io.Lock()
	ino.w = w
	ino.io.Unlock()
}

func (ino *inode) isDirty() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.dirty
}

func (ino *inode) isLocal() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.local
}

func (ino *inode) isGone() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.gone
}

func (ino *inode) isUnnamed() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.unnamed
}

// spooled is the state of the kernel's pages while the spool file is newer than any head.
const spooled = "spool"

// hold gives the inode of a node and keeps it until release.
func (fs *FS) hold(id vfs.ID) *inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	if ino == nil {
		ino = fs.newInode(id)
		fs.inodes[id] = ino
	}
	ino.holds++
	return ino
}

// OpenForWriting reports whether somebody has a media open for writing.
func (fs *FS) OpenForWriting(id vfs.ID) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	return ino != nil && ino.writers > 0
}

// release ends a hold. It is not called in a view.
func (fs *FS) release(ino *inode) { fs.drop(ino, func() { ino.holds-- }) }

// lookedUp turns a hold into a reference of the kernel.
func (fs *FS) lookedUp(ino *inode) {
	fs.mu.Lock()
	ino.lookups++
	ino.holds--
	fs.mu.Unlock()
}

// Forget gives back n references.
func (fs *FS) Forget(id vfs.ID, n uint64) {
	fs.mu.Lock()
	ino := fs.inodes[id]
	fs.mu.Unlock()
	if ino != nil {
		fs.drop(ino, func() { ino.lookups -= min(n, ino.lookups) })
	}
}

func (fs *FS) drop(ino *inode, less func()) {
	fs.mu.Lock()
	less()
	gone := ino.lookups == 0 && ino.holds == 0
	dirty := gone && ino.isDirty()
	orphan := ino.orphan
	if gone && !dirty && fs.inodes[ino.id] == ino {
		delete(fs.inodes, ino.id)
	}
	fs.mu.Unlock()
	switch {
	case dirty:
		fs.uploads.queue(ino, 0) // its bytes are wanted still
	case gone:
		fs.discard(ino)
		if !orphan {
			return
		}
		if err := fs.cat.DropOrphan(ino.id); err != nil {
			fs.log.WithError(err).Warn("an unlinked node could not be cleaned up; the next mount does it")
		}
	}
}

// Referenced tells whether a node must outlive its last name; it is the catalog's
// Options.Referenced.
func (fs *FS) Referenced(id vfs.ID) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	if ino == nil {
		return false
	}
	ino.orphan = true
	return true
}

// orphaned notes who deleted a node that is known here; it is the catalog's Options.Orphaned. Bytes
// in the spool of one that this machine deleted are wanted by nobody. Those of one that another
// machine deleted are: nobody there has seen them.
func (fs *FS) orphaned(id vfs.ID, here bool, parent vfs.ID, name string) {
	fs.mu.Lock()
	ino := fs.inodes[id]
	fs.mu.Unlock()
	if ino == nil {
		return
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if here {
		ino.gone = true
	} else {
		ino.lastFolder, ino.lastName = parent, name
	}
}

// livesOn notes of a node that this machine deleted that it is in the library all the same: another
// machine had changed it, and the late deletion was not made. What is written to it from now on is
// wanted.
func (fs *FS) livesOn(ino *inode) {
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		if tx.Node(ino.id) != nil && !tx.Orphan(ino.id) {
			ino.mu.Lock()
			ino.gone = false
			ino.mu.Unlock()
		}
		return nil
	})
	fs.setGone(ino, ino.isGone())
}

// cameBack notes that bytes of a node that another machine had deleted have brought it back, and
// tells the kernel its name.
func (fs *FS) cameBack(ino *inode) {
	var names []catalog.Name
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		if tx.Node(ino.id) == nil || tx.Orphan(ino.id) {
			return nil
		}
		for nm := range tx.Names(ino.id) {
			names = append(names, nm)
		}
		fs.mu.Lock()
		ino.orphan = false
		fs.mu.Unlock()
		return nil
	})
	for _, nm := range names {
		fs.announceName(nm.Folder, nm.Name)
	}
	fs.announceNode(ino.id)
}

// overlay lays what is only in the spool over the attributes of the catalog. It is called in the
// view that read them: a head that is set meanwhile shows in neither or both.
func (fs *FS) overlay(a vfs.Attr) vfs.Attr {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[a.ID]
	if ino == nil {
		return a
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if !ino.local {
		return a
	}
	a.Size, a.Blocks, a.Mtime = ino.size, ino.blocks, ino.mtime
	if ino.ctime.Std().After(a.Ctime.Std()) {
		a.Ctime = ino.ctime
	}
	return a
}
