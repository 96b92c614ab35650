package vfs

import (
	"context"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// SettingViewFolder is the setting of a library that has the name of the folder with its views.
const SettingViewFolder = "view-folder"

// defaultViewFolder is the name at the root under which views appear, when the library has no other.
const defaultViewFolder = ".media"

// ViewFolderOf reads the name of the folder with a library's views. A name that can be none is as good as no setting.
func ViewFolderOf(tx *catalog.Tx) string {
	var s record.Setting
	if tx.Load(record.SettingKey(SettingViewFolder), &s) && checkName("", string(s.Value)) == nil {
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

// readSettings takes up the library's settings, at the opening and when another machine changed one.
func (fs *FS) readSettings() {
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		name := ViewFolderOf(tx)
		fs.viewFolder.Store(&name)
		return nil
	})
}

// SetSetting sets a setting of the library, for all machines; an empty value takes it back.
func (fs *FS) SetSetting(ctx context.Context, c Caller, name, value string) error {
	switch name {
	case SettingViewFolder:
		if value == "" {
			break
		}
		if err := checkName("set "+name, value); err != nil {
			return err
		}
		taken := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			taken = tx.Dentry(Root, value) != nil
			return tx.Err()
		})
		if err != nil {
			return err
		}
		if taken {
			return remote.E("set "+name, fmt.Sprintf("%q", value), remote.Exist, errors.New("the root has an entry of that name"))
		}
	default:
		return remote.E("set", fmt.Sprintf("%q", name), remote.Invalid, errors.New("there is no such setting")).WithHint("settings: " + SettingViewFolder)
	}
	in := fs.newIntent(intent.Kind_SET_SETTING, c)
	in.Name, in.Value = []byte(name), []byte(value)
	_, err := fs.do(ctx, in)
	fs.readSettings()
	return err
}

func runSetSetting(tx *catalog.Tx, in *intent.Intent) error {
	key := record.SettingKey(string(in.Name))
	if _, _, changed := tx.Unseen(key); changed {
		return remote.E("set", string(in.Name), remote.Conflict, errNewer)
	}
	if string(in.Name) == SettingViewFolder && len(in.Value) > 0 && tx.Dentry(Root, string(in.Value)) != nil {
		return remote.E("set "+SettingViewFolder, fmt.Sprintf("%q", in.Value), remote.Exist, errors.New("the root has an entry of that name"))
	}
	if len(in.Value) > 0 {
		s := new(record.Setting)
		tx.Load(key, s)
		s.Value = in.Value
		tx.Store(key, s)
	} else if tx.Get(key) != nil {
		tx.Delete(key)
	}
	return nil
}
