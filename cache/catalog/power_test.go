package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/storetest"
)

func boot(id string) func(*Options) { return func(o *Options) { o.BootID = id } }

// punch takes records of older commits out of a catalog's directory and leaves its applied number,
// as a loss of power does when the newer of two logs was written back.
func punch(t *testing.T, dir string, keys ...[]byte) {
	t.Helper()
	db, err := badger.Open(
		badger.DefaultOptions(filepath.Join(dir, "badger")).WithLogger(nil).WithMemTableSize(8 << 20),
	)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		for _, k := range keys {
			if err := txn.Delete(full(classRecord, k)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// After a loss of power the catalog is what the store says, with the outbox on it, whether there is
// a checkpoint or not.
func TestPowerLossLeavesNoHoles(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		w := newWorld(t)
		a := (&world{t: t, mem: w.mem, leaky: true}).open(t.TempDir(), boot("one"))
		a.must("name 1 f 100")
		a.must("name 1 g 101")
		if checkpoint {
			if err := a.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			trim(t, w, a.applied())
		}
		a.must("unname 1 g")
		a.bad.SetDown(true)
		a.abandon("name 1 mine 5")
		dead := image(t, a.dir)
		punch(t, dead, record.NodeKey(100), record.UsageKey())
		again := w.open(dead, boot("two"))
		if err := again.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.view(func(tx *Tx) {
			if tx.Node(100) == nil || tx.Dentry(1, "g") != nil || tx.Dentry(1, "mine") == nil {
				t.Error("not the store's state with the outbox on it")
			}
		})
		if again.Client() != a.Client() {
			t.Errorf("client %d, was %d", again.Client(), a.Client())
		}
		fresh := w.open(t.TempDir())
		again.catches(fresh.applied())
		sameDump(t, "after the loss of power", again.dump(), fresh.dump())
	}
}

// What a rebuild was to do is not forgotten when the store is away at the first mount after the
// loss of power.
func TestPowerLossIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := (&world{t: t, mem: w.mem, leaky: true}).open(t.TempDir(), boot("one"))
	a.must("name 1 f 100")
	dead := image(t, a.dir)
	punch(t, dead, record.NodeKey(100))
	_, err := w.try(dead, boot("two"), func(o *Options) { o.Store = away{o.Store} })
	if !errors.Is(err, remote.Unavailable) {
		t.Fatalf("without the store: %v", err)
	}
	w.open(dead, boot("two")).view(func(tx *Tx) {
		if tx.Node(100) == nil {
			t.Error("the hole is still there")
		}
	})
}

// After a clean end there is nothing to rebuild: the next boot reads the log's end and no commit of
// before.
func TestCleanEndIsTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir, boot("one"))
	for range 5 {
		a.must("add k 1")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := w.open(dir, boot("two"), func(o *Options) { o.PollInterval = time.Hour })
	if n := b.bad.Count(storetest.Get, ""); n > 2 { // format.json, and maybe the end
		t.Errorf("%d requests: %v", n, b.bad.Calls())
	}
}

// Sync reaches the log of every memtable, not just of the one that is written to.
func TestSyncReachesEveryMemtable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	a.must("add k 1")
	if err := a.sync(); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(a.dir, "badger", "00000.mem")
	if err := os.Symlink(loop, loop); err != nil { // opening it fails
		t.Fatal(err)
	}
	if err := a.sync(); err == nil {
		t.Error("it was not opened")
	}
	if err := os.Remove(loop); err != nil {
		t.Fatal(err)
	}
}
