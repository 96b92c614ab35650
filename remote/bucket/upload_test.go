package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object/dir"
	"mediafs/remote/storetest"
)

const testID = "0123456789abcdef0123456789abcdef"

// data is n bytes that differ with seed.
func data(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	r.Read(b) // never fails
	return b
}

// chunk is chunk i of b.
func chunk(b []byte, size int64, i int) *io.SectionReader {
	off := int64(i) * size
	return io.NewSectionReader(bytes.NewReader(b), off, min(size, int64(len(b))-off))
}

// send puts all chunks of b that are not there yet, some at the same time and the last first, and
// commits.
func send(ctx context.Context, u remote.Upload, b []byte) (remote.ContentID, error) {
	size := u.Needs().ChunkSize
	n := int((int64(len(b)) + size - 1) / size)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := n - 1; i >= 0; i-- {
		if u.Has(i) {
			continue
		}
		all.Go(func() { errs[i] = u.PutChunk(ctx, i, chunk(b, size, i)) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return remote.ContentID{}, err
	}
	return u.Commit(ctx, n, int64(len(b)))
}

// content reads a content whole.
func content(t *testing.T, s *Store, id remote.ContentID) []byte {
	t.Helper()
	r, err := s.OpenContent(t.Context(), id, 0, -1)
	ok(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	ok(t, err)
	return b
}

func TestUpload(t *testing.T) {
	r := newRig(t)
	for _, n := range []int{0, 1, 63, 64, 65, 127, 128, 129, 256, 1000, 1024} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, size known %v", n, known), func(t *testing.T) {
				spec := remote.UploadSpec{Size: -1, Type: "image/jpeg"}
				if known {
					spec.Size = int64(n)
				}
				u, err := r.StartUpload(t.Context(), spec)
				ok(t, err)
				b := data(n, uint64(n))
				id, err := send(t.Context(), u, b)
				ok(t, err)
				if !bytes.Equal(content(t, r.Store, id), b) {
					t.Error("other bytes came back")
				}
				again, err := u.Commit(t.Context(), 0, int64(n))
				if known {
					ok(t, err)
				}
				if err == nil && again != id {
					t.Errorf("committed again it is %v, not %v", again, id)
				}
				ok(t, u.Abort(t.Context())) // does nothing any more
				if !bytes.Equal(content(t, r.Store, id), b) {
					t.Error("gone after the abort")
				}
				key := contentKey(id.ID)
				if key != "content/"+id.ID[:2]+"/"+id.ID {
					t.Errorf("the key is %s", key)
				}
			})
		}
	}
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 {
		t.Errorf("left over: %v", ups)
	}
}

func TestUploadCost(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ size, requests int }{{0, 1}, {1, 1}, {64, 1}, {65, 5}, {640, 13}} {
		r.bad.Reset()
		u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: int64(c.size), ID: randomHex(16)})
		ok(t, err)
		_, err = send(t.Context(), u, data(c.size, 1))
		ok(t, err)
		if n := r.bad.Count("", ""); n != c.requests {
			t.Errorf("%d bytes cost %d requests, want %d: %v", c.size, n, c.requests, r.bad.Counts())
		}
	}
}

func TestUploadFaults(t *testing.T) {
	for _, size := range []int{40, 300} {
		for _, f := range []storetest.Fault{
			{Op: storetest.Put},
			{Op: storetest.Put, Action: storetest.FailAfter},
			{Op: storetest.Put, Times: 3, Err: remote.E("put", "", remote.Conflict, nil)},
			{Op: storetest.Create},
			{Op: storetest.Create, Action: storetest.FailAfter},
			{Op: storetest.PutPart, Times: 4},
			{Op: storetest.PutPart, Nth: 3, Action: storetest.FailAfter},
			{Op: storetest.Complete, Err: remote.E("complete", "", remote.Throttled, nil)},
			{Op: storetest.Complete, Times: 2, Action: storetest.FailAfter},
			{Op: storetest.Head},
		} {
			t.Run(fmt.Sprint(size, f.Op, f.Action, f.Times), func(t *testing.T) {
				r := newRig(t)
				r.bad.Fail(f)
				u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: int64(size), ID: testID})
				ok(t, err)
				b := data(size, 3)
				id, err := send(t.Context(), u, b)
				ok(t, err)
				if id.ID != testID || !bytes.Equal(content(t, r.Store, id), b) {
					t.Error("other bytes came back")
				}
			})
		}
	}
	// The attempts are bounded.
	r := newRig(t)
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 300})
	ok(t, err)
	r.bad.SetDown(true)
	r.bad.Reset()
	want(t, u.PutChunk(t.Context(), 0, chunk(data(300, 1), 64, 0)), remote.Unavailable)
	if n := r.bad.Count("", ""); n != defaultAttempts {
		t.Errorf("%d attempts", n)
	}
}

func TestUploadResume(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
	}{{"size known", 300}, {"size not known", -1}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			b := data(300, 9)
			spec := remote.UploadSpec{Size: c.size, ID: testID}
			u, err := r.StartUpload(t.Context(), spec)
			ok(t, err)
			chunkSize := u.Needs().ChunkSize
			ok(t, u.PutChunk(t.Context(), 1, chunk(b, chunkSize, 1)))
			spec.Resume = u.Token()

			s, err := Open(t.Context(), r.bad, quick(r.boot)) // after a restart
			ok(t, err)
			r.bad.Reset()
			u2, err := s.StartUpload(t.Context(), spec)
			ok(t, err)
			id, err := send(t.Context(), u2, b)
			ok(t, err)
			if id.ID != testID || !bytes.Equal(content(t, s, id), b) {
				t.Error("other bytes came back")
			}
			if n, all := r.bad.Count(storetest.PutPart, ""), (300+int(chunkSize)-1)/int(chunkSize); n != all-1 {
				t.Errorf("%d parts were put of %d", n, all)
			}

			// The crash came between the completion and its being noted.
			r.bad.Reset()
			u3, err := s.StartUpload(t.Context(), spec)
			ok(t, err)
			_, err = send(t.Context(), u3, b)
			ok(t, err)
			if r.bad.Count(storetest.PutPart, "")+r.bad.Count(
				storetest.Put, "",
			)+r.bad.Count(storetest.Complete, "") != 0 {
				t.Errorf("it was uploaded again: %v", r.bad.Counts())
			}
			_, err = u3.Commit(t.Context(), 4, 299)
			if c.size < 0 {
				want(t, err, remote.Exist)
			} else {
				want(t, err, remote.Invalid)
			}
		})
	}
	r := newRig(t)
	for _, token := range []string{"x", testID + " 64", testID + " 0 u", "zz 64 u", testID + " -5 u"} {
		_, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 300, Resume: token})
		want(t, err, remote.Invalid)
	}
	_, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: strings.Repeat("f", 32), Resume: testID + " 64 up"})
	want(t, err, remote.Invalid)
}

// Another machine's cleaning takes the upload for abandoned.
func TestUploadAbortedByOthers(t *testing.T) {
	start := func(t *testing.T) (*rig, remote.Upload) {
		r := newRig(t)
		u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 128, ID: testID})
		ok(t, err)
		ok(t, u.PutChunk(t.Context(), 0, chunk(data(128, 1), 64, 0)))
		return r, u
	}
	abort := func(r *rig) {
		ups, err := r.mem.ListMultiparts(context.Background(), "")
		ok(r.t, err)
		ok(r.t, r.mem.AbortMultipart(context.Background(), ups[0].Key, ups[0].ID))
	}
	r, u := start(t)
	abort(r)
	want(t, u.PutChunk(t.Context(), 1, chunk(data(128, 1), 64, 1)), remote.Stale)
	_, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 128, Resume: u.Token()})
	want(t, err, remote.Stale)

	r, u = start(t)
	ok(t, u.PutChunk(t.Context(), 1, chunk(data(128, 1), 64, 1)))
	abort(r)
	_, err = u.Commit(t.Context(), 2, 128)
	want(t, err, remote.Stale)
	// Started again under the same id it succeeds.
	u, err = r.StartUpload(t.Context(), remote.UploadSpec{Size: 128, ID: testID})
	ok(t, err)
	_, err = send(t.Context(), u, data(128, 1))
	ok(t, err)
}

// A content key never gets other bytes.
func TestUploadTaken(t *testing.T) {
	r := newRig(t)
	put := func(b []byte, size int64) error {
		u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: size, ID: testID})
		if err != nil {
			return err
		}
		_, err = send(t.Context(), u, b)
		return err
	}
	first := data(50, 1)
	ok(t, put(first, 50))
	ok(t, put(first, 50)) // again after a crash
	ok(t, put(first, -1))
	want(t, put(data(50, 2), 50), remote.Exist)
	want(t, put(data(49, 1), 49), remote.Exist)
	want(t, put(nil, 0), remote.Exist)
	want(t, put(data(300, 1), 300), remote.Exist)
	want(t, put(data(300, 1), -1), remote.Exist)
	if !bytes.Equal(content(t, r.Store, remote.ContentID{ID: testID}), first) {
		t.Error("the bytes changed")
	}
	// Aborting an upload of the same bytes does not take away what an earlier one made.
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 50, ID: testID})
	ok(t, err)
	ok(t, u.PutChunk(t.Context(), 0, chunk(first, 64, 0)))
	ok(t, u.Abort(t.Context()))
	if !bytes.Equal(content(t, r.Store, remote.ContentID{ID: testID}), first) {
		t.Error("the abort deleted it")
	}
}

func TestUploadAbort(t *testing.T) {
	r := newRig(t)
	for _, n := range []int{0, 40, 300} {
		u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: int64(n)})
		ok(t, err)
		if n > 0 {
			ok(t, u.PutChunk(t.Context(), 0, chunk(data(n, 1), 64, 0)))
		}
		ok(t, u.Abort(t.Context()))
		want(t, u.PutChunk(t.Context(), 0, chunk(data(n+1, 1), 64, 0)), remote.Invalid)
		_, err = u.Commit(t.Context(), 1, int64(n))
		want(t, err, remote.Invalid)
	}
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 || len(r.keys(contentPrefix)) != 0 {
		t.Errorf("left over: %v %v", ups, r.keys(contentPrefix))
	}
}

func TestUploadRefuses(t *testing.T) {
	r := newRig(t)
	b := data(1000, 1)
	for _, id := range []string{"short", strings.Repeat("G", 32), strings.ToUpper(testID), "../../../../../../../etc/passwd.."} {
		_, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: id})
		want(t, err, remote.Invalid)
	}
	_, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: maxContent + 1})
	want(t, err, remote.TooLarge)

	known, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 150})
	ok(t, err)
	want(t, known.PutChunk(t.Context(), -1, chunk(b, 64, 0)), remote.Invalid)
	want(t, known.PutChunk(t.Context(), 2, chunk(b, 64, 2)), remote.Invalid) // 22 bytes belong there
	want(t, known.PutChunk(t.Context(), 3, chunk(b, 64, 3)), remote.Invalid)
	want(t, known.PutChunk(t.Context(), maxParts, chunk(b, 64, 0)), remote.TooLarge)
	ok(t, known.PutChunk(t.Context(), 0, chunk(b, 64, 0)))
	_, err = known.Commit(t.Context(), 3, 150)
	want(t, err, remote.Invalid) // chunks are missing
	_, err = known.Commit(t.Context(), 1, 64)
	want(t, err, remote.Invalid)

	open, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: -1})
	ok(t, err)
	want(t, open.PutChunk(t.Context(), 0, chunk(b, 129, 0)), remote.Invalid)
	ok(t, open.PutChunk(t.Context(), 1, chunk(b, 100, 1)))
	ok(t, open.PutChunk(t.Context(), 0, chunk(b, 100, 0)))
	_, err = open.Commit(t.Context(), 2, 200)
	want(t, err, remote.Invalid) // a short chunk at the beginning
	ok(t, open.PutChunk(t.Context(), 0, chunk(b, 128, 0)))
	ok(t, open.PutChunk(t.Context(), 2, chunk(b, 128, 2)))
	_, err = open.Commit(t.Context(), 3, 356)
	want(t, err, remote.Invalid) // a short chunk in the middle
	_, err = open.Commit(t.Context(), 2, 229)
	want(t, err, remote.Invalid) // not those
	_, err = open.Commit(t.Context(), -1, 0)
	want(t, err, remote.Invalid)
	_, err = open.Commit(t.Context(), maxParts+1, 1<<40)
	want(t, err, remote.TooLarge)
}

func TestChunkSize(t *testing.T) {
	r := newRig(t, func(o *Options) { o.ChunkSize = 0 })
	const mib = 1 << 20
	for _, c := range []struct{ size, chunk int64 }{
		{-1, 32 * mib}, {0, 16 * mib}, {1, 16 * mib}, {160_000 * mib, 16 * mib}, {160_000*mib + 1, 32 * mib}, {maxContent, 528 * mib},
	} {
		got, err := r.chunkSize(c.size)
		ok(t, err)
		if got != c.chunk || c.size > got*maxParts {
			t.Errorf("chunks of %d MiB for %d bytes, want %d MiB", got/mib, c.size, c.chunk/mib)
		}
	}
}

func TestOpenContent(t *testing.T) {
	r := newRig(t)
	b := data(300, 4)
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 300})
	ok(t, err)
	id, err := send(t.Context(), u, b)
	ok(t, err)
	for _, c := range []struct{ off, n, from, to int64 }{{0, -1, 0, 300}, {10, 20, 10, 30}, {290, 50, 290, 300}, {300, 1, 300, 300}, {500, -1, 300, 300}, {5, 0, 5, 5}} {
		rd, err := r.OpenContent(t.Context(), id, c.off, c.n)
		ok(t, err)
		got, err := io.ReadAll(rd)
		ok(t, err)
		ok(t, rd.Close())
		if !bytes.Equal(got, b[c.from:c.to]) {
			t.Errorf("%d bytes from %d on: %d bytes came", c.n, c.off, len(got))
		}
	}
	_, err = r.OpenContent(t.Context(), id, -1, 5)
	want(t, err, remote.Invalid)
	_, err = r.OpenContent(t.Context(), remote.ContentID{ID: testID}, 0, 5)
	want(t, err, remote.NotExist)
	_, err = r.OpenContent(t.Context(), remote.ContentID{ID: "../x"}, 0, 5)
	want(t, err, remote.Invalid)
	// No retry inside: the reader owns that.
	r.bad.Reset()
	r.bad.Fail(storetest.Fault{Op: storetest.Get})
	_, err = r.OpenContent(t.Context(), id, 0, 5)
	want(t, err, remote.Unavailable)
	if r.bad.Count("", "") != 1 {
		t.Errorf("%v", r.bad.Calls())
	}
}

func TestSide(t *testing.T) {
	r := newRig(t)
	id := remote.ContentID{ID: testID}
	_, err := r.GetSide(t.Context(), id, SuffixFacts)
	want(t, err, remote.NotExist)
	for _, s := range []string{SuffixSum, SuffixFacts} {
		r.bad.Fail(storetest.Fault{Op: storetest.Put, Times: 2})
		ok(t, r.PutSide(t.Context(), id, s, []byte("body of "+s)))
		got, err := r.GetSide(t.Context(), id, s)
		if err != nil || string(got) != "body of "+s {
			t.Errorf("%s is %q, %v", s, got, err)
		}
	}
	key := contentKey(testID)
	r.overwrite(key+SuffixSum, r.raw(key+SuffixFacts))
	_, err = r.GetSide(t.Context(), id, SuffixSum)
	want(t, err, remote.Corrupt)
	ok(t, r.PutSide(t.Context(), id, SuffixFacts, nil))
	got, err := r.GetSide(t.Context(), id, SuffixFacts)
	if err != nil || len(got) != 0 {
		t.Errorf("the empty one is %q, %v", got, err)
	}
	want(t, r.PutSide(t.Context(), id, ".txt", nil), remote.Invalid)
	_, err = r.GetSide(t.Context(), remote.ContentID{ID: "x"}, SuffixSum)
	want(t, err, remote.Invalid)
}

func TestUploadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "IMG_1.jpg")
	ok(t, os.WriteFile(path, []byte("jpeg"), 0o600))
	_, err := newRig(t).UploadFile(t.Context(), remote.UploadSpec{}, path)
	want(t, err, remote.Unsupported)

	b, err := dir.Open(t.TempDir(), dir.Options{})
	ok(t, err)
	s, err := Create(t.Context(), b, Options{})
	ok(t, err)
	defer s.Close()
	if !s.Facts().Local {
		t.Error("it is not local")
	}
	id, err := s.UploadFile(t.Context(), remote.UploadSpec{ID: testID, Size: 4}, path)
	ok(t, err)
	if id.ID != testID || string(content(t, s, id)) != "jpeg" {
		t.Errorf("content %v", id)
	}
	ok(t, os.WriteFile(path, []byte("other"), 0o600))
	_, err = s.UploadFile(t.Context(), remote.UploadSpec{ID: testID}, path)
	want(t, err, remote.Exist)
	_, err = s.UploadFile(t.Context(), remote.UploadSpec{ID: "x"}, path)
	want(t, err, remote.Invalid)
	if _, err = s.UploadFile(t.Context(), remote.UploadSpec{}, path+".gone"); err == nil ||
		remote.KindOf(err) != remote.Other {
		t.Errorf("a file of this machine that is not there: %v", err) // NotExist is about objects
	}
	// The whole store works on a directory as it does in memory.
	for n := range uint64(6) {
		ok(t, s.Append(t.Context(), n+1, body(n+1)))
	}
	es, err := readAll(t.Context(), s, 1)
	ok(t, err)
	if len(es) != 6 || s.Now().IsZero() {
		t.Errorf("%d commits at %v", len(es), s.Now())
	}
	_, err = s.WriteCheckpoint(t.Context(), 6, []byte("h"), records(100, 0))
	ok(t, err)
	ok(t, s.Probe(t.Context()))
}
