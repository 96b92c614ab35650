package catalog

import (
	"context"
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

// grown is a library with a checkpoint of many parts, and some commits after it.
func grown(t *testing.T, w *world) *box {
	t.Helper()
	a := w.open(t.TempDir(), func(o *Options) { o.CommitCost = 1 }) // no other checkpoint comes
	for i := range 300 {
		a.must("name 1 f%d-%s %d", i, strings.Repeat("x", 150), 100+i)
	}
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.must("name 1 tail 5000")
	return a
}

// gets is how often each object below a prefix was asked for.
func gets(bad *storetest.Faulty, prefix string) map[string]int {
	n := make(map[string]int)
	for _, c := range bad.Calls() {
		if c.Op == storetest.Get && strings.HasPrefix(c.Key, prefix) {
			n[c.Key]++
		}
	}
	return n
}

// broken opens a fresh directory while the store goes away after so many objects below a prefix.
func (w *world) broken(dir, prefix string, after int, change ...func(*Options)) map[string]int {
	w.t.Helper()
	var bad *storetest.Faulty
	var n atomic.Int64
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	change = append(change, func(o *Options) {
		bad = storetest.New(w.mem)
		o.Store = w.store(bad)
		bad.Hook(func(c storetest.Call) error {
			if c.Op == storetest.Get && strings.HasPrefix(c.Key, prefix) && n.Add(1) > int64(after) {
				cancel()
				return remote.E("get", c.Key, remote.Unavailable, errors.New("the network is away"))
			}
			return nil
		})
	})
	c, err := Open(ctx, w.catalog(dir, change...))
	if err == nil {
		c.Close()
		w.t.Fatal("it was not broken off")
	}
	return gets(bad, prefix)
}

// A first load that is broken off goes on: no part is fetched twice, unless what is kept of it is
// not whole.
func TestLoadGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := grown(t, w)
	const parts = "checkpoint/part/"
	for _, damage := range []string{"", "cut", "zeros", "another byte", "garbage beside"} {
		dir := t.TempDir()
		first := w.broken(dir, parts, 8)
		kept, err := filepath.Glob(filepath.Join(dir, "checkpoint", "*"))
		if err != nil || len(kept) < 4 {
			t.Fatalf("%d parts were kept of %v: %v", len(kept), first, err)
		}
		again := 0
		if damage != "" {
			b, err := os.ReadFile(kept[1])
			if err != nil {
				t.Fatal(err)
			}
			name := kept[1]
			switch again = 1; damage {
			case "cut":
				b = b[:len(b)-1]
			case "zeros":
				clear(b[len(b)/2:])
			case "another byte":
				b[len(b)/3] ^= 1
			default:
				name, again = filepath.Join(dir, "checkpoint", "x"), 0
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := w.open(dir, func(o *Options) { o.ReadOnly = true })
		second := gets(b.bad, parts)
		page, _, err := w.mem.List(t.Context(), parts, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) < 12 || len(second) != len(page)-len(kept)+again {
			t.Errorf(
				"%s: of %d parts %d were kept, and %d were fetched again", damage, len(page), len(kept), len(second),
			)
		}
		sameDump(t, damage, a.dump(), b.dump())
		if left, _ := filepath.Glob(filepath.Join(dir, "checkpoint*")); len(left) > 0 {
			t.Errorf("after the load %v is there", left)
		}
	}
}

// Commits that were applied at the first start stay when it is broken off.
func TestFirstLogGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	for i := range 700 {
		a.must("add k%d 1", i)
	}
	dir := t.TempDir()
	w.broken(dir, "log/", 600)
	b := w.open(dir, func(o *Options) { o.ReadOnly = true })
	if n := len(gets(b.bad, "log/")); n > 450 {
		t.Errorf("%d commits were read again of 700, where 600 were there", n)
	}
	sameDump(t, "machines", a.dump(), b.dump())
}

// A process that is killed while it makes the first catalog leaves nothing that is taken for one.
func TestKilledWhileLoadingFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := grown(t, w)
	for _, point := range []string{"loading", "records", "tables"} {
		dir := t.TempDir()
		step, there := stopAt(t, point, 1)
		opt := w.catalog(dir, func(o *Options) { o.Step = step; o.Store = w.store(storetest.New(w.mem)) })
		go Open(context.Background(), opt) //nolint:errcheck // it stands still for ever
		<-there
		dead := image(t, dir)
		if point == "tables" { // and the power is lost
			if err := os.WriteFile(filepath.Join(dead, "in-use"), []byte("another boot"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := w.open(dead)
		if point != "loading" && len(gets(b.bad, "checkpoint/part/")) > 0 {
			t.Errorf("%s: parts were fetched again: %v", point, b.bad.Counts())
		}
		b.must("name 1 after-%s 600%d", point, len(point))
		a.catches(b.applied())
		sameDump(t, point, a.dump(), b.dump())
	}
}

// A store that lost commits is found out also by a machine that had to give up its catalog, at each
// start.
func TestStoreThatLostCommitsAfterALossOfPower(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := grown(t, w)
	dir, last := a.dir, a.applied()
	a.Close()
	if err := w.mem.Delete(t.Context(), fmt.Sprintf("log/0/%020d", last)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in-use"), []byte("another boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.try(dir); !errors.Is(err, remote.Corrupt) || !strings.Contains(err.Error(), "has had commit") {
			t.Fatalf("opened: %v", err)
		}
	}
}

// Open tells how far it is, of how much, and when it is over nothing is told any more.
func TestOpenTellsProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := grown(t, w)
	for i := range 1600 {
		a.must("add k%d 1", i)
	}
	var bytes, commits Progress
	told := 0
	b := w.open(t.TempDir(), func(o *Options) {
		o.ReadOnly = true
		o.Progress = func(p Progress) {
			told++
			if p.AllBytes > 0 {
				if p.Bytes < bytes.Bytes || p.Bytes > p.AllBytes {
					t.Errorf("%+v after %+v", p, bytes)
				}
				bytes = p
				return
			}
			if p.Commits < commits.Commits || p.AllCommits > 0 && p.Commits > p.AllCommits {
				t.Errorf("%+v after %+v", p, commits)
			}
			commits = p
		}
	})
	if bytes.Bytes == 0 || bytes.Bytes != bytes.AllBytes || commits.Commits < 1500 {
		t.Errorf("the last: %+v, %+v", bytes, commits)
	}
	before := told
	a.must("add k 1")
	b.catches(a.applied())
	if told != before {
		t.Error("it is told after Open")
	}
}

// The checkpoint of a mounted library is loaded from what was downloaded before, and a part that
// cannot be read any more is fetched for the next try.
func TestReloadGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reloaded := make(chan bool, 1)
	a := asleep(t, w, func(o *Options) { o.Reloaded = func() { reloaded <- true } })
	remove := a.bad.Fail(storetest.Fault{Op: storetest.Get, Prefix: "log/", Times: -1, Action: storetest.FailBefore})
	a.bad.SetDown(false)
	parts, _, err := w.mem.List(t.Context(), "checkpoint/part/", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	a.eventually("the parts are there", func() bool { return len(gets(a.bad, "checkpoint/part/")) == len(parts) })
	tried := a.bad.Count(storetest.Get, "log")
	a.eventually("the log is tried after them", func() bool { return a.bad.Count(storetest.Get, "log") > tried+10 })
	a.bad.Reset()
	a.eventually("another try", func() bool { return a.bad.Count(storetest.Get, "log") > 10 })
	if again := gets(a.bad, "checkpoint/part/"); len(again) > 0 {
		t.Errorf("fetched again: %v", again)
	}
	remove()
	select {
	case <-reloaded:
	case <-time.After(20 * time.Second):
		t.Fatal("it was not loaded")
	}
}
