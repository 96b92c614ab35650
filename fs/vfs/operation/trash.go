package operation

import (
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// trashBatch bounds the writes of one emptying, well within a commit.
const trashBatch = 500

func runTrash(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name := string(in.Name)
	pn, err := Folder(tx, "move to the trash", in.Parent)
	if err != nil {
		return err
	}
	d, name, err := lateName(tx, in, in.Parent, name, in.Node)
	if d == nil {
		return remote.E("move to the trash", Where(tx, in.Parent, name), remote.NotExist, errors.Join(err, tx.Err()))
	}
	if tx.Late() && unseenTree(tx, in, d.Node) {
		return newer(tx, "move to the trash", in.Parent, name)
	}
	n := tx.Node(d.Node)
	if n == nil {
		return Missing(tx, "move to the trash", d.Node)
	}
	r.Lost = d.Node
	tx.Delete(record.DentryKey(in.Parent, name))
	touch(tx, in.Parent, pn, in.Time)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(d.Node), n)
	if tx.Links(d.Node) == 0 {
		tx.Store(
			record.TrashKey(in.SpareId),
			&record.TrashEntry{Node: d.Node, Parent: in.Parent, Name: in.Name, Deleted: in.Time, Uid: deletedBy(in, n)},
		)
	}
	return nil
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
		return Missing(tx, "restore", e.Node)
	}
	if IsFolder(n) && Inside(tx, parent, e.Node) {
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

func runPurge(tx *catalog.Tx, in *intent.Intent) error {
	key := record.TrashKey(in.SpareId)
	var e record.TrashEntry
	if !tx.Load(key, &e) {
		return remote.E("purge", fmt.Sprint(in.SpareId), remote.NotExist, tx.Err())
	}
	if _, _, changed := tx.Unseen(key); changed || tx.Late() && unseenTree(tx, in, e.Node) {
		return remote.E("purge", fmt.Sprintf("%q", e.Name), remote.Conflict, ErrNewer)
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
func endTree(tx *catalog.Tx, id vfs.ID) bool {
	n := tx.Node(id)
	if n == nil {
		return true
	}
	if !IsFolder(n) {
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
		if l.Kind<<12 == TypeFolder && !endTree(tx, l.Node) {
			return false
		}
		tx.Delete(record.DentryKey(id, l.Name))
		if c := tx.Node(l.Node); c != nil && !IsFolder(c) && tx.Links(l.Node) == 0 {
			endNode(tx, l.Node, c, true)
		}
	}
	if tx.Writes() > trashBatch || len(below) > trashBatch {
		return false
	}
	endNode(tx, id, n, false)
	return true
}

// Expired returns up to limit keys of entries of the trash that were deleted before cutoff.
func Expired(tx *catalog.Tx, cutoff *record.Time, limit int) (keys [][]byte) {
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
	for _, k := range Expired(tx, in.Change.GetMtime(), 100) {
		if tx.Writes() > trashBatch {
			break
		}
		purge(tx, k)
	}
	return nil
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
