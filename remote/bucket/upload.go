package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"mediafs/remote"
	"mediafs/remote/object"
)

// maxParts is S3's limit on the parts of a multipart upload.
const maxParts = 10_000

// chunkSize is the chunk size of an upload of size bytes (-1: not known), which stays the same for all of it: the
// smallest multiple of Options.ChunkSize with which it fits into the parts that the bucket allows. When the size is not
// known it is twice Options.ChunkSize: 32 MiB, up to 312 GiB a content; more than that is put in the end with its size known.
func (s *Store) chunkSize(size int64) (int64, error) {
	f := s.bucket.Facts()
	unit := max(s.opt.ChunkSize, f.MinPart)
	chunk := 2 * unit
	if size >= 0 {
		n := s.maxParts()
		chunk = max(1, (size+n*unit-1)/(n*unit)) * unit
	}
	if size > maxContent || (f.MaxPart > 0 && chunk > f.MaxPart) {
		return 0, remote.E("", "", remote.TooLarge, fmt.Errorf("%d bytes are more than one content can have", size))
	}
	return chunk, nil
}

func (s *Store) maxParts() int64 {
	if n := int64(s.bucket.Facts().MaxParts); n > 0 {
		return min(n, maxParts)
	}
	return maxParts
}

// StartUpload begins a content; see remote.Store. A content of known size above one chunk is a multipart upload from
// the start, so that it has a Token at once; one request, two when spec.ID is given. With Resume it is one request to
// learn which chunks are there already: putting them again costs nothing.
//
// Errors: Exist when spec.ID is taken: choose another id. Stale when the upload to resume was aborted: start anew.
func (s *Store) StartUpload(ctx context.Context, spec remote.UploadSpec) (remote.Upload, error) {
	const op = "start upload"
	if err := s.writable(op, spec.ID); err != nil {
		return nil, err
	}
	if spec.Resume != "" {
		u, err := s.resume(ctx, spec)
		if err != nil {
			return nil, during(op, spec.ID, err)
		}
		return u, nil
	}
	u, err := s.newUpload(spec)
	if err != nil {
		return nil, during(op, spec.ID, err)
	}
	if spec.Size > u.chunk {
		if err := u.begin(ctx); err != nil {
			return nil, during(op, u.key, err)
		}
	}
	return u, nil
}

// newUpload makes an upload without a request.
func (s *Store) newUpload(spec remote.UploadSpec) (*upload, error) {
	chosen := spec.ID != ""
	if !chosen {
		spec.ID = randomHex(16)
	}
	if !ownedID(spec.ID) {
		return nil, remote.E("", "", remote.Invalid, fmt.Errorf("%q is no content id: 32 lower-case hex digits are", spec.ID))
	}
	chunk, err := s.chunkSize(spec.Size)
	if err != nil {
		return nil, err
	}
	u := &upload{s: s, id: spec.ID, chosen: chosen, key: contentKey(spec.ID), size: max(spec.Size, -1), chunk: chunk, mediaType: spec.Type}
	u.mu.parts = map[int]object.Part{}
	return u, nil
}

// upload is one content on its way into the bucket: one object put whole when it is a single chunk, otherwise the parts
// of a multipart upload. Chunk i is part i+1.
//
//	new ──PutChunk (the only chunk)──▶ whole ──Commit──▶ done
//	new ──begin──▶ multipart ──PutChunk…──▶ multipart ──Commit──▶ done
//	any but done ──Abort──▶ aborted
type upload struct {
	s         *Store
	id, key   string
	chosen    bool  // the caller chose the id: it may be taken
	size      int64 // -1: not known
	chunk     int64
	mediaType string

	starting sync.Mutex // held while the multipart upload begins; before mu

	mu struct {
		sync.Mutex
		uploadID string
		parts    map[int]object.Part // by chunk
		whole    int64               // size of the only chunk plus 1; 0: not put
		created  bool                // the object under key is certainly of this upload's making
		done     bool
		aborted  bool
	}
}

func (u *upload) Needs() remote.UploadNeeds {
	return remote.UploadNeeds{ChunkSize: u.chunk, EarlyParts: true}
}

// Token holds the id, the chunk size and the store's name for the multipart upload. A content of one chunk has none: there is
// nothing to resume.
func (u *upload) Token() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.uploadID == "" {
		return ""
	}
	return u.id + " " + strconv.FormatInt(u.chunk, 10) + " " + u.mu.uploadID
}

func parseToken(token string) (id string, chunk int64, uploadID string, err error) {
	f := strings.SplitN(token, " ", 3)
	if len(f) == 3 && ownedID(f[0]) && f[2] != "" {
		if chunk, err = strconv.ParseInt(f[1], 10, 64); err == nil && chunk > 0 {
			return f[0], chunk, f[2], nil
		}
	}
	return "", 0, "", remote.E("", "", remote.Invalid, fmt.Errorf("%q is no token of an upload", token))
}

// resume continues a multipart upload. When the store knows it no longer, it was completed or aborted; which, the object
// tells.
func (s *Store) resume(ctx context.Context, spec remote.UploadSpec) (*upload, error) {
	id, chunk, uploadID, err := parseToken(spec.Resume)
	if err != nil {
		return nil, err
	}
	if spec.ID != "" && spec.ID != id {
		return nil, remote.E("", "", remote.Invalid, fmt.Errorf("the token is of content %s", id))
	}
	spec.ID = id
	u, err := s.newUpload(spec)
	if err != nil {
		return nil, err
	}
	u.chunk = chunk
	u.mu.uploadID = uploadID
	var parts []object.Part
	err = s.retry(ctx, func() (err error) {
		parts, err = s.bucket.ListParts(ctx, u.key, uploadID)
		return err
	})
	if errors.Is(err, remote.NotExist) {
		info, there, herr := s.exists(ctx, u.key)
		switch {
		case herr != nil:
			return nil, herr
		case !there:
			return nil, aborted(u.key)
		case spec.Size >= 0 && info.Size != spec.Size:
			return nil, remote.E("resume upload", u.key, remote.Exist, fmt.Errorf("another content of %d bytes has this id", info.Size)).
				WithHint("upload again under a new id")
		}
		u.size = info.Size
		u.mu.done = true
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		u.mu.parts[p.Number-1] = p
	}
	return u, nil
}

// aborted is the error of an upload that somebody else put an end to.
func aborted(key string) error {
	return remote.E("continue upload", key, remote.Stale, errors.New("the store does not know it any more: somebody took it for abandoned")).
		WithHint("start it again from the local file")
}

// begin makes the multipart upload unless there is one.
func (u *upload) begin(ctx context.Context) error {
	u.starting.Lock()
	defer u.starting.Unlock()
	if u.multipart() != "" {
		return nil
	}
	if _, err := u.state(); err != nil {
		return err // Abort came first: it would not know of a new one
	}
	if u.chosen {
		// Completing a multipart upload replaces what is there.
		if _, there, err := u.s.exists(ctx, u.key); err != nil {
			return err
		} else if there {
			return u.taken("")
		}
	}
	var id string
	err := u.s.retry(ctx, func() (err error) {
		id, err = u.s.bucket.CreateMultipart(ctx, u.key, u.mediaType)
		return err
	})
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.uploadID = id
	return nil
}

func (u *upload) multipart() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mu.uploadID
}

func (u *upload) taken(why string) error {
	return remote.E("upload content", u.key, remote.Exist, errors.New("a content with this id is there already"+why)).
		WithHint("upload again under a new id")
}

// state reports whether nothing is left to do, or fails when the upload was aborted.
func (u *upload) state() (done bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.aborted {
		return false, remote.E("", "", remote.Invalid, errors.New("the upload was aborted"))
	}
	return u.mu.done, nil
}

// PutChunk stores a chunk; see remote.Upload. It tries a bounded number of times. The only chunk of a content is put as the
// object itself: nobody knows its key yet. Stale: the upload was aborted by somebody else; start anew.
func (u *upload) PutChunk(ctx context.Context, index int, r *io.SectionReader) error {
	return during("put chunk "+strconv.Itoa(index), u.key, u.putChunk(ctx, index, r))
}

func (u *upload) putChunk(ctx context.Context, index int, r *io.SectionReader) error {
	done, err := u.state()
	if err != nil || done {
		return err
	}
	if err := u.checkChunk(index, r.Size()); err != nil {
		return err
	}
	single := u.size >= 0 && u.size <= u.chunk || u.size < 0 && index == 0 && r.Size() < u.chunk
	if single {
		return u.putWhole(ctx, r)
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	id, have := u.mu.uploadID, u.mu.parts[index]
	u.mu.Unlock()
	if have.Number > 0 && have.Size == r.Size() {
		return nil
	}
	var p object.Part
	err = u.s.retry(ctx, func() (err error) {
		p, err = u.s.bucket.PutPart(ctx, u.key, id, index+1, io.NewSectionReader(r, 0, r.Size()), r.Size())
		return err
	})
	if errors.Is(err, remote.NotExist) {
		return aborted(u.key)
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.parts[index] = p
	return nil
}

// checkChunk refuses a chunk that cannot be part of the content.
func (u *upload) checkChunk(index int, n int64) error {
	bad := func(format string, args ...any) error {
		return remote.E("", "", remote.Invalid, fmt.Errorf(format, args...))
	}
	switch {
	case index < 0:
		return bad("chunks are numbered from 0")
	case int64(index) >= u.s.maxParts():
		return remote.E("", "", remote.TooLarge, fmt.Errorf("a content has at most %d chunks", u.s.maxParts())).
			WithHint("start again and give the size, the chunks are larger then")
	case n > u.chunk || n == 0:
		return bad("it has %d bytes, a chunk has 1 to %d", n, u.chunk)
	case u.size >= 0 && n != min(u.chunk, u.size-int64(index)*u.chunk):
		return bad("it has %d bytes where a content of %d has others", n, u.size)
	case index == 0 && n < u.chunk && u.size < 0 && u.multipart() != "":
		return bad("it has %d bytes, all chunks but the last have %d", n, u.chunk)
	}
	return nil
}

// putWhole puts the object in one request. When the key is taken, by an earlier attempt or before a crash, the
// bytes there must be the same.
func (u *upload) putWhole(ctx context.Context, r *io.SectionReader) error {
	clean := true // no attempt is in doubt
	err := u.s.retry(ctx, func() error {
		_, err := u.s.bucket.Put(ctx, u.key, io.NewSectionReader(r, 0, r.Size()), r.Size(), object.PutOptions{IfAbsent: true, Type: u.mediaType})
		clean = clean && (err == nil || errors.Is(err, remote.Conflict))
		return err
	})
	if errors.Is(err, remote.Exist) {
		err = u.sameBytes(ctx, r)
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.whole = r.Size() + 1
	u.mu.created = u.mu.created || clean
	return nil
}

// sameBytes fails with Exist unless the object has exactly the bytes of r.
func (u *upload) sameBytes(ctx context.Context, r *io.SectionReader) error {
	return u.s.retry(ctx, func() error {
		body, info, err := u.s.bucket.Get(ctx, u.key, object.GetOptions{Length: -1})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != r.Size() {
			return u.taken(fmt.Sprintf(", with %d bytes", info.Size))
		}
		ours := io.NewSectionReader(r, 0, r.Size())
		a, b := make([]byte, 64<<10), make([]byte, 64<<10)
		for {
			n, err := io.ReadFull(body, a)
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			if _, rerr := io.ReadFull(ours, b[:n]); rerr != nil {
				return remote.E("read chunk", u.key, remote.Other, rerr)
			}
			if !bytes.Equal(a[:n], b[:n]) {
				return u.taken(", with other bytes")
			}
			if err != nil {
				return nil
			}
		}
	})
}

// Commit completes the content; see remote.Upload. It is no request for a single chunk, one for more.
func (u *upload) Commit(ctx context.Context, chunks int, size int64) (remote.ContentID, error) {
	id := remote.ContentID{ID: u.id}
	if err := u.commit(ctx, chunks, size); err != nil {
		return remote.ContentID{}, during("commit content", u.key, err)
	}
	return id, nil
}

func (u *upload) commit(ctx context.Context, chunks int, size int64) error {
	bad := func(format string, args ...any) error {
		return remote.E("", "", remote.Invalid, fmt.Errorf(format, args...))
	}
	done, err := u.state()
	if err != nil {
		return err
	}
	if u.size >= 0 && size != u.size {
		return bad("it has %d bytes, not %d", u.size, size)
	}
	if done {
		return nil
	}
	if chunks == 0 && size == 0 {
		if err := u.putWhole(ctx, io.NewSectionReader(bytes.NewReader(nil), 0, 0)); err != nil {
			return err
		}
		u.finish(0)
		return nil
	}
	u.mu.Lock()
	uploadID, whole := u.mu.uploadID, u.mu.whole
	var parts []object.Part
	sum := int64(0)
	for i := range chunks {
		p, ok := u.mu.parts[i]
		if ok {
			parts = append(parts, p)
			sum += p.Size
		}
	}
	surplus := len(u.mu.parts) - len(parts)
	u.mu.Unlock()
	switch {
	case uploadID == "" && (chunks != 1 || whole != size+1):
		return bad("%d chunks with %d bytes were not put", chunks, size)
	case uploadID == "":
		u.finish(size)
		return nil
	case whole > 0 || surplus > 0:
		return bad("more was put than %d chunks with %d bytes", chunks, size)
	case len(parts) != chunks || sum != size:
		return bad("%d of %d chunks were put, with %d of %d bytes", len(parts), chunks, sum, size)
	}
	for i, p := range parts[:chunks-1] {
		if p.Size != u.chunk {
			return bad("chunk %d has %d bytes, all but the last have %d", i, p.Size, u.chunk)
		}
	}
	err = u.s.retry(ctx, func() error {
		info, err := u.s.bucket.CompleteMultipart(ctx, u.key, uploadID, parts)
		if err == nil {
			u.s.heard(info)
		}
		return err
	})
	if errors.Is(err, remote.NotExist) {
		return aborted(u.key)
	}
	if err != nil {
		return err
	}
	u.finish(size)
	return nil
}

// finish records that the content is whole.
func (u *upload) finish(size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.done = true
	u.size = size
}

// Abort drops the upload; after Commit succeeded it does nothing. An object that was put whole is deleted only when this
// upload certainly made it: otherwise an earlier upload of the same id did, which the catalog may refer to.
func (u *upload) Abort(ctx context.Context) error {
	u.starting.Lock()
	defer u.starting.Unlock()
	u.mu.Lock()
	uploadID, created, skip := u.mu.uploadID, u.mu.created, u.mu.done
	u.mu.aborted = !skip
	u.mu.Unlock()
	if skip {
		return nil
	}
	var errs []error
	if uploadID != "" {
		errs = append(errs, u.s.retry(ctx, func() error { return u.s.bucket.AbortMultipart(ctx, u.key, uploadID) }))
	}
	if created {
		errs = append(errs, u.s.retry(ctx, func() error { return u.s.bucket.Delete(ctx, u.key) }))
	}
	return during("abort upload", u.key, errors.Join(errs...))
}
