package local_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

func listFor(uid, perm, mask uint32) acl.List {
	return acl.List{
		{Tag: acl.Owner, Perm: 6},
		{Tag: acl.User, Perm: perm, ID: uid},
		{Tag: acl.Group},
		{Tag: acl.Mask, Perm: mask},
		{Tag: acl.Other, Perm: 4},
	}
}

// Droppings have access control lists as the library's files do, also those that they inherit, and
// keep them over a restart.
func TestLists(t *testing.T) {
	r := newRig(t)
	id := r.create(vfs.Root, ".DS_Store", "bytes")
	has := func(name string, mode uint32, want acl.List) {
		t.Helper()
		a, err := r.Lookup(bg, vfs.Root, name)
		r.ok(err)
		defer r.Forget(a.ID, 1)
		got, err := r.GetXattr(bg, a.ID, acl.Access)
		names, lerr := r.ListXattr(bg, a.ID)
		r.ok(lerr)
		if listed := slices.Contains(names, acl.Access); listed != (want != nil) ||
			slices.Contains(names, "user.mediafs.acl") {
			t.Errorf("%s: listed %q", name, names)
		}
		if want == nil {
			r.is(err, remote.NoAttribute)
		} else if r.ok(err); string(got) != string(want.Bytes()) {
			t.Errorf("%s: % x", name, got)
		}
		if a.Mode&0o7777 != mode {
			t.Errorf("%s: mode %o, want %o", name, a.Mode&0o7777, mode)
		}
	}
	a, err := r.Lookup(bg, vfs.Root, ".DS_Store")
	r.ok(err)
	has(".DS_Store", 0o640, nil)
	r.ok(r.RemoveXattr(bg, me, id, acl.Access))
	r.ok(r.SetXattr(bg, me, id, acl.Access, listFor(7, 6, 6).Bytes(), 0))
	has(".DS_Store", 0o664, listFor(7, 6, 6))
	r.Forget(a.ID, 1)
	r.reopen()
	has(".DS_Store", 0o664, listFor(7, 6, 6))
	mode := uint32(0o2640)
	a, err = r.Lookup(bg, vfs.Root, ".DS_Store")
	r.ok(err)
	_, err = r.SetAttr(bg, me, a.ID, nil, vfs.AttrChange{Mode: &mode})
	r.ok(err)
	want := listFor(7, 6, 4)
	want[4].Perm = 0
	has(".DS_Store", 0o2640, want)
	r.ok(r.SetXattr(bg, me, a.ID, acl.Access, listFor(7, 6, 6).Bytes(), vfs.XattrClearSetgid))
	has(".DS_Store", 0o664, listFor(7, 6, 6))
	r.is(r.SetXattr(bg, me, a.ID, acl.Access, []byte("x"), 0), remote.Invalid)
	r.is(r.SetXattr(bg, me, a.ID, acl.Default, listFor(7, 6, 6).Bytes(), 0), remote.Permission)
	r.ok(
		r.SetXattr(
			bg, me, a.ID, acl.Access,
			acl.List{{Tag: acl.Owner, Perm: 6}, {Tag: acl.Group, Perm: 4}, {Tag: acl.Other}}.Bytes(), 0,
		),
	)
	has(".DS_Store", 0o640, nil)
	r.ok(r.SetXattr(bg, me, a.ID, acl.Access, listFor(7, 6, 6).Bytes(), 0))
	r.ok(r.RemoveXattr(bg, me, a.ID, acl.Access))
	has(".DS_Store", 0o664, nil)
	r.Forget(a.ID, 1)

	// What is made gets the folder's list, or else what the umask leaves.
	masked := me
	masked.Umask = 0o077
	b, f, err := r.Create(bg, masked, vfs.Root, "Thumbs.db", 0o666, 0)
	r.ok(err)
	f.Release()
	r.Forget(b.ID, 1)
	has("Thumbs.db", 0o600, nil)
	r.ok(r.inner.SetXattr(bg, vfs.Caller{}, vfs.Root, acl.Default, listFor(9, 7, 7).Bytes(), 0))
	c, err := r.Mknod(bg, masked, vfs.Root, "desktop.ini", 0o660, 0)
	r.ok(err)
	r.Forget(c.ID, 1)
	want = listFor(9, 7, 6)
	want[4].Perm = 0
	has("desktop.ini", 0o660, want)

	// With a list that cannot be read a file is its owner's alone.
	found, err := filepath.Glob(filepath.Join(r.dir, "*", "desktop.ini"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	r.ok(unix.Setxattr(found[0], "user.mediafs.acl", []byte("damaged"), 0))
	has("desktop.ini", 0o600, nil)
}

// What others set of attributes leaves room for the owner's, and an owner can be set when there is
// none.
func TestXattrRoom(t *testing.T) {
	r := newRig(t)
	id := r.create(vfs.Root, ".DS_Store", "bytes")
	a, err := r.Lookup(bg, vfs.Root, ".DS_Store")
	r.ok(err)
	defer r.Forget(a.ID, 1)
	fill := func(c vfs.Caller, size int) (n int) {
		t.Helper()
		for ; n < 300; n++ {
			err := r.SetXattr(bg, c, id, fmt.Sprint("user.", c.UID, ".", n), make([]byte, size), 0)
			if errors.Is(err, remote.NoSpace) {
				return n
			}
			r.ok(err)
		}
		return n
	}
	if n := fill(vfs.Caller{UID: 99}, 1); n != 32 {
		t.Errorf("a stranger set %d", n)
	}
	r.is(r.SetXattr(bg, vfs.Caller{UID: 99}, id, "user.big", make([]byte, 3000), 0), remote.NoSpace)
	r.ok(r.SetXattr(bg, vfs.Caller{UID: 99}, id, "user.99.0", []byte("y"), 0))
	r.ok(r.SetXattr(bg, me, id, "user.mine", make([]byte, 200), 0))
	r.ok(r.SetXattr(bg, me, id, acl.Access, listFor(7, 6, 6).Bytes(), 0))
	r.ok(r.SetXattr(bg, vfs.Caller{}, id, "user.root", nil, 0))
	r.ok(r.RemoveXattr(bg, me, id, "user.99.1"))
	fill(me, 100) // the disk's limit, or what this test asks for
	uid, gid := uint32(4_000_000_000), uint32(4_000_000_000)
	if got, err := r.SetAttr(bg, me, id, nil, vfs.AttrChange{UID: &uid, GID: &gid}); err != nil || got.UID != uid {
		t.Errorf("%+v, %v", got, err)
	}
}

// A dropping that enters the library, and a file that leaves it, take their lists along and no
// other.
func TestListsCross(t *testing.T) {
	r := newCrossing(t)
	r.ok(r.inner.SetXattr(bg, vfs.Caller{}, vfs.Root, acl.Default, listFor(9, 7, 7).Bytes(), 0))
	want := listFor(7, 6, 6).Bytes()
	has := func(lib vfs.Library, name string, want []byte) {
		t.Helper()
		a, err := lib.Lookup(bg, vfs.Root, name)
		r.ok(err)
		defer lib.Forget(a.ID, 1)
		got, err := lib.GetXattr(bg, a.ID, acl.Access)
		if want == nil {
			r.is(err, remote.NoAttribute)
		} else if r.ok(err); string(got) != string(want) {
			t.Errorf("%s: % x, want % x", name, got, want)
		}
	}
	set := func(name string, list []byte) {
		t.Helper()
		a, err := r.Lookup(bg, vfs.Root, name)
		r.ok(err)
		defer r.Forget(a.ID, 1)
		if list == nil {
			r.ok(r.RemoveXattr(bg, me, a.ID, acl.Access))
		} else {
			r.ok(r.SetXattr(bg, me, a.ID, acl.Access, list, 0))
		}
	}
	for name, list := range map[string][]byte{"with": want, "without": nil} {
		r.create(vfs.Root, "._"+name, double)
		set("._"+name, list)
		r.ok(r.Rename(bg, me, vfs.Root, "._"+name, vfs.Root, name, 0))
		has(r.inner, name, list)

		r.create(vfs.Root, "new "+name, "bytes")
		set("new "+name, list)
		r.ok(r.Rename(bg, me, vfs.Root, "new "+name, vfs.Root, ".DS_Store", 0))
		if side := r.side(vfs.Root, ".DS_Store"); side != "here" {
			t.Errorf("it lies %q", side)
		}
		has(r, ".DS_Store", list)
		r.ok(r.Unlink(bg, me, vfs.Root, ".DS_Store"))
	}
}
