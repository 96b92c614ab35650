package view

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Deleting a whole folder of the trash for good takes the rights that deleting what is in it one by
// one takes.
func TestExpungeWhatOthersHave(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name string
		mode uint32
		uid  uint32
		want remote.Kind
	}{
		{"closed", 0o755, ann, remote.Permission},
		{"sticky", 0o1777, ann, remote.Permission},
		{"open", 0o777, ann, 0},
		{"own", 0o700, bob, 0},
	} {
		d := r.f.add("/"+c.name, folded, "")
		r.f.set(d, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|0o777, bob })
		sub := r.f.add("/"+c.name+"/sub", folded, "")
		r.f.set(sub, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|c.mode, c.uid })
		f := r.f.add("/"+c.name+"/sub/f", reg, "")
		r.f.set(f, func(n *fakeNode) { n.attr.UID = c.uid })
		files, bin := r.must(bob, ".Trash-1002/files").ID, r.must(bob, ".Trash-1002/expunged").ID
		r.kind("delete "+c.name, r.l.Rename(as(bob), caller(bob), 1, c.name, files, c.name, 0), 0)
		r.kind("expunge "+c.name, r.l.Rename(as(bob), caller(bob), files, c.name, bin, "1", 0), c.want)
	}
	// Who has no rights in an empty folder of others may delete it all the same, as rmdir does.
	d := r.f.add("/empty", folded, "")
	r.f.set(d, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|0o700, ann })
	files, bin := r.must(bob, ".Trash-1002/files").ID, r.must(bob, ".Trash-1002/expunged").ID
	r.kind("delete", r.l.Rename(as(bob), caller(bob), 1, "empty", files, "empty", 0), 0)
	r.kind("expunge", r.l.Rename(as(bob), caller(bob), files, "empty", bin, "1", 0), 0)
}
