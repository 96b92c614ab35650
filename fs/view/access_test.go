package view

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

func TestPermissions(t *testing.T) {
	r := newRig(t)
	open := r.f.add("/open", folded, "")
	closed := r.f.add("/closed", folded, "")
	r.f.set(closed, func(n *fakeNode) { n.attr.Mode, n.attr.GID = unix.S_IFDIR|0o750, friends })
	own := r.f.add("/own", folded, "")
	r.f.set(own, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|0o700, bob })
	never := r.f.add("/closed/never", folded, "")
	r.f.set(never, func(n *fakeNode) { n.attr.Mode = unix.S_IFDIR | 0o600 })
	for i, p := range []string{"/open/o.jpg", "/closed/c.jpg", "/own/w.jpg", "/closed/never/n.jpg"} {
		id := r.f.add(p, reg, "")
		r.f.set(id, func(n *fakeNode) { n.media.Tags = []string{"all", fmt.Sprint("t", i)} })
	}
	shown := map[uint32][]string{
		0:   {"o.jpg", "c.jpg", "w.jpg", "n.jpg"},
		ann: {"o.jpg", "c.jpg"},
		bob: {"o.jpg", "w.jpg"},
	}
	for uid, names := range shown {
		r.lists(uid, ".media/search/jpg", names...)
		r.lists(uid, ".media/latest", names...)
		for i, name := range []string{"o.jpg", "c.jpg", "w.jpg", "n.jpg"} {
			_, err := r.at(uid, ".media/search/jpg/"+name)
			_, tagErr := r.at(uid, fmt.Sprint(".media/tags/t", i))
			want := remote.NotExist
			if slices.Contains(names, name) {
				want = remote.Other
			}
			r.kind(fmt.Sprint(uid, " looks for ", name), err, want)
			r.kind(fmt.Sprint(uid, " looks for the tag of ", name), tagErr, want)
			id := r.f.walk([]string{"/open/o.jpg", "/closed/c.jpg", "/own/w.jpg", "/closed/never/n.jpg"}[i]).attr.ID
			_, err = r.at(uid, fmt.Sprintf(".media/info/id/%032x.json", id))
			r.kind(fmt.Sprint(uid, " looks for the record of ", name), err, want)
			_, err = r.at(uid, ".media/search/jpg/"+suffixed(name, id))
			r.kind(fmt.Sprint(uid, " looks by number for ", name), err, want)
		}
	}
	tags := r.list(ann, ".media/tags")
	if !slices.Equal(tags, []string{"all", "t0", "t1"}) {
		t.Errorf("%q", tags)
	}
	// The library's own work sees all.
	if a, err := r.l.Lookup(context.Background(), r.must(0, ".media/search/jpg").ID, "n.jpg"); err != nil {
		t.Error(err)
	} else {
		r.hold(a)
	}
	// A second name that can be reached is shown, under that name.
	r.f.mu.Lock()
	r.f.name(r.f.nodes[open], "visible.jpg", r.f.walk("/own/w.jpg").attr.ID)
	r.f.mu.Unlock()
	r.lists(ann, ".media/search/jpg", "o.jpg", "c.jpg", "visible.jpg")

	// Mirrored folders have the modes of the tree, with which the kernel keeps others out.
	if a := r.must(0, ".media/info/own"); a.Mode != unix.S_IFDIR|0o500 || a.UID != bob {
		t.Errorf("%o of %d", a.Mode, a.UID)
	}
	// Who may not write may not tag.
	o := r.f.walk("/open/o.jpg").attr.ID
	all := r.must(bob, ".media/tags/all").ID
	r.kind("untag", r.l.Unlink(as(bob), caller(bob), all, "o.jpg"), remote.Permission)
	r.kind(
		"rename a tag",
		r.l.Rename(as(bob), caller(bob), r.must(bob, ".media/tags").ID, "all", r.must(bob, ".media/tags").ID, "x", 0),
		remote.Permission,
	)
	if r.f.edits != 0 {
		t.Errorf("%d edits", r.f.edits)
	}
	r.f.set(o, func(n *fakeNode) { n.attr.UID = bob })
	r.kind("untag", r.l.Unlink(as(bob), caller(bob), all, "o.jpg"), 0)
	// A link needs a name that the caller can reach.
	n := r.f.walk("/closed/never/n.jpg").attr.ID
	_, err := r.l.Link(as(bob), caller(bob), n, r.must(bob, ".media/favorites/bob").ID, "n.jpg")
	r.kind("link of what is out of reach", err, remote.Invalid)
}

func TestModes(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		mode, uid, gid, want uint32
		ann, bob             bool
	}{
		{0o700, ann, 0, 1, true, false},
		{0o077, ann, 0, 1, false, true}, // the owner's class counts, whatever others may
		{0o010, 0, friends, 1, true, false},
		{0o001, 0, friends, 1, false, true},
		{0o011, 0, friends, 1, true, true},
		{0o040, 0, bob, 4, false, true},
		{0o050, 0, friends, 5, true, false},
		{0o041, 0, friends, 5, false, false},
		{0o000, 0, 0, 4, false, false},
	} {
		a := vfs.Attr{Mode: c.mode, UID: c.uid, GID: c.gid}
		for uid, want := range map[uint32]bool{0: true, ann: c.ann, bob: c.bob} {
			if got := r.l.askedBy(caller(uid)).may(context.Background(), &a, c.want); got != want {
				t.Errorf("%o of %d:%d, %d: %v", c.mode, c.uid, c.gid, uid, got)
			}
		}
	}
}
