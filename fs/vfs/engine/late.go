package engine

import (
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// about has the error of an operation that nobody waits for any more say what the operation was
// about, in the words of who asked for it: paths, and not numbers.
func about(tx *catalog.Tx, in *intent.Intent, err error) error {
	var e *remote.Error
	if !errors.As(err, &e) {
		return err
	}
	path := e.Path
	switch in.Kind {
	case intent.Kind_MAKE, intent.Kind_LINK, intent.Kind_LINK_UNNAMED, intent.Kind_UNLINK, intent.Kind_RMDIR,
		intent.Kind_TRASH, intent.Kind_IMPORT:
		path = operation.Where(tx, in.Parent, string(in.Name))
	case intent.Kind_RENAME, intent.Kind_RENAME_WHITEOUT:
		path = operation.Where(tx, in.Parent, string(in.Name)) + " to " + operation.Where(
			tx, in.NewParent, string(in.NewName),
		)
	case intent.Kind_SET_HEAD, intent.Kind_LATE_VERSION:
		path = operation.Where(tx, in.Parent, string(in.Name))
		if tx.Links(in.Node) > 0 {
			path = operation.PathOrNumber(tx, in.Node)
		}
	case intent.Kind_SET_ATTR, intent.Kind_EDIT_MEDIA:
		path = operation.PathOrNumber(tx, in.Node)
	case intent.Kind_SET_XATTR, intent.Kind_REMOVE_XATTR:
		path = fmt.Sprintf("%s of %s", in.Name, operation.PathOrNumber(tx, in.Node))
	case intent.Kind_RESTORE_VERSION:
		path = fmt.Sprintf("version %d of %s", in.Number, operation.PathOrNumber(tx, in.Node))
	case intent.Kind_RESTORE:
		path = fmt.Sprintf("from the trash as %s", operation.Where(tx, in.NewParent, string(in.NewName)))
	case intent.Kind_PURGE:
		var t record.TrashEntry
		if tx.Load(record.TrashKey(in.SpareId), &t) {
			path = fmt.Sprintf("%s in the trash", operation.Where(tx, t.Parent, string(t.Name)))
		}
	}
	c := *e
	c.Path = path
	return &c
}
