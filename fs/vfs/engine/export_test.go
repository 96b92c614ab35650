package engine

import (
	"context"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
)

// View looks into the library's catalog.
func (fs *FS) View(fn func(tx *catalog.Tx) error) error { return fs.cat.View(fn) }

// Empty empties the trash of what is past its time, now.
func (fs *FS) Empty() error { return fs.emptyTrash(fs.ctx) }

// References counts the inodes that are known.
func (fs *FS) References() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for id, ino := range fs.inodes {
		if id != vfs.Root && ino.lookups > 0 {
			n++
		}
	}
	return n
}

// MakeRoom does what a full disk makes it do.
func (fs *FS) MakeRoom() { fs.makeRoom(nil) }

// SpoolBytes is what the files in the spool take on the disk.
func (fs *FS) SpoolBytes() (n int64) {
	for _, ino := range fs.all() {
		if ino.w != nil {
			if st, err := ino.w.file.Stat(); err == nil {
				n += st.Blocks * 512
			}
		}
		fs.release(ino)
	}
	return n
}

// Room asks for room for n bytes in the spool, without waiting.
func (fs *FS) Room(n int64) error { return fs.spool.Room(n) }

// Cramped counts the media whose writers wait for room.
func (fs *FS) Cramped() (n int) {
	for _, ino := range fs.all() {
		ino.mu.Lock()
		if ino.cramped {
			n++
		}
		ino.mu.Unlock()
		fs.release(ino)
	}
	return n
}

// Uploading has everything that is queued uploaded now, and counts the uploads behind that have
// begun.
func (fs *FS) Uploading() int {
	u := fs.uploads
	u.mu.Lock()
	var waiting []*inode
	for ino := range u.waiting {
		waiting = append(waiting, ino)
	}
	running := u.running
	u.mu.Unlock()
	for _, ino := range waiting {
		u.queue(ino, 0)
	}
	return running
}

// Checkpoint writes the checkpoint after the newest commit, now.
func (fs *FS) Checkpoint(ctx context.Context) error { return fs.cat.Checkpoint(ctx) }

// Update writes what another program may have written.
func (fs *FS) Update(ctx context.Context, fn func(tx *catalog.Tx) error) error {
	return fs.cat.Update(ctx, nil, fn)
}

// RewriteIdle tells whether no media waits to be made whole.
func (fs *FS) RewriteIdle() bool {
	fs.rewrite.mu.Lock()
	defer fs.rewrite.mu.Unlock()
	return len(fs.rewrite.due) == 0 && !fs.rewrite.busy
}
