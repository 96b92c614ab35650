package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"reflect"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote/bucket/record"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// makeWritable gives an inode a spool file of its own: with the bytes of its present head, or lying
// over that when they are many or stay as they are. keep is how many bytes will be left of it (-1:
// all), from where the first change begins. inode.up is held.
func (fs *FS) makeWritable(ctx context.Context, ino *inode, keep, from int64) error {
	if old := ino.w; old != nil && !fs.current(ino) {
		// Another machine has set a head since.
		ino.swap(nil)
		if err := fs.end(old); err != nil {
			return err
		}
	}
	if w := ino.w; w != nil {
		if !w.shared {
			return nil
		}
		if ino.isLocal() || w.head == nil || w.base != operation.HeadID(w.head) ||
			!fs.liesOver(int64(w.head.Size), keep, from) {
			return fs.unshare(ino)
		}
		// Its bytes are the head's: a new file lies over them.
		ino.swap(nil)
		if err := fs.end(w); err != nil {
			return err
		}
	}
	var n *record.Node
	var l layout
	var d spool.Description
	err := fs.cat.View(func(tx *catalog.Tx) error {
		if n = tx.Node(ino.id); n == nil {
			return operation.Missing(tx, "write", ino.id)
		}
		d = fs.describe(tx, ino, n, spool.Description{})
		var err error
		l, err = fs.layoutOf(tx, n.Head, 0, int64(n.Head.GetSize()))
		return err
	})
	if err != nil {
		return err
	}
	size := l.size
	if keep >= 0 {
		size = min(size, keep)
	}
	w := &writing{base: operation.HeadID(n.Head)}
	ino.mu.Lock()
	d.Gone = ino.gone
	ino.mu.Unlock()
	if fs.liesOver(l.size, keep, from) {
		size = l.size
		if d.Under, err = headUnder(n.Head); err != nil {
			return err
		}
		if w.file, err = fs.spool.CreateOver(d, size); err != nil {
			return err
		}
		w.lie(l)
		w.head = n.Head
		if size <= fs.opt.WholeBelow {
			w.high = size
		}
	} else {
		data := int64(0)
		for _, x := range l.extents {
			data += max(min(x.off+x.n, size)-x.off, 0)
		}
		if err := fs.spool.Room(data); err != nil {
			return err
		}
		d.Dirty = size == 0 && l.size == 0 // else once the bytes are there
		if w.file, err = fs.spool.Create(d); err != nil {
			return err
		}
		if err := fs.fill(ctx, w.file, &l, size); err != nil {
			return errors.Join(err, w.file.Remove())
		}
		switch {
		case size < l.size:
			w.base = "cut" // of no head: never read unless it becomes local
		case size > 0:
			w.head = n.Head
		}
		w.high = size
	}
	ino.mu.Lock()
	ino.size, ino.mtime, ino.ctime = size, operation.Unstamp(n.Mtime), operation.Unstamp(n.Ctime)
	ino.mu.Unlock()
	ino.swap(w)
	if ino.isGone() {
		fs.setGone(ino, true) // also when that came after the description
	}
	return nil
}

// liesOver reports whether the spool file of a media of size bytes lies over its head: when it is
// large, is appended to, or is cut and most of it stays. Others are copied, since they are mostly
// sent as a whole.
func (fs *FS) liesOver(size, keep, from int64) bool {
	left := size
	if keep >= 0 {
		left = min(size, keep)
	}
	return left > fs.opt.WholeBelow || size > 0 && left >= size/2 && (from >= size || keep >= 0)
}

// describe says in the spool whose bytes a file has, and what is needed to bring the media back
// should another machine delete it, or when it has: then its name is the one that it had last, or
// that an earlier description has.
func (fs *FS) describe(tx *catalog.Tx, ino *inode, n *record.Node, earlier spool.Description) spool.Description {
	d := spool.Description{
		Node:   ino.id,
		Mode:   bareMode(tx, ino.id, n),
		UID:    n.Uid,
		GID:    n.Gid,
		Media:  n.MediaId,
		Base:   operation.BaseOf(n.Head),
		Parent: earlier.Parent,
		Name:   earlier.Name,
	}
	for name := range tx.Names(ino.id) {
		d.Parent, d.Name = name.Folder, []byte(name.Name)
		return d
	}
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if ino.lastName != "" {
		d.Parent, d.Name = ino.lastFolder, []byte(ino.lastName)
	}
	return d
}

// fill copies the first size bytes of a layout into an empty spool file; holes stay holes.
func (fs *FS) fill(ctx context.Context, f *spool.File, l *layout, size int64) error {
	if err := fs.copyIn(ctx, f, l, []spool.Segment{{Offset: 0, Length: size}}); err != nil {
		return err
	}
	return f.Truncate(size)
}

// copyIn writes runs of a layout into a spool file, but for their holes.
func (fs *FS) copyIn(ctx context.Context, f *spool.File, l *layout, runs []spool.Segment) error {
	r := readers{cache: fs.cache}
	defer r.close()
	data := make([]spool.Segment, len(l.extents))
	for i, x := range l.extents {
		data[i] = spool.Segment{Offset: x.off, Length: x.n}
	}
	buf := make([]byte, 1<<20)
	for _, s := range intersect(data, runs) {
		for off := s.Offset; off < s.End(); {
			p := buf[:min(int64(len(buf)), s.End()-off)]
			if _, err := l.readAt(ctx, &r, p, off); err != nil {
				return err
			}
			if _, err := f.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
		}
	}
	return nil
}

// unshare copies a spool file whose bytes have become a content, so that writing does not change
// the content. inode.up is held.
func (fs *FS) unshare(ino *inode) error {
	old := ino.w
	d := old.file.Description()
	dirty := d.Dirty
	synced := d.Synced
	d.Dirty, d.Synced = false, false // until it is complete
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
		if synced {
			err = f.SyncAs(d) // what was confirmed stays so
		} else {
			err = f.Describe(d)
		}
	}
	if err != nil {
		return errors.Join(err, f.Remove())
	}
	ino.swap(
		&writing{
			file:  f,
			base:  old.base,
			under: old.under,
			head:  old.head,
			dirty: old.dirty,
			high:  old.high,
			sent:  old.sent,
		},
	)
	return fs.end(old)
}

// dirtied notes, on disk and in memory, that [off, off+n) of the spool file is about to change: to
// hold bytes that no head has. inode.up is held.
func (fs *FS) dirtied(ino *inode, off, n int64) error {
	if ino.isGone() && !ino.isUnnamed() {
		fs.livesOn(ino)
	}
	w := ino.w
	w.sent = nil
	d := w.file.Description()
	want := d
	want.Dirty, want.MtimeSet, want.Mtime, want.MtimeNS, want.Target = true, false, 0, 0, ""
	if w.up != nil && w.up.streams() {
		w.up.touch(off, n)
		w.up.describe(&want)
	} else {
		fs.dropUpstream(w)
		want.Content, want.Upload, want.Size, want.Stale = "", "", 0, nil
	}
	if !reflect.DeepEqual(want, d) {
		if err := w.file.Describe(want); err != nil {
			return err
		}
	}
	now := vfs.TimeOf(fs.opt.Now())
	ino.mu.Lock()
	ino.dirty, ino.local, ino.mtime, ino.ctime = true, true, now, now
	if ino.pages != "" {
		ino.pages = spooled // the kernel puts what is written into its pages as well
	}
	ino.mu.Unlock()
	return nil
}

// clean notes that nothing in the spool is newer than the media's head.
func (ino *inode) clean() {
	ino.mu.Lock()
	ino.dirty, ino.local, ino.saved = false, false, false
	ino.mu.Unlock()
}

// setMtime makes a time that is about to be set by hand the one that the bytes in the spool will
// have as a head. It comes before the operation that sets it: an upload that ends in between sees
// it and sets it once more.
func (ino *inode) setMtime(t vfs.Time) {
	ino.mu.Lock()
	if ino.local {
		ino.mtime = t
	}
	ino.mu.Unlock()
}

// describeMtime makes such a time survive this process.
func (ino *inode) describeMtime(t vfs.Time) error {
	ino.io.RLock()
	defer ino.io.RUnlock()
	ino.mu.Lock()
	stands := ino.dirty && ino.mtime == t
	ino.mu.Unlock()
	if !stands || ino.w == nil {
		return nil
	}
	return ino.w.file.SetMtime(t.Sec, t.Nsec)
}

// discard ends the spool file of an inode that nobody refers to any more and that has nothing for
// the store: of an unlinked media.
func (fs *FS) discard(ino *inode) {
	if !ino.tryLock() {
		return
	}
	defer ino.unlock()
	w := ino.w
	if w == nil || ino.isDirty() {
		return
	}
	ino.swap(nil)
	if err := fs.end(w); err != nil {
		fs.log.WithError(err).Warn("a spool file that nobody needs any more could not be removed")
	}
}

// settle ends the spool file of an inode that nobody writes to any more: it becomes the cache's
// copy of the content, or it is queued when it still has bytes for the store. While an upload or a
// write runs it does nothing: whoever does that settles after it.
func (fs *FS) settle(ino *inode) {
	if !ino.tryLock() {
		return
	}
	defer ino.unlock()
	w := ino.w
	if w == nil {
		return
	}
	if ino.isDirty() {
		fs.uploads.queue(ino, 0)
		return
	}
	fs.mu.Lock()
	busy := ino.writers > 0 || ino.orphan
	fs.mu.Unlock()
	if busy || ino.isLocal() {
		return // those who still have it open read these bytes; discard ends them
	}
	ino.swap(nil)
	if fs.adopt(w) {
		return
	}
	if err := fs.end(w); err != nil {
		fs.log.WithError(err).Warn("a spool file whose bytes are in the store could not be removed")
	}
}

// adopt gives the spool file to the read cache when it is exactly the content of the media's head,
// or what was sent of it last. It returns false when the file is still to be removed.
func (fs *FS) adopt(w *writing) bool {
	if fs.store.Facts().Local || w.shared || w.sent == nil || w.sent.content == nil {
		return false
	}
	c := w.sent.content
	content := fs.blockContent(c.id, c.record)
	content.Sums, content.LoadSums = c.sums, nil // wherever the store has them
	whole := len(w.sent.head.Extents) == 1 && c.record.Size == w.sent.head.Size && !w.file.Overlay()
	if !whole {
		r := readers{cache: fs.cache}
		defer r.close()
		was := &writing{file: w.file, under: w.sent.under} // not the new content, which would have to be fetched
		media := view{fs.ctx, was, &r}
		switch size := int64(c.record.Size); {
		case size > adoptUpTo:
			return false
		case size < adoptFrom:
			b := make([]byte, size)
			if _, err := (&segmentReader{media, w.sent.runs, size}).ReadAt(b, 0); err == nil || isEOF(err) {
				fs.cache.Remember(content, b)
			}
			return false
		}
		err := fs.spool.Room(int64(c.record.Size)) // a copy that can be done without takes no room from writers
		path := ""
		if err == nil {
			path, err = w.file.Extract(media, w.sent.runs)
		}
		if err == nil {
			if err = fs.cache.Adopt(content, path); err == nil {
				fs.cache.Unpin(content.ID)
			}
			os.Remove(path)
		}
		if err != nil {
			fs.log.WithError(err).Debug("what was written was not taken into the cache")
		}
		return false
	}
	fs.opt.Step("adopt")
	err := fs.cache.Adopt(content, w.file.Path())
	fs.opt.Step("adopted")
	if err != nil {
		fs.log.WithError(err).Debug("a written file was not taken into the cache")
		return false
	}
	fs.cache.Unpin(content.ID)
	if err := w.file.Remove(); err != nil {
		fs.log.WithError(err).Warn("a spool file whose bytes are in the store could not be removed")
	}
	return true
}

// What is sent of an edit is copied into the read cache when it has between a page and as much as
// is copied in no time, in bytes. Less than a page is kept in memory.
const (
	adoptFrom = 4 << 10
	adoptUpTo = 64 << 20
)
