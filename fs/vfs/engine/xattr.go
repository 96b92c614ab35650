package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func notNamespaced(op, name string) error {
	return remote.E(op, fmt.Sprintf("%.255q", name), remote.Unsupported,
		errors.New("the name is in no namespace that files of a library have")).
		WithHint("attributes of programs begin with user.")
}

// holds reports whether who asks owns a node, or is root, or the library itself.
func holds(c vfs.Caller, known bool, n *record.Node) bool {
	return !known || c.UID == 0 || c.UID == n.Uid
}

// GetXattr reads an extended attribute, also of a node without a name that is still open;
// NoAttribute when it is not set, Unsupported when its name is in none of the namespaces.
func (fs *FS) GetXattr(ctx context.Context, id vfs.ID, name string) (value []byte, err error) {
	if !vfs.Namespaced(name) {
		return fs.strayXattr(ctx, "getxattr", id, name)
	}
	value, known, err := fs.mediaAttribute(ctx, id, name)
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

// strayXattr reads an attribute that no program can set any more: earlier versions took any name,
// of anybody. The node's owner and root may still read it, and remove it.
func (fs *FS) strayXattr(ctx context.Context, op string, id vfs.ID, name string) (value []byte, err error) {
	c, known := vfs.CallerOf(ctx)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, op, id)
		}
		x := tx.Xattr(id, name)
		if x == nil || !holds(c, known, n) {
			return errors.Join(notNamespaced(op, name), tx.Err())
		}
		value = x.Value
		return nil
	})
	return value, err
}

func (fs *FS) plainXattr(id vfs.ID, name string) (value []byte, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		x := tx.Xattr(id, name)
		if x == nil {
			if tx.Err() == nil {
				return remote.E("getxattr", name, remote.NoAttribute, nil)
			}
			return tx.Err()
		}
		value = x.Value
		if n := tx.Node(id); name == acl.Access && n != nil {
			if l := listOf(x, n); l != nil {
				value = l.Bytes()
			}
		}
		return tx.Err()
	})
	return value, err
}

// ListXattr names the extended attributes of a node, also of one without a name that is still open.
func (fs *FS) ListXattr(ctx context.Context, id vfs.ID) (names []string, err error) {
	c, known := vfs.CallerOf(ctx)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		names = listAttributes(tx, id)
		for name := range tx.Xattrs(id) {
			if slices.Contains(names, name) {
				continue
			}
			if n := tx.Node(id); !vfs.Namespaced(name) && (n == nil || !holds(c, known, n)) {
				continue
			}
			names = append(names, name)
		}
		return tx.Err()
	})
	return names, err
}

// SetXattr sets an extended attribute. An access control list sets the permissions of the mode as
// well. Unsupported: the name is in none of the namespaces; NoSpace: the node has all that it may
// have.
func (fs *FS) SetXattr(ctx context.Context, c vfs.Caller, id vfs.ID, name string, value []byte, flags uint32) error {
	switch {
	case name == "" || flags&^(vfs.XattrCreate|vfs.XattrReplace|vfs.XattrClearSetgid) != 0:
		return remote.E("setxattr", name, remote.Invalid, nil)
	case len(name) > record.MaxName:
		return remote.E("setxattr", name[:32], remote.Range, nil)
	case !vfs.Namespaced(name):
		return notNamespaced("setxattr", name)
	case len(value) > record.MaxXattrValue:
		return remote.E(
			"setxattr", name, remote.TooLarge, fmt.Errorf("%d bytes, at most %d", len(value), record.MaxXattrValue),
		)
	}
	if known, err := fs.setMediaAttribute(ctx, c, id, name, value, flags, false); known || err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_SET_XATTR, c)
	in.Node, in.Name, in.Value, in.Flags = id, []byte(name), value, flags
	orphan := func(o orphans) error {
		return o.ChangeOrphanXattrs(id, func(n *record.Node, xattrs map[string]*record.Xattr) error {
			x, err := operation.SetXattr(in, n, xattrs[name], maps.All(xattrs))
			switch {
			case err != nil:
				return err
			case x == nil:
				delete(xattrs, name)
			default:
				xattrs[name] = x
			}
			return nil
		})
	}
	return fs.doAttributes(ctx, in, orphan)
}

// RemoveXattr removes an extended attribute.
func (fs *FS) RemoveXattr(ctx context.Context, c vfs.Caller, id vfs.ID, name string) error {
	if len(name) > record.MaxName {
		return remote.E("removexattr", name[:32], remote.Range, nil)
	}
	if known, err := fs.setMediaAttribute(ctx, c, id, name, nil, 0, true); known || err != nil {
		return err
	}
	if !vfs.Namespaced(name) {
		if _, err := fs.strayXattr(vfs.WithCaller(ctx, c), "removexattr", id, name); err != nil {
			return err
		}
	} else if _, err := fs.plainXattr(id, name); err != nil {
		if acl.Is(name) && errors.Is(err, remote.NoAttribute) {
			return nil // as on other file systems: it says now what the mode says
		}
		return err
	}
	in := fs.newIntent(intent.Kind_REMOVE_XATTR, c)
	in.Node, in.Name = id, []byte(name)
	return fs.doAttributes(ctx, in, func(o orphans) error {
		return o.ChangeOrphanXattrs(id, func(n *record.Node, xattrs map[string]*record.Xattr) error {
			if xattrs[name] == nil {
				return remote.E("removexattr", name, remote.NoAttribute, nil)
			}
			delete(xattrs, name)
			n.Ctime = in.Time
			return nil
		})
	})
}
