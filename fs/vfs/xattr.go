package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Namespaces of extended attributes. What the kernel checks before it asks: a user's need the right
// to read or write, and are on media and folders alone; trusted ones are for CAP_SYS_ADMIN;
// security ones may be read by all who reach the file, and set with CAP_SYS_ADMIN or, the
// capability, with CAP_SETFCAP. A list is set by the file's owner.

// Namespaced reports whether an extended attribute of this name can be set: it is in one of the
// namespaces that a local file system has, or an access control list. The kernel leaves all others
// of system. to the file system, whoever asks.
func Namespaced(name string) bool {
	for _, ns := range []string{"user.", "trusted.", "security."} {
		if strings.HasPrefix(name, ns) && len(name) > len(ns) {
			return true
		}
	}
	return acl.Is(name)
}

func notNamespaced(op, name string) error {
	return remote.E(op, fmt.Sprintf("%.255q", name), remote.Unsupported,
		errors.New("the name is in no namespace that files of a library have")).
		WithHint("attributes of programs begin with user.")
}

// holds reports whether who asks owns a node, or is root, or the library itself.
func holds(c Caller, known bool, n *record.Node) bool { return !known || c.UID == 0 || c.UID == n.Uid }

// GetXattr reads an extended attribute, also of a node without a name that is still open;
// NoAttribute when it is not set, Unsupported when its name is in none of the namespaces.
func (fs *FS) GetXattr(ctx context.Context, id ID, name string) (value []byte, err error) {
	if !Namespaced(name) {
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
func (fs *FS) strayXattr(ctx context.Context, op string, id ID, name string) (value []byte, err error) {
	c, known := CallerOf(ctx)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return missing(tx, op, id)
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
func (fs *FS) ListXattr(ctx context.Context, id ID) (names []string, err error) {
	c, known := CallerOf(ctx)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		names = listAttributes(tx, id)
		for name := range tx.Xattrs(id) {
			if slices.Contains(names, name) {
				continue
			}
			if n := tx.Node(id); !Namespaced(name) && (n == nil || !holds(c, known, n)) {
				continue
			}
			names = append(names, name)
		}
		return tx.Err()
	})
	return names, err
}

// What a node may have in extended attributes: so much that all of it can go with the node in one commit.
const (
	maxXattrs     = 256
	maxXattrBytes = 256 << 10

	// Two places are for access control lists, so that rights can be set whatever else there is.
	maxPlainXattrs = maxXattrs - 2

	// Those who neither own the node nor are root leave room for those who do.
	maxOthersXattrs     = 192
	maxOthersXattrBytes = 192 << 10
)

// SetXattr sets an extended attribute. An access control list sets the permissions of the mode as
// well. Unsupported: the name is in none of the namespaces; NoSpace: the node has all that it may
// have.
func (fs *FS) SetXattr(ctx context.Context, c Caller, id ID, name string, value []byte, flags uint32) error {
	switch {
	case name == "" || flags&^(XattrCreate|XattrReplace|XattrClearSetgid) != 0:
		return remote.E("setxattr", name, remote.Invalid, nil)
	case len(name) > record.MaxName:
		return remote.E("setxattr", name[:32], remote.Range, nil)
	case !Namespaced(name):
		return notNamespaced("setxattr", name)
	case len(value) > record.MaxXattrValue:
		return remote.E("setxattr", name, remote.TooLarge, fmt.Errorf("%d bytes, at most %d", len(value), record.MaxXattrValue))
	}
	if known, err := fs.setMediaAttribute(ctx, c, id, name, value, flags, false); known || err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_SET_XATTR, c)
	in.Node, in.Name, in.Value, in.Flags = id, []byte(name), value, flags
	orphan := func(o orphans) error {
		return o.ChangeOrphanXattrs(id, func(n *record.Node, xattrs map[string]*record.Xattr) error {
			x, err := setXattr(in, n, xattrs[name], maps.All(xattrs))
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

func runSetXattr(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil {
		return missing(tx, "setxattr", in.Node)
	}
	if tx.Orphan(in.Node) {
		return remote.E("setxattr", "", remote.NotExist, errOrphan)
	}
	key := record.XattrKey(in.Node, string(in.Name))
	if unseenXattr(tx, in) {
		return newerNode(tx, "setxattr "+string(in.Name), in.Node)
	}
	x, err := setXattr(in, n, tx.Xattr(in.Node, string(in.Name)), tx.Xattrs(in.Node))
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

// unseenXattr reports whether another machine has set or removed an attribute, or for an access list
// changed the mode, since the user of a late operation saw it.
func unseenXattr(tx *catalog.Tx, in *intent.Intent) bool {
	if string(in.Name) == acl.Access {
		return unseenRights(tx, in.Node)
	}
	_, _, changed := tx.Unseen(record.XattrKey(in.Node, string(in.Name)))
	return changed
}

// setXattr gives the record of an attribute that is set on a node, whose ctime it changes, and the
// mode by an access control list; nil when no record is kept. old is the attribute's record until
// now, all are those of the node.
func setXattr(in *intent.Intent, n *record.Node, old *record.Xattr, all iter.Seq2[string, *record.Xattr]) (*record.Xattr, error) {
	name := string(in.Name)
	switch {
	case old != nil && in.Flags&XattrCreate != 0:
		return nil, remote.E("setxattr", name, remote.Exist, nil)
	case old == nil && in.Flags&XattrReplace != 0:
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

// RemoveXattr removes an extended attribute.
func (fs *FS) RemoveXattr(ctx context.Context, c Caller, id ID, name string) error {
	if len(name) > record.MaxName {
		return remote.E("removexattr", name[:32], remote.Range, nil)
	}
	if known, err := fs.setMediaAttribute(ctx, c, id, name, nil, 0, true); known || err != nil {
		return err
	}
	if !Namespaced(name) {
		if _, err := fs.strayXattr(WithCaller(ctx, c), "removexattr", id, name); err != nil {
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
	if unseenXattr(tx, in) {
		return newerNode(tx, "removexattr "+string(in.Name), in.Node)
	}
	tx.Delete(key)
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}
