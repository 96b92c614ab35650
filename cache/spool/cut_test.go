package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// lost reopens what is in a spool as after a loss of power that left all of it on the disk, also
// what was never synced.
func lost(t *testing.T, dir string) *File {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.boot = "another"
	files, aside, err := s.Recover()
	if err != nil || len(files) != 1 || len(aside) != 0 {
		t.Fatalf("%d files, %q, %v", len(files), aside, err)
	}
	t.Cleanup(func() { files[0].Close() })
	return files[0]
}

// What was synced of a file that was cut since ends where it was shortest: after that nobody knows
// which of its bytes have reached the disk.
func TestCutAfterSync(t *testing.T) {
	for _, over := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "spool")
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var f *File
		if over {
			f, err = s.CreateOver(Description{Node: 7, Dirty: true}, 2000)
		} else {
			f, err = s.Create(Description{Node: 7, Dirty: true})
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(err)
		put := func(b byte, from, to int) {
			t.Helper()
			_, err := f.WriteAt(bytes.Repeat([]byte{b}, to-from), int64(from))
			must(err)
		}
		put('a', 0, 10000)
		must(f.SyncAs(f.Description()))
		must(f.Truncate(9000))
		must(f.Truncate(9500))
		must(f.Truncate(6000))
		put('b', 6000, 20000)
		if d := f.Description(); d.SyncedSize != 6000 || !d.Synced {
			t.Errorf("synced: %v, %d bytes", d.Synced, d.SyncedSize)
		}
		must(f.Close())
		// The end has reached the disk, and not what lies in front of it.
		raw, err := os.OpenFile(f.Path(), os.O_RDWR, 0)
		must(err)
		_, err = raw.WriteAt(make([]byte, 10000), 6000)
		must(err)
		must(raw.Close())
		f = lost(t, dir)
		st, err := f.Stat()
		must(err)
		if p := make([]byte, 6000); st.Size != 6000 {
			t.Errorf("%d bytes are left", st.Size)
		} else if n, missing, err := f.ReadOwn(p, 0); n != 6000 || len(missing) > 0 || err != nil || !bytes.Equal(p, bytes.Repeat([]byte("a"), 6000)) {
			t.Errorf("read %d bytes, %v, %v: %.20q", n, missing, err, p)
		}
		// A cut that fails leaves the bytes confirmed.
		must(f.SyncAs(f.Description()))
		must(f.f.Close())
		if err := f.Truncate(100); err == nil {
			t.Error("a file that is closed was cut")
		}
		if d := f.Description(); d.SyncedSize != 6000 {
			t.Errorf("after a cut that failed %d bytes are synced", d.SyncedSize)
		}
	}
}
