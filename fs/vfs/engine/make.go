package engine

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func (fs *FS) make(
	ctx context.Context, op string, c vfs.Caller, parent vfs.ID, name string, mode, rdev uint32, target []byte,
) (vfs.Attr, error) {
	if err := fs.checkName(op, parent, name); err != nil {
		return vfs.Attr{}, err
	}
	if len(target) > record.MaxTarget {
		return vfs.Attr{}, remote.E(
			op, name, remote.TooLong, fmt.Errorf("a target of %d bytes, at most %d", len(target), record.MaxTarget),
		)
	}
	// An early no spares a round trip to the log and a number; the operation looks again.
	if err := fs.cat.View(func(tx *catalog.Tx) error { return mayMake(tx, op, parent, name) }); err != nil {
		return vfs.Attr{}, err
	}
	id, err := fs.cat.NewID()
	if err != nil {
		return vfs.Attr{}, err
	}
	in := fs.newIntent(intent.Kind_MAKE, c)
	in.Node, in.Parent, in.Name, in.Mode, in.Rdev, in.Target = id, parent, []byte(name), mode, uint64(rdev), target
	if mode&operation.TypeMask == operation.TypeMedia {
		in.MediaId = newMediaID()
		in.Aside = fs.asides.get(parent, name, fs.opt.Now())
	}
	ino := fs.hold(id) // before it can be seen, so that no unlink in between makes it unreachable
	fs.opt.Step("create")
	r, err := fs.do(ctx, in)
	fs.opt.Step("created")
	if err != nil {
		fs.release(ino)
		return vfs.Attr{}, err
	}
	fs.asides.drop(parent, name)
	ino.fresh()
	fs.lookedUp(ino)
	return r.Attr, nil
}

func mayMake(tx *catalog.Tx, op string, parent vfs.ID, name string) error {
	if _, err := operation.Folder(tx, op, parent); err != nil {
		return err
	}
	if tx.Dentry(parent, name) != nil {
		return remote.E(op, fmt.Sprintf("%q", name), remote.Exist, nil)
	}
	return tx.Err()
}

// Mknod makes a media, fifo, socket or device.
func (fs *FS) Mknod(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, rdev uint32,
) (vfs.Attr, error) {
	if mode&operation.TypeMask == 0 {
		mode |= operation.TypeMedia
	}
	if t := mode & operation.TypeMask; t == operation.TypeFolder || t == operation.TypeSymlink {
		return vfs.Attr{}, remote.E("mknod", name, remote.Invalid, fmt.Errorf("mode %o", mode))
	}
	return fs.make(ctx, "mknod", c, parent, name, mode, rdev, nil)
}

// Mkdir makes a folder.
func (fs *FS) Mkdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode uint32) (vfs.Attr, error) {
	return fs.make(ctx, "mkdir", c, parent, name, mode&operation.PermMask|operation.TypeFolder, 0, nil)
}

// Symlink makes a symbolic link.
func (fs *FS) Symlink(ctx context.Context, c vfs.Caller, parent vfs.ID, name string, target []byte) (vfs.Attr, error) {
	if len(target) == 0 {
		return vfs.Attr{}, remote.E("symlink", name, remote.NotExist, nil)
	}
	return fs.make(ctx, "symlink", c, parent, name, operation.TypeSymlink|0o777, 0, target)
}

// Readlink reads a symbolic link.
func (fs *FS) Readlink(_ context.Context, id vfs.ID) (target []byte, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		switch {
		case n == nil:
			return operation.Missing(tx, "readlink", id)
		case n.Mode&operation.TypeMask != operation.TypeSymlink:
			return remote.E("readlink", fmt.Sprint(id), remote.Invalid, nil)
		}
		target = n.Target
		return nil
	})
	return target, err
}

// Create makes a media and opens it.
func (fs *FS) Create(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	a, err := fs.make(ctx, "create", c, parent, name, mode&operation.PermMask|operation.TypeMedia, 0, nil)
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	f, err := fs.Open(ctx, c, a.ID, flags&^oTrunc)
	if err != nil {
		fs.Forget(a.ID, 1)
		return vfs.Attr{}, nil, err
	}
	return a, f, nil
}

// Link gives a node another name.
func (fs *FS) Link(ctx context.Context, c vfs.Caller, id, parent vfs.ID, name string) (vfs.Attr, error) {
	if err := fs.checkName("link", parent, name); err != nil {
		return vfs.Attr{}, err
	}
	if err := fs.cat.View(func(tx *catalog.Tx) error { return mayMake(tx, "link", parent, name) }); err != nil {
		return vfs.Attr{}, err
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
		return vfs.Attr{}, err
	}
	if of := operation.BackedUp(name); of != "" && fs.named(parent, of) == id {
		fs.setAside(parent, of, name, id)
	}
	a, err := fs.GetAttr(ctx, id)
	if err != nil {
		fs.release(ino)
		return vfs.Attr{}, err
	}
	fs.lookedUp(ino)
	return a, nil
}

// InitialRecords are what the first commit of an empty library makes: its root, owned by uid and
// gid.
func InitialRecords(uid, gid uint32, now vfs.Time) []remote.Record {
	t := stamp(now)
	b, err := proto.MarshalOptions{
		Deterministic: true,
	}.Marshal(
		&record.Node{Mode: operation.TypeFolder | 0o755, Uid: uid, Gid: gid, Atime: t, Mtime: t, Ctime: t, Btime: t},
	)
	if err != nil {
		panic(err) // a constant message
	}
	return []remote.Record{{Key: record.NodeKey(vfs.Root), Value: b}}
}
