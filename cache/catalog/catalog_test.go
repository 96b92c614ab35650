package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/storetest"
)

func TestUpdateIsInTheLogWhenItReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add k 1")
	a.must("add k 2")
	b := w.open(t.TempDir())
	if n := b.number("k"); n != 3 {
		t.Fatalf("another machine reads %d", n)
	}
	if err := a.word("name 1 x 77"); err != nil {
		t.Fatal(err)
	}
	if err := a.word("name 1 x 78"); !errors.Is(err, remote.Exist) {
		t.Fatalf("a taken name: %v", err)
	}
	b.catches(a.applied())
	sameDump(t, "both machines", a.dump(), b.dump())
}

// Several machines add to one number at once: every addition happens exactly once, whatever order
// the log gives them.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const machines, callers, each = 3, 4, 25
	var boxes []*box
	for range machines {
		boxes = append(boxes, w.open(t.TempDir()))
	}
	var wg sync.WaitGroup
	for i, b := range boxes {
		for j := range callers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for n := range each {
					if err := b.word("add k 1"); err != nil {
						t.Error(err)
					}
					if err := b.word("name 1 f%d-%d-%d %d", i, j, n, 1000+i*10000+j*100+n); err != nil {
						t.Error(err)
					}
				}
			}()
		}
	}
	wg.Wait()
	last := uint64(0)
	for _, b := range boxes {
		last = max(last, b.applied())
	}
	for _, b := range boxes {
		b.catches(last)
		if n := b.number("k"); n != machines*callers*each {
			t.Errorf("%d additions, want %d", n, machines*callers*each)
		}
		b.view(func(tx *Tx) {
			if n := tx.Counts(1); n.Children != machines*callers*each || n.Folders != 0 {
				t.Errorf("counts %+v", n)
			}
			if u := tx.Usage(); u.Nodes != machines*callers*each+1 {
				t.Errorf("usage %+v", u)
			}
		})
	}
	sameDump(t, "machines 0 and 1", boxes[0].dump(), boxes[1].dump())
	sameDump(t, "machines 0 and 2", boxes[0].dump(), boxes[2].dump())
	if int(last) >= machines*callers*each*2 {
		t.Errorf("%d commits for %d operations: concurrent ones share none", last, machines*callers*each*2)
	}
}

// A lost answer, a request that never arrived and one that arrives late: each addition still
// happens once.
func TestFaultyAppends(t *testing.T) {
	t.Parallel()
	for _, action := range []storetest.Action{storetest.FailBefore, storetest.FailAfter} {
		w := newWorld(t)
		a, b := w.open(t.TempDir()), w.open(t.TempDir())
		for i := range 20 {
			a.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Nth: 1 + i%2, Action: action})
			a.must("add k 1")
			b.must("add k 1")
		}
		a.catches(b.applied())
		if n := a.number("k"); n != 40 {
			t.Errorf("action %v: %d additions, want 40", action, n)
		}
		b.catches(a.applied())
		sameDump(t, "machines", a.dump(), b.dump())
	}
}

// The store goes away: the caller gets an error in time, the change stays visible here and happens
// when the store is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	first := w.open(dir)
	first.must("add k 1")
	first.Close()
	a := w.open(dir, func(o *Options) { o.AppendTimeout = 30 * time.Millisecond })
	b := w.open(t.TempDir())
	a.bad.SetDown(true)
	if err := a.word("add k 10"); !errors.Is(err, remote.Unavailable) {
		t.Fatalf("during the outage: %v", err)
	}
	a.abandon("add k 100")
	if n := a.number("k"); n != 111 {
		t.Fatalf("%d is visible here, want 111", n)
	}
	for i := 0; a.Status().Outbox != 2 || a.Status().Error == ""; i++ {
		if i > 20000 {
			t.Fatalf("status %+v", a.Status())
		}
		time.Sleep(time.Millisecond)
	}
	b.must("add k 1000") // meanwhile
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.catches(b.applied())
	b.catches(a.applied())
	if n, m := a.number("k"), b.number("k"); n != 1111 || m != 1111 {
		t.Fatalf("after the outage %d and %d, want 1111", n, m)
	}
	sameDump(t, "machines", a.dump(), b.dump())
}

// An operation whose caller was told of an outage is not refused later: the name it made gets
// another one.
func TestLateOperationKeepsWhatItMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.open(t.TempDir()), w.open(t.TempDir())
	a.bad.SetDown(true)
	a.abandon("name 1 x 5")
	b.must("name 1 x 6")
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.catches(a.applied())
	b.view(func(tx *Tx) {
		if d, l := tx.Dentry(1, "x"), tx.Dentry(1, "x'"); d == nil || d.Node != 6 || l == nil || l.Node != 5 {
			t.Errorf("x is %v, x' is %v", d, l)
		}
	})
	sameDump(t, "machines", a.dump(), b.dump())
}

// The process dies at every step of an append; what it left is taken up, and every operation
// happens exactly once, also when another machine wrote meanwhile and when the request that was
// under way arrives after the crash.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"pinned", "appended"} {
		for _, meanwhile := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-%v", point, meanwhile), func(t *testing.T) {
				w := newWorld(t)
				dir := t.TempDir()
				step, there := stopAt(t, point, 3)
				a, err := (&world{t: t, mem: w.mem, leaky: true}).try(
					dir, func(o *Options) { o.Step, o.DeferDelay = step, time.Hour },
				)
				if err != nil {
					t.Fatal(err)
				}
				a.must("add k 1")
				a.must("add k 1")
				a.deferred("add k 1")
				go a.word("add k 1")
				<-there
				dead := image(t, dir)
				want := uint64(4)
				if meanwhile {
					w.open(t.TempDir()).must("add k 1")
					want++
				}
				again := w.open(dead)
				if err := again.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := again.number("k"); n != want {
					t.Errorf("%d additions, want %d", n, want)
				}
				again.must("add k 1")
				fresh := w.open(t.TempDir())
				if n := fresh.number("k"); n != want+1 {
					t.Errorf("a fresh machine reads %d, want %d", n, want+1)
				}
				again.catches(fresh.applied())
				sameDump(t, "after the crash", again.dump(), fresh.dump())
			})
		}
	}
}

// A crash while a conflict is being settled leaves a catalog that settles it again.
func TestCrashDuringRebase(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"undo", "applied", "rerun"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			step, there := stopAt(t, point, map[string]int{"undo": 1, "applied": 2, "rerun": 1}[point])
			a, err := (&world{t: t, mem: w.mem, leaky: true}).try(
				dir, func(o *Options) { o.Step, o.PollInterval, o.DeferDelay = step, time.Hour, time.Hour },
			)
			if err != nil {
				t.Fatal(err)
			}
			a.must("add k 1")
			a.deferred("add k 1000")
			b := w.open(t.TempDir())
			b.must("add k 10")
			b.must("name 1 x 6")
			go a.word("add k 100")
			<-there
			again := w.open(image(t, dir))
			if err := again.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := again.number("k"); n != 1111 {
				t.Errorf("%d, want 1111", n)
			}
			b.catches(again.applied())
			sameDump(t, "machines", again.dump(), b.dump())
		})
	}
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	for i := range 200 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	a.must("unname 1 f7")
	// What is not in the log yet is not in a checkpoint.
	a.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Times: -1, Action: storetest.FailBefore})
	a.abandon("name 1 unsent 9")
	a.abandon("unname 1 f8")
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	seq := a.applied()
	trim(t, w, seq)
	b := w.open(t.TempDir())
	b.view(func(tx *Tx) {
		if tx.Dentry(1, "unsent") != nil || tx.Dentry(1, "f8") == nil || tx.Dentry(1, "f7") != nil {
			t.Error("the checkpoint is not the state at its commit")
		}
		if n := tx.Counts(1); n.Children != 199 {
			t.Errorf("counts %+v", n)
		}
		listed := 0
		for range tx.List(1, 0) {
			listed++
		}
		if listed != 199 {
			t.Errorf("%d listed", listed)
		}
		for nm := range tx.Names(108) {
			if nm.Name != "f8" || nm.Folder != 1 {
				t.Errorf("names of 108: %+v", nm)
			}
		}
	})
	b.must("name 1 later 5000")
}

// trim deletes the log before a commit, as garbage collection will: the commit of a checkpoint
// stays.
func trim(t *testing.T, w *world, before uint64) {
	t.Helper()
	for seq := uint64(1); seq < before; seq++ {
		if err := w.mem.Delete(t.Context(), fmt.Sprintf("log/0/%020d", seq)); err != nil {
			t.Fatal(err)
		}
	}
}

// A machine that slept past the trimming of the log starts again from the newest checkpoint, and
// its outbox goes on.
func TestSleptPastTheHorizon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.open(t.TempDir()), w.open(t.TempDir())
	a.must("add k 1")
	a.bad.SetDown(true)
	a.abandon("add k 10")
	for range 5 {
		b.must("add k 100")
	}
	b.must("name 1 x 6")
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	w.boot.Add(int64(11 * time.Minute))
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := a.number("k"); n != 511 {
		t.Fatalf("%d, want 511", n)
	}
	b.catches(a.applied())
	if n := b.number("k"); n != 511 {
		t.Fatalf("the other machine reads %d", n)
	}
	sameDump(t, "machines", a.dump(), b.dump())
}

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	w.open(dir)
	if _, err := w.try(dir); !errors.Is(err, remote.Busy) {
		t.Fatalf("a second one: %v", err)
	}
}

func TestUnknownFeatures(t *testing.T) {
	t.Parallel()
	put := func(w *world, class byte) {
		a := w.open(t.TempDir())
		err := a.Update(t.Context(), nil, func(tx *Tx) error {
			tx.Store(record.FeatureKey(class, "from-the-future"), &record.Feature{Note: "needs version 9"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	put(w, record.FeatureIncompatible)
	if _, err := w.try(t.TempDir()); !errors.Is(err, remote.Unsupported) {
		t.Errorf("incompatible: %v", err)
	}
	w = newWorld(t)
	put(w, record.FeatureReadOnlyCompatible)
	if _, err := w.try(t.TempDir()); !errors.Is(err, remote.Unsupported) {
		t.Errorf("read-only-compatible, to write: %v", err)
	}
	r, err := w.try(t.TempDir(), func(o *Options) { o.ReadOnly = true })
	if err != nil {
		t.Fatalf("read-only-compatible, to read: %v", err)
	}
	if err := r.word("add k 1"); !errors.Is(err, remote.ReadOnly) {
		t.Errorf("update of a read-only catalog: %v", err)
	}
	w = newWorld(t)
	put(w, record.FeatureCompatible)
	w.open(t.TempDir())
}

// What a newer program writes is kept and passed on, in the log and through a checkpoint.
func TestUnknownRecordsArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	node, _ := proto.Marshal(&record.Node{Mode: 0o100600})
	node = append(node, 0xfa, 0x3f, 3, 'n', 'e', 'w') // field 1023 of a later schema
	err := a.Update(t.Context(), nil, func(tx *Tx) error {
		tx.Put([]byte("zfuture"), []byte("kept"))
		tx.Put(record.NodeKey(9), node)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = a.Update(t.Context(), nil, func(tx *Tx) error { // a change by this program
		n := tx.Node(9)
		n.Uid = 7
		tx.Store(record.NodeKey(9), n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, a.applied())
	b := w.open(t.TempDir())
	b.view(func(tx *Tx) {
		if string(tx.Get([]byte("zfuture"))) != "kept" {
			t.Error("an unknown record was lost")
		}
		n := tx.Node(9)
		if n.Uid != 7 || len(n.ProtoReflect().GetUnknown()) == 0 {
			t.Errorf("an unknown field was lost: %v", n)
		}
	})
}

// Names whose places in the listing are equal follow each other and are all there.
func TestListingCollisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.HashName = func(n string) uint64 { return 3 + uint64(len(n)%2) } })
	for i := range 12 {
		a.must("name 1 %s %d", fmt.Sprint(10000 + i)[:4+i%2]+fmt.Sprint(i), 100+i)
	}
	a.view(func(tx *Tx) {
		last, n := uint64(0), 0
		for l := range tx.List(1, 0) {
			if l.Hash < last {
				t.Error("places go back")
			}
			last = l.Hash
			n++
		}
		if n != 12 {
			t.Errorf("%d listed", n)
		}
		first := 0
		for range tx.List(1, 3) {
			first++
		}
		if first == 0 || first == 12 {
			t.Errorf("%d after the first place", first)
		}
	})
}

// Below FirstPlace no name is put, whatever its hash, and a place is no negative offset.
func TestPlaces(t *testing.T) {
	for _, c := range []struct{ hash, want uint64 }{
		{0, FirstPlace}, {1, FirstPlace}, {2*FirstPlace - 1, FirstPlace}, {2*FirstPlace + 2, FirstPlace + 1}, {1<<64 - 1, 1<<63 - 1},
	} {
		if got := placeOf(c.hash); got != c.want {
			t.Errorf("hash %#x: place %#x, want %#x", c.hash, got, c.want)
		}
	}
	if h := keyedHash(1); h("a") == h("b") || h("a") == keyedHash(2)("a") || h("a") < FirstPlace {
		t.Errorf("places %#x and %#x, with another seed %#x", h("a"), h("b"), keyedHash(2)("a"))
	}
}

// Random operations by two machines whose requests fail at random: the machines agree, and the sums
// are right.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		boxes := []*box{w.open(t.TempDir()), w.open(t.TempDir())}
		var want uint64
		for i := range 60 {
			b := boxes[rnd.IntN(2)]
			if rnd.IntN(3) == 0 {
				actions := []storetest.Action{storetest.FailBefore, storetest.FailAfter}
				b.bad.Fail(
					storetest.Fault{
						Prefix: "log/",
						Nth:    1 + rnd.IntN(4),
						Times:  1 + rnd.IntN(2),
						Action: actions[rnd.IntN(2)],
					},
				)
			}
			n := rnd.IntN(100)
			if rnd.IntN(2) == 0 {
				b.deferred("add k %d", n)
			} else if err := b.word("add k %d", n); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
			want += uint64(n)
		}
		for _, b := range boxes {
			if err := b.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		boxes[0].catches(boxes[1].applied())
		boxes[1].catches(boxes[0].applied())
		if n := boxes[0].number("k"); n != want {
			t.Errorf("seed %d: %d, want %d", seed, n, want)
		}
		sameDump(t, fmt.Sprintf("seed %d", seed), boxes[0].dump(), boxes[1].dump())
	}
}

// Several callers on two machines fight over few names, with faults, impatient callers and
// checkpoints: the machines agree with a fresh one, and nothing is left over.
func TestFightWithFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		w := newWorld(t)
		even := func(o *Options) { o.Referenced = func(id uint64) bool { return id%2 == 0 } }
		boxes := []*box{w.open(t.TempDir(), even), w.open(t.TempDir(), even)}
		var wg sync.WaitGroup
		for i, b := range boxes {
			for j := range 3 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i*10+j)))
					for range 40 {
						b.scuffle(rnd)
					}
				})
			}
		}
		wg.Wait()
		for _, b := range boxes {
			if err := b.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		fresh := w.open(t.TempDir())
		for _, b := range boxes {
			b.catches(fresh.applied())
			b.mu.RLock()
			if len(b.st.undo) > 0 || len(b.st.pending) > 0 || b.st.pin != nil {
				t.Errorf(
					"left over: %d undo records, %d operations, batch %v", len(b.st.undo), len(b.st.pending), b.st.pin,
				)
			}
			b.mu.RUnlock()
			b.view(func(tx *Tx) {
				for k := range tx.scan([]byte{classUndo}, []byte{classUndo}, false) {
					t.Errorf("undo record %q", k)
				}
			})
			sameDump(t, fmt.Sprintf("seed %d", seed), b.dump(), fresh.dump())
		}
	}
}

// scuffle does one thing of TestFightWithFaults. Whether it succeeds is up to the others.
func (b *box) scuffle(rnd *rand.Rand) {
	if rnd.IntN(4) == 0 {
		actions := []storetest.Action{storetest.FailBefore, storetest.FailAfter}
		b.bad.Fail(
			storetest.Fault{Prefix: "log/", Nth: 1 + rnd.IntN(4), Times: 1 + rnd.IntN(2), Action: actions[rnd.IntN(2)]},
		)
	}
	if rnd.IntN(40) == 0 {
		_ = b.Checkpoint(b.t.Context())
	}
	id, err := b.NewID()
	if err != nil {
		b.t.Error(err)
		return
	}
	word := []string{fmt.Sprintf("name 1 n%d %d", rnd.IntN(5), id), fmt.Sprintf("unname 1 n%d", rnd.IntN(5)), "add k 1"}[rnd.IntN(3)]
	patience := time.Minute
	if rnd.IntN(2) == 0 {
		patience = time.Duration(rnd.IntN(3000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if rnd.IntN(3) == 0 {
		if n, _ := b.Defer(ctx, []byte(word), func(tx *Tx) error { return runWord(tx, []byte(word)) }, nil); n > 0 &&
			rnd.IntN(3) == 0 {
			_ = b.Await(ctx, n)
		}
		return
	}
	_ = b.Update(ctx, []byte(word), func(tx *Tx) error { return runWord(tx, []byte(word)) })
}

// Who is answered that a change is in the log finds it in the status.
func TestStatusOfWhatIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	for range 300 {
		a.must("add k 1")
		s := a.Status() // before anything that waits for the catalog's lock
		if now := a.Catalog.applied(); s.Applied != now || s.Outbox != 0 {
			t.Fatalf("the status has commit %d of %d, and %d changes in the outbox", s.Applied, now, s.Outbox)
		}
	}
}
