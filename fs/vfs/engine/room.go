package engine

import (
	"context"
	"time"

	"mediafs/remote"
)

// idleRounds is how often there must be nothing to hope for: another writer may just have been
// given the room, and makes some again.
const idleRounds = 10

// room makes sure that n more bytes fit into the spool, and waits for uploads when they do not: of
// other files first, then of this one, which then leaves its bytes to the store. NoSpace when all
// that is in the spool is in the store and it still is too small. inode.up is held.
func (fs *FS) room(ctx context.Context, ino *inode, n int64) error {
	err := fs.spool.Room(n)
	if remote.KindOf(err) != remote.NoSpace {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fs.uploadTimeout())
	defer cancel()
	defer context.AfterFunc(fs.ctx, cancel)()
	pause := time.NewTicker(min(fs.opt.RetryInterval, 100*time.Millisecond))
	defer pause.Stop()
	fs.hollowNow(ino)
	ino.setCramped(true, ino.isDirty())
	defer ino.setCramped(false, false)
	for idle := 0; ; {
		if fs.cat.Blocked() != nil {
			return err // nothing is uploaded now
		}
		uploading, busy := fs.makeRoom(ino)
		if !uploading && ino.w != nil && ino.isDirty() {
			// Nobody else's bytes go up by themselves: this one's do.
			if uerr := fs.patiently(ctx, func() error { return fs.uploadHeld(ctx, ino, false) }); uerr != nil {
				fs.log.WithError(uerr).Warn("the spool's disk is full, and what is in it could not be uploaded")
				return err
			}
			fs.hollowNow(ino)
			ino.setCramped(true, false)
			if err = fs.spool.Room(n); remote.KindOf(err) != remote.NoSpace {
				return err
			}
			continue
		}
		if uploading || busy {
			idle = 0
		} else if idle++; idle == idleRounds {
			return fs.spool.Room(n)
		}
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
}

func (ino *inode) setCramped(on, gives bool) {
	ino.mu.Lock()
	ino.cramped, ino.gives = on, gives
	ino.mu.Unlock()
}

func (ino *inode) isCramped() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.cramped
}

// makeRoom has everything uploaded that is in the spool, but for one media, and takes the bytes of
// what is in the store already. uploading tells that bytes are on their way; busy that there is
// more to hope for: bytes that were taken just now, which another writer may have been quicker to
// use, or those of a media whose writer waits for room as well. Such a writer sends them himself,
// so that only who has none to send may wait for him.
func (fs *FS) makeRoom(but *inode) (uploading, busy bool) {
	for _, ino := range fs.all() {
		ino.mu.Lock()
		dirty, cramped, gives := ino.dirty, ino.cramped, ino.gives
		ino.mu.Unlock()
		switch {
		case ino == but:
		case cramped:
			busy = busy || gives
		case dirty:
			uploading = true
			fs.uploads.hasten(ino)
		case ino.tryLock():
			busy = fs.hollowNow(ino) || busy
			ino.unlock()
		default:
			busy = true // its writer is at it: what he does to it is seen next time
		}
		fs.release(ino)
	}
	return uploading, busy
}

// hollowNow is hollow for a caller who goes on without. It tells whether there were bytes to take.
func (fs *FS) hollowNow(ino *inode) bool {
	if w := ino.w; w == nil || w.file.Overlay() && w.file.Runs() == 0 {
		return false
	}
	taken, err := fs.hollow(ino)
	if err != nil {
		fs.log.WithError(err).Warn("a spool file could not leave its bytes to the store")
	}
	return taken
}
