package engine

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// truncate sets a media's size. Without an open file that writes, it is in the store when truncate
// returns.
func (fs *FS) truncate(ctx context.Context, ino *inode, f *file, size int64) error {
	if size < 0 {
		return remote.E("truncate", fmt.Sprint(size), remote.Invalid, nil)
	}
	if err := fits("truncate", 0, size); err != nil {
		return err
	}
	same, err := fs.cut(ctx, ino, f, size)
	if err != nil {
		fs.settle(ino)
		return err
	}
	if f != nil && f.writes {
		if !same {
			f.wrote.Store(true)
		}
		return nil
	}
	fs.mu.Lock()
	writers := ino.writers
	fs.mu.Unlock()
	if writers > 0 {
		fs.uploads.queue(ino, fs.opt.FlushDelay)
		return nil
	}
	if fs.background() {
		return fs.syncSpool(ctx, ino)
	}
	err = fs.uploadWithin(ctx, ino, false)
	fs.settle(ino)
	return err
}

// cut changes the size in the spool; same tells that there was nothing to do. When it fails, the
// media holds what it held.
func (fs *FS) cut(ctx context.Context, ino *inode, f *file, size int64) (same bool, err error) {
	if err := fs.lock(ctx, ino); err != nil {
		return false, err
	}
	defer ino.unlock()
	if f != nil && f.writes {
		if err := f.alive("truncate"); err != nil {
			return false, err
		}
	}
	had, local := ino.w, ino.isLocal()
	if had == nil {
		var n *record.Node
		err := fs.cat.View(func(tx *catalog.Tx) error {
			if n = tx.Node(ino.id); n == nil {
				return operation.Missing(tx, "truncate", ino.id)
			}
			return nil
		})
		switch {
		case err != nil:
			return false, err
		case operation.IsFolder(n):
			return false, remote.E("truncate", fmt.Sprint(ino.id), remote.IsDir, nil)
		case !operation.IsMedia(n):
			return false, remote.E("truncate", fmt.Sprint(ino.id), remote.Invalid, nil)
		case int64(n.Head.GetSize()) == size:
			return true, fs.changedTimes(ctx, ino.id)
		}
		if err := fs.room(ctx, ino, 0); err != nil {
			return false, err
		}
	}
	if err := fs.makeWritable(ctx, ino, size, size); err != nil {
		return false, err
	}
	w, was := ino.w, ino.size
	if u := w.up; u != nil && u.streams() && u.reaches(size) {
		fs.dropUpstream(w)
	}
	if err = fs.dirtied(ino, min(size, was), max(size-was, 0)); err == nil {
		err = w.file.Truncate(size)
	}
	if err != nil {
		if w != had && !local {
			// It may have only the bytes that were to be left.
			ino.swap(nil)
			ino.clean()
			err = errors.Join(err, fs.end(w))
		}
		return false, err
	}
	if size < was {
		w.cut(size)
	} else {
		w.dirty.Add(was, size-was)
	}
	ino.mu.Lock()
	ino.size = size
	ino.mu.Unlock()
	return false, nil
}

// changedTimes is what a truncation to the same size does: mtime and ctime move.
func (fs *FS) changedTimes(ctx context.Context, id vfs.ID) error {
	now := vfs.TimeOf(fs.opt.Now())
	return fs.changeAttr(ctx, vfs.Caller{}, id, vfs.AttrChange{Mtime: &now}, fs.doNow)
}
