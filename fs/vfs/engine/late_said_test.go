package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// imports takes an object in that was in the bucket before.
func imports(p, etag string) do {
	return func(s tree) error {
		parent, name, _, _ := s.at(p)
		_, _, err := s.Import(
			bg,
			me,
			engine.External{
				Parent: parent,
				Name:   name,
				Key:    "old/" + name,
				ETag:   etag,
				Size:   int64(len(etag)),
				Mode:   0o644,
			},
		)
		return err
	}
}

func mknod(p string, mode uint32) do {
	return func(s tree) error {
		parent, name, _, _ := s.at(p)
		a, err := s.Mknod(bg, me, parent, name, mode, 0)
		if err == nil {
			s.Forget(a.ID, 1)
		}
		return err
	}
}

// attach attaches something to a media, or takes it off.
func attach(p string, make func() (media.Attachment, error)) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		a, err := make()
		s.ok(err)
		return s.EditMedia(bg, me, id, vfs.MediaChange{Attached: []media.Attachment{a}})
	})
}

func votes(p, user string, value int) do {
	return attach(
		p, func() (media.Attachment, error) { return media.AttachVote(user, value, &record.Time{Seconds: 1}) },
	)
}

func likes(p, user string) do {
	return attach(p, func() (media.Attachment, error) { return media.AttachFavorite(user, &record.Time{Seconds: 1}) })
}

func detach(p string, kind byte, which string) do {
	return attach(p, func() (media.Attachment, error) { return media.Detach(kind, []byte(which)), nil })
}

func comments(p, text string) do {
	return attach(p, func() (media.Attachment, error) {
		return media.AttachComment(remote.Comment{User: "me", Text: text, Time: time.Unix(1, 0)})
	})
}

// rewords changes the comment of a number, which 0 counts from.
func rewords(p string, number uint64, text string) do {
	return attach(p, func() (media.Attachment, error) {
		return media.AttachComment(remote.Comment{Number: number, User: "me", Text: text, Time: time.Unix(1, 0)})
	})
}

// said is what is attached to a media, sorted.
func said(want ...string) func(*testing.T, tree) {
	return func(t *testing.T, s tree) {
		_, _, id, err := s.at("f")
		s.ok(err)
		m, err := s.Media(bg, id)
		s.ok(err)
		var got []string
		for _, f := range m.Favorites {
			got = append(got, "likes "+f)
		}
		for _, v := range m.Votes {
			got = append(got, fmt.Sprint(v.User, " ", v.Value))
		}
		for _, c := range m.Comments {
			got = append(got, c.Text)
		}
		slices.SortFunc(got, cmp.Compare)
		if !slices.Equal(got, want) {
			t.Errorf("said is %q, wanted %q", got, want)
		}
	}
}

func TestLateSayings(t *testing.T) { lateCases(t, false, lateSaid, lateMade) }

func TestLateSayingsAfterAKill(t *testing.T) { lateCases(t, true, lateSaid, lateMade) }

var lateSaid = []lateCase{
	{name: "vote, the same user's", setup: []do{put("f", "f")}, late: []do{votes("f", "ada", 1)},
		online: []do{votes("f", "ada", -1)}, want: files{"f": "f"}, dropped: 1, check: said("ada -1")},
	{name: "vote, another user's", setup: []do{put("f", "f")}, late: []do{votes("f", "ada", 1)},
		online: []do{votes("f", "bob", -1)}, want: files{"f": "f"}, check: said("ada 1", "bob -1")},
	{name: "vote taken back, changed", setup: []do{put("f", "f"), votes("f", "ada", 1)},
		late: []do{detach("f", record.AttachedVote, "ada")}, online: []do{votes("f", "ada", 5)},
		want: files{"f": "f"}, dropped: 1, check: said("ada 5")},
	{name: "favourite, taken off", setup: []do{put("f", "f"), likes("f", "ada")},
		late: []do{detach("f", record.AttachedFavorite, "ada")}, online: []do{title("f", "new")},
		want: files{"f": "f"}, check: said()},
	{name: "comment, comment", setup: []do{put("f", "f")}, late: []do{comments("f", "mine")},
		online: []do{comments("f", "theirs")}, want: files{"f": "f"}, check: said("mine", "theirs")},
	{
		name:    "comment changed, changed",
		setup:   []do{put("f", "f"), comments("f", "old")},
		late:    []do{rewords("f", 1, "mine")},
		online:  []do{rewords("f", 1, "theirs")},
		want:    files{"f": "f"},
		dropped: 1,
		check:   said("theirs"),
	},
	{name: "comment, write", setup: []do{put("f", "f")}, late: []do{comments("f", "mine")},
		online: []do{put("f", "new")}, want: files{"f": "new"}, check: said("mine")},
	{name: "rm, comment", setup: []do{put("f", "f")}, late: []do{rm("f")},
		online: []do{comments("f", "theirs")}, want: files{"f": "f"}, dropped: 1, check: said("theirs")},
	{name: "rm, vote", setup: []do{put("f", "f")}, late: []do{rm("f")},
		online: []do{votes("f", "ada", 1)}, want: files{"f": "f"}, dropped: 1, check: said("ada 1")},
}

// kinds names what lies in the root, without the dates of conflicts.
func kinds(want map[string]uint32) func(*testing.T, tree) {
	return func(t *testing.T, s tree) {
		got := map[string]uint32{}
		s.walk(
			vfs.Root, "",
			func(p string, e vfs.DirEntry) { got[conflictDate.ReplaceAllString(p, "(conflict")] = e.Mode & 0o170000 },
		)
		for name, mode := range want {
			if got[name] != mode {
				t.Errorf("%s is %o, wanted %o, of %v", name, got[name], mode, got)
			}
		}
	}
}

var lateClock clock

var lateMade = []lateCase{
	{name: "fifo, create", late: []do{mknod("f", 0o010644)}, online: []do{put("f", "new")}, kept: 1,
		check: kinds(map[string]uint32{"f": 0o100000, "f (conflict)": 0o010000})},
	{name: "create, fifo", late: []do{put("f", "mine")}, online: []do{mknod("f", 0o010644)}, kept: 1,
		check: kinds(map[string]uint32{"f": 0o010000, "f (conflict)": 0o100000})},
	{name: "rm, fifo made anew", setup: []do{mknod("f", 0o010644)}, late: []do{rm("f")},
		online: []do{rm("f"), mknod("f", 0o010600)}, dropped: 1, check: kinds(map[string]uint32{"f": 0o010000})},
	{name: "import, create", late: []do{imports("f", "etag")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, dropped: 1},
	{name: "import, the same import", late: []do{imports("f", "etag")}, online: []do{imports("f", "etag")},
		check: func(t *testing.T, s tree) {
			n := 0
			if s.walk(vfs.Root, "", func(string, vfs.DirEntry) { n++ }); n != 1 {
				t.Errorf("%d entries", n)
			}
		}},
	{name: "import anew, write", setup: []do{imports("f", "etag")}, late: []do{imports("f", "later")},
		online: []do{put("f", "new")}, want: files{"f": "new"}, dropped: 1},
	{
		name:    "emptying by age, restored",
		options: []func(*engine.Options){lateClock.use},
		setup:   []do{put("f", "old"), toTrash("f")},
		late:    []do{func(s tree) error { lateClock.advance(2 * time.Hour); return s.Empty() }},
		online:  []do{restore("f", "f")},
		want:    files{"f": "old"},
	},
	{
		name:    "emptying by age, deleted once more",
		options: []func(*engine.Options){lateClock.use},
		setup:   []do{put("f", "old"), toTrash("f")},
		late:    []do{func(s tree) error { lateClock.advance(2 * time.Hour); return s.Empty() }},
		online:  []do{restore("f", "f"), toTrash("f")},
		want:    files{},
		check: func(t *testing.T, s tree) {
			if _, err := s.entry("f"); err != nil {
				t.Error(err)
			}
		},
	},
}

// What is told of a late change names it: when somebody asked for it, what it was about, and why it
// was not made.
func TestLateChangesAreNamed(t *testing.T) {
	for _, c := range []struct {
		name         string
		setup        []do
		late, online do
		want         []string
	}{
		{"rm", []do{mkdir("d"), put("d/f", "old")}, rm("d/f"), put("d/f", "new"), []string{"not made: unlink /d/f: ", "has changed it"}},
		{"chmod", []do{put("f", "old")}, chmod("f", 0o600), chmod("f", 0o640), []string{"not made: setattr /f: "}},
		{"chmod of what is gone", []do{put("f", "old")}, chmod("f", 0o600), purged("f"), []string{"not made: setattr"}},
		{"mv", []do{put("f", "old")}, mv("f", "g"), mv("f", "h"), []string{"not made: rename /f to /g: "}},
		{"attribute", []do{put("f", "old")}, setx("f", "user.a", "mine"), setx("f", "user.a", "new"), []string{"not made: ", "user.a of /f: "}},
		{"rmdir", []do{mkdir("d")}, rmdir("d"), put("d/f", "new"), []string{"not made: rmdir /d: "}},
		{"create", nil, put("f", "mine"), put("f", "new"), []string{`create "f", late: it is kept as /f (conflict`}},
		{"purge", []do{put("f", "old"), toTrash("f")}, purge("f"), restore("f", "f"), []string{"not made: purge"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, trashing)
			for _, d := range c.setup {
				p.other.ok(d(p.other))
			}
			p.meet()
			began := time.Now().Truncate(time.Second)
			p.late([]do{c.late}, []do{c.online})
			told := p.cut.Status().Catalog.Conflicts
			if len(told) != 1 {
				t.Fatalf("told is %q", told)
			}
			at, err := time.ParseInLocation(time.DateTime, told[0][:min(len(told[0]), len(time.DateTime))], time.Local)
			if err != nil || at.Before(began) || at.After(time.Now()) {
				t.Errorf("it does not say when: %q", told)
			}
			for _, w := range c.want {
				if !strings.Contains(told[0], w) {
					t.Errorf("told is %q, without %q", told, w)
				}
			}
		})
	}
}

// purged deletes a file for good.
func purged(p string) do {
	return func(s tree) error {
		if err := toTrash(p)(s); err != nil {
			return err
		}
		return purge(p)(s)
	}
}
