package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

func logKey(seq uint64) string { return fmt.Sprintf("log/0/%020d", seq) }

func (w *world) raw(key string) []byte {
	w.t.Helper()
	r, _, err := w.mem.Get(w.t.Context(), key, object.GetOptions{Length: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) overwrite(key string, b []byte) {
	w.t.Helper()
	if _, err := w.mem.Put(w.t.Context(), key, bytes.NewReader(b), int64(len(b)), object.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(keys ...string) {
	w.t.Helper()
	if err := w.mem.Delete(w.t.Context(), keys...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) keys(prefix string) (ks []string) {
	w.t.Helper()
	page, _, err := w.mem.List(w.t.Context(), prefix, "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range page {
		ks = append(ks, o.Key)
	}
	return ks
}

// notCommits are objects that are not what commit seq is.
func (w *world) notCommits(seq uint64) map[string][]byte {
	return map[string][]byte{
		"garbage":           bytes.Repeat([]byte("not a commit "), 10),
		"empty":             {},
		"a copy of another": w.raw(logKey(seq - 2)),
		"huge":              make([]byte, 9<<20),
		"another library's": newWorldWith(w.t, seq).raw(logKey(seq)),
	}
}

// newWorldWith has so many commits.
func newWorldWith(t *testing.T, seq uint64) *world {
	w := newWorld(t)
	a := w.open(t.TempDir())
	for i := 0; a.applied() < seq; i++ {
		a.must("add k %d", i)
	}
	a.Close()
	return w
}

func stay(o *Options) { o.StayReadable = true }

func reads(o *Options) { o.ReadOnly = true }

// blockedAt waits until a catalog says that it is blocked after a commit, by which object, and
// tries it.
func (b *box) blockedAt(commit uint64, key string) {
	b.t.Helper()
	b.eventually("blocked", func() bool {
		s := b.Status().Blocked
		return s != nil && s.Commit == commit && strings.Contains(s.Why, key)
	})
	err := b.word("add k 1000000")
	var e *remote.Error
	if !errors.Is(err, remote.ReadOnly) ||
		!b.opt.ReadOnly && (!errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), key)) {
		b.t.Errorf("an update: %v", err)
	}
	if err := b.Blocked(); !errors.Is(err, remote.ReadOnly) {
		b.t.Errorf("blocked: %v", err)
	}
	if _, err := b.NewID(); !errors.Is(err, remote.ReadOnly) {
		b.t.Errorf("a number: %v", err)
	}
	b.view(func(tx *Tx) {
		if tx.Node(1) == nil {
			b.t.Error("there is no root")
		}
	})
	select {
	case <-b.Unblocked():
		b.t.Error("it says that it is not blocked")
	default:
	}
}

func (b *box) unblocked() {
	b.t.Helper()
	select {
	case <-b.Unblocked():
	case <-time.After(20 * time.Second):
		b.t.Fatalf("still blocked: %+v", b.Status())
	}
}

// One bad object under the next number takes nothing away of what is known, on a machine that
// follows, one that starts and one that is new, and they go on when it is mended.
func TestBlockedLog(t *testing.T) {
	t.Parallel()
	for name, bad := range newWorldWith(t, 6).notCommits(6) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			author, follower, starts := w.open(t.TempDir(), stay), w.open(t.TempDir(), stay), w.open(t.TempDir(), stay)
			for author.applied() < 5 {
				author.must("add k 1")
			}
			starts.catches(5)
			known := starts.dump()
			starts.Close()
			follower.catches(5)
			follower.bad.SetDown(true)
			author.must("add k 10")
			good := w.raw(logKey(6))
			author.Close()
			w.overwrite(logKey(6), bad)
			follower.bad.SetDown(false)
			if _, err := w.try(
				t.TempDir(),
			); !errors.Is(err, remote.Corrupt) ||
				!strings.Contains(err.Error(), logKey(6)) {
				t.Errorf("a catalog that does not stay readable opened: %v", err)
			}
			starts = w.open(starts.dir, stay)
			fresh := w.open(t.TempDir(), stay)
			reader := w.open(t.TempDir(), stay, reads)
			all := []*box{follower, starts, fresh}
			for _, b := range append(all, reader) {
				b.blockedAt(5, logKey(6))
				sameDump(t, "what is known", known, b.dump())
			}
			w.overwrite(logKey(6), good)
			reader.unblocked()
			reader.catches(6)
			n := reader.number("k")
			for i, b := range all {
				b.unblocked()
				b.must("add k 100")
				if got := b.number("k"); got != n+uint64(100*(i+1)) {
					t.Errorf("machine %d has %d", i, got)
				}
			}
		})
	}
}

// One that was nobody's is deleted, and its number is used. Where others built on it, it is not.
func TestBlockedLogIsMendedByDeleting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), stay)
	a.must("add k 1")
	last := a.applied()
	w.overwrite(logKey(last+1), []byte("not a commit"))
	a.blockedAt(last, logKey(last+1))
	w.remove(logKey(last + 1))
	a.unblocked()
	a.must("add k 10")
	if a.applied() != last+1 || a.number("k") != 11 {
		t.Errorf("commit %d, number %d", a.applied(), a.number("k"))
	}
	b := w.open(t.TempDir(), stay)
	last = b.applied()
	b.bad.SetDown(true)
	a.must("add k 100")
	good := w.raw(logKey(last + 1))
	w.overwrite(logKey(last+1), []byte("not a commit"))
	b.bad.SetDown(false)
	b.blockedAt(last, logKey(last+1))
	a.must("add k 1000")
	w.remove(logKey(last + 1))
	b.eventually(
		"the hole", func() bool { s := b.Status().Blocked; return s != nil && strings.Contains(s.Why, "missing") },
	)
	b.blockedAt(last, logKey(last+1))
	w.overwrite(logKey(last+1), good)
	b.unblocked()
	b.must("add k 1")
	a.catches(b.applied())
	sameDump(t, "machines", a.dump(), b.dump())
}

// Changes of a machine whose log is blocked stay in the outbox, are answered, and happen once.
func TestOutboxOfABlockedLog(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{true, false} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("ours %v, restarts %v", ours, restarts), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				a := w.open(t.TempDir(), stay)
				a.must("add k 1")
				last := a.applied()
				// The answer of our append is lost, and what is there after it is damaged.
				var sent atomic.Bool
				a.bad.Hook(func(c storetest.Call) error {
					if c.Op != storetest.Put || c.Key != logKey(last+1) {
						return nil
					}
					if sent.CompareAndSwap(false, true) {
						return nil
					}
					return remote.E("put", c.Key, remote.Unavailable, nil)
				})
				a.bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Action: storetest.FailAfter})
				a.abandon("add k 10")
				a.eventually("it is sent", func() bool { return len(w.keys(logKey(last+1))) == 1 })
				good := w.raw(logKey(last + 1))
				w.overwrite(logKey(last+1), []byte("not a commit"))
				a.bad.Hook(nil)
				a.blockedAt(last, logKey(last+1))
				if err := a.Flush(t.Context()); !errors.Is(err, remote.Corrupt) {
					t.Errorf("flush: %v", err)
				}
				if n := a.number("k"); n != 11 || a.Status().Outbox != 1 {
					t.Errorf("the number is %d, %d changes wait", n, a.Status().Outbox)
				}
				if restarts {
					a.Close()
					a = w.open(a.dir, stay)
					a.blockedAt(last, logKey(last+1))
					if n := a.number("k"); n != 1 || a.Status().Outbox != 1 {
						t.Errorf("after a restart: the number is %d, %d changes wait", n, a.Status().Outbox)
					}
				}
				if ours {
					w.overwrite(logKey(last+1), good)
				} else {
					w.remove(logKey(last + 1))
				}
				a.unblocked()
				if err := a.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				a.must("add k 100")
				if n := a.number("k"); n != 111 || a.applied() != last+2 {
					t.Errorf("the number is %d after commit %d", n, a.applied())
				}
				sameDump(t, "a fresh machine", a.dump(), w.open(t.TempDir(), reads).dump())
			})
		}
	}
}

// Callers that wait when the log is found blocked are answered: the change is kept, and made later.
func TestWaitingForABlockedLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), stay)
	a.must("add k 1")
	a.bad.SetDown(true)
	answer := make(chan error, 1)
	go func() { answer <- a.word("add k 10") }()
	a.eventually("it waits", func() bool { return a.Status().Outbox == 1 })
	w.overwrite(logKey(a.applied()+1), []byte("not a commit"))
	a.bad.SetDown(false)
	if err := <-answer; !errors.Is(err, remote.Unavailable) || errors.Is(err, remote.Corrupt) ||
		!strings.Contains(err.Error(), logKey(a.applied()+1)) {
		t.Errorf("answered with %v", err)
	}
	w.remove(logKey(a.applied() + 1))
	a.unblocked()
	if err := a.Flush(t.Context()); err != nil || a.number("k") != 11 {
		t.Errorf("flush: %v; the number is %d", err, a.number("k"))
	}
}

// Mended is called before writing goes on, and as long as it fails writing does not.
func TestMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add k 1")
	last := a.applied()
	a.abandon("add k 10")
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := w.raw(logKey(last + 1))
	a.Close()
	w.overwrite(logKey(last+1), []byte("not a commit"))
	var b *box
	var fails atomic.Bool
	var calls atomic.Int64
	fails.Store(true)
	opened := make(chan bool)
	b = w.open(t.TempDir(), stay, func(o *Options) {
		o.Mended = func() error {
			<-opened
			if calls.Add(1); fails.Load() {
				return remote.E("look", "", remote.NoSpace, nil)
			}
			if b.Blocked() == nil || b.number("k") < 11 {
				t.Errorf("called when the number is %d, blocked by %v", b.number("k"), b.Blocked())
			}
			return nil
		}
	})
	close(opened)
	w.overwrite(logKey(last+1), good)
	b.eventually("another reason", func() bool {
		s := b.Status().Blocked
		return s != nil && strings.Contains(s.Why, "look: no space left")
	})
	fails.Store(false)
	b.unblocked()
	b.must("add k 100")
	n := calls.Load()
	w.overwrite(logKey(b.applied()+1), []byte("not a commit"))
	b.blockedAt(b.applied(), logKey(b.applied()+1))
	w.remove(logKey(b.applied() + 1))
	b.unblocked()
	if calls.Load() != n+1 {
		t.Errorf("called %d times for the second", calls.Load()-n)
	}
}

// A checkpoint after the bad commit does without it, also for who comes late.
func TestCheckpointAfterABadCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.open(t.TempDir(), stay), w.open(t.TempDir(), stay)
	b.must("add k 1")
	a.catches(b.applied())
	last := b.applied()
	b.bad.SetDown(true)
	a.must("add k 10")
	a.must("add k 100")
	w.overwrite(logKey(last+1), nil)
	b.bad.SetDown(false)
	b.blockedAt(last, logKey(last+1))
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.unblocked()
	b.must("add k 1000")
	a.catches(b.applied())
	sameDump(t, "machines", a.dump(), b.dump())
	w.open(t.TempDir()).must("add k 1")
}

// A machine that has to start again from a checkpoint gets as far as the log can be read after it.
func TestBadCommitAfterACheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := asleep(t, w, stay)
	b := w.open(t.TempDir(), stay)
	b.must("add k 1")
	b.must("add k 10")
	last := b.applied()
	good := w.raw(logKey(last))
	b.Close()
	w.overwrite(logKey(last), []byte("not a commit"))
	a.bad.SetDown(false)
	a.blockedAt(last-1, logKey(last))
	if n := a.number("k"); n != 1 {
		t.Errorf("the number is %d", n)
	}
	w.overwrite(logKey(last), good)
	a.unblocked()
	a.must("add k 100")
	sameDump(t, "a fresh machine", a.dump(), w.open(t.TempDir(), reads).dump())
}

// What is damaged of the newest checkpoint, the one before it or the log stands in for, whoever
// loads.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	damage := map[string]func(w *world, newest string){
		"manifest":         func(w *world, newest string) { w.overwrite(newest, []byte("damaged")) },
		"part":             func(w *world, newest string) { w.flip(w.newParts()...) },
		"part is gone":     func(w *world, newest string) { w.remove(w.newParts()...) },
		"all manifests":    func(w *world, newest string) { w.damageAll("checkpoint/manifest/") },
		"all parts":        func(w *world, newest string) { w.flip(w.keys("checkpoint/part/")...) },
		"manifest is huge": func(w *world, newest string) { w.overwrite(newest, make([]byte, 65<<20)) },
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			author := w.open(t.TempDir())
			late := w.open(t.TempDir())
			for i := range 20 {
				author.must("name 1 f%d %d", i, 100+i)
			}
			if err := author.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.older = w.keys("checkpoint/part/")
			late.catches(author.applied())
			late.bad.SetDown(true)
			for i := range 20 {
				author.must("name 1 g%d %d", i, 200+i)
			}
			if err := author.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			author.must("add k 1")
			manifests := w.keys("checkpoint/manifest/")
			hurt(w, manifests[len(manifests)-1])
			fresh := w.open(t.TempDir())
			author.catches(fresh.applied())
			sameDump(t, "a fresh machine", author.dump(), fresh.dump())
			if err := fresh.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			author.catches(fresh.applied())
			sameDump(t, "one after the next checkpoint", author.dump(), w.open(t.TempDir(), reads).dump())
		})
	}
}

// newParts are the parts that the older checkpoint has not.
func (w *world) newParts() (ks []string) {
	w.t.Helper()
	old := strings.Join(w.older, " ")
	for _, k := range w.keys("checkpoint/part/") {
		if !strings.Contains(old, k) {
			ks = append(ks, k)
		}
	}
	if len(ks) == 0 {
		w.t.Fatal("the newer checkpoint has no part of its own")
	}
	return ks
}

// flip changes a byte in the middle of objects.
func (w *world) flip(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		b := w.raw(k)
		b[len(b)/2] ^= 1
		w.overwrite(k, b)
	}
}

func (w *world) damageAll(prefix string) {
	w.t.Helper()
	for _, k := range w.keys(prefix) {
		w.overwrite(k, []byte("damaged"))
	}
}
