package operation

import (
	"errors"
	"fmt"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// minTrashAge is how long a media must have existed for its deletion to be worth keeping: temporary
// files never fill the trash.
const minTrashAge = 5 * time.Minute

func runUnlink(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name := string(in.Name)
	pn, err := Folder(tx, "unlink", in.Parent)
	if err != nil {
		return err
	}
	d, name, err := lateName(tx, in, in.Parent, name, in.Node)
	if d == nil {
		return remote.E("unlink", Where(tx, in.Parent, name), remote.NotExist, errors.Join(err, tx.Err()))
	}
	if d.Kind<<12 == TypeFolder {
		return remote.E("unlink", fmt.Sprintf("%q", name), remote.IsDir, nil)
	}
	if unseen(tx, in, d.Node) {
		return newer(tx, "unlink", in.Parent, name)
	}
	r.Lost = d.Node
	tx.Delete(record.DentryKey(in.Parent, name))
	touch(tx, in.Parent, pn, in.Time)
	nameLost(tx, in, d.Node, in.Parent, name)
	return nil
}

// nameLost settles a node, no folder, that has just lost a name: it lives on, goes to the trash, or
// ends.
func nameLost(tx *catalog.Tx, in *intent.Intent, id, parent vfs.ID, name string) {
	n := tx.Node(id)
	if n == nil {
		return
	}
	n.Ctime = in.Time
	tx.Store(record.NodeKey(id), n)
	if tx.Links(id) > 0 {
		return
	}
	if old := age(in.Time, n.Btime); in.Trash && IsMedia(n) && (old >= minTrashAge || old < 0) {
		tx.Store(
			record.TrashKey(in.SpareId),
			&record.TrashEntry{Node: id, Parent: parent, Name: []byte(name), Deleted: in.Time, Uid: deletedBy(in, n)},
		)
		return
	}
	endNode(tx, id, n, true)
}

// deletedBy is in whose part of the trash a node goes: the caller's, or its owner's when that is
// not known.
func deletedBy(in *intent.Intent, n *record.Node) uint32 {
	if in.Uid == vfs.NoID {
		return n.Uid
	}
	return in.Uid
}

// endNode deletes a node that has no name any more. versions tells whether its media ends with it.
func endNode(tx *catalog.Tx, id vfs.ID, n *record.Node, versions bool) {
	deleteAll(tx, record.XattrKey(id, ""), maxXattrs)
	if tx.Get(record.FactsKey(id)) != nil {
		tx.Delete(record.FactsKey(id))
	}
	if versions && len(n.MediaId) > 0 {
		endMedia(tx, n.MediaId, n.Ctime)
	}
	tx.Delete(record.NodeKey(id))
}

// deleteAll deletes the records of a prefix, at most limit of them, and tells whether that were
// all.
func deleteAll(tx *catalog.Tx, prefix []byte, limit int) (all bool) {
	var keys [][]byte
	all = true
	for k := range tx.Records(prefix) {
		if len(keys) == limit {
			all = false
			break
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		tx.Delete(k)
	}
	return all
}

// endedBatch is how many attached records go with a media at once; the rest goes behind.
const endedBatch = 100

// endMedia deletes all that is known of a media that is gone: what people said of it, its versions,
// what is attached to it.
func endMedia(tx *catalog.Tx, media []byte, now *record.Time) {
	if tx.Get(record.MediaKey(media)) != nil {
		tx.Delete(record.MediaKey(media))
	}
	deleteAll(tx, record.VersionPrefix(media), maxVersions)
	if !deleteAll(tx, record.AttachedKey(media, 0), endedBatch) {
		tx.Store(record.EndedKey(media), &record.Ended{Time: now})
	}
}

func runRmdir(tx *catalog.Tx, in *intent.Intent) error {
	name := string(in.Name)
	pn, err := Folder(tx, "rmdir", in.Parent)
	if err != nil {
		return err
	}
	d, name, err := lateName(tx, in, in.Parent, name, in.Node)
	switch {
	case d == nil:
		return remote.E("rmdir", Where(tx, in.Parent, name), remote.NotExist, errors.Join(err, tx.Err()))
	case d.Kind<<12 != TypeFolder:
		return remote.E("rmdir", fmt.Sprintf("%q", name), remote.NotDir, nil)
	case tx.Counts(d.Node).Children > 0:
		return remote.E("rmdir", Where(tx, in.Parent, name), remote.NotEmpty, nil)
	case unseen(tx, in, d.Node):
		return newer(tx, "rmdir", in.Parent, name)
	}
	tx.Delete(record.DentryKey(in.Parent, name))
	touch(tx, in.Parent, pn, in.Time)
	if n := tx.Node(d.Node); n != nil {
		endNode(tx, d.Node, n, false)
	}
	return nil
}
