package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// What the process had written when it ended, however, is there for the next one: bytes, owner,
// attributes, ids, not what was only half made.
func TestSurvives(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	ids := map[string]vfs.ID{}
	for i := range 10 {
		name := fmt.Sprintf(".-%d", i)
		ids[name] = r.create(d, name, name)
	}
	a, f, err := r.Create(bg, me, d, ".-open", 0o400, unix.O_RDWR)
	r.ok(err)
	r.write(f, "no close", 0) // neither closed nor synced
	r.ok(r.SetXattr(bg, me, a.ID, "user.x", []byte("v"), 0))
	_, g, err := r.Create(bg, me, d, ".-unlinked", 0o600, 0)
	r.ok(err)
	r.ok(r.Unlink(bg, me, d, ".-unlinked"))
	r.ok(os.WriteFile(filepath.Join(r.dir, "new", "17"), []byte("half"), 0o600))
	r.reopen()
	f.Release()
	g.Release()
	for name, id := range ids {
		if a := r.stat(d, name); a.ID != id || a.UID != me.UID || a.Mode != unix.S_IFREG|0o640 {
			t.Errorf("%q: %+v, was %#x", name, a, id)
		}
		r.holds(d, name, name)
	}
	r.holds(d, ".-open", "no close")
	b, err := r.Lookup(bg, d, ".-open")
	r.ok(err)
	defer r.Forget(b.ID, 1)
	if v, err := r.GetXattr(bg, b.ID, "user.x"); err != nil || string(v) != "v" || b.Mode != unix.S_IFREG|0o400 {
		t.Errorf("%q, %v, %+v", v, err, b)
	}
	r.gone(d, ".-unlinked")
	if left, _ := filepath.Glob(r.dir + "/new/*"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if got := r.names(r, d); len(got) != 11 {
		t.Errorf("%q", got)
	}
}

// Droppings of a folder that another machine removed are deleted with the next opening, and nothing
// else is.
func TestSweep(t *testing.T) {
	b := mem.New(mem.Options{})
	inner := openInner(t, b, t.TempDir())
	defer inner.Close()
	r := &rig{T: t, inner: inner, dir: filepath.Join(t.TempDir(), "local")}
	r.reopen()
	defer func() { r.ok(r.Library.Close()) }()
	d, e := r.mkdir(vfs.Root, "d"), r.mkdir(vfs.Root, "e")
	r.create(d, ".-a", "a")
	r.create(e, ".-b", "b")
	r.ok(r.inner.Rmdir(bg, me, vfs.Root, "d")) // what another machine would do: it sees an empty folder
	foreign := filepath.Join(r.dir, strconv.FormatUint(d, 16), "somebody's notes")
	r.ok(os.WriteFile(foreign, nil, 0o600))
	r.reopen(func(o *local.Options) { o.ReadOnly = true })
	if _, err := os.Stat(filepath.Join(filepath.Dir(foreign), ".-a")); err != nil {
		t.Errorf("a read-only library deletes: %v", err)
	}
	r.reopen()
	if left, _ := filepath.Glob(filepath.Dir(foreign) + "/*"); len(left) != 1 || left[0] != foreign {
		t.Errorf("left: %q", left)
	}
	r.holds(e, ".-b", "b")
	r.ok(os.Remove(foreign))
	r.reopen()
	if _, err := os.Stat(filepath.Dir(foreign)); err == nil {
		t.Error("the empty directory of a folder that is gone is still there")
	}
}

// Whatever somebody plants in the directory: nothing outside of it is read, written or deleted,
// nobody hangs, and what is theirs stays theirs.
func TestPlanted(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	id := r.create(d, ".-mine", "mine")
	folder := filepath.Join(r.dir, strconv.FormatUint(d, 16))
	outside := filepath.Join(t.TempDir(), "secret")
	r.ok(os.WriteFile(outside, []byte("secret"), 0o600))
	r.ok(os.Symlink(outside, filepath.Join(folder, ".-link")))
	r.ok(unix.Mkfifo(filepath.Join(folder, ".-fifo"), 0o600))
	r.ok(os.Mkdir(filepath.Join(folder, ".-dir"), 0o700))
	r.ok(os.WriteFile(filepath.Join(folder, ".-copied"), []byte("without a record"), 0o600))
	r.ok(os.WriteFile(filepath.Join(folder, "notes.txt"), nil, 0o600))
	bad := filepath.Join(folder, ".-badrecord")
	r.ok(os.WriteFile(bad, nil, 0o600))
	r.ok(unix.Setxattr(bad, "user.mediafs.local", []byte("1 0 0 106777"), 0))
	r.ok(os.Symlink(filepath.Dir(outside), filepath.Join(r.dir, "abc")))
	r.ok(os.Symlink(outside, filepath.Join(r.dir, "new", "x")))
	for _, name := range []string{"0", "01", "ABC", "lost+found", "-1"} {
		r.ok(os.Mkdir(filepath.Join(r.dir, name), 0o700))
	}
	r.ok(os.WriteFile(filepath.Join(r.dir, "def"), nil, 0o600))
	r.reopen()
	if got := r.names(r, d); len(got) != 3 {
		t.Errorf("listed: %q", got)
	}
	r.holds(d, ".-mine", "mine")
	r.holds(d, ".-copied", "without a record")
	for _, name := range []string{".-copied", ".-badrecord"} {
		if a := r.stat(d, name); a.UID != uint32(os.Geteuid()) || a.Mode != unix.S_IFREG|0o644 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, name := range []string{".-link", ".-fifo", ".-dir"} {
		r.gone(d, name)
		r.is(r.Unlink(bg, me, d, name), remote.NotExist)
		if _, _, err := r.Create(bg, me, d, name, 0o600, 0); err == nil {
			t.Errorf("%s was made over what lies there", name)
		}
		if err := r.Rename(bg, me, d, ".-mine", d, name, 0); err == nil {
			t.Errorf("%s was replaced", name)
		}
	}
	// Behind the back of a library that has listed: the file becomes a link, then something else.
	mine := filepath.Join(folder, ".-mine")
	for _, plant := range []func() error{
		func() error { return os.Symlink(outside, mine) },
		func() error { return unix.Mkfifo(mine, 0o600) },
		func() error { return os.WriteFile(mine, []byte("another"), 0o600) },
	} {
		r.ok(os.Rename(mine, filepath.Join(folder, "aside")))
		r.ok(plant())
		if a, err := r.Lookup(bg, d, ".-mine"); err == nil {
			t.Errorf("found %+v", a)
		}
		r.ok(os.Remove(mine))
		r.ok(os.Rename(filepath.Join(folder, "aside"), mine))
		if a := r.stat(d, ".-mine"); a.ID != id {
			t.Errorf("id %#x, was %#x", a.ID, id)
		}
	}
	r.reopen(func(o *local.Options) { o.ReadOnly = true }) // which opens for reading, and would wait at a fifo
	r.holds(d, ".-mine", "mine")
	r.ok(os.Rename(mine, filepath.Join(folder, "aside")))
	r.ok(unix.Mkfifo(mine, 0o600))
	if a, err := r.Lookup(bg, d, ".-mine"); err == nil {
		t.Errorf("found %+v", a)
	}
	r.reopen()
	r.ok(os.Remove(mine))
	r.gone(d, ".-mine")
	r.create(d, ".-mine", "again")
	r.holds(d, ".-mine", "again")
	// The folder itself becomes a link.
	r.ok(os.Rename(folder, folder+".aside"))
	r.ok(os.Symlink(filepath.Dir(outside), folder))
	if _, _, err := r.Create(bg, me, d, ".-secret", 0o600, 0); err == nil {
		t.Error("a file was made through a link")
	}
	r.ok(os.Remove(folder))
	r.ok(os.Rename(folder+".aside", folder))
	r.holds(d, ".-mine", "again")
	if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
		t.Errorf("outside: %q, %v", b, err)
	}
	for _, name := range []string{"new/x", "abc", "0", "01", "ABC", "lost+found", "def"} {
		if _, err := os.Lstat(filepath.Join(r.dir, name)); err != nil {
			t.Errorf("what is not ours was removed: %v", err)
		}
	}
}

// A directory that somebody else could have prepared is refused.
func TestDirectory(t *testing.T) {
	inner := openInner(t, mem.New(mem.Options{}), t.TempDir())
	defer inner.Close()
	open := func(dir string) error {
		l, err := local.New(inner, local.Options{Dir: dir, Names: testNames})
		if err == nil {
			err = l.Close()
		}
		return err
	}
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	link, file, wide, shown := at("link"), at("file"), at("wide"), at("shown")
	for _, err := range []error{os.Symlink(t.TempDir(), link), os.WriteFile(file, nil, 0o600), os.Mkdir(wide, 0o700), os.Chmod(wide, 0o777),
		os.Mkdir(shown, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]remote.Kind{link: remote.NotDir, file: remote.NotDir, wide: remote.Permission, at("a/b"): remote.NotExist} {
		if err := open(dir); remote.KindOf(err) != want || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %v", filepath.Base(dir), err, want)
		}
	}
	if err := open(shown); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(shown); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if os.Geteuid() == 0 {
		others := at("others")
		if err := os.Mkdir(others, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(others, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		if err := open(others); remote.KindOf(err) != remote.Permission {
			t.Errorf("somebody else's: %v", err)
		}
	}
}

// After Close every call fails, and none in a way that a program would not understand.
func TestClosed(t *testing.T) {
	r := newRig(t)
	r.create(vfs.Root, ".-a", "a")
	a, f, err := r.Create(bg, me, vfs.Root, ".-b", 0o600, unix.O_RDWR)
	r.ok(err)
	r.ok(r.Library.Close())
	r.ok(r.Library.Close())
	_, err = r.Lookup(bg, vfs.Root, ".-a")
	r.is(err, remote.Unavailable)
	_, _, err = r.Create(bg, me, vfs.Root, ".-c", 0o600, 0)
	r.is(err, remote.Unavailable)
	_, err = f.Write(bg, []byte("x"), 0)
	if err == nil {
		t.Error("a write after Close")
	}
	f.Release()
	r.Forget(a.ID, 1)
	r.Library = nil
	r.reopen()
	r.holds(vfs.Root, ".-a", "a")
}
