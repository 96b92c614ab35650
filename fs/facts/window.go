package facts

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"io"
)

// Sizes of the window. Contents may lie in an object store, where a request costs as much as a few
// hundred KiB: blocks are large, and who reads on gets more at once.
const (
	blockSize   = 64 << 10
	maxReadHead = 1 << 20  // most that is fetched in one request
	maxBlocks   = 64       // kept, 4 MiB
	maxField    = 16 << 20 // no field of any format that is read here is larger
)

// errBudget is returned by reads past what one extraction may read.
var errBudget = errors.New("too many bytes")

// A window is a media seen through a few blocks of it. Every read counts: bytes fetched against the
// limit, and bytes handed out against a multiple of it, so that a reader that is sent in circles by
// the bytes comes to an end as well.
type window struct {
	ctx    context.Context
	src    io.ReaderAt
	size   int64
	budget int64 // bytes that may still be fetched
	spin   int64 // bytes that may still be handed out

	blocks  map[int64]*list.Element // by number
	recent  *list.List              // of *block, the last used first
	next    int64                   // block after the last one fetched
	ahead   int64                   // bytes that the next fetch takes if it begins there
	failure error                   // why the source could not be read: not the bytes' fault
}

type block struct {
	number int64
	data   []byte
}

func newWindow(ctx context.Context, src Source, limit int64) *window {
	return &window{ctx: ctx, src: src.ReaderAt, size: max(src.Size, 0), budget: limit, spin: 4 * limit,
		blocks: map[int64]*list.Element{}, recent: list.New(), next: -1, ahead: blockSize}
}

// ReadAt reads like io.ReaderAt, except that a read at or past the end is io.EOF whatever its
// length.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if err := w.ctx.Err(); err != nil {
		w.failure = err
		return 0, err
	}
	if off < 0 {
		return 0, errDamaged
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= w.size {
			return n, io.EOF
		}
		data, err := w.block(at / blockSize)
		if err != nil {
			return n, err
		}
		rest := data[min(at%blockSize, int64(len(data))):]
		if len(rest) == 0 {
			return n, io.EOF // the source is shorter than it said
		}
		n += copy(p[n:], rest)
	}
	// A call costs something even if it reads one byte.
	if w.spin -= int64(max(n, 16)); w.spin < 0 {
		return 0, errBudget
	}
	return n, nil
}

func (w *window) block(number int64) ([]byte, error) {
	if e, ok := w.blocks[number]; ok {
		w.recent.MoveToFront(e)
		return e.Value.(*block).data, nil
	}
	if w.failure != nil {
		return nil, w.failure
	}
	want := int64(blockSize)
	if number == w.next {
		want = min(2*w.ahead, maxReadHead)
	}
	off := number * blockSize
	n := min(want, w.size-off, w.budget)
	if n < min(blockSize, w.size-off) {
		return nil, errBudget
	}
	w.ahead = want
	w.budget -= n
	buf := make([]byte, n)
	got, err := w.src.ReadAt(buf, off)
	if err != nil && err != io.EOF {
		w.failure = err
		return nil, err
	}
	buf = buf[:got]
	w.next = number + (n+blockSize-1)/blockSize
	for i := w.next - 1; i >= number; i-- { // the one asked for last: it is the most recent
		from := min((i-number)*blockSize, int64(len(buf)))
		b := &block{i, buf[from:min(from+blockSize, int64(len(buf)))]}
		if old, ok := w.blocks[i]; ok {
			w.recent.Remove(old)
		}
		w.blocks[i] = w.recent.PushFront(b)
	}
	for w.recent.Len() > maxBlocks {
		e := w.recent.Back()
		delete(w.blocks, e.Value.(*block).number)
		w.recent.Remove(e)
	}
	return w.blocks[number].Value.(*block).data, nil
}

// bytes returns n bytes from off on, and errDamaged for a length that no media has there. It
// allocates no more than there is.
func (w *window) bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 {
		return nil, errDamaged
	}
	if off > w.size || n > w.size-off {
		return nil, io.ErrUnexpectedEOF
	}
	if n > maxField {
		return nil, errDamaged
	}
	p := make([]byte, n)
	if _, err := w.ReadAt(p, off); err != nil {
		return nil, err
	}
	return p, nil
}

// upTo returns at most n bytes from off on: fewer at the end, also where that comes before the size
// that was said.
func (w *window) upTo(off, n int64) ([]byte, error) {
	n = min(n, w.size-off)
	if off < 0 || n <= 0 || n > maxField {
		return w.bytes(off, max(0, n))
	}
	p := make([]byte, n)
	got, err := w.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return p[:got], err
}

func (w *window) be32(off int64) (uint32, error) {
	var p [4]byte
	_, err := w.ReadAt(p[:], off)
	return binary.BigEndian.Uint32(p[:]), err
}

// section is a part of a media as an io.ReadSeeker, for libraries that want one.
func (w *window) section(off, n int64) *io.SectionReader {
	return io.NewSectionReader(w, off, n)
}
