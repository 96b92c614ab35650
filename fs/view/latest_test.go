package view

import (
	"context"
	"fmt"
	"testing"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// seen counts the media that Latest gives.
type seen struct {
	vfs.MediaLibrary
	media int
}

func (s *seen) Latest(ctx context.Context, q *query.Query, yield func(*remote.Media) bool) error {
	return s.MediaLibrary.Latest(ctx, q, func(m *remote.Media) bool {
		s.media++
		return yield(m)
	})
}

// Looking up every name of the list, as ls -l does, takes time by their number, and not by its
// square.
func TestLatestByName(t *testing.T) {
	r := newRig(t)
	s := &seen{MediaLibrary: r.f}
	r.l.MediaLibrary = s
	r.f.add("/d", folded, "")
	for i := range 50 {
		r.f.add(fmt.Sprintf("/f%d.jpg", i), reg, "")
	}
	newest := r.f.add("/d/f7.jpg", reg, "")
	dir := r.must(0, ".media/latest").ID
	for i := range 50 {
		a, err := r.l.Lookup(as(0), dir, fmt.Sprintf("f%d.jpg", i))
		if err != nil {
			t.Fatal(err)
		}
		if r.hold(a); (i == 7) != (a.ID == newest) {
			t.Errorf("f%d.jpg is node %x", i, a.ID)
		}
	}
	if s.media > 200 {
		t.Errorf("%d media were looked at", s.media)
	}
}
