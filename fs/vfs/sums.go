package vfs

import (
	"context"
	"hash/crc32"
	"io"

	"mediafs/cache/catalog"
)

// CRC32 gives the CRC-32 (IEEE) of the whole of a media: the catalog's when its head is one whole content, else by reading it. Holes cost no reading.
func (fs *FS) CRC32(ctx context.Context, id ID) (sum uint32, err error) {
	var l layout
	known := false
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return missing(tx, "sum up", id)
		}
		if es := n.Head.GetExtents(); len(es) == 1 && es[0].Offset == 0 && es[0].ContentOffset == 0 && es[0].Length == n.Head.Size {
			if c := tx.Content(es[0].Content); c.GetHasCrc32() && c.Size == n.Head.Size {
				sum, known = c.Crc32, true
				return tx.Err()
			}
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

// crcZeros is a CRC-32 after n zero bytes more. Each step squares the matrix that a zero byte is, as zlib's crc32_combine does.
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
