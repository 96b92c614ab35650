package catalog

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/storetest"
)

// An append that takes longer than AttemptTimeout is not begun again: status tells of it until it
// is through.
func TestSlowAppendIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.AttemptTimeout, o.PollInterval = time.Millisecond, time.Hour })
	a.must("add k 1")
	release := make(chan struct{})
	a.bad.Reset()
	a.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Action: storetest.Hold, Release: release})
	done := make(chan error, 1)
	go func() { done <- a.word("add k 10") }()
	a.eventually("status tells", func() bool { return strings.Contains(a.Status().Error, "no answer") })
	time.Sleep(20 * time.Millisecond) // room for a second try
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.eventually("status forgets", func() bool { return a.Status().Error == "" })
	if n := a.bad.Count(storetest.Put, ""); n != 1 {
		t.Errorf("%d requests for one append", n)
	}
}

// Close ends an append that the store does not answer; the operation happens at the next mount.
func TestCloseEndsAnAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir)
	a.must("add k 1")
	a.bad.SetDown(true)
	waits := make(chan error, 1)
	go func() { waits <- a.word("add k 10") }()
	a.eventually("it is under way", func() bool { return strings.Contains(a.Status().Error, "no answer") })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; !errors.Is(err, remote.Unavailable) {
		t.Errorf("who waits: %v", err)
	}
	b := w.open(dir)
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.number("k"); n != 11 {
		t.Errorf("%d, want 11", n)
	}
}

// While the library is mounted, commits of others are applied a few at a time, so that nobody waits
// long for the lock.
func TestCommitsAreAppliedAFewAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var holds []int // commits under each hold of the lock
	n := 0
	a := w.open(t.TempDir(), func(o *Options) {
		o.Step = func(p string) {
			if p == "applied" {
				mu.Lock()
				n++
				mu.Unlock()
			}
		}
		o.Changed = func([][]byte) { // once for each hold
			mu.Lock()
			holds, n = append(holds, n), 0
			mu.Unlock()
		}
	})
	b := w.open(t.TempDir())
	a.catches(b.applied())
	a.bad.SetDown(true)
	mu.Lock()
	holds, n = nil, 0
	mu.Unlock()
	for i := range 2 * mountedCommits {
		b.must("name 1 f%d %d", i, 100+i)
	}
	const large = 7
	for i := range large {
		b.write(func(tx *Tx) {
			for j := range 900 {
				tx.Put(record.SettingKey(fmt.Sprint("s", j)), []byte{byte(i)})
			}
		})
	}
	a.bad.SetDown(false)
	a.catches(b.applied())
	a.Close() // the last announcement is over
	for _, n := range holds {
		if n > mountedCommits {
			t.Errorf("%d commits under one lock", n)
		}
	}
	if len(holds) < 4 { // two of small commits, two of large ones
		t.Errorf("commits under each lock: %v", holds)
	}
}

// A checkpoint that cannot be written is not tried again after every commit.
func TestFailingCheckpointBacksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.CheckpointBytes, o.RetryInterval = 1, time.Minute })
	a.must("add k 1")
	a.eventually("the first checkpoint", func() bool { return a.Status().Checkpoint > 0 })
	a.bad.Fail(storetest.Fault{Op: storetest.List, Prefix: "checkpoint/", Times: -1, Action: storetest.FailBefore})
	lists := func() (n int) {
		for _, c := range a.bad.Calls() {
			if c.Op == storetest.List && strings.HasPrefix(c.Key, "checkpoint/") {
				n++
			}
		}
		return n
	}
	a.bad.Reset()
	big := strings.Repeat("x", 4000) // due again whatever the first one's size
	a.write(func(tx *Tx) { tx.Put(record.SettingKey("big"), []byte(big)) })
	a.eventually("it fails", func() bool { return lists() > 0 })
	for range 60 {
		a.must("add k 1")
		time.Sleep(time.Millisecond)
	}
	if n := lists(); n > 10 { // one try lists up to 5 times
		t.Errorf("%d listings", n)
	}
}

// A log that does not even continue the newest checkpoint is asked for ever more seldom, and
// nothing is dropped for it.
func TestGapBehindTheNewestCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.RetryInterval = 10 * time.Millisecond })
	a.must("name 1 f 100")
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := w.open(t.TempDir())
	a.catches(b.applied())
	a.bad.SetDown(true)
	b.must("add k 1")
	b.must("add k 1")
	if err := w.mem.Delete(t.Context(), fmt.Sprintf("log/0/%020d", b.applied()-1)); err != nil {
		t.Fatal(err)
	}
	w.boot.Add(int64(11 * time.Minute))
	before := a.dump()
	a.bad.Reset()
	a.bad.SetDown(false)
	a.eventually("an error", func() bool { return strings.Contains(a.Status().Error, "missing") })
	time.Sleep(100 * time.Millisecond)
	if n := len(a.bad.Calls()); n > 60 {
		t.Errorf("%d requests", n)
	}
	sameDump(t, "what this machine has", before, a.dump())
}

// A run of the outbox that broke off is not taken up again by a catalog that is closed.
func TestNothingRunsAfterClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	closed, ran := false, false
	a := w.open(t.TempDir(), func(o *Options) {
		o.Run = func(tx *Tx, in []byte) error {
			ran = closed
			return runWord(tx, in)
		}
	})
	a.bad.SetDown(true)
	a.abandon("add k 1")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	closed = true
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.pin, a.st.undo = nil, nil
	a.st.pending[0].changes = nil
	if p, err := a.nextBatch(); p != nil || !errors.Is(err, remote.Unavailable) || ran {
		t.Errorf("batch %v, %v; it ran: %v", p, err, ran)
	}
}

// Listings that miss what is being appended cost nobody anything: machines open and follow, and
// none starts again from a checkpoint.
func TestListingsBesideAppends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.CheckpointBytes = 1 << 40 })
	for i := range 40 {
		a.must("add k 1")
		if i == 20 {
			if err := a.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				a.must("add k 1")
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	dir := t.TempDir()
	for seed := range uint64(10) {
		w.holes = storetest.RecentAtRandom(seed, time.Hour, "log/")
		reloaded := 0
		known := a.applied()
		b := w.open(dir, func(o *Options) { o.ReadOnly, o.Reloaded = seed%2 == 1, func() { reloaded++ } })
		if got := b.applied(); got < known {
			t.Errorf("seed %d: it opened at commit %d, %d were there", seed, got, known)
		}
		for range 3 {
			w.boot.Add(int64(11 * time.Minute)) // its followers must list again
			b.catches(a.applied())
		}
		b.Close()
		if reloaded != 0 {
			t.Errorf("seed %d: it was loaded %d times", seed, reloaded)
		}
	}
}
