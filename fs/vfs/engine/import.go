package engine

import (
	"context"
	"crypto/sha256"
	"errors"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An External is an object that was there before the library and is taken into it where it lies:
// read with its etag, never copied, written or deleted.
type External struct {
	Parent vfs.ID
	Name   string
	Key    string // as remote.Store.OpenContent takes it after "key:"
	ETag   string // without quotes
	Size   int64
	Mtime  vfs.Time
	Type   string // media type, when the store says a useful one
	Mode   uint32 // permissions
}

// Import makes a media of an object that was there before. Exist: the name is taken by something
// else.
func (fs *FS) Import(ctx context.Context, c vfs.Caller, x External) (what string, id vfs.ID, err error) {
	if err := fs.checkName("import", x.Parent, x.Name); err != nil {
		return "", 0, err
	}
	if x.Key == "" || x.ETag == "" || x.Size < 0 {
		return "", 0, remote.E("import", x.Name, remote.Invalid, errors.New("an object needs its key, etag and size"))
	}
	content := externalID(x.Key, x.ETag)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		what, id = operation.ImportState(tx, x.Parent, x.Name, x.Key, content, x.Size)
		return tx.Err()
	})
	if err != nil || what == operation.Unchanged {
		return what, id, err
	}
	in := fs.newIntent(intent.Kind_IMPORT, c)
	in.Parent, in.Name, in.Mode = x.Parent, []byte(x.Name), x.Mode&operation.PermMask|operation.TypeMedia
	if in.Node, err = fs.cat.NewID(); err != nil {
		return "", 0, err
	}
	in.MediaId = newMediaID()
	in.Change = &intent.Change{Mtime: stamp(x.Mtime)}
	in.Head = &record.Head{Size: uint64(x.Size), Time: in.Time, Client: in.Client}
	if x.Size > 0 {
		in.Head.Extents = []*record.Extent{{Length: uint64(x.Size), Content: content}}
	}
	in.Contents = []*intent.Content{
		{Id: content, Content: &record.Content{Size: uint64(x.Size), Type: x.Type, Time: in.Time,
			External: &record.External{Key: x.Key, Etag: x.ETag}}},
	}
	r, err := fs.do(ctx, in)
	if err != nil {
		return "", 0, err
	}
	fs.announceName(x.Parent, x.Name)
	fs.announceNode(r.Attr.ID)
	fs.facts.queue(r.Attr.ID)
	if r.Attr.ID == in.Node {
		return operation.Imported, in.Node, nil
	}
	return operation.Updated, r.Attr.ID, nil
}

// externalID names the content of an object that is not ours: the same object in the same state has
// the same one on every machine.
func externalID(key, etag string) []byte {
	sum := sha256.Sum256([]byte(key + "\x00" + etag))
	return sum[:16]
}
