package engine

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote/bucket/record"
)

// A media that is made without a name (O_TMPFILE) is an orphan from its beginning: local records
// and a spool file that says that nobody wants it. So a crash leaves nothing of it, and no byte of
// it goes to the store before it has a name. The name comes in one operation with the bytes, the
// attributes and what was said of it: nobody ever sees it half.

const oExcl = 0o200

// Tmpfile makes a media without a name and opens it.
func (fs *FS) Tmpfile(
	ctx context.Context, c vfs.Caller, parent vfs.ID, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	const op = "make a file without a name"
	if err := fs.changeable(op); err != nil {
		return vfs.Attr{}, nil, err
	}
	now := stamp(vfs.TimeOf(fs.opt.Now()))
	n := &record.Node{
		Mode:    operation.TypeMedia | mode&operation.PermMask,
		Uid:     c.UID,
		Gid:     c.GID,
		MediaId: newMediaID(),
		Atime:   now,
		Mtime:   now,
		Ctime:   now,
		Btime:   now,
	}
	var list []byte
	err := fs.cat.View(func(tx *catalog.Tx) error {
		pn, err := operation.Folder(tx, op, parent)
		if err != nil {
			return err
		}
		if pn.Mode&operation.Setgid != 0 {
			n.Gid = pn.Gid
		}
		list, _ = operation.Inherit(tx, c.Umask, parent, n)
		return tx.Err()
	})
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	id, err := fs.cat.NewID()
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	ino := fs.hold(id)
	fs.setUnnamed(ino, true)
	ino.mu.Lock()
	ino.unnamed, ino.never = true, flags&oExcl != 0
	ino.mu.Unlock()
	err = fs.cat.MakeOrphan(id, n)
	if err == nil && list != nil {
		err = fs.cat.ChangeOrphanXattrs(id, func(_ *record.Node, xattrs map[string]*record.Xattr) error {
			xattrs[acl.Access] = &record.Xattr{Value: list}
			return nil
		})
	}
	if err != nil {
		fs.release(ino)
		return vfs.Attr{}, nil, err
	}
	f, err := fs.Open(ctx, c, id, flags&^oTrunc)
	if err != nil {
		fs.release(ino)
		return vfs.Attr{}, nil, err
	}
	a, err := fs.GetAttr(ctx, id)
	if err != nil {
		f.Release()
		fs.release(ino)
		return vfs.Attr{}, nil, err
	}
	fs.lookedUp(ino)
	return a, f, nil
}

// setUnnamed notes that a media has no name, or that it has got one.
func (fs *FS) setUnnamed(ino *inode, on bool) {
	fs.mu.Lock()
	ino.orphan = on
	fs.mu.Unlock()
	ino.mu.Lock()
	ino.gone = on
	if !on {
		ino.unnamed = false
	}
	ino.mu.Unlock()
}

// unnamedInode holds the inode of a media that has no name yet and may get one; nil for all others.
func (fs *FS) unnamedInode(id vfs.ID) *inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	ino := fs.inodes[id]
	if ino == nil {
		return nil
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if !ino.unnamed || ino.never {
		return nil
	}
	ino.holds++
	return ino
}

// linkUnnamed gives a media its first name. Its bytes are in the store before; then one operation
// makes all of it. It takes over a hold, which becomes the reference. When it fails, the media is
// as it was and may be linked again.
func (fs *FS) linkUnnamed(
	ctx context.Context, c vfs.Caller, ino *inode, parent vfs.ID, name string,
) (a vfs.Attr, err error) {
	defer func() {
		if err != nil {
			fs.release(ino)
		}
	}()
	if err := fs.changeable("link"); err != nil {
		return vfs.Attr{}, err // before its bytes are sent
	}
	if err := fs.lock(ctx, ino); err != nil {
		return vfs.Attr{}, err
	}
	defer ino.unlock()
	in, err := fs.linkIntent(ino, c, parent, name)
	if err != nil {
		return vfs.Attr{}, err
	}
	w := ino.w
	if w != nil && ino.isLocal() {
		if err := fs.sendUnnamed(ctx, ino, w, name); err != nil {
			return vfs.Attr{}, err
		}
		in.Head = proto.CloneOf(w.sent.head)
		in.Head.Time, in.Head.Client = in.Time, in.Client
		if c := w.sent.content; c != nil {
			in.Contents = []*intent.Content{{Id: c.id, Content: c.record}}
		}
		ino.mu.Lock()
		in.Made.Mtime, in.Value = stamp(ino.mtime), ino.copyOf
		ino.mu.Unlock()
	}
	// Before it can be seen: who unlinks it at once makes an orphan of it again.
	fs.setUnnamed(ino, false)
	fs.opt.Step("link unnamed")
	_, err = fs.do(ctx, in)
	fs.opt.Step("linked unnamed")
	if err != nil && fs.stillUnnamed(ino.id) {
		fs.setUnnamed(ino, true)
		ino.mu.Lock()
		ino.unnamed = true
		ino.mu.Unlock()
		return vfs.Attr{}, err
	}
	fs.asides.drop(parent, name)
	ino.fresh()
	if w != nil {
		fs.setGone(ino, ino.isGone())
		if in.Head != nil {
			w.sent.head = in.Head
			err = errors.Join(err, fs.uploaded(ino, w))
		}
	}
	if err != nil {
		return vfs.Attr{}, err // it is there, and goes to the log when the store is back
	}
	if a, err = fs.GetAttr(ctx, ino.id); err != nil {
		return vfs.Attr{}, err
	}
	fs.lookedUp(ino)
	return a, nil
}

func (fs *FS) stillUnnamed(id vfs.ID) (is bool) {
	_ = fs.cat.View(func(tx *catalog.Tx) error {
		is = tx.Orphan(id)
		return nil
	})
	return is
}

// linkIntent has all that is known of a media without a name but its bytes.
func (fs *FS) linkIntent(ino *inode, c vfs.Caller, parent vfs.ID, name string) (*intent.Intent, error) {
	in := fs.newIntent(intent.Kind_LINK_UNNAMED, c)
	in.Node, in.Parent, in.Name = ino.id, parent, []byte(name)
	in.Aside = fs.asides.get(parent, name, fs.opt.Now())
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(ino.id)
		if n == nil || !tx.Orphan(ino.id) {
			return operation.Missing(tx, "link", ino.id)
		}
		in.Made = n
		for name, x := range tx.Xattrs(ino.id) {
			if !said(in, c, n, name, x.Value) {
				in.Xattrs = append(in.Xattrs, &intent.Xattr{Name: []byte(name), Xattr: x})
			}
		}
		return tx.Err()
	})
	return in, err
}

// said adds to an intent what an attribute says of a media, which until then was kept as it came;
// false when it says nothing.
func said(in *intent.Intent, c vfs.Caller, n *record.Node, name string, value []byte) bool {
	if !modelled(name) {
		return false
	}
	edits, requests, known, err := media.EditsFor(name, value, false)
	if !known || err != nil || media.Check(edits) != nil {
		return false
	}
	var attached []*intent.Attached
	for _, r := range requests {
		a, err := r.Attachment(UserName(c.UID), in.Time)
		if err != nil || c.UID == vfs.NoID || r.User != "" && r.User != UserName(c.UID) && c.UID != 0 {
			return false
		}
		attached = append(
			attached, &intent.Attached{Kind: uint32(a.Kind), Which: a.Which, Value: a.Value, Remove: a.Remove},
		)
	}
	for _, e := range edits {
		if c.UID != 0 && media.OwnerOnly(e.Field) && n.Uid != c.UID {
			return false
		}
	}
	for _, e := range edits {
		in.Edits = append(in.Edits, &intent.Edit{Field: e.Field, Do: uint32(e.Do), Value: e.Value})
	}
	in.Attached = append(in.Attached, attached...)
	return true
}

// sendUnnamed stores the bytes of a media that is about to get its name, as a close does. inode.up
// is held.
func (fs *FS) sendUnnamed(ctx context.Context, ino *inode, w *writing, name string) error {
	if w.sent != nil {
		return nil // by a link that failed
	}
	ctx, cancel := context.WithTimeout(ctx, fs.uploadTimeout())
	defer cancel()
	defer context.AfterFunc(fs.ctx, cancel)()
	ctx, ended := ino.cancellable(ctx)
	defer ended()
	return fs.patiently(ctx, func() error { return fs.send(ctx, ino, w, name) })
}
