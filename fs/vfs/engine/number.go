package engine

import (
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
)

// lookupNumber finds a node that somebody knows by its number (a file handle, which outlives mounts
// and what the kernel remembers), or the folder that it lies in. Numbers are never used again, so
// that a number means its node or nothing. What lies in the trash, or lives on only because it is
// open, is not found: on a local disk it would be deleted.
func (fs *FS) lookupNumber(id vfs.ID, parent bool) (a vfs.Attr, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		stale := remote.E("look up", fmt.Sprintf("node %d", id), remote.Stale, nil)
		folder, found := folderOf(tx, id)
		switch {
		case tx.Err() != nil:
			return tx.Err()
		case !found:
			return stale
		case parent:
			id = folder
		}
		n := tx.Node(id)
		if n == nil {
			return stale
		}
		a = fs.overlay(operation.AttrOf(tx, id, n))
		fs.lookedUp(fs.hold(id)) // inside the view, as in Lookup
		return nil
	})
	return a, err
}

// folderOf gives a folder in which a node of the tree has a name; found is false for what is not in
// the tree. The root's is the root.
func folderOf(tx *catalog.Tx, id vfs.ID) (folder vfs.ID, found bool) {
	if id == vfs.Root {
		return vfs.Root, true
	}
	if tx.Node(id) == nil || tx.Orphan(id) {
		return 0, false
	}
	for name := range tx.Names(id) {
		if operation.Inside(tx, name.Folder, vfs.Root) {
			return name.Folder, true
		}
	}
	return 0, false
}
