package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
	"mediafs/fs/vfs/engine"
)

// clockAhead names the environment variable that sets a daemon's clock forward, so that what was
// written before is old enough to be kept as a version and to go to the trash.
const clockAhead = "MEDIAFS_TEST_CLOCK_AHEAD"

func init() {
	ahead, err := time.ParseDuration(os.Getenv(clockAhead))
	if err != nil {
		return
	}
	before := tune
	tune = func(o *daemon.Options) {
		if before != nil {
			before(o)
		}
		last := o.Tune
		o.Tune = func(v *engine.Options) {
			if last != nil {
				last(v)
			}
			v.Now = func() time.Time { return time.Now().Add(ahead) }
		}
	}
}

// What is said of every file before a program saves it.
var said = []struct{ set, get, value, want string }{
	{"user.media.title", "user.media.title", "The farm", "The farm"},
	{"user.xdg.tags", "user.xdg.tags", "sheep,summer", "sheep,summer"},
	{"user.baloo.rating", "user.baloo.rating", "8", "8"},
	{"user.media.favorite", "user.media.favorites", "yes", ""}, // by whoever runs the test
}

const oldText = "one\ntwo\nthree\n"

// newText is what a program makes of oldText. No shorter than half of it.
const newText = "uno\ntwo\nthree\n"

// A save is a way in which a program replaces the bytes of note.txt, or of photo.jpg for programs
// that want a picture.
type save struct {
	name    string
	needs   []string
	file    string // note.txt when empty
	script  string // run in the folder of the file; $1 is a folder outside of the mount with the new note.txt
	do      func(t *testing.T, dir string)
	again   string // must print nothing
	backup  string // what is left beside the file: the old bytes, as a media of its own
	checked string // must print nothing: what is wrong with the new bytes
}

var saves = []save{
	{name: "rsync", needs: []string{"rsync"}, script: `rsync -a "$1/note.txt" .`, again: `rsync -ai "$1/note.txt" .`},
	{
		name:   "rsync with checksums",
		needs:  []string{"rsync"},
		script: `rsync -ac "$1/note.txt" .`,
		again:  `rsync -aci "$1/note.txt" .`,
	},
	{
		name:   "rsync in place",
		needs:  []string{"rsync"},
		script: `rsync -a --inplace --no-whole-file "$1/note.txt" .`,
		again:  `rsync -ai "$1/note.txt" .`,
	},
	{
		name:   "rsync, new files put in place at the end",
		needs:  []string{"rsync"},
		script: `rsync -a --delay-updates "$1/note.txt" .`,
		again:  `rsync -ai "$1/note.txt" .`,
	},
	{
		name:    "exiftool",
		needs:   []string{"exiftool"},
		file:    "photo.jpg",
		script:  `exiftool -q -overwrite_original -Artist=Somebody photo.jpg`,
		checked: `test "$(exiftool -s3 -Artist photo.jpg)" = Somebody || echo no artist`,
	},
	{
		name:    "exiftool in place",
		needs:   []string{"exiftool"},
		file:    "photo.jpg",
		script:  `exiftool -q -overwrite_original_in_place -Artist=Somebody photo.jpg`,
		checked: `test "$(exiftool -s3 -Artist photo.jpg)" = Somebody || echo no artist`,
	},
	{name: "sed", script: `sed -i s/one/uno/ note.txt`},
	{
		name:   "perl",
		needs:  []string{"perl"},
		script: `cp note.txt "$1/copy"; perl -pe s/one/uno/ "$1/copy" >note.new && mv note.new note.txt`,
	},
	{name: "shell", script: `cat "$1/note.txt" >note.txt`},
	{name: "cp over it", script: `cp "$1/note.txt" note.txt`},
	{name: "dd", script: `dd if="$1/note.txt" of=note.txt conv=notrunc,fsync status=none`},
	{name: "vim, writing the file itself", needs: []string{"vim.tiny"}, script: vimSaves("backupcopy=yes")},
	{name: "vim without a backup", needs: []string{"vim.tiny"}, script: vimSaves("nowritebackup")},
	// GLib's g_file_replace: gedit, GNOME Text Editor, GIMP with its own format.
	{name: "gio save", needs: []string{"gio"}, script: `gio save note.txt <"$1/note.txt"`},
	// GIMP and Darktable when they export: truncated, then written.
	{name: "truncated and written", do: func(t *testing.T, dir string) {
		f, err := os.OpenFile(filepath.Join(dir, "note.txt"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err == nil {
			_, err = f.WriteString(newText)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}},
	// Those that set the old file aside.
	{name: "vim", needs: []string{"vim.tiny"}, script: vimSaves("")},
	{name: "vim that keeps a backup", needs: []string{"vim.tiny"}, script: vimSaves("backup"), backup: "note.txt~"},
	{
		name:    "exiftool that keeps the original",
		needs:   []string{"exiftool"},
		file:    "photo.jpg",
		script:  `exiftool -q -Artist=Somebody photo.jpg`,
		checked: `test "$(exiftool -s3 -Artist photo.jpg)" = Somebody || echo no artist`,
		backup:  "photo.jpg_original",
	},
	{name: "sed that keeps a backup", script: `sed -i.bak s/one/uno/ note.txt`, backup: "note.txt.bak"},
	{
		name:   "rsync that keeps a backup",
		needs:  []string{"rsync"},
		script: `rsync -a --backup "$1/note.txt" .`,
		backup: "note.txt~",
	},
	{name: "cp that keeps a backup", script: `cp --backup=numbered "$1/note.txt" note.txt`, backup: "note.txt.~1~"},
	{
		name:   "gio save that keeps a backup",
		needs:  []string{"gio"},
		script: `gio save -b note.txt <"$1/note.txt"`,
		backup: "note.txt~",
	},
	{name: "LibreOffice", do: func(t *testing.T, dir string) { officeSave.run(t, dir) }},
}

// vimSaves has vim do the same to note.txt, with an option set. It makes no backup of files in /tmp
// unless it is told to.
func vimSaves(option string) string {
	return `vim.tiny -u NONE -i NONE -N -es --cmd 'set writebackup backupskip= ` + option + `' -c %s/one/uno/ -c wq note.txt </dev/null; rm -f .note.txt.sw?`
}

// A library in which every kind of save finds a file of its own, of which things are said, an hour
// old.
func savedLibrary(t *testing.T, folders []string) (m *machine, store, outside string) {
	t.Helper()
	needs(t, "setfattr", "getfattr")
	m = newMachine(t)
	_, store = m.localStore()
	m.mount(store)
	outside = filepath.Join(m.home, "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(outside, "note.txt"), newText)
	for _, dir := range folders {
		m.sh(
			`mkdir "$1" && cd "$1" && cp "$2" photo.jpg && printf '%s' "$3" >note.txt && touch -d '2024-05-01 12:00:00.123456789' note.txt photo.jpg`,
			dir, filepath.Join(repository(t), "testdata/media/photo.jpg"), oldText,
		)
		for _, file := range []string{"note.txt", "photo.jpg"} {
			for _, s := range said {
				m.sh(`setfattr -n "$1" -v "$2" "$3"`, s.set, s.value, filepath.Join(dir, file))
			}
		}
	}
	m.umountAfter()
	m.env = append(m.env, clockAhead+"=1h")
	m.mount(store)
	return m, store, outside
}

// umountAfter unmounts when nobody looks into the mount any more: programs leave processes behind
// for a moment, rsync its second half, a desktop its daemons, and others on the machine look at
// every mount.
func (m *machine) umountAfter() {
	m.t.Helper()
	var said string
	if !eventually(func() bool {
		code, _, stderr := m.mediafs("umount", m.mnt)
		said = stderr
		return code == exitOK
	}) {
		m.t.Fatalf("umount: %s", said)
	}
}

// attribute reads an extended attribute; empty when it is not set.
func (m *machine) attribute(file, name string) string {
	m.t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(filepath.Join(m.mnt, file), name, b)
	if err != nil && !errors.Is(err, unix.ENODATA) {
		m.t.Fatalf("%s of %s: %v", name, file, err)
	}
	return string(b[:max(n, 0)])
}

// identity is the media's id and what is said of it.
func (m *machine) identity(file string) (id string, say []string) {
	m.t.Helper()
	for _, s := range said {
		say = append(say, m.attribute(file, s.get))
	}
	return m.attribute(file, "user.media.id"), say
}

// versions are the bytes of the versions that a file's media has, oldest first.
func (m *machine) versions(file string) (all []string) {
	m.t.Helper()
	dir := filepath.Join(m.mnt, ".media/versions", file)
	entries, err := os.ReadDir(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// names are the names in a folder.
func (m *machine) names(dir string) (all []string) {
	m.t.Helper()
	entries, err := os.ReadDir(filepath.Join(m.mnt, dir))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// However a program saves, the file stays the media that it was: with its id, with all that people
// said of it, with its former bytes as a version. That holds on another machine too.
func TestIdentityOfSaves(t *testing.T) {
	folders := make([]string, len(saves))
	for i := range saves {
		folders[i] = fmt.Sprintf("%02d", i)
	}
	m, store, outside := savedLibrary(t, folders)
	var saved []func(t *testing.T)
	for i, s := range saves {
		t.Run(s.name, func(t *testing.T) {
			needs(t, s.needs...)
			dir, file := folders[i], "note.txt"
			if s.file != "" {
				file = s.file
			}
			path := filepath.Join(dir, file)
			m := &machine{t: t, home: m.home, env: m.env, mnt: m.mnt}
			id, say := m.identity(path)
			if id == "" || say[0] != said[0].want || say[1] != said[1].want || say[2] != said[2].want || say[3] == "" {
				t.Fatalf("before: media %q, %q", id, say)
			}
			old, err := os.ReadFile(filepath.Join(m.mnt, path))
			if err != nil {
				t.Fatal(err)
			}
			if s.do != nil {
				s.do(t, filepath.Join(m.mnt, dir))
			} else {
				m.sh(`cd "$2"; `+s.script, outside, dir)
			}
			check := func(t *testing.T, where string) {
				t.Helper()
				m := &machine{t: t, home: m.home, env: m.env, mnt: m.mnt}
				if now, nowSay := m.identity(path); now != id || !slices.Equal(nowSay, say) {
					t.Errorf("%s: media %s with %q, before %s with %q", where, now, nowSay, id, say)
				}
				if vs := m.versions(path); len(vs) != 1 || vs[0] != string(old) {
					t.Errorf("%s: %d versions, want one with the former %d bytes: %.100q", where, len(vs), len(old), vs)
				}
				want := []string{"note.txt", "photo.jpg"}
				if s.backup != "" {
					want = append(want, s.backup)
					slices.Sort(want)
					mustRead(t, filepath.Join(m.mnt, dir, s.backup), string(old))
					if other := m.attribute(filepath.Join(dir, s.backup), "user.media.id"); other == id ||
						len(other) != 32 {
						t.Errorf("%s: the backup is media %q", where, other)
					}
				}
				if got := m.names(dir); !slices.Equal(got, want) {
					t.Errorf("%s: in the folder: %q, want %q", where, got, want)
				}
				if s.checked == "" {
					mustRead(t, filepath.Join(m.mnt, path), newText)
				}
			}
			check(t, "here")
			for _, script := range []string{s.again, s.checked} {
				if script != "" {
					if out := m.sh(`cd "$2"; `+script, outside, dir); out != "" {
						t.Errorf("%s: %s", script, out)
					}
				}
			}
			saved = append(saved, func(t *testing.T) { check(t, s.name+", on another machine") })
		})
	}
	m.umountAfter()
	m.again(store)
	for _, check := range saved {
		check(t)
	}
	m.umountAfter()
}

// A call is one system call that a program makes on files of the mount.
type call struct {
	does  string // open, lock, write, sync, close, rename, chown, chmod, remove
	file  string // of an open file the name under which it was opened
	flags int    // of open
	to    string // of rename
	text  string // of write
	err   error  // what it is answered
}

// calls are what a program does, in order. One file is open under one name at a time.
type calls []call

// officeSave is how LibreOffice 7.4 saves letter.odt, as strace shows it, calls that only look left
// out: the document is open and locked all the time, the new one is written beside it, and renamed
// over it while it is open; then it is opened again several times.
var officeSave = calls{
	{does: "open", file: "note.txt", flags: os.O_RDWR},
	{does: "lock", file: "note.txt"},
	{does: "open", file: ".~lock.note.txt#", flags: os.O_RDONLY, err: syscall.ENOENT},
	{does: "open", file: ".~lock.note.txt#", flags: os.O_RDWR | os.O_CREATE | os.O_EXCL},
	{
		does: "write",
		file: ".~lock.note.txt#",
		text: ",somebody,machine,22.11.2026 06:11,file:///home/somebody/.config/libreoffice/4;",
	},
	{does: "close", file: ".~lock.note.txt#"},
	{does: "close", file: "note.txt"},
	{does: "open", file: "lu1680fnrfi.tmp", flags: os.O_RDWR | os.O_CREATE | os.O_EXCL},
	{does: "close", file: "lu1680fnrfi.tmp"},
	{does: "open", file: "lu1680fnrfi.tmp", flags: os.O_RDWR},
	{does: "lock", file: "lu1680fnrfi.tmp"},
	{does: "open", file: "note.txt", flags: os.O_RDWR},
	{does: "lock", file: "note.txt"},
	{does: "close", file: "note.txt"},
	{does: "write", file: "lu1680fnrfi.tmp", text: newText},
	{does: "sync", file: "lu1680fnrfi.tmp"},
	{does: "close", file: "lu1680fnrfi.tmp"},
	{does: "open", file: "note.txt", flags: os.O_RDWR | os.O_CREATE | os.O_EXCL, err: syscall.EEXIST},
	{does: "rename", file: "lu1680fnrfi.tmp", to: "note.txt"},
	{does: "chown", file: "note.txt"},
	{does: "chmod", file: "note.txt"},
	{does: "open", file: "note.txt", flags: os.O_RDWR},
	{does: "lock", file: "note.txt"},
	{does: "sync", file: "note.txt"},
	{does: "close", file: "note.txt"},
	{does: "open", file: ".~lock.note.txt#", flags: os.O_RDONLY},
	{does: "close", file: ".~lock.note.txt#"},
	{does: "remove", file: ".~lock.note.txt#"},
}

// run makes the calls in a folder.
func (cs calls) run(t *testing.T, dir string) {
	t.Helper()
	open := map[string]*os.File{}
	for i, c := range cs {
		name, f := filepath.Join(dir, c.file), open[c.file]
		var err error
		switch c.does {
		case "open":
			if f, err = os.OpenFile(name, c.flags, 0o666); err == nil {
				open[c.file] = f
				defer f.Close()
			}
		case "lock":
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		case "write":
			_, err = f.WriteAt([]byte(c.text), 0)
		case "sync":
			err = f.Sync()
		case "close":
			err = f.Close()
		case "rename":
			err = os.Rename(name, filepath.Join(dir, c.to))
		case "chown":
			err = os.Chown(name, -1, os.Getgid())
		case "chmod":
			err = os.Chmod(name, 0o644)
		case "remove":
			err = os.Remove(name)
		}
		if !errors.Is(err, c.err) {
			t.Fatalf("call %d, %s %s: %v, want %v", i, c.does, c.file, err, c.err)
		}
	}
}

// What becomes a media of its own, and what does not: copies, moves, links.
func TestIdentityOfCopies(t *testing.T) {
	folders := []string{"copy", "preserve", "move", "over", "link", "broken", "attributes"}
	m, store, outside := savedLibrary(t, folders)
	note := func(dir string) string { return dir + "/note.txt" }
	nothing := make([]string, len(said))
	same := func(file, id string, say []string) {
		t.Helper()
		if now, nowSay := m.identity(file); now != id || !slices.Equal(nowSay, say) {
			t.Errorf("%s: media %s with %q, want %s with %q", file, now, nowSay, id, say)
		}
	}
	// another is a media that came into being here, with other things said of it or none.
	another := func(file, not string, say []string) {
		t.Helper()
		if now, nowSay := m.identity(file); now == not || len(now) != 32 || !slices.Equal(nowSay, say) {
			t.Errorf("%s: media %s with %q, want another than %s with %q", file, now, nowSay, not, say)
		}
	}
	id, say := map[string]string{}, []string(nil)
	for _, dir := range folders {
		id[dir], say = m.identity(note(dir))
	}

	// cp makes a new media and says of what, and so does cp over one, which stays what it was.
	m.sh(`cp copy/note.txt copy/copy.txt`)
	another("copy/copy.txt", id["copy"], nothing)
	if from := m.attribute("copy/copy.txt", "user.media.copied_from"); from != id["copy"] {
		t.Errorf("a copy of %s says that it is one of %q", id["copy"], from)
	}
	mustRead(t, filepath.Join(m.mnt, "copy/copy.txt"), oldText)
	same(note("copy"), id["copy"], say)

	// cp -a takes along what was said, but not who likes it.
	m.sh(`cp -a preserve/note.txt preserve/copy.txt`)
	another("preserve/copy.txt", id["preserve"], append(slices.Clone(say[:3]), ""))

	// mv changes nothing but the name. Over another media it is not a save: both were there before,
	// and the other one goes to the trash.
	m.sh(`mkdir move/below && mv move/note.txt move/below/`)
	same("move/below/note.txt", id["move"], say)
	m.sh(`mv over/photo.jpg over/note.txt`)
	if now, _ := m.identity(note("over")); now == id["over"] {
		t.Errorf("a media renamed over another took its identity")
	}
	if vs := m.versions(note("over")); len(vs) != 0 {
		t.Errorf("a media renamed over another took %d versions", len(vs))
	}
	m.sh(`mv .media/trash/note.txt over/back.txt`)
	same("over/back.txt", id["over"], say)
	mustRead(t, filepath.Join(m.mnt, "over/back.txt"), oldText)

	// Two names are one media. A program that saves by rename parts them: the name that stays keeps
	// the media.
	m.sh(`ln link/note.txt link/second.txt && setfattr -n user.media.title -v Both link/second.txt`)
	both := append([]string{"Both"}, say[1:]...)
	same(note("link"), id["link"], both)
	same("link/second.txt", id["link"], both)
	m.sh(`ln broken/note.txt broken/second.txt && sed -i s/one/uno/ broken/second.txt`)
	same(note("broken"), id["broken"], say)
	mustRead(t, filepath.Join(m.mnt, note("broken")), oldText)
	another("broken/second.txt", id["broken"], nothing)
	mustRead(t, filepath.Join(m.mnt, "broken/second.txt"), newText)

	// rsync -X brings what the source says; it wins over what was said here.
	if unix.Setxattr(filepath.Join(outside, "note.txt"), "user.media.title", []byte("From the card"), 0) == nil {
		needs(t, "rsync")
		m.sh(`rsync -aX "$1/note.txt" attributes/`, outside)
		same(note("attributes"), id["attributes"], append([]string{"From the card"}, say[1:]...))
		if vs := m.versions(note("attributes")); len(vs) != 1 || vs[0] != oldText {
			t.Errorf("versions after rsync -X: %q", vs)
		}
	} else {
		t.Logf("%s keeps no extended attributes: rsync -X is not tried", outside)
	}

	states := map[string]string{}
	for _, file := range []string{"copy/copy.txt", "preserve/copy.txt", "move/below/note.txt", "over/back.txt", "link/second.txt", "broken/note.txt"} {
		now, nowSay := m.identity(file)
		states[file] = fmt.Sprint(now, nowSay)
	}
	m.umountAfter()
	m.again(store)
	for file, want := range states {
		if now, nowSay := m.identity(file); fmt.Sprint(now, nowSay) != want {
			t.Errorf("%s on another machine: %s %q, want %s", file, now, nowSay, want)
		}
	}
	m.umountAfter()
}
