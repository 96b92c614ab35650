package engine

import (
	"context"
	"io"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// writing is the spool file of a media being written. Over a media of more than Options.WholeBelow
// bytes, or one that is appended to or cut, the file lies as an overlay, which has only what was
// written; others are copied into it before the first write.
//
// Its fields change with inode.up held, under also with inode.io.
type writing struct {
	file   *spool.File
	base   string       // the head whose bytes it has, as long as it is not local
	under  layout       // with an overlay: what shows where the file has no bytes of its own
	head   *record.Head // what the media held when dirty was empty; nil: nothing that the next head could refer to
	dirty  spool.Ranges // what was written since head
	shared bool         // the file's bytes belong to a store now as well: copied before the next write
	high   int64        // how far it was written from its beginning on without a gap
	up     *upstream    // its bytes on their way to the store; ends with a write, unless it streams
	sent   *sent        // uploaded, and not yet a head; ends with the next write

	shown atomic.Pointer[upstream] // up, for who looks on without inode.up
}

// sends sets up. inode.up is held.
func (w *writing) sends(u *upstream) {
	w.up = u
	w.shown.Store(u)
}

// sent is a spool file's content in the store, before a head refers to it.
type sent struct {
	head    *record.Head
	content *contentRecord  // nil: the head needs no new one
	runs    []spool.Segment // of the file, which the content has one after the other
	under   layout          // what the file lay over then
}

type contentRecord struct {
	id     []byte
	record *record.Content
	sums   []uint32 // of its blocks
}

// read fills p with what the media holds from off on, and returns less only at its end. inode.io or
// inode.up is held; rest is called without them for what is not in the file.
func (w *writing) read(p []byte, off int64) (n int, rest func(ctx context.Context, r *readers) error, err error) {
	n, missing, err := w.file.ReadOwn(p, off)
	if err != nil || len(missing) == 0 {
		return n, nil, err
	}
	under := w.under
	return n, func(ctx context.Context, r *readers) error {
		for _, s := range missing {
			part := p[s.Offset-off : s.End()-off]
			m, err := under.readAt(ctx, r, part, s.Offset)
			if err != nil {
				return err
			}
			clear(part[m:])
		}
		return nil
	}, nil
}

// segments lists the data of the media between its holes. inode.io or inode.up is held.
func (w *writing) segments() ([]spool.Segment, error) {
	segs, err := w.file.Segments()
	if err != nil || !w.file.Overlay() {
		return segs, err
	}
	size := w.file.Size()
	var own, all spool.Ranges
	for _, s := range w.file.Own(0, size) {
		own.Add(s.Offset, s.Length)
	}
	for _, s := range intersect(own.In(0, size), segs) {
		all.Add(s.Offset, s.Length)
	}
	for _, x := range w.under.extents {
		for _, s := range own.Out(x.off, min(x.n, size-x.off)) {
			all.Add(s.Offset, s.Length)
		}
	}
	return all.In(0, size), nil
}

// view is a spool file as an io.ReaderAt that has all bytes of the media. inode.up is held as long
// as it is used.
type view struct {
	ctx context.Context
	w   *writing
	r   *readers
}

func (v view) ReadAt(p []byte, off int64) (int, error) {
	n, rest, err := v.w.read(p, off)
	if err == nil && rest != nil {
		if err = rest(v.ctx, v.r); err != nil {
			return 0, err
		}
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// wrote notes that [off, off+n) of a media of size bytes was written, zeroed or added.
func (w *writing) wrote(off, n, size int64) {
	from := min(off, size) // what a write beyond the end leaves in between is new as well
	w.dirty.Add(from, off+n-from)
	if off <= w.high {
		w.high = max(w.high, off+n)
	}
}

// cut notes that only size bytes are left.
func (w *writing) cut(size int64) {
	w.dirty.Cut(size)
	w.high = min(w.high, size)
}

// lie makes the file lie over a layout.
func (w *writing) lie(l layout) {
	w.under = l
	below := make([]spool.Segment, len(l.extents))
	for i, x := range l.extents {
		below[i] = spool.Segment{Offset: x.off, Length: x.n}
	}
	w.file.Over(below)
}

// headUnder encodes a head for the description of an overlay.
func headUnder(h *record.Head) ([]byte, error) {
	b, err := proto.Marshal(&record.Head{Size: h.GetSize(), Extents: h.GetExtents()})
	if err != nil {
		return nil, remote.E("write spool file", "", remote.Invalid, err)
	}
	return b, nil
}

// end gives up a spool file: nobody wants its bytes, or they are elsewhere. inode.up is held, and
// the inode has another one or none.
func (fs *FS) end(w *writing) error {
	fs.dropUpstream(w)
	return w.file.Remove()
}

// relay makes an overlay show the media's present head, to whose contents the library refers for as
// long as it is one, where it has no bytes of its own. inode.up is held, and the file's own bytes
// are that head's.
func (fs *FS) relay(ino *inode, w *writing, d *spool.Description) error {
	l, err := fs.layoutOfHead(w.sent.head)
	if err != nil {
		return err
	}
	if d.Under, err = headUnder(w.sent.head); err != nil {
		return err
	}
	if err := w.file.Describe(*d); err != nil {
		return err
	}
	ino.io.Lock()
	w.lie(l)
	ino.io.Unlock()
	return nil
}

// layoutOfHead gives the whole layout of a head whose contents the catalog knows.
func (fs *FS) layoutOfHead(h *record.Head) (l layout, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		l, err = fs.layoutOf(tx, h, 0, int64(h.GetSize()))
		return err
	})
	return l, err
}

// hollow gives the disk the room of a spool file back whose bytes are the media's head. It tells
// whether there were such bytes. inode.up is held.
func (fs *FS) hollow(ino *inode) (taken bool, err error) {
	w := ino.w
	if w == nil || w.shared || ino.isDirty() || ino.isLocal() || w.head == nil || len(w.head.Extents) == 0 ||
		w.base != operation.HeadID(w.head) {
		return false, nil
	}
	l, err := fs.layoutOfHead(w.head)
	if err != nil {
		return false, err
	}
	d := w.file.Description()
	if d.Under, err = headUnder(w.head); err != nil {
		return false, err
	}
	ino.io.Lock()
	defer ino.io.Unlock()
	w.sent = nil // what was sent is not in the file any more: nothing to adopt
	err = w.file.Hollow(d)
	w.lie(l)
	return true, err
}
