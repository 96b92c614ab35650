package engine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Media tells all that is known of a media, also of one in the trash.
func (fs *FS) Media(_ context.Context, id vfs.ID) (m *remote.Media, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		switch {
		case n == nil:
			return operation.Missing(tx, "look up media", id)
		case len(n.MediaId) == 0:
			return remote.E("look up media", fmt.Sprint(id), remote.Unsupported, errors.New("it is no media"))
		}
		m = fs.whole(tx, id, n, operation.PathsOf(tx, id))
		return tx.Err()
	})
	return m, err
}

// whole puts together what is known of a media.
func (fs *FS) whole(tx *catalog.Tx, id vfs.ID, n *record.Node, paths []string) *remote.Media {
	p := media.Parts{ID: n.MediaId, Node: id, Rec: n, Names: paths, Edits: new(record.Media)}
	if !tx.Load(record.MediaKey(n.MediaId), p.Edits) {
		p.Edits = nil
	}
	p.Facts = operation.FactsOf(tx, id, n)
	p.Attached = func(yield func(kind byte, which, value []byte) bool) {
		skip := 1 + len(n.MediaId)
		for k, v := range tx.Records(record.AttachedKey(n.MediaId, 0)) {
			if len(k) > skip && !yield(k[skip], k[skip+1:], v) {
				return
			}
		}
	}
	for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
		p.Versions++
		p.LastVersion = versionNumber(k)
	}
	if len(paths) == 0 {
		p.Trash = trashOf(tx, id)
	}
	if es := n.Head.GetExtents(); len(es) == 1 {
		if c := tx.Content(es[0].Content); c != nil {
			p.External = c.External != nil
		}
	}
	a := fs.overlay(operation.AttrOf(tx, id, n))
	p.Pending = fs.isPending(id)
	p.OwnerName = UserName(n.Uid)
	m := media.Assemble(p)
	m.Size, m.Modified = a.Size, a.Mtime.Std().UTC()
	return m
}

func (fs *FS) isPending(id vfs.ID) bool {
	fs.mu.Lock()
	ino := fs.inodes[id]
	fs.mu.Unlock()
	return ino != nil && ino.isDirty()
}

// trashOf finds the entry of a node, or of the folder above it, in the trash.
func trashOf(tx *catalog.Tx, id vfs.ID) *record.TrashEntry {
	top := id
	for range operation.MaxDepth {
		parent := vfs.ID(0)
		for nm := range tx.Names(top) {
			parent = nm.Folder
		}
		if parent == 0 {
			break
		}
		top = parent
	}
	for k := range tx.Records([]byte{record.KeyTrash}) {
		e := new(record.TrashEntry)
		if tx.Load(k, e) && e.Node == top {
			return e
		}
	}
	return nil
}

// Paths gives the names of a node as paths with a leading slash.
func (fs *FS) Paths(_ context.Context, id vfs.ID) (paths []string, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		paths = operation.PathsOf(tx, id)
		return tx.Err()
	})
	return paths, err
}

// Resolve walks a path from the root.
func (fs *FS) Resolve(_ context.Context, path string) (a vfs.Attr, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		id := vfs.Root
		for name := range strings.SplitSeq(path, "/") {
			if name == "" {
				continue
			}
			n := tx.Node(id)
			if n == nil {
				return operation.Missing(tx, "resolve", id)
			}
			if !operation.IsFolder(n) {
				return remote.E("resolve", path, remote.NotDir, nil)
			}
			d := tx.Dentry(id, name)
			if d == nil || !fs.possible(id, name, d.Node) {
				return remote.E("resolve", path, remote.NotExist, tx.Err())
			}
			id = d.Node
		}
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "resolve", id)
		}
		a = fs.overlay(operation.AttrOf(tx, id, n))
		return nil
	})
	return a, err
}

// Reference takes a reference on a node, as Lookup does, without a name.
func (fs *FS) Reference(_ context.Context, id vfs.ID) (a vfs.Attr, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "look up", id)
		}
		a = fs.overlay(operation.AttrOf(tx, id, n))
		fs.lookedUp(fs.hold(id))
		return nil
	})
	return a, err
}

// MediaNode gives the node that holds a media.
func (fs *FS) MediaNode(_ context.Context, mediaID string) (id vfs.ID, err error) {
	b, err := hex.DecodeString(mediaID)
	if err != nil || len(b) != record.MediaIDSize {
		return 0, remote.E(
			"look up media", fmt.Sprintf("%.64q", mediaID), remote.Invalid,
			fmt.Errorf("an id has %d hex digits", 2*record.MediaIDSize),
		)
	}
	err = fs.cat.View(func(tx *catalog.Tx) error {
		for n := range tx.MediaNodes(b) {
			id = n
			return nil
		}
		if err := tx.Err(); err != nil {
			return err
		}
		return remote.E("look up media", mediaID, remote.NotExist, nil)
	})
	return id, err
}

// factsSuffix names the side object with the long part of facts.
const factsSuffix = ".facts"

// Document reads the long part of a media's facts.
func (fs *FS) Document(ctx context.Context, id vfs.ID) (*remote.FactsDocument, error) {
	var f *record.Facts
	var at remote.ContentID
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "read facts", id)
		}
		if f = operation.FactsOf(tx, id, n); f == nil || len(f.Document) == 0 {
			return remote.E(
				"read facts", fmt.Sprint(id), remote.NotExist,
				errors.Join(errors.New("nothing more is known of it"), tx.Err()),
			)
		}
		c := tx.Content(f.Document)
		if c == nil {
			return remote.E("read facts", fmt.Sprint(id), remote.NotExist, tx.Err())
		}
		at = fs.blockContent(f.Document, c).ID
		return nil
	})
	if err != nil {
		return nil, err
	}
	side, ok := fs.store.(sideStore)
	if !ok {
		return nil, remote.E("read facts", "", remote.Unsupported, nil)
	}
	b, err := side.GetSide(ctx, at, factsSuffix)
	if errors.Is(err, remote.NotExist) || errors.Is(err, remote.Corrupt) {
		fs.facts.renew(id)
	}
	if err != nil {
		return nil, err
	}
	d := new(remote.FactsDocument)
	if !sumIs(b, f.DocumentSum) || json.Unmarshal(b, d) != nil {
		fs.facts.renew(id)
		return nil, remote.E("read facts", at.ID, remote.Corrupt, errors.New("the document is not the one that the catalog means")).
			WithHint("it is made anew; try again in a while")
	}
	return d, nil
}
