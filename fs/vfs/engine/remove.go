package engine

import (
	"context"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
)

// Unlink takes a name off a node that is no folder.
func (fs *FS) Unlink(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	in := fs.newIntent(intent.Kind_UNLINK, c)
	in.Parent, in.Name, in.Trash = parent, []byte(name), fs.trashAge() > 0
	var err error
	if in.SpareId, err = fs.cat.NewID(); err != nil {
		return err
	}
	in.Node = fs.named(parent, name)
	leave := fs.leaving(in.Node)
	fs.opt.Step("unlink")
	r, err := fs.do(ctx, in)
	fs.opt.Step("unlinked")
	leave(r.Lost)
	return err
}

// leaving is called before an operation that takes a name off a node, and what it returns after
// that with the node that lost one. What is in the spool of a node without a name is wanted by
// nobody after this process, and the spool says so before the name is gone: whoever finds both
// after a crash does not bring the media back.
func (fs *FS) leaving(id vfs.ID) (left func(lost vfs.ID)) {
	fs.mu.Lock()
	ino := fs.inodes[id]
	if ino != nil {
		ino.holds++
	}
	fs.mu.Unlock()
	if ino == nil {
		return fs.unnamed
	}
	fs.setGone(ino, true)
	return func(lost vfs.ID) {
		defer fs.release(ino)
		fs.unnamed(lost)
		fs.setGone(ino, ino.isGone()) // false: it has another name, or went to the trash, or keeps this one
	}
}

func (fs *FS) setGone(ino *inode, gone bool) {
	ino.io.RLock()
	defer ino.io.RUnlock()
	if ino.w == nil {
		return
	}
	if err := ino.w.file.SetGone(gone); err != nil {
		fs.log.WithError(err).Debug("a spool file of a deleted media stays for the next mount to find")
	}
}

// unnamed notes in the spool that this machine took a name off a node: if it was the last
// (orphaned), nobody wants what is in the spool of it after this process.
func (fs *FS) unnamed(id vfs.ID) {
	fs.mu.Lock()
	ino := fs.inodes[id]
	if ino != nil {
		ino.holds++
	}
	fs.mu.Unlock()
	if ino == nil {
		return
	}
	defer fs.release(ino)
	if ino.isGone() {
		fs.setGone(ino, true)
	}
}

// Rmdir removes an empty folder.
func (fs *FS) Rmdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	in := fs.newIntent(intent.Kind_RMDIR, c)
	in.Parent, in.Name, in.Node = parent, []byte(name), fs.named(parent, name)
	_, err := fs.do(ctx, in)
	return err
}
