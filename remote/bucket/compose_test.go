package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// put makes a content of b.
func put(t *testing.T, s *Store, b []byte) remote.ContentID {
	t.Helper()
	u, err := s.StartUpload(t.Context(), remote.UploadSpec{Size: int64(len(b))})
	ok(t, err)
	id, err := send(t.Context(), u, b)
	ok(t, err)
	return id
}

// compose lays pieces of sources over b, which it changes, and gives them as pieces.
func compose(b []byte, source remote.ContentID, from []byte, off, start, n int) remote.Piece {
	copy(b[off:off+n], from[start:start+n])
	return remote.Piece{Offset: int64(off), Length: int64(n), Source: source, From: int64(start)}
}

// What lies in a source is copied inside the store, and only the chunks around it are sent.
func TestCompose(t *testing.T) {
	stores(t, func(t *testing.T, s *Store, bad *storetest.Faulty) {
		c64, err := s.chunkSize(1)
		ok(t, err)
		c := int(c64)
		one, two := data(3*c+c/2, 1), data(2*c, 2)
		a, b := put(t, s, one), put(t, s, two)

		want := data(5*c+7, 3)
		pieces := []remote.Piece{
			compose(want, a, one, 0, 3, c/2),       // two pieces that are one: chunk 0 is copied
			compose(want, a, one, c/2, 3+c/2, c),   // and so is half of chunk 1
			compose(want, b, two, c+c/2, 0, c/2-1), // chunk 1 is put
			compose(want, b, two, 3*c-1, 1, c+2),   // chunk 3 is copied
			compose(want, a, one, 4*c+5, 2*c, c+2), // chunk 5, the short last one, and not chunk 4
		}
		bad.Reset()
		sends, err := s.Sends(int64(len(want)), pieces)
		ok(t, err)
		if c := int64(c); !slices.Equal(sends, []remote.Run{{Offset: c, Length: 2 * c}, {Offset: 4 * c, Length: c}}) {
			t.Errorf("it would send %v", sends)
		}
		id, err := s.Compose(
			t.Context(), remote.UploadSpec{ID: testID, Size: int64(len(want))}, bytes.NewReader(want), pieces,
		)
		ok(t, err)
		if id.ID != testID || !bytes.Equal(content(t, s, id), want) {
			t.Error("other bytes came out")
		}
		if puts, copies := bad.Count(storetest.PutPart, ""), bad.Count(storetest.CopyPart, ""); puts != 3 ||
			copies != 3 {
			t.Errorf("%d chunks were put and %d copied, want 3 and 3", puts, copies)
		}
		if !bytes.Equal(content(t, s, a), one) || !bytes.Equal(content(t, s, b), two) {
			t.Error("a source changed")
		}
		_, err = s.Compose(
			t.Context(), remote.UploadSpec{ID: testID, Size: int64(len(want))}, bytes.NewReader(want), pieces,
		)
		if !errors.Is(err, remote.Exist) {
			t.Errorf("composed again under the same id: %v", err)
		}
		if ups, err := s.Unfinished(t.Context()); err != nil || len(ups) != 0 {
			t.Errorf("left over: %v, %v", ups, err)
		}
	})
}

// Whatever the pieces are, the content is body.
func TestComposeRandom(t *testing.T) {
	r := newRig(t)
	sources := make([]remote.ContentID, 4)
	raw := make([][]byte, len(sources))
	for i := range sources {
		raw[i] = data(200+100*i, uint64(i))
		sources[i] = put(t, r.Store, raw[i])
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	copies := 0
	for n := range 200 {
		b := data(rnd.IntN(700), uint64(n))
		var pieces []remote.Piece
		for off := rnd.IntN(60); off < len(b); {
			i := rnd.IntN(len(sources))
			l := 1 + rnd.IntN(min(len(b)-off, len(raw[i])))
			pieces = append(pieces, compose(b, sources[i], raw[i], off, rnd.IntN(len(raw[i])-l+1), l))
			off += l + rnd.IntN(3)*rnd.IntN(40)
		}
		r.bad.Reset()
		id, err := r.Compose(t.Context(), remote.UploadSpec{Size: int64(len(b))}, bytes.NewReader(b), pieces)
		ok(t, err)
		if !bytes.Equal(content(t, r.Store, id), b) {
			t.Fatalf("%d bytes of %+v became others", len(b), pieces)
		}
		copies += r.bad.Count(storetest.CopyPart, "")
	}
	if copies < 100 {
		t.Errorf("only %d chunks were copied", copies)
	}
}

func TestComposeFaults(t *testing.T) {
	notThere := remote.E("copy part", "", remote.NotExist, nil)
	for _, c := range []struct {
		fault storetest.Fault
		kind  remote.Kind // Other: it succeeds
	}{
		{fault: storetest.Fault{Op: storetest.Head}},
		{fault: storetest.Fault{Op: storetest.Create, Action: storetest.FailAfter}},
		{fault: storetest.Fault{Op: storetest.CopyPart, Times: 4}},
		{fault: storetest.Fault{Op: storetest.CopyPart, Action: storetest.FailAfter}},
		{fault: storetest.Fault{Op: storetest.CopyPart, Times: -1, Err: remote.E("copy part", "", remote.Unsupported, nil)}},
		{fault: storetest.Fault{Op: storetest.PutPart, Action: storetest.FailAfter}},
		{fault: storetest.Fault{Op: storetest.Parts}},
		{fault: storetest.Fault{Op: storetest.Complete, Action: storetest.FailAfter, Times: 2}},
		{fault: storetest.Fault{Op: storetest.CopyPart, Times: -1}, kind: remote.Unavailable},
		{fault: storetest.Fault{Op: storetest.PutPart, Times: -1, Err: remote.E("put part", "", remote.Quota, nil)}, kind: remote.Quota},
		{fault: storetest.Fault{Op: storetest.CopyPart, Err: notThere}, kind: remote.Stale},
		{fault: storetest.Fault{Op: storetest.Parts, Err: notThere}, kind: remote.Stale},
		{fault: storetest.Fault{Op: storetest.Complete, Times: -1}, kind: remote.Unavailable},
	} {
		t.Run(fmt.Sprint(c.fault.Op, c.fault.Action, c.fault.Times, c.kind), func(t *testing.T) {
			r := newRig(t)
			from := data(300, 1)
			source := put(t, r.Store, from)
			b := data(400, 2)
			pieces := []remote.Piece{compose(b, source, from, 10, 0, 300)}
			r.bad.Fail(c.fault)
			id, err := r.Compose(t.Context(), remote.UploadSpec{ID: testID, Size: 400}, bytes.NewReader(b), pieces)
			if c.kind == remote.Other {
				ok(t, err)
				if !bytes.Equal(content(t, r.Store, id), b) {
					t.Error("other bytes came out")
				}
				return
			}
			want(t, err, c.kind)
			if ks := r.keys(contentKey(testID)); len(ks) != 0 {
				t.Errorf("there is a content: %v", ks)
			}
			if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 {
				t.Errorf("the upload was not aborted: %v", ups)
			}
		})
	}
}

// shortCopies is a store that takes the range of a copy for advice.
type shortCopies struct{ object.Bucket }

func (s shortCopies) CopyPart(
	ctx context.Context, key, id string, number int, source string, off, n int64,
) (object.Part, error) {
	p, err := s.Bucket.CopyPart(ctx, key, id, number, source, off, n-1)
	p.Size = n
	return p, err
}

func TestComposeWithoutCopies(t *testing.T) {
	from, b := data(300, 1), data(400, 2)
	r := newRig(t)
	source := put(t, r.Store, from)
	pieces := []remote.Piece{compose(b, source, from, 10, 0, 300)}
	check := func(what string, s *Store) {
		t.Helper()
		id, err := s.Compose(t.Context(), remote.UploadSpec{Size: 400}, bytes.NewReader(b), pieces)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !bytes.Equal(content(t, s, id), b) {
			t.Errorf("%s: other bytes came out", what)
		}
	}
	s, err := Open(t.Context(), shortCopies{r.mem}, quick(r.boot))
	ok(t, err)
	check("a store that copies too little", s)
	r.remove(contentKey(source.ID))
	check("a source that is gone", r.Store)

	// It is known beforehand: nothing is tried, and whoever asks is told that all is sent.
	known := newRig(t)
	pieces[0].Source = put(t, known.Store, from)
	known.Store.SetHabits(object.Habits{NoCopy: true})
	known.bad.Reset()
	check("a store that copies nothing", known.Store)
	sends, err := known.Store.Sends(400, pieces)
	ok(t, err)
	if n := known.bad.Count(storetest.CopyPart, ""); n != 0 || !slices.Equal(sends, []remote.Run{{Length: 400}}) {
		t.Errorf("%d copies were tried of a store that copies nothing, and it would send %v", n, sends)
	}

	// Nothing is copied out of an object that is not ours.
	info, err := r.mem.Put(t.Context(), "IMG_1.jpg", newBytes(from), 300, object.PutOptions{})
	ok(t, err)
	pieces[0].Source = External("IMG_1.jpg", info.ETag)
	r.bad.Reset()
	check("an external source", r.Store)
	if n := r.bad.Count(storetest.CopyPart, ""); n != 0 {
		t.Errorf("%d chunks were copied out of it", n)
	}
}

func TestComposeRefuses(t *testing.T) {
	r := newRig(t)
	source := put(t, r.Store, data(300, 1))
	r.bad.Reset()
	p := func(off, n, from int64) remote.Piece {
		return remote.Piece{Offset: off, Length: n, Source: source, From: from}
	}
	for what, c := range map[string]struct {
		size   int64
		pieces []remote.Piece
	}{
		"size not known":  {-1, nil},
		"before it":       {400, []remote.Piece{p(-1, 10, 0)}},
		"beyond it":       {400, []remote.Piece{p(395, 10, 0)}},
		"too long":        {400, []remote.Piece{p(1, 1<<63-1, 0)}},
		"from too far":    {400, []remote.Piece{p(0, 10, 1<<63-5)}},
		"from before":     {400, []remote.Piece{p(0, 10, -1)}},
		"empty":           {400, []remote.Piece{p(0, 0, 0)}},
		"overlapping":     {400, []remote.Piece{p(0, 10, 0), p(9, 10, 0)}},
		"descending":      {400, []remote.Piece{p(20, 10, 0), p(0, 10, 0)}},
		"no source":       {400, []remote.Piece{{Length: 1}}},
		"external, empty": {400, []remote.Piece{{Length: 1, Source: External("x", "")}}},
	} {
		_, err := r.Compose(t.Context(), remote.UploadSpec{Size: c.size}, bytes.NewReader(make([]byte, 400)), c.pieces)
		if !errors.Is(err, remote.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r.bad.Count("", "") != 0 {
		t.Errorf("requests were made: %v", r.bad.Calls())
	}
	// More than the source has: the store says so, and nothing stays.
	_, err := r.Compose(
		t.Context(), remote.UploadSpec{Size: 400}, bytes.NewReader(make([]byte, 400)), []remote.Piece{p(0, 400, 0)},
	)
	want(t, err, remote.Invalid)
	// A body that ends early.
	_, err = r.Compose(t.Context(), remote.UploadSpec{Size: 400}, bytes.NewReader(make([]byte, 399)), nil)
	want(t, err, remote.Invalid)
	opt := quick(r.boot)
	opt.ReadOnly = true
	readOnly, err := Open(t.Context(), r.mem, opt)
	ok(t, err)
	_, err = readOnly.Compose(t.Context(), remote.UploadSpec{Size: 4}, bytes.NewReader(make([]byte, 4)), nil)
	want(t, err, remote.ReadOnly)
	if ups, _ := r.mem.ListMultiparts(t.Context(), ""); len(ups) != 0 || len(r.keys(contentPrefix)) != 1 {
		t.Errorf("left over: %v, %v", ups, r.keys(contentPrefix))
	}
	// An empty content and one of a single chunk are put whole.
	for _, n := range []int{0, 64} {
		r.bad.Reset()
		b := data(n, 5)
		id, err := r.Compose(t.Context(), remote.UploadSpec{Size: int64(n)}, bytes.NewReader(b), nil)
		ok(t, err)
		if got := content(t, r.Store, id); !bytes.Equal(got, b) || r.bad.Count(storetest.Put, "") != 1 {
			t.Errorf("%d bytes: %v", n, r.bad.Calls())
		}
	}
}
