package local_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A dropping is found by its number, in this process and the next, until it is deleted; the next
// file of the disk's inode number is another one.
func TestLookupByNumber(t *testing.T) {
	r := newRig(t)
	folder := r.mkdir(vfs.Root, "folder")
	r.create(folder, "desktop.ini", "x")
	id := r.create(folder, ".DS_Store", "bytes")
	if id>>61 != 3 {
		t.Fatalf("number %x is none of a file that stays here", id)
	}
	found := func() vfs.Attr {
		t.Helper()
		a, err := r.Lookup(bg, id, ".")
		r.ok(err)
		up, err := r.Lookup(bg, id, "..")
		r.ok(err)
		if a.ID != id || a.Size != 5 || up.ID != folder {
			t.Errorf("number %x is %+v in folder %d", id, a, up.ID)
		}
		r.Forget(a.ID, 1)
		r.Forget(up.ID, 1)
		return a
	}
	first := found()
	r.reopen()
	if a := found(); a.Generation != first.Generation {
		t.Errorf("generation %d, then %d", first.Generation, a.Generation)
	}
	r.ok(r.Rename(bg, me, folder, ".DS_Store", vfs.Root, "Thumbs.db", 0))
	folder = vfs.Root
	found()
	r.ok(r.Unlink(bg, me, vfs.Root, "Thumbs.db"))
	for range 2 {
		for _, name := range []string{".", ".."} {
			_, err := r.Lookup(bg, id, name)
			r.is(err, remote.Stale)
		}
		r.reopen()
	}
	again := r.create(vfs.Root, "desktop.ini", "other")
	a, err := r.Lookup(bg, again, ".")
	r.ok(err)
	if a.ID == id && a.Generation == first.Generation {
		t.Errorf("another file has number %x and generation %d as well", id, a.Generation)
	}
	r.Forget(a.ID, 1)
}

// Files without a name belong to the library, and a dropping leaves no whiteout.
func TestUnnamedAndWhiteouts(t *testing.T) {
	r := newRig(t)
	a, f, err := r.Tmpfile(bg, me, vfs.Root, 0o644, unix.O_RDWR)
	r.ok(err)
	r.write(f, "bytes", 0)
	_, err = r.Link(bg, me, a.ID, vfs.Root, "x")
	r.ok(err)
	f.Release()
	r.Forget(a.ID, 2)
	r.create(vfs.Root, "Thumbs.db", "bytes")
	r.is(r.Rename(bg, me, vfs.Root, "Thumbs.db", vfs.Root, "desktop.ini", vfs.RenameWhiteout), remote.Invalid)
	r.ok(r.Rename(bg, me, vfs.Root, "x", vfs.Root, "y", vfs.RenameWhiteout))
	w, err := r.Lookup(bg, vfs.Root, "x")
	r.ok(err)
	if w.Mode != unix.S_IFCHR {
		t.Errorf("the whiteout is %+v", w)
	}
	r.Forget(w.ID, 1)
}
