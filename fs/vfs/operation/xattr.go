package operation

import (
	"errors"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// What a node may have in extended attributes: so much that all of it can go with the node in one
// commit.
const (
	maxXattrs     = 256
	maxXattrBytes = 256 << 10

	// Two places are for access control lists, so that rights can be set whatever else there is.
	maxPlainXattrs = maxXattrs - 2

	// Those who neither own the node nor are root leave room for those who do.
	maxOthersXattrs     = 192
	maxOthersXattrBytes = 192 << 10
)

func runSetXattr(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil {
		return Missing(tx, "setxattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("setxattr", "", remote.NotExist, ErrOrphan)
	}
	key := record.XattrKey(in.Node, string(in.Name))
	if unseenXattr(tx, in) {
		return newerNode(tx, "setxattr "+string(in.Name), in.Node)
	}
	x, err := SetXattr(in, n, tx.Xattr(in.Node, string(in.Name)), tx.Xattrs(in.Node))
	if err != nil {
		if tx.Late() && errors.Is(err, remote.NoSpace) {
			err = remote.E("setxattr", string(in.Name), remote.Quota, err) // no full disk, which would be waited for
		}
		return err
	}
	if x != nil {
		tx.Store(key, x)
	} else if tx.Get(key) != nil {
		tx.Delete(key)
	}
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// unseenXattr reports whether another machine has set or removed an attribute, or for an access
// list changed the mode, since the user of a late operation saw it.
func unseenXattr(tx *catalog.Tx, in *intent.Intent) bool {
	if string(in.Name) == acl.Access {
		return unseenRights(tx, in.Node)
	}
	_, _, changed := tx.Unseen(record.XattrKey(in.Node, string(in.Name)))
	return changed
}

// SetXattr gives the record of an attribute that is set on a node, whose ctime it changes, and the
// mode by an access control list; nil when no record is kept. old is the attribute's record until
// now, all are those of the node.
func SetXattr(
	in *intent.Intent, n *record.Node, old *record.Xattr, all iter.Seq2[string, *record.Xattr],
) (*record.Xattr, error) {
	name := string(in.Name)
	switch {
	case old != nil && in.Flags&vfs.XattrCreate != 0:
		return nil, remote.E("setxattr", name, remote.Exist, nil)
	case old == nil && in.Flags&vfs.XattrReplace != 0:
		return nil, remote.E("setxattr", name, remote.NoAttribute, nil)
	}
	if acl.Is(name) {
		if keep, err := setList(in, n); !keep || err != nil {
			return nil, err
		}
	}
	if old == nil || len(in.Value) > len(old.Value) {
		if err := xattrRoom(in, n, all); err != nil {
			return nil, err
		}
	}
	x := new(record.Xattr)
	if old != nil {
		x = old // with what a later version may have put there
	}
	x.Value = in.Value
	n.Ctime = in.Time
	return x, nil
}

// xattrRoom fails with NoSpace when a node has too much for an attribute that is to be set. Lists
// count for nobody's share.
func xattrRoom(in *intent.Intent, n *record.Node, all iter.Seq2[string, *record.Xattr]) error {
	name := string(in.Name)
	records, count, size := 0, 0, 0
	add := func(name string, bytes int) {
		records++
		if !acl.Is(name) {
			count++
			size += len(name) + bytes
		}
	}
	add(name, len(in.Value))
	for other, x := range all {
		if other != name {
			add(other, proto.Size(x))
		}
	}
	most, bytes, whose := maxPlainXattrs, maxXattrBytes, ""
	if in.Uid != 0 && in.Uid != n.Uid {
		most, bytes, whose = maxOthersXattrs, maxOthersXattrBytes, " for others than its owner"
	}
	if acl.Is(name) {
		most, bytes = maxXattrs, maxXattrBytes+2*acl.MaxSize
	}
	if records > maxXattrs || count > most || size > bytes {
		return remote.E("setxattr", name, remote.NoSpace,
			fmt.Errorf("a node has at most %d attributes of %d bytes in all%s", most, bytes, whose)).
			WithHint("remove some of its attributes first")
	}
	return nil
}

func runRemoveXattr(tx *catalog.Tx, in *intent.Intent) error {
	key := record.XattrKey(in.Node, string(in.Name))
	n := tx.Node(in.Node)
	if n == nil {
		return Missing(tx, "removexattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("removexattr", "", remote.NotExist, ErrOrphan)
	}
	if tx.Get(key) == nil {
		return remote.E("removexattr", string(in.Name), remote.NoAttribute, tx.Err())
	}
	if unseenXattr(tx, in) {
		return newerNode(tx, "removexattr "+string(in.Name), in.Node)
	}
	tx.Delete(key)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}
