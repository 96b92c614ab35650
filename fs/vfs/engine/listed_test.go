package engine_test

import (
	"testing"

	"mediafs/remote/object/mem"
)

// What is listed can be read: of a file without a name too, and of names of the model that were
// kept as plain attributes.
func TestListedAttributesAreThere(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	f := s.create("a", "bytes")
	id := s.stat("a").ID
	s.unlink("a")
	s.ok(s.SetXattr(bg, me, id, "user.media.title", []byte("a title"), 0))
	names, err := s.ListXattr(bg, id)
	s.ok(err)
	for _, n := range names {
		if v, err := s.GetXattr(bg, id, n); err != nil || string(v) != "a title" {
			t.Errorf("%s is listed, and is %q, %v", n, v, err)
		}
	}
	if len(names) != 1 {
		t.Errorf("%q", names)
	}
	f.Release()
}
