package engine

import (
	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote/bucket/record"
)

// listOf gives the access control list of a node from its record. What a mode can say the node's
// mode says, so that a chmod, also one by a version that knows no lists, changes the list with it.
// nil: there is none, or it cannot be read.
func listOf(x *record.Xattr, n *record.Node) acl.List {
	l, err := acl.Parse(x.GetValue())
	if err != nil {
		return nil
	}
	return l.Chmod(n.Mode)
}

// bareMode is the mode with which a node is made anew whose attributes are lost.
func bareMode(tx *catalog.Tx, id vfs.ID, n *record.Node) uint32 {
	if l := listOf(tx.Xattr(id, acl.Access), n); l != nil {
		return l.Bare(n.Mode)
	}
	return n.Mode
}
