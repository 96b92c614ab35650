package catalog

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote/bucket/record"
)

// A witness notes what late operations are told that their users have not seen. Their intents are
// "look K…": they read the numbers under settings and change the one under "looks".
type witness struct {
	mu   sync.Mutex
	told []string
}

func (w *witness) use(o *Options) {
	o.Run = func(tx *Tx, intent []byte) error {
		f := strings.Fields(string(intent))
		if f[0] != "look" {
			return runWord(tx, intent)
		}
		var told []string
		for _, k := range f[1:] {
			was, is, changed := tx.Unseen(record.SettingKey(k))
			was, is = bytes.TrimLeft(was, "\x00"), bytes.TrimLeft(is, "\x00")
			told = append(told, fmt.Sprintf("%s: %v %x %x", k, changed, was, is))
		}
		for k := range tx.UnseenRecords([]byte{record.KeySetting}) {
			told = append(told, string(k[1:]))
		}
		w.mu.Lock()
		if tx.Late() {
			w.told = told
		}
		w.mu.Unlock()
		return runWord(tx, []byte("add looks 1"))
	}
}

func (w *witness) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, ", ")
}

// remembered counts the local records that the outbox needs besides its entries.
func (b *box) remembered() (n int) {
	b.t.Helper()
	b.view(func(tx *Tx) {
		for _, p := range []string{"base/", replacedPrefix} {
			for range tx.scan(localKey(p), localKey(p), false) {
				n++
			}
		}
	})
	return n
}

// A late operation is told what other machines have changed since it was asked for, not what came
// before it here, also in another process.
func TestUnseen(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprint(restarts), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var saw witness
			dir := t.TempDir()
			a, b := w.open(dir, saw.use), w.open(t.TempDir())
			b.must("add x 1")
			b.must("add y 1")
			b.must("add same 1")
			a.catches(b.applied())
			a.bad.SetDown(true)
			a.abandon("add y 16")
			a.abandon("add own 1")
			a.abandon("look x y own new same")
			b.must("add x 4")
			b.must("add new 3")
			b.must("add same 0")
			if restarts {
				a.Close()
				a = w.open(dir, saw.use)
			}
			a.bad.SetDown(false)
			if err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			// The order of the records is that of the lengths of their keys' names, as keys are
			// made.
			want := "x: true 01 05, y: false  , own: false  , new: true  03, same: false  , new, x"
			if got := saw.last(); got != want {
				t.Errorf("told %q, wanted %q", got, want)
			}
			a.eventually("nothing is kept for an empty outbox", func() bool { return a.remembered() == 0 })
		})
	}
}

// What was committed before an operation was asked for was seen, also when an earlier operation,
// which has not seen it, still waits.
func TestUnseenSinceItWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var saw witness
	var me atomic.Pointer[box]
	var from atomic.Uint64 // the commit from which on no batch leaves
	there, release := make(chan struct{}, 1), make(chan struct{})
	a := w.open(t.TempDir(), saw.use, func(o *Options) {
		o.Step = func(p string) {
			if n := from.Load(); p == "pinned" && n > 0 && me.Load().applied() >= n {
				select {
				case there <- struct{}{}:
				default:
				}
				<-release
			}
		}
	})
	me.Store(a)
	b := w.open(t.TempDir())
	b.must("add x 1")
	a.catches(b.applied())
	a.bad.SetDown(true)
	a.abandon("add y 1")
	b.must("add x 1")
	from.Store(b.applied())
	a.bad.SetDown(false)
	<-there
	a.abandon("look x z")
	b.must("add z 1")
	close(release)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := saw.last(); got != "x: false  , z: true  01, z" {
		t.Errorf("told %q", got)
	}
}

// A checkpoint that takes the place of the catalog does not say what was replaced: all that is
// there counts as changed for what was asked for before it.
func TestUnseenAfterALoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var saw witness
	a := w.open(t.TempDir(), saw.use)
	a.must("add x 1")
	a.bad.SetDown(true)
	a.abandon("look x gone")
	b := w.open(t.TempDir())
	b.must("add y 1")
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	b.must("add z 1")
	w.boot.Add(int64(11 * time.Minute))
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := saw.last(); !strings.HasPrefix(got, "x: true  01, gone: false  , ") || strings.Count(got, ",") != 4 {
		t.Errorf("told %q", got)
	}
	a.bad.SetDown(true)
	a.abandon("look x z")
	b.must("add z 1")
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := saw.last(); got != "x: false  , z: true 01 02, z" {
		t.Errorf("told of what came after the load: %q", got)
	}
}

// While another machine writes all the time, no more is kept than what the oldest change in the
// outbox has not seen.
func TestReplacedIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.open(t.TempDir()), w.open(t.TempDir())
	var wg sync.WaitGroup
	for _, m := range []*box{a, b} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 100 {
				if err := m.word("add k%d 1", i%7); err != nil {
					t.Error(err)
				}
				if n := m.remembered(); n > 40 {
					t.Errorf("%d records are kept", n)
				}
			}
		}()
	}
	wg.Wait()
	for _, m := range []*box{a, b} {
		m.eventually("nothing is kept", func() bool { return m.remembered() == 0 })
	}
}

// What is kept is kept for the first operation of the outbox, also when an earlier version did not
// note what that one's user saw.
func TestBasesOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add x 1")
	a.bad.SetDown(true)
	defer a.bad.SetDown(false)
	a.abandon("add y 1")
	a.abandon("add z 1")
	a.mu.Lock()
	defer a.mu.Unlock()
	first, second := a.st.pending[0], a.st.pending[1]
	err := a.updateLocal(func(tx *Tx) error {
		tx.raw(baseKey(first.number), nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, now := second.base, a.st.seq
	a.st.seq = now + 10 // commits that came since
	tx := &Tx{c: a.Catalog, txn: a.db.NewTransaction(false)}
	a.loadBases(tx)
	tx.discard()
	a.st.seq = now
	if first.base != seen || second.base != seen {
		t.Errorf("the bases are %d and %d, the second saw %d", first.base, second.base, seen)
	}
}
