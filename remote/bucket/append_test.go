package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

func newBytes(b []byte) io.ReadSeeker { return bytes.NewReader(b) }

// Many appenders on two machines race for every number. Each retries a lost race at the next
// number, as clients do.
func TestAppendRace(t *testing.T) {
	r := newRig(t)
	stores := []*Store{r.Store, r.another()}
	const appenders, each = 8, 250
	var all sync.WaitGroup
	for i := range appenders {
		s := stores[i%len(stores)]
		all.Go(func() {
			next := uint64(1)
			for j := range each {
				b := fmt.Appendf(nil, "appender %d commit %d", i, j)
				for {
					err := s.Append(t.Context(), next, b)
					if err == nil {
						next++
						break
					}
					if remote.KindOf(err) != remote.Conflict {
						t.Error(err)
						return
					}
					for e, err := range s.Read(t.Context(), next) {
						if err != nil {
							t.Error(err)
							return
						}
						next = e.Seq + 1
					}
				}
			}
		})
	}
	all.Wait()
	es, err := readAll(t.Context(), r.another(), 1)
	ok(t, err)
	if len(es) != appenders*each {
		t.Fatalf("the log has %d commits, want %d", len(es), appenders*each)
	}
	seen := map[string]bool{}
	last := make([]int, appenders)
	for i, e := range es {
		var a, c int
		if _, err := fmt.Sscanf(string(e.Body), "appender %d commit %d", &a, &c); err != nil {
			t.Fatal(err)
		}
		if e.Seq != uint64(i+1) || seen[string(e.Body)] || c != last[a] {
			t.Fatalf("commit %d is number %d: %s", i+1, e.Seq, e.Body)
		}
		seen[string(e.Body)] = true
		last[a]++
	}
}

func TestAppendFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []storetest.Fault
		puts   int
	}{
		{"answer lost", []storetest.Fault{{Op: storetest.Put, Action: storetest.FailAfter}}, 2},
		{"never arrived", []storetest.Fault{{Op: storetest.Put, Times: 7}}, 8},
		{"throttled", []storetest.Fault{{Op: storetest.Put, Err: remote.Throttled}}, 2},
		{"409", []storetest.Fault{{Op: storetest.Put, Times: 3, Err: remote.E("put", "", remote.Conflict, nil)}}, 4},
		{"answer lost, then nothing can be read", []storetest.Fault{
			{Op: storetest.Put, Action: storetest.FailAfter}, {Op: storetest.Get, Times: 12}}, 4},
		{"look at the predecessor fails", []storetest.Fault{{Op: storetest.Head, Times: 5}}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.fill(1, 3)
			r.boot.advance(time.Hour) // so that the predecessor is looked at
			r.bad.Reset()
			for _, f := range c.faults {
				f.Prefix = logPrefix
				r.bad.Fail(f)
			}
			ok(t, r.Append(t.Context(), 4, body(4)))
			if n := r.bad.Count(storetest.Put, "log"); n != c.puts {
				t.Errorf("%d puts, want %d", n, c.puts)
			}
			es, err := readAll(t.Context(), r.Store, 1)
			ok(t, err)
			if len(es) != 4 || !bytes.Equal(es[3].Body, body(4)) {
				t.Errorf("the log is %v", es)
			}
		})
	}
}

// The caller gives up while the put is on its way; it lands later. The same body at the same number
// is then a success.
func TestAppendLateLanding(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: logPrefix, Action: storetest.Hold, Release: release})
	ctx, cancel := context.WithCancel(t.Context())
	r.bad.Hook(func(c storetest.Call) error {
		if c.Op == storetest.Put {
			cancel()
		}
		return nil
	})
	want(t, r.Append(ctx, 1, body(1)), remote.Unavailable)
	if ks := r.keys(logPrefix); len(ks) != 0 {
		t.Fatalf("landed already: %v", ks)
	}
	close(release)
	r.bad.Settle()
	r.bad.Hook(nil)
	r.bad.Reset()
	ok(t, r.Append(t.Context(), 1, body(1)))
	if n := r.bad.Count(storetest.Put, "log"); n != 1 {
		t.Errorf("%d puts, want 1", n)
	}
	es, err := readAll(t.Context(), r.Store, 1)
	ok(t, err)
	if len(es) != 1 {
		t.Errorf("the log has %d commits", len(es))
	}
}

func TestAppendCost(t *testing.T) {
	r := newRig(t)
	r.fill(1, 1)
	r.bad.Reset()
	r.fill(2, 11)
	if n := r.bad.Count("", ""); n != 10 {
		t.Errorf("10 appends cost %d requests: %v", n, r.bad.Calls())
	}
}

func TestAppendConflict(t *testing.T) {
	r := newRig(t)
	r.fill(1, 1)
	ok(t, r.another().Append(t.Context(), 2, []byte("other")))
	want(t, r.Append(t.Context(), 2, body(2)), remote.Conflict)
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Err: remote.E("put", "", remote.Permission, nil)})
	want(t, r.Append(t.Context(), 3, body(3)), remote.Permission)
	r.bad.Fail(storetest.Fault{Op: storetest.Put})
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Nth: 2, Err: remote.E("put", "", remote.Permission, nil)})
	err := r.Append(t.Context(), 3, body(3))
	want(t, err, remote.Unavailable) // the first put may have had its effect
	if !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the reason is lost: %v", err)
	}
	// A caller that gives up while the store answers 409 must not take that for another client's
	// commit.
	ctx, cancel := context.WithCancel(t.Context())
	r.bad.Hook(func(c storetest.Call) error { cancel(); return nil })
	r.bad.Fail(storetest.Fault{Op: storetest.Put, Times: -1, Err: remote.E("put", "", remote.Conflict, nil)})
	err = r.Append(ctx, 3, body(3))
	want(t, err, remote.Unavailable)
	if errors.Is(err, remote.Conflict) {
		t.Errorf("an append in doubt looks settled: %v", err)
	}
	want(t, r.Append(t.Context(), 3, make([]byte, maxCommit+1)), remote.TooLarge)
	want(t, r.Append(t.Context(), 0, nil), remote.Invalid)
}

// The machine sleeps while the others write on, make a checkpoint and trim the log.
func TestAppendIntoThePast(t *testing.T) {
	trim := func(r *rig, first, last uint64) {
		for n := first; n <= last; n++ {
			r.remove(logKey(n))
		}
		_, err := r.another().WriteCheckpoint(t.Context(), last, []byte("hash"), records(10, 0))
		ok(t, err)
	}
	t.Run("asleep", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.boot.advance(11 * time.Minute)
		trim(r, 1, 6)
		want(t, r.Append(t.Context(), 6, body(6)), remote.Stale)
		if ks := r.keys(logPrefix); len(ks) != 0 {
			t.Errorf("left in the log: %v", ks)
		}
		_, err := readAll(t.Context(), r.Store, 6)
		want(t, err, remote.Stale)
	})
	t.Run("first commit", func(t *testing.T) {
		r := newRig(t)
		trim(r, 1, 6)
		want(t, r.Append(t.Context(), 1, body(1)), remote.Stale)
		if ks := r.keys(logPrefix); len(ks) != 0 {
			t.Errorf("left in the log: %v", ks)
		}
		_, err := readAll(t.Context(), r.Store, 1)
		want(t, err, remote.Stale)
	})
	t.Run("the put took eleven minutes", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.bad.Hook(func(c storetest.Call) error {
			if c.Op == storetest.Put && c.Key == logKey(6) {
				r.boot.advance(11 * time.Minute)
				trim(r, 1, 6)
			}
			return nil
		})
		want(t, r.Append(t.Context(), 6, body(6)), remote.Stale)
		if ks := r.keys(logPrefix); len(ks) != 0 {
			t.Errorf("left in the log: %v", ks)
		}
	})
	t.Run("an attempt of eleven minutes ago", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.bad.Hook(func(c storetest.Call) error {
			if c.Op == storetest.Put && c.Key == logKey(6) {
				r.bad.Hook(nil)
				r.boot.advance(11 * time.Minute)
				trim(r, 1, 6)
				return remote.Unavailable
			}
			return nil
		})
		want(t, r.Append(t.Context(), 6, body(6)), remote.Stale)
	})
	t.Run("the delete fails at first", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.boot.advance(11 * time.Minute)
		trim(r, 1, 6)
		r.bad.Fail(storetest.Fault{Op: storetest.Delete, Times: 9})
		want(t, r.Append(t.Context(), 6, body(6)), remote.Stale)
		if ks := r.keys(logPrefix); len(ks) != 0 {
			t.Errorf("left in the log: %v", ks)
		}
	})
	t.Run("asleep, nothing trimmed", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.boot.advance(11 * time.Minute)
		ok(t, r.Append(t.Context(), 6, body(6)))
		if n := r.bad.Count(storetest.Head, "log"); n != 1 {
			t.Errorf("%d looks at the predecessor, want 1", n)
		}
	})
	// A true commit, in doubt until the log was trimmed right before it, must not be deleted:
	// others built on it.
	t.Run("others went on from it", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 5)
		r.bad.Fail(storetest.Fault{Op: storetest.Put, Action: storetest.FailAfter})
		ctx, cancel := context.WithCancel(t.Context())
		puts := 0
		r.bad.Hook(func(c storetest.Call) error {
			if puts++; puts == 2 {
				cancel()
			}
			return nil
		})
		want(t, r.Append(ctx, 6, body(6)), remote.Unavailable)
		r.bad.Hook(nil)
		ok(t, r.another().Append(t.Context(), 7, []byte("built on 6")))
		r.boot.advance(time.Hour)
		trim(r, 1, 5)
		want(t, r.Append(t.Context(), 6, body(6)), remote.Stale)
		if ks := r.keys(logPrefix); !slices.Equal(ks, []string{logKey(6), logKey(7)}) {
			t.Errorf("the log is %v", ks)
		}
	})
	t.Run("beyond the end", func(t *testing.T) {
		r := newRig(t)
		r.fill(1, 2)
		want(t, r.Append(t.Context(), 5, body(5)), remote.Stale)
		if ks := r.keys(logPrefix); len(ks) != 2 {
			t.Errorf("the log is %v", ks)
		}
	})
}

func TestNow(t *testing.T) {
	date := time.Unix(1_700_000_000, 0)
	boot := new(fakeBoot)
	b := mem.New(mem.Options{Now: func() time.Time { return date }})
	s, err := Create(t.Context(), b, quick(boot))
	ok(t, err)
	boot.advance(90 * time.Second)
	if got := s.Now(); !got.Equal(date.Add(90 * time.Second)) {
		t.Errorf("the store's clock is %v", got)
	}
	silent, err := Open(t.Context(), dateless{b}, quick(boot))
	ok(t, err)
	if got := silent.Now(); !got.IsZero() {
		t.Errorf("a store that says no date has the clock %v", got)
	}
}

// dateless answers without a date.
type dateless struct{ object.Bucket }

func (d dateless) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	r, i, err := d.Bucket.Get(ctx, key, opt)
	i.Date = time.Time{}
	return r, i, err
}
