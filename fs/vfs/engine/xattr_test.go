package engine_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

var (
	owner    = vfs.Caller{UID: 1000, GID: 100}
	stranger = vfs.Caller{UID: 2000, GID: 200}
	root     = vfs.Caller{}
)

// Names of no namespace cannot be set by anybody. Those that an earlier version took are for the
// owner and root, who can be rid of them.
func TestNamespaces(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("a", "bytes")
	id := s.stat("a").ID
	is := func(what string, err error, k remote.Kind) {
		t.Helper()
		if !errors.Is(err, k) {
			t.Errorf("%s: %v, want %v", what, err, k)
		}
	}
	for _, name := range []string{"system.x", "system.nfs4_acl", "plain", ".", "user", "user.", "trusted.", "security.", "System.x"} {
		for _, c := range []vfs.Caller{owner, stranger, root} {
			ctx := vfs.WithCaller(bg, c)
			_, err := s.GetXattr(ctx, id, name)
			is(fmt.Sprint("get ", name), err, remote.Unsupported)
			is(fmt.Sprint("set ", name), s.SetXattr(ctx, c, id, name, nil, 0), remote.Unsupported)
			is(fmt.Sprint("remove ", name), s.RemoveXattr(ctx, c, id, name), remote.Unsupported)
		}
	}
	if err := s.Update(bg, func(tx *catalog.Tx) error {
		for i := range 256 {
			tx.Store(record.XattrKey(id, fmt.Sprint("system.", i)), &record.Xattr{Value: []byte("x")})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	listed := func(c vfs.Caller) []string {
		t.Helper()
		names, err := s.ListXattr(vfs.WithCaller(bg, c), id)
		s.ok(err)
		return names
	}
	_, err := s.GetXattr(vfs.WithCaller(bg, stranger), id, "system.7")
	is("a stranger reads", err, remote.Unsupported)
	is("a stranger removes", s.RemoveXattr(bg, stranger, id, "system.7"), remote.Unsupported)
	if n := len(listed(stranger)); n != 0 {
		t.Errorf("a stranger is shown %d names", n)
	}
	is("the owner sets", s.SetXattr(bg, owner, id, "system.7", []byte("y"), 0), remote.Unsupported)
	is("too many", s.SetXattr(bg, owner, id, "user.mine", nil, 0), remote.NoSpace)
	for _, c := range []vfs.Caller{owner, root} {
		names := listed(c)
		if !slices.Contains(names, "system.7") {
			t.Errorf("%d is shown %q", c.UID, names)
		}
		for _, name := range names[:len(names)/2] {
			v, err := s.GetXattr(vfs.WithCaller(bg, c), id, name)
			if err != nil || string(v) != "x" {
				t.Errorf("%s: %q, %v", name, v, err)
			}
			s.ok(s.RemoveXattr(bg, c, id, name))
		}
	}
	s.ok(s.SetXattr(bg, owner, id, "user.mine", nil, 0))
}

// What others have set leaves room for the owner and root, and what anybody has set leaves room for
// access control lists.
func TestXattrRoom(t *testing.T) {
	list := acl.List{
		{Tag: acl.Owner, Perm: 6},
		{Tag: acl.User, Perm: 4, ID: 7},
		{Tag: acl.Group},
		{Tag: acl.Mask, Perm: 4},
		{Tag: acl.Other},
	}.Bytes()
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	fill := func(c vfs.Caller, id vfs.ID, size int) (n int) {
		t.Helper()
		for ; ; n++ {
			err := s.SetXattr(bg, c, id, fmt.Sprint("user.", c.UID, ".", n), make([]byte, size), 0)
			if errors.Is(err, remote.NoSpace) {
				return n
			}
			s.ok(err)
		}
	}
	for _, size := range []int{1, 20_000} {
		name := fmt.Sprint("of ", size)
		s.write(name, "bytes")
		id := s.stat(name).ID
		most, share := 254, 192
		if size > 1 {
			most, share = 13, 9
		}
		if n := fill(stranger, id, size); n != share {
			t.Errorf("%d bytes: a stranger set %d", size, n)
		}
		if n := fill(owner, id, size); n != most-share {
			t.Errorf("%d bytes: the owner set %d", size, n)
		}
		// What is there can change; and rights can be set.
		s.ok(s.SetXattr(bg, stranger, id, "user.2000.0", make([]byte, size), 0))
		s.ok(s.SetXattr(bg, owner, id, "user.1000.0", nil, 0))
		s.ok(s.SetXattr(bg, owner, id, acl.Access, list, 0))
		s.ok(s.RemoveXattr(bg, owner, id, "user.2000.0"))
		if n := fill(root, id, size/2); n == 0 {
			t.Errorf("%d bytes: root set none", size)
		}
		s.ok(s.Unlink(bg, me, vfs.Root, name))
		if _, err := s.GetXattr(bg, id, "user.1000.0"); !errors.Is(err, remote.NoAttribute) &&
			!errors.Is(err, remote.NotExist) {
			t.Errorf("after it was deleted: %v", err)
		}
	}
	d, err := s.Mkdir(bg, owner, vfs.Root, "d", 0o755)
	s.ok(err)
	fill(owner, d.ID, 1)
	s.ok(s.SetXattr(bg, owner, d.ID, acl.Access, list, 0))
	s.ok(s.SetXattr(bg, owner, d.ID, acl.Default, list, 0))
	s.ok(s.Rmdir(bg, owner, vfs.Root, "d"))
	s.Forget(d.ID, 1)
}

// A file that is written while another machine deletes it comes back without its list, and gives
// nobody more than the list gave.
func TestListOfWhatComesBack(t *testing.T) {
	list := acl.List{
		{Tag: acl.Owner, Perm: 6},
		{Tag: acl.User, Perm: 6, ID: 7},
		{Tag: acl.User, ID: 8},
		{Tag: acl.Group},
		{Tag: acl.Mask, Perm: 6},
		{Tag: acl.Other, Perm: 4},
	}.Bytes()
	b := mem.New(mem.Options{})
	line, d := storetest.New(b), t.TempDir()
	s := openMachine(t, line, d).with(t)
	s.write("a", "first")
	id := s.stat("a").ID
	s.ok(s.SetXattr(bg, owner, id, acl.Access, list, 0))
	if m := s.stat("a").Mode & 0o777; m != 0o664 {
		t.Errorf("%o", m)
	}
	f := s.open("a", os.O_WRONLY)
	s.put(f, "second", 0)
	dead := copyDir(t, d)
	line.SetDown(true)
	f.Release()
	s.ok(s.Close())

	o := openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.Trash = 0 }).with(t)
	s.ok(o.Unlink(bg, owner, vfs.Root, "a"))
	s.ok(o.Close())
	again := openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	defer again.Close()
	again.ok(again.Flush(bg))
	if got := again.read("a"); got != "second" {
		t.Errorf("it came back with %q", got)
	}
	if mode := again.stat("a").Mode & 0o777; mode != 0o600 {
		t.Errorf("it came back with the mode %o", mode)
	}
}
