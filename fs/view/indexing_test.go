package view

import (
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
)

// While the index is being made a note says so, and how far it is; then it is gone.
func TestIndexingNote(t *testing.T) {
	r := newRig(t)
	listed := func() bool {
		t.Helper()
		return slices.Contains(r.list(0, ".media"), indexingName)
	}
	if listed() {
		t.Error("a note about an index that is ready")
	}
	_, err := r.at(0, ".media/"+indexingName)
	r.kind("look up the note", err, remote.NotExist)
	r.f.unindexed.Store(57)
	if text, err := r.read(0, ".media/"+indexingName); err != nil || !listed() ||
		!strings.Contains(text, "43 of about 100") {
		t.Errorf("%q, %v; listed %v", text, err, listed())
	}
}
