package bucket

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// holey opens the library of r through listings that leave out what they like of the log, seeded.
func (r *rig) holey(seed uint64) *Store {
	r.t.Helper()
	bad := storetest.New(r.mem)
	bad.SetHoles(storetest.RecentAtRandom(seed, time.Hour, logPrefix))
	s, err := Open(r.t.Context(), bad, quick(new(fakeBoot)))
	ok(r.t, err)
	return s
}

// What a listing leaves out is asked for: the log is read whole, from wherever, whatever the
// listing lacks.
func TestHolesOfAListing(t *testing.T) {
	const n = 40
	r := newRig(t)
	r.fill(1, n)
	for seed := range uint64(50) {
		first := 1 + seed%(n+1)
		es, err := readAll(t.Context(), r.holey(seed), first)
		ok(t, err)
		if len(es) != int(n+1-first) {
			t.Errorf("seed %d, from %d on: %d commits", seed, first, len(es))
		}
		for i, e := range es {
			if e.Seq != first+uint64(i) || !bytes.Equal(e.Body, body(e.Seq)) {
				t.Errorf("seed %d: entry %d is %d", seed, i, e.Seq)
			}
		}
		h, err := r.holey(seed).Horizon(t.Context())
		ok(t, err)
		if h != 1 {
			t.Errorf("seed %d: the horizon is %d", seed, h)
		}
		next := uint64(1)
		for o, err := range r.holey(seed).LogObjects(t.Context()) {
			ok(t, err)
			if o.Seq != next || o.Size == 0 || o.Modified.IsZero() {
				t.Errorf("seed %d: %+v, want commit %d", seed, o, next)
			}
			next++
		}
		if next != n+1 {
			t.Errorf("seed %d: the log ends before %d", seed, next)
		}
	}
}

// What is missing is told from what is not listed.
func TestHolesBesideAGap(t *testing.T) {
	r := newRig(t)
	r.fill(1, 40)
	r.remove(logKey(25))
	for seed := range uint64(20) {
		es, err := readAll(t.Context(), r.holey(seed), 1)
		want(t, err, remote.Stale)
		if len(es) != 24 || !strings.Contains(err.Error(), logKey(25)) {
			t.Errorf("seed %d: %d commits, %v", seed, len(es), err)
		}
		var leaps []uint64
		next := uint64(1)
		for o, err := range r.holey(seed).LogObjects(t.Context()) {
			ok(t, err)
			if o.Seq != next {
				leaps = append(leaps, o.Seq)
			}
			next = o.Seq + 1
		}
		if len(leaps) != 1 || leaps[0] != 26 || next != 41 {
			t.Errorf("seed %d: leaps to %v, ends before %d", seed, leaps, next)
		}
	}
	// A number of nobody's, far away.
	r = newRig(t)
	r.fill(1, 3)
	r.overwrite(logKey(1<<63), []byte("not a commit"))
	es, err := readAll(t.Context(), r.another(), 1)
	want(t, err, remote.Stale)
	if len(es) != 3 {
		t.Errorf("%d commits", len(es))
	}
	// Who has found a hole takes it for no end, however young the commit before it is.
	r = newRig(t)
	r.fill(1, 5)
	r.remove(logKey(4))
	s := r.another()
	for range 3 {
		es, err := readAll(t.Context(), s, 3)
		want(t, err, remote.Stale)
		if len(es) != 1 {
			t.Errorf("%d commits", len(es))
		}
		_, err = readAll(t.Context(), s, 4)
		want(t, err, remote.Stale)
	}
}

// racing is a bucket whose listings take a while: others append between the two halves of what they
// show, the later first.
type racing struct {
	object.Bucket
	between func()
}

func (b racing) List(ctx context.Context, prefix, after string, max int) ([]object.Info, bool, error) {
	low, _, err := b.Bucket.List(ctx, prefix, after, max)
	if err != nil || prefix != logPrefix {
		return low, false, err
	}
	b.between()
	high, more, err := b.Bucket.List(ctx, prefix, after, max)
	for n, i := range high {
		if n > len(low) { // the first that came is passed by
			low = append(low, i)
		}
	}
	return low, more, err
}

// Readers that start while others append find all that was there when they started.
func TestReadBesideAppends(t *testing.T) {
	r := newRig(t)
	r.fill(1, 10)
	var mu sync.Mutex
	last := uint64(10)
	between := func() {
		mu.Lock()
		defer mu.Unlock()
		r.fill(last+1, last+3)
		last += 3
	}
	for i := range 20 {
		s, err := Open(t.Context(), racing{r.mem, between}, quick(new(fakeBoot)))
		ok(t, err)
		before := last
		es, err := readAll(t.Context(), s, 1+uint64(i))
		ok(t, err)
		if end := es[len(es)-1].Seq; end < before+3 {
			t.Errorf("round %d: it read up to %d of %d", i, end, last)
		}
	}
	if last != 70 {
		t.Error(fmt.Sprint("appends up to ", last))
	}
}
