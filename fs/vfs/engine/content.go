package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"golang.org/x/sync/errgroup"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// sideStore is a store that keeps small objects beside contents.
type sideStore interface {
	PutSide(ctx context.Context, id remote.ContentID, suffix string, body []byte) error
	GetSide(ctx context.Context, id remote.ContentID, suffix string) ([]byte, error)
}

const sumSuffix = ".sum"

// extent is a run of a head with what is needed to read it.
type extent struct {
	off, n  int64 // in the media
	from    int64 // in the content
	content block.Content
	inline  []byte
}

// layout is a head ready to be read.
type layout struct {
	size    int64
	extents []extent
}

// layoutOf reads the layout of a node's head, the part of it that [off, off+n) touches.
func (fs *FS) layoutOf(tx *catalog.Tx, head *record.Head, off, n int64) (layout, error) {
	l := layout{size: int64(head.GetSize())}
	if l.size < 0 {
		return layout{}, remote.E("read", "", remote.Corrupt, fmt.Errorf("a size of %d bytes", head.GetSize()))
	}
	end := int64(0)
	for _, e := range head.GetExtents() {
		x := extent{off: int64(e.Offset), n: int64(e.Length), from: int64(e.ContentOffset)}
		// Ascending, apart from each other and inside; written so that nothing overflows.
		if x.off < end || x.n < 0 || x.from < 0 || x.n > l.size-x.off || x.n > math.MaxInt64-x.from {
			return layout{}, remote.E("read", "", remote.Corrupt, errors.New("the extents of a head make no sense"))
		}
		end = x.off + x.n
		if end <= off || x.off >= off+n {
			continue
		}
		c := tx.Content(e.Content)
		if c == nil {
			if tx.Err() != nil {
				return layout{}, tx.Err()
			}
			return layout{}, remote.E(
				"read", hex.EncodeToString(e.Content), remote.Corrupt,
				errors.New("the catalog does not know this content"),
			)
		}
		if c.Codec != 0 || c.Cipher != nil || c.Location != "" {
			return layout{}, remote.E("read", hex.EncodeToString(e.Content), remote.Unsupported, errors.New("the content is encoded in a way this version does not know")).
				WithHint("use a newer mediafs")
		}
		if c.Inline != nil {
			x.inline = c.Inline
		} else {
			x.content = fs.blockContent(e.Content, c)
		}
		l.extents = append(l.extents, x)
	}
	return l, nil
}

// blockContent tells the read cache of a content.
func (fs *FS) blockContent(id []byte, c *record.Content) block.Content {
	b := block.Content{ID: remote.ContentID{ID: hex.EncodeToString(id)}, Size: int64(c.Size)}
	if c.External != nil {
		b.ID = remote.ContentID{ID: "key:" + c.External.Key, Validator: c.External.Etag}
	}
	switch {
	case len(c.BlockSums) > 0:
		b.Sums = decodeSums(c.BlockSums)
	case len(c.SideSum) > 0:
		want := c.SideSum
		b.LoadSums = func(ctx context.Context) ([]uint32, error) { return fs.loadSums(ctx, b.ID, want) }
	}
	return b
}

func (fs *FS) loadSums(ctx context.Context, id remote.ContentID, want []byte) ([]uint32, error) {
	side, ok := fs.store.(sideStore)
	if !ok {
		return nil, remote.E("read checksums", id.ID, remote.Unsupported, nil)
	}
	b, err := side.GetSide(ctx, id, sumSuffix)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); string(got[:]) != string(want) {
		return nil, remote.E(
			"read checksums", id.ID, remote.Corrupt, errors.New("they are not those that the catalog knows"),
		)
	}
	return decodeSums(b), nil
}

func decodeSums(b []byte) []uint32 {
	sums := make([]uint32, len(b)/4)
	for i := range sums {
		sums[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return sums
}

func encodeSums(sums []uint32) []byte {
	b := make([]byte, 0, 4*len(sums))
	for _, s := range sums {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	return b
}

// readers are one open file's readers of contents; they hold its read-ahead.
type readers struct {
	cache *block.Cache
	mu    sync.Mutex
	m     map[remote.ContentID]*reader
}

// A reader is closed when it was let go of and nobody uses it any more.
type reader struct {
	*block.Reader
	uses int // guarded by readers.mu
	gone bool
}

// read reads from a content. A file that changes its contents often lets the old ones go.
func (r *readers) read(ctx context.Context, c block.Content, p []byte, off int64) (int, error) {
	r.mu.Lock()
	rd := r.m[c.ID]
	if rd == nil {
		if len(r.m) >= record.MaxExtents {
			r.closeLocked()
		}
		if r.m == nil {
			r.m = make(map[remote.ContentID]*reader)
		}
		rd = &reader{Reader: r.cache.NewReader(c)}
		r.m[c.ID] = rd
	}
	rd.uses++
	r.mu.Unlock()
	n, err := rd.ReadAt(ctx, p, off)
	if remote.KindOf(err) == remote.NotExist {
		// It is the object that is not there, and not the file: no program is to see the one for
		// the other.
		if c.ID.Validator == "" {
			err = remote.E("read what the store has of it", "", remote.Corrupt, err).
				WithHint("mediafs check tells what is lost")
		} else {
			// It was somebody else's, who has deleted it: the library is not damaged.
			err = remote.E("read the object that was imported", "", remote.Other, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rd.uses--; rd.gone && rd.uses == 0 {
		rd.Close()
	}
	return n, err
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeLocked()
}

func (r *readers) closeLocked() {
	for _, rd := range r.m {
		if rd.gone = true; rd.uses == 0 {
			rd.Close()
		}
	}
	r.m = nil
}

// parallelExtents is how many extents one read reads at the same time.
const parallelExtents = 16

// readAt fills p with the bytes of a layout from off; holes are zeros. It returns less only at the
// end. What lies in several extents is read from them at the same time: a request for each of many
// small ones, one after the other, would be felt.
func (l *layout) readAt(ctx context.Context, r *readers, p []byte, off int64) (int, error) {
	if off >= l.size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), l.size-off)]
	end := off + int64(len(p))
	var parts []extent
	done := off // how far it is settled what is a hole
	for _, x := range l.extents {
		from, to := max(x.off, off), min(x.off+x.n, end)
		if from >= to {
			continue
		}
		clear(p[done-off : from-off])
		x.off, x.n, x.from = from, to-from, x.from+from-x.off
		parts = append(parts, x)
		done = to
	}
	clear(p[done-off:])
	if len(parts) == 1 {
		if err := parts[0].read(ctx, r, p[parts[0].off-off:][:parts[0].n]); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelExtents)
	for _, x := range parts {
		g.Go(func() error { return x.read(gctx, r, p[x.off-off:][:x.n]) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// read fills p with the first bytes of an extent.
func (x *extent) read(ctx context.Context, r *readers, p []byte) error {
	if x.inline != nil {
		if x.from > int64(len(x.inline))-int64(len(p)) {
			return remote.E("read", "", remote.Corrupt, errors.New("an extent lies outside of its content"))
		}
		copy(p, x.inline[x.from:])
		return nil
	}
	n, err := r.read(ctx, x.content, p, x.from)
	if n < len(p) {
		if err == nil || err == io.EOF {
			err = remote.E(
				"read", x.content.ID.ID, remote.Corrupt, fmt.Errorf("the content ends at %d", x.from+int64(n)),
			)
		}
		return err
	}
	return nil
}
