package vfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// EditMedia changes what people say of a media, all of it or nothing.
func (fs *FS) EditMedia(ctx context.Context, c Caller, id ID, ch MediaChange) error {
	return fs.editMedia(ctx, c, id, ch, func(in *intent.Intent) error {
		_, err := fs.do(ctx, in)
		return err
	})
}

// editMedia is EditMedia with the function that runs the operation.
func (fs *FS) editMedia(ctx context.Context, c Caller, id ID, ch MediaChange, do func(*intent.Intent) error) error {
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
		in.Attached = append(in.Attached, &intent.Attached{Kind: uint32(a.Kind), Which: a.Which, Value: a.Value, Remove: a.Remove})
	}
	if err = do(in); err == nil {
		fs.announceNode(id)
	}
	return err
}

// mayEdit refuses what only the owner of the file and root may write.
func (fs *FS) mayEdit(c Caller, id ID, edits []media.Edit) error {
	if c.UID == 0 {
		return nil
	}
	return fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return missing(tx, "edit", id)
		}
		for _, e := range edits {
			if media.OwnerOnly(e.Field) && n.Uid != c.UID {
				return remote.E("edit", e.Field, remote.Permission, errors.New("only the owner of the file and root may set it"))
			}
		}
		return nil
	})
}

func runEditMedia(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		if tx.Late() && livesOn(tx, in.MediaId, in.Node) {
			return say(tx, in, in.MediaId, nil) // another node holds the media now
		}
		return missing(tx, "edit", in.Node)
	}
	if len(n.MediaId) == 0 {
		return remote.E("edit", fmt.Sprint(in.Node), remote.Unsupported, errors.New("only media have titles, tags and the like"))
	}
	if err := say(tx, in, n.MediaId, factsOf(tx, in.Node, n)); err != nil {
		return err
	}
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// say changes what is said of a media.
func say(tx *catalog.Tx, in *intent.Intent, id []byte, facts *record.Facts) error {
	key := record.MediaKey(id)
	m := new(record.Media)
	tx.Load(key, m)
	edits, attached, err := unseenEdits(tx, in, id)
	if err != nil {
		return err
	}
	if err := media.Apply(m, in.Time, media.OverFacts(m, facts, edits)); err != nil {
		return err
	}
	for _, a := range attached {
		attach(tx, id, m, a)
	}
	if media.Empty(m) {
		if tx.Get(key) != nil {
			tx.Delete(key)
		}
	} else {
		tx.Store(key, m)
	}
	return nil
}

// attach puts something to a media or takes it off. A new comment or link gets its number here, where nobody else takes the same.
func attach(tx *catalog.Tx, id []byte, m *record.Media, in *intent.Attached) {
	a := media.Attachment{Kind: byte(in.Kind), Which: in.Which, Value: in.Value, Remove: in.Remove}
	a.Number(m)
	if a.Kind == record.AttachedLink && len(a.Which) == 0 {
		n := uint64(1)
		if k, _ := tx.Last(record.AttachedKey(id, a.Kind)); len(k) == 1+len(id)+1+8 {
			n = binary.BigEndian.Uint64(k[len(k)-8:]) + 1
		}
		a.Which = binary.BigEndian.AppendUint64(nil, n)
	}
	key := record.AttachedKey(id, a.Kind, a.Which...)
	if !a.Remove {
		tx.Put(key, a.Value)
	} else if tx.Get(key) != nil {
		tx.Delete(key)
	}
}

// userNames has the names that were asked for: a directory service may be asked for each, and searches name the owner of every media.
var userNames sync.Map

// UserName is how favourites, votes and comments name a user of this machine: the login name, or the number when there is none. It stays the same for as long as the
// process runs.
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
