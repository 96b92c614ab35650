package view

import "testing"

// A folder of a view is in one place only: the kernel moves one that it meets under another parent,
// with whoever works in it.
func TestFoldersHaveOnePlace(t *testing.T) {
	r := newRig(t)
	r.f.add("/a", folded, "")
	b := r.f.add("/b", folded, "")
	id := r.f.add("/a/x.jpg", reg, "")
	r.f.mu.Lock()
	r.f.name(r.f.nodes[b], "y.jpg", id)
	r.f.mu.Unlock()
	if x, y := r.must(0, ".media/versions/a/x.jpg"), r.must(0, ".media/versions/b/y.jpg"); x.ID == y.ID {
		t.Errorf("the versions of two names are both node %x", x.ID)
	}
	r.lists(0, ".media/versions/b", "y.jpg")
	r.f.add("/d", folded, "")
	r.f.add("/d/sub", folded, "")
	r.kind("delete", r.l.Rename(as(0), caller(0), 1, "d", r.must(0, ".Trash-0/files").ID, "d", 0), 0)
	for _, p := range []string{"d", "d/sub"} {
		if x, y := r.must(0, ".media/trash/"+p), r.must(0, ".Trash-0/files/"+p); x.ID == y.ID {
			t.Errorf("%s is node %x in both", p, x.ID)
		}
	}
}
