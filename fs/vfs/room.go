package vfs

import (
	"context"
	"time"

	"mediafs/remote"
)

// room makes sure that n more bytes fit into the spool, and waits for uploads when they do not: of other files first, then of this one, which then
// leaves its bytes to the store. NoSpace when all that is in the spool is in the store and it still is too small. inode.up is held.
func (fs *FS) room(ctx context.Context, ino *inode, n int64) error {
	err := fs.spool.Room(n)
	if remote.KindOf(err) != remote.NoSpace {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fs.opt.UploadTimeout)
	defer cancel()
	defer context.AfterFunc(fs.ctx, cancel)()
	pause := time.NewTicker(min(fs.opt.RetryInterval, 100*time.Millisecond))
	defer pause.Stop()
	ino.setCramped(true)
	defer ino.setCramped(false)
	for fs.makeRoom(ino) {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		case <-fs.ctx.Done():
			return remote.E("write", "", remote.Unavailable, errClosing)
		}
		if err = fs.spool.Room(n); remote.KindOf(err) != remote.NoSpace {
			return err
		}
	}
	if ino.w == nil {
		return fs.spool.Room(n)
	}
	if ino.isDirty() {
		if uerr := fs.patiently(ctx, func() error { return fs.uploadHeld(ctx, ino) }); uerr != nil {
			fs.log.WithError(uerr).Warn("the spool's disk is full, and what is in it could not be uploaded")
			return err
		}
	}
	fs.hollowNow(ino)
	return fs.spool.Room(n)
}

func (ino *inode) setCramped(on bool) {
	ino.mu.Lock()
	ino.cramped = on
	ino.mu.Unlock()
}

func (ino *inode) isCramped() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.cramped
}

// makeRoom has everything uploaded that is in the spool, but for one media, and takes the bytes of what is in the store already. It tells whether there
// is anything to wait for: not for media whose writers wait for room as well.
func (fs *FS) makeRoom(but *inode) bool {
	wait := false
	for _, ino := range fs.all() {
		ino.mu.Lock()
		dirty, cramped := ino.dirty, ino.cramped
		ino.mu.Unlock()
		switch {
		case ino == but || cramped:
		case dirty:
			wait = true
			fs.uploads.hasten(ino)
		case ino.tryLock():
			fs.hollowNow(ino)
			ino.unlock()
		}
		fs.release(ino)
	}
	return wait
}

// hollowNow is hollow for a caller who goes on without.
func (fs *FS) hollowNow(ino *inode) {
	if err := fs.hollow(ino); err != nil {
		fs.log.WithError(err).Warn("a spool file could not leave its bytes to the store")
	}
}
