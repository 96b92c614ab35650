package engine

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// TrashName moves a name's node to the trash, however young it is; a folder with all that is in it.
// A node that has more names loses this one.
func (fs *FS) TrashName(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) (entry uint64, err error) {
	if fs.trashAge() <= 0 {
		return 0, remote.E("move to the trash", fmt.Sprintf("%q", name), remote.Unsupported, errors.New("this mount keeps no trash")).
			WithHint("mount with --trash=DAYS")
	}
	in := fs.newIntent(intent.Kind_TRASH, c)
	in.Parent, in.Name = parent, []byte(name)
	if in.SpareId, err = fs.cat.NewID(); err != nil {
		return 0, err
	}
	in.Node = fs.named(parent, name)
	leave := fs.leaving(in.Node)
	r, err := fs.do(ctx, in)
	leave(r.Lost)
	if err == nil {
		fs.announceName(parent, name)
	}
	return in.SpareId, err
}

// Restore takes an entry out of the trash, to a folder and name.
func (fs *FS) Restore(ctx context.Context, c vfs.Caller, entry uint64, parent vfs.ID, name string) error {
	if err := fs.checkName("restore", parent, name); err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_RESTORE, c)
	in.SpareId, in.NewParent, in.NewName = entry, parent, []byte(name)
	_, err := fs.do(ctx, in)
	if err == nil {
		fs.announceName(parent, name)
	}
	return err
}

// Purge deletes an entry of the trash for good, a folder with all that is in it: in several
// operations when it is large, and what a failure left is still an entry.
func (fs *FS) Purge(ctx context.Context, c vfs.Caller, entry uint64) error {
	for {
		in := fs.newIntent(intent.Kind_PURGE, c)
		in.SpareId = entry
		if _, err := fs.do(ctx, in); err != nil {
			return err
		}
		left := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			left = tx.Get(record.TrashKey(entry)) != nil
			return tx.Err()
		})
		if err != nil || !left {
			return err
		}
	}
}

// emptyTrash deletes trash entries older than the retention; it returns when none is left or the
// log is not reached.
func (fs *FS) emptyTrash(ctx context.Context) error {
	if fs.trashAge() <= 0 {
		return nil
	}
	cutoff := stamp(vfs.TimeOf(fs.opt.Now().Add(-fs.trashAge())))
	for {
		due := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			due = len(operation.Expired(tx, cutoff, 1)) > 0 && !fs.unsentInTrash(tx)
			return tx.Err()
		})
		if err != nil || !due {
			return err
		}
		in := fs.newIntent(intent.Kind_EMPTY_TRASH, vfs.Caller{})
		in.Change = &intent.Change{Mtime: cutoff}
		if _, err := fs.do(ctx, in); err != nil {
			return err
		}
	}
}

// unsentInTrash reports whether a media in the trash has bytes in the spool that are still to be
// uploaded. Age alone does not end those: they may be of an edit that another machine has not seen
// when it deleted the media, and then take it out of the trash.
func (fs *FS) unsentInTrash(tx *catalog.Tx) bool {
	fs.mu.Lock()
	var dirty []vfs.ID
	for id, ino := range fs.inodes {
		if ino.isDirty() {
			dirty = append(dirty, id)
		}
	}
	fs.mu.Unlock()
	for _, id := range dirty {
		if tx.Node(id) != nil && !tx.Orphan(id) && len(operation.PathsOf(tx, id)) == 0 {
			return true
		}
	}
	return false
}

// sweepEnded deletes what media that are gone have left behind.
func (fs *FS) sweepEnded(ctx context.Context) error {
	for {
		left := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			k, _ := tx.Last([]byte{record.KeyEnded})
			left = k != nil
			return tx.Err()
		})
		if err != nil || !left {
			return err
		}
		if _, err := fs.do(ctx, fs.newIntent(intent.Kind_SWEEP, vfs.Caller{})); err != nil {
			return err
		}
	}
}

// TrashEntries yields what is in the trash, by entry.
func (fs *FS) TrashEntries(_ context.Context, yield func(vfs.TrashEntry) bool) error {
	after := []byte{record.KeyTrash}
	for {
		var page []vfs.TrashEntry
		err := fs.cat.View(func(tx *catalog.Tx) error {
			page = page[:0]
			for k := range tx.RecordsFrom([]byte{record.KeyTrash}, after) {
				after = append(k, 0)
				var e record.TrashEntry
				entry, _, ok := record.NumberOf(k)
				if !ok || !tx.Load(k, &e) {
					continue
				}
				n := tx.Node(e.Node)
				if n == nil || operation.CheckName("list", string(e.Name)) != nil {
					continue
				}
				t := vfs.TrashEntry{
					Entry:   entry,
					Node:    e.Node,
					Parent:  e.Parent,
					Name:    string(e.Name),
					Path:    string(e.Name),
					Deleted: operation.Unstamp(e.Deleted),
					UID:     e.Uid,
					Attr:    fs.overlay(operation.AttrOf(tx, e.Node, n)),
				}
				if ps := operation.PathsOf(tx, e.Parent); len(ps) > 0 {
					t.Path = operation.JoinPath(ps[0], t.Name)
				}
				if page = append(page, t); len(page) == 256 {
					break
				}
			}
			return tx.Err()
		})
		if err != nil {
			return err
		}
		for _, t := range page {
			if !yield(t) {
				return nil
			}
		}
		if len(page) < 256 {
			return nil
		}
	}
}
