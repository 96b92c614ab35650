package view

import (
	"testing"

	"mediafs/remote"
)

// A program that works in a folder of the trash while it is restored deletes nothing of what lies
// in the tree again.
func TestFolderRestoredWhileOpen(t *testing.T) {
	r := newRig(t)
	dir := r.f.add("/d", folded, "")
	r.f.add("/d/sub", folded, "")
	keep := r.f.add("/d/sub/keep.jpg", reg, "the only copy")
	view := r.must(0, ".media/trash").ID
	r.kind("delete", r.l.Rename(as(0), caller(0), 1, "d", view, "d", 0), 0)
	old, sub := r.must(0, ".media/trash/d").ID, r.must(0, ".media/trash/d/sub").ID
	d, err := r.l.OpenDir(as(0), sub)
	if err != nil {
		t.Fatal(err)
	}
	d.Release()
	r.kind("restore", r.l.Rename(as(0), caller(0), view, "d", 1, "d", 0), 0)
	if a := r.must(0, "d/sub/keep.jpg"); a.ID != keep {
		t.Fatalf("%x", a.ID)
	}
	r.kind("unlink in what was restored", r.l.Unlink(as(0), caller(0), sub, "keep.jpg"), remote.NotExist)
	r.kind("rmdir in what was restored", r.l.Rmdir(as(0), caller(0), old, "sub"), remote.NotExist)
	r.kind(
		"rename out of what was restored", r.l.Rename(as(0), caller(0), sub, "keep.jpg", dir, "moved.jpg", 0),
		remote.NotExist,
	)
	_, err = r.l.OpenDir(as(0), sub)
	r.kind("list what was restored", err, remote.NotExist)
	if got, err := r.read(0, "d/sub/keep.jpg"); got != "the only copy" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
