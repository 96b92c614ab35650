package view

import (
	"context"
	"testing"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
)

// valued counts how often all values of a field are asked for.
type valued struct {
	vfs.MediaLibrary
	asked int
}

func (v *valued) Values(ctx context.Context, field string, q *query.Query) ([]string, error) {
	v.asked++
	return v.MediaLibrary.Values(ctx, field, q)
}

// Each name in a view is looked up through the folders above it: that goes through no list.
func TestFoldersByName(t *testing.T) {
	r := newRig(t)
	id := r.f.add("/a.jpg", reg, "")
	r.f.set(id, func(n *fakeNode) { n.media.Type, n.media.Year, n.media.Month = "image/jpeg", 2024, 5 })
	v := &valued{MediaLibrary: r.f}
	r.l.MediaLibrary = v
	r.must(0, ".media/by-type/image/jpeg/a.jpg")
	for _, p := range []string{".media/by-type/video", ".media/by-type/image/png", ".media/by-date/1999", ".media/by-date/24", ".media/by-date/+024", ".media/by-date/x"} {
		if _, err := r.at(0, p); err == nil {
			t.Errorf("%s is there", p)
		}
	}
	if v.asked > 0 {
		t.Errorf("all values were asked for %d times", v.asked)
	}
}
