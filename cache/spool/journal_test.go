package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A journal that is rewritten in the middle of a write that extends the file keeps the part beyond
// the old end.
func TestRewriteMapInAnExtendingWrite(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	f, err := s.CreateOver(Description{Node: 1, Dirty: true}, size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), size-3); err != nil {
		t.Fatal(err)
	}
	for off := int64(0); f.over.records < rewriteRecords+4; off++ { // bytes one after the other: two runs
		if _, err := f.WriteAt([]byte("x"), off); err != nil {
			t.Fatal(err)
		}
	}
	p := bytes.Repeat([]byte("E"), 2000)
	if _, err := f.WriteAt(p, size-1000); err != nil {
		t.Fatal(err)
	}
	want := holds(t, f)
	if got := holds(t, recoverOne(t, dir)); !bytes.Equal(got, want) { // kill -9
		i := 0
		for got[i] == want[i] {
			i++
		}
		t.Errorf(
			"after the death of the process byte %d (of %d, the end was %d) is %q, %q was written", i, len(want), size,
			got[i], want[i],
		)
	}
}

// A truncation whose record cannot be written has happened all the same.
func TestTruncateWithoutRecord(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.CreateOver(Description{Node: 1, Dirty: true}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("xyz"), 700); err != nil {
		t.Fatal(err)
	}
	f.over.journal.Close() // EIO
	if err := f.Truncate(500); err != nil && f.Size() != 1000 {
		t.Errorf("the truncation failed, and the file has %d bytes", f.Size())
	}
}

// An overlay whose description did not survive a loss of power is kept aside: nobody can tell what
// it lies over.
func TestOverlayWithoutDescription(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.CreateOver(Description{Node: 7, Dirty: true, Under: []byte("head")}, 20_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("edit"), 10_000); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(f.path+metaSuffix, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, lost, err := s.Recover()
		if err != nil || len(r) != 0 {
			t.Fatalf("%d files, %v", len(r), err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+LostSuffix)); len(left) != 3 {
			t.Errorf("kept aside: %q, told: %q", left, lost)
		}
	}
}
