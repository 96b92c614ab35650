package operation

import (
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Access control lists are extended attributes with the kernel's bytes. Setting one sets the mode;
// the mode counts from then on for what both of them say.

// checkList refuses what can be no access control list of a node. An operation that runs again
// looks again.
func checkList(in *intent.Intent, n *record.Node) (acl.List, error) {
	name := string(in.Name)
	switch {
	case n.Mode&TypeMask == TypeSymlink:
		return nil, remote.E("setxattr", name, remote.Unsupported, fmt.Errorf("a symlink has no access control list"))
	case name == acl.Default && !IsFolder(n):
		return nil, remote.E("setxattr", name, remote.Permission,
			fmt.Errorf("only a folder has a list for what is made in it"))
	case len(in.Value) > acl.MaxSize:
		return nil, remote.E("setxattr", name, remote.TooLarge,
			fmt.Errorf("%d bytes, at most %d", len(in.Value), acl.MaxSize))
	}
	l, err := acl.Parse(in.Value)
	if err != nil {
		return nil, remote.E("setxattr", name, remote.Invalid, err)
	}
	return l, nil
}

// setList gives a node the permissions of a list that is set on it, and reports whether the list is
// to be kept: one that says no more than the mode is not.
func setList(in *intent.Intent, n *record.Node) (keep bool, err error) {
	l, err := checkList(in, n)
	if err != nil {
		return false, err
	}
	n.Ctime = in.Time
	if string(in.Name) == acl.Default {
		return true, nil
	}
	n.Mode = l.Mode(n.Mode)
	if in.Flags&vfs.XattrClearSetgid != 0 {
		n.Mode &^= Setgid
	}
	return !l.Minimal(), nil
}

// Inherit gives a node that is made in a folder its mode, by the folder's default list or else by
// the umask of the process that makes it, and returns what lists it has then; nil: none.
func Inherit(tx *catalog.Tx, umask uint32, parent vfs.ID, n *record.Node) (access, inherits []byte) {
	if n.Mode&TypeMask == TypeSymlink {
		return nil, nil
	}
	x := tx.Xattr(parent, acl.Default)
	of, err := acl.Parse(x.GetValue())
	if x == nil || err != nil {
		n.Mode &^= umask & 0o777
		return nil, nil
	}
	l, mode := of.Inherit(n.Mode)
	n.Mode = mode
	if l != nil {
		access = l.Bytes()
	}
	if IsFolder(n) {
		inherits = x.Value
	}
	return access, inherits
}
