package catalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// endWord runs "end S", which deletes the name S of the root and its node with all attributes,
// besides the words of runWord.
func endWord(tx *Tx, intent []byte) error {
	name, ok := strings.CutPrefix(string(intent), "end ")
	if !ok {
		return runWord(tx, intent)
	}
	d := tx.Dentry(1, name)
	if d == nil {
		return remote.E("end", name, remote.NotExist, nil)
	}
	var keys [][]byte
	for k := range tx.Records(record.XattrKey(d.Node, "")) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		tx.Delete(k)
	}
	tx.Delete(record.DentryKey(1, name))
	tx.Delete(record.NodeKey(d.Node))
	return nil
}

func ends(o *Options) { o.Run = endWord }

// attributes gives a node n attributes of 64 KiB.
func (b *box) attributes(node uint64, n int) {
	b.t.Helper()
	for i := range n {
		b.write(func(tx *Tx) {
			tx.Put(record.XattrKey(node, fmt.Sprintf("user.%d", i)), make([]byte, record.MaxRecord-300))
		})
	}
}

func (b *box) write(fn func(tx *Tx)) {
	b.t.Helper()
	if err := b.Update(b.t.Context(), nil, func(tx *Tx) error { fn(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// A node whose attributes are larger than a transaction can be deleted: at once, and also when they
// came while the deletion waited.
func TestDeletingLargeAttributes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.open(t.TempDir(), ends), w.open(t.TempDir(), ends)
	a.must("name 1 x 9")
	a.must("name 1 y 10")
	a.attributes(9, 32)
	if err := a.Update(t.Context(), nil, func(tx *Tx) error { return endWord(tx, []byte("end x")) }); err != nil {
		t.Fatal(err)
	}
	b.catches(a.applied())
	a.bad.SetDown(true)
	a.abandon("end y")
	b.attributes(10, 32)
	a.bad.SetDown(false)
	a.must("add k 1")
	a.catches(b.applied())
	b.catches(a.applied())
	b.view(func(tx *Tx) {
		if tx.Node(9) != nil || tx.Node(10) != nil || tx.Dentry(1, "y") != nil {
			t.Error("not deleted")
		}
	})
	a.view(func(tx *Tx) {
		for k := range tx.scan([]byte{classUndo}, []byte{classUndo}, false) {
			t.Errorf("undo record left: %q", k)
		}
	})
	sameDump(t, "machines", a.dump(), b.dump())
}

// What an operation changes must come back whole when it was more than one transaction takes.
func TestUndoOfLargeAttributes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), ends)
	a.must("name 1 x 9")
	a.attributes(9, 32)
	a.bad.SetDown(true)
	a.abandon("end x")
	dead := image(t, a.dir)
	b := w.open(t.TempDir(), ends)
	before := b.dump()
	again := w.open(dead, ends, func(o *Options) { o.ReadOnly = true }) // shows the log's state
	sameDump(t, "undone", before, again.dump())
}

// An operation that is too large for good is refused, whoever waits; it never stands in the way of
// the others.
func TestTooLargeOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	for _, n := range []int{record.MaxCommitWrites + 1, 20500} {
		err := a.Update(t.Context(), nil, func(tx *Tx) error {
			for i := range n {
				tx.Put(record.SettingKey(fmt.Sprint(i)), []byte{1})
			}
			return nil
		})
		if !errors.Is(err, remote.TooLarge) {
			t.Errorf("%d writes: %v", n, err)
		}
	}
	a.must("add k 1")
}

// More orphans than a transaction takes are dropped when the directory is opened again.
func TestManyOrphansOfADeadProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir)
	err := a.inPieces(func(set func(key, value []byte) error) error {
		for i := range uint64(20500) {
			if err := set(orphanKey(1000+i), []byte{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	w.open(dir).view(func(tx *Tx) {
		for k := range tx.scan(localKey("orphan/"), localKey("orphan/"), false) {
			t.Fatalf("an orphan is left: %q", k)
		}
	})
}

// A commit that makes orphans of more than one transaction takes is applied.
func TestLargeOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir(), func(o *Options) { o.Referenced = func(uint64) bool { return true } })
	b := w.open(t.TempDir())
	const n = 480
	for i := 0; i < n; i += 100 {
		b.write(func(tx *Tx) {
			for j := i; j < i+100; j++ {
				tx.Store(record.NodeKey(uint64(1000+j)), &record.Node{Mode: 0o120777, Target: make([]byte, 4000)})
			}
		})
	}
	commit := &record.Commit{}
	for i := range uint64(n) {
		commit.Writes = append(commit.Writes, &record.Write{Key: record.NodeKey(1000 + i), Delete: true})
	}
	w.append(b, commit)
	a.catches(b.applied() + 1)
	a.view(func(tx *Tx) {
		if !tx.Orphan(1000) || !tx.Orphan(1000+n-1) {
			t.Error("not kept")
		}
	})
}

// append writes a commit of nobody's behind those that a machine has, as a foreign program might.
func (w *world) append(b *box, commit *record.Commit) {
	w.t.Helper()
	b.catches(b.Status().Newest)
	b.mu.RLock()
	seq := b.st.seq
	commit.Previous = b.st.hash
	b.mu.RUnlock()
	body, err := record.EncodeCommit(commit)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := bucket.Open(w.t.Context(), w.mem, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Append(w.t.Context(), seq+1, body); err != nil {
		w.t.Fatal(err)
	}
}

// The commit from which most follows: as many names as it takes, of the greatest length, in as many
// folders, change their nodes.
func TestLargestCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add k 1")
	for turn := range uint64(2) {
		commit := &record.Commit{}
		for i := range uint64(record.MaxCommitWrites) {
			d, err := proto.Marshal(&record.Dentry{Node: 1<<61 + 2*i + turn, Kind: folderKind * uint32(turn)})
			if err != nil {
				t.Fatal(err)
			}
			key := record.DentryKey(1<<61+i, strings.Repeat("n", record.MaxName))
			commit.Writes = append(commit.Writes, &record.Write{Key: key, Value: d})
		}
		w.append(a, commit)
		a.catches(a.Status().Applied + 1)
	}
	a.must("add k 1")
	sum := 0
	a.view(func(tx *Tx) {
		for i := range uint64(record.MaxCommitWrites) {
			sum += int(tx.Counts(1<<61 + i).Folders)
		}
	})
	if sum != record.MaxCommitWrites {
		t.Errorf("%d folders", sum)
	}
}

// However little its operations write, a commit takes no more of them than can leave the outbox in
// one transaction.
func TestManyOperationsOnOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add k 1")
	before := a.applied()
	a.bad.SetDown(true)
	const n = 2*maxBatch + 10
	for range n {
		a.abandon("add k 1")
	}
	a.bad.SetDown(false)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.number("k"); got != n+1 {
		t.Errorf("%d, want %d", got, n+1)
	}
	if made := a.applied() - before; made < 3 {
		t.Errorf("%d operations in %d commits", n, made)
	}
}

// Operations of a newer version stay in the outbox for it; this version does not mount.
func TestIntentOfANewerVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := (&world{t: t, mem: w.mem, leaky: true}).open(t.TempDir())
	a.must("add k 1")
	a.bad.SetDown(true)
	a.abandon("add k 10")
	a.abandon("add k 100")
	dead := image(t, a.dir)
	_, err := w.try(dead, func(o *Options) {
		o.Run = func(tx *Tx, in []byte) error {
			if string(in) == "add k 10" {
				return remote.E("run", "", remote.Unsupported, nil).WithHint("mount with the newer version")
			}
			return runWord(tx, in)
		}
	})
	var e *remote.Error
	if !errors.Is(err, remote.Unsupported) || !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("an older version: %v", err)
	}
	again := w.open(dead)
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := again.number("k"); n != 111 {
		t.Errorf("%d, want 111", n)
	}
}
