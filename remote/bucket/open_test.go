package bucket

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

func TestCreateAndOpen(t *testing.T) {
	b := storetest.New(mem.New(mem.Options{}))
	opt := quick(new(fakeBoot))
	_, err := Open(t.Context(), b, opt)
	want(t, err, remote.NotExist)
	opt.Note = "the family's photographs \xff"
	s, err := Create(t.Context(), b, opt)
	ok(t, err)
	b.Reset()
	s2, err := Open(t.Context(), b, opt)
	ok(t, err)
	if n := b.Count("", ""); n != 1 {
		t.Errorf("opening cost %d requests", n)
	}
	if s.Facts() != s2.Facts() || s.Facts().Kind != "bucket" || uuid.Validate(s.Facts().Library) != nil {
		t.Errorf("facts %+v and %+v", s.Facts(), s2.Facts())
	}
	_, err = Create(t.Context(), b, opt)
	want(t, err, remote.Exist)
	opt.ReadOnly = true
	ro, err := Open(t.Context(), b, opt)
	ok(t, err)
	want(t, ro.Append(t.Context(), 1, nil), remote.ReadOnly)
	_, err = ro.WriteCheckpoint(t.Context(), 1, nil, records(1, 0))
	want(t, err, remote.ReadOnly)
	_, err = ro.StartUpload(t.Context(), remote.UploadSpec{})
	want(t, err, remote.ReadOnly)
	want(t, ro.Probe(t.Context()), remote.ReadOnly)
	want(t, ro.PutSide(t.Context(), External("k", "e"), SuffixSum, nil), remote.ReadOnly)
	_, err = ro.UploadFile(t.Context(), remote.UploadSpec{}, "x")
	want(t, err, remote.ReadOnly)
}

func TestCreateFaults(t *testing.T) {
	for _, a := range []storetest.Action{storetest.FailBefore, storetest.FailAfter} {
		b := storetest.New(mem.New(mem.Options{}))
		b.Fail(storetest.Fault{Op: storetest.Put, Action: a})
		s, err := Create(t.Context(), b, quick(new(fakeBoot)))
		ok(t, err)
		o, err := Open(t.Context(), b, quick(new(fakeBoot)))
		ok(t, err)
		if s.Facts().Library != o.Facts().Library {
			t.Error("another library was opened than created")
		}
	}
}

// Of many that create at the same time one makes the library, and all others learn that there is
// one.
func TestCreateRace(t *testing.T) {
	b := mem.New(mem.Options{})
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		all.Go(func() {
			_, err := Create(t.Context(), b, quick(new(fakeBoot)))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, remote.Exist) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("%d libraries were made", made)
	}
}

// A library is made, and written to, between the look for its format.json and the look for anything
// else.
func TestOpenWhileCreated(t *testing.T) {
	for i, op := range []func(context.Context, object.Bucket, Options) (*Store, error){Open, Create} {
		m := mem.New(mem.Options{})
		b := storetest.New(m)
		b.Hook(func(c storetest.Call) error {
			if c.Op == storetest.List {
				b.Hook(nil)
				s, err := Create(t.Context(), m, quick(new(fakeBoot)))
				ok(t, err)
				ok(t, s.Append(t.Context(), 1, nil))
			}
			return nil
		})
		_, err := op(t.Context(), b, quick(new(fakeBoot)))
		if i == 0 {
			ok(t, err)
		} else {
			want(t, err, remote.Exist)
		}
	}
}

func TestForeignBucket(t *testing.T) {
	put := func(b object.Bucket, key, text string) {
		_, err := b.Put(t.Context(), key, strings.NewReader(text), int64(len(text)), object.PutOptions{})
		ok(t, err)
	}
	b := mem.New(mem.Options{})
	opt := quick(new(fakeBoot))
	put(b, "probe/left-over", "")
	_, err := Open(t.Context(), b, opt)
	want(t, err, remote.NotExist)
	put(b, "website/index.html", "<html>")
	_, err = Open(t.Context(), b, opt)
	want(t, err, remote.Invalid)
	_, err = Create(t.Context(), b, opt)
	want(t, err, remote.Invalid)
	if !strings.Contains(err.Error(), "website/index.html") {
		t.Errorf("the error does not show what is there: %v", err)
	}
	if page, _, _ := b.List(t.Context(), "", "", 0); len(page) != 2 {
		t.Errorf("something was written: %v", page)
	}
	opt.CreateInForeign = true
	s, err := Create(t.Context(), b, opt)
	ok(t, err)
	// A library that lost its format.json must not get another one.
	ok(t, s.Append(t.Context(), 1, nil))
	ok(t, b.Delete(t.Context(), formatKey))
	_, err = Create(t.Context(), b, opt)
	want(t, err, remote.Corrupt)
	_, err = Open(t.Context(), b, opt)
	want(t, err, remote.Corrupt)
}

func TestFormat(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Note = "note" })
	good := string(r.raw(formatKey))
	for _, c := range []struct {
		name, text string
		kind       remote.Kind
	}{
		{"future", strings.Replace(good, `"format": 0`, `"format": 7`, 1), remote.Unsupported},
		{"future, unlike today's", `{"magic":"mediafs","format":2,"library":["two","at","once"]}`, remote.Unsupported},
		{"another library", strings.Replace(good, r.lib.String(), uuid.NewString(), 1), remote.Corrupt},
		{"changed by hand", strings.Replace(good, `"note": "note"`, `"note": "better"`, 1), remote.Corrupt},
		{"truncated", good[:len(good)/2], remote.Corrupt},
		{"no magic", `{"format":0}`, remote.Corrupt},
		{"no number", `{"magic":"mediafs"}`, remote.Corrupt},
		{"empty", "", remote.Corrupt},
		{"too long", good + strings.Repeat(" ", maxFormatFile), remote.Corrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.overwrite(formatKey, []byte(c.text))
			_, err := Open(t.Context(), r.bad, quick(r.boot))
			want(t, err, c.kind)
		})
	}
	r.overwrite(formatKey, []byte(good))
	r.another()
}

// blind is a store that does not know If-None-Match.
type blind struct{ object.Bucket }

func (b blind) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	opt.IfAbsent = false
	return b.Bucket.Put(ctx, key, body, size, opt)
}

// deaf is a store that refuses every conditional put.
type deaf struct {
	object.Bucket
	err error
}

func (b deaf) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	if opt.IfAbsent {
		return object.Info{}, b.err
	}
	return b.Bucket.Put(ctx, key, body, size, opt)
}

// lagging is a store whose listings come later.
type lagging struct{ object.Bucket }

func (b lagging) List(ctx context.Context, prefix, after string, max int) ([]object.Info, bool, error) {
	return nil, false, nil
}

func TestProbe(t *testing.T) {
	r := newRig(t)
	ok(t, r.Probe(t.Context()))
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Times: defaultAttempts - 1}) // one of the eight may meet them all
	ok(t, r.Probe(t.Context()))
	for name, b := range map[string]object.Bucket{
		"ignores the condition": blind{r.mem},
		"not implemented":       deaf{r.mem, remote.E("put", "", remote.Unsupported, nil)},
		"never a winner":        deaf{r.mem, remote.E("put", "", remote.Exist, nil)},
		"late listings":         lagging{r.mem},
	} {
		s, err := Open(t.Context(), b, quick(r.boot))
		ok(t, err)
		err = s.Probe(t.Context())
		want(t, err, remote.Unsupported)
		if !strings.Contains(err.Error(), probeHint) {
			t.Errorf("%s: no hint in %v", name, err)
		}
	}
	r.bad.SetDown(true)
	want(t, r.Probe(t.Context()), remote.Unavailable)
	r.bad.SetDown(false)
	if ks := r.keys(probePrefix); len(ks) != 0 {
		t.Errorf("left over: %v", ks)
	}
}
