package catalog

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mediafs/remote"
)

// deferred runs an operation that nobody waits for.
func (b *box) deferred(format string, a ...any) (number uint64) {
	b.t.Helper()
	return b.deferredTo(nil, format, a...)
}

// deferredTo is deferred with who is told when it cannot be made.
func (b *box) deferredTo(failed func(tx *Tx, why error) error, format string, a ...any) (number uint64) {
	b.t.Helper()
	intent := []byte(fmt.Sprintf(format, a...))
	number, err := b.Defer(b.t.Context(), intent, func(tx *Tx) error { return runWord(tx, intent) }, failed)
	if err != nil {
		b.t.Fatalf(format+", deferred: %v", append(a, err)...)
	}
	return number
}

// patient are the options of a catalog whose deferred operations wait for ever for company.
func patient(o *Options) { o.DeferDelay = time.Hour }

// A row of deferred operations is one commit with what is waited for after it, or with who waits
// for one of them; their order is that in which they were made.
func TestDeferredShareACommit(t *testing.T) {
	t.Parallel()
	for what, confirm := range map[string]func(b *box, number uint64) error{
		"an operation that is waited for": func(b *box, _ uint64) error { return b.word("add y 1") },
		"Flush":                           func(b *box, _ uint64) error { return b.Flush(b.t.Context()) },
		"Await":                           func(b *box, n uint64) error { return b.Await(b.t.Context(), n) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.open(t.TempDir(), patient), w.open(t.TempDir())
			a.must("add x 1")
			before := a.applied()
			a.deferred("name 1 f 100")
			last := a.deferred("unname 1 f")
			for range 20 {
				last = a.deferred("add x 1")
			}
			if n := a.number("x"); n != 21 {
				t.Fatalf("%d shows here", n)
			}
			a.view(func(*Tx) {}) // the status is that of what has returned
			if s := a.Status(); s.Applied != before || s.Outbox != 22 {
				t.Fatalf("before anybody waits: %+v", s)
			}
			if err := confirm(a, last); err != nil {
				t.Fatal(err)
			}
			if n := a.applied() - before; n != 1 {
				t.Errorf("%d commits", n)
			}
			// A fresh machine joins with a commit of its own.
			fresh := w.open(t.TempDir())
			a.catches(fresh.applied())
			b.catches(fresh.applied())
			sameDump(t, "another machine", b.dump(), a.dump())
			sameDump(t, "a fresh machine", fresh.dump(), a.dump())
			if n := b.number("x"); n != 21 {
				t.Errorf("another machine has %d", n)
			}
		})
	}
}

// Nobody waits: after DeferDelay a deferred operation is in the log all the same.
func TestDeferredGoesByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.DeferDelay, o.PollInterval = 20*time.Millisecond, time.Hour })
	b := w.open(t.TempDir())
	for i := range uint64(3) {
		a.deferred("add x 1")
		b.eventually("it is on another machine", func() bool { return b.number("x") == i+1 })
	}
}

// An operation that is deferred is late at once: what another machine committed before it stays,
// and who deferred it is told; nil from there says that all is well.
func TestDeferredMeetsAnother(t *testing.T) {
	t.Parallel()
	for _, settled := range []bool{false, true} {
		w := newWorld(t)
		a := w.open(t.TempDir(), patient, func(o *Options) { o.PollInterval = time.Hour })
		a.must("name 1 g 50")
		b := w.open(t.TempDir())
		a.deferred("name 1 f 100")
		var told []string
		a.deferredTo(func(_ *Tx, why error) error {
			told = append(told, fmt.Sprint(remote.KindOf(why)))
			if settled {
				return nil
			}
			return why
		}, "unname 1 g")
		a.deferred("add x 1")
		b.must("name 1 f 200")
		b.must("unname 1 g")
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.catches(a.applied())
		b.view(func(tx *Tx) {
			if d, l := tx.Dentry(1, "f"), tx.Dentry(1, "f'"); d == nil || d.Node != 200 || l == nil || l.Node != 100 {
				t.Errorf("f is %v, f' is %v", d, l)
			}
		})
		if n := b.number("x"); n != 1 {
			t.Errorf("what came after what failed: %d", n)
		}
		if want := fmt.Sprint(remote.NotExist); !slices.Equal(told, []string{want}) {
			t.Errorf("told %q", told)
		}
		a.view(func(*Tx) {})
		s := a.Status()
		if want := map[bool]int{false: 1, true: 0}[settled]; s.Dropped != want || len(s.Conflicts) != want {
			t.Errorf("settled %v: status %+v", settled, s)
		}
		if s.Outbox != 0 {
			t.Errorf("left over: %+v", s)
		}
		sameDump(t, "machines", a.dump(), b.dump())
	}
}

// An error of the first run is the caller's.
func TestDeferredFailsAtOnce(t *testing.T) {
	t.Parallel()
	a := newWorld(t).open(t.TempDir(), patient)
	n, err := a.Defer(
		t.Context(),
		[]byte("unname 1 x"),
		func(tx *Tx) error { return runWord(tx, []byte("unname 1 x")) },
		func(*Tx, error) error {
			t.Error("it was told to who deferred it as well")
			return nil
		},
	)
	if s := a.Status(); n != 0 || !errors.Is(err, remote.NotExist) || s.Outbox != 0 || s.Dropped != 0 {
		t.Errorf("%d, %v, %+v", n, err, s)
	}
}

// The process is killed: what was deferred is made by the next, once.
func TestDeferredSurvivesAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a, err := (&world{t: t, mem: w.mem, leaky: true}).try(dir, patient)
	if err != nil {
		t.Fatal(err)
	}
	a.must("add x 1")
	a.deferred("add x 10")
	a.deferred("add x 100")
	dead := image(t, dir)
	again := w.open(dead)
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.open(t.TempDir()).number("x"); n != 111 {
		t.Errorf("%d, want 111", n)
	}
}

// Close leaves what was deferred in the outbox, and answers who waits for it.
func TestDeferredAtClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir, patient)
	a.bad.SetDown(true)
	n := a.deferred("add x 1")
	waits := make(chan error)
	go func() { waits <- a.Await(t.Context(), n) }()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; !errors.Is(err, remote.Unavailable) {
		t.Errorf("who waited: %v", err)
	}
	again := w.open(dir)
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.open(t.TempDir()).number("x"); n != 1 {
		t.Errorf("%d additions", n)
	}
}

// While the log does not keep up nothing is deferred: an outage shows, and the outbox stays short.
func TestNothingIsDeferredBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), patient, func(o *Options) { o.AppendTimeout = 20 * time.Millisecond })
	add := func() (uint64, error) {
		return a.Defer(
			t.Context(), []byte("add x 1"), func(tx *Tx) error { return runWord(tx, []byte("add x 1")) }, nil,
		)
	}
	for range 2 * maxBatch {
		if n, err := add(); n == 0 || err != nil {
			break // the batch that was full is on its way
		}
	}
	a.eventually("a full batch goes by itself", func() bool { return a.Status().Outbox < maxBatch })
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.bad.SetDown(true)
	a.eventually("it is known that the store is away", func() bool { return a.Status().Error != "" })
	before := a.number("x")
	if n, err := add(); n != 0 || !errors.Is(err, remote.Unavailable) {
		t.Errorf("while the store is away: %d, %v", n, err)
	}
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.open(t.TempDir()).number("x"); n != before+1 {
		t.Errorf("%d, want %d", n, before+1)
	}
	long := make([]byte, maxDeferred+1)
	n, err := a.Defer(t.Context(), long, func(tx *Tx) error { return runWord(tx, []byte("add x 1")) }, nil)
	if errors.Is(err, remote.Unavailable) { // the limit of this test is short
		err = a.Flush(t.Context())
	}
	if m := w.open(t.TempDir()).number("x"); n != 0 || err != nil || m != before+2 {
		t.Errorf("a long intent: %d, %v, %d on another machine", n, err, m)
	}
}
