package vfs

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func (fs *FS) make(ctx context.Context, op string, c Caller, parent ID, name string, mode, rdev uint32, target []byte) (Attr, error) {
	if err := fs.checkName(op, parent, name); err != nil {
		return Attr{}, err
	}
	if len(target) > record.MaxTarget {
		return Attr{}, remote.E(op, name, remote.TooLong, fmt.Errorf("a target of %d bytes, at most %d", len(target), record.MaxTarget))
	}
	// An early no spares a round trip to the log and a number; the operation looks again.
	if err := fs.cat.View(func(tx *catalog.Tx) error { return mayMake(tx, op, parent, name) }); err != nil {
		return Attr{}, err
	}
	id, err := fs.cat.NewID()
	if err != nil {
		return Attr{}, err
	}
	in := fs.newIntent(intent.Kind_MAKE, c)
	in.Node, in.Parent, in.Name, in.Mode, in.Rdev, in.Target = id, parent, []byte(name), mode, uint64(rdev), target
	if mode&typeMask == typeMedia {
		in.MediaId = newMediaID()
		in.Aside = fs.asides.get(parent, name, fs.opt.Now())
	}
	ino := fs.hold(id) // before it can be seen, so that no unlink in between makes it unreachable
	fs.opt.Step("create")
	r, err := fs.do(ctx, in)
	fs.opt.Step("created")
	if err != nil {
		fs.release(ino)
		return Attr{}, err
	}
	fs.asides.drop(parent, name)
	ino.fresh()
	fs.lookedUp(ino)
	return r.attr, nil
}

func mayMake(tx *catalog.Tx, op string, parent ID, name string) error {
	if _, err := folder(tx, op, parent); err != nil {
		return err
	}
	if tx.Dentry(parent, name) != nil {
		return remote.E(op, fmt.Sprintf("%q", name), remote.Exist, nil)
	}
	return tx.Err()
}

func runMake(tx *catalog.Tx, in *intent.Intent, r *result) error {
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
	n := &record.Node{Mode: in.Mode & (typeMask | permMask), Uid: in.Uid, Gid: in.Gid, Rdev: in.Rdev, Target: in.Target, MediaId: in.MediaId,
		Atime: in.Time, Mtime: in.Time, Ctime: in.Time, Btime: in.Time}
	if pn.Mode&setgid != 0 {
		n.Gid = pn.Gid
		if isFolder(n) {
			n.Mode |= setgid
		}
	}
	access, inherits := inherit(tx, in.Umask, parent, n)
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
	r.attr = attrOf(tx, in.Node, n)
	return nil
}

func addNode(tx *catalog.Tx, id ID, n *record.Node, parent ID, pn *record.Node, name string, t *record.Time) {
	tx.Store(record.NodeKey(id), n)
	addName(tx, id, n, parent, name)
	touch(tx, parent, pn, t)
}

func addName(tx *catalog.Tx, id ID, n *record.Node, parent ID, name string) {
	tx.Store(record.DentryKey(parent, name), &record.Dentry{Node: id, Kind: n.Mode >> 12})
}

// Mknod makes a media, fifo, socket or device.
func (fs *FS) Mknod(ctx context.Context, c Caller, parent ID, name string, mode, rdev uint32) (Attr, error) {
	if mode&typeMask == 0 {
		mode |= typeMedia
	}
	if t := mode & typeMask; t == typeFolder || t == typeSymlink {
		return Attr{}, remote.E("mknod", name, remote.Invalid, fmt.Errorf("mode %o", mode))
	}
	return fs.make(ctx, "mknod", c, parent, name, mode, rdev, nil)
}

// Mkdir makes a folder.
func (fs *FS) Mkdir(ctx context.Context, c Caller, parent ID, name string, mode uint32) (Attr, error) {
	return fs.make(ctx, "mkdir", c, parent, name, mode&permMask|typeFolder, 0, nil)
}

// Symlink makes a symbolic link.
func (fs *FS) Symlink(ctx context.Context, c Caller, parent ID, name string, target []byte) (Attr, error) {
	if len(target) == 0 {
		return Attr{}, remote.E("symlink", name, remote.NotExist, nil)
	}
	return fs.make(ctx, "symlink", c, parent, name, typeSymlink|0o777, 0, target)
}

// Readlink reads a symbolic link.
func (fs *FS) Readlink(_ context.Context, id ID) (target []byte, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		switch {
		case n == nil:
			return missing(tx, "readlink", id)
		case n.Mode&typeMask != typeSymlink:
			return remote.E("readlink", fmt.Sprint(id), remote.Invalid, nil)
		}
		target = n.Target
		return nil
	})
	return target, err
}

// Create makes a media and opens it.
func (fs *FS) Create(ctx context.Context, c Caller, parent ID, name string, mode, flags uint32) (Attr, File, error) {
	a, err := fs.make(ctx, "create", c, parent, name, mode&permMask|typeMedia, 0, nil)
	if err != nil {
		return Attr{}, nil, err
	}
	f, err := fs.Open(ctx, c, a.ID, flags&^oTrunc)
	if err != nil {
		fs.Forget(a.ID, 1)
		return Attr{}, nil, err
	}
	return a, f, nil
}

// Link gives a node another name.
func (fs *FS) Link(ctx context.Context, c Caller, id, parent ID, name string) (Attr, error) {
	if err := fs.checkName("link", parent, name); err != nil {
		return Attr{}, err
	}
	if err := fs.cat.View(func(tx *catalog.Tx) error { return mayMake(tx, "link", parent, name) }); err != nil {
		return Attr{}, err
	}
	if ino := fs.unnamedInode(id); ino != nil {
		return fs.linkUnnamed(ctx, c, ino, parent, name)
	}
	in := fs.newIntent(intent.Kind_LINK, c)
	in.Node, in.Parent, in.Name = id, parent, []byte(name)
	ino := fs.hold(id)
	_, err := fs.do(ctx, in)
	if err != nil {
		fs.release(ino)
		return Attr{}, err
	}
	if of := backedUp(name); of != "" && fs.named(parent, of) == id {
		fs.setAside(parent, of, name, id)
	}
	a, err := fs.GetAttr(ctx, id)
	if err != nil {
		fs.release(ino)
		return Attr{}, err
	}
	fs.lookedUp(ino)
	return a, nil
}

func runLink(tx *catalog.Tx, in *intent.Intent, r *result) error {
	name := string(in.Name)
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return missing(tx, "link", in.Node)
	}
	if isFolder(n) {
		return remote.E("link", fmt.Sprint(in.Node), remote.Permission, fmt.Errorf("folders have one name"))
	}
	if tx.Links(in.Node) == 0 {
		return missing(tx, "link", in.Node) // in the trash
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
	r.attr = attrOf(tx, in.Node, n)
	return nil
}

// InitialRecords are what the first commit of an empty library makes: its root, owned by uid and gid.
func InitialRecords(uid, gid uint32, now Time) []remote.Record {
	t := stamp(now)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&record.Node{Mode: typeFolder | 0o755, Uid: uid, Gid: gid, Atime: t, Mtime: t, Ctime: t, Btime: t})
	if err != nil {
		panic(err) // a constant message
	}
	return []remote.Record{{Key: record.NodeKey(Root), Value: b}}
}
