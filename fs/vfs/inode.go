package vfs

import (
	"sync"

	"mediafs/cache/spool"
)

// An inode is what this process keeps of a node that the kernel knows, that is open, or that has bytes in the spool.
//
// Locks, in this order: up, io, the catalog's, FS.mu, mu. The catalog's is never taken under FS.mu or mu.
type inode struct {
	id ID

	// Counted under FS.mu; the inode is forgotten when all are zero.
	lookups uint64 // the kernel's
	holds   int    // this process's own: open files, running calls, the upload queue
	writers int    // open files that may write
	orphan  bool   // it was deleted while known here: its record may be kept as an orphan

	up sync.Mutex // one upload at a time
	// io guards w: exclusive for who changes its bytes or replaces it, shared for who reads or uploads them.
	io sync.RWMutex
	w  *writing

	mu sync.Mutex
	// Guarded by mu:
	pages   string // the head, or state of the spool file, that the kernel's pages are of; empty: not known
	dirty   bool   // w has bytes that no head has
	size    int64  // with w
	mtime   Time   // with dirty
	ctime   Time
	lastErr error // why the last upload failed
}

// writing is the spool file of a media being written. It changes under inode.io held exclusively; described under inode.mu too.
type writing struct {
	file   *spool.File
	shared bool  // the file's bytes belong to a store now as well: copied before the next write
	sent   *sent // uploaded, and not yet a head; ends with the next write
	head   string
}

// spooled is the state of the kernel's pages while the spool file is newer than any head.
const spooled = "spool"

// hold gives the inode of a node and keeps it until release.
func (fs *FS) hold(id ID) *inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	if ino == nil {
		ino = &inode{id: id}
		fs.inodes[id] = ino
	}
	ino.holds++
	return ino
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
func (fs *FS) Forget(id ID, n uint64) {
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
	orphan := ino.orphan
	if gone && fs.inodes[ino.id] == ino {
		delete(fs.inodes, ino.id)
	}
	fs.mu.Unlock()
	if gone {
		fs.discard(ino)
	}
	if gone && orphan {
		if err := fs.cat.DropOrphan(ino.id); err != nil {
			fs.log.WithError(err).Warn("an unlinked node could not be cleaned up; the next mount does it")
		}
	}
}

// Referenced tells whether a node must outlive its last name; it is the catalog's Options.Referenced.
func (fs *FS) Referenced(id ID) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	if ino == nil {
		return false
	}
	ino.orphan = true
	return true
}

// overlay lays what is only in the spool over the attributes of the catalog. It may be called in a view.
func (fs *FS) overlay(a Attr) Attr {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[a.ID]
	if ino == nil {
		return a
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if !ino.dirty {
		return a
	}
	a.Size, a.Mtime = ino.size, ino.mtime
	a.Blocks = (ino.size + 511) / 512
	if ino.ctime.Std().After(a.Ctime.Std()) {
		a.Ctime = ino.ctime
	}
	return a
}
