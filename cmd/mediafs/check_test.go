package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket"
	"mediafs/remote/object/dir"
	"mediafs/remote/storetest/wiretap"
)

// A shelf is a library in a local directory, made without a mount: three media, of which one was
// edited an hour after it was made.
type shelf struct {
	t   *testing.T
	dir string
	url string
}

const spiteful = "\x1b[31mred\xff.jpg" // a name that would colour the terminal, and is not UTF-8

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: filepath.Join(t.TempDir(), "store")}
	s.url = fileURL(s.dir)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := dir.Open(s.dir, dir.Options{Create: true})
	ok(err)
	store, err := bucket.Create(t.Context(), b, bucket.Options{})
	ok(err)
	defer store.Close()
	mine, now := t.TempDir(), time.Now().Add(-time.Hour)
	lib, err := engine.Open(
		t.Context(),
		engine.Options{
			Store:    store,
			Catalog:  catalog.Options{Dir: filepath.Join(mine, "catalog"), Machine: []byte("m")},
			Cache:    block.Options{},
			SpoolDir: filepath.Join(mine, "spool"),
			Trash:    24 * time.Hour,
			Now:      func() time.Time { return now },
		},
	)
	ok(err)
	put := func(f vfs.File, data string) {
		_, err := f.Write(t.Context(), []byte(data), 0)
		ok(err)
		ok(f.Fsync(t.Context()))
		f.Release()
	}
	for _, name := range []string{"a.txt", "b.txt", spiteful} {
		_, f, err := lib.Create(t.Context(), vfs.Caller{}, vfs.Root, name, 0o644, uint32(os.O_RDWR))
		ok(err)
		put(f, "content of "+name)
	}
	now = now.Add(time.Hour)
	a, err := lib.Lookup(t.Context(), vfs.Root, "b.txt")
	ok(err)
	f, err := lib.Open(t.Context(), vfs.Caller{}, a.ID, uint32(os.O_WRONLY|os.O_TRUNC))
	ok(err)
	put(f, "edited")
	ok(lib.Close())
	return s
}

// holding finds the object of the content that has these bytes.
func (s *shelf) holding(data string) string {
	s.t.Helper()
	for name, b := range s.bytes() {
		if b == data {
			return filepath.Join(s.dir, name)
		}
	}
	s.t.Fatalf("no object holds %q", data)
	return ""
}

// bytes are all objects.
func (s *shelf) bytes() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, name := range objects(s.t, s.dir, "") {
		b, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		rel, err := filepath.Rel(s.dir, name)
		if err != nil {
			s.t.Fatal(err)
		}
		all[rel] = string(b)
	}
	return all
}

// What check says, in words and JSON, with its exit code, of a library that is sound and of one
// that is not.
func TestCheck(t *testing.T) {
	s, temp := newShelf(t), t.TempDir()
	user := newSession(t)
	user.env["TMPDIR"] = temp
	before := s.bytes()
	code, stdout, stderr := user.run(t, "check", s.url, "--data")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "no damage, 0 notes\n") ||
		!strings.Contains(stdout, "4 (") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if !maps.Equal(before, s.bytes()) {
		t.Error("check changed the store")
	}
	if entries, err := os.ReadDir(user.home); err != nil || len(entries) != 0 {
		t.Errorf("check made %v in the home folder (%v)", entries, err)
	}

	red, old := s.holding("content of "+spiteful), s.holding("content of b.txt")
	if err := errors.Join(
		os.Chmod(red, 0o600), os.WriteFile(red, []byte("CONTENT of "+spiteful), 0o600), os.Remove(old),
	); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "notes\n.txt"), "x")
	code, stdout, stderr = user.run(t, "check", "--data", s.url)
	if code != exitDamage || stderr != "mediafs: the library is damaged in 2 places\n" ||
		strings.Contains(stdout, "\x1b") ||
		strings.Contains(stdout, "\xff") {
		t.Errorf("exit code %d\n%q\n%s", code, stdout, stderr)
	}
	for _, line := range []string{
		`damaged: /\x1b[31mred\xff.jpg: content `, "damaged: version 1 of /b.txt: content ", ": the object is not there; these bytes of the media are lost from the store: restore the object",
		`note: notes\n.txt: 1 bytes; it is none of the library's`, "damage in 2 places, 1 note\n",
	} {
		if !strings.Contains(stdout, line) {
			t.Errorf("%q lacks %q", stdout, line)
		}
	}
	if code, stdout, _ := user.run(t, "check", s.url); code != exitDamage || strings.Contains(stdout, "red") {
		t.Errorf("without --data: exit code %d\n%s", code, stdout)
	}

	code, stdout, _ = user.run(t, "check", "--data", "--json", s.url)
	var doc struct {
		Library  string
		Sound    bool
		Damaged  int
		Noted    int
		Commit   uint64
		Read     struct{ Count, Bytes int64 } `json:"contents_read"`
		Findings []struct {
			Class, Path, What, Means, Advice string
			Damage                           bool
			Version                          int
			Bytes                            []byte `json:"path_bytes"`
		}
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	if err := d.Decode(&doc); err != nil || d.More() || code != exitDamage {
		t.Fatalf("exit code %d, %v\n%s", code, err, stdout)
	}
	if doc.Library == "" || doc.Sound || doc.Damaged != 2 || doc.Noted != 1 || doc.Commit == 0 || doc.Read.Count != 3 ||
		len(doc.Findings) != 3 {
		t.Errorf("%+v", doc)
	}
	for _, f := range doc.Findings {
		switch f.Class {
		case "content-altered":
			if string(f.Bytes) != "/"+spiteful || !f.Damage || f.Advice == "" {
				t.Errorf("%+v", f)
			}
		case "content-missing":
			if f.Path != "/b.txt" || f.Bytes != nil || f.Version != 1 {
				t.Errorf("%+v", f)
			}
		case "foreign-object":
			if f.Damage || f.Advice != "" || f.What != "notes\n.txt" {
				t.Errorf("%+v", f)
			}
		default:
			t.Errorf("%+v", f)
		}
	}
}

// Which library is meant, and what is said when there is none.
func TestCheckedLibrary(t *testing.T) {
	s := newShelf(t)
	user := newSession(t)
	for _, tt := range []struct {
		args   string
		config string
		code   int
		says   string
	}{
		{args: "check", code: exitNoLibrary, says: ".local/share/mediafs/library: does not exist"},
		{args: "check", config: "[default]\nstore = '" + s.url + "'\ncache-size = '1GiB'\n", code: exitOK},
		{args: "check shelf", config: "[library.shelf]\nstore = '" + s.url + "'\ntrash = 3\nprofile = 'p'\n", code: exitOK},
		{args: "gc --dry-run shelf", config: "[library.shelf]\nstore = '" + s.url + "'\n", code: exitOK},
		{args: "check shelves", code: exitUsage, says: "shelves is neither a URL"},
		{args: "check " + s.dir, code: exitUsage, says: "nothing of mediafs is mounted there"},
		{args: "check file://" + s.dir + "/content", code: exitNoLibrary, says: "no library"},
		{args: "check s3://key:secret@host/b", code: exitUsage, says: "holds credentials"},
		{args: "check --temp-dir=" + s.dir + "/none " + s.url, code: exitUsage, says: "temporary directory"},
		{args: "check --config=" + s.dir + "/none", code: exitUsage, says: "no such file"},
		{args: "check --connect-timeout=x", code: exitUsage, says: "not a length of time"},
		{args: "check a b", code: exitUsage, says: "too many arguments"},
		{args: "gc " + s.url, code: exitUsage, says: "not built yet"},
	} {
		user.configure(t, tt.config)
		code, stdout, stderr := user.run(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stderr, tt.says) || (code == exitOK) != (stdout != "") ||
			strings.Contains(stderr, "secret") ||
			strings.Contains(stderr, "--create") {
			t.Errorf("%s: exit code %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
}

func TestGCDryRun(t *testing.T) {
	s := newShelf(t)
	user := newSession(t)
	old := time.Now().Add(-49 * time.Hour)
	lost := filepath.Join(s.dir, "content/ab", "ab"+strings.Repeat("0", 30))
	if err := os.MkdirAll(filepath.Dir(lost), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, lost, "twelve bytes")
	if err := os.Chtimes(lost, old, old); err != nil {
		t.Fatal(err)
	}
	before := s.bytes()
	code, stdout, stderr := user.run(t, "gc", "--dry-run", "--list", s.url)
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "content          12 B  content/ab/ab000") ||
		!strings.Contains(stdout, "content     1 (12 B)") ||
		!strings.Contains(stdout, "commit      0 (0 B)") ||
		!strings.HasSuffix(stdout, "nothing was deleted\n") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	var doc struct {
		Sums  map[string]struct{ Count, Bytes int64 }
		Items []struct {
			Class, What string
			Bytes       int64
			Modified    time.Time
		}
	}
	code, stdout, _ = user.run(t, "gc", "--dry-run", "--list", "--json", s.url)
	if err := json.Unmarshal(
		[]byte(stdout), &doc,
	); err != nil || code != exitOK || len(doc.Items) != 1 || doc.Items[0].Bytes != 12 || !doc.Items[0].Modified.Equal(old) ||
		doc.Sums["content"].Bytes != 12 ||
		len(doc.Sums) != 11 {
		t.Errorf("exit code %d, %v\n%s", code, err, stdout)
	}
	code, stdout, _ = user.run(t, "gc", "--dry-run", "--json", s.url)
	if code != exitOK || strings.Contains(stdout, "items") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if !maps.Equal(before, s.bytes()) {
		t.Error("gc --dry-run changed the store")
	}
	// What cannot be read as a whole cannot be judged.
	if err := os.Remove(slices.Sorted(slices.Values(objects(t, s.dir, "log")))[1]); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := user.run(t, "gc", "--dry-run", s.url); code != exitDamage {
		t.Errorf("of a log with a gap: exit code %d, %s", code, stderr)
	}
	if code, stdout, _ := user.run(t, "check", s.url); code != exitDamage ||
		!strings.Contains(stdout, "damaged: log from commit 2 to 2: ") {
		t.Errorf("of a log with a gap: exit code %d\n%s", code, stdout)
	}
}

// A library can be checked while it is mounted, by its mount point and by its store.
func TestCheckWhileMounted(t *testing.T) {
	m := newMachine(t)
	store, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "a.txt"), "one")
	if err := os.Mkdir(filepath.Join(m.mnt, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.mnt, "folder/b.txt"), "two")
	m.do("flush", m.mnt)
	f, err := os.OpenFile(filepath.Join(m.mnt, "c.txt"), os.O_RDWR|os.O_CREATE, 0o644) // being written
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("three"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{url, m.mnt, filepath.Join(m.mnt, "folder")} {
		if code, stdout, stderr := m.mediafs("check", "--data", name); code != exitOK ||
			!strings.Contains(stdout, "no damage") {
			t.Errorf("check %s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	for _, name := range objects(t, store, "content") {
		if b, err := os.ReadFile(name); err == nil && string(b) == "two" {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	code, stdout, _ := m.mediafs("check", m.mnt)
	if code != exitDamage || !strings.Contains(stdout, "damaged: "+filepath.Join(m.mnt, "folder/b.txt")+": ") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if code, stdout, stderr := m.mediafs("gc", "--dry-run", m.mnt); code != exitOK ||
		!strings.Contains(stdout, "nothing was deleted") {
		t.Errorf("gc: exit code %d\n%s%s", code, stdout, stderr)
	}
	mustRead(t, filepath.Join(m.mnt, "a.txt"), "one")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.umount()
}

// Interrupted in the middle of its work, check leaves nothing behind.
func TestCheckInterrupted(t *testing.T) {
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	write(t, filepath.Join(m.mnt, "a.txt"), "one")
	m.umount()
	if code, stdout, stderr := m.mediafs("check", w.store, "--data"); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	there := make(chan struct{}, 1)
	defer w.tap.Fault(wiretap.Fault{BlackHole: true, Match: func(r *wiretap.Request) bool {
		hit := r.Method == http.MethodGet && strings.HasPrefix(r.Key, "content/") ||
			r.Kind() == "list" && strings.HasPrefix(r.Query.Get("prefix"), "content/")
		if hit {
			select {
			case there <- struct{}{}:
			default:
			}
		}
		return hit
	}})()
	temp := t.TempDir()
	cmd := m.command(t.Context(), "check", "--temp-dir="+temp, w.store)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-there:
	case <-time.After(commandDeadline):
		t.Error("contents were never listed")
	}
	entries, err := os.ReadDir(temp)
	if err != nil || len(entries) != 1 {
		t.Fatalf("in the temporary directory: %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("the copy of the catalog: %v, %v", info.Mode(), err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed || out.Len() > 0 ||
		!strings.Contains(errs.String(), "interrupted") {
		t.Errorf("%v\n%s%s", err, &out, &errs)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// On a terminal the work shows how far it is, and takes that away again.
func TestCheckAtATerminal(t *testing.T) {
	s := newShelf(t)
	program, person := terminal(t)
	user := newSession(t)
	env := user.env
	said := make(chan string)
	go func() {
		var all []byte
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil || bytes.Contains(all, []byte("#")) {
				said <- string(all)
				return
			}
		}
	}()
	var out bytes.Buffer
	code := Main(
		t.Context(), []string{"mediafs", "check", "--data", s.url}, func(k string) string { return env[k] },
		strings.NewReader(""), &out, program,
	)
	fmt.Fprint(program, "#")
	if text := <-said; code != exitOK || !strings.Contains(text, "\r\x1b[Kreading contents: 0 B of ") ||
		!strings.HasSuffix(text, "\r\x1b[K#") ||
		strings.Contains(out.String(), "\x1b") {
		t.Errorf("exit code %d, %q", code, text)
	}
}
