package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/fs/transfer"
	"mediafs/remote/object"
	"mediafs/remote/object/s3"
)

// others is a bucket as other tools see it: not through the tap.
func (w *wire) others() *s3.Bucket {
	w.t.Helper()
	b, err := s3.Open(
		w.t.Context(),
		s3.Options{Endpoint: w.server.Endpoint, Region: w.server.Region, Bucket: w.server.Bucket, AllowHTTP: true,
			AccessKey: w.server.AccessKey, SecretKey: s3.Secret(w.server.SecretKey)},
	)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { b.Close() })
	return b
}

// scanned is the key and the bytes of object i, laid out as rclone copies a tree of folders.
func scanned(i, state int) (key, body string) {
	return fmt.Sprintf("archive/%d/%02d/roll %02d/IMG_%05d.jpg", 2010+i%5, 1+i%12, i%10, i),
		strings.Repeat(fmt.Sprintf("object %d in state %d\n", i, state), 100)
}

func putAll(t *testing.T, b object.Bucket, from, to, state int) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for i := from; i < to; i++ {
		g.Go(func() error {
			key, body := scanned(i, state)
			_, err := b.Put(
				t.Context(), key, strings.NewReader(body), int64(len(body)), object.PutOptions{Type: "image/jpeg"},
			)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// importJSON runs an import that must work.
func (m *machine) importJSON(args ...string) (s transfer.ObjectsSummary) {
	m.t.Helper()
	code, stdout, stderr := m.mediafs(append([]string{"import", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != exitOK {
		m.t.Fatalf("import %q: exit code %d, %v\n%s%s", args, code, err, stdout, stderr)
	}
	return s
}

// listAll is what the bucket has below a prefix.
func listAll(t *testing.T, b *s3.Bucket, prefix string) map[string]object.Info {
	t.Helper()
	all := map[string]object.Info{}
	for after := ""; ; {
		page, more, err := b.ListAll(t.Context(), prefix, after, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			all[i.Key], after = i, i.Key
		}
		if !more {
			return all
		}
	}
}

// countFiles is how many regular files a tree has.
func countFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An archive of thousands of objects becomes media where it lies: no byte of it is copied, none of
// it is changed, and whatever happens to it later is found by the next import.
func TestImportInPlace(t *testing.T) {
	objects, changed, added, deleted := 10000, 100, 50, 20
	if testing.Short() {
		objects = 1000
	}
	w := newWire(t)
	others := w.others()
	putAll(t, others, 0, objects, 1)
	before := listAll(t, others, "archive/")
	m := w.machine()
	m.mount(w.store)

	puts := func(mark int) (bytes int64, commits int) {
		for _, r := range w.tap.Since(mark) {
			if r.Method == http.MethodPut || r.Method == http.MethodPost {
				bytes += r.Sent
				if strings.HasPrefix(r.Key, "log/") {
					commits++
				}
			}
		}
		return bytes, commits
	}
	mark := w.settle()
	if s := m.importJSON("--dry-run", m.mnt, "s3://"+w.server.Bucket+"/archive", "--to", "scans"); s.Imported != int64(
		objects,
	) {
		t.Errorf("a dry run says %+v", s)
	}
	if n := countFiles(t, m.mnt); n != 0 {
		t.Errorf("a dry run made %d files", n)
	}
	began := time.Now()
	s := m.importJSON(m.mnt, "archive", "--to", "scans")
	if s.Imported != int64(objects) || s.Objects != int64(objects) ||
		s.Updated+s.Unchanged+s.Skipped+s.Gone+s.Left != 0 ||
		s.Folders == 0 {
		t.Errorf("the import says %+v", s)
	}
	m.do("flush", m.mnt)
	sent, commits := puts(mark)
	t.Logf(
		"%d objects in %s: %d bytes put, %d commits", objects, time.Since(began).Round(time.Millisecond), sent, commits,
	)
	if sent >= 5<<20 {
		t.Errorf("%d bytes were put", sent)
	}
	after := listAll(t, others, "archive/")
	if len(after) != len(before) {
		t.Errorf("%d objects are left of %d", len(after), len(before))
	}
	for key, i := range before {
		if a := after[key]; a.ETag != i.ETag || !a.Modified.Equal(i.Modified) || a.Size != i.Size {
			t.Errorf("%s was %+v and is %+v", key, i, a)
		}
	}
	if n := countFiles(t, filepath.Join(m.mnt, "scans")); n != objects {
		t.Errorf("%d files are there", n)
	}
	file := func(i int) string {
		key, _ := scanned(i, 0)
		return filepath.Join(m.mnt, "scans", strings.TrimPrefix(key, "archive/"))
	}
	read := func(i, state int) {
		t.Helper()
		_, body := scanned(i, state)
		if got, err := os.ReadFile(file(i)); err != nil || string(got) != body {
			t.Errorf("%s reads %.40q, %v", file(i), got, err)
		}
	}
	for i := 0; i < objects; i += objects / 50 {
		read(i, 1)
	}
	key, _ := scanned(7, 1)
	if info, err := os.Stat(
		file(7),
	); err != nil || info.ModTime().Unix() != before[key].Modified.Unix() ||
		info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v; the object is of %s", info, err, before[key].Modified)
	}

	// Nothing new: nothing is written, but for what is read out of the bytes meanwhile, which ends.
	for try := 1; ; try++ {
		m.do("flush", m.mnt)
		mark = w.settle()
		if s := m.importJSON(m.mnt, "archive", "--to", "scans"); s.Unchanged != int64(objects) ||
			s.Imported+s.Updated+s.Skipped+s.Gone+s.Left != 0 {
			t.Fatalf("import %d says %+v", try+1, s)
		}
		m.do("flush", m.mnt)
		sent, _ := puts(mark)
		if sent <= 1<<10 {
			break
		}
		if try == 20 {
			t.Fatalf("an import of nothing new put %d bytes", sent)
		}
	}

	// One is edited here, one deleted, one moved: their objects stay as they are, and later imports
	// know them.
	edited, binned, moved := objects-1, objects-2, objects-3
	if err := os.WriteFile(file(edited), []byte("edited"), 0o644); err != nil {
		t.Error(err)
	}
	if err := os.Remove(file(binned)); err != nil {
		t.Error(err)
	}
	if err := os.Rename(file(moved), filepath.Join(m.mnt, "moved.jpg")); err != nil {
		t.Error(err)
	}
	// Others replace, add and delete.
	putAll(t, others, 0, changed, 2)
	putAll(t, others, moved, moved+1, 2)
	putAll(t, others, objects, objects+added, 1)
	for i := changed; i < changed+deleted; i++ {
		key, _ := scanned(i, 1)
		if err := others.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.ReadFile(file(changed + 7)); err == nil {
		t.Error("a deleted object can be read")
	}
	s = m.importJSON(m.mnt, "archive", "--to", "scans", "--prune")
	if s.Updated != int64(changed)+1 || s.Imported != int64(added) || s.Gone != int64(deleted) ||
		s.Removed != int64(deleted) ||
		s.Left != 2 ||
		s.Skipped != 0 {
		t.Errorf("the third import says %+v", s)
	}
	for i := 0; i < changed; i += 10 {
		read(i, 2)
	}
	read(objects+added-1, 1)
	if _, err := os.Stat(file(changed)); !os.IsNotExist(err) {
		t.Errorf("the media of a deleted object: %v", err)
	}
	if got, err := os.ReadFile(
		filepath.Join(m.mnt, "moved.jpg"),
	); err != nil ||
		!strings.Contains(string(got), "state 2") {
		t.Errorf("what was moved reads %.40q, %v", got, err)
	}
	if got, err := os.ReadFile(file(edited)); err != nil || string(got) != "edited" {
		t.Errorf("what was edited reads %.40q, %v", got, err)
	}
	for _, i := range []int{edited, binned} {
		key, _ := scanned(i, 1)
		if info, err := others.Head(t.Context(), key); err != nil || info.ETag != before[key].ETag {
			t.Errorf("the object %s is %+v, %v", key, info, err)
		}
	}
	m.do("flush", m.mnt)
	code, stdout, stderr := m.mediafs("gc", "--dry-run", "--json", w.store)
	// The record of the one that was deleted before it was five minutes old is nobody's; no object
	// is.
	var gc struct {
		Sums map[string]struct{ Count int }
	}
	if err := json.Unmarshal([]byte(stdout), &gc); err != nil || code != exitOK || gc.Sums["content"].Count != 0 ||
		gc.Sums["record"].Count != 1 {
		t.Errorf("gc: exit code %d, %v, %+v\n%s", code, err, gc, stderr)
	}
	if code, stdout, stderr := m.mediafs("check", w.store); code != exitOK {
		t.Errorf("check: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// What other tools leave in a bucket, and what cannot be imported.
func TestImportLayouts(t *testing.T) {
	w := newWire(t)
	others := w.others()
	put := func(key, body string, meta map[string]string) {
		t.Helper()
		if err := w.server.Put(t.Context(), key, body, "video/mp4", meta); err != nil {
			t.Fatal(err)
		}
	}
	put("mixed/empty folder/", "", nil)
	put("mixed/nothing.txt", "", nil)
	put("mixed/rclone.mp4", "rclone", map[string]string{"mtime": "1500000000.123456789"})
	put("mixed/s3cmd.mp4", "s3cmd", map[string]string{"s3cmd-attrs": "atime:1/ctime:2/gid:0/mtime:1400000000/uid:0"})
	put("mixed/vol/chunks/0/0/1_0_4194304", "chunk", nil)
	put("mixed/backup/data/ab/"+strings.Repeat("ab", 32), "pack", nil)
	put("mixed/taken", "taken", nil)
	put("family/photos/inside.mp4", "inside", nil)

	m := w.machine()
	m.mount(w.store, "--create")
	write(t, filepath.Join(m.mnt, "taken"), "mine")
	m.do("flush", m.mnt)
	all := []string{m.mnt, "/mixed/", "--metadata"}
	s := m.importJSON(all...)
	if s.Imported != 3 || s.Skipped != 3 || s.Folders != 1 || s.Reasons["part of a JuiceFS volume"] != 1 ||
		s.Reasons["part of a restic repository"] != 1 ||
		s.Reasons["the name is taken in the library"] != 1 ||
		len(s.Examples) != 3 {
		t.Errorf("the import says %+v", s)
	}
	for name, sec := range map[string]int64{"rclone.mp4": 1500000000, "s3cmd.mp4": 1400000000} {
		if info, err := os.Stat(filepath.Join(m.mnt, name)); err != nil || info.ModTime().Unix() != sec {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(m.mnt, "empty folder")); err != nil || !info.IsDir() {
		t.Errorf("the marker of a folder: %v, %v", info, err)
	}
	if got, err := os.ReadFile(filepath.Join(m.mnt, "taken")); err != nil || string(got) != "mine" {
		t.Errorf("what was there reads %q, %v", got, err)
	}
	if s := m.importJSON(all...); s.Unchanged != 3 || s.Imported != 0 || s.Skipped != 3 || s.Folders != 0 {
		t.Errorf("again: %+v", s)
	}
	// The whole bucket: the library's own objects are none of it, what others put among them is.
	if s := m.importJSON(m.mnt, "/", "--to", "all", "--dry-run"); s.Objects != 8-1 || s.Unchanged != 2 {
		t.Errorf("the whole bucket: %+v", s)
	}
	if s := m.importJSON(m.mnt, "family/photos"); s.Imported != 1 || s.Objects != 1 {
		t.Errorf("the library's own prefix: %+v", s)
	}
	if got, err := os.ReadFile(filepath.Join(m.mnt, "inside.mp4")); err != nil || string(got) != "inside" {
		t.Errorf("what lay in the library's prefix reads %q, %v", got, err)
	}

	// Not mounted: opened by the command itself.
	m.umount()
	put("mixed/later/new.mp4", "new", nil)
	put("mixed/rclone.mp4", "another film", nil)
	if s := m.importJSON("--library", w.store, "mixed"); s.Imported != 1 || s.Updated != 1 || s.Folders != 1 {
		t.Errorf("not mounted: %+v", s)
	}
	code, stdout, stderr := m.mediafs("check", w.store)
	if code != exitOK || !strings.Contains(stdout, "no damage") {
		t.Errorf("check: exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--library", w.store, "s3://elsewhere/x"}, "is not in the place where the library lies"},
		{[]string{"--library", w.store, "file:///x"}, "is not in the place where the library lies"},
		{[]string{"--library", w.store}, "one PREFIX is needed"},
	} {
		if code, _, stderr := m.mediafs(
			append([]string{"import"}, c.args...)...); code != exitUsage ||
			!strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d, %s", c.args, code, stderr)
		}
	}
	if _, err := others.Head(t.Context(), "mixed/rclone.mp4"); err != nil {
		t.Error(err)
	}
	m.mount(w.store)
	if got, err := os.ReadFile(filepath.Join(m.mnt, "later/new.mp4")); err != nil || string(got) != "new" {
		t.Errorf("imported while not mounted: %q, %v", got, err)
	}
	m.umount()
}

// In a local directory, files beside the library's own become media.
func TestImportBesideALocalLibrary(t *testing.T) {
	s := newShelf(t)
	user := newSession(t)
	if err := os.MkdirAll(filepath.Join(s.dir, "album/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "album/inner/a.jpg"), "a")
	write(t, filepath.Join(s.dir, "album/b.jpg"), "b")
	code, stdout, stderr := user.run(t, "import", "--library", s.url, s.url+"/album", "--to", "old")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "imported   2") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	_, stdout, _ = user.run(t, "export", "--library", s.url, "old")
	x := readExport(t, stdout)
	if a := x.nodes["/old/inner/a.jpg"]; len(x.nodes) != 4 || a == nil ||
		a["contents"].([]any)[0].(map[string]any)["key"] != "album/inner/a.jpg" ||
		a["media"].(map[string]any)["external"] != true {
		t.Errorf("exported: %v", x.nodes)
	}
	code, stdout, _ = user.run(t, "check", "--data", s.url)
	if code != exitOK || !strings.Contains(stdout, "no damage, ") {
		t.Errorf("check: exit code %d\n%s", code, stdout)
	}
	write(t, filepath.Join(s.dir, "album/b.jpg"), "bb")
	if err := os.Remove(filepath.Join(s.dir, "album/inner/a.jpg")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = user.run(t, "import", "--library", s.url, "album", "--to", "old")
	if code != exitOK || !strings.Contains(stdout, "updated    1") || !strings.Contains(stdout, "gone       1") ||
		!strings.Contains(
			stdout, "album/inner/a.jpg: it is gone from the bucket; /old/inner/a.jpg cannot be read any more",
		) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := user.run(t, "import", "--library", s.url, "file:///elsewhere"); code != exitUsage ||
		!strings.Contains(stderr, "is not in the place") {
		t.Errorf("elsewhere: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := user.run(t, "import", "--library", "file:///none/at/all", "x"); code != exitNoLibrary {
		t.Errorf("no library: exit code %d, %s", code, stderr)
	}
}
