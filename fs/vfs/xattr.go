package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// GetXattr reads an extended attribute, also of a node without a name that is still open; NoAttribute when it is not set.
func (fs *FS) GetXattr(_ context.Context, id ID, name string) (value []byte, err error) {
	value, known, err := fs.mediaAttribute(id, name)
	switch {
	case known && errors.Is(err, remote.NoAttribute):
		// One that was kept before this version knew the name is still there.
		if plain, perr := fs.plainXattr(id, name); perr == nil {
			return plain, nil
		}
		return nil, err
	case known || err != nil:
		return value, err
	}
	return fs.plainXattr(id, name)
}

func (fs *FS) plainXattr(id ID, name string) (value []byte, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		x := tx.Xattr(id, name)
		if x == nil {
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

// ListXattr names the extended attributes of a node, also of one without a name that is still open.
func (fs *FS) ListXattr(_ context.Context, id ID) (names []string, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		names = listAttributes(tx, id)
		for name := range tx.Xattrs(id) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
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
	if known, err := fs.setMediaAttribute(ctx, c, id, name, value, flags, false); known || err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_SET_XATTR, c)
	in.Node, in.Name, in.Value, in.Flags = id, []byte(name), value, flags
	_, err := fs.do(ctx, in)
	if errors.Is(err, errOrphan) {
		return fs.cat.ChangeOrphanXattrs(id, func(n *record.Node, xattrs map[string]*record.Xattr) error {
			x, err := setXattr(in, n, xattrs[name], maps.All(xattrs))
			if err == nil {
				xattrs[name] = x
			}
			return err
		})
	}
	return err
}

func runSetXattr(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil {
		return missing(tx, "setxattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("setxattr", "", remote.NotExist, errOrphan)
	}
	x, err := setXattr(in, n, tx.Xattr(in.Node, string(in.Name)), tx.Xattrs(in.Node))
	if err != nil {
		return err
	}
	tx.Store(record.XattrKey(in.Node, string(in.Name)), x)
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// setXattr gives the record of an attribute that is set on a node, whose ctime it changes. old is the attribute's record until now, all are those of the node.
func setXattr(in *intent.Intent, n *record.Node, old *record.Xattr, all iter.Seq2[string, *record.Xattr]) (*record.Xattr, error) {
	name := string(in.Name)
	switch {
	case old != nil && in.Flags&XattrCreate != 0:
		return nil, remote.E("setxattr", name, remote.Exist, nil)
	case old == nil && in.Flags&XattrReplace != 0:
		return nil, remote.E("setxattr", name, remote.NoAttribute, nil)
	}
	count, size := 1, len(name)+len(in.Value)
	for other, x := range all {
		if other != name {
			count++
			size += len(other) + proto.Size(x)
		}
	}
	if count > maxXattrs || size > maxXattrBytes {
		return nil, remote.E("setxattr", name, remote.NoSpace, fmt.Errorf("a node has at most %d attributes of %d bytes in all", maxXattrs, maxXattrBytes))
	}
	x := new(record.Xattr)
	if old != nil {
		x = old // with what a later version may have put there
	}
	x.Value = in.Value
	n.Ctime = in.Time
	return x, nil
}

// RemoveXattr removes an extended attribute.
func (fs *FS) RemoveXattr(ctx context.Context, c Caller, id ID, name string) error {
	if known, err := fs.setMediaAttribute(ctx, c, id, name, nil, 0, true); known || err != nil {
		return err
	}
	if _, err := fs.plainXattr(id, name); err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_REMOVE_XATTR, c)
	in.Node, in.Name = id, []byte(name)
	_, err := fs.do(ctx, in)
	if errors.Is(err, errOrphan) {
		return fs.cat.ChangeOrphanXattrs(id, func(n *record.Node, xattrs map[string]*record.Xattr) error {
			if xattrs[name] == nil {
				return remote.E("removexattr", name, remote.NoAttribute, nil)
			}
			delete(xattrs, name)
			n.Ctime = in.Time
			return nil
		})
	}
	return err
}

func runRemoveXattr(tx *catalog.Tx, in *intent.Intent) error {
	key := record.XattrKey(in.Node, string(in.Name))
	n := tx.Node(in.Node)
	if n == nil {
		return missing(tx, "removexattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("removexattr", "", remote.NotExist, errOrphan)
	}
	if tx.Get(key) == nil {
		return remote.E("removexattr", string(in.Name), remote.NoAttribute, tx.Err())
	}
	tx.Delete(key)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}
