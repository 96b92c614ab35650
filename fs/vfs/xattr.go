package vfs

import (
	"context"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// GetXattr reads an extended attribute; NoAttribute when it is not set.
func (fs *FS) GetXattr(_ context.Context, id ID, name string) (value []byte, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		var x record.Xattr
		if !tx.Load(record.XattrKey(id, name), &x) {
			if tx.Err() == nil {
				return remote.E("getxattr", name, remote.NoAttribute, nil)
			}
			return tx.Err()
		}
		value = x.Value
		return nil
	})
	return value, err
}

// ListXattr names the extended attributes of a node.
func (fs *FS) ListXattr(_ context.Context, id ID) (names []string, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		for k := range tx.Records(record.XattrKey(id, "")) {
			names = append(names, string(k[9:]))
		}
		return tx.Err()
	})
	return names, err
}

// What a node may have in extended attributes: so much that all of it can go with the node in one commit.
const (
	maxXattrs     = 256
	maxXattrBytes = 256 << 10
)

// SetXattr sets an extended attribute.
func (fs *FS) SetXattr(ctx context.Context, c Caller, id ID, name string, value []byte, flags uint32) error {
	switch {
	case name == "" || flags&^(XattrCreate|XattrReplace) != 0:
		return remote.E("setxattr", name, remote.Invalid, nil)
	case len(name) > record.MaxName:
		return remote.E("setxattr", name[:32], remote.Range, nil)
	case len(value) > record.MaxXattrValue:
		return remote.E("setxattr", name, remote.TooLarge, fmt.Errorf("%d bytes, at most %d", len(value), record.MaxXattrValue))
	}
	in := fs.newIntent(intent.Kind_SET_XATTR, c)
	in.Node, in.Name, in.Value, in.Flags = id, []byte(name), value, flags
	_, err := fs.do(ctx, in)
	return err
}

func runSetXattr(tx *catalog.Tx, in *intent.Intent) error {
	key := record.XattrKey(in.Node, string(in.Name))
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return missing(tx, "setxattr", in.Node)
	}
	set := tx.Get(key) != nil
	switch {
	case set && in.Flags&XattrCreate != 0:
		return remote.E("setxattr", string(in.Name), remote.Exist, nil)
	case !set && in.Flags&XattrReplace != 0:
		return remote.E("setxattr", string(in.Name), remote.NoAttribute, nil)
	}
	count, size := 1, len(in.Name)+len(in.Value)
	for k, v := range tx.Records(record.XattrKey(in.Node, "")) {
		if string(k) != string(key) {
			count++
			size += len(k) - 9 + len(v)
		}
	}
	if count > maxXattrs || size > maxXattrBytes {
		return remote.E("setxattr", string(in.Name), remote.NoSpace, fmt.Errorf("a node has at most %d attributes of %d bytes in all", maxXattrs, maxXattrBytes))
	}
	x := new(record.Xattr)
	tx.Load(key, x) // with what a later version may have put there
	x.Value = in.Value
	tx.Store(key, x)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// RemoveXattr removes an extended attribute.
func (fs *FS) RemoveXattr(ctx context.Context, c Caller, id ID, name string) error {
	if _, err := fs.GetXattr(ctx, id, name); err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_REMOVE_XATTR, c)
	in.Node, in.Name = id, []byte(name)
	_, err := fs.do(ctx, in)
	return err
}

func runRemoveXattr(tx *catalog.Tx, in *intent.Intent) error {
	key := record.XattrKey(in.Node, string(in.Name))
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return missing(tx, "removexattr", in.Node)
	}
	if tx.Get(key) == nil {
		return remote.E("removexattr", string(in.Name), remote.NoAttribute, tx.Err())
	}
	tx.Delete(key)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}
