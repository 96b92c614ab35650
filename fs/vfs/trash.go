package vfs

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// trashBatch bounds the writes of one emptying, well within a commit.
const trashBatch = 500

// TrashName moves a name's node to the trash, however young it is; a folder with all that is in it. A node that has more names loses this one.
func (fs *FS) TrashName(ctx context.Context, c Caller, parent ID, name string) (entry uint64, err error) {
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
	leave(r.lost)
	if err == nil {
		fs.announceName(parent, name)
	}
	return in.SpareId, err
}

func runTrash(tx *catalog.Tx, in *intent.Intent, r *result) error {
	name := string(in.Name)
	pn, err := folder(tx, "move to the trash", in.Parent)
	if err != nil {
		return err
	}
	d, name, err := lateName(tx, in, in.Parent, name, in.Node)
	if d == nil {
		return remote.E("move to the trash", where(tx, in.Parent, name), remote.NotExist, errors.Join(err, tx.Err()))
	}
	if tx.Late() && unseenTree(tx, in, d.Node) {
		return newer(tx, "move to the trash", in.Parent, name)
	}
	n := tx.Node(d.Node)
	if n == nil {
		return missing(tx, "move to the trash", d.Node)
	}
	r.lost = d.Node
	tx.Delete(record.DentryKey(in.Parent, name))
	touch(tx, in.Parent, pn, in.Time)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(d.Node), n)
	if tx.Links(d.Node) == 0 {
		tx.Store(record.TrashKey(in.SpareId), &record.TrashEntry{Node: d.Node, Parent: in.Parent, Name: in.Name, Deleted: in.Time, Uid: deletedBy(in, n)})
	}
	return nil
}

// Restore takes an entry out of the trash, to a folder and name.
func (fs *FS) Restore(ctx context.Context, c Caller, entry uint64, parent ID, name string) error {
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

func runRestore(tx *catalog.Tx, in *intent.Intent) error {
	name := string(in.NewName)
	bad := func(kind remote.Kind, cause error) error {
		return remote.E("restore", fmt.Sprintf("%q", name), kind, cause)
	}
	var e record.TrashEntry
	if !tx.Load(record.TrashKey(in.SpareId), &e) {
		return bad(remote.NotExist, errors.Join(errors.New("it is not in the trash any more"), tx.Err()))
	}
	parent, pn, err := lateFolder(tx, "restore", in.NewParent)
	if err != nil {
		return err
	}
	n := tx.Node(e.Node)
	if n == nil {
		return missing(tx, "restore", e.Node)
	}
	if isFolder(n) && inside(tx, parent, e.Node) {
		return bad(remote.Invalid, errors.New("a folder cannot be moved into itself"))
	}
	if tx.Dentry(parent, name) != nil {
		if !tx.Late() {
			return bad(remote.Exist, nil)
		}
		name = conflictName(tx, parent, in, name)
	}
	if parent != in.NewParent || name != string(in.NewName) {
		kept(tx, "restore", fmt.Sprintf("%q", in.NewName), parent, name)
	}
	tx.Delete(record.TrashKey(in.SpareId))
	n.Ctime = in.Time
	tx.Store(record.NodeKey(e.Node), n)
	addName(tx, e.Node, n, parent, name)
	touch(tx, parent, pn, in.Time)
	return nil
}

// Purge deletes an entry of the trash for good, a folder with all that is in it: in several operations when it is large, and what a failure
// left is still an entry.
func (fs *FS) Purge(ctx context.Context, c Caller, entry uint64) error {
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

func runPurge(tx *catalog.Tx, in *intent.Intent) error {
	key := record.TrashKey(in.SpareId)
	var e record.TrashEntry
	if !tx.Load(key, &e) {
		return remote.E("purge", fmt.Sprint(in.SpareId), remote.NotExist, tx.Err())
	}
	if _, _, changed := tx.Unseen(key); changed || tx.Late() && unseenTree(tx, in, e.Node) {
		return remote.E("purge", fmt.Sprintf("%q", e.Name), remote.Conflict, errNewer)
	}
	purge(tx, key)
	return nil
}

// purge deletes an entry of the trash with its node, as far as one commit takes it.
func purge(tx *catalog.Tx, key []byte) {
	var e record.TrashEntry
	if tx.Load(key, &e) && tx.Links(e.Node) == 0 && !endTree(tx, e.Node) {
		return
	}
	tx.Delete(key)
}

// endTree deletes a node without a name, and all below it. It tells whether it came to the end.
func endTree(tx *catalog.Tx, id ID) bool {
	n := tx.Node(id)
	if n == nil {
		return true
	}
	if !isFolder(n) {
		endNode(tx, id, n, true)
		return true
	}
	var below []catalog.Listed
	for l := range tx.List(id, 0) {
		if below = append(below, l); len(below) > trashBatch {
			break
		}
	}
	for _, l := range below {
		if tx.Writes() > trashBatch {
			return false
		}
		if l.Kind<<12 == typeFolder && !endTree(tx, l.Node) {
			return false
		}
		tx.Delete(record.DentryKey(id, l.Name))
		if c := tx.Node(l.Node); c != nil && !isFolder(c) && tx.Links(l.Node) == 0 {
			endNode(tx, l.Node, c, true)
		}
	}
	if tx.Writes() > trashBatch || len(below) > trashBatch {
		return false
	}
	endNode(tx, id, n, false)
	return true
}

// emptyTrash deletes trash entries older than the retention; it returns when none is left or the log is not reached.
func (fs *FS) emptyTrash(ctx context.Context) error {
	if fs.trashAge() <= 0 {
		return nil
	}
	cutoff := stamp(TimeOf(fs.opt.Now().Add(-fs.trashAge())))
	for {
		due := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			due = len(expired(tx, cutoff, 1)) > 0
			return tx.Err()
		})
		if err != nil || !due {
			return err
		}
		in := fs.newIntent(intent.Kind_EMPTY_TRASH, Caller{})
		in.Change = &intent.Change{Mtime: cutoff}
		if _, err := fs.do(ctx, in); err != nil {
			return err
		}
	}
}

func expired(tx *catalog.Tx, cutoff *record.Time, limit int) (keys [][]byte) {
	for k := range tx.Records([]byte{record.KeyTrash}) {
		var e record.TrashEntry
		if tx.Load(k, &e) && age(cutoff, e.Deleted) > 0 {
			if keys = append(keys, k); len(keys) == limit {
				break
			}
		}
	}
	return keys
}

// runEmptyTrash does nothing late: what is due then is looked for then.
func runEmptyTrash(tx *catalog.Tx, in *intent.Intent) error {
	if tx.Late() {
		return nil
	}
	for _, k := range expired(tx, in.Change.GetMtime(), 100) {
		if tx.Writes() > trashBatch {
			break
		}
		purge(tx, k)
	}
	return nil
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
		if _, err := fs.do(ctx, fs.newIntent(intent.Kind_SWEEP, Caller{})); err != nil {
			return err
		}
	}
}

func runSweep(tx *catalog.Tx) error {
	k, _ := tx.Last([]byte{record.KeyEnded})
	if k == nil {
		return tx.Err()
	}
	if deleteAll(tx, record.AttachedKey(k[1:], 0), trashBatch) {
		tx.Delete(k)
	}
	return nil
}

// TrashEntries yields what is in the trash, by entry.
func (fs *FS) TrashEntries(_ context.Context, yield func(TrashEntry) bool) error {
	after := []byte{record.KeyTrash}
	for {
		var page []TrashEntry
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
				if n == nil || checkName("list", string(e.Name)) != nil {
					continue
				}
				t := TrashEntry{Entry: entry, Node: e.Node, Parent: e.Parent, Name: string(e.Name), Path: string(e.Name), Deleted: unstamp(e.Deleted), UID: e.Uid,
					Attr: fs.overlay(attrOf(tx, e.Node, n))}
				if ps := pathsOf(tx, e.Parent); len(ps) > 0 {
					t.Path = joinPath(ps[0], t.Name)
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
