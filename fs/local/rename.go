package local

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Rename moves a name. Between two names of droppings it is a rename on the local disk; between one and any other it is CrossDevice, upon which mv
// copies and deletes, so that a file that gets a dropping's name leaves the library, and one that loses it comes in.
func (l *Library) Rename(ctx context.Context, c vfs.Caller, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32) error {
	inner := func() error { return l.inner.Rename(ctx, c, parent, name, newParent, newName, flags) }
	if flags&^(vfs.RenameNoReplace|vfs.RenameExchange) != 0 || flags == vfs.RenameNoReplace|vfs.RenameExchange {
		return remote.E("rename", quoted(name), remote.Invalid, fmt.Errorf("flags %#x", flags))
	}
	if l.dropping(parent, name) || l.dropping(newParent, newName) {
		if ours, err := l.rename(ctx, parent, name, newParent, newName, flags); ours || err != nil {
			return err
		}
	}
	if flags != 0 || parent == newParent && name == newName {
		return inner() // replaces nothing
	}
	return l.replace(ctx, "rename", newParent, newName, inner)
}

// rename does what is about droppings; ours is false where nothing is, and the inner library's rename is still to come.
func (l *Library) rename(ctx context.Context, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32) (ours bool, err error) {
	release, err := l.claims.take(ctx, "rename", parent, newParent)
	if err != nil {
		return true, err
	}
	defer release()
	from, err := l.shows(ctx, parent, name)
	if err != nil {
		return true, err
	}
	to, err := l.shows(ctx, newParent, newName)
	if err != nil {
		return true, err
	}
	if from {
		return true, l.renameDropping(ctx, parent, name, newParent, newName, to, flags)
	}
	if !l.dropping(newParent, newName) {
		return false, nil // a folder, or a file that hides droppings
	}
	a, err := l.inner.Lookup(ctx, parent, name)
	if err != nil {
		return true, err
	}
	l.inner.Forget(a.ID, 1)
	kind := a.Mode & unix.S_IFMT
	switch {
	case to && flags == vfs.RenameNoReplace:
		return true, remote.E("rename", quoted(newName), remote.Exist, nil)
	case to && flags == 0 && kind == unix.S_IFDIR:
		return true, remote.E("rename", quoted(newName), remote.NotDir, nil)
	case to:
		return true, apart("rename", newName)
	case kind != unix.S_IFREG:
		return false, nil
	}
	// A file that gets a dropping's name: inside the library only over, or in exchange for, one that is there.
	hidden, err := l.hidden(ctx, newParent, newName)
	if hidden || err != nil {
		return err != nil, err
	}
	if flags == vfs.RenameExchange {
		return true, remote.E("rename", quoted(newName), remote.NotExist, nil)
	}
	return true, apart("rename", newName)
}

// renameDropping renames one; to tells that the new name means one as well.
func (l *Library) renameDropping(ctx context.Context, parent vfs.ID, name string, newParent vfs.ID, newName string, to bool, flags uint32) error {
	if err := l.mayChange("rename", name); err != nil {
		return err
	}
	if !to {
		kind, err := l.innerKind(ctx, newParent, newName)
		taken := kind != 0
		switch {
		case err != nil:
			return err
		case kind == unix.S_IFDIR && flags == 0:
			return remote.E("rename", quoted(newName), remote.IsDir, nil)
		case taken && flags == vfs.RenameNoReplace:
			return remote.E("rename", quoted(newName), remote.Exist, nil)
		case !taken && flags == vfs.RenameExchange:
			return remote.E("rename", quoted(newName), remote.NotExist, nil)
		case taken || !l.dropping(newParent, newName):
			return apart("rename", name)
		}
		if _, err := l.folder(ctx, "rename", newParent, newName); err != nil {
			return err
		}
	}
	return l.move(parent, name, newParent, newName, flags)
}
