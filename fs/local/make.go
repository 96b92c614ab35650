package local

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// make makes a dropping, with one pin on its node; nil and no error where the inner library has the
// name: the rest is its matter. It is its matter too where this machine has no room: NoSpace. The
// caller has a claim on the folder.
func (l *Library) make(
	ctx context.Context, op string, c vfs.Caller, parent vfs.ID, name string, mode uint32,
) (*node, error) {
	hidden, err := l.hidden(ctx, parent, name)
	if hidden || err != nil {
		return nil, err
	}
	if err := l.mayChange(op, name); err != nil {
		return nil, err
	}
	folder, err := l.folder(ctx, op, parent, name)
	if err != nil {
		return nil, err
	}
	r := record{uid: c.UID, gid: c.GID, mode: mode & permissions}
	if folder.Mode&unix.S_ISGID != 0 {
		r.gid = folder.GID
	}
	// As what the inner library makes: by the folder's list, or else by the umask.
	value, err := l.inner.GetXattr(ctx, parent, acl.Default)
	if k := remote.KindOf(err); err != nil && k != remote.NoAttribute && k != remote.Unsupported {
		return nil, err
	}
	if list, perr := acl.Parse(value); err == nil && perr == nil {
		r.list, r.mode = list.Inherit(r.mode)
	} else {
		r.mode &^= c.Umask
	}
	return l.add(parent, name, r, nil)
}

// Create makes a file and opens it.
func (l *Library) Create(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	if !l.dropping(parent, name) {
		return l.inner.Create(ctx, c, parent, name, mode, flags)
	}
	release, err := l.claims.take(ctx, "create", parent)
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	defer release()
	n, err := l.make(ctx, "create", c, parent, name, mode)
	if err != nil && !mustEnter(err) {
		return vfs.Attr{}, nil, err
	}
	if n == nil {
		return l.inner.Create(ctx, c, parent, name, mode, flags)
	}
	a, err := n.attr()
	if err != nil {
		l.unpin(n)
		return vfs.Attr{}, nil, err
	}
	l.lookedUp(n)
	f := newFile(l, n, c, flags)
	f.changed.Store(true) // also when nothing is written to it, it may be a file of the library
	return a, f, nil
}

// Tmpfile makes a file without a name in the inner library: the name that it gets, whichever, is
// one of the library.
func (l *Library) Tmpfile(
	ctx context.Context, c vfs.Caller, parent vfs.ID, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	if local(parent) {
		return vfs.Attr{}, nil, remote.E("make a file without a name", "", remote.NotDir, nil)
	}
	return l.inner.Tmpfile(ctx, c, parent, mode, flags)
}

// Mknod makes a regular file, which may be a dropping, or a fifo, socket or device.
func (l *Library) Mknod(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, rdev uint32,
) (vfs.Attr, error) {
	if t := mode & unix.S_IFMT; t != 0 && t != unix.S_IFREG {
		return l.beside(
			ctx, "mknod", parent, name,
			func() (vfs.Attr, error) { return l.inner.Mknod(ctx, c, parent, name, mode, rdev) },
		)
	}
	if !l.dropping(parent, name) {
		return l.inner.Mknod(ctx, c, parent, name, mode, rdev)
	}
	release, err := l.claims.take(ctx, "mknod", parent)
	if err != nil {
		return vfs.Attr{}, err
	}
	defer release()
	n, err := l.make(ctx, "mknod", c, parent, name, mode)
	if err != nil && !mustEnter(err) {
		return vfs.Attr{}, err
	}
	if n == nil {
		return l.inner.Mknod(ctx, c, parent, name, mode, rdev)
	}
	defer l.unpin(n)
	a, err := n.attr()
	if err == nil {
		l.lookedUp(n)
	}
	return a, err
}

// beside makes something in the inner library under a name that no dropping may have then.
func (l *Library) beside(
	ctx context.Context, op string, parent vfs.ID, name string, make func() (vfs.Attr, error),
) (vfs.Attr, error) {
	if !l.dropping(parent, name) {
		return make()
	}
	release, err := l.claims.take(ctx, op, parent)
	if err != nil {
		return vfs.Attr{}, err
	}
	defer release()
	if taken, err := l.shows(ctx, parent, name); err != nil {
		return vfs.Attr{}, err
	} else if taken {
		return vfs.Attr{}, remote.E(op, quoted(name), remote.Exist, nil)
	}
	return make()
}

// Mkdir makes a folder, which is nobody's dropping.
func (l *Library) Mkdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode uint32) (vfs.Attr, error) {
	return l.beside(
		ctx, "mkdir", parent, name, func() (vfs.Attr, error) { return l.inner.Mkdir(ctx, c, parent, name, mode) },
	)
}

// Symlink makes a symlink, which is nobody's dropping.
func (l *Library) Symlink(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, target []byte,
) (vfs.Attr, error) {
	return l.beside(
		ctx, "symlink", parent, name, func() (vfs.Attr, error) { return l.inner.Symlink(ctx, c, parent, name, target) },
	)
}

// Link gives a node another name. A dropping has one name: it enters the library first. A file with
// two names stays in the library, whatever they are.
func (l *Library) Link(ctx context.Context, c vfs.Caller, id, parent vfs.ID, name string) (vfs.Attr, error) {
	asked := id
	if id = l.at(id); local(id) {
		n, err := l.pin("link", id)
		if err != nil {
			return vfs.Attr{}, err
		}
		defer l.unpin(n)
		entered, err := l.enter(ctx, n)
		if err != nil {
			return vfs.Attr{}, err
		}
		if !entered {
			return vfs.Attr{}, remote.E("link", quoted(name), remote.NotExist, errors.New("the file was deleted"))
		}
		id = n.entered()
	}
	a, err := l.beside(
		ctx, "link", parent, name, func() (vfs.Attr, error) { return l.inner.Link(ctx, c, id, parent, name) },
	)
	if err == nil && asked != id {
		l.known(&a)
	}
	return a, err
}
