package bucket

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// stream is an upload of a size not known and the bytes that it should have.
func stream(t *testing.T, r *rig) (u remote.Upload, chunkSize int64) {
	t.Helper()
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: testID, Size: -1})
	ok(t, err)
	return u, u.Needs().ChunkSize
}

// A file that is written while it is uploaded: chunks in any order, again and again, cut off and
// grown, through crashes. What is committed is what was put last.
func TestStreamRandom(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		r := newRig(t)
		u, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: testID, Size: -1})
		ok(t, err)
		c := int(u.Needs().ChunkSize)
		file := data(rnd.IntN(9*c), seed)
		for range rnd.IntN(25) {
			n := (len(file) + c - 1) / c
			switch rnd.IntN(8) {
			case 0:
				file = file[:rnd.IntN(len(file)+1)]
			case 1:
				file = append(file, data(rnd.IntN(3*c), rnd.Uint64())...)
			case 2:
				token := u.Token()
				if token == "" {
					break
				}
				u, err = r.another().StartUpload(t.Context(), remote.UploadSpec{ID: testID, Size: -1, Resume: token})
				ok(t, err)
			default:
				if n == 0 {
					break
				}
				i := rnd.IntN(n)
				if i == n-1 && len(file)%c != 0 && rnd.IntN(3) > 0 {
					break // the end is still being written
				}
				if rnd.IntN(2) == 0 {
					file[i*c] ^= 1 // written again
				}
				ok(t, u.PutChunk(t.Context(), i, chunk(file, int64(c), i)))
				if !u.Has(i) {
					t.Fatalf("seed %d: chunk %d was put and is not there", seed, i)
				}
			}
		}
		// At the end everything that is not known to be there with these bytes is put. The test
		// does not keep track: all is.
		if len(file) == 0 {
			file = data(1, seed) // TestStreamEmptied has the other case
		}
		n := (len(file) + c - 1) / c
		for _, i := range rnd.Perm(n) {
			ok(t, u.PutChunk(t.Context(), i, chunk(file, int64(c), i)))
		}
		id, err := u.Commit(t.Context(), n, int64(len(file)))
		if err != nil {
			t.Fatalf("seed %d: %d bytes: %v", seed, len(file), err)
		}
		if !bytes.Equal(content(t, r.Store, id), file) {
			t.Fatalf("seed %d: other bytes came back", seed)
		}
		if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 {
			t.Errorf("seed %d: left over: %v", seed, ups)
		}
	}
}

func TestHas(t *testing.T) {
	r := newRig(t)
	b := data(700, 1)
	u, c := stream(t, r)
	has := func(u remote.Upload, want ...bool) {
		t.Helper()
		for i, w := range want {
			if u.Has(i) != w {
				t.Errorf("chunk %d: it has it: %v", i, !w)
			}
		}
		if u.Has(-1) || u.Has(maxParts) {
			t.Error("it has chunks that cannot be")
		}
	}
	has(u, false, false)
	ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
	has(u, false, true, false)
	ok(t, u.PutChunk(t.Context(), 0, chunk(b, c, 0)))
	has(u, true, true, false)
	// After a failure it is in doubt, whether it was refused, never arrived, or its answer was
	// lost.
	remove := r.bad.Fail(storetest.Fault{Op: storetest.PutPart, Times: -1, Action: storetest.FailAfter})
	want(t, u.PutChunk(t.Context(), 1, chunk(b, c, 2)), remote.Unavailable)
	remove()
	has(u, true, false, false)
	want(t, u.PutChunk(t.Context(), 0, chunk(b, 2*c, 0)), remote.Invalid)
	has(u, false, false, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ok(t, u.PutChunk(t.Context(), 0, chunk(b, c, 0)))
	want(t, u.PutChunk(ctx, 0, chunk(b, c, 0)), remote.Interrupted)
	has(u, false, false, false)
	ok(t, u.PutChunk(t.Context(), 0, chunk(b, c, 0)))
	ok(t, u.PutChunk(t.Context(), 2, chunk(b[:700-int(c)], c, 2)))
	ok(t, u.PutChunk(t.Context(), 5, chunk(b, c, 5))) // a short one

	// The store says which are there, and those that are no chunk do not count.
	resume := func(size int64) remote.Upload {
		t.Helper()
		u, err := r.another().StartUpload(t.Context(), remote.UploadSpec{Size: size, Resume: u.Token()})
		ok(t, err)
		return u
	}
	has(resume(-1), true, true, true, false, false, false) // 1 is the one in doubt: it arrived
	has(resume(700), true, true, true, false, false, true) // the short one is the last
	has(resume(2*c), true, true, false, false, false, false)
	has(resume(2*c-5), true, false, false)
	ok(t, u.Abort(t.Context()))
	has(u, false, false)

	// A single chunk.
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{Size: 50})
	ok(t, err)
	has(u, false)
	ok(t, u.PutChunk(t.Context(), 0, chunk(b[:50], 64, 0)))
	has(u, true, false)
	_, err = u.Commit(t.Context(), 1, 50)
	ok(t, err)
	has(u, true, false)
	u, err = r.StartUpload(t.Context(), remote.UploadSpec{Size: 0})
	ok(t, err)
	_, err = u.Commit(t.Context(), 0, 0)
	ok(t, err)
	has(u, false)
}

// Two calls for one chunk do not cross: the store and the upload agree on which was the last.
func TestPutChunkConcurrently(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	var all sync.WaitGroup
	bodies := make([][]byte, 8)
	for i := range bodies {
		bodies[i] = data(int(c), uint64(i))
		all.Go(func() { ok(t, u.PutChunk(t.Context(), 0, chunk(bodies[i], c, 0))) })
	}
	all.Wait()
	id, err := u.Commit(t.Context(), 1, c)
	ok(t, err)
	got := content(t, r.Store, id)
	for _, b := range bodies {
		if bytes.Equal(got, b) {
			return
		}
	}
	t.Error("it has none of the bytes that were put")
}

// A chunk that was put whole, because it was short and the first, is replaced like any other.
func TestWholeReplaced(t *testing.T) {
	for _, size := range []int64{-1, 50} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprint(size, lost), func(t *testing.T) {
				r := newRig(t)
				u, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: testID, Size: size})
				ok(t, err)
				ok(t, u.PutChunk(t.Context(), 0, chunk(data(50, 1), 50, 0)))
				ok(t, u.PutChunk(t.Context(), 0, chunk(data(50, 2), 50, 0)))
				if lost {
					// Somebody takes the upload for abandoned. What lies there has the right size
					// and the wrong bytes.
					ups, _ := r.mem.ListMultiparts(t.Context(), "")
					ok(t, r.mem.AbortMultipart(t.Context(), ups[0].Key, ups[0].ID))
					_, err = u.Commit(t.Context(), 1, 50)
					want(t, err, remote.Stale)
					ok(t, u.Abort(t.Context()))
					if ks := r.keys(contentPrefix); len(ks) != 0 {
						t.Errorf("left over: %v", ks)
					}
					return
				}
				id, err := u.Commit(t.Context(), 1, 50)
				ok(t, err)
				if !bytes.Equal(content(t, r.Store, id), data(50, 2)) {
					t.Error("it has the first bytes")
				}
			})
		}
	}
	// It becomes longer, and shorter again.
	r := newRig(t)
	u, c := stream(t, r)
	b := data(300, 3)
	ok(t, u.PutChunk(t.Context(), 0, chunk(b[:50], c, 0)))
	ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
	if u.Has(0) {
		t.Error("the short chunk counts")
	}
	_, err := u.Commit(t.Context(), 2, 2*c)
	want(t, err, remote.Invalid)
	token := u.Token()
	ok(t, u.PutChunk(t.Context(), 0, chunk(b[:60], c, 0)))
	id, err := u.Commit(t.Context(), 1, 60)
	ok(t, err)
	if !bytes.Equal(content(t, r.Store, id), b[:60]) {
		t.Error("other bytes came back")
	}
	// Resumed with a size that a single chunk holds, it goes on as what it is.
	u, err = r.another().StartUpload(t.Context(), remote.UploadSpec{Size: 60, Resume: token})
	ok(t, err)
	if !u.Has(0) || u.Has(1) {
		t.Error("it is whole and does not know it")
	}
}

// A content of unknown size comes to nothing in the end.
func TestStreamEmptied(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	ok(t, u.PutChunk(t.Context(), 0, chunk(data(300, 3), c, 0)))
	id, err := u.Commit(t.Context(), 0, 0)
	ok(t, err)
	if len(content(t, r.Store, id)) != 0 {
		t.Error("it has bytes")
	}
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 {
		t.Errorf("left over: %v", ups)
	}
	// An object that was put whole cannot be replaced by none.
	u, err = r.StartUpload(t.Context(), remote.UploadSpec{Size: -1})
	ok(t, err)
	ok(t, u.PutChunk(t.Context(), 0, chunk(data(50, 3), c, 0)))
	_, err = u.Commit(t.Context(), 0, 0)
	want(t, err, remote.Exist)
	ok(t, u.Abort(t.Context()))
	if ks := r.keys(contentPrefix); len(ks) != 1 {
		t.Errorf("left over: %v", ks)
	}
}

// A multipart upload that was begun with the size unknown is resumed with a size that one chunk
// would hold.
func TestResumeSmall(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	ok(t, u.PutChunk(t.Context(), 0, chunk(data(300, 3), c, 0)))
	u, err := r.another().StartUpload(t.Context(), remote.UploadSpec{Size: 40, Resume: u.Token()})
	ok(t, err)
	id, err := send(t.Context(), u, data(40, 4))
	ok(t, err)
	if !bytes.Equal(content(t, r.Store, id), data(40, 4)) {
		t.Error("other bytes came back")
	}
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 {
		t.Errorf("left over: %v", ups)
	}
}

// The upload was completed, and the file was written to before anybody noticed: its new bytes are
// not taken for those that are there.
func TestResumeCompleted(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	b := data(300, 3)
	token := func() string { return u.Token() }
	_, err := send(t.Context(), u, b)
	ok(t, err)
	u, err = r.another().StartUpload(t.Context(), remote.UploadSpec{Size: -1, Resume: token()})
	ok(t, err)
	ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
	ok(t, u.PutChunk(t.Context(), 2, chunk(b, c, 2)))
	changed := bytes.Clone(b)
	changed[c+1] ^= 1
	want(t, u.PutChunk(t.Context(), 1, chunk(changed, c, 1)), remote.Exist)
	want(t, u.PutChunk(t.Context(), 2, chunk(append(changed, 'x'), c, 2)), remote.Exist)
	want(t, u.PutChunk(t.Context(), 2, chunk(b[:299], c, 2)), remote.Exist)
	want(t, u.PutChunk(t.Context(), 3, chunk(data(1000, 1), c, 3)), remote.Exist)
	_, err = u.Commit(t.Context(), 3, 299)
	want(t, err, remote.Exist)
	id, err := u.Commit(t.Context(), 3, 300)
	ok(t, err)
	if !bytes.Equal(content(t, r.Store, id), b) {
		t.Error("the bytes changed")
	}
}

// Two processes have the same upload, which locks of the spool prevent: neither commits what it did
// not put.
func TestTwoProcesses(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	b := data(int(2*c), 3)
	for i := range 2 {
		ok(t, u.PutChunk(t.Context(), i, chunk(b, c, i)))
	}
	other, err := r.another().StartUpload(t.Context(), remote.UploadSpec{Size: -1, Resume: u.Token()})
	ok(t, err)
	ok(t, other.PutChunk(t.Context(), 1, chunk(data(1000, 9), c, 1)))
	_, err = u.Commit(t.Context(), 2, 2*c)
	want(t, err, remote.Stale)
	if !u.Has(0) || u.Has(1) {
		t.Error("it does not know which chunk was replaced")
	}
	// A late copy of a put has the same effect, and putting the chunk again mends it.
	ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
	id, err := u.Commit(t.Context(), 2, 2*c)
	ok(t, err)
	if !bytes.Equal(content(t, r.Store, id), b) {
		t.Error("other bytes came back")
	}
	want(t, other.PutChunk(t.Context(), 0, chunk(b, c, 0)), remote.Stale)
}

// A put that was given up arrives after the one that followed it.
func TestLatePut(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	ok(t, u.PutChunk(t.Context(), 1, chunk(data(1000, 1), c, 1))) // begins it
	release := make(chan struct{})
	r.bad.Fail(
		storetest.Fault{
			Op:      storetest.PutPart,
			Action:  storetest.Hold,
			Release: release,
			Err:     remote.E("put part", "", remote.Quota, nil),
		},
	)
	want(t, u.PutChunk(t.Context(), 0, chunk(data(1000, 2), c, 0)), remote.Quota)
	ok(t, u.PutChunk(t.Context(), 0, chunk(data(1000, 3), c, 0)))
	close(release)
	r.bad.Settle()
	_, err := u.Commit(t.Context(), 2, 2*c)
	want(t, err, remote.Stale)
}

func TestStreamLimits(t *testing.T) {
	r := newRig(t)
	u, c := stream(t, r)
	b := data(int(c), 1)
	ok(t, u.PutChunk(t.Context(), maxParts-1, chunk(b, c, 0)))
	err := u.PutChunk(t.Context(), maxParts, chunk(b, c, 0))
	want(t, err, remote.TooLarge)
	if hint := hintOf(err); hint != "start again and give the size, the chunks are larger then" {
		t.Errorf("the hint is %q", hint)
	}
	_, err = r.StartUpload(t.Context(), remote.UploadSpec{Size: c*maxParts + 1, Resume: u.Token()})
	want(t, err, remote.TooLarge)
	_, err = r.StartUpload(t.Context(), remote.UploadSpec{Size: c * maxParts, Resume: u.Token()})
	ok(t, err)
	_, err = u.Commit(t.Context(), 1<<62, 1<<62)
	want(t, err, remote.TooLarge)
}

// A key that is taken is found out with the first chunk, and nothing begins.
func TestStreamTaken(t *testing.T) {
	r := newRig(t)
	_, err := r.mem.Put(t.Context(), contentKey(testID), newBytes([]byte("x")), 1, object.PutOptions{})
	ok(t, err)
	u, c := stream(t, r)
	want(t, u.PutChunk(t.Context(), 0, chunk(data(1000, 1), c, 0)), remote.Exist)
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 || u.Token() != "" {
		t.Errorf("begun: %v", ups)
	}
	ok(t, u.Abort(t.Context()))
	if string(r.raw(contentKey(testID))) != "x" {
		t.Error("it changed")
	}
}

// The same on every object storage, in one life of a file: short, longer, written again, continued
// after a crash, cut off.
func TestStreamEverywhere(t *testing.T) {
	stores(t, func(t *testing.T, s *Store, bad *storetest.Faulty) {
		spec := remote.UploadSpec{ID: testID, Size: -1, Type: "video/mp4"}
		u, err := s.StartUpload(t.Context(), spec)
		ok(t, err)
		c := u.Needs().ChunkSize
		b := data(int(2*c)+100, 1)
		ok(t, u.PutChunk(t.Context(), 0, chunk(b[:50], c, 0)))
		ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
		ok(t, u.PutChunk(t.Context(), 0, chunk(b, c, 0)))
		b[c+7] ^= 1
		ok(t, u.PutChunk(t.Context(), 1, chunk(b, c, 1)))
		ok(t, u.PutChunk(t.Context(), 2, chunk(b, c, 2)))
		spec.Resume = u.Token()
		if u, err = s.StartUpload(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if !u.Has(0) || !u.Has(1) || u.Has(2) {
			t.Errorf("after the crash it has %v %v %v", u.Has(0), u.Has(1), u.Has(2))
		}
		ok(t, u.PutChunk(t.Context(), 2, chunk(b, c, 2)))
		bad.Fail(storetest.Fault{Op: storetest.Complete, Action: storetest.FailAfter})
		id, err := u.Commit(t.Context(), 2, 2*c)
		ok(t, err)
		if !bytes.Equal(content(t, s, id), b[:2*c]) {
			t.Error("other bytes came back")
		}
		if ups, err := s.Unfinished(t.Context()); err != nil || len(ups) != 0 {
			t.Errorf("left over: %v, %v", ups, err)
		}
		// The crash came before the commit was noted.
		u, err = s.StartUpload(t.Context(), spec)
		ok(t, err)
		ok(t, u.PutChunk(t.Context(), 1, chunk(b[:2*c], c, 1)))
		b[c] ^= 1
		want(t, u.PutChunk(t.Context(), 1, chunk(b[:2*c], c, 1)), remote.Exist)

		// Put whole and then with other bytes; somebody drops the upload.
		spec = remote.UploadSpec{Size: 50}
		for _, lost := range []bool{false, true} {
			u, err = s.StartUpload(t.Context(), spec)
			ok(t, err)
			ok(t, u.PutChunk(t.Context(), 0, chunk(b[:50], c, 0)))
			ok(t, u.PutChunk(t.Context(), 0, chunk(b[50:100], c, 0)))
			if !lost {
				id, err := u.Commit(t.Context(), 1, 50)
				ok(t, err)
				if !bytes.Equal(content(t, s, id), b[50:100]) {
					t.Error("it has the first bytes")
				}
				continue
			}
			id, _, uploadID, err := parseToken(u.Token())
			ok(t, err)
			ok(t, bad.Unwrap().AbortMultipart(t.Context(), contentKey(id), uploadID))
			_, err = u.Commit(t.Context(), 1, 50)
			want(t, err, remote.Stale)
			ok(t, u.Abort(t.Context()))
			_, err = s.StatContent(t.Context(), remote.ContentID{ID: id})
			want(t, err, remote.NotExist)
		}
	})
}
