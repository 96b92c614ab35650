package bucket

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"mediafs/remote"
	"mediafs/remote/storetest"
)

// kept opens the newest checkpoint and reads it all, keeping it in dir.
func (r *rig) kept(dir string, only bool) error {
	r.t.Helper()
	c, err := r.OpenCheckpoint(r.t.Context())
	ok(r.t, err)
	ok(r.t, c.(remote.Keeper).Keep(dir, only))
	for _, err := range c.Records(r.t.Context()) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestKeep(t *testing.T) {
	r := newRig(t, smallParts)
	_, err := r.write(7, records(20_000, 0))
	ok(t, err)
	dir := filepath.Join(t.TempDir(), "kept")
	ok(t, r.kept(dir, false))
	parts := len(r.keys(partPrefix))
	fetched := func(what string, most int) {
		t.Helper()
		if n := r.bad.Count(storetest.Get, "checkpoint") - 1; n != most { // the manifest
			t.Errorf("%s: %d parts of %d were fetched, want %d", what, n, parts, most)
		}
		r.bad.Reset()
	}
	fetched("nothing was kept", parts)
	ok(t, r.kept(dir, true))
	fetched("all is kept", 0)

	// What is not whole is fetched, or missing.
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	ok(t, err)
	b, err := os.ReadFile(files[3])
	ok(t, err)
	ok(t, os.WriteFile(files[3], bytes.Repeat([]byte{0}, len(b)), 0o600))
	ok(t, os.Remove(files[4]))
	want(t, r.kept(dir, true), remote.Unavailable)
	r.bad.Reset()
	ok(t, r.kept(dir, false))
	fetched("two are not whole", 2)

	// A link in the place of a part is not followed, and a folder is in nobody's way.
	ok(t, os.Remove(files[5]))
	ok(t, os.Symlink(files[6], files[5]))
	if err := r.kept(dir, false); err == nil {
		t.Error("a symbolic link was followed")
	}
	ok(t, os.Remove(files[5]))
	ok(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	r.bad.Reset()

	// Of the next checkpoint, only what changed is fetched; what it has no use for is deleted.
	_, err = r.write(8, records(20_000, 1))
	ok(t, err)
	r.bad.Reset()
	ok(t, r.kept(dir, false))
	if n := r.bad.Count(storetest.Get, "checkpoint") - 1; n < 2 || n > parts/2 {
		t.Errorf("%d parts of %d were fetched for one that changed a little", n, parts)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > parts+8 {
		t.Errorf("%d files are kept for a checkpoint of %d parts", len(files), parts)
	}
}

// Newest finds the end of a log about, in few requests.
func TestNewest(t *testing.T) {
	r := newRig(t)
	for n := uint64(1); n <= 3000; n++ {
		r.overwrite(logKey(n), nil)
	}
	for _, after := range []uint64{1, 500, 1000, 2000, 2900, 3000} {
		r.bad.Reset()
		n, err := r.Newest(t.Context(), after)
		ok(t, err)
		if n > 3000 || n < after || 3000-n > max(16, (3000-after)/50) {
			t.Errorf("after %d: %d", after, n)
		}
		if c := r.bad.Count(storetest.Head, ""); c > 14 {
			t.Errorf("after %d: %d requests", after, c)
		}
	}
}
