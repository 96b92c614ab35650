package catalog

import (
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/storetest"
)

// Joining a library whose store can be read and not written ends, with the reason.
func TestJoinWithoutWriting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := storetest.New(w.mem)
	s, err := bucket.Open(t.Context(), bad, w.options())
	if err != nil {
		t.Fatal(err)
	}
	bad.Fail(storetest.Fault{Op: storetest.Put, Times: -1, Err: remote.E("put", "", remote.Unavailable, nil)})
	begin := time.Now()
	c, err := w.try(t.TempDir(), func(o *Options) { o.Store, o.AppendTimeout = s, 30*time.Millisecond })
	if remote.KindOf(err) != remote.Unavailable {
		t.Errorf("opened: %v, %v", c, err)
	}
	if took := time.Since(begin); took > 20*time.Second { // the rig gives up after 30 s
		t.Errorf("it took %s", took)
	}
}

// An operation that waits in vain for a store which has no room fails with that reason, and is made
// when there is room.
func TestUpdateOfAFullStore(t *testing.T) {
	t.Parallel()
	for _, kind := range []remote.Kind{remote.Quota, remote.NoSpace} {
		w := newWorld(t)
		a := w.open(t.TempDir(), func(o *Options) { o.AppendTimeout = 300 * time.Millisecond })
		remove := a.bad.Fail(storetest.Fault{Op: storetest.Put, Times: -1, Err: remote.E("put", "", kind, nil)})
		if err := a.word("add k 1"); remote.KindOf(err) != kind {
			t.Errorf("%v: %v", kind, err)
		}
		remove()
		if err := a.Flush(t.Context()); err != nil || a.number("k") != 1 {
			t.Errorf("once there is room: %v, %d", err, a.number("k"))
		}
		// A store that is merely away is not full.
		a.bad.SetDown(true)
		if err := a.word("add k 1"); remote.KindOf(err) != remote.Unavailable {
			t.Errorf("away: %v", err)
		}
		a.bad.SetDown(false)
	}
}
