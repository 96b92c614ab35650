package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mediafs/remote"
)

// A directory that comes back from an image must not give the ids again that were given after the
// image was taken.
func TestRestoredDirectoryTakesANewNumber(t *testing.T) {
	t.Parallel()
	t.Run("of an earlier mount", func(t *testing.T) {
		w := newWorld(t)
		dir := t.TempDir()
		a := w.open(dir)
		a.must("add k 1")
		a.Close()
		old := image(t, dir)
		a = w.open(dir)
		used, err := a.NewID()
		if err != nil {
			t.Fatal(err)
		}
		a.must("name 1 precious %d", used)
		a.Close()
		newNumber(t, w, w.open(old), used)
	})
	t.Run("of the same mount", func(t *testing.T) {
		w := newWorld(t)
		a := (&world{t: t, mem: w.mem, leaky: true}).open(t.TempDir())
		a.must("add k 1")
		if _, err := a.NewID(); err != nil {
			t.Fatal(err)
		}
		old := image(t, a.dir)
		var used uint64
		for range reserved + 1 {
			var err error
			if used, err = a.NewID(); err != nil {
				t.Fatal(err)
			}
		}
		a.must("name 1 precious %d", used)
		newNumber(t, w, w.open(old), used)
	})
}

func newNumber(t *testing.T, w *world, b *box, used uint64) {
	t.Helper()
	for range reserved + 2 {
		id, err := b.NewID()
		if err != nil {
			t.Fatal(err)
		}
		if id == used {
			t.Fatalf("node id %d is given twice", id)
		}
	}
	if b.Client() != 2 {
		t.Errorf("client %d", b.Client())
	}
	b.must("name 1 other 77")
	fresh := w.open(t.TempDir())
	b.catches(fresh.applied())
	sameDump(t, "a fresh machine", b.dump(), fresh.dump())
}

// With changes in it such a directory is refused: their ids are not to be trusted, and they are not
// thrown away.
func TestRestoredDirectoryWithChangesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := (&world{t: t, mem: w.mem, leaky: true}).open(dir)
	a.must("add k 1")
	a.bad.SetDown(true)
	a.abandon("add k 10")
	old := image(t, dir)
	moved := image(t, dir)
	b := w.open(image(t, dir))
	b.must("add k 100")
	b.Close()
	var e *remote.Error
	if _, err := w.try(old); !errors.Is(err, remote.Invalid) || !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("an old state with changes: %v", err)
	}
	if _, err := w.try(moved, func(o *Options) { o.Machine = []byte("other") }); !errors.Is(err, remote.Invalid) {
		t.Fatalf("a copy on another machine: %v", err)
	}
	if n := w.open(t.TempDir()).number("k"); n != 111 {
		t.Errorf("%d, want 111", n)
	}
}

// Of two running copies of a directory, the one that sees the other's commit stops: it appends
// nothing more and answers who waits.
func TestTwinStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir)
	a.must("add k 1")
	a.Close()
	twin := image(t, dir)
	x, y := w.open(dir), w.open(twin)
	y.bad.SetDown(true)
	y.abandon("name 1 fromtwin 6")
	waits := make(chan error, 1)
	go func() { waits <- y.word("name 1 waits 7") }()
	y.eventually("both in the outbox", func() bool { return y.Status().Outbox == 2 })
	x.must("name 1 first 5")
	y.bad.SetDown(false)
	if err := <-waits; !errors.Is(err, remote.Conflict) {
		t.Errorf("who waits: %v", err)
	}
	if err := y.Flush(t.Context()); !errors.Is(err, remote.Conflict) {
		t.Errorf("flush: %v", err)
	}
	if err := y.word("add k 1"); !errors.Is(err, remote.Conflict) {
		t.Errorf("update: %v", err)
	}
	if _, err := y.NewID(); !errors.Is(err, remote.Conflict) {
		t.Errorf("new id: %v", err)
	}
	x.must("add k 1") // y goes on reading
	y.catches(x.applied())
	if s := y.Status(); s.Fatal == "" || s.Outbox != 2 {
		t.Errorf("status %+v", s)
	}
	y.view(func(tx *Tx) {
		if tx.Dentry(1, "first") == nil {
			t.Error("the other's commit is not shown")
		}
	})
	w.open(t.TempDir()).view(func(tx *Tx) {
		if tx.Dentry(1, "fromtwin") != nil || tx.Dentry(1, "waits") != nil {
			t.Error("the stopped one has appended")
		}
	})
}

// A running copy is noticed through a checkpoint as well.
func TestTwinStopsAfterAReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir)
	a.must("add k 1")
	a.Close()
	twin := image(t, dir)
	y := w.open(twin)
	y.bad.SetDown(true)
	y.abandon("name 1 fromtwin 6")
	sleepThrough(t, w, w.open(dir))
	y.bad.SetDown(false)
	y.eventually("it stops", func() bool { return y.Status().Fatal != "" })
	if s := y.Status(); s.Outbox != 1 {
		t.Errorf("status %+v", s)
	}
}

// sleepThrough lets the log be trimmed behind a commit and a checkpoint of x.
func sleepThrough(t *testing.T, w *world, x *box) {
	t.Helper()
	x.must("add k 10")
	x.must("add k 10")
	if err := x.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, x.applied())
	w.boot.Add(int64(11 * time.Minute))
}

// A batch that was on its way when the process died is applied by a read-only mount; the next
// writing one does not take it for its own work, nor for somebody else's.
func TestPinAppliedByAReadOnlyMount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	step, there := stopAt(t, "appended", 2)
	a := (&world{t: t, mem: w.mem, leaky: true}).open(dir, func(o *Options) { o.Step = step })
	a.must("add k 1")
	go a.word("add k 1")
	<-there
	dead := image(t, dir)
	ro := w.open(dead, func(o *Options) { o.ReadOnly = true })
	if n := ro.number("k"); n != 2 {
		t.Errorf("read-only: %d, want 2", n)
	}
	ro.Close()
	again := w.open(dead)
	again.must("add k 1")
	if n := again.number("k"); n != 3 || again.Client() != a.Client() {
		t.Errorf("%d, want 3; client %d, was %d", n, again.Client(), a.Client())
	}
}

// Power is lost after the batch was synced, and Badger has lost the operation: the batch goes to
// the log all the same, and is known as ours.
func TestPowerLossLeavesOnlyThePin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	step, there := stopAt(t, "pinned", 3)
	a := (&world{t: t, mem: w.mem, leaky: true}).open(dir, func(o *Options) { o.Step = step })
	a.must("add k 1")
	a.must("add k 1")
	dead := image(t, dir)
	go a.word("add k 1")
	<-there
	b, err := os.ReadFile(filepath.Join(dir, "pin"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dead, "pin"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	again := w.open(dead)
	again.must("add k 1")
	if n, s := again.number("k"), again.Status(); n != 4 || s.Fatal != "" {
		t.Errorf("%d, want 4: %+v", n, s)
	}
}

// The sessions that a directory remembers are those that may still come back, however often it is
// mounted.
func TestSessionsAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	for i := range 6 {
		a := w.open(dir)
		a.must("add k 1")
		if a.Client() != 1 {
			t.Fatalf("mount %d is client %d", i, a.Client())
		}
		if n := len(a.st.sessions) / sessionSize; n > 2 {
			t.Fatalf("mount %d remembers %d sessions", i, n)
		}
		a.Close()
	}
}
