package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mediafs/fs/control"
	"mediafs/remote"
)

func TestPrivateDir(t *testing.T) {
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(base, "open"), 0o755))
	must(os.Chmod(filepath.Join(base, "open"), 0o755))
	must(os.Symlink("open", filepath.Join(base, "link")))
	must(os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	for _, name := range []string{"empty and writable", "writable"} {
		must(os.Mkdir(filepath.Join(base, name), 0o700))
		must(os.Chmod(filepath.Join(base, name), 0o770))
	}
	must(os.WriteFile(filepath.Join(base, "writable", "planted"), nil, 0o600))
	tests := []struct {
		dir  string
		kind remote.Kind // Other: works
	}{
		{filepath.Join(base, "a/b/new"), remote.Other},
		{filepath.Join(base, "open"), remote.Other},
		{filepath.Join(base, "link"), remote.Invalid},
		{filepath.Join(base, "file"), remote.NotDir},
		{filepath.Join(base, "file/below"), remote.NotDir},
		{"relative", remote.Invalid},
		{filepath.Join(base, "empty and writable"), remote.Other},
		{filepath.Join(base, "writable"), remote.Permission},
		{filepath.Join(base, "writable"), remote.Permission}, // and again
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(base, "foreign")
		must(os.Mkdir(foreign, 0o700))
		must(os.Chown(foreign, 12345, 12345))
		tests = append(tests, struct {
			dir  string
			kind remote.Kind
		}{foreign, remote.Permission})
	}
	for _, tt := range tests {
		err := privateDir(tt.dir, "catalog directory", &madeDirs{})
		if tt.kind != remote.Other {
			if !errors.Is(err, tt.kind) {
				t.Errorf("%s: %v, want %v", tt.dir, err, tt.kind)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.dir, err)
			continue
		}
		if info, err := os.Stat(tt.dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v; want 0700", tt.dir, info.Mode(), err)
		}
	}
}

// What a failed mount made goes, what was there or is used stays, and a lock on a file that has
// gone keeps nobody off.
func TestMadeFoldersGo(t *testing.T) {
	base := t.TempDir()
	catalog := filepath.Join(base, "new/catalog")
	made := &madeDirs{}
	for _, dir := range []string{catalog, filepath.Join(catalog, "spool"), filepath.Join(base, "cache/used")} {
		if err := privateDir(dir, "folder", made); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := control.LockDir(catalog)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "cache/used/block"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made.undo(catalog)
	if _, err := os.Stat(filepath.Join(catalog, control.LockName)); err != nil {
		t.Errorf("the lock of another was taken away: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	made.undo(catalog)
	if _, err := os.Stat(filepath.Join(base, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder that was made stays: %v", err)
	}
	if _, err := os.Stat(filepath.Join(base, "cache/used/block")); err != nil {
		t.Error(err)
	}

	dir := t.TempDir()
	if lock, err = control.LockDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, control.LockName)); err != nil {
		t.Fatal(err)
	}
	second, err := control.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !control.Locked(dir) {
		t.Error("the lock is on a file without a name")
	}
	second.Close()
	lock.Close()
}

func TestRegistry(t *testing.T) {
	r := Registry{Dir: filepath.Join(t.TempDir(), "mounts")}
	if ms, err := r.List(); err != nil || len(ms) != 0 {
		t.Fatalf("empty: %v, %v", ms, err)
	}
	odd := "/mnt/with\nnewline and \x1b[31m"
	for _, m := range []Mount{{Dir: odd, PID: 7}, {Dir: "/mnt/a", PID: 8}} {
		if err := r.add(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	ms, err := r.List()
	if err != nil || len(ms) != 2 || ms[0].Dir != "/mnt/a" || ms[1].Dir != odd {
		t.Errorf("list %+v, %v", ms, err)
	}
	if err := r.remove("/mnt/a", 9); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Find("/mnt/a"); err != nil {
		t.Errorf("another process's note was removed: %v", err)
	}
	// Nothing is mounted there and nobody has the catalog directory: a note of the dead, dropped
	// when the list is read for use.
	places, err := r.Places()
	for _, p := range places {
		if p.Known {
			t.Errorf("place of a dead daemon: %+v", p)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := r.Find("/mnt/a"); !errors.Is(err, remote.NotExist) {
		t.Errorf("note of the dead: %v, want gone", err)
	}
}

func TestMountPoint(t *testing.T) {
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	empty, full, file := filepath.Join(base, "empty"), filepath.Join(base, "full"), filepath.Join(base, "file")
	must(os.Mkdir(empty, 0o755))
	must(os.Mkdir(full, 0o755))
	must(os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
	must(os.WriteFile(file, nil, 0o600))
	must(os.Symlink("empty", filepath.Join(base, "link")))
	for dir, kind := range map[string]remote.Kind{
		filepath.Join(base, "missing"): remote.NotExist, full: remote.NotEmpty, file: remote.NotDir, "relative": remote.Invalid,
	} {
		if _, _, err := prepareMountPoint(dir); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", dir, err, kind)
		}
	}
	real, notes, err := prepareMountPoint(filepath.Join(base, "link"))
	if want, _ := filepath.EvalSymlinks(empty); err != nil || real != want || len(notes) != 0 {
		t.Errorf("link: %s, %v, %v; want %s", real, notes, err, want)
	}
}
