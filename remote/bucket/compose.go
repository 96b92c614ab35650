package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/sync/errgroup"

	"mediafs/remote"
	"mediafs/remote/object"
)

// composeParallel is how many chunks of a composed content are copied or put at the same time. Each
// holds no more memory than a request's buffers.
const composeParallel = 4

// Compose makes a content partly out of others; see remote.Composer. The chunks are those of an
// upload of that size, all but the last equal, because some stores demand that: one that lies
// wholly in a piece is copied inside the store, the others are put from body. A content that fits
// in one chunk is put whole. Bytes of external contents are put from body: somebody may replace
// such an object between two copies.
//
// The parts are listed before the end, one request per 1,000: a store that copied more or less than
// it was asked for gets that chunk from body. So does one whose source is gone, or that cannot copy
// at all.
func (s *Store) Compose(
	ctx context.Context, spec remote.UploadSpec, body io.ReaderAt, pieces []remote.Piece,
) (remote.ContentID, error) {
	const op = "compose content"
	spans, err := joinPieces(spec.Size, pieces)
	if err != nil {
		return remote.ContentID{}, during(op, spec.ID, err)
	}
	spec.Resume = ""
	up, err := s.StartUpload(ctx, spec)
	if err != nil {
		return remote.ContentID{}, during(op, spec.ID, err)
	}
	u := up.(*upload)
	id, err := u.compose(ctx, body, spans)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
		defer cancel()
		_ = u.Abort(ctx) // what is left over is swept like any other upload that was abandoned
		return remote.ContentID{}, during(op, u.key, err)
	}
	return id, nil
}

// Sends tells which chunks Compose would put; see remote.Composer. A store that is known to copy
// nothing is sent all of them.
func (s *Store) Sends(size int64, pieces []remote.Piece) ([]remote.Run, error) {
	const op = "plan content"
	spans, err := joinPieces(size, pieces)
	if err != nil {
		return nil, during(op, "", err)
	}
	chunk, err := s.chunkSize(size)
	if err != nil {
		return nil, during(op, "", err)
	}
	var runs []remote.Run
	for off := int64(0); off < size; off += chunk {
		n := min(chunk, size-off)
		if _, copied := covering(&spans, off, n, size > chunk && !s.habits.NoCopy); copied {
			continue
		}
		if last := len(runs) - 1; last >= 0 && runs[last].Offset+runs[last].Length == off {
			runs[last].Length += n
			continue
		}
		runs = append(runs, remote.Run{Offset: off, Length: n})
	}
	return runs, nil
}

// covering finds the span in which a chunk lies wholly, and drops those before it. The only chunk
// of a content is put, and copies says whether others can be copied at all.
func covering(spans *[]span, off, n int64, copies bool) (s span, found bool) {
	for len(*spans) > 0 && (*spans)[0].end <= off {
		*spans = (*spans)[1:]
	}
	if !copies || len(*spans) == 0 || !(*spans)[0].covers(off, n) {
		return span{}, false
	}
	return (*spans)[0], true
}

func (u *upload) compose(ctx context.Context, body io.ReaderAt, spans []span) (remote.ContentID, error) {
	chunks := int((u.size + u.chunk - 1) / u.chunk)
	put := func(ctx context.Context, i int) error {
		off := int64(i) * u.chunk
		return u.PutChunk(ctx, i, io.NewSectionReader(body, off, min(u.chunk, u.size-off)))
	}
	copies := false
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(composeParallel)
	for i := range chunks {
		off := int64(i) * u.chunk
		n := min(u.chunk, u.size-off)
		in, copied := covering(&spans, off, n, chunks > 1 && !u.s.habits.NoCopy)
		if !copied {
			g.Go(func() error { return put(gctx, i) })
			continue
		}
		copies = true
		source, from := in.source, in.from+off-in.off
		g.Go(func() error {
			copied, err := u.copyChunk(gctx, i, n, source, from)
			if !copied && err == nil {
				err = put(gctx, i)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return remote.ContentID{}, err
	}
	if copies {
		wrong, err := u.wrongParts(ctx)
		if err != nil {
			return remote.ContentID{}, err
		}
		for _, i := range wrong {
			if err := put(ctx, i); err != nil {
				return remote.ContentID{}, err
			}
		}
	}
	return u.Commit(ctx, chunks, u.size)
}

// copyChunk makes n bytes of an object a chunk. copied is false, without an error, when the store
// cannot: the object is gone, or it copies nothing.
func (u *upload) copyChunk(
	ctx context.Context, index int, n int64, source string, from int64,
) (copied bool, err error) {
	if err := u.take(ctx, index); err != nil {
		return false, err
	}
	defer u.release(index)
	id := u.multipart()
	var p object.Part
	err = u.s.retry(ctx, func() (err error) {
		p, err = u.s.bucket.CopyPart(ctx, u.key, id, index+1, source, from, n)
		return err
	})
	var e *remote.Error
	gone := errors.As(err, &e) && e.Kind == remote.NotExist && e.Path == source
	if gone || errors.Is(err, remote.Unsupported) {
		return false, nil
	}
	if err := u.keepPart(index, p, err); err != nil {
		return false, during(fmt.Sprintf("copy chunk %d from", index), source, err)
	}
	return true, nil
}

// wrongParts asks the store for its parts and returns the chunks that do not have the size they
// must have there.
func (u *upload) wrongParts(ctx context.Context) (chunks []int, err error) {
	var parts []object.Part
	err = u.s.retry(ctx, func() (err error) {
		parts, err = u.s.bucket.ListParts(ctx, u.key, u.multipart())
		return err
	})
	if errors.Is(err, remote.NotExist) {
		return nil, aborted(u.key)
	}
	for _, p := range parts {
		if i := p.Number - 1; p.Size != min(u.chunk, u.size-int64(i)*u.chunk) {
			chunks = append(chunks, i)
		}
	}
	return chunks, err
}

// A span says that bytes off to end of a new content are those of the object source from from on.
type span struct {
	off, end int64
	source   string // key
	from     int64
}

func (s span) covers(off, n int64) bool { return s.off <= off && off+n <= s.end }

// joinPieces checks the pieces of a content of size bytes and joins those that follow each other
// here and in their source. Those of external contents are left out.
func joinPieces(size int64, pieces []remote.Piece) ([]span, error) {
	bad := func(format string, args ...any) error {
		return remote.E("", "", remote.Invalid, fmt.Errorf(format, args...))
	}
	if size < 0 {
		return nil, bad("the size must be known")
	}
	var spans []span
	end := int64(0)
	for i, p := range pieces {
		switch {
		case p.Length <= 0 || p.Offset < 0 || p.From < 0 || p.From > math.MaxInt64-p.Length:
			return nil, bad(
				"piece %d has %d bytes at %d from %d on: these are no ranges", i, p.Length, p.Offset, p.From,
			)
		case p.Offset < end:
			return nil, bad("piece %d at %d begins before the end of the one before it, %d", i, p.Offset, end)
		case p.Length > size-p.Offset:
			return nil, bad("piece %d of %d bytes at %d does not lie in the content of %d", i, p.Length, p.Offset, size)
		}
		end = p.Offset + p.Length
		key, etag, err := locate(p.Source)
		if err != nil {
			return nil, bad("piece %d: %w", i, err)
		}
		if etag != "" {
			continue
		}
		if n := len(
			spans,
		) - 1; n >= 0 && spans[n].source == key && spans[n].end == p.Offset &&
			spans[n].from+p.Offset-spans[n].off == p.From {
			spans[n].end = end
			continue
		}
		spans = append(spans, span{off: p.Offset, end: end, source: key, from: p.From})
	}
	return spans, nil
}
