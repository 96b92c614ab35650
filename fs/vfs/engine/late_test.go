package engine_test

import (
	"maps"
	"strings"
	"testing"

	"mediafs/fs/acl"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/operation"
)

// A lateCase is a pair of changes that meet. What is wanted is the tree of both machines
// afterwards, which what is said of a change goes with.
type lateCase struct {
	name         string
	setup        []do
	own          []do // more of that, by the machine that is cut off later
	late, online []do
	want         map[string]string
	check        func(t *testing.T, s tree)
	dropped      int // changes that are not made
	kept         int // changes that are made otherwise
	options      []func(*engine.Options)
}

type files = map[string]string

func TestLateChanges(t *testing.T) {
	lateCases(t, false, lateRemovals, lateRenames, lateWrites, lateAttributes, lateTrash, lateChains)
}

// What was cut off and ended is carried out by the next process.
func TestLateAfterAKill(t *testing.T) { lateCases(t, true, lateRemovals, lateRenames, lateTrash) }

func lateCases(t *testing.T, restarts bool, groups ...[]lateCase) {
	for _, group := range groups {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, append([]func(*engine.Options){trashing}, c.options...)...)
				p.restarts = restarts
				for _, d := range c.setup {
					p.other.ok(d(p.other))
				}
				p.meet()
				for _, d := range c.own {
					p.cut.ok(d(p.cut))
				}
				p.meet()
				p.late(c.late, c.online)
				for who, s := range map[string]tree{"that was cut off": p.cut, "that was not": p.other} {
					s.t = t
					if c.want != nil { // else not all that is there can be read
						if got := s.state(); !maps.Equal(got, c.want) {
							t.Errorf("the machine %s has %v, wanted %v", who, got, c.want)
						}
					}
					if c.check != nil {
						c.check(t, s)
					}
				}
				st := p.cut.Status().Catalog
				if st.Dropped != c.dropped || st.Kept != c.kept {
					t.Errorf("%d changes dropped and %d kept otherwise, wanted %d and %d: %q",
						st.Dropped, st.Kept, c.dropped, c.kept, st.Conflicts)
				}
				if len(st.Conflicts) < c.dropped+c.kept {
					t.Errorf("status tells %q", st.Conflicts)
				}
			})
		}
	}
}

var lateRemovals = []lateCase{
	{name: "rm, edit", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, dropped: 1},
	{name: "rm, untouched", setup: []do{put("f", "old"), put("g", "g")}, late: []do{rm("f")},
		online: []do{put("g", "new")},
		want:   files{"g": "new"}},
	{name: "rm, chmod", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{chmod("f", 0o600)},
		want: files{"f": "old"}, dropped: 1},
	{name: "rm of what it wrote, touch", own: []do{put("f", "old")}, late: []do{rm("f")},
		online: []do{attrs("f", vfs.AttrChange{Mtime: &vfs.Time{Sec: 1000}})},
		want:   files{"f": "old"}, dropped: 1},
	{name: "rm, setxattr", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{setx("f", "user.a", "1")},
		want: files{"f": "old"}, dropped: 1},
	{name: "rm, title", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{title("f", "new")},
		want: files{"f": "old"}, dropped: 1},
	{name: "rm, another name", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{ln("f", "g")},
		want: files{"g": "old"}},
	{name: "rm, moved away", setup: []do{put("f", "old")}, late: []do{rm("f")}, online: []do{mv("f", "g")},
		want: files{"g": "old"}, dropped: 1},
	{name: "rm, replaced", setup: []do{put("f", "old"), put("g", "g")}, late: []do{rm("f")}, online: []do{mv("g", "f")},
		want: files{"f": "g"}, dropped: 1},
	{name: "rm of a link, edit through another", setup: []do{put("f", "old"), ln("f", "g")},
		late: []do{rm("f"), rm("g")}, online: []do{put("g", "new")},
		want: files{"f": "new", "g": "new"}, dropped: 2},
	{name: "rmdir, create", setup: []do{mkdir("d")}, late: []do{rmdir("d")}, online: []do{put("d/f", "new")},
		want: files{"d": "/", "d/f": "new"}, dropped: 1},
	{name: "rmdir, made anew", setup: []do{mkdir("d")}, late: []do{rmdir("d")}, online: []do{rmdir("d"), mkdir("d")},
		want: files{"d": "/"}, dropped: 1},
	{name: "rmdir, chmod", setup: []do{mkdir("d")}, late: []do{rmdir("d")}, online: []do{chmod("d", 0o700)},
		want: files{"d": "/"}, dropped: 1},
	{name: "rm of all in a folder and rmdir, edit", setup: []do{mkdir("d"), put("d/f", "f"), put("d/g", "g")},
		late:   []do{rm("d/f"), rm("d/g"), rmdir("d")},
		online: []do{put("d/g", "new")}, want: files{"d": "/", "d/g": "new"}, dropped: 2},
}

var lateRenames = []lateCase{
	{name: "mv over, edit", setup: []do{put("f", "old"), put("g", "g")}, late: []do{mv("g", "f")},
		online: []do{put("f", "new")},
		want:   files{"f": "new", "f (conflict)": "g"}, kept: 1},
	{name: "mv over, untouched", setup: []do{put("f", "old"), put("g", "g"), put("h", "h")}, late: []do{mv("g", "f")},
		online: []do{put("h", "new")},
		want:   files{"f": "g", "h": "new"}},
	{name: "mv over, setxattr", setup: []do{put("f.jpg", "old"), put("g", "g")}, late: []do{mv("g", "f.jpg")},
		online: []do{setx("f.jpg", "user.a", "1")},
		want:   files{"f.jpg": "old", "f (conflict).jpg": "g"}, kept: 1},
	{name: "mv over, replaced", setup: []do{put("f", "old"), put("g", "g")}, late: []do{mv("g", "f")},
		online: []do{put("h", "new"), mv("h", "f")},
		want:   files{"f": "new", "f (conflict)": "g"}, kept: 1},
	{name: "mv, created there", setup: []do{put("g", "g")}, late: []do{mv("g", "f")}, online: []do{put("f", "new")},
		want: files{"f": "new", "f (conflict)": "g"}, kept: 1},
	{name: "mv noreplace, created there", setup: []do{put("g", "g")}, late: []do{mv("g", "f", vfs.RenameNoReplace)},
		online: []do{put("f", "new")},
		want:   files{"f": "new", "f (conflict)": "g"}, kept: 1},
	{name: "mv, edit", setup: []do{put("f", "old")}, late: []do{mv("f", "g")}, online: []do{put("f", "new")},
		want: files{"g": "new"}},
	{name: "mv, moved elsewhere", setup: []do{put("f", "old")}, late: []do{mv("f", "g")}, online: []do{mv("f", "h")},
		want: files{"h": "old"}, dropped: 1},
	{name: "mv, removed", setup: []do{put("f", "old")}, late: []do{mv("f", "g")}, online: []do{rm("f")},
		want: files{}, dropped: 1},
	{name: "mv to a folder that was deleted", setup: []do{mkdir("d"), put("f", "old")}, late: []do{mv("f", "d/f")},
		online: []do{toTrash("d")},
		want:   files{"f": "old"}, dropped: 1},
	{name: "mv to a backup and a new file, edit", setup: []do{put("f", "old")},
		late: []do{mv("f", "f~"), put("f", "mine"), rm("f~")}, online: []do{put("f", "new")},
		want: files{"f": "new", "f (conflict)": "mine"}, dropped: 2, kept: 1},
	{name: "exchange, edit", setup: []do{put("f", "old"), put("g", "g")},
		late: []do{mv("g", "f", vfs.RenameExchange), rm("g")}, online: []do{put("f", "new")},
		want: files{"f": "new", "g": "g"}, dropped: 2},
	{name: "exchange, replaced", setup: []do{put("f", "old"), put("g", "g")},
		late: []do{mv("g", "f", vfs.RenameExchange)}, online: []do{put("h", "new"), mv("h", "f")},
		want: files{"f": "new", "g": "g"}, dropped: 1},
	{name: "folder over empty folder, created in it", setup: []do{mkdir("d"), mkdir("e"), put("e/f", "f")},
		late: []do{mv("e", "d")}, online: []do{put("d/g", "new")},
		want: files{"d": "/", "d/g": "new", "d (conflict)": "/", "d (conflict)/f": "f"}, kept: 1},
	{name: "folder moved, edit in it", setup: []do{mkdir("d"), put("d/f", "f")}, late: []do{mv("d", "e")},
		online: []do{put("d/f", "new"), put("d/g", "g")},
		want:   files{"e": "/", "e/f": "new", "e/g": "g"}},
	{name: "folders moved into each other", setup: []do{mkdir("d"), mkdir("e"), put("d/f", "f")},
		late: []do{mv("d", "e/d")}, online: []do{mv("e", "d/e")},
		want: files{"d": "/", "d/f": "f", "d/e": "/"}, dropped: 1},
}

var lateWrites = []lateCase{
	{name: "write, write", setup: []do{put("f", "old")}, late: []do{put("f", "mine")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, kept: 1, check: has("f", "mine")},
	{name: "write, the same", setup: []do{put("f", "old")}, late: []do{cutTo("f", 0)}, online: []do{cutTo("f", 0)},
		want: files{"f": ""}, check: has("f", "old")},
	{name: "truncate, write", setup: []do{put("f", "old")}, late: []do{cutTo("f", 0)}, online: []do{put("f", "new")},
		want: files{"f": "new"}, kept: 1},
	{name: "write, chmod", setup: []do{put("f", "old")}, late: []do{put("f", "mine")}, online: []do{chmod("f", 0o600)},
		want: files{"f": "mine"}, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o600) }},
	{name: "write, rm", setup: []do{put("f", "old")}, late: []do{put("f", "mine")}, online: []do{rm("f")},
		want: files{"f": "mine"}, kept: 1},
	{name: "write, to the trash", setup: []do{put("f", "old")}, late: []do{put("f", "mine")},
		online: []do{toTrash("f")},
		want:   files{"f": "mine"}, kept: 1},
	{name: "write, its folder to the trash", setup: []do{mkdir("d"), put("d/f", "old"), put("d/g", "g")},
		late: []do{put("d/f", "mine")}, online: []do{toTrash("d")},
		want: files{"f": "mine"}, kept: 1},
	{name: "write, moved", setup: []do{mkdir("d"), put("f", "old")}, late: []do{put("f", "mine")},
		online: []do{mv("f", "d/g")},
		want:   files{"d": "/", "d/g": "mine"}},
	{name: "create, create", late: []do{put("f", "mine")}, online: []do{put("f", "new")},
		want: files{"f": "new", "f (conflict)": "mine"}, kept: 1},
	{name: "create, its folder to the trash", setup: []do{mkdir("d")}, late: []do{put("d/f", "mine")},
		online: []do{toTrash("d")},
		want:   files{"f": "mine"}, kept: 1},
	{name: "create, its folder removed", setup: []do{mkdir("d")}, late: []do{put("d/f", "mine")},
		online: []do{rmdir("d")},
		want:   files{"f": "mine"}, kept: 1},
	{name: "mkdir, mkdir", late: []do{mkdir("d"), put("d/f", "mine")}, online: []do{mkdir("d"), put("d/f", "new")},
		want: files{"d": "/", "d/f": "new", "d (conflict)": "/", "d (conflict)/f": "mine"}, kept: 1},
	{name: "symlink, create", late: []do{symlink("f", "target")}, online: []do{put("f", "new")},
		want: files{"f": "new", "f (conflict)": "-> target"}, kept: 1},
	{name: "ln, create", setup: []do{put("f", "old")}, late: []do{ln("f", "g")}, online: []do{put("g", "new")},
		want: files{"f": "old", "g": "new", "g (conflict)": "old"}, kept: 1},
	{name: "ln to a folder that was deleted, then rm", setup: []do{mkdir("d"), put("f", "old")},
		late: []do{ln("f", "d/f"), rm("f")}, online: []do{toTrash("d")},
		want: files{"f (conflict)": "old"}, kept: 1},
	{name: "version restored, write", setup: []do{put("f", "first one of all"), put("f", "2")},
		late: []do{oldest("f")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, dropped: 1},
}

var lateAttributes = []lateCase{
	{name: "chmod, chmod", setup: []do{put("f", "f")}, late: []do{chmod("f", 0o600)}, online: []do{chmod("f", 0o640)},
		want: files{"f": "f"}, dropped: 1, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o640) }},
	{name: "chmod, write", setup: []do{put("f", "f")}, late: []do{chmod("f", 0o600)}, online: []do{put("f", "new")},
		want: files{"f": "new"}, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o600) }},
	{name: "times, write", setup: []do{put("f", "f")},
		late: []do{attrs("f", vfs.AttrChange{Mtime: &vfs.Time{Sec: 1000}})}, online: []do{put("f", "new")},
		want: files{"f": "new"}, dropped: 1},
	{name: "chown twice, untouched", setup: []do{put("f", "f"), put("g", "g")},
		late:   []do{attrs("f", vfs.AttrChange{GID: new(uint32)}), chmod("f", 0o600), chmod("f", 0o604)},
		online: []do{put("f", "new")}, want: files{"f": "new", "g": "g"},
		check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o604) }},
	{name: "setxattr, setxattr", setup: []do{put("f", "f")},
		late:   []do{setx("f", "user.a", "mine"), setx("f", "user.b", "mine")},
		online: []do{setx("f", "user.a", "new")},
		want:   files{"f": "f"}, dropped: 1, check: func(t *testing.T, s tree) {
			wantXattr(t, s, "f", "user.a", "new")
			wantXattr(t, s, "f", "user.b", "mine")
		}},
	{name: "removexattr, setxattr", setup: []do{put("f", "f"), setx("f", "user.a", "old")},
		late: []do{rmx("f", "user.a")}, online: []do{setx("f", "user.a", "new")},
		want: files{"f": "f"}, dropped: 1, check: func(t *testing.T, s tree) { wantXattr(t, s, "f", "user.a", "new") }},
	{name: "setxattr, removexattr", setup: []do{put("f", "f"), setx("f", "user.a", "old")},
		late: []do{setx("f", "user.a", "mine")}, online: []do{rmx("f", "user.a")},
		want: files{"f": "f"}, dropped: 1},
	{name: "setfacl, chmod", setup: []do{put("f", "f")}, late: []do{setfacl("f", 6)}, online: []do{chmod("f", 0o600)},
		want: files{"f": "f"}, dropped: 1, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o600) }},
	{name: "setfacl removed, chmod", setup: []do{put("f", "f"), setfacl("f", 0)}, late: []do{rmx("f", acl.Access)},
		online: []do{chmod("f", 0o664)}, want: files{"f": "f"}, dropped: 1},
	{name: "chmod, setfacl", setup: []do{put("f", "f")}, late: []do{chmod("f", 0o664)}, online: []do{setfacl("f", 4)},
		want: files{"f": "f"}, dropped: 1, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o644) }},
	{name: "setfacl, write", setup: []do{put("f", "f")}, late: []do{setfacl("f", 6)}, online: []do{put("f", "new")},
		want: files{"f": "new"}, check: func(t *testing.T, s tree) { wantMode(t, s, "f", 0o664) }},
	{
		name:   "title, title",
		setup:  []do{put("f", "f")},
		late:   []do{title("f", "mine")},
		online: []do{title("f", "new")},
		want: files{
			"f": "f",
		},
		dropped: 1,
		check:   func(t *testing.T, s tree) { wantXattr(t, s, "f", "user.media.title", "new") },
	},
	{name: "title, tag", setup: []do{put("f", "f")},
		late:   []do{title("f", "mine"), edit("f", "tags", media.Add, "sea")},
		online: []do{edit("f", "tags", media.Add, "sun")},
		want:   files{"f": "f"}, check: func(t *testing.T, s tree) {
			wantXattr(t, s, "f", "user.media.title", "mine")
			wantXattr(t, s, "f", "user.media.tags", "sun,sea")
		}},
	{name: "tags set, tag added", setup: []do{put("f", "f"), edit("f", "tags", media.Add, "a")},
		late:   []do{edit("f", "tags", media.Set, "mine")},
		online: []do{edit("f", "tags", media.Add, "new")}, want: files{"f": "f"}, dropped: 1,
		check: func(t *testing.T, s tree) { wantXattr(t, s, "f", "user.media.tags", "a,new") }},
	{
		name:   "title, write",
		setup:  []do{put("f", "f")},
		late:   []do{title("f", "mine")},
		online: []do{put("f", "new")},
		want: files{
			"f": "new",
		},
		check: func(t *testing.T, s tree) { wantXattr(t, s, "f", "user.media.title", "mine") },
	},
	{
		name: "setting, setting",
		late: []do{func(s tree) error { return s.SetSetting(bg, me, operation.SettingViewFolder, "mine") }},
		online: []do{
			func(s tree) error { return s.SetSetting(bg, me, operation.SettingViewFolder, "new") },
		},
		want:    files{},
		dropped: 1,
		check: func(t *testing.T, s tree) {
			if got := s.ViewFolder(); got != "new" {
				t.Errorf("views are in %q", got)
			}
		},
	},
}

var lateTrash = []lateCase{
	{name: "to the trash, edit", setup: []do{put("f", "old")}, late: []do{toTrash("f")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, dropped: 1},
	{name: "folder to the trash, edit in it", setup: []do{mkdir("d"), mkdir("d/e"), put("d/e/f", "old")},
		late: []do{toTrash("d")}, online: []do{put("d/e/f", "new")},
		want: files{"d": "/", "d/e": "/", "d/e/f": "new"}, dropped: 1},
	{name: "folder to the trash, created in it", setup: []do{mkdir("d"), mkdir("d/e")}, late: []do{toTrash("d")},
		online: []do{put("d/e/f", "new")},
		want:   files{"d": "/", "d/e": "/", "d/e/f": "new"}, dropped: 1},
	{name: "folder to the trash, moved into it", setup: []do{mkdir("d"), put("f", "old")}, late: []do{toTrash("d")},
		online: []do{mv("f", "d/f")},
		want:   files{"d": "/", "d/f": "old"}, dropped: 1},
	{name: "folder to the trash, xattr in it", setup: []do{mkdir("d"), put("d/f", "old")}, late: []do{toTrash("d")},
		online: []do{setx("d/f", "user.a", "1")},
		want:   files{"d": "/", "d/f": "old"}, dropped: 1},
	{name: "folder to the trash, moved out of it", setup: []do{mkdir("d"), put("d/f", "old"), put("d/g", "g")},
		late: []do{toTrash("d")}, online: []do{mv("d/f", "f")},
		want: files{"f": "old"}},
	{name: "folder to the trash, own changes in it", setup: []do{mkdir("d"), put("d/f", "old"), put("g", "g")},
		late:   []do{put("d/f", "mine"), put("d/h", "h"), toTrash("d")},
		online: []do{put("g", "new")}, want: files{"g": "new"}},
	{name: "purge, restored", setup: []do{put("f", "old"), toTrash("f")}, late: []do{purge("f")},
		online: []do{restore("f", "f")},
		want:   files{"f": "old"}, dropped: 1},
	{name: "purge, restored and deleted again", setup: []do{put("f", "old"), toTrash("f")}, late: []do{purge("f")},
		online: []do{restore("f", "f"), toTrash("f")},
		want:   files{}, dropped: 1, check: func(t *testing.T, s tree) {
			if _, err := s.entry("f"); err != nil {
				t.Error(err)
			}
		}},
	{name: "purge, edit", setup: []do{put("f", "old"), toTrash("f")}, late: []do{purge("f")},
		online: []do{func(s tree) error {
			return s.TrashEntries(bg, func(e vfs.TrashEntry) bool {
				s.ok(s.SetXattr(bg, me, e.Node, "user.a", []byte("1"), 0))
				return true
			})
		}}, want: files{}, dropped: 1, check: func(t *testing.T, s tree) {
			if _, err := s.entry("f"); err != nil {
				t.Error(err)
			}
		}},
	{name: "restore, restored", setup: []do{put("f", "old"), toTrash("f")}, late: []do{restore("f", "g")},
		online: []do{restore("f", "f")},
		want:   files{"f": "old"}, dropped: 1},
	{name: "restore, created there", setup: []do{put("f", "old"), toTrash("f")}, late: []do{restore("f", "f")},
		online: []do{put("f", "new")},
		want:   files{"f": "new", "f (conflict)": "old"}, kept: 1},
	{name: "restore to a folder that was deleted", setup: []do{mkdir("d"), put("f", "old"), toTrash("f")},
		late: []do{restore("f", "d/f")}, online: []do{toTrash("d")},
		want: files{"f": "old"}, kept: 1},
}

// What a user did earlier without the store is not another machine's.
var longName = strings.Repeat("ä", 124) + ".jpeg" // 253 bytes: no room for the mark of a conflict

var lateChains = []lateCase{
	{name: "write and rm", setup: []do{put("f", "old"), put("g", "g")}, late: []do{put("f", "mine"), rm("f")},
		online: []do{put("g", "new")},
		want:   files{"g": "new"}},
	{name: "write and rm, write", setup: []do{put("f", "old")}, late: []do{put("f", "mine"), rm("f")},
		online: []do{put("f", "new")},
		want:   files{"f": "new"}, dropped: 1, kept: 1},
	{name: "chmod and rm", setup: []do{put("f", "old"), put("g", "g")},
		late: []do{chmod("f", 0o600), setx("f", "user.a", "1"), rm("f")}, online: []do{put("g", "new")},
		want: files{"g": "new"}},
	{name: "create, create, rename of a long name", late: []do{put(longName, "mine"), mv(longName, "g")},
		online: []do{put(longName, "new")},
		want:   files{longName: "new", "g": "mine"}, kept: 1},
	{name: "create, write, rename and rm", setup: []do{put("g", "g")},
		late: []do{put("f", "mine"), mv("f", "h"), rm("h")}, online: []do{put("g", "new")},
		want: files{"g": "new"}},
	{name: "create and rm, create", late: []do{put("f", "mine"), rm("f")}, online: []do{put("f", "new")},
		want: files{"f": "new"}, kept: 1},
	{name: "temporary file renamed over, both made", setup: []do{put("f", "old")},
		late: []do{put("tmp", "mine"), mv("tmp", "f")}, online: []do{put("tmp", "theirs"), mv("tmp", "f")},
		want: files{"f": "theirs", "f (conflict)": "mine"}, kept: 1},
	{name: "temporary file renamed over, its name taken", setup: []do{put("f", "old")},
		late: []do{put("tmp", "mine"), mv("tmp", "f")}, online: []do{put("tmp", "theirs")},
		want: files{"f": "mine", "tmp": "theirs"}, kept: 1},
	{name: "mkdir, files in it and rmdir", setup: []do{put("g", "g")},
		late: []do{mkdir("d"), put("d/f", "f"), rm("d/f"), rmdir("d")}, online: []do{put("g", "new")},
		want: files{"g": "new"}},
	{name: "mkdir and rmdir, mkdir", late: []do{mkdir("d"), rmdir("d")}, online: []do{mkdir("d")},
		want: files{"d": "/"}, kept: 1},
}
