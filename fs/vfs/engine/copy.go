package engine

import (
	"context"
	"math"
	"sort"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// copyBelow is how many bytes are copied as bytes: what refers to less of another media costs more
// in every later read than it saves. It is also how much one call copies so.
const copyBelow = 1 << 20

// CopyRange makes [off, off+n) of this file what another has from fromOff on, and tells how much
// was copied: less at that one's end, and where the caller is to ask again. No bytes move when it
// is a large range and the other's bytes are in the store: the new head refers to them.
func (f *file) CopyRange(ctx context.Context, from vfs.File, fromOff, off, n int64) (int64, error) {
	src, ok := from.(*file)
	if !ok || src.fs != f.fs {
		return 0, remote.E("copy", "", remote.Unsupported, nil)
	}
	if !f.writes {
		return 0, remote.E("copy", "", remote.Permission, nil)
	}
	if n <= 0 || fromOff < 0 || off < 0 {
		return 0, nil
	}
	if off >= maxSize {
		return 0, fits("copy", off, n)
	}
	n = min(n, maxSize-off, math.MaxInt64-fromOff)
	if fromOff == 0 && off == 0 {
		f.copiedFrom(src)
	}
	if n >= copyBelow && src.ino != f.ino {
		done, err := f.refer(ctx, src, fromOff, off, n)
		if done > 0 || err != nil {
			return done, err
		}
	}
	p := make([]byte, min(n, copyBelow))
	m, err := src.Read(ctx, p, fromOff)
	if err != nil || m == 0 {
		return 0, err
	}
	m, err = f.Write(ctx, p[:m], off)
	return int64(m), err
}

// copiedFrom notes which media a new file is being made a copy of.
func (f *file) copiedFrom(src *file) {
	if src.ino == f.ino {
		return
	}
	var id []byte
	_ = f.fs.cat.View(func(tx *catalog.Tx) error {
		if n, to := tx.Node(src.ino.id), tx.Node(f.ino.id); n != nil && to != nil && to.Head.GetSize() == 0 {
			id = n.MediaId
		}
		return nil
	})
	f.ino.mu.Lock()
	defer f.ino.mu.Unlock()
	if !f.ino.local || f.ino.size == 0 {
		f.ino.copyOf = id
	}
}

// refer does a copy without bytes; 0 when it must be done with them.
func (f *file) refer(ctx context.Context, src *file, fromOff, off, n int64) (int64, error) {
	fs := f.fs
	if src.ino.isLocal() {
		if fs.background() {
			return 0, nil
		}
		if err := fs.uploadWithin(ctx, src.ino, false); err != nil {
			return 0, err
		}
	}
	if src.ino.isLocal() {
		return 0, nil // of a deleted file, or somebody writes on
	}
	var head *record.Head
	err := fs.cat.View(func(tx *catalog.Tx) error {
		nd := tx.Node(src.ino.id)
		if nd == nil {
			return operation.Missing(tx, "copy", src.ino.id)
		}
		head = nd.Head
		return nil
	})
	if err != nil {
		return 0, err
	}
	if n = min(n, int64(head.GetSize())-fromOff); n < copyBelow {
		return 0, nil
	}
	ino := f.ino
	if err := fs.lock(ctx, ino); err != nil {
		return 0, err
	}
	defer ino.unlock()
	if err := f.alive("copy"); err != nil {
		return 0, err
	}
	if err := fs.room(ctx, ino, 0); err != nil {
		return 0, err
	}
	if err := fs.makeWritable(ctx, ino, -1, off); err != nil {
		return 0, err
	}
	fs.dropUpstream(ino.w)
	if err := fs.dirtied(ino, off, n); err != nil {
		return 0, err
	}
	f.wrote.Store(true)
	return n, fs.splice(ino, head, fromOff, off, n)
}

// splice makes [off, off+n) of a media being written refer to what another head has from fromOff
// on. inode.up is held.
func (fs *FS) splice(ino *inode, from *record.Head, fromOff, off, n int64) error {
	w, size := ino.w, ino.size
	head := &record.Head{Size: uint64(max(size, off+n))}
	keep := func(h *record.Head, lo, hi, shift int64) {
		for _, e := range h.GetExtents() {
			a, b := max(lo, int64(e.Offset)), min(hi, int64(e.Offset+e.Length))
			if a < b {
				x := proto.CloneOf(e)
				x.Offset, x.Length, x.ContentOffset = uint64(a+shift), uint64(b-a), e.ContentOffset+uint64(a)-e.Offset
				head.Extents = append(head.Extents, x)
			}
		}
	}
	keep(w.head, 0, min(off, size), 0)
	keep(w.head, off+n, size, 0)
	keep(from, fromOff, fromOff+n, off-fromOff)
	sort.Slice(head.Extents, func(i, j int) bool { return head.Extents[i].Offset < head.Extents[j].Offset })
	l, err := fs.layoutOfHead(head)
	if err != nil {
		return err
	}
	d := w.file.Description()
	if d.Under, err = headUnder(head); err != nil {
		return err
	}
	ino.io.Lock()
	defer ino.io.Unlock()
	if err := w.file.Splice(d, off, n); err != nil {
		return err
	}
	if w.head == nil {
		w.dirty.Add(0, size)
	}
	if off > size {
		w.dirty.Add(size, off-size)
	}
	w.dirty.Remove(off, n)
	w.head = head
	w.lie(l)
	ino.grow(off + n)
	return nil
}
