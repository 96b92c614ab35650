package vfs

import (
	"context"
	"errors"
	"io"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/remote/bucket/record"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// makeWritable gives an inode a spool file of its own with the bytes of its present head, the first keep of them (-1: all). inode.io
// is held exclusively.
func (fs *FS) makeWritable(ctx context.Context, ino *inode, keep int64) error {
	if ino.w != nil && !ino.w.shared {
		return nil
	}
	if ino.w != nil {
		return fs.unshare(ino)
	}
	var n *record.Node
	var l layout
	var d spool.Description
	err := fs.cat.View(func(tx *catalog.Tx) error {
		if n = tx.Node(ino.id); n == nil {
			return missing(tx, "write", ino.id)
		}
		d = describe(tx, ino.id, n)
		var err error
		l, err = fs.layoutOf(tx, n.Head, 0, int64(n.Head.GetSize()))
		return err
	})
	if err != nil {
		return err
	}
	d.Dirty = l.size == 0 // else once the bytes are there
	f, err := fs.spool.Create(d)
	if err != nil {
		return err
	}
	size := l.size
	if keep >= 0 {
		size = min(size, keep)
	}
	if err := fs.fill(ctx, f, &l, size); err != nil {
		return errors.Join(err, f.Remove())
	}
	ino.w = &writing{file: f}
	ino.mu.Lock()
	ino.size, ino.mtime, ino.ctime = size, unstamp(n.Mtime), unstamp(n.Ctime)
	ino.mu.Unlock()
	return nil
}

// describe says in the spool whose bytes a file has, and what is needed to bring the media back should another machine delete it.
func describe(tx *catalog.Tx, id ID, n *record.Node) spool.Description {
	d := spool.Description{Node: id, Mode: n.Mode, UID: n.Uid, GID: n.Gid, Media: n.MediaId}
	for name := range tx.Names(id) {
		d.Parent, d.Name = name.Folder, []byte(name.Name)
		break
	}
	return d
}

// fill copies the first size bytes of a layout into an empty spool file; holes stay holes.
func (fs *FS) fill(ctx context.Context, f *spool.File, l *layout, size int64) error {
	r := readers{cache: fs.cache}
	defer r.close()
	buf := make([]byte, 1<<20)
	for _, x := range l.extents {
		end := min(x.off+x.n, size)
		for off := x.off; off < end; {
			p := buf[:min(int64(len(buf)), end-off)]
			if _, err := l.readAt(ctx, &r, p, off); err != nil {
				return err
			}
			if _, err := f.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
		}
	}
	return f.Truncate(size)
}

// unshare copies a spool file whose bytes have become a content, so that writing does not change the content.
func (fs *FS) unshare(ino *inode) error {
	old := ino.w
	d := old.file.Description()
	dirty := d.Dirty
	d.Dirty = false // until it is complete
	d.Generation++
	f, err := fs.spool.Create(d)
	if err != nil {
		return err
	}
	segs, err := old.file.Segments()
	for _, s := range segs {
		if err == nil {
			_, err = io.Copy(io.NewOffsetWriter(f, s.Offset), io.NewSectionReader(old.file, s.Offset, s.Length))
		}
	}
	if err == nil {
		err = f.Truncate(ino.size)
	}
	if d.Dirty = dirty; err == nil && dirty {
		err = f.Describe(d)
	}
	if err != nil {
		return errors.Join(err, f.Remove())
	}
	ino.w = &writing{file: f}
	return old.file.Remove()
}

// dirtied notes, on disk and in memory, that the spool file is about to hold bytes that no head has. inode.io is held exclusively.
func (fs *FS) dirtied(ino *inode) error {
	w := ino.w
	w.sent = nil
	d := w.file.Description()
	if !d.Dirty || d.Content != "" || d.MtimeSet {
		d.Dirty, d.Content, d.MtimeSet, d.Mtime, d.MtimeNS = true, "", false, 0, 0
		if err := w.file.Describe(d); err != nil {
			return err
		}
	}
	now := TimeOf(fs.opt.Now())
	ino.mu.Lock()
	ino.dirty, ino.mtime, ino.ctime = true, now, now
	if ino.pages != "" {
		ino.pages = spooled // the kernel puts what is written into its pages as well
	}
	ino.mu.Unlock()
	return nil
}

// setMtime makes a time that is about to be set by hand the one that the bytes in the spool will have as a head. It comes before the
// operation that sets it: an upload that ends in between sees it and sets it once more.
func (ino *inode) setMtime(t Time) {
	ino.mu.Lock()
	if ino.dirty {
		ino.mtime = t
	}
	ino.mu.Unlock()
}

// describeMtime makes such a time survive this process.
func (ino *inode) describeMtime(t Time) error {
	ino.io.Lock()
	defer ino.io.Unlock()
	ino.mu.Lock()
	stands := ino.dirty && ino.mtime == t
	ino.mu.Unlock()
	if !stands || ino.w == nil {
		return nil
	}
	d := ino.w.file.Description()
	d.MtimeSet, d.Mtime, d.MtimeNS = true, t.Sec, t.Nsec
	return ino.w.file.Describe(d)
}

// discard ends the spool file of an inode that nobody refers to any more and that has nothing for the store: of an unlinked media.
func (fs *FS) discard(ino *inode) {
	ino.io.Lock()
	defer ino.io.Unlock()
	ino.mu.Lock()
	dirty := ino.dirty
	ino.mu.Unlock()
	if ino.w == nil || dirty {
		return
	}
	if err := ino.w.file.Remove(); err != nil {
		fs.log.WithError(err).Warn("a spool file that nobody needs any more could not be removed")
	}
	ino.w = nil
}

// settle ends the spool file of an inode that nobody writes to any more: it becomes the cache's copy of the content, or it
// is queued when it still has bytes for the store.
func (fs *FS) settle(ino *inode) {
	fs.mu.Lock()
	writers := ino.writers
	fs.mu.Unlock()
	if writers > 0 {
		return
	}
	ino.io.Lock()
	defer ino.io.Unlock()
	if ino.w == nil {
		return
	}
	ino.mu.Lock()
	dirty := ino.dirty
	ino.mu.Unlock()
	if dirty {
		fs.uploads.queue(ino, 0)
		return
	}
	fs.mu.Lock()
	busy := ino.writers > 0 || ino.orphan
	fs.mu.Unlock()
	if busy || ino.w.sent == nil {
		return // opened again meanwhile, or these bytes are in no head and those who still have it open read them
	}
	w := ino.w
	ino.w = nil
	if fs.adopt(ino.id, w) {
		return
	}
	if err := w.file.Remove(); err != nil {
		fs.log.WithError(err).Warn("a spool file whose bytes are in the store could not be removed")
	}
}

// adopt gives the spool file to the read cache when it is exactly the content of the media's head.
func (fs *FS) adopt(id ID, w *writing) bool {
	if fs.store.Facts().Local || w.shared {
		return false
	}
	l, err := fs.head(id, 0, 1<<62)
	if err != nil || len(l.extents) != 1 || w.head == "" {
		return false
	}
	x := l.extents[0]
	if x.off != 0 || x.from != 0 || x.n != l.size || x.content.Size != l.size || x.content.ID.ID != w.head {
		return false
	}
	if err := fs.cache.Adopt(x.content, w.file.Path()); err != nil {
		fs.log.WithError(err).Debug("a written file was not taken into the cache")
		return false
	}
	fs.cache.Unpin(x.content.ID)
	if err := w.file.Remove(); err != nil {
		fs.log.WithError(err).Warn("a spool file whose bytes are in the store could not be removed")
	}
	return true
}

// recover takes up what an earlier process left in the spool.
func (fs *FS) recover() error {
	files, err := fs.spool.Recover()
	if err != nil {
		return err
	}
	newest := make(map[ID]*spool.File)
	for _, f := range files {
		d := f.Description()
		old := newest[d.Node]
		if old == nil {
			newest[d.Node] = f
			continue
		}
		// The process died when a file had just been copied: both are complete.
		if old.Description().Generation > d.Generation {
			old, f = f, old
		}
		newest[d.Node] = f
		if err := old.Remove(); err != nil {
			return err
		}
	}
	for _, f := range newest {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		d := f.Description()
		ino := fs.hold(d.Node)
		ino.w = &writing{file: f, shared: st.Nlink > 1}
		ino.dirty, ino.size = true, st.Size
		ino.mtime = Time{int64(st.Mtim.Sec), uint32(st.Mtim.Nsec)}
		if d.MtimeSet {
			ino.mtime = Time{d.Mtime, d.MtimeNS}
		}
		ino.ctime = ino.mtime
		fs.log.WithField("node", d.Node).WithField("bytes", st.Size).Info("bytes of an earlier mount go on to the store")
		fs.uploads.queue(ino, 0) // holds it
		fs.release(ino)
	}
	return nil
}
