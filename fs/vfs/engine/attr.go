package engine

import (
	"context"
	"errors"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Lookup finds a name in a folder.
func (fs *FS) Lookup(_ context.Context, parent vfs.ID, name string) (a vfs.Attr, err error) {
	if name == "." || name == ".." {
		return fs.lookupNumber(parent, name == "..")
	}
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(parent)
		if n == nil {
			return operation.Missing(tx, "lookup", parent)
		}
		if !operation.IsFolder(n) {
			return remote.E("lookup", name, remote.NotDir, nil)
		}
		if len(name) > record.MaxName {
			return remote.E("lookup", name[:32], remote.TooLong, nil)
		}
		d := tx.Dentry(parent, name)
		if d == nil || !fs.possible(parent, name, d.Node) {
			return remote.E("lookup", name, remote.NotExist, tx.Err())
		}
		if n = tx.Node(d.Node); n == nil {
			return operation.Missing(tx, "lookup", d.Node)
		}
		a = fs.overlay(operation.AttrOf(tx, d.Node, n))
		// Inside the view: an operation that takes the last name runs before or after, and then
		// knows of the reference.
		fs.lookedUp(fs.hold(d.Node))
		return nil
	})
	return a, err
}

// GetAttr tells what stat tells.
func (fs *FS) GetAttr(_ context.Context, id vfs.ID) (a vfs.Attr, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "getattr", id)
		}
		a = fs.overlay(operation.AttrOf(tx, id, n))
		return nil
	})
	return a, err
}

// SetAttr changes attributes.
func (fs *FS) SetAttr(ctx context.Context, c vfs.Caller, id vfs.ID, f vfs.File, ch vfs.AttrChange) (vfs.Attr, error) {
	h, _ := f.(*file)
	if ch.Size == nil || h == nil || !h.writes { // through an open file that is a write: the spool keeps it
		if err := fs.changeable("setattr"); err != nil {
			return vfs.Attr{}, err
		}
	}
	ino := fs.hold(id)
	defer fs.release(ino)
	if ch.Size != nil {
		if err := fs.truncate(ctx, ino, h, *ch.Size); err != nil {
			return vfs.Attr{}, err
		}
	}
	if ch.Mode != nil || ch.UID != nil || ch.GID != nil || ch.Atime != nil || ch.Mtime != nil || ch.Ctime != nil {
		if ch.Mtime != nil {
			ino.setMtime(*ch.Mtime)
		}
		if err := fs.changeAttr(ctx, c, id, ch, fs.doAttributes); err != nil {
			return vfs.Attr{}, err
		}
		if ch.Mtime != nil {
			if err := ino.describeMtime(*ch.Mtime); err != nil {
				return vfs.Attr{}, err
			}
		}
	}
	return fs.GetAttr(ctx, id)
}

// changeAttr changes attributes but the size; do is doAttributes or doNow.
func (fs *FS) changeAttr(ctx context.Context, c vfs.Caller, id vfs.ID, ch vfs.AttrChange,
	do func(ctx context.Context, in *intent.Intent, orphan func(o orphans) error) error) error {
	in := fs.newIntent(intent.Kind_SET_ATTR, c)
	in.Node = id
	in.Change = &intent.Change{Mode: ch.Mode, Uid: ch.UID, Gid: ch.GID}
	if ch.Atime != nil {
		in.Change.Atime = stamp(*ch.Atime)
	}
	if ch.Mtime != nil {
		in.Change.Mtime = stamp(*ch.Mtime)
	}
	if ch.Ctime != nil {
		in.Change.Ctime = stamp(*ch.Ctime)
	}
	return do(ctx, in, func(o orphans) error {
		return o.ChangeOrphan(id, func(n *record.Node) { operation.ApplyChange(n, in.Change, in.Time) })
	})
}

func errReadOnly(op string) error {
	return remote.E(op, "", remote.ReadOnly, errors.New("the library is mounted read-only"))
}

// StatFS tells what statfs tells, and waits for nothing. Free is what can be written; a store that
// does not say is shown with a terabyte.
func (fs *FS) StatFS(context.Context) (vfs.StatFS, error) {
	u := fs.cat.Status().Usage
	s := vfs.StatFS{Nodes: u.Nodes, MaxName: record.MaxName, FreeBytes: 1 << 40}
	if sp, ok := fs.store.(remote.Spacious); ok {
		if space, ok := sp.Space(); ok {
			s.FreeBytes = uint64(max(fs.writable(space), 0))
		}
	}
	s.Bytes = uint64(fs.used(u)) + s.FreeBytes
	return s, nil
}

// used is what the store holds for this library, in bytes, each content once: of what is there now,
// of versions, of the trash, and of what garbage collection has not deleted yet. What waits for its
// upload is added.
func (fs *FS) used(u record.Usage) int64 { return int64(u.Contents) + max(fs.unsent.Load(), 0) }

// writable is how much of the room in a store can be written: on the spool's own disk that is what
// the spool takes.
func (fs *FS) writable(s remote.Space) int64 {
	if s.Device == 0 || s.Device != fs.spool.Device() {
		return s.Free
	}
	left, err := fs.spool.Left()
	if err != nil {
		return s.Free
	}
	return min(s.Free, left)
}
