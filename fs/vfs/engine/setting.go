package engine

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// defaultViewFolder is the name at the root under which views appear, when the library has no
// other.
const defaultViewFolder = ".media"

// ViewFolderOf reads the name of the folder with a library's views. A name that can be none is as
// good as no setting.
func ViewFolderOf(tx *catalog.Tx) string {
	var s record.Setting
	if tx.Load(record.SettingKey(operation.SettingViewFolder), &s) && operation.CheckName("", string(s.Value)) == nil {
		return string(s.Value)
	}
	return defaultViewFolder
}

// ViewFolder is the name at the root under which views appear.
func (fs *FS) ViewFolder() string {
	if name := fs.viewFolder.Load(); name != nil {
		return *name
	}
	return defaultViewFolder
}

// readSettings takes up the library's settings, at the opening and when another machine changed
// one.
func (fs *FS) readSettings() {
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		name := ViewFolderOf(tx)
		fs.viewFolder.Store(&name)
		return nil
	})
}

// SetSetting sets a setting of the library, for all machines; an empty value takes it back.
func (fs *FS) SetSetting(ctx context.Context, c vfs.Caller, name, value string) error {
	switch name {
	case operation.SettingViewFolder:
		if value == "" {
			break
		}
		if err := operation.CheckName("set "+name, value); err != nil {
			return err
		}
		taken := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			taken = tx.Dentry(vfs.Root, value) != nil
			return tx.Err()
		})
		if err != nil {
			return err
		}
		if taken {
			return remote.E(
				"set "+name, fmt.Sprintf("%q", value), remote.Exist, errors.New("the root has an entry of that name"),
			)
		}
	default:
		return remote.E("set", fmt.Sprintf("%q", name), remote.Invalid, errors.New("there is no such setting")).
			WithHint("settings: " + operation.SettingViewFolder)
	}
	in := fs.newIntent(intent.Kind_SET_SETTING, c)
	in.Name, in.Value = []byte(name), []byte(value)
	_, err := fs.do(ctx, in)
	fs.readSettings()
	return err
}
