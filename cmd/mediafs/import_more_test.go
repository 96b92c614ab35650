package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/fs/transfer"

	"golang.org/x/sys/unix"
)

// A copy has all that the original had; a second one copies only what changed.
func TestImportTree(t *testing.T) {
	m := newMachine(t)
	store := fileURL(filepath.Join(m.home, "store"))
	if err := os.Mkdir(filepath.Join(m.home, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(tree, "a/b"), 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "a/b/film.mov"), strings.Repeat("film", 100000))
	write(t, filepath.Join(tree, "a/b/film.mov.xmp"), "<x:xmpmeta/>")
	for _, name := range []string{"\xff\x1b[31m", "new\nline", strings.Repeat("n", 255), "a.mediafs-part.jpg"} {
		write(t, filepath.Join(tree, "a", name), "content of "+name)
	}
	if err := unix.Mkfifo(filepath.Join(tree, "a/fifo"), 0o640); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1234567890, 123456789)
	for _, err := range []error{
		os.Link(filepath.Join(tree, "a/b/film.mov"), filepath.Join(tree, "a/second name")),
		unix.Setxattr(filepath.Join(tree, "a/b/film.mov"), "user.note", []byte("x\x00y"), 0),
		os.Truncate(filepath.Join(tree, "a/b/film.mov"), 20<<20),
		os.Symlink("b/film.mov", filepath.Join(tree, "a/link")),
		os.Chtimes(filepath.Join(tree, "a/b/film.mov"), old, old),
		os.Chtimes(filepath.Join(tree, "a/b"), old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.mount(store)
	copied := filepath.Join(m.mnt, "copied", "here")
	imported := func(flags ...string) (s transfer.TreeSummary) {
		t.Helper()
		code, stdout, stderr := m.mediafs(append([]string{"import", "--json", tree, copied}, flags...)...)
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != exitOK {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
		}
		return s
	}
	if s := imported("--dry-run"); s.Copied == 0 || countFiles(t, m.mnt) != 0 {
		t.Errorf("a dry run: %+v", s)
	}
	s := imported("--verify")
	if s.Copied == 0 || s.Verified != s.Copied || s.Unchanged != 0 || s.Failed != 0 || s.Links < 2 || s.Bytes > 5<<20 {
		t.Errorf("the copy: %+v", s)
	}
	m.compare(filepath.Join(tree, "a"), filepath.Join(copied, "a"))
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(copied, "a/b/film.mov"), &st); err != nil || st.Blocks*512 > 10<<20 ||
		st.Nlink != 2 {
		t.Errorf("the hole: %+v, %v", st, err)
	}
	again := imported()
	if again.Copied != 0 || again.Folders != 0 || again.Links != 0 || again.Unchanged == 0 {
		t.Errorf("again: %+v", again)
	}
	write(t, filepath.Join(tree, "a/new.txt"), "new")
	write(t, filepath.Join(tree, "a/b/film.mov.xmp"), "<x:xmpmeta>2</x:xmpmeta>")
	write(t, filepath.Join(copied, "a/left.mediafs-part"), "of a copy that was broken off")
	if s := imported(); s.Copied != 2 || s.Unchanged != again.Unchanged-1 {
		t.Errorf("after a change: %+v", s)
	}
	if got, err := os.ReadFile(
		filepath.Join(copied, "a/b/film.mov.xmp"),
	); err != nil ||
		!strings.Contains(string(got), "2") {
		t.Errorf("what changed reads %q, %v", got, err)
	}
	if code, _, stderr := m.mediafs("import", filepath.Join(t.TempDir(), "none"), copied); code == exitOK ||
		!strings.Contains(stderr, "does not exist") {
		t.Errorf("no tree: exit code %d, %s", code, stderr)
	}
	m.umount()
}

// comparableNode takes off an export what another library cannot have: ids, times of changes, and
// where the bytes lie.
func comparableNode(n map[string]any) map[string]any {
	n = maps.Clone(n)
	for _, field := range []string{"node", "ctime", "btime", "atime", "head", "contents", "versions"} {
		delete(n, field)
	}
	if media, ok := n["media"].(map[string]any); ok {
		media = maps.Clone(media)
		// What the bytes say is read behind, in each library at its own time.
		for _, field := range []string{"id", "node", "folder_id", "uploaded", "edited", "facts", "type", "class", "sha256", "md5", "ready"} {
			delete(media, field)
		}
		n["media"] = media
	}
	return n
}

// What was said in one library is said in another that has the same files: their exports are equal
// but for ids and times.
func TestRecords(t *testing.T) {
	m := newMachine(t)
	stores := map[string]string{}
	for _, name := range []string{"first", "second"} {
		dir := filepath.Join(m.home, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		stores[name] = fileURL(dir)
	}
	m.mount(stores["first"])
	m.sh(
		`mkdir -p 2019/summer; echo one > 2019/summer/a.jpg; echo two > b.jpg; ln b.jpg "second name.jpg"; echo three > c.jpg; echo four > $'\xff.jpg'; ln -s b.jpg soft`,
	)
	set := func(file, name, value string) {
		t.Helper()
		if err := unix.Setxattr(filepath.Join(m.mnt, file), name, []byte(value), 0); err != nil {
			t.Fatalf("set %s of %s: %v", name, file, err)
		}
	}
	set("2019/summer/a.jpg", "user.media.title", "A day by the <sea>")
	set("2019/summer/a.jpg", "user.xdg.tags", "sea,summer 2019")
	set("2019/summer/a.jpg", "user.media.place", "52.5,13.4,34")
	set("2019/summer/a.jpg", "user.media.comment", "first")
	set("2019/summer/a.jpg", "user.media.comment", "second")
	set("2019/summer/a.jpg", "user.media.vote", "4")
	set("b.jpg", "user.media.favorite", "yes")
	set("b.jpg", "user.media.rating", "7")
	set("b.jpg", "user.media.description", "two\nlines")
	set("\xff.jpg", "user.media.hidden", "yes")
	m.sh(
		`touch -d @1500000000 2019/summer/a.jpg b.jpg c.jpg $'\xff.jpg'; touch -h -d @1500000000 soft; touch -d @1500000000 2019/summer 2019 .`,
	)
	first := filepath.Join(m.home, "first.jsonl")
	m.do("export", m.mnt, "-o", first)
	aside := filepath.Join(m.home, "aside")
	m.sh(`cp -a --no-preserve=xattr . "$1"`, aside)
	m.umount()

	m.mount(stores["second"])
	m.sh(`cp -a "$1/." .`, aside)
	m.do("flush", m.mnt)
	records := func(args ...string) (s transfer.RecordsSummary) {
		t.Helper()
		code, stdout, stderr := m.mediafs(append([]string{"import", "--json", "--records", first}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != exitOK {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
		}
		return s
	}
	if s := records(m.mnt, "--dry-run"); s.Media != 4 || s.Changed != 3 {
		t.Errorf("a dry run: %+v", s)
	}
	if s := records(
		m.mnt,
	); s.Media != 4 || s.Changed != 3 || s.Unchanged != 1 || s.Missing+s.Failed != 0 ||
		len(s.Examples) != 0 {
		t.Errorf("records: %+v", s)
	}
	if s := records(m.mnt); s.Changed != 0 || s.Unchanged != 4 {
		t.Errorf("again: %+v", s)
	}
	m.umount()
	if s := records("--library", stores["second"]); s.Changed != 0 || s.Unchanged != 4 {
		t.Errorf("not mounted: %+v", s)
	}

	read := func(file string) exported {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return readExport(t, string(b))
	}
	second := filepath.Join(m.home, "second.jsonl")
	m.do("export", "--library", stores["second"], "-o", second)
	a, b := read(first), read(second)
	if !slices.Equal(a.order, b.order) || len(a.order) != 8 {
		t.Errorf("nodes %q and %q", a.order, b.order)
	}
	for path, n := range a.nodes {
		if x, y := comparableNode(n), comparableNode(b.nodes[path]); !reflect.DeepEqual(x, y) {
			t.Errorf("%s was\n%v\nand is\n%v", path, x, y)
		}
	}
	said := b.nodes["/2019/summer/a.jpg"]["media"].(map[string]any)
	if said["title"] != "A day by the <sea>" || len(said["comments"].([]any)) != 2 ||
		said["counts"].(map[string]any)["votes"].(float64) != 1 {
		t.Errorf("a.jpg: %v", said)
	}

	write(t, filepath.Join(m.home, "other.jsonl"), "{\"format\":\"other\"}\n")
	if code, _, stderr := m.mediafs(
		"import", "--records", filepath.Join(m.home, "other.jsonl"), "--library", stores["second"],
	); code != exitUsage ||
		!strings.Contains(stderr, "mediafs export writes such files") {
		t.Errorf("no export: exit code %d, %s", code, stderr)
	}
}
