package engine

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"hash/crc32"
	"io"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote/bucket/record"
)

// CRC32 gives the CRC-32 (IEEE) of the whole of a media: the catalog's when its head is one whole
// content, else by reading it. Holes cost no reading.
func (fs *FS) CRC32(ctx context.Context, id vfs.ID) (sum uint32, err error) {
	var l layout
	known := false
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "sum up", id)
		}
		if c := wholeContent(tx, n.Head); c.GetHasCrc32() {
			sum, known = c.Crc32, true
			return tx.Err()
		}
		l, err = fs.layoutOf(tx, n.Head, 0, int64(n.Head.GetSize()))
		return err
	})
	if err != nil || known {
		return sum, err
	}
	r := readers{cache: fs.cache}
	defer r.close()
	src := layoutReader{ctx, &l, &r}
	at := int64(0)
	buf := make([]byte, 1<<20)
	for _, x := range l.extents {
		sum = crcZeros(sum, x.off-at)
		for at = x.off; at < x.off+x.n; {
			p := buf[:min(int64(len(buf)), x.off+x.n-at)]
			if n, err := src.ReadAt(p, at); n < len(p) {
				if err == nil {
					err = io.ErrUnexpectedEOF
				}
				return 0, err
			}
			sum = crc32.Update(sum, crc32.IEEETable, p)
			at += int64(len(p))
		}
	}
	return crcZeros(sum, l.size-at), nil
}

// wholeContent gives the content whose bytes are exactly a head's; nil when there is none.
func wholeContent(tx *catalog.Tx, h *record.Head) *record.Content {
	es := h.GetExtents()
	if len(es) != 1 || es[0].Offset != 0 || es[0].ContentOffset != 0 || es[0].Length != h.Size {
		return nil
	}
	if c := tx.Content(es[0].Content); c != nil && c.Size == h.Size {
		return c
	}
	return nil
}

// bytesOf is a media's head as an io.ReaderAt, read from the spool file as long as that has the
// head's bytes, and what of it is on this disk.
type bytesOf struct {
	ctx  context.Context
	fs   *FS
	ino  *inode
	head string // headID
	l    *layout
	r    *readers
}

// spooled gives the spool file that has the head's bytes; nil when there is none. inode.io is held.
func (b *bytesOf) spooled() *writing {
	if w := b.ino.w; w != nil && w.base == b.head && !b.ino.isLocal() {
		return w
	}
	return nil
}

func (b *bytesOf) ReadAt(p []byte, off int64) (int, error) {
	b.ino.io.RLock()
	if w := b.spooled(); w != nil {
		n, rest, err := w.read(p, off)
		b.ino.io.RUnlock()
		if err == nil && rest != nil {
			err = rest(b.ctx, b.r)
		}
		if err == nil && n < len(p) {
			err = io.EOF
		}
		return n, err
	}
	b.ino.io.RUnlock()
	return layoutReader{b.ctx, b.l, b.r}.ReadAt(p, off)
}

// here reports whether [off, off+n) can be read without the network.
func (b *bytesOf) here(off, n int64) bool {
	if b.fs.store.Facts().Local {
		return true
	}
	missing := []spool.Segment{{Offset: off, Length: n}}
	b.ino.io.RLock()
	if w := b.spooled(); w != nil {
		var own spool.Ranges
		for _, s := range w.file.Own(off, n) {
			own.Add(s.Offset, s.Length)
		}
		missing = own.Out(off, n)
	}
	b.ino.io.RUnlock()
	for _, s := range missing {
		if !b.fs.cached(b.l, s.Offset, s.Length) {
			return false
		}
	}
	return true
}

// cached reports whether [off, off+n) of a layout is in the read cache.
func (fs *FS) cached(l *layout, off, n int64) bool {
	for _, x := range l.extents {
		from, to := max(x.off, off), min(x.off+x.n, off+n)
		if from < to && x.inline == nil && !fs.cache.Has(x.content, x.from+from-x.off, to-from) {
			return false
		}
	}
	return true
}

// maxHashed is how many bytes of holes are hashed at most.
const maxHashed = 1 << 30

// sums gives SHA-256 and MD5 of the head, or nothing when some of it is not on this disk: nobody
// downloads a media to hash it.
func (b *bytesOf) sums() (sha, md []byte, err error) {
	bytes := int64(0)
	for _, x := range b.l.extents {
		bytes += x.n
	}
	if b.l.size-bytes > maxHashed || !b.here(0, b.l.size) {
		return nil, nil, nil
	}
	s, m := sha256.New(), md5.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < b.l.size; {
		p := buf[:min(int64(len(buf)), b.l.size-off)]
		if !b.here(off, int64(len(p))) {
			return nil, nil, nil // it was evicted meanwhile
		}
		n, err := b.ReadAt(p, off)
		if n < len(p) {
			return nil, nil, short(err)
		}
		s.Write(p)
		m.Write(p)
		off += int64(n)
	}
	return s.Sum(nil), m.Sum(nil), nil
}

// crcZeros is a CRC-32 after n zero bytes more. Each step squares the matrix that a zero byte is,
// as zlib's crc32_combine does.
func crcZeros(sum uint32, n int64) uint32 {
	if n <= 0 {
		return sum
	}
	var step [32]uint32 // of one zero bit, on the inverted register
	step[0] = crc32.IEEE
	for i := 1; i < 32; i++ {
		step[i] = 1 << (i - 1)
	}
	times := func(m *[32]uint32, v uint32) (s uint32) {
		for i := 0; v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				s ^= m[i]
			}
		}
		return s
	}
	square := func(m *[32]uint32) (s [32]uint32) {
		for i := range s {
			s[i] = times(m, m[i])
		}
		return s
	}
	for range 3 {
		step = square(&step) // of one zero byte
	}
	state := ^sum
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			state = times(&step, state)
		}
		step = square(&step)
	}
	return ^state
}
