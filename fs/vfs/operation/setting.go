package operation

import (
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// SettingViewFolder is the setting of a library that has the name of the folder with its views.
const SettingViewFolder = "view-folder"

func runSetSetting(tx *catalog.Tx, in *intent.Intent) error {
	key := record.SettingKey(string(in.Name))
	if _, _, changed := tx.Unseen(key); changed {
		return remote.E("set", string(in.Name), remote.Conflict, ErrNewer)
	}
	if string(in.Name) == SettingViewFolder && len(in.Value) > 0 && tx.Dentry(vfs.Root, string(in.Value)) != nil {
		return remote.E(
			"set "+SettingViewFolder, fmt.Sprintf("%q", in.Value), remote.Exist,
			errors.New("the root has an entry of that name"),
		)
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
