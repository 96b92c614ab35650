package engine

import (
	"context"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A cookie is the place that the catalog gives a name.
var _ [vfs.FirstCookie - catalog.FirstPlace]struct{} = [0]struct{}{}

// dir is an open folder.
type dir struct {
	fs  *FS
	ino *inode
}

// OpenDir opens a folder for listing.
func (fs *FS) OpenDir(_ context.Context, id vfs.ID) (vfs.Dir, error) {
	ino := fs.hold(id)
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		switch {
		case n == nil:
			return operation.Missing(tx, "opendir", id)
		case !operation.IsFolder(n):
			return remote.E("opendir", fmt.Sprint(id), remote.NotDir, nil)
		}
		return nil
	})
	if err != nil {
		fs.release(ino)
		return nil, err
	}
	return &dir{fs, ino}, nil
}

// Fsync returns when every change of names and attributes that was made before is in the store.
func (d *dir) Fsync(ctx context.Context) error {
	owed := d.ino.owedAttributes()
	if err := d.fs.flushCatalog(ctx); err != nil {
		return err
	}
	return d.ino.told(owed)
}

func (d *dir) Release() { d.fs.release(d.ino) }

// Places of the first two entries of every listing.
const (
	cookieSelf   = 1
	cookieParent = 2
)

// Read lists what comes after a cookie. Each entry that was there all the time is listed once,
// whatever is added and removed meanwhile: its place is a hash of its name.
func (d *dir) Read(_ context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool) error {
	return d.fs.cat.View(func(tx *catalog.Tx) error {
		self := tx.Node(d.ino.id)
		if self == nil {
			return operation.Missing(tx, "readdir", d.ino.id)
		}
		if cookie < cookieSelf && !emit([]vfs.DirEntry{d.fs.entry(tx, ".", d.ino.id, cookieSelf, attrs)}) {
			return tx.Err()
		}
		if cookie < cookieParent &&
			!emit([]vfs.DirEntry{d.fs.entry(tx, "..", parentOf(tx, d.ino.id), cookieParent, attrs)}) {
			return tx.Err()
		}
		if tx.Orphan(d.ino.id) {
			return tx.Err()
		}
		var group []vfs.DirEntry
		take := func() bool {
			if len(group) == 0 {
				return true
			}
			if !emit(group) {
				return false
			}
			if attrs {
				for _, e := range group {
					d.fs.lookedUp(d.fs.hold(e.ID))
				}
			}
			group = group[:0]
			return true
		}
		for l := range tx.List(d.ino.id, max(cookie, cookieParent)) {
			if len(group) > 0 && group[0].Cookie != l.Hash && !take() {
				return tx.Err()
			}
			if !d.fs.possible(d.ino.id, l.Name, l.Node) {
				continue
			}
			e := vfs.DirEntry{Name: l.Name, ID: l.Node, Mode: l.Kind << 12, Cookie: l.Hash}
			if attrs {
				n := tx.Node(l.Node)
				if n == nil {
					continue
				}
				e.Attr = d.fs.overlay(operation.AttrOf(tx, l.Node, n))
			}
			group = append(group, e)
		}
		take()
		return tx.Err()
	})
}

// possible tells whether a name can be in a folder, and a node under it. A log can say what it
// likes; what no operation makes is not shown: the kernel would refuse the whole listing, or
// programs take it for another file.
func (fs *FS) possible(folder vfs.ID, name string, node vfs.ID) bool {
	return fs.checkName("list", folder, name) == nil && node > vfs.Root && node < record.ViewBit
}

func (fs *FS) entry(tx *catalog.Tx, name string, id vfs.ID, cookie uint64, attrs bool) vfs.DirEntry {
	e := vfs.DirEntry{Name: name, ID: id, Mode: operation.TypeFolder, Cookie: cookie}
	if n := tx.Node(id); attrs && n != nil {
		e.Attr = operation.AttrOf(tx, id, n)
	}
	return e
}

// parentOf is the folder that a folder is in; the root's is itself.
func parentOf(tx *catalog.Tx, id vfs.ID) vfs.ID {
	for n := range tx.Names(id) {
		return n.Folder
	}
	return vfs.Root
}
