package bucket

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// fakeBoot is a boot clock that moves only when it is told to.
type fakeBoot struct{ d atomic.Int64 }

func (b *fakeBoot) now() time.Duration      { return time.Duration(b.d.Load()) }
func (b *fakeBoot) advance(d time.Duration) { b.d.Add(int64(d)) }

// rig is a library in memory: its bucket, the wrapper that makes it fail, its clock and a store on
// it.
type rig struct {
	t    *testing.T
	mem  *mem.Bucket
	bad  *storetest.Faulty
	boot *fakeBoot
	*Store
}

func quick(boot *fakeBoot) Options {
	return Options{FirstPause: time.Microsecond, MaxPause: 20 * time.Microsecond, ChunkSize: 64, Boot: boot.now}
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, mem: mem.New(mem.Options{}), boot: new(fakeBoot)}
	r.bad = storetest.New(r.mem)
	opt := quick(r.boot)
	for _, f := range change {
		f(&opt)
	}
	s, err := Create(t.Context(), r.bad, opt)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	t.Cleanup(func() { s.Close() })
	r.bad.Reset()
	return r
}

// another opens the same library as a second machine would.
func (r *rig) another() *Store {
	r.t.Helper()
	s, err := Open(r.t.Context(), r.mem, quick(r.boot))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// fill appends the commits from first to last, each with its number as body.
func (r *rig) fill(first, last uint64) {
	r.t.Helper()
	for n := first; n <= last; n++ {
		if err := r.Append(r.t.Context(), n, body(n)); err != nil {
			r.t.Fatal(err)
		}
	}
}

func body(n uint64) []byte { return []byte("commit " + logKey(n)) }

// keys lists what is in the bucket under a prefix.
func (r *rig) keys(prefix string) (ks []string) {
	r.t.Helper()
	for after, more := "", true; more; {
		page, m, err := r.mem.List(context.Background(), prefix, after, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, i := range page {
			ks = append(ks, i.Key)
			after = i.Key
		}
		more = m
	}
	return ks
}

// raw is the bytes of an object.
func (r *rig) raw(key string) []byte {
	r.t.Helper()
	body, _, err := r.mem.Get(context.Background(), key, object.GetOptions{Length: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// overwrite gives an object other bytes.
func (r *rig) overwrite(key string, b []byte) {
	r.t.Helper()
	if _, err := r.mem.Put(context.Background(), key, newBytes(b), int64(len(b)), object.PutOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// remove deletes objects behind the store's back.
func (r *rig) remove(keys ...string) {
	r.t.Helper()
	if err := r.mem.Delete(context.Background(), keys...); err != nil {
		r.t.Fatal(err)
	}
}

// readAll reads the log from first on.
func readAll(ctx context.Context, s *Store, first uint64) (es []remote.LogEntry, err error) {
	for e, err := range s.Read(ctx, first) {
		if err != nil {
			return es, err
		}
		es = append(es, e)
	}
	return es, nil
}

// want fails the test unless err is of a kind.
func want(t *testing.T, err error, k remote.Kind) {
	t.Helper()
	if err == nil || remote.KindOf(err) != k {
		t.Fatalf("got error %v, want one of kind %q", err, k)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hintOf is the innermost hint of an error: what the user can do.
func hintOf(err error) (hint string) {
	for e := (*remote.Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			hint = e.Hint
		}
	}
	return hint
}
