package catalog

import (
	"strings"
	"testing"
	"time"

	"mediafs/remote/storetest"
)

// tenCommits makes a checkpoint due after ten commits, however small.
func tenCommits(o *Options) {
	o.CheckpointBytes, o.CommitCost, o.CheckpointDelay = 10<<20, 1<<20, time.Millisecond
}

func (b *box) checkpointPuts() (n int) {
	for _, c := range b.bad.Calls() {
		if c.Op == storetest.Put && strings.HasPrefix(c.Key, "checkpoint/") {
			n++
		}
	}
	return n
}

// Commits of some bytes make a checkpoint due by their number, and not before.
func TestCheckpointDueByNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), tenCommits) // joining was the first
	for i := range 9 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	if n := a.checkpointPuts(); n != 0 {
		t.Errorf("%d puts of a checkpoint after ten commits", n)
	}
	a.must("name 1 more 200")
	a.eventually("a checkpoint", func() bool { return a.Status().Checkpoint == a.applied() })
	fresh := w.open(t.TempDir())
	if fresh.bad.Count(storetest.Get, "log") > 5 { // its own joining, and the end
		t.Errorf("a fresh machine sent %v", fresh.bad.Counts())
	}
}

// Who finds a long log at its start writes the checkpoint, though it changes nothing itself; it is
// read with what came since.
func TestCheckpointByWhoNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir()) // by bytes alone, nothing is due
	for i := range 30 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	b := w.open(t.TempDir(), tenCommits)
	b.eventually("a checkpoint", func() bool { return b.Status().Checkpoint == b.applied() })
	a.must("name 1 more 200")
	c := w.open(t.TempDir())
	a.catches(c.applied())
	sameDump(t, "machines", a.dump(), c.dump())
	// What is known of it survives the process.
	b.catches(a.applied())
	b.Close()
	b = w.open(b.dir, tenCommits)
	if k := b.st.ckpt; k.seq == 0 || k.since > 4<<20 {
		t.Errorf("after the next start: %+v", k)
	}
}

// Of two machines that notice, the one that is not first writes nothing.
func TestCheckpointOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	b := w.open(t.TempDir(), func(o *Options) { tenCommits(o); o.CheckpointDelay = time.Hour })
	for i := range 30 {
		a.must("name 1 f%d %d", i, 100+i)
	}
	b.catches(a.applied())
	if err := a.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		a.must("name 1 g%d %d", i, 200+i)
	}
	b.catches(a.applied())
	b.mu.RLock()
	due := b.due()
	b.mu.RUnlock()
	if !due {
		t.Fatal("none is due after 30 commits")
	}
	b.bad.Reset()
	if err := b.checkpoint(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := b.checkpointPuts(); n != 0 {
		t.Errorf("%d puts beside another's checkpoint", n)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if k := b.st.ckpt; b.due() || k.since != 3<<20 {
		t.Errorf("afterwards: %+v", k)
	}
}

// What came after another's checkpoint is taken in proportion, and never for less than commits cost
// at least.
func TestCheckpointedAdopts(t *testing.T) {
	t.Parallel()
	k := checkpointed{seq: 100, size: 7, since: 1000}
	for _, c := range []struct {
		seq, applied uint64
		since        int64
	}{
		{50, 200, 1000}, // older than what is known
		{150, 200, 500},
		{199, 200, 10},
		{200, 200, 0},
		{300, 200, 0},
	} {
		got := k.adopt(c.seq, 9, c.applied, 1)
		if got.since != c.since || (c.seq > 100) != (got.seq == c.seq && got.size == 9) {
			t.Errorf("%d of %d: %+v", c.seq, c.applied, got)
		}
	}
	if got := (checkpointed{since: 1000}).adopt(990, 9, 1000, 64); got.since != 640 {
		t.Errorf("of an unknown one: %+v", got)
	}
}
