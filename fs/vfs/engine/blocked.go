package engine

import (
	"errors"

	"mediafs/remote"
)

// While the log is blocked (catalog.Blocked), the library is read as it was at the last commit that
// could be read, and refuses changes. Bytes that were written before stay in the spool, and so do
// those of files that were open for writing by then: they are uploaded afterwards. What an earlier
// process left in the spool is judged by the catalog, which may be an old one: that waits as well.

// changeable fails with the reason while nothing of the library can be changed.
func (fs *FS) changeable(op string) error {
	if fs.opt.ReadOnly {
		return errReadOnly(op)
	}
	return fs.cat.Blocked()
}

// awaitLog waits until the log is not blocked; false: the file system closes.
func (fs *FS) awaitLog() bool {
	select {
	case <-fs.cat.Unblocked():
	case <-fs.ctx.Done():
	}
	return fs.ctx.Err() == nil
}

// mended is told that the log is read to its end, before anything can be changed again; it is the
// catalog's Options.Mended.
func (fs *FS) mended() error {
	select {
	case <-fs.ready:
	case <-fs.ctx.Done():
		return remote.E("open library", "", remote.Unavailable, errClosing)
	}
	return fs.takeOver()
}

// takeOver takes up what an earlier process left, once. Nobody writes to it by then. A failure
// stays: the next mount looks again.
func (fs *FS) takeOver() error {
	fs.takenOver.Do(func() {
		if !fs.opt.ReadOnly {
			fs.notTaken = fs.recover()
		}
		if fs.notTaken != nil {
			return
		}
		for _, id := range fs.cache.Pinned() {
			fs.cache.Unpin(id) // a file is adopted after its commit was seen: the process died in between
		}
		fs.taken.Store(true)
	})
	if fs.notTaken == nil {
		return nil
	}
	return remote.E("take up the spool", fs.opt.SpoolDir, remote.KindOf(fs.notTaken), errors.New(fs.notTaken.Error())).
		WithHint("mend that, unmount, and mount again")
}
