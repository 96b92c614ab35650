package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mediafs/fs/media"
	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

func (s steps) find(text string) (names []string) {
	s.t.Helper()
	q, err := query.Parse(text)
	s.ok(err)
	s.ok(s.Find(bg, q, 0, func(m *remote.Media) bool { names = append(names, m.Name); return true }))
	slices.Sort(names)
	return names
}

func (s steps) finds(text string, want ...string) {
	s.t.Helper()
	if got := s.find(text); !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", text, got, want)
	}
}

// A search finds what is said at once, and nothing of what is unsaid, hidden, renamed or in the
// trash.
func TestFind(t *testing.T) {
	clk := &clock{}
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), clk.use, func(o *engine.Options) { o.Trash = time.Hour },
	).with(t)
	defer s.Close()
	for _, n := range []string{"Sunset at sea.jpg", "harbour.jpg", "harbour (1).jpg"} {
		s.write(n, "bytes of "+n)
	}
	s.say(
		"harbour.jpg", tag(media.Set, "sea,boats"), media.Edit{Field: "taken", Do: media.Set, Value: "2024-05-03"},
		media.Edit{Field: "rating", Do: media.Set, Value: "8"},
	)
	s.say("harbour (1).jpg", tag(media.Set, "boats"), media.Edit{Field: "taken", Do: media.Set, Value: "2023-01-02"})
	s.finds("sea", "Sunset at sea.jpg", "harbour.jpg")
	s.finds("tag:boats", "harbour (1).jpg", "harbour.jpg")
	s.finds("tag:boats tag:sea", "harbour.jpg")
	s.finds("boats -sea", "harbour (1).jpg")
	s.finds("taken:2024-05 rating:>=8", "harbour.jpg")
	s.finds("size:>0k", "Sunset at sea.jpg", "harbour (1).jpg", "harbour.jpg")
	values := func(field, q string, want ...string) {
		t.Helper()
		var parsed *query.Query
		if q != "" {
			var err error
			parsed, err = query.Parse(q)
			s.ok(err)
		}
		got, err := s.Values(bg, field, parsed)
		s.ok(err)
		if !slices.Equal(got, want) {
			t.Errorf("%s of %q: %q, want %q", field, q, got, want)
		}
	}
	values("tag", "", "boats", "sea")
	values("tag", "tag:sea", "boats", "sea")
	values("year", "", "2023", "2024")
	values("month", "", "2023-01", "2024-05")
	s.say("harbour.jpg", tag(media.Remove, "sea"))
	s.finds("tag:sea")
	values("tag", "", "boats")
	s.rename("harbour.jpg", "marina.jpg")
	s.finds("harbour", "harbour (1).jpg")
	s.finds("marina", "marina.jpg")
	s.say("marina.jpg", media.Edit{Field: "hidden", Do: media.Set, Value: "yes"})
	s.finds("boats", "harbour (1).jpg")
	s.finds("boats hidden:yes", "marina.jpg")
	clk.advance(time.Hour)
	s.unlink("harbour (1).jpg")
	s.finds("boats")
	values("tag", "") // that of the hidden one is not told
	top := s.mkdir(vfs.Root, "folder")
	s.ok(s.Rename(bg, me, vfs.Root, "Sunset at sea.jpg", top, "in a folder.jpg", 0))
	s.finds("folder", "in a folder.jpg")
	if _, err := s.TrashName(bg, me, vfs.Root, "folder"); err != nil {
		t.Fatal(err)
	}
	s.finds("folder")
}

// However many match, each is found once and in order, while others come and go.
func TestFindPages(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	const n = 500
	for i := range n {
		a, err := s.Mknod(bg, me, vfs.Root, fmt.Sprintf("many%d", i), 0o100644, 0)
		s.ok(err)
		s.Forget(a.ID, 1)
	}
	q, err := query.Parse("many")
	s.ok(err)
	seen, last := 0, vfs.ID(0)
	s.ok(s.Find(bg, q, 0, func(m *remote.Media) bool {
		if m.Node <= last {
			t.Fatalf("%d after %d", m.Node, last)
		}
		last = m.Node
		seen++
		s.ok(s.Rename(bg, me, vfs.Root, m.Name, vfs.Root, m.Name+"x", 0)) // the catalog is not locked
		return true
	}))
	if seen != n {
		t.Errorf("%d of %d", seen, n)
	}
	var latest []string
	s.ok(s.Latest(bg, q, func(m *remote.Media) bool { latest = append(latest, m.Name); return len(latest) < 3 }))
	if len(latest) != 3 {
		t.Errorf("latest: %q", latest)
	}
}
