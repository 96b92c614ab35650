package vfs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An External is an object that was there before the library and is taken into it where it lies: read with its etag, never copied, written or deleted.
type External struct {
	Parent ID
	Name   string
	Key    string // as remote.Store.OpenContent takes it after "key:"
	ETag   string // without quotes
	Size   int64
	Mtime  Time
	Type   string // media type, when the store says a useful one
	Mode   uint32 // permissions
}

// What Import did.
const (
	Imported  = "imported"
	Updated   = "updated"   // the object had changed since: what it was before is a version whose bytes are gone
	Unchanged = "unchanged" // it was there already, just so
)

// Import makes a media of an object that was there before. Exist: the name is taken by something else.
func (fs *FS) Import(ctx context.Context, c Caller, x External) (what string, id ID, err error) {
	if err := fs.checkName("import", x.Parent, x.Name); err != nil {
		return "", 0, err
	}
	if x.Key == "" || x.ETag == "" || x.Size < 0 {
		return "", 0, remote.E("import", x.Name, remote.Invalid, errors.New("an object needs its key, etag and size"))
	}
	content := externalID(x.Key, x.ETag)
	err = fs.cat.View(func(tx *catalog.Tx) error {
		what, id = importState(tx, x.Parent, x.Name, x.Key, content, x.Size)
		return tx.Err()
	})
	if err != nil || what == Unchanged {
		return what, id, err
	}
	in := fs.newIntent(intent.Kind_IMPORT, c)
	in.Parent, in.Name, in.Mode = x.Parent, []byte(x.Name), x.Mode&permMask|typeMedia
	if in.Node, err = fs.cat.NewID(); err != nil {
		return "", 0, err
	}
	in.MediaId = newMediaID()
	in.Change = &intent.Change{Mtime: stamp(x.Mtime)}
	in.Head = &record.Head{Size: uint64(x.Size), Time: in.Time, Client: in.Client}
	if x.Size > 0 {
		in.Head.Extents = []*record.Extent{{Length: uint64(x.Size), Content: content}}
	}
	in.Contents = []*intent.Content{{Id: content, Content: &record.Content{Size: uint64(x.Size), Type: x.Type, Time: in.Time,
		External: &record.External{Key: x.Key, Etag: x.ETag}}}}
	r, err := fs.do(ctx, in)
	if err != nil {
		return "", 0, err
	}
	fs.announceName(x.Parent, x.Name)
	fs.announceNode(r.attr.ID)
	fs.facts.queue(r.attr.ID)
	if r.attr.ID == in.Node {
		return Imported, in.Node, nil
	}
	return Updated, r.attr.ID, nil
}

// externalID names the content of an object that is not ours: the same object in the same state has the same one on every machine.
func externalID(key, etag string) []byte {
	sum := sha256.Sum256([]byte(key + "\x00" + etag))
	return sum[:16]
}

// importState tells what importing an object under a name would do: "" when the name is taken by something else.
func importState(tx *catalog.Tx, parent ID, name, key string, content []byte, size int64) (string, ID) {
	d := tx.Dentry(parent, name)
	if d == nil {
		return Imported, 0
	}
	n := tx.Node(d.Node)
	if n != nil && n.Head.GetSize() == 0 && len(n.MediaId) > 0 {
		// An empty object leaves no content that could name it.
		m := new(record.Media)
		tx.Load(record.MediaKey(n.MediaId), m)
		switch {
		case m.ExternalId != key:
			return "", d.Node
		case size == 0:
			return Unchanged, d.Node
		}
		return Updated, d.Node
	}
	if n == nil || len(n.Head.GetExtents()) != 1 {
		return "", d.Node
	}
	e := n.Head.Extents[0]
	if string(e.Content) == string(content) {
		return Unchanged, d.Node
	}
	if c := tx.Content(e.Content); c != nil && c.External.GetKey() == key {
		return Updated, d.Node
	}
	return "", d.Node
}

func runImport(tx *catalog.Tx, in *intent.Intent, r *result) error {
	c := in.Contents[0]
	what, id := importState(tx, in.Parent, string(in.Name), c.Content.External.GetKey(), c.Id, int64(in.Head.Size))
	switch what {
	case "":
		return remote.E("import", fmt.Sprintf("%q", in.Name), remote.Exist, errors.New("the name is taken by something else"))
	case Unchanged:
		r.attr = attrOf(tx, id, tx.Node(id))
		return nil
	case Updated:
		n := tx.Node(id)
		if unseenHead(tx, in, id) {
			return newerNode(tx, "import", id)
		}
		if n.Head.GetSize() > 0 {
			addVersion(tx, n.MediaId, &record.Version{Head: n.Head, Time: in.Time, Node: id, Mtime: n.Mtime, Reason: replacedByEdit})
		}
		importedContent(tx, in, n.MediaId)
		n.Head, n.Mtime, n.Ctime = in.Head, in.Change.GetMtime(), in.Time
		tx.Store(record.NodeKey(id), n)
		r.attr = attrOf(tx, id, n)
		return nil
	}
	if err := runMake(tx, in, r); err != nil {
		return err
	}
	importedContent(tx, in, in.MediaId)
	n := tx.Node(in.Node)
	if n == nil {
		return missing(tx, "import", in.Node)
	}
	n.Head = in.Head
	if m := in.Change.GetMtime(); m != nil {
		n.Mtime = m
	}
	tx.Store(record.NodeKey(in.Node), n)
	r.attr = attrOf(tx, in.Node, n)
	return nil
}

// importedContent stores what is known of the object. An empty one is known by the media's external id alone.
func importedContent(tx *catalog.Tx, in *intent.Intent, media []byte) {
	if in.Head.Size > 0 {
		storeContents(tx, in)
		return
	}
	m := new(record.Media)
	tx.Load(record.MediaKey(media), m)
	m.ExternalId = in.Contents[0].Content.External.GetKey()
	tx.Store(record.MediaKey(media), m)
}
