package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// says runs a command and looks at its exit code and at what it says on standard error.
func (m *machine) says(t *testing.T, code int, says string, args ...string) (stdout string) {
	t.Helper()
	got, stdout, stderr := m.mediafs(args...)
	if got != code || !strings.Contains(stderr, says) || (says == "") != (stderr == "") {
		t.Errorf("mediafs %q: exit code %d, want %d; said %q, want %q", args, got, code, stderr, says)
	}
	if strings.Contains(stderr, "\x1b") || strings.Contains(stderr, "\xff") {
		t.Errorf("mediafs %q: not safe for a terminal: %q", args, stderr)
	}
	return stdout
}

// A media is named by any path that leads to it, and by nothing else.
func TestMediaPaths(t *testing.T) {
	m := newMachine(t)
	store := fileURL(newFolder(t, m.home, "store"))
	m.mount(store)
	const odd = "od\n\x1b[31md\xff.jpg"
	write(t, filepath.Join(m.mnt, odd), "odd")
	m.sh(
		`echo a >a.jpg; ln a.jpg b.jpg; ln -s a.jpg soft; ln -s /etc/hostname out; mkdir folder; ln -s folder dir; echo c >folder/c.jpg; ln -s "$PWD/folder/c.jpg" ../shortcut; echo d >-d.jpg`,
	)
	at := func(name string) string { return filepath.Join(m.mnt, name) }

	t.Run("links and views", func(t *testing.T) {
		m.says(t, exitOK, "", "tag", "--add", "one", at("soft"), at("dir/c.jpg"), "--", at("-d.jpg"))
		m.says(t, exitOK, "", "tag", "--add", "two", filepath.Join(m.home, "shortcut"), at(".media/tags/one/-d.jpg"))
		for name, want := range map[string]string{"a.jpg": "one", "b.jpg": "one", "folder/c.jpg": "one, two", "-d.jpg": "one, two"} {
			if got := m.says(t, exitOK, "", "tag", at(name)); got != at(name)+": "+want+"\n" {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		m.says(t, exitFailed, "it is made up by a view", "info", at(".media/tags"))
		m.says(t, exitFailed, "it is made up by a view", "info", at(".media/info/a.jpg.json"))
		m.says(t, exitMountPoint, "it leads out of the mount", "info", at("out"))
		m.says(t, exitMountPoint, "it is in no mount of mediafs", "tag", "--add", "x", "/etc/hostname")
	})

	t.Run("names of any bytes", func(t *testing.T) {
		m.says(t, exitOK, "", "tag", "--add", "odd", at(odd))
		for _, place := range []string{"--library", "--in"} {
			if got := m.says(t, exitOK, "", "find", place, m.mnt, "tag:odd", "-0"); got != at(odd)+"\x00" {
				t.Errorf("found %q", got)
			}
		}
		var found struct {
			Paths []string
			Bytes []byte `json:"path_bytes"`
		}
		text := m.says(t, exitOK, "", "find", "--in", m.mnt, "--json", "tag:odd")
		if err := json.Unmarshal([]byte(text), &found); err != nil || string(found.Bytes) != at(odd) {
			t.Errorf("%s: %v", text, err)
		}
		if text := m.says(t, exitOK, "", "info", at(odd)); strings.Contains(text, "\x1b") ||
			strings.Contains(text, "\xff") {
			t.Errorf("not safe for a terminal: %q", text)
		}
		m.says(t, exitFailed, `\x1b[31mnone: does not exist`, "info", at("\x1b[31mnone"))
	})

	t.Run("some of many", func(t *testing.T) {
		code, _, stderr := m.mediafs("rate", "7", at("none"), at("a.jpg"), at("folder"), at("folder/c.jpg"))
		if code != exitFailed || strings.Count(stderr, "\n") != 2 ||
			!strings.Contains(stderr, at("none")+": does not exist") ||
			!strings.Contains(stderr, at("folder")+": ") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		if got := m.says(t, exitOK, "", "find", "--library", m.mnt, "--count", "rating:7"); got != "2\n" {
			t.Errorf("%s media were rated, want 2", got)
		}
	})

	t.Run("named while it is mounted", func(t *testing.T) {
		m.says(t, exitOK, "", "tag", "--library", store, "--add", "named", "folder/c.jpg", "/a.jpg")
		if got := m.says(t, exitOK, "", "find", "--library", store, "tag:named", "folder"); got != "" {
			t.Errorf("found %q", got)
		}
		if got := m.sh(`getfattr --only-values -n user.xdg.tags a.jpg`); got != "one,named" {
			t.Errorf("the mount has tags %q", got)
		}
	})

	t.Run("another user's", func(t *testing.T) {
		other := newMachine(t)
		other.says(t, exitPermission, "getfattr -d", "info", at("a.jpg"))
		other.says(t, exitPermission, m.mnt+"/.media/search/QUERY", "find", "--library", m.mnt, "one")
		other.says(t, exitMountPoint, "nothing is mounted", "find", "one")
		other.says(t, exitMountPoint, "nothing is mounted", "trash", "list")
	})

	t.Run("no library", func(t *testing.T) {
		empty := newFolder(t, m.home, "empty")
		m.says(t, exitNoLibrary, "mount it once to make a library", "find", "--library", fileURL(empty), "one")
		m.says(
			t, exitNoLibrary, "mount it once to make a library", "tag", "--library", fileURL(empty), "--add", "x",
			"a.jpg",
		)
		if made, err := os.ReadDir(empty); err != nil || len(made) != 0 {
			t.Errorf("a command made %v, %v", made, err)
		}
	})
	m.umount()
}

// A thousand paths are one command, whose changes share commits.
func TestMediaManyPaths(t *testing.T) {
	const many = requestSize + 100
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	m.sh(fmt.Sprintf("for i in $(seq %d); do : >f$i; done", many))
	m.do("flush", m.mnt)
	args := []string{"tag", "--add", "many"}
	for i := range many {
		args = append(args, filepath.Join(m.mnt, fmt.Sprintf("f%d", i+1)))
	}
	mark := w.settle()
	m.do(args...)
	puts := 0
	for _, r := range w.tap.Since(mark) {
		if r.Method == "PUT" {
			puts++
		}
	}
	if puts > many/20 {
		t.Errorf("tagging %d media took %d objects", many, puts)
	}
	if got := m.says(t, exitOK, "", "find", "--library", m.mnt, "--count", "tag:many"); got != fmt.Sprintln(many) {
		t.Errorf("%s are tagged", got)
	}
	m.umount()
}

// A setting of the library holds on a machine that mounts it later.
func TestSettingsOnAnotherMachine(t *testing.T) {
	m := newMachine(t)
	store := fileURL(newFolder(t, m.home, "store"))
	m.mount(store)
	m.do("setting", "--library", m.mnt, "view-folder", ".views")
	m.umount()
	m.again(store)
	if got := m.sh(`ls .views | head -n 1`); got != "by-date\n" {
		t.Errorf("another machine shows %q", got)
	}
	m.umount()
}
