package engine

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
)

// Rename moves a name, over an existing one unless flags say otherwise. One commit, however large
// the folder.
func (fs *FS) Rename(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32,
) error {
	if flags&^(vfs.RenameNoReplace|vfs.RenameExchange|vfs.RenameWhiteout) != 0 ||
		flags&vfs.RenameExchange != 0 && flags != vfs.RenameExchange {
		return remote.E("rename", fmt.Sprintf("%q", name), remote.Invalid, fmt.Errorf("flags %#x", flags))
	}
	if err := errors.Join(
		fs.checkName("rename", newParent, newName), fs.checkName("rename", parent, name),
	); err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_RENAME, c)
	in.Parent, in.Name, in.NewParent, in.NewName, in.Flags, in.Trash = parent, []byte(
		name,
	), newParent, []byte(
		newName,
	), flags, fs.trashAge() > 0
	var err error
	if in.SpareId, err = fs.cat.NewID(); err != nil {
		return err
	}
	if flags&vfs.RenameWhiteout != 0 {
		in.Kind = intent.Kind_RENAME_WHITEOUT
		if in.Whiteout, err = fs.cat.NewID(); err != nil {
			return err
		}
	}
	in.Flags &^= vfs.RenameWhiteout
	replaces := flags&(vfs.RenameNoReplace|vfs.RenameExchange) == 0
	in.Node, in.Over = fs.named(parent, name), fs.named(newParent, newName)
	if replaces {
		in.Aside = fs.asides.get(newParent, newName, fs.opt.Now())
	}
	leave := fs.unnamed
	if replaces && in.Over != in.Node {
		leave = fs.leaving(in.Over)
	}
	fs.opt.Step("rename")
	r, err := fs.do(ctx, in)
	fs.opt.Step("renamed")
	leave(r.Lost)
	if err == nil && flags&vfs.RenameExchange == 0 {
		fs.asides.drop(newParent, newName)
		if parent == newParent && in.Whiteout == 0 {
			fs.setAside(parent, name, newName, in.Node)
		}
	}
	return err
}

// named tells which node a name means now; 0 when it means none. An operation that runs late does
// not touch another one.
func (fs *FS) named(parent vfs.ID, name string) (id vfs.ID) {
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		if d := tx.Dentry(parent, name); d != nil {
			id = d.Node
		}
		return nil
	})
	return id
}
