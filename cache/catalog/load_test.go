package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/storetest"
)

// asleep makes a machine with 50 names and no store that slept past the trimming of the log;
// meanwhile another machine made 5 names and a checkpoint, and one more commit.
func asleep(t *testing.T, w *world, change ...func(*Options)) *box {
	t.Helper()
	a := w.open(t.TempDir(), change...)
	for i := range 50 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	a.bad.SetDown(true)
	b := w.open(t.TempDir())
	for i := range 5 {
		b.must("name 1 g%d %d", i, 300+i)
	}
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	b.must("name 1 tail 400")
	w.boot.Add(int64(11 * time.Minute))
	return a
}

func (b *box) eventually(what string, is func() bool) {
	b.t.Helper()
	for i := 0; !is(); i++ {
		if i > 20000 {
			b.t.Fatalf("%s: never; %+v", what, b.Status())
		}
		time.Sleep(time.Millisecond)
	}
}

// A checkpoint that cannot be fetched whole takes nothing away: what was there is read, and
// operations are kept.
func TestLoadThatFailsShowsNothingOfIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := asleep(t, w)
	remove := a.bad.Fail(
		storetest.Fault{Op: storetest.Get, Prefix: "checkpoint/part", Times: -1, Action: storetest.FailBefore},
	)
	before := a.dump()
	a.bad.Reset()
	a.bad.SetDown(false)
	a.eventually("several tries", func() bool { return a.bad.Count(storetest.Get, "") > 20 })
	sameDump(t, "while the load fails", before, a.dump())
	a.abandon("unname 1 f2")
	remove()
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.view(func(tx *Tx) {
		if tx.Dentry(1, "f1") == nil || tx.Dentry(1, "tail") == nil || tx.Dentry(1, "f2") != nil {
			t.Error("after the load: not the store's state with the operation on it")
		}
	})
	fresh := w.open(t.TempDir())
	a.catches(fresh.applied())
	sameDump(t, "after the load", a.dump(), fresh.dump())
}

// The same when the log after the checkpoint cannot be read: nobody sees the library as it was at
// the checkpoint.
func TestLoadWaitsForTheTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := asleep(t, w)
	a.bad.Fail(storetest.Fault{Op: storetest.Get, Prefix: "log/", Times: 40, Action: storetest.FailBefore})
	a.bad.SetDown(false)
	a.eventually("the tail", func() bool {
		tail, old := false, false
		a.view(func(tx *Tx) { tail, old = tx.Dentry(1, "tail") != nil, tx.Dentry(1, "g1") == nil })
		if !tail && !old {
			t.Fatal("a state between the two was shown")
		}
		return tail
	})
}

// cutDownload cuts what a load has downloaded, as a failing disk would.
func cutDownload(t *testing.T, dir string) {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "checkpoint", "*"))
	if err != nil || len(parts) == 0 {
		t.Errorf("there is no download: %v", err)
	}
	for _, part := range parts {
		if err := os.Truncate(part, 20); err != nil {
			t.Error(err)
		}
	}
}

// The disk fails after the old catalog was dropped: until a load worked there is nothing to read or
// to write on.
func TestLoadThatBreaksIsNoCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	var broken atomic.Bool
	broken.Store(true)
	a := w.open(dir)
	for i := range 50 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, a.applied())
	a.Close()
	reloaded := make(chan bool, 1)
	a = w.open(dir, func(o *Options) {
		o.Reloaded = func() { reloaded <- true }
		o.Step = func(p string) {
			if p == "loading" && broken.Load() {
				cutDownload(t, dir)
			}
		}
	})
	a.bad.SetDown(true)
	a.abandon("name 1 mine 5")
	b := w.open(t.TempDir())
	b.must("unname 1 f1")
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	w.boot.Add(int64(11 * time.Minute))
	a.bad.SetDown(false)
	a.eventually("the load breaks", func() bool { return a.Status().Loading != "" })
	if err := a.View(func(*Tx) error { return nil }); !errors.Is(err, remote.Unavailable) {
		t.Errorf("View: %v", err)
	}
	if err := a.word("unname 1 f2"); !errors.Is(err, remote.Unavailable) || errors.Is(err, remote.NotExist) {
		t.Errorf("Update: %v", err)
	}
	if err := a.Checkpoint(t.Context()); !errors.Is(err, remote.Unavailable) {
		t.Errorf("Checkpoint: %v", err)
	}
	broken.Store(false)
	<-reloaded
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.catches(a.applied())
	a.catches(b.applied())
	a.view(func(tx *Tx) {
		if tx.Dentry(1, "mine") == nil || tx.Dentry(1, "f2") == nil || tx.Dentry(1, "f1") != nil {
			t.Error("after the load: not the store's state with the outbox on it")
		}
	})
	sameDump(t, "machines", a.dump(), b.dump())
}

// A crash after the old catalog was dropped: the next process loads again, and the outbox goes on.
func TestCrashWhileLoading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	step, there := stopAt(t, "loading", 1)
	a := asleep(t, &world{t: t, mem: w.mem, leaky: true}, func(o *Options) { o.Step = step })
	a.abandon("name 1 mine 5")
	a.bad.SetDown(false)
	<-there
	if s := a.Status(); s.Outbox != 1 || s.Loading == "" { // it does not wait for the load
		t.Errorf("status while loading: %+v", s)
	}
	again := w.open(image(t, a.dir))
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.view(func(tx *Tx) {
		if tx.Dentry(1, "mine") == nil || tx.Dentry(1, "f1") == nil || tx.Dentry(1, "tail") == nil {
			t.Error("not the store's state with the outbox on it")
		}
	})
	fresh := w.open(t.TempDir())
	again.catches(fresh.applied())
	sameDump(t, "after the crash", again.dump(), fresh.dump())
}

// Close ends a load whose store does not answer.
func TestCloseWhileLoading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := asleep(t, w)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	a.bad.Reset()
	a.bad.Fail(
		storetest.Fault{
			Op:      storetest.Get,
			Prefix:  "checkpoint/part",
			Times:   -1,
			Action:  storetest.Hold,
			Release: release,
		},
	)
	a.bad.SetDown(false)
	a.eventually("the load begins", func() bool {
		for _, c := range a.bad.Calls() {
			if c.Op == storetest.Get && len(c.Key) > 16 && c.Key[:15] == "checkpoint/part" {
				return true
			}
		}
		return false
	})
	if s := a.Status(); s.Applied != 51 {
		t.Errorf("status %+v", s)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// A part that is gone for good is an error with a hint after two tries, and not a loop.
func TestCheckpointWithAMissingPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("name 1 f 100")
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, a.applied())
	page, _, err := w.mem.List(t.Context(), "checkpoint/part/", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page {
		if err := w.mem.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.try(t.TempDir())
	var e *remote.Error
	if !errors.Is(err, remote.Corrupt) || errors.Is(err, remote.Stale) || !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("a missing part: %v", err)
	}
}

// A store that went back (restored from an old copy, say) is refused: what this machine has stays.
func TestStoreThatLostCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	for i := range 5 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.must("name 1 last 5")
	a.bad.SetDown(true)
	if err := w.mem.Delete(t.Context(), fmt.Sprintf("log/0/%020d", a.applied())); err != nil {
		t.Fatal(err)
	}
	w.boot.Add(int64(11 * time.Minute))
	before := a.dump()
	a.bad.SetDown(false)
	a.eventually("an error", func() bool { return strings.Contains(a.Status().Error, "this machine has had commit") })
	sameDump(t, "what this machine has", before, a.dump())
}

// A reload tells that anything may have changed, and a node that is referenced here outlives its
// deletion as an orphan.
func TestReloadTellsAndKeepsOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reloaded := make(chan bool, 1)
	a := w.open(t.TempDir(), func(o *Options) {
		o.Reloaded = func() { reloaded <- true }
		o.Referenced = func(id uint64) bool { return id == 9 || id == 10 }
	})
	a.must("name 1 x 9")
	a.must("name 1 y 10")
	a.must("name 1 z 11")
	a.bad.SetDown(true)
	b := w.open(t.TempDir())
	b.must("unname 1 x")
	b.must("unname 1 z")
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	w.boot.Add(int64(11 * time.Minute))
	a.bad.SetDown(false)
	<-reloaded
	a.view(func(tx *Tx) {
		if tx.Node(9) == nil || !tx.Orphan(9) {
			t.Error("the referenced node is gone")
		}
		if tx.Node(10) == nil || tx.get(orphanKey(10)) != nil {
			t.Error("a node that is there is an orphan")
		}
		if tx.Node(11) != nil {
			t.Error("a node that nobody refers to is kept")
		}
	})
	if err := a.DropOrphan(9); err != nil {
		t.Fatal(err)
	}
	sameDump(t, "machines", a.dump(), b.dump())
}
