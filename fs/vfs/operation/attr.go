package operation

import (
	"errors"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// ErrOrphan is why an operation does not change a node: it is an orphan, and what is kept of it is
// no longer in the log.
var ErrOrphan = errors.New("the node has no name any more")

func runSetAttr(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	n := tx.Node(in.Node)
	if n == nil {
		return Missing(tx, "setattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("setattr", "", remote.NotExist, ErrOrphan)
	}
	ch, left := unseenChange(tx, in)
	if !left {
		return newerNode(tx, "setattr", in.Node)
	}
	ApplyChange(n, ch, in.Time)
	tx.Store(record.NodeKey(in.Node), n)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}

// ApplyChange makes a change of attributes in n.
func ApplyChange(n *record.Node, ch *intent.Change, now *record.Time) {
	if ch.Mode != nil {
		n.Mode = n.Mode&TypeMask | *ch.Mode&PermMask
	}
	if ch.Uid != nil {
		n.Uid = *ch.Uid
	}
	if ch.Gid != nil {
		n.Gid = *ch.Gid
	}
	if ch.Atime != nil {
		n.Atime = ch.Atime
	}
	if ch.Mtime != nil {
		n.Mtime = ch.Mtime
	}
	if (ch.Uid != nil || ch.Gid != nil) && ch.Mode == nil && !IsFolder(n) {
		n.Mode &^= privileges(n.Mode)
	}
	n.Ctime = now
	if ch.Ctime != nil {
		n.Ctime = ch.Ctime
	}
}

// privileges are the bits that a change of owner, or a write by somebody else, takes off a media:
// setgid only with group execution, as without it it means mandatory locking.
func privileges(mode uint32) uint32 {
	kill := mode & Setuid
	if mode&0o010 != 0 {
		kill |= mode & Setgid
	}
	return kill
}
