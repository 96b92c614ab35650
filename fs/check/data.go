package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sortedIDs(m map[contentID]doubt) []contentID {
	ids := make([]contentID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b contentID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// loadSums gets the block checksums of a content: nil when there are none. What is wrong with them
// is the doubt.
func (c *checker) loadSums(
	ctx context.Context, id remote.ContentID, rec *record.Content,
) (sums []uint32, d doubt, err error) {
	b := rec.BlockSums
	if len(rec.SideSum) > 0 {
		b, err = c.opt.Store.GetSide(ctx, id, bucket.SuffixSum)
		switch remote.KindOf(err) {
		case remote.NotExist:
			return nil, doubt{MissingSums, "the object with its block checksums is not there" + occupied(err)}, nil
		case remote.Corrupt, remote.Unsupported:
			return nil, doubt{AlteredSums, err.Error()}, nil
		case remote.Archived:
			return nil, doubt{InArchive, err.Error()}, nil
		}
		if c.ofObject(err) {
			return nil, doubt{Unreadable, err.Error()}, nil
		}
		if err != nil {
			return nil, doubt{}, err
		}
		if got := sha256.Sum256(b); !bytes.Equal(got[:], rec.SideSum) {
			return nil, doubt{AlteredSums, "the block checksums are not those that the catalog means"}, nil
		}
	}
	if len(b) == 0 {
		return nil, doubt{}, nil
	}
	if want := int((rec.Size + blockSize - 1) / blockSize); len(b) != 4*want {
		return nil, doubt{AlteredSums, fmt.Sprintf("there are %d bytes of checksums for %d blocks", len(b), want)}, nil
	}
	for ; len(b) > 0; b = b[4:] {
		sums = append(sums, binary.BigEndian.Uint32(b))
	}
	return sums, doubt{}, nil
}

// readContents reads every content that is in use, several at a time, and compares it with its
// checksums. Contents of which something is wrong already are left out.
func (c *checker) readContents(s *survey) error {
	c.meter.phase("reading contents", c.report.Contents.Bytes, true)
	g, ctx := errgroup.WithContext(c.ctx)
	g.SetLimit(c.opt.Readers)
	var mu sync.Mutex // guards what the readers report
	for i := range s.contents {
		e := s.contents[i]
		if !e.is(used) || e.is(foreign) || e.is(doubted) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		rec := s.tx.Content(e.id[:])
		if rec == nil {
			break // the transaction's error says why
		}
		g.Go(func() error {
			d, err := c.verify(ctx, e.id, rec)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			c.report.Read.add(int64(rec.Size))
			switch d.class {
			case "":
			case Unverified, InArchive:
				c.find.add(d.class, Place{}, "content "+e.id.String(), "%s", d.why)
			default:
				c.doubt(e.id, d)
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), s.tx.Err())
}

// verify reads one content. A zero doubt says that it is what was stored.
func (c *checker) verify(ctx context.Context, id contentID, rec *record.Content) (doubt, error) {
	v := &verifier{c: c, id: id.remoteID(rec), rec: rec, size: int64(rec.Size)}
	var err error
	var d doubt
	if v.sums, d, err = c.loadSums(ctx, v.id, rec); err != nil || d.class != "" {
		return d, err
	}
	if d, err = v.read(ctx); err != nil || d.class != "" {
		return d, err
	}
	switch {
	case len(v.bad) > 0:
		return doubt{
			AlteredContent,
			fmt.Sprintf(
				"%d of %d blocks of 256 KiB differ from their checksums, the first at byte %d", len(v.bad), len(v.sums),
				v.bad[0]*blockSize,
			),
		}, nil
	case rec.HasCrc32 && v.crc != rec.Crc32:
		return doubt{
			AlteredContent,
			fmt.Sprintf("the CRC-32 of the whole is %08x, it was %08x when it was stored", v.crc, rec.Crc32),
		}, nil
	case len(v.sums) == 0 && !rec.HasCrc32 && v.size > 0:
		return doubt{Unverified, "the catalog has no checksum of it"}, nil
	}
	return doubt{}, nil
}

// A verifier reads one content from its start to its end.
type verifier struct {
	c    *checker
	id   remote.ContentID
	rec  *record.Content
	size int64
	sums []uint32 // nil: none
	pos  int64    // how far it is read
	crc  uint32   // CRC-32 up to there
	bad  []int64  // blocks that differ
}

// read reads to the end, range by range. A range that breaks off is asked for again from the block
// that was not read whole.
func (v *verifier) read(ctx context.Context) (doubt, error) {
	buf := make([]byte, min(blockSize, max(v.size, 1)))
	fails := 0 // in a row, without a block
	for v.pos < v.size {
		before := v.pos
		err := v.readRange(ctx, buf, min(v.c.opt.RangeSize, v.size-v.pos))
		if v.pos > before {
			fails = 0
		}
		switch remote.KindOf(err) {
		case remote.NotExist, remote.Stale, remote.Corrupt:
			return v.gone(err), nil
		case remote.Archived:
			return doubt{InArchive, err.Error()}, nil
		case remote.Unavailable, remote.Throttled:
			if fails++; fails < v.c.opt.Attempts && await(ctx, v.c.opt.Pause, fails) == nil {
				continue
			}
		}
		switch {
		case v.c.ofObject(err):
			return doubt{Unreadable, err.Error()}, nil
		case err != nil:
			return doubt{}, err
		}
	}
	return doubt{}, nil
}

// gone is what is wrong when the store says that a content is not what was stored.
func (v *verifier) gone(err error) doubt {
	switch {
	case v.rec.External != nil:
		return doubt{ChangedExternal, err.Error()}
	case errors.Is(err, remote.NotExist):
		return doubt{MissingContent, "the object is not there" + occupied(err)}
	}
	return doubt{WrongSize, err.Error()}
}

// readRange reads n bytes from pos on, in whole blocks but for the last of the content.
func (v *verifier) readRange(ctx context.Context, buf []byte, n int64) error {
	r, err := v.open(ctx, v.pos, n)
	if err != nil {
		return err
	}
	defer r.Close()
	for left := n; left > 0; {
		b := buf[:min(int64(len(buf)), left)]
		if _, err := io.ReadFull(r, b); err != nil {
			return cut(v.id.ID, v.pos, err)
		}
		if err := v.block(ctx, b); err != nil {
			return err
		}
		left -= int64(len(b))
		v.pos += int64(len(b))
		v.c.meter.add(int64(len(b)))
	}
	return nil
}

func (v *verifier) open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if in := v.rec.Inline; in != nil {
		if int64(len(in)) != v.size {
			return nil, remote.E(
				"read content", v.id.ID, remote.Corrupt, fmt.Errorf("it has %d bytes, not %d", len(in), v.size),
			)
		}
		return io.NopCloser(bytes.NewReader(in[off : off+n])), nil
	}
	return v.c.opt.Store.OpenContent(ctx, v.id, off, n)
}

// cut is the error of a body that ended early: by itself when the object is short, which listing
// would have found, so it was cut since.
func cut(id string, pos int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return remote.E("read content", id, remote.Corrupt, fmt.Errorf("it ends after byte %d", pos))
	}
	if kind := remote.KindOf(err); kind != remote.Other {
		return err
	}
	return remote.E("read content", id, remote.Unavailable, err)
}

// block checks the block at pos. One that differs is read once more: it may have been damaged on
// its way.
func (v *verifier) block(ctx context.Context, b []byte) error {
	n := v.pos / blockSize
	if len(v.sums) > 0 && crc32.Checksum(b, castagnoli) != v.sums[n] {
		r, err := v.open(ctx, v.pos, int64(len(b)))
		if err != nil {
			return err
		}
		_, err = io.ReadFull(r, b)
		if err := errors.Join(err, r.Close()); err != nil {
			return cut(v.id.ID, v.pos, err)
		}
		if crc32.Checksum(b, castagnoli) != v.sums[n] {
			v.bad = append(v.bad, n)
		}
	}
	v.crc = crc32.Update(v.crc, crc32.IEEETable, b)
	return nil
}
