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

func runMake(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name := string(in.Name)
	parent, pn, err := lateFolder(tx, "create", in.Parent)
	if err != nil {
		return err
	}
	if tx.Dentry(parent, name) != nil {
		if !tx.Late() {
			return remote.E("create", fmt.Sprintf("%q", name), remote.Exist, nil)
		}
		name = conflictName(tx, parent, in, name)
	}
	if parent != in.Parent || name != string(in.Name) {
		kept(tx, "create", fmt.Sprintf("%q", in.Name), parent, name)
	}
	n := &record.Node{
		Mode:    in.Mode & (TypeMask | PermMask),
		Uid:     in.Uid,
		Gid:     in.Gid,
		Rdev:    in.Rdev,
		Target:  in.Target,
		MediaId: in.MediaId,
		Atime:   in.Time,
		Mtime:   in.Time,
		Ctime:   in.Time,
		Btime:   in.Time,
	}
	if pn.Mode&Setgid != 0 {
		n.Gid = pn.Gid
		if IsFolder(n) {
			n.Mode |= Setgid
		}
	}
	access, inherits := Inherit(tx, in.Umask, parent, n)
	if access != nil {
		tx.Store(record.XattrKey(in.Node, acl.Access), &record.Xattr{Value: access})
	}
	if inherits != nil {
		tx.Store(record.XattrKey(in.Node, acl.Default), &record.Xattr{Value: inherits})
	}
	if in.Aside != 0 {
		takeBack(tx, in, n, parent, name)
	}
	addNode(tx, in.Node, n, parent, pn, name, in.Time)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}

func addNode(tx *catalog.Tx, id vfs.ID, n *record.Node, parent vfs.ID, pn *record.Node, name string, t *record.Time) {
	tx.Store(record.NodeKey(id), n)
	addName(tx, id, n, parent, name)
	touch(tx, parent, pn, t)
}

func addName(tx *catalog.Tx, id vfs.ID, n *record.Node, parent vfs.ID, name string) {
	tx.Store(record.DentryKey(parent, name), &record.Dentry{Node: id, Kind: n.Mode >> 12})
}

func runLink(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name := string(in.Name)
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return Missing(tx, "link", in.Node)
	}
	if IsFolder(n) {
		return remote.E("link", fmt.Sprint(in.Node), remote.Permission, fmt.Errorf("folders have one name"))
	}
	if tx.Links(in.Node) == 0 {
		return Missing(tx, "link", in.Node) // in the trash
	}
	parent, pn, err := lateFolder(tx, "link", in.Parent)
	if err != nil {
		return err
	}
	if tx.Dentry(parent, name) != nil {
		if !tx.Late() {
			return remote.E("link", fmt.Sprintf("%q", name), remote.Exist, nil)
		}
		name = conflictName(tx, parent, in, name)
	}
	if parent != in.Parent || name != string(in.Name) {
		kept(tx, "link", fmt.Sprintf("%q", in.Name), parent, name)
	}
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	addName(tx, in.Node, n, parent, name)
	touch(tx, parent, pn, in.Time)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}
