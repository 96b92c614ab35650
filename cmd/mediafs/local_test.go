package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What desktop systems drop stays on the machine that dropped it: trees with it are copied, edited
// and deleted as on a disk, not a byte of it is sent, and another machine does not see it.
func TestLocalNames(t *testing.T) {
	needs(t, "rsync", "setfattr")
	w := newWire(t)
	m := w.machine()
	tree := filepath.Join(m.home, "card")
	const marked = "\x00\x05\x16\x07resource fork of " // AppleDouble; is in every file that must not be sent
	for _, folder := range []string{"", "100MEDIA", "100MEDIA/deep"} {
		if err := os.MkdirAll(filepath.Join(tree, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"IMG_1.JPG", "IMG_2.JPG"} {
			write(t, filepath.Join(tree, folder, name), "picture "+folder+name)
			write(t, filepath.Join(tree, folder, "._"+name), marked+name)
		}
		for _, name := range []string{".DS_Store", "Thumbs.db", "desktop.ini"} {
			write(t, filepath.Join(tree, folder, name), marked+name)
		}
	}
	m.mount(w.store)
	m.sh(`rsync -aX "$1/" copied/ && cp -a "$1" plain && mkdir only`, tree) // only: a folder for nothing else
	m.do("flush", m.mnt)
	mark := w.settle()
	m.sh(`cp -p "$1"/._* "$1/.DS_Store" "$1/Thumbs.db" only/
		echo more >>only/._IMG_1.JPG
		setfattr -n user.mark -v yes only/.DS_Store
		chmod 600 only/Thumbs.db; touch -d 2001-02-03 only/Thumbs.db
		mv only/._IMG_2.JPG copied/100MEDIA/._moved
		if rmdir only; then exit 1; fi 2>/dev/null
		find . -type f | wc -l; ls -la only`, tree)
	m.do("flush", m.mnt)
	w.settle()
	for _, r := range w.tap.Since(mark) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			t.Errorf("%s %s: %d bytes were sent", r.Method, r.Key, r.Sent)
		}
	}

	// A copy out of the library has everything, and rsync sees no difference.
	m.compare(tree, filepath.Join(m.mnt, "plain"))
	m.sh(
		`mv copied/100MEDIA/._moved only/ && mv only/._moved only/in-the-library && cp only/in-the-library only/._again && rm only/._again`,
	)

	other := w.machine()
	other.mount(w.store)
	if got := other.sh(`find . -name '._*' -o -name .DS_Store -o -name 'Thumbs.db' -o -name desktop.ini`); got != "" {
		t.Errorf("the other machine sees\n%s", got)
	}
	if got := other.sh(
		`cd copied && find . -type f | sort`,
	); got != "./100MEDIA/IMG_1.JPG\n./100MEDIA/IMG_2.JPG\n./100MEDIA/deep/IMG_1.JPG\n./100MEDIA/deep/IMG_2.JPG\n./IMG_1.JPG\n./IMG_2.JPG\n" {
		t.Errorf("the other machine sees\n%s", got)
	}
	if got := other.sh(`cat only/in-the-library`); got != marked+"IMG_2.JPG" {
		t.Errorf("a dropping that lost its name holds %q", got)
	}
	other.sh(`echo mine >only/.DS_Store && rm -r plain/100MEDIA/deep/*.JPG`)

	// They are there after a crash, and only here.
	m.kill()
	m.umount()
	m.mount(w.store)
	if got := m.sh(
		`cat only/._IMG_1.JPG; getfattr --only-values -n user.mark only/.DS_Store; stat -c ' %a %Y' only/Thumbs.db`,
	); !strings.HasPrefix(got, marked+"IMG_1.JPGmore\nyes 600 98") {
		t.Errorf("after a crash: %q", got)
	}
	m.sh(`rm -r copied plain only && test -z "$(ls -A)"`)
	m.umount()
	left, err := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*/local/*/*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	other.umount()

	// With none, they are files of the library.
	m.mount(w.store, "--local-names=none")
	m.sh(`echo all >.DS_Store`)
	m.umount()
	other.mount(w.store)
	if got := other.sh(`cat .DS_Store`); got != "all\n" {
		t.Errorf("%q", got)
	}
	other.umount()
}

// A name that only looks like one that stays here is no matter: rsync's temporary file of a photo
// costs its bytes once, and every rename and link within a folder succeeds, whichever names it is
// about.
func TestNamesThatLookLocal(t *testing.T) {
	needs(t, "rsync")
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	photo := filepath.Join(m.home, "_DSC0001.JPG")
	data := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	write(t, photo, string(data))
	mark := w.settle()
	m.sh(`rsync -a "$1" .`, photo)
	m.do("flush", m.mnt)
	w.settle()
	sent := int64(0)
	for _, r := range w.tap.Since(mark) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			sent += r.Sent
		}
	}
	if sent < 3<<20 || sent > 4<<20 {
		t.Errorf("rsync of %d bytes sent %d", len(data), sent)
	}

	const double = "\x00\x05\x16\x07 resource fork"
	p := func(name string) string { return filepath.Join(m.mnt, name) }
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	write(t, p("._DSC0002.JPG.tmp1"), "new")
	ok(os.Rename(p("._DSC0002.JPG.tmp1"), p("_DSC0002.JPG")))
	write(t, p("plain"), "plain")
	ok(os.Rename(p("plain"), p("._plain")))
	write(t, p("file"), "file")
	ok(os.Link(p("file"), p("._file")))
	write(t, p("._fork"), double)
	ok(os.Link(p("._fork"), p("fork")))
	write(t, p("._a"), double)
	write(t, p("b"), "b")
	ok(unix.Renameat2(unix.AT_FDCWD, p("._a"), unix.AT_FDCWD, p("b"), unix.RENAME_EXCHANGE))
	ok(os.Mkdir(p("._dir"), 0o755))
	ok(os.Rename(p("._dir"), p("dir")))

	// Who has it open goes on with it, and sees one file.
	f, err := os.Create(p("._open"))
	ok(err)
	_, err = f.WriteString(double)
	ok(err)
	ok(os.Rename(p("._open"), p("open")))
	_, err = f.WriteString(" and more")
	ok(err)
	before, err := f.Stat()
	ok(err)
	after, err := os.Stat(p("open"))
	ok(err)
	if before.Size() != int64(len(double+" and more")) || !os.SameFile(before, after) {
		t.Errorf("open as %v, found as %v", before, after)
	}
	ok(f.Close())
	m.do("flush", m.mnt)

	other := w.machine()
	other.mount(w.store)
	for name, want := range map[string]string{
		"_DSC0001.JPG": string(data), "_DSC0002.JPG": "new", "._plain": "plain", "file": "file", "._file": "file",
		"fork": double, "._fork": double, "b": double, "._a": "b", "open": double + " and more",
	} {
		got, err := os.ReadFile(filepath.Join(other.mnt, name))
		if err != nil || string(got) != want {
			t.Errorf("the other machine: %s: %d bytes, %v", name, len(got), err)
		}
	}
	m.umount()
	other.umount()
}

func TestNameList(t *testing.T) {
	for text, want := range map[string][]string{
		"none": {}, "/": {}, "/._*/.DS_Store/": {"._*", ".DS_Store"}, "~$*": {"~$*"}, string(defaultNames): nil,
	} {
		var l nameList
		if err := l.UnmarshalText(
			[]byte(text),
		); err != nil || !slices.Equal(l.names(), want) ||
			(l.names() == nil) != (want == nil) {
			t.Errorf("%q: %q, %v", text, l.names(), err)
		}
	}
	for _, text := range []string{"*", "a*b", ".", ".*"} {
		var l nameList
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
