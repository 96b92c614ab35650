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

// What Import did.
const (
	Imported  = "imported"
	Updated   = "updated"   // the object had changed since: what it was before is a version whose bytes are gone
	Unchanged = "unchanged" // it was there already, just so
)

// ImportState tells what importing an object under a name would do: "" when the name is taken by
// something else.
func ImportState(tx *catalog.Tx, parent vfs.ID, name, key string, content []byte, size int64) (string, vfs.ID) {
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

func runImport(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	c := in.Contents[0]
	what, id := ImportState(tx, in.Parent, string(in.Name), c.Content.External.GetKey(), c.Id, int64(in.Head.Size))
	switch what {
	case "":
		return remote.E(
			"import", fmt.Sprintf("%q", in.Name), remote.Exist, errors.New("the name is taken by something else"),
		)
	case Unchanged:
		r.Attr = AttrOf(tx, id, tx.Node(id))
		return nil
	case Updated:
		n := tx.Node(id)
		if unseenHead(tx, in, id) {
			return newerNode(tx, "import", id)
		}
		if n.Head.GetSize() > 0 {
			addVersion(
				tx, n.MediaId,
				&record.Version{Head: n.Head, Time: in.Time, Node: id, Mtime: n.Mtime, Reason: ReplacedByEdit},
			)
		}
		importedContent(tx, in, n.MediaId)
		n.Head, n.Mtime, n.Ctime = in.Head, in.Change.GetMtime(), in.Time
		tx.Store(record.NodeKey(id), n)
		r.Attr = AttrOf(tx, id, n)
		return nil
	}
	if err := runMake(tx, in, r); err != nil {
		return err
	}
	importedContent(tx, in, in.MediaId)
	n := tx.Node(in.Node)
	if n == nil {
		return Missing(tx, "import", in.Node)
	}
	n.Head = in.Head
	if m := in.Change.GetMtime(); m != nil {
		n.Mtime = m
	}
	tx.Store(record.NodeKey(in.Node), n)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}

// importedContent stores what is known of the object. An empty one is known by the media's external
// id alone.
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
