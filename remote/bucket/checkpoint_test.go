package bucket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/storetest"
)

// records yields n records; the value of one in 2,500 changes with salt.
func records(n int, salt byte) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		for i := range n {
			v := binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15)
			if i%2_500 == 1_777 {
				v[0] ^= salt
			}
			if !yield(
				remote.Record{Key: fmt.Appendf(nil, "node/%012d", i*3), Value: append(v, "some value of a node"...)},
				nil,
			) {
				return
			}
		}
	}
}

// list yields records made of "key=value".
func list(recs ...string) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		for _, s := range recs {
			k, v, _ := strings.Cut(s, "=")
			if !yield(remote.Record{Key: []byte(k), Value: []byte(v)}, nil) {
				return
			}
		}
	}
}

// load reads the newest checkpoint whole and compares it with what was written.
func (r *rig) load(seq uint64, wanted iter.Seq2[remote.Record, error]) {
	r.t.Helper()
	c, err := r.OpenCheckpoint(r.t.Context())
	ok(r.t, err)
	if c.Seq() != seq || string(c.Hash()) != fmt.Sprint("hash of ", seq) {
		r.t.Fatalf("the newest checkpoint is %d with hash %q", c.Seq(), c.Hash())
	}
	next, stop := iter.Pull2(wanted)
	defer stop()
	size := int64(0)
	for rec, err := range c.Records(r.t.Context()) {
		ok(r.t, err)
		w, _, more := next()
		if !more || !bytes.Equal(w.Key, rec.Key) || !bytes.Equal(w.Value, rec.Value) {
			r.t.Fatalf("got %q=%q, want %q=%q", rec.Key, rec.Value, w.Key, w.Value)
		}
		size += int64(len(rec.Key) + len(rec.Value))
	}
	if _, _, more := next(); more {
		r.t.Fatal("records are missing at the end")
	}
	if size != c.Bytes() {
		r.t.Errorf("it has %d bytes and says %d", size, c.Bytes())
	}
}

func (r *rig) write(seq uint64, recs iter.Seq2[remote.Record, error]) (int64, error) {
	return r.WriteCheckpoint(r.t.Context(), seq, fmt.Append(nil, "hash of ", seq), recs)
}

func smallParts(o *Options) { o.PartSize = 32 << 10 }

func TestCheckpoint(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PartSize = 64 << 10 })
	_, err := r.OpenCheckpoint(t.Context())
	want(t, err, remote.NotExist)

	const n = 50_000
	cost, err := r.write(7, records(n, 0))
	ok(t, err)
	r.load(7, records(n, 0))
	if cost != n*45 {
		t.Errorf("it cost %d bytes, want %d", cost, n*45)
	}
	whole := len(r.keys(partPrefix))
	if whole < 15 || whole > 120 {
		t.Errorf("2 MB were cut into %d parts of about 64 KiB", whole)
	}

	// Writing it again does nothing; one record more or other in the middle changes the parts next
	// to it.
	r.bad.Reset()
	_, err = r.write(7, records(n, 0))
	ok(t, err)
	if r.bad.Count(storetest.Put, "") != 0 {
		t.Errorf("it was there: %v", r.bad.Counts())
	}
	insert := func(yield func(remote.Record, error) bool) {
		i := 0
		for rec, err := range records(n, 0) {
			if !yield(rec, err) {
				return
			}
			if i++; i == n/2 && !yield(remote.Record{Key: append(bytes.Clone(rec.Key), 0)}, nil) {
				return
			}
		}
	}
	_, err = r.write(9, insert)
	ok(t, err)
	if more := len(r.keys(partPrefix)) - whole; more < 1 || more > 3 {
		t.Errorf("one record more made %d new parts of %d", more, whole)
	}
}

func TestCheckpointReuse(t *testing.T) {
	r := newRig(t, smallParts)
	_, err := r.write(1, records(8_000, 0))
	ok(t, err)
	before := len(r.keys(partPrefix))
	r.bad.Reset()
	_, err = r.write(2, records(8_000, 0))
	ok(t, err)
	if n := r.bad.Count(storetest.Put, ""); n != 1 {
		t.Errorf("an unchanged catalog cost %d puts, want 1: the manifest", n)
	}
	r.bad.Reset()
	_, err = r.write(3, records(8_000, 1)) // three records differ
	ok(t, err)
	if n := r.bad.Count(storetest.Put, ""); n != 4 || before < 6 {
		t.Errorf("three changes in %d parts cost %d puts, want 4", before, n)
	}
	r.load(3, records(8_000, 1))
	// An earlier checkpoint that cannot be read is no obstacle, to nobody: the one before it is
	// read.
	r.overwrite(manifestKey(3), []byte("damaged"))
	r.load(2, records(8_000, 0))
	_, err = r.write(4, records(8_000, 1))
	ok(t, err)
	r.load(4, records(8_000, 1))
	// Parts that are gone or cut are put anew.
	parts := r.keys(partPrefix)
	ok(t, r.mem.Delete(t.Context(), parts...))
	r.overwrite(parts[0], []byte("cut"))
	_, err = r.write(5, records(8_000, 1))
	ok(t, err)
	r.load(5, records(8_000, 1))
}

func TestCheckpointSmall(t *testing.T) {
	r := newRig(t)
	cost, err := r.write(1, list())
	ok(t, err)
	if cost != 0 {
		t.Errorf("nothing cost %d", cost)
	}
	r.load(1, list())
	big := list("a=", "b="+strings.Repeat("v", maxValue), "c"+strings.Repeat("k", maxKey-1)+"=1", "d=2")
	_, err = r.write(2, big)
	ok(t, err)
	r.load(2, big)
}

func TestCheckpointRefuses(t *testing.T) {
	r := newRig(t)
	broken := errors.New("the catalog broke")
	for _, c := range []struct {
		name string
		recs iter.Seq2[remote.Record, error]
		kind remote.Kind
	}{
		{"order", list("b=1", "a=2"), remote.Invalid},
		{"twice", list("a=1", "a=2"), remote.Invalid},
		{"no key", list("=1"), remote.Invalid},
		{"long key", list(strings.Repeat("k", maxKey+1) + "=1"), remote.TooLarge},
		{"long value", list("k=" + strings.Repeat("v", maxValue+1)), remote.TooLarge},
		{"source", func(yield func(remote.Record, error) bool) { yield(remote.Record{}, broken) }, remote.Other},
	} {
		_, err := r.write(1, c.recs)
		want(t, err, c.kind)
		if c.kind == remote.Other && !errors.Is(err, broken) {
			t.Errorf("the cause is lost: %v", err)
		}
	}
	_, err := r.write(0, list())
	want(t, err, remote.Invalid)
	if ks := r.keys("checkpoint/"); len(ks) != 0 {
		t.Errorf("left over: %v", ks)
	}
}

func TestCheckpointDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(r *rig, part string)
		kind   remote.Kind
	}{
		{"deleted", func(r *rig, k string) { r.remove(k) }, remote.Stale},
		{"truncated", func(r *rig, k string) { b := r.raw(k); r.overwrite(k, b[:len(b)/2]) }, remote.Corrupt},
		{"longer", func(r *rig, k string) { r.overwrite(k, append(r.raw(k), 0)) }, remote.Corrupt},
		{"empty", func(r *rig, k string) { r.overwrite(k, nil) }, remote.Corrupt},
		{"a bit", func(r *rig, k string) { b := r.raw(k); b[len(b)/3] ^= 1; r.overwrite(k, b) }, remote.Corrupt},
		{"another part", func(r *rig, k string) { r.overwrite(k, r.raw(r.keys(partPrefix)[0])) }, remote.Corrupt},
		{"from the future", func(r *rig, k string) { b := r.raw(k); b[9] = 3; r.overwrite(k, b) }, remote.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, smallParts)
			_, err := r.write(5, records(8_000, 0))
			ok(t, err)
			cp, err := r.OpenCheckpoint(t.Context())
			ok(t, err)
			parts := cp.(*checkpoint).m.Parts
			target := parts[len(parts)-1].Key
			if target == r.keys(partPrefix)[0] {
				target = parts[len(parts)-2].Key
			}
			n := 0
			for _, e := range cp.Records(t.Context()) {
				if n++; n == 1 {
					c.damage(r, target) // while it is being loaded
				}
				err = e
			}
			want(t, err, c.kind)
			if !strings.Contains(err.Error(), target) {
				t.Errorf("the error does not name %s: %v", target, err)
			}
		})
	}
}

// Two machines write the same checkpoint at the same time: both succeed, one is there.
func TestCheckpointTwoWriters(t *testing.T) {
	r := newRig(t, smallParts)
	var all sync.WaitGroup
	for _, s := range []*Store{r.Store, r.another(), r.another()} {
		all.Go(func() {
			cost, err := s.WriteCheckpoint(t.Context(), 5, []byte("hash of 5"), records(5_000, 0))
			if err != nil || cost != 5_000*45 {
				t.Errorf("cost %d, %v", cost, err)
			}
		})
	}
	all.Wait()
	r.load(5, records(5_000, 0))
	if ks := r.keys(manifestPrefix); len(ks) != 1 {
		t.Errorf("manifests %v", ks)
	}
}

func TestCheckpointFaults(t *testing.T) {
	for _, f := range []storetest.Fault{
		{Op: storetest.Put, Prefix: partPrefix, Times: 3},
		{Op: storetest.Put, Prefix: partPrefix, Nth: 2, Action: storetest.FailAfter},
		{Op: storetest.Put, Prefix: manifestPrefix, Times: 2},
		{Op: storetest.Put, Prefix: manifestPrefix, Action: storetest.FailAfter},
		{Op: storetest.Put, Prefix: manifestPrefix, Err: remote.E("put", "", remote.Conflict, nil)},
		{Op: storetest.List, Times: 4},
		{Op: storetest.Get, Times: 4, Err: remote.Throttled},
		{Op: storetest.Get, Prefix: partPrefix, Action: storetest.Cut, At: 1000},
		{Op: storetest.Head, Times: 3},
	} {
		t.Run(fmt.Sprint(f.Op, f.Prefix, f.Action), func(t *testing.T) {
			r := newRig(t, smallParts)
			_, err := r.write(4, records(5_000, 0))
			ok(t, err)
			r.bad.Fail(f)
			_, err = r.write(5, records(5_000, 1))
			ok(t, err)
			r.load(5, records(5_000, 1))
		})
	}
	r := newRig(t, smallParts)
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: partPrefix, Times: -1})
	_, err := r.write(5, records(12_000, 0))
	want(t, err, remote.Unavailable)
	if ks := r.keys(manifestPrefix); len(ks) != 0 {
		t.Errorf("a manifest without its parts: %v", ks)
	}
}

// A writer that was slow must not name parts that may be gone.
func TestCheckpointTooLate(t *testing.T) {
	slow := func(r *rig, then func()) iter.Seq2[remote.Record, error] {
		return func(yield func(remote.Record, error) bool) {
			records(5_000, 1)(yield)
			then()
		}
	}
	t.Run("12 hours", func(t *testing.T) {
		r := newRig(t, smallParts)
		_, err := r.write(5, slow(r, func() { r.boot.advance(12 * time.Hour) }))
		want(t, err, remote.Stale)
	})
	t.Run("its base was deleted", func(t *testing.T) {
		r := newRig(t, smallParts)
		_, err := r.write(4, records(5_000, 0))
		ok(t, err)
		_, err = r.write(5, slow(r, func() { r.remove(manifestKey(4)) }))
		want(t, err, remote.Stale)
	})
	t.Run("its base was deleted at the last moment", func(t *testing.T) {
		r := newRig(t, smallParts)
		_, err := r.write(4, records(5_000, 0))
		ok(t, err)
		r.bad.Hook(func(c storetest.Call) error {
			if c.Op == storetest.Put && c.Key == manifestKey(5) {
				r.remove(manifestKey(4))
			}
			return nil
		})
		_, err = r.write(5, records(5_000, 1))
		want(t, err, remote.Stale)
		if ks := r.keys(manifestPrefix); len(ks) != 0 {
			t.Errorf("a manifest that nothing protects: %v", ks)
		}
	})
}

// A manifest that was deleted after it was listed has a newer one beside it.
func TestOpenCheckpointWhileSwept(t *testing.T) {
	r := newRig(t)
	_, err := r.write(5, list("a=1"))
	ok(t, err)
	other := &rig{t: t, mem: r.mem, Store: r.another()}
	r.bad.Hook(func(c storetest.Call) error {
		if c.Key == manifestKey(5) {
			r.bad.Hook(nil)
			_, err := other.write(6, list("a=2"))
			ok(t, err)
			r.remove(manifestKey(5))
		}
		return nil
	})
	r.load(6, list("a=2"))
}

// A checkpoint that is broken off is not begun anew: its parts are used, by whoever writes the next
// one. What is not whole is not.
func TestCheckpointGoesOn(t *testing.T) {
	r := newRig(t, smallParts)
	const n = 20_000
	remove := r.bad.Fail(
		storetest.Fault{Op: storetest.Put, Prefix: manifestPrefix, Times: -1, Action: storetest.FailBefore},
	)
	if _, err := r.write(7, records(n, 0)); err == nil {
		t.Fatal("it was not broken off")
	}
	remove()
	whole := r.keys(partPrefix)
	opt := quick(r.boot)
	smallParts(&opt)
	other, err := Open(t.Context(), r.mem, opt)
	ok(t, err)
	_, err = other.WriteCheckpoint(t.Context(), 8, []byte("hash of 8"), records(n, 0))
	ok(t, err)
	if parts := r.keys(partPrefix); len(whole) < 20 || len(parts) != len(whole) {
		t.Errorf("%d parts became %d", len(whole), len(parts))
	}
	r.load(8, records(n, 0))
}
