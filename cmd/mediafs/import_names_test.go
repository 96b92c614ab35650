package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/fs/transfer"
	"mediafs/remote/storetest/fakes3"
)

// named tells whether an example says why of a name.
func named(examples []transfer.Example, name, why string) bool {
	for _, e := range examples {
		if e.Name == strings.ToValidUTF8(name, "\uFFFD") && strings.Contains(e.Why, why) {
			return true
		}
	}
	return false
}

// writeDeep writes a file and makes its folders.
func writeDeep(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, name, content)
}

// A key that can be no path of the library is skipped, named and counted; all others are imported.
func TestImportOfUnusableKeys(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{})
	unusable := map[string]string{ // key → why
		".media":                     "kept for the library's views",
		".media/tags/x.jpg":          "kept for the library's views",
		".Trash-1000/files/old.jpg":  "kept for the trash",
		"a//b.jpg":                   "empty segment",
		"../up.jpg":                  "segment ..",
		"c/./d.jpg":                  "segment .",
		strings.Repeat("n", 256):     "256 bytes",
		strings.Repeat("long/", 205): "at most 1024",
		"nul\x00.jpg":                "NUL",
		"not \xff UTF-8.jpg":         "UTF-8",
		"file":                       "already exists", // the folder of another key
		"taken":                      "taken",
		".media/":                    "kept for the library's views",
	}
	usable := []string{
		"good.jpg", "file/inside.jpg", "sub/.media/good.jpg", ".media2", ".Trash-x", "sub/.Trash-1000/good.jpg",
		"zz/last.jpg",
	}
	for key := range unusable {
		body := "unusable"
		if strings.HasSuffix(key, "/") {
			body = ""
		}
		srv.Put("in/"+key, body)
	}
	for _, key := range usable {
		srv.Put("in/"+key, "usable "+key)
	}
	m := fakeMachine(t)
	m.mount(srv.Store("library"))
	if err := os.Mkdir(filepath.Join(m.mnt, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.do("flush", m.mnt)
	for _, args := range [][]string{{m.mnt, "in", "--dry-run"}, {m.mnt, "in"}, {m.mnt, "in"}} {
		s := m.importJSON(args...)
		dry := len(args) == 3
		if !dry &&
			(s.Skipped != int64(len(unusable)) || s.Imported+s.Unchanged != int64(len(usable)) || len(s.Examples) != len(unusable)) {
			t.Errorf("import %q: %+v", args, s)
		}
		for key, why := range unusable {
			if dry && (key == "file" || key == "taken") {
				continue // what is in the way is found when it is made
			}
			if !named(s.Examples, "in/"+key, why) {
				t.Errorf("import %q: %q is not named with %q: %+v", args, key, why, s.Examples)
			}
		}
	}
	for _, key := range usable {
		if got, err := os.ReadFile(filepath.Join(m.mnt, key)); err != nil || string(got) != "usable "+key {
			t.Errorf("%s reads %q, %v", key, got, err)
		}
	}
	// Below another folder the reserved names are names like any other.
	if s := m.importJSON(m.mnt, "in", "--to", "below"); !named(s.Examples, "in/nul\x00.jpg", "NUL") ||
		named(s.Examples, "in/.media/tags/x.jpg", "") {
		t.Errorf("below a folder: %+v", s)
	}
	if got, err := os.ReadFile(
		filepath.Join(m.mnt, "below/.media/tags/x.jpg"),
	); err != nil ||
		string(got) != "unusable" {
		t.Errorf("below/.media/tags/x.jpg reads %q, %v", got, err)
	}
	m.umount()
}

// A local directory holds names that are no key: they are told too.
func TestImportOfUnusableFiles(t *testing.T) {
	s := newShelf(t)
	user := newSession(t)
	writeDeep(t, filepath.Join(s.dir, "album", "good.jpg"), "good")
	writeDeep(t, filepath.Join(s.dir, "album", "not \xff UTF-8.jpg"), "bad")
	writeDeep(t, filepath.Join(s.dir, "album", "\xfe", "inside.jpg"), "bad")
	writeDeep(t, filepath.Join(s.dir, "album", ".media", "x.jpg"), "bad")
	code, stdout, stderr := user.run(t, "import", "--json", "--library", s.url, "album")
	var sum transfer.ObjectsSummary
	if err := json.Unmarshal(
		[]byte(stdout), &sum,
	); err != nil || code != exitOK || sum.Imported != 1 || sum.Skipped != 3 ||
		len(sum.Examples) != 3 ||
		!named(sum.Examples, "album/not \xff UTF-8.jpg", "UTF-8") {
		t.Errorf("exit code %d, %v, %+v\n%s", code, err, sum, stderr)
	}
}

// A folder that would land in the views is not copied: there a copy would tag, restore or delete.
func TestCopyOfReservedNames(t *testing.T) {
	m := newMachine(t)
	store := filepath.Join(m.home, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	m.mount(fileURL(store))
	tree := t.TempDir()
	for _, name := range []string{"good.jpg", ".media/tags/holiday/x.jpg", "sub/.media/y.jpg", "zz/last.jpg"} {
		writeDeep(t, filepath.Join(tree, name), name)
	}
	for _, flags := range [][]string{{"--dry-run"}, nil} {
		code, stdout, stderr := m.mediafs(append([]string{"import", "--json", tree, m.mnt}, flags...)...)
		var sum transfer.TreeSummary
		if err := json.Unmarshal(
			[]byte(stdout), &sum,
		); err != nil || code != exitFailed || sum.Copied != 3 || sum.Failed != 1 ||
			!named(sum.Examples, ".media", "kept for views") {
			t.Errorf("import %q: exit code %d, %v, %+v\n%s", flags, code, err, sum, stderr)
		}
	}
	m.sh(
		`cmp "$1/good.jpg" good.jpg; cmp "$1/sub/.media/y.jpg" sub/.media/y.jpg; cmp "$1/zz/last.jpg" zz/last.jpg; ! ls .media/tags/holiday`,
		tree,
	)
	m.umount()
}
