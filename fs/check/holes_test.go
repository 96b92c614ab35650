package check

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// Listings that leave out whatever is new make no damage of a sound library, and no garbage of what
// is used.
func TestHolesInListings(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	for i := range 30 {
		l.commit(writes{"s" + string(rune('a'+i)): []byte{}})
		if i%20 == 0 {
			l.checkpoint()
		}
	}
	l.passes(3 * day)
	defer l.bad.SetHoles(nil)
	for seed := range uint64(12) {
		l.bad.SetHoles(storetest.RecentAtRandom(seed, 10*day, "log/", "content/", "checkpoint/part/"))
		r := l.check(withData)
		if len(r.Findings) != 0 || r.First != 1 || r.Last != 32 || r.Log.Count != 32 || r.Commit != 32 {
			t.Errorf("seed %d: report %+v", seed, r)
		}
		_, items := l.garbage()
		l.expect("garbage", items)
	}

	// What is missing is found all the same.
	l.delete(at('A'), "log/0/00000000000000000020")
	for seed := range uint64(6) {
		l.bad.SetHoles(storetest.RecentAtRandom(seed, 10*day, "log/", "content/", "checkpoint/part/"))
		r := l.check()
		if len(r.Findings) != 2 || r.Findings[0].Class != MissingContent || r.Findings[1].Class != LogGap {
			t.Errorf("seed %d: findings %+v", seed, r.Findings)
		}
	}
}

// What the state that was read does not refer to, and a commit that came while the objects were
// listed does, is no garbage.
func TestGarbageThatIsUsedMeanwhile(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	late, rec := l.content('L', []byte("uploaded long before its commit"), true)
	kept, keptRec := l.content('K', []byte("its record is there and nothing refers to it"), false)
	l.content('X', []byte("never referred to"), true)
	w := writes{}
	w.set(record.ContentKey(kept), keptRec)
	l.commit(w)
	l.passes(3 * day)
	var items []string
	o := l.options(func(o *Options) {
		o.step = func(point string) {
			if point != "listing" {
				return
			}
			w := writes{}
			w.set(record.ContentKey(late), rec)
			w.set(record.NodeKey(9), &record.Node{Mode: 0o100644, Head: whole(late, rec)})
			w.name(record.Root, "late", 9, kindMedia)
			w.set(record.NodeKey(10), &record.Node{Mode: 0o100644, Head: whole(kept, keptRec)})
			w.name(record.Root, "kept", 10, kindMedia)
			l.commit(w)
		}
		o.Each = func(i Item) error { items = append(items, string(i.Class)+" "+i.What); return nil }
	})
	litter, err := Garbage(t.Context(), o)
	l.ok(err)
	l.expect("garbage", items, "content "+at('X'), "side "+at('X')+".sum")
	if litter.Commit != 4 {
		t.Errorf("commit %d", litter.Commit)
	}
}

// The parts of a checkpoint that no listing showed before them are no garbage.
func TestGarbageBesideANewCheckpoint(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	for i := range 4 {
		l.commit(writes{"s" + string(rune('a'+i)): bytes.Repeat([]byte{byte(i)}, 3000)})
		l.checkpoint()
		l.passes(3 * day)
	}
	_, before := l.garbage()
	var hides atomic.Bool // until the parts are listed
	hides.Store(true)
	l.bad.Hook(func(c storetest.Call) error {
		if c.Op == storetest.List && c.Key == "checkpoint/part/" {
			hides.Store(false)
		}
		return nil
	})
	l.bad.SetHoles(
		func(i object.Info) bool { return hides.Load() && i.Key == "checkpoint/manifest/00000000000000000006" },
	)
	_, items := l.garbage()
	if hides.Load() {
		t.Fatal("no parts were listed")
	}
	for _, i := range items {
		if !slices.Contains(before, i) {
			t.Errorf("%s is garbage", i)
		}
	}
}

// A log that was trimmed by the rules is whole, also when an author left a void commit before it;
// one that was trimmed too far is not.
func TestTrimmedLog(t *testing.T) {
	for _, tt := range []struct {
		name        string
		gaps        []gap
		before      int64
		last        uint64
		checkpoints []uint64
		want        int // gaps that are damage
	}{
		{name: "nothing missing", last: 5, want: 0},
		{name: "trimmed", gaps: []gap{{1, 10000}}, last: 30000, checkpoints: []uint64{5000, 15000, 20000}, want: 0},
		{name: "a void commit before it", gaps: []gap{{1, 8999}, {9001, 10000}}, before: 1, last: 30000, checkpoints: []uint64{15000, 20000}, want: 0},
		{name: "past the older of two checkpoints", gaps: []gap{{1, 15001}}, last: 30000, checkpoints: []uint64{15000, 20000}, want: 1},
		{name: "up to it", gaps: []gap{{1, 15000}}, last: 30000, checkpoints: []uint64{15000, 20000}, want: 0},
		{name: "one of the newest 10,000", gaps: []gap{{1, 15000}}, last: 24999, checkpoints: []uint64{15000, 20000}, want: 1},
		{name: "without a checkpoint", gaps: []gap{{1, 1}}, last: 30000, want: 1},
		{name: "one checkpoint", gaps: []gap{{1, 15000}}, last: 30000, checkpoints: []uint64{15000}, want: 0},
		{name: "a hole in the middle", gaps: []gap{{1, 10000}, {25000, 25000}}, last: 30000, checkpoints: []uint64{15000, 20000}, want: 1},
	} {
		h := &history{}
		for _, seq := range tt.checkpoints {
			h.manifests = append(h.manifests, bucket.ManifestObject{Seq: seq})
		}
		l := listing{gaps: tt.gaps, before: tt.before, last: tt.last}
		if got := l.faults(h); len(got) != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A listing that misses a commit which was being written is made again.
func TestGapOfAListing(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	l.commit(writes{"sa": []byte{}})
	l.commit(writes{"sb": []byte{}})
	l.checkpoint()
	key := "log/0/00000000000000000002"
	body := l.get(key)
	l.delete(key)
	lists := 0
	l.bad.Hook(func(c storetest.Call) error {
		if c.Op == storetest.List && c.Key == "log/0/" {
			if lists++; lists == 3 { // after that of the replica and the one with the gap
				_, err := l.mem.Put(
					context.Background(), key, bytes.NewReader(body), int64(len(body)), object.PutOptions{},
				)
				return err
			}
		}
		return nil
	})
	if r := l.check(); len(r.Findings) != 0 || lists != 3 {
		t.Errorf("%d listings, findings %+v", lists, r.Findings)
	}
}
