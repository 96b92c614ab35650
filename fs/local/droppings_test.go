package local_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// A dropping is made, read, edited, renamed and deleted, and the library behind knows nothing of
// it.
func TestLife(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	before, err := r.inner.GetAttr(bg, d)
	r.ok(err)
	id := r.create(d, ".-a.jpg", "one")
	if a := r.stat(
		d, ".-a.jpg",
	); !isLocal(id) || a.ID != id || a.Size != 3 || a.Mode != unix.S_IFREG|0o640 || a.UID != me.UID || a.GID != me.GID ||
		a.Nlink != 1 {
		t.Errorf("%+v", a)
	}
	_, _, err = r.Create(bg, me, d, ".-a.jpg", 0o600, 0)
	r.is(err, remote.Exist)
	_, err = r.Open(bg, me, id, unix.O_RDWR)
	r.is(err, remote.NotExist) // nobody has a reference
	a, err := r.Lookup(bg, d, ".-a.jpg")
	r.ok(err)
	f, err := r.Open(bg, me, a.ID, unix.O_WRONLY|unix.O_APPEND)
	r.ok(err)
	r.write(f, " two", 0)
	r.ok(f.Fsync(bg))
	f.Release()
	f.Release() // once more does nothing
	r.holds(d, ".-a.jpg", "one two")
	f, err = r.Open(bg, me, a.ID, unix.O_RDWR|unix.O_TRUNC)
	r.ok(err)
	r.write(f, "three", 2)
	f.Release()
	r.holds(d, ".-a.jpg", "\x00\x00three")
	f, err = r.Open(bg, me, a.ID, unix.O_RDONLY)
	r.ok(err)
	_, err = f.Write(bg, []byte("x"), 0)
	r.is(err, remote.Permission)
	f.Release()
	r.Forget(a.ID, 1)
	if got := r.names(r, d); !slices.Equal(got, []string{".-a.jpg"}) {
		t.Errorf("listed: %q", got)
	}
	if got := r.names(r.inner, d); len(got) != 0 {
		t.Errorf("the library has %q", got)
	}
	r.ok(r.Rename(bg, me, d, ".-a.jpg", vfs.Root, ".-b.jpg", 0))
	r.gone(d, ".-a.jpg")
	r.holds(vfs.Root, ".-b.jpg", "\x00\x00three")
	if got := r.stat(vfs.Root, ".-b.jpg").ID; got != id {
		t.Errorf("id %#x after a rename, was %#x", got, id)
	}
	r.ok(r.Unlink(bg, me, vfs.Root, ".-b.jpg"))
	r.gone(vfs.Root, ".-b.jpg")
	r.is(r.Unlink(bg, me, vfs.Root, ".-b.jpg"), remote.NotExist)
	after, err := r.inner.GetAttr(bg, d)
	r.ok(err)
	if before != after {
		t.Errorf("the folder was %+v and is %+v", before, after)
	}
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
	if left, _ := filepath.Glob(r.dir + "/*/*"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// Whatever the case of Windows' names and however long they are; what only looks like one is the
// library's.
func TestNames(t *testing.T) {
	r := newRig(t)
	long := ".-" + strings.Repeat("x", 253)
	for _, name := range []string{".-", ".-a", ".DS_Store", "Thumbs.db", "THUMBS.DB", "Desktop.ini", "desktop.ini", long, ".-\x1b[2J\x1b]0;x\a\n", ".-\xff\xfe"} {
		if id := r.create(vfs.Root, name, name); !isLocal(id) {
			t.Errorf("%q went into the library", name)
		}
		r.holds(vfs.Root, name, name)
	}
	for _, name := range []string{"_a", ".a", ".ds_store", ".DS_Store2", "thumbs.db.jpg", "a._b", "Thumbs.d"} {
		if id := r.create(vfs.Root, name, ""); isLocal(id) {
			t.Errorf("%q stayed here", name)
		}
	}
	for _, name := range []string{".-/../../x", ".-a/b", ".-\x00", long + "x"} {
		_, _, err := r.Create(bg, me, vfs.Root, name, 0o600, 0)
		if err == nil {
			t.Errorf("%q was made", name)
		} else if strings.ContainsAny(err.Error(), "\x1b\a\n") {
			t.Errorf("%q shows in an error as it is", name)
		}
	}
	err := r.Unlink(bg, me, vfs.Root, ".-gone\x1b[2J")
	if r.is(err, remote.NotExist); strings.Contains(err.Error(), "\x1b") {
		t.Errorf("the error has a terminal's escapes: %q", err)
	}
}

func TestListOfNames(t *testing.T) {
	inner := openInner(t, mem.New(mem.Options{}), t.TempDir())
	defer inner.Close()
	for _, name := range []string{"", "*", ".", "..", ".*", "..*", "a*b", "a/b", "a\x00", strings.Repeat("x", 256)} {
		if _, err := local.New(inner, local.Options{Dir: t.TempDir(), Names: []string{name}}); remote.KindOf(
			err,
		) != remote.Invalid {
			t.Errorf("%q: %v", name, err)
		}
		if err := local.CheckNames([]string{".-*", name}); remote.KindOf(err) != remote.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := local.CheckNames(local.DefaultNames()); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(t.TempDir(), "local")
	l, err := local.New(inner, local.Options{Dir: dir, Names: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, f, err := l.Create(bg, me, vfs.Root, ".-a", 0o600, 0)
	if err != nil || isLocal(a.ID) {
		t.Errorf("with an empty list: %#x, %v", a.ID, err)
	}
	f.Release()
	if _, err := os.Stat(dir); err == nil {
		t.Error("with an empty list there is a directory")
	}
}

// A folder, symlink or fifo is no dropping, and no two things share a name.
func TestOnlyRegularFiles(t *testing.T) {
	r := newRig(t)
	r.create(vfs.Root, ".-file", "x")
	a, err := r.Symlink(bg, me, vfs.Root, ".-link", []byte("target"))
	r.ok(err)
	r.Forget(a.ID, 1)
	fifo, err := r.Mknod(bg, me, vfs.Root, ".-fifo", unix.S_IFIFO|0o600, 0)
	r.ok(err)
	r.Forget(fifo.ID, 1)
	d := r.mkdir(vfs.Root, ".-folder")
	if isLocal(a.ID) || isLocal(fifo.ID) || isLocal(d) {
		t.Error("something else than a regular file is local")
	}
	reg, err := r.Mknod(bg, me, vfs.Root, ".-reg", 0o600, 0)
	r.ok(err)
	defer r.Forget(reg.ID, 1)
	if !isLocal(reg.ID) || reg.Mode != unix.S_IFREG|0o600 {
		t.Errorf("mknod of a regular file: %+v", reg)
	}
	_, err = r.Mkdir(bg, me, vfs.Root, ".-file", 0o755)
	r.is(err, remote.Exist)
	_, err = r.Symlink(bg, me, vfs.Root, ".-file", []byte("target"))
	r.is(err, remote.Exist)
	_, err = r.Mknod(bg, me, vfs.Root, ".-file", unix.S_IFIFO, 0)
	r.is(err, remote.Exist)
	_, _, err = r.Create(bg, me, vfs.Root, ".-link", 0o600, 0)
	r.is(err, remote.Exist)
	_, err = r.Mknod(bg, me, vfs.Root, ".-folder", unix.S_IFREG, 0)
	r.is(err, remote.Exist)
	r.is(r.Rmdir(bg, me, vfs.Root, ".-file"), remote.NotDir)
	_, err = r.Readlink(bg, reg.ID)
	r.is(err, remote.Invalid)
	_, err = r.OpenDir(bg, reg.ID)
	r.is(err, remote.NotDir)
	in := r.create(vfs.Root, "media", "x")
	_, err = r.Link(bg, me, in, vfs.Root, ".-file")
	r.is(err, remote.Exist)
	l, err := r.Link(bg, me, fifo.ID, vfs.Root, ".-fifo2")
	r.ok(err)
	r.Forget(l.ID, 1)
	_, _, err = r.Create(bg, me, 1<<40|999, ".-x", 0o600, 0)
	r.is(err, remote.NotExist)
	_, _, err = r.Create(bg, me, in, ".-x", 0o600, 0)
	r.is(err, remote.NotDir)
	_, err = r.Lookup(bg, 1<<62|7, ".-x")
	r.is(err, remote.NotExist)
	_, _, err = r.Create(bg, me, 1<<62|7, ".-x", 0o600, 0)
	r.is(err, remote.NotExist) // the inner library's: it has no such folder
}

// A file of the library hides a dropping of its name, which is back when that is gone.
func TestInnerWins(t *testing.T) {
	r := newRig(t)
	r.create(vfs.Root, ".-a", "here")
	a, f, err := r.inner.Create(bg, me, vfs.Root, ".-a", 0o600, unix.O_RDWR) // as another machine would
	r.ok(err)
	_, err = f.Write(bg, []byte("everywhere"), 0)
	r.ok(err)
	r.ok(f.Flush(bg, me))
	f.Release()
	r.inner.Forget(a.ID, 1)
	r.holds(vfs.Root, ".-a", "everywhere")
	if got := r.names(r, vfs.Root); !slices.Equal(got, []string{".-a"}) {
		t.Errorf("listed: %q", got)
	}
	_, _, err = r.Create(bg, me, vfs.Root, ".-a", 0o600, 0)
	r.is(err, remote.Exist)
	r.create(vfs.Root, ".-b", "b")
	r.is(r.Rename(bg, me, vfs.Root, ".-b", vfs.Root, ".-a", vfs.RenameNoReplace), remote.Exist)
	r.ok(r.Rename(bg, me, vfs.Root, ".-a", vfs.Root, "a", 0))
	r.holds(vfs.Root, ".-a", "here")
	r.holds(vfs.Root, "a", "everywhere")
	r.ok(r.Unlink(bg, me, vfs.Root, "a"))
	r.holds(vfs.Root, ".-a", "here")
}

func TestRename(t *testing.T) {
	r := newRig(t)
	d, e := r.mkdir(vfs.Root, "d"), r.mkdir(vfs.Root, "e")
	r.create(d, ".-a", "a")
	r.create(e, ".-b", "b")
	r.create(d, "media", "m")
	r.mkdir(d, "folder")
	move := func(name, newName string, flags uint32) error { return r.Rename(bg, me, d, name, e, newName, flags) }
	r.is(r.Rename(bg, me, d, ".-a", d, "folder", 0), remote.IsDir)
	_, err := r.Lookup(bg, r.stat(d, ".-a").ID, "x")
	r.is(err, remote.NotDir)
	r.is(move("media", ".-b", vfs.RenameNoReplace), remote.Exist)
	r.is(move("media", ".-x", vfs.RenameExchange), remote.NotExist)
	r.is(move("folder", ".-b", 0), remote.NotDir)
	r.is(move(".-gone", ".-x", 0), remote.NotExist)
	r.is(move(".-gone", "x", 0), remote.NotExist)
	r.is(move(".-a", ".-b", vfs.RenameNoReplace), remote.Exist)
	r.is(move(".-a", ".-x", vfs.RenameExchange), remote.NotExist)
	r.is(move(".-a", ".-b", 9), remote.Invalid)
	r.is(r.Rename(bg, me, d, ".-a", 1<<40|999, ".-b", 0), remote.NotExist)
	r.ok(move(".-a", ".-b", vfs.RenameExchange))
	r.holds(d, ".-a", "b")
	r.holds(e, ".-b", "a")
	r.ok(r.Rename(bg, me, d, ".-a", d, ".-a", 0))
	r.holds(d, ".-a", "b")
	r.ok(move(".-a", ".-b", 0))
	r.gone(d, ".-a")
	r.holds(e, ".-b", "b")
	r.ok(r.Rename(bg, me, e, ".-b", d, ".-c", vfs.RenameNoReplace))
	r.holds(d, ".-c", "b")
	if got := r.names(r, e); len(got) != 0 {
		t.Errorf("left in e: %q", got)
	}
	r.ok(move("folder", ".-folder", 0)) // a folder of such a name is no dropping
	r.ok(r.Rename(bg, me, vfs.Root, "d", e, "dd", 0))
	r.holds(d, ".-c", "b") // it goes where its folder goes
}

// A folder with droppings is not empty.
func TestFolderWithDroppings(t *testing.T) {
	r := newRig(t)
	d, e := r.mkdir(vfs.Root, "d"), r.mkdir(vfs.Root, "e")
	r.create(d, ".-a", "a")
	r.is(r.Rmdir(bg, me, vfs.Root, "d"), remote.NotEmpty)
	r.is(r.Rename(bg, me, vfs.Root, "e", vfs.Root, "d", 0), remote.NotEmpty)
	r.ok(r.Rename(bg, me, vfs.Root, "d", vfs.Root, "e", vfs.RenameExchange))
	r.holds(d, ".-a", "a")
	r.ok(r.Rename(bg, me, vfs.Root, "e", vfs.Root, "e", 0))
	r.holds(d, ".-a", "a")
	r.ok(r.Rename(bg, me, vfs.Root, "e", vfs.Root, "d", 0)) // d, under its other name, over the empty e
	r.holds(d, ".-a", "a")
	_, _, err := r.Create(bg, me, e, ".-x", 0o600, 0)
	r.is(err, remote.NotExist)
	r.ok(r.Unlink(bg, me, d, ".-a"))
	r.ok(r.Rmdir(bg, me, vfs.Root, "d"))
	_, _, err = r.Create(bg, me, d, ".-x", 0o600, 0)
	r.is(err, remote.NotExist)
	left, err := os.ReadDir(r.dir)
	r.ok(err)
	if len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// A folder that the kernel still knows, and that was removed, gets no droppings.
func TestRemovedFolder(t *testing.T) {
	r := newRig(t)
	a, err := r.Mkdir(bg, me, vfs.Root, "d", 0o755)
	r.ok(err)
	r.ok(r.Rmdir(bg, me, vfs.Root, "d"))
	_, _, err = r.Create(bg, me, a.ID, ".-x", 0o600, 0)
	r.is(err, remote.NotExist)
	r.create(vfs.Root, ".-y", "")
	r.is(r.Rename(bg, me, vfs.Root, ".-y", a.ID, ".-y", 0), remote.NotExist)
	r.Forget(a.ID, 1)
}

// An unlinked or replaced dropping lives on while it is open or known.
func TestUnlinkedAndOpen(t *testing.T) {
	r := newRig(t)
	for name, end := range map[string]func() error{
		"unlink": func() error { return r.Unlink(bg, me, vfs.Root, ".-a") },
		"rename": func() error { return r.Rename(bg, me, vfs.Root, ".-b", vfs.Root, ".-a", 0) },
	} {
		r.create(vfs.Root, ".-b", "other")
		a, f, err := r.Create(bg, me, vfs.Root, ".-a", 0o600, unix.O_RDWR)
		r.ok(err)
		r.write(f, "bytes", 0)
		r.ok(r.SetXattr(bg, me, a.ID, "user.x", []byte("v"), 0))
		r.ok(end())
		b, err := r.GetAttr(bg, a.ID)
		r.ok(err)
		if b.Nlink != 0 || b.Size != 5 || b.ID != a.ID {
			t.Errorf("%s: %+v", name, b)
		}
		f.Release()
		g, err := r.Open(bg, me, a.ID, unix.O_RDWR) // the kernel knows it still
		r.ok(err)
		p := make([]byte, 9)
		if n, err := g.Read(bg, p, 0); err != nil || string(p[:n]) != "bytes" {
			t.Errorf("%s: %q, %v", name, p[:n], err)
		}
		r.write(g, "more", 5)
		r.ok(g.Fsync(bg))
		if v, err := r.GetXattr(bg, a.ID, "user.x"); err != nil || string(v) != "v" {
			t.Errorf("%s: %q, %v", name, v, err)
		}
		r.Forget(a.ID, 1)
		if n, err := g.Read(bg, p, 0); err != nil || string(p[:n]) != "bytesmore" {
			t.Errorf("%s: %q, %v", name, p[:n], err)
		}
		g.Release()
		_, err = r.GetAttr(bg, a.ID)
		r.is(err, remote.NotExist)
		if n := r.References(); n != 0 {
			t.Errorf("%s: %d droppings are still known", name, n)
		}
		if name == "rename" {
			r.holds(vfs.Root, ".-a", "other")
			r.ok(r.Unlink(bg, me, vfs.Root, ".-a"))
		} else {
			r.ok(r.Unlink(bg, me, vfs.Root, ".-b"))
		}
	}
}

// The same where nobody has it open: the kernel may open it by its id as long as it knows that.
func TestUnlinkedAndKnown(t *testing.T) {
	r := newRig(t)
	for name, end := range map[string]func() error{
		"unlink": func() error { return r.Unlink(bg, me, vfs.Root, ".-a") },
		"rename": func() error { return r.Rename(bg, me, vfs.Root, ".-b", vfs.Root, ".-a", 0) },
	} {
		r.create(vfs.Root, ".-a", "bytes")
		r.create(vfs.Root, ".-b", "other")
		a, err := r.Lookup(bg, vfs.Root, ".-a")
		r.ok(err)
		r.ok(end())
		f, err := r.Open(bg, me, a.ID, unix.O_RDONLY)
		r.ok(err)
		p := make([]byte, 9)
		if n, err := f.Read(bg, p, 0); err != nil || string(p[:n]) != "bytes" {
			t.Errorf("%s: %q, %v", name, p[:n], err)
		}
		f.Release()
		r.Forget(a.ID, 1)
		for _, left := range r.names(r, vfs.Root) {
			r.ok(r.Unlink(bg, me, vfs.Root, left))
		}
	}
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
}

func TestAttributes(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	mode, gid := uint32(0o2775), uint32(77)
	_, err := r.SetAttr(bg, me, d, nil, vfs.AttrChange{Mode: &mode, GID: &gid})
	r.ok(err)
	a, f, err := r.Create(bg, me, d, ".-a", 0, unix.O_RDWR)
	r.ok(err)
	if a.GID != 77 || a.UID != me.UID || a.Mode != unix.S_IFREG {
		t.Errorf("in a folder with setgid: %+v", a)
	}
	set := func(ch vfs.AttrChange) vfs.Attr {
		t.Helper()
		a, err := r.SetAttr(bg, me, a.ID, f, ch)
		r.ok(err)
		return a
	}
	m, uid := uint32(unix.S_IFDIR|0o6755), uint32(4242)
	if a := set(vfs.AttrChange{Mode: &m}); a.Mode != unix.S_IFREG|0o6755 {
		t.Errorf("mode %o", a.Mode)
	}
	if a := set(vfs.AttrChange{UID: &uid}); a.Mode != unix.S_IFREG|0o755 || a.UID != uid || a.GID != 77 {
		t.Errorf("after a chown: %+v", a)
	}
	at, mt := vfs.Time{Sec: 981173106, Nsec: 123456789}, vfs.Time{Sec: -3600, Nsec: 5}
	if a := set(vfs.AttrChange{Atime: &at, Mtime: &mt}); a.Atime != at || a.Mtime != mt {
		t.Errorf("times %v, %v", a.Atime, a.Mtime)
	}
	mt.Sec = 7
	if a := set(vfs.AttrChange{Mtime: &mt}); a.Atime != at || a.Mtime != mt {
		t.Errorf("times %v, %v", a.Atime, a.Mtime)
	}
	size := int64(1 << 20)
	if a := set(vfs.AttrChange{Size: &size}); a.Size != size || a.Blocks > 64 {
		t.Errorf("%+v", a)
	}
	if at, err := f.Seek(bg, 1, unix.SEEK_HOLE); err != nil || at >= size {
		t.Errorf("hole at %d, %v", at, err)
	}
	_, err = f.Seek(bg, size, unix.SEEK_DATA)
	if r.is(err, remote.Invalid); !strings.Contains(err.Error(), vfs.ErrNoData.Error()) {
		t.Errorf("%v", err)
	}
	r.ok(f.Allocate(bg, vfs.AllocateKeepSize, size, 4096))
	r.ok(f.Allocate(bg, vfs.AllocatePunchHole|vfs.AllocateKeepSize, 0, 4096))
	r.is(f.Allocate(bg, 0x40, 0, 4096), remote.Unsupported)
	f.Release()
	r.Forget(a.ID, 1)
	r.reopen()
	if a := r.stat(d, ".-a"); a.Mode != unix.S_IFREG|0o755 || a.UID != uid || a.GID != 77 || a.Size != size {
		t.Errorf("after a restart: %+v", a)
	}
}

func TestXattrs(t *testing.T) {
	r := newRig(t)
	a, f, err := r.Create(bg, me, vfs.Root, ".-a", 0o600, 0)
	r.ok(err)
	defer f.Release()
	const own = "user.mediafs.local"
	big := bytes.Repeat([]byte("v"), 2000)
	r.ok(r.SetXattr(bg, me, a.ID, "user.big", big, 0))
	if v, err := r.GetXattr(bg, a.ID, "user.big"); err != nil || !bytes.Equal(v, big) {
		t.Errorf("%d bytes, %v", len(v), err)
	}
	r.ok(r.SetXattr(bg, me, a.ID, "user.empty", nil, vfs.XattrCreate))
	r.is(r.SetXattr(bg, me, a.ID, "user.empty", nil, vfs.XattrCreate), remote.Exist)
	r.is(r.SetXattr(bg, me, a.ID, "user.none", nil, vfs.XattrReplace), remote.NoAttribute)
	r.is(r.SetXattr(bg, me, a.ID, own, []byte("1 0 0 6777"), 0), remote.Permission)
	r.is(r.SetXattr(bg, me, a.ID, "trusted.x", nil, 0), remote.Unsupported)
	r.is(r.SetXattr(bg, me, a.ID, "security.capability", nil, 0), remote.Unsupported)
	r.is(r.SetXattr(bg, me, a.ID, "user.x", nil, 4), remote.Invalid)
	for _, name := range []string{"system.x", "plain", "user.", "trusted."} {
		r.is(r.SetXattr(bg, me, a.ID, name, nil, 0), remote.Unsupported)
		_, err := r.GetXattr(bg, a.ID, name)
		r.is(err, remote.Unsupported)
		r.is(r.RemoveXattr(bg, me, a.ID, name), remote.Unsupported)
	}
	for _, name := range []string{own, "user.mediafs.acl", "security.capability", "user.none"} {
		_, err := r.GetXattr(bg, a.ID, name)
		r.is(err, remote.NoAttribute)
		r.is(r.RemoveXattr(bg, me, a.ID, name), remote.NoAttribute)
	}
	names, err := r.ListXattr(bg, a.ID)
	r.ok(err)
	if slices.Sort(names); !slices.Equal(names, []string{"user.big", "user.empty"}) {
		t.Errorf("listed: %q", names)
	}
	r.ok(r.RemoveXattr(bg, me, a.ID, "user.big"))
	names, err = r.ListXattr(bg, a.ID)
	r.ok(err)
	if !slices.Equal(names, []string{"user.empty"}) {
		t.Errorf("listed: %q", names)
	}
}

func TestCopyRange(t *testing.T) {
	r := newRig(t)
	_, f, err := r.Create(bg, me, vfs.Root, ".-a", 0o600, unix.O_RDWR)
	r.ok(err)
	defer f.Release()
	_, g, err := r.Create(bg, me, vfs.Root, ".-b", 0o600, unix.O_RDWR)
	r.ok(err)
	defer g.Release()
	_, h, err := r.Create(bg, me, vfs.Root, "media", 0o600, unix.O_RDWR)
	r.ok(err)
	defer h.Release()
	r.write(f, "0123456789", 0)
	n, err := g.CopyRange(bg, f, 4, 1, 100)
	if err != nil || n != 6 {
		t.Errorf("%d, %v", n, err)
	}
	r.holds(vfs.Root, ".-b", "\x00456789")
	if n, err := g.CopyRange(bg, f, 10, 0, 5); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	_, err = h.CopyRange(bg, f, 0, 0, 5)
	r.is(err, remote.Unsupported) // the kernel then reads and writes
	_, err = f.CopyRange(bg, h, 0, 0, 5)
	r.is(err, remote.Unsupported)
}

// Another machine sees nothing of droppings, and its own are its own.
func TestTwoMachines(t *testing.T) {
	b := mem.New(mem.Options{})
	type machine struct {
		*rig
	}
	var ms []machine
	for range 2 {
		inner := openInner(t, b, t.TempDir())
		defer inner.Close()
		r := &rig{T: t, inner: inner, dir: filepath.Join(t.TempDir(), "local")}
		r.reopen()
		defer r.Library.Close()
		ms = append(ms, machine{r})
	}
	keys := func() int {
		page, _, err := b.List(bg, "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	before := keys()
	for i := range 20 {
		ms[0].create(vfs.Root, fmt.Sprintf(".-%d", i), "bytes")
	}
	ms[0].ok(ms[0].inner.Flush(bg))
	if n := keys(); n != before {
		t.Errorf("%d objects more in the store", n-before)
	}
	if got := ms[1].names(ms[1], vfs.Root); len(got) != 0 {
		t.Errorf("the other machine sees %q", got)
	}
	ms[1].create(vfs.Root, ".-0", "mine")
	ms[0].holds(vfs.Root, ".-0", "bytes")
	ms[1].holds(vfs.Root, ".-0", "mine")
}
