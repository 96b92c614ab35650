package bucket

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

func TestReadTailCost(t *testing.T) {
	r := newRig(t)
	poll := func(first uint64, requests int) {
		t.Helper()
		r.bad.Reset()
		es, err := readAll(t.Context(), r.Store, first)
		ok(t, err)
		if n := r.bad.Count("", ""); len(es) != 0 || n != requests {
			t.Errorf("%d commits with %d requests, want none with %d: %v", len(es), n, requests, r.bad.Calls())
		}
	}
	poll(1, 3) // an empty log: LIST it, LIST the checkpoints, ask for commit 1
	poll(1, 1)
	r.fill(1, 3)
	poll(4, 1)
	poll(4, 1)
	r.boot.advance(11 * time.Minute)
	poll(4, 2) // a LIST, which sees commit 3 again, and the end after it
	if r.bad.Count(storetest.List, "log") != 1 {
		t.Errorf("after a sleep: %v", r.bad.Calls())
	}
	poll(4, 1)
	if r.bad.Count(storetest.Get, "log") != 1 {
		t.Errorf("awake again: %v", r.bad.Calls())
	}
	// One new commit: it, and the end after it.
	ok(t, r.another().Append(t.Context(), 4, body(4)))
	r.bad.Reset()
	es, err := readAll(t.Context(), r.Store, 4)
	ok(t, err)
	if len(es) != 1 || r.bad.Count("", "") != 2 {
		t.Errorf("%d commits with %v", len(es), r.bad.Calls())
	}
}

func TestRead(t *testing.T) {
	r := newRig(t)
	r.fill(1, 50)
	for _, first := range []uint64{1, 2, 17, 49, 50, 51} {
		es, err := readAll(t.Context(), r.another(), first)
		ok(t, err)
		if len(es) != int(51-first) {
			t.Errorf("from %d on there are %d commits", first, len(es))
		}
		for i, e := range es {
			if e.Seq != first+uint64(i) || !bytes.Equal(e.Body, body(e.Seq)) || e.Time.IsZero() {
				t.Errorf("from %d on, entry %d is %d %q at %v", first, i, e.Seq, e.Body, e.Time)
			}
		}
	}
	// A reader may stop early.
	for e, err := range r.Read(t.Context(), 1) {
		ok(t, err)
		if e.Seq == 20 {
			break
		}
	}
	_, err := readAll(t.Context(), r.Store, 0)
	want(t, err, remote.Invalid)
}

// A log of several pages, of which the first commits are older than a day.
func TestReadLong(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	m := mem.New(mem.Options{Now: func() time.Time { return now }})
	bad := storetest.New(m)
	boot := new(fakeBoot)
	s, err := Create(t.Context(), bad, quick(boot))
	ok(t, err)
	const n = 2_300
	for i := range uint64(n) {
		now = now.Add(time.Minute)
		ok(t, s.Append(t.Context(), i+1, body(i+1)))
	}
	f, err := Open(t.Context(), bad, quick(boot))
	ok(t, err)
	bad.Reset()
	es, err := readAll(t.Context(), f, 1)
	ok(t, err)
	if len(es) != n || bad.Count(storetest.List, "log") != 3 || bad.Count(storetest.Get, "log") != n+1 {
		t.Errorf("%d commits with %v", len(es), bad.Counts())
	}
	// Old commits prove nothing about those after them: the end is confirmed by a listing, once.
	f, err = Open(t.Context(), bad, quick(boot))
	ok(t, err)
	now = now.Add(48 * time.Hour)
	for range 3 {
		_, err = readAll(t.Context(), f, n)
		ok(t, err)
	}
	bad.Reset()
	es, err = readAll(t.Context(), f, n+1)
	ok(t, err)
	if len(es) != 0 || bad.Count("", "") != 1 || bad.Count(storetest.Get, "log") != 1 {
		t.Errorf("the poll: %v", bad.Calls())
	}
}

// A store that says no dates cannot show that a commit is young: listings do instead, and
// everything works.
func TestReadWithoutDates(t *testing.T) {
	b := storetest.New(mem.New(mem.Options{NoDate: true}))
	boot := new(fakeBoot)
	s, err := Create(t.Context(), b, quick(boot))
	ok(t, err)
	f, err := Open(t.Context(), b, quick(boot))
	ok(t, err)
	for n := range uint64(20) {
		ok(t, s.Append(t.Context(), n+1, body(n+1)))
		es, err := readAll(t.Context(), f, n+1)
		ok(t, err)
		if len(es) != 1 {
			t.Fatalf("%d commits", len(es))
		}
	}
	b.Reset()
	for range 4 {
		_, err = readAll(t.Context(), f, 21)
		ok(t, err)
	}
	if b.Count("", "") != 4 {
		t.Errorf("4 polls cost %v", b.Calls())
	}
	if !s.Now().IsZero() {
		t.Error("it has a clock")
	}
}

func TestReadStale(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  uint64
		delete []uint64
		stale  bool
	}{
		{"nothing deleted", 21, nil, false},
		{"trimmed below", 21, []uint64{1, 2, 18, 19}, false},
		{"trimmed up to the reader", 21, []uint64{19, 20}, true},
		{"a hole", 21, []uint64{25}, true},
		{"the next is missing", 21, []uint64{21}, true},
		{"all is gone but the end", 31, []uint64{30}, true},
		{"beyond the end", 40, nil, true},
		{"from the start", 1, []uint64{1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.fill(1, 30)
			for _, n := range c.delete {
				r.remove(logKey(n))
			}
			r.boot.advance(11 * time.Minute)
			es, err := readAll(t.Context(), r.Store, c.first)
			if c.stale {
				want(t, err, remote.Stale)
				return
			}
			ok(t, err)
			if len(es) != int(31-c.first) {
				t.Errorf("%d commits", len(es))
			}
		})
	}
	t.Run("deleted while reading", func(t *testing.T) {
		r := newRig(t)
		const last = commitsAhead + 30 // the commit that goes has not been asked for when the first arrives
		r.fill(1, last)
		s := r.another()
		err := error(nil)
		for e, e2 := range s.Read(t.Context(), 1) {
			if err = e2; e.Seq == 1 {
				r.remove(logKey(last - 1))
			}
		}
		want(t, err, remote.Stale)
	})
}

// The end of the log was believed, and then it was trimmed and written on while the reader waited
// for its answer.
func TestReadSlowAnswer(t *testing.T) {
	r := newRig(t)
	r.fill(1, 5)
	r.bad.Hook(func(c storetest.Call) error {
		if c.Key == logKey(6) {
			r.boot.advance(11 * time.Minute)
			r.remove(logKey(4), logKey(5))
		}
		return nil
	})
	_, err := readAll(t.Context(), r.Store, 6)
	want(t, err, remote.Stale)
}

func TestReadCorrupt(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(r *rig, b []byte) []byte
		kind   remote.Kind
	}{
		{"truncated", func(_ *rig, b []byte) []byte { return b[:len(b)-1] }, remote.Corrupt},
		{"within the header", func(_ *rig, b []byte) []byte { return b[:40] }, remote.Corrupt},
		{"empty", func(*rig, []byte) []byte { return nil }, remote.Corrupt},
		{"a bit", func(_ *rig, b []byte) []byte { b[len(b)-3] ^= 4; return b }, remote.Corrupt},
		{"a bit of the number", func(_ *rig, b []byte) []byte { b[39] ^= 1; return b }, remote.Corrupt},
		{"another's file", func(*rig, []byte) []byte { return bytes.Repeat([]byte("x"), 500) }, remote.Corrupt},
		{"another number", func(r *rig, _ []byte) []byte { return r.raw(logKey(1)) }, remote.Corrupt},
		{"another kind", func(r *rig, _ []byte) []byte { return seal(r.lib, kindFacts, 2, nil) }, remote.Corrupt},
		{"another library", func(*rig, []byte) []byte { o := newRig(t); o.fill(1, 2); return o.raw(logKey(2)) }, remote.Corrupt},
		{"not compressed", func(r *rig, _ []byte) []byte { return seal(r.lib, kindCommit, 2, []byte("plain")) }, remote.Corrupt},
		{"a bomb", func(r *rig, _ []byte) []byte {
			return seal(r.lib, kindCommit, 2, encoder().EncodeAll(make([]byte, maxCommitRead+1), nil))
		}, remote.Corrupt},
		{"from the future", func(_ *rig, b []byte) []byte { b[9]++; return b }, remote.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.fill(1, 3)
			r.overwrite(logKey(2), c.damage(r, r.raw(logKey(2))))
			for _, s := range []*Store{r.Store, r.another()} { // one by one, and from a list
				es, err := readAll(t.Context(), s, 1)
				want(t, err, c.kind)
				if len(es) != 1 {
					t.Errorf("%d commits before the error", len(es))
				}
			}
			err := r.Append(t.Context(), 2, body(2))
			want(t, err, c.kind)
		})
	}
}

func TestReadFaults(t *testing.T) {
	r := newRig(t)
	r.fill(1, 40)
	s, err := Open(t.Context(), r.bad, quick(r.boot))
	ok(t, err)
	r.bad.Fail(storetest.Fault{Op: storetest.List, Times: 2})
	r.bad.Fail(storetest.Fault{Op: storetest.Get, Prefix: logPrefix, Nth: 5, Times: 3, Err: remote.Throttled})
	r.bad.Fail(storetest.Fault{Prefix: logPrefix, Nth: 25, Action: storetest.Cut, At: 70})
	es, err := readAll(t.Context(), s, 1)
	ok(t, err)
	if len(es) != 40 {
		t.Errorf("%d commits", len(es))
	}
	r.bad.SetDown(true)
	_, err = readAll(t.Context(), s, 41)
	want(t, err, remote.Unavailable)
	r.bad.SetDown(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = readAll(ctx, s, 41); err == nil {
		t.Error("a cancelled read gave no error")
	}
}

func TestHorizon(t *testing.T) {
	r := newRig(t)
	check := func(n uint64) {
		t.Helper()
		got, err := r.Horizon(t.Context())
		ok(t, err)
		if got != n {
			t.Errorf("the horizon is %d, want %d", got, n)
		}
	}
	check(1)
	r.fill(1, 12)
	check(1)
	r.remove(logKey(1), logKey(2), logKey(3))
	check(4)
	r.overwrite(logKey(2), []byte("left by an author who died"))
	check(4)
	r.overwrite(logPrefix+"notes.txt", nil) // somebody else's
	check(4)
	for n := range uint64(12) {
		r.remove(logKey(n + 1))
	}
	_, err := r.WriteCheckpoint(t.Context(), 12, nil, records(3, 0))
	ok(t, err)
	check(13)
	if ks := r.keys(logPrefix); !slices.Equal(ks, []string{logPrefix + "notes.txt"}) {
		t.Errorf("the log is %v", ks)
	}
}
