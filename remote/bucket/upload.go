package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"mediafs/remote"
	"mediafs/remote/object"
)

// maxParts is S3's limit on the parts of a multipart upload.
const maxParts = 10_000

// chunkSize is the chunk size of an upload of size bytes (-1: not known), which stays the same for
// all of it: the smallest multiple of Options.ChunkSize with which it fits into the parts that the
// bucket allows. When the size is not known it is twice Options.ChunkSize: 32 MiB, up to 312 GiB a
// content; more than that is put in the end with its size known.
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

// StartUpload begins a content; see remote.Store. A content of known size above one chunk is a
// multipart upload from the start, so that it has a Token at once; one request, two when spec.ID is
// given. One of unknown size becomes a multipart upload with its first full chunk, or the first
// that is not chunk 0. With Resume it is two requests, to learn which chunks are there already.
//
// Errors: Exist when spec.ID is taken: choose another id. Stale when the upload to resume was
// aborted: start anew. TooLarge when spec.Size does not fit into the chunks of the upload to
// resume: start anew.
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
		return nil, remote.E(
			"", "", remote.Invalid, fmt.Errorf("%q is no content id: 32 lower-case hex digits are", spec.ID),
		)
	}
	chunk, err := s.chunkSize(spec.Size)
	if err != nil {
		return nil, err
	}
	u := &upload{
		s:         s,
		id:        spec.ID,
		chosen:    chosen,
		key:       contentKey(spec.ID),
		size:      max(spec.Size, -1),
		chunk:     chunk,
		mediaType: spec.Type,
	}
	u.mu.parts, u.mu.putting = map[int]object.Part{}, map[int]chan struct{}{}
	return u, nil
}

// upload is one content on its way into the bucket: one object put whole when it is a single chunk,
// otherwise the parts of a multipart upload. Chunk i is part i+1.
//
//	new ──PutChunk (the only chunk)──▶ whole ──Commit──▶ done
//	new ──begin──▶ multipart ──PutChunk…──▶ multipart ──Commit──▶ done
//	whole ──PutChunk (again, or another)──▶ multipart
//	any but done ──Abort──▶ aborted
//
// An object that was put whole is never put again with other bytes: a late copy of either request
// would decide which stay. The multipart upload takes its place when it is completed, and its parts
// are told apart by their etags.
type upload struct {
	s         *Store
	id, key   string
	chosen    bool  // the caller chose the id: it may be taken
	size      int64 // -1: not known
	chunk     int64
	mediaType string

	starting sync.Mutex // held while the object is put whole or the multipart upload begins; before mu

	mu struct {
		sync.Mutex
		uploadID string
		parts    map[int]object.Part   // by chunk
		putting  map[int]chan struct{} // chunks that a PutChunk is busy with; closed when it is not any more
		whole    int64                 // size of the only chunk plus 1; 0: not put
		created  bool                  // the object under key is certainly of this upload's making
		// of an object that lay under key before the multipart upload is completed; empty: none
		etag    string
		final   int64 // size of the content once done
		done    bool
		aborted bool
	}
}

func (u *upload) Needs() remote.UploadNeeds {
	return remote.UploadNeeds{ChunkSize: u.chunk, EarlyParts: true}
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
	u.mu.Lock()
	created := u.mu.created
	u.mu.Unlock()
	if u.chosen && !created {
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
	u.mu.uploadID, u.mu.whole = id, 0
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

// Has reports whether a chunk is in the store; see remote.Upload.
func (u *upload) Has(index int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case index < 0 || u.mu.aborted:
		return false
	case u.mu.done:
		return int64(index) < (u.mu.final+u.chunk-1)/u.chunk
	case u.mu.uploadID == "":
		return index == 0 && u.mu.whole > 1
	}
	_, ok := u.mu.parts[index]
	return ok
}

// take waits until no other call puts the chunk, and forgets what was put: until release nobody
// else touches it.
func (u *upload) take(ctx context.Context, index int) error {
	for {
		u.mu.Lock()
		other := u.mu.putting[index]
		if other == nil {
			u.mu.putting[index] = make(chan struct{})
			delete(u.mu.parts, index)
			if index == 0 {
				u.mu.whole = 0
			}
			u.mu.Unlock()
			return nil
		}
		u.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return object.CheckContext(ctx, "wait for another put of it", u.key)
		}
	}
}

func (u *upload) release(index int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.mu.putting[index])
	delete(u.mu.putting, index)
}

// PutChunk stores a chunk; see remote.Upload. It tries a bounded number of times. The only chunk of
// a content is put as the object itself: nobody knows its key yet. A chunk of a content that is
// whole already is compared with it.
func (u *upload) PutChunk(ctx context.Context, index int, r *io.SectionReader) error {
	return during("put chunk "+strconv.Itoa(index), u.key, u.putChunk(ctx, index, r))
}

func (u *upload) putChunk(ctx context.Context, index int, r *io.SectionReader) error {
	done, err := u.state()
	if err != nil {
		return err
	}
	if done {
		if err := u.checkChunk(index, r.Size()); err != nil {
			return err
		}
		return u.sameBytes(ctx, int64(index)*u.chunk, r)
	}
	if err := u.take(ctx, index); err != nil {
		return err
	}
	defer u.release(index)
	if err := u.checkChunk(index, r.Size()); err != nil {
		return err
	}
	if u.size >= 0 && u.size <= u.chunk || u.size < 0 && index == 0 && r.Size() < u.chunk {
		if put, err := u.putWhole(ctx, r); put || err != nil {
			return err
		}
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	id := u.multipart()
	var p object.Part
	err = u.s.retry(ctx, func() (err error) {
		p, err = u.s.bucket.PutPart(ctx, u.key, id, index+1, io.NewSectionReader(r, 0, r.Size()), r.Size())
		return err
	})
	return u.keepPart(index, p, err)
}

// keepPart records what putting a part came to.
func (u *upload) keepPart(index int, p object.Part, err error) error {
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

// checkChunk refuses a chunk that cannot be part of the content. Whether a short one is the last
// shows at Commit.
func (u *upload) checkChunk(index int, n int64) error {
	bad := func(format string, args ...any) error {
		return remote.E("", "", remote.Invalid, fmt.Errorf(format, args...))
	}
	switch {
	case index < 0:
		return bad("chunks are numbered from 0")
	case int64(index) >= u.s.maxParts():
		return u.tooMany()
	case n > u.chunk || n == 0:
		return bad("it has %d bytes, a chunk has 1 to %d", n, u.chunk)
	case u.size >= 0 && n != min(u.chunk, u.size-int64(index)*u.chunk):
		return bad("it has %d bytes where a content of %d has others", n, u.size)
	}
	return nil
}

// tooMany is the error of a content that does not fit into the chunks of this upload.
func (u *upload) tooMany() error {
	n := u.s.maxParts()
	return remote.E("", "", remote.TooLarge, fmt.Errorf("a content has at most %d chunks, of %d bytes each here", n, u.chunk)).
		WithHint("start again and give the size, the chunks are larger then")
}

// putWhole puts the object in one request. When the key is taken, by an earlier attempt or before a
// crash, the bytes there must be the same. put is false, and nothing was done, when the content is
// to be a multipart upload: it has begun, or this is another state of a chunk that was put whole.
func (u *upload) putWhole(ctx context.Context, r *io.SectionReader) (put bool, err error) {
	u.starting.Lock()
	defer u.starting.Unlock()
	if _, err := u.state(); err != nil {
		return false, err // Abort came first: it would not know of the object
	}
	u.mu.Lock()
	multipart := u.mu.uploadID != "" || u.mu.created
	u.mu.Unlock()
	if multipart {
		return false, nil
	}
	return true, u.putObject(ctx, r)
}

func (u *upload) putObject(ctx context.Context, r *io.SectionReader) error {
	clean := true // no attempt is in doubt
	var info object.Info
	err := u.s.retry(ctx, func() (err error) {
		info, err = u.s.bucket.Put(
			ctx, u.key, io.NewSectionReader(r, 0, r.Size()), r.Size(),
			object.PutOptions{IfAbsent: true, Type: u.mediaType},
		)
		clean = clean && (err == nil || errors.Is(err, remote.Conflict))
		return err
	})
	if errors.Is(err, remote.Exist) {
		err = u.sameBytes(ctx, 0, r)
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.whole = r.Size() + 1
	if clean && info.ETag != "" {
		u.mu.created, u.mu.etag = true, info.ETag
	}
	return nil
}
