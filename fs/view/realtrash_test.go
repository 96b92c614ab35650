package view

import "testing"

// A real folder that has the name of a desktop's trash is shown as it is, whether it was listed
// before or not.
func TestRealFolderOfTheTrashsName(t *testing.T) {
	r := newRig(t)
	real := r.f.add("/.Trash-1002", folded, "")
	r.f.add("/.Trash-1002/files", folded, "")
	f := r.f.add("/.Trash-1002/files/old.jpg", reg, "imported")
	if a := r.must(bob, ".Trash-1002"); a.ID != real {
		t.Errorf("node %x, want %x", a.ID, real)
	}
	if a, err := r.at(bob, ".Trash-1002/files/old.jpg"); err != nil || a.ID != f {
		t.Errorf("%x, %v", a.ID, err)
	}
	r.lists(ann, ".Trash-1001", "expunged", "files", "info")
}
