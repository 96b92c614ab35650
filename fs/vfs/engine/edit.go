package engine

import (
	"context"
	"errors"
	"os/user"
	"strconv"
	"sync"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
)

// EditMedia changes what people say of a media, all of it or nothing.
func (fs *FS) EditMedia(ctx context.Context, c vfs.Caller, id vfs.ID, ch vfs.MediaChange) error {
	return fs.editMedia(ctx, c, id, ch, func(in *intent.Intent) error {
		_, err := fs.do(ctx, in)
		return err
	})
}

// editMedia is EditMedia with the function that runs the operation.
func (fs *FS) editMedia(
	ctx context.Context, c vfs.Caller, id vfs.ID, ch vfs.MediaChange, do func(*intent.Intent) error,
) error {
	if len(ch.Edits) == 0 && len(ch.Attached) == 0 {
		return nil
	}
	if err := media.Check(ch.Edits); err != nil {
		return err
	}
	if err := fs.mayEdit(c, id, ch.Edits); err != nil {
		return err
	}
	in := fs.newIntent(intent.Kind_EDIT_MEDIA, c)
	in.Node = id
	err := fs.cat.View(func(tx *catalog.Tx) error {
		if n := tx.Node(id); n != nil {
			in.MediaId = n.MediaId
		}
		return tx.Err()
	})
	if err != nil {
		return err
	}
	for _, e := range ch.Edits {
		in.Edits = append(in.Edits, &intent.Edit{Field: e.Field, Do: uint32(e.Do), Value: e.Value})
	}
	for _, a := range ch.Attached {
		in.Attached = append(
			in.Attached, &intent.Attached{Kind: uint32(a.Kind), Which: a.Which, Value: a.Value, Remove: a.Remove},
		)
	}
	if err = do(in); err == nil {
		fs.announceNode(id)
	}
	return err
}

// mayEdit refuses what only the owner of the file and root may write.
func (fs *FS) mayEdit(c vfs.Caller, id vfs.ID, edits []media.Edit) error {
	if c.UID == 0 {
		return nil
	}
	return fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "edit", id)
		}
		for _, e := range edits {
			if media.OwnerOnly(e.Field) && n.Uid != c.UID {
				return remote.E(
					"edit", e.Field, remote.Permission, errors.New("only the owner of the file and root may set it"),
				)
			}
		}
		return nil
	})
}

// userNames has the names that were asked for: a directory service may be asked for each, and
// searches name the owner of every media.
var userNames sync.Map

// UserName is how favourites, votes and comments name a user of this machine: the login name, or
// the number when there is none. It stays the same for as long as the process runs.
func UserName(uid uint32) string {
	if name, ok := userNames.Load(uid); ok {
		return name.(string)
	}
	name, _ := userNames.LoadOrStore(uid, userName(uid))
	return name.(string)
}

func userName(uid uint32) string {
	n := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(n); err == nil && u.Username != "" && len(u.Username) <= remote.MaxUser {
		return u.Username
	}
	return n
}
