package view

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// give sets the access control list of a node, and the mode with it.
func (r *rig) give(id vfs.ID, l acl.List) {
	r.f.set(id, func(n *fakeNode) { n.list, n.attr.Mode = l.Bytes(), l.Mode(n.attr.Mode) })
}

// forBob is a list that names bob, and has nothing for the group that the mode speaks of.
func forBob(perm uint32) acl.List {
	return acl.List{
		{Tag: acl.Owner, Perm: 7},
		{Tag: acl.User, Perm: perm, ID: bob},
		{Tag: acl.Group},
		{Tag: acl.Mask, Perm: 7},
		{Tag: acl.Other},
	}
}

// Access control lists decide in views who is shown what, and not the mode, whose digit for the
// group is a mask then.
func TestListsDecide(t *testing.T) {
	r := newRig(t)
	open, closed := r.f.add("/open", folded, ""), r.f.add("/closed", folded, "")
	r.f.set(open, func(n *fakeNode) { n.attr.GID = friends })
	r.f.set(closed, func(n *fakeNode) { n.attr.GID = friends })
	r.give(closed, forBob(5)) // ann's group has nothing by it
	for _, p := range []string{"/open/a.jpg", "/open/b.jpg", "/closed/c.jpg"} {
		id := r.f.add(p, reg, "")
		r.f.set(id, func(n *fakeNode) {
			n.attr.Mode, n.attr.GID, n.media.Tags = unix.S_IFREG|0o644, friends, []string{"all"}
			n.versions = []vfs.Version{{Number: 1, Size: 3}}
			n.old = map[uint64][]byte{1: []byte("old")}
		})
	}
	b := r.f.walk("/open/b.jpg").attr.ID
	r.give(b, forBob(6))
	shown := map[uint32][]string{0: {"a.jpg", "b.jpg", "c.jpg"}, ann: {"a.jpg"}, bob: {"a.jpg", "b.jpg", "c.jpg"}}
	for uid, names := range shown {
		r.lists(uid, ".media/search/jpg", names...)
		r.lists(uid, ".media/tags/all", names...)
		r.lists(uid, ".media/latest", names...)
	}
	// Who may write may tag.
	all := r.must(bob, ".media/tags/all").ID
	r.kind("untag with the right", r.l.Unlink(as(bob), caller(bob), all, "b.jpg"), 0)
	r.kind("untag without", r.l.Unlink(as(bob), caller(bob), all, "a.jpg"), remote.Permission)
	r.give(b, forBob(4))
	r.f.set(b, func(n *fakeNode) { n.media.Tags = []string{"all"} })
	r.kind("untag with the right to read", r.l.Unlink(as(bob), caller(bob), all, "b.jpg"), remote.Permission)

	// An archive holds only what its reader may read.
	for uid, want := range map[uint32]remote.Kind{0: remote.Other, ann: remote.Permission, bob: remote.Other} {
		a, err := r.at(uid, ".media/zip/open.zip") // stat tells its size, which is for the same readers
		var f vfs.File
		if err == nil {
			f, err = r.l.Open(as(uid), caller(uid), a.ID, unix.O_RDONLY)
		}
		r.kind(fmt.Sprint(uid, " opens an archive"), err, want)
		if err == nil {
			f.Release()
		}
	}
}

// The kernel is told the list of what a node of a view stands for, so that it lets the same users
// in.
func TestListsOfViews(t *testing.T) {
	r := newRig(t)
	dir := r.f.add("/dir", folded, "")
	id := r.f.add("/dir/a.jpg", reg, "")
	r.f.set(id, func(n *fakeNode) {
		n.versions = []vfs.Version{{Number: 1, Size: 3}}
		n.old = map[uint64][]byte{1: []byte("old")}
	})
	get := func(p string) (acl.List, vfs.Attr, error) {
		t.Helper()
		a := r.must(0, p)
		b, err := r.l.GetXattr(context.Background(), a.ID, acl.Access)
		if err != nil {
			return nil, a, err
		}
		l, err := acl.Parse(b)
		return l, a, err
	}
	paths := map[string]uint32{ // and what is left of rwx
		".media/info/dir":            5,
		".media/zip/dir":             5,
		".media/versions/dir":        5,
		".media/versions/dir/a.jpg":  5,
		".media/info/dir/a.jpg.json": 4,
		".media/zip/dir/a.jpg.zip":   4,
		".media/zip/dir.zip":         4,
	}
	for _, name := range r.list(0, ".media/versions/dir/a.jpg") {
		paths[".media/versions/dir/a.jpg/"+name] = 4
	}
	if len(paths) != 8 {
		t.Fatalf("%v", paths)
	}
	for p := range paths {
		_, _, err := get(p)
		r.kind(p, err, remote.NoAttribute)
	}
	r.give(dir, forBob(7))
	r.give(id, forBob(7))
	for p, left := range paths {
		l, a, err := get(p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if l[1].Perm != left || l[1].ID != bob || l.Mode(a.Mode) != a.Mode {
			t.Errorf("%s: %v with mode %o", p, l, a.Mode)
		}
	}
	// A folder of versions can be searched by who may read the media, and by nobody else.
	r.give(
		id,
		acl.List{
			{Tag: acl.Owner, Perm: 6},
			{Tag: acl.User, Perm: 4, ID: bob},
			{Tag: acl.User, Perm: 3, ID: ann},
			{Tag: acl.Group},
			{Tag: acl.Mask, Perm: 7},
			{Tag: acl.Other},
		},
	)
	if l, a, err := get(
		".media/versions/dir/a.jpg",
	); err != nil || l[1].Perm != 5 || l[2].Perm != 0 ||
		l.Mode(a.Mode) != a.Mode {
		t.Errorf("%v with %o, %v", l, a.Mode, err)
	}
	// What stands for no node has none, and none can be set.
	a := r.must(0, ".media/tags")
	_, err := r.l.GetXattr(context.Background(), a.ID, acl.Access)
	r.kind("get", err, remote.NoAttribute)
	_, err = r.l.GetXattr(context.Background(), a.ID, "system.x")
	r.kind("get", err, remote.Unsupported)
	r.kind(
		"set", r.l.SetXattr(context.Background(), caller(0), a.ID, acl.Access, forBob(7).Bytes(), 0),
		remote.Unsupported,
	)
	r.kind("remove", r.l.RemoveXattr(context.Background(), caller(0), a.ID, "system.x"), remote.Unsupported)
	r.kind("remove", r.l.RemoveXattr(context.Background(), caller(0), a.ID, "user.x"), remote.NoAttribute)
}
