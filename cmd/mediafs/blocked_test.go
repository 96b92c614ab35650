package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// commitFile is the file of a commit, so many after the last one, in a local store.
func commitFile(t *testing.T, store string, after int) string {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(store, "log", "0"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(store, "log", "0", fmt.Sprintf("%020d", len(names)+after))
}

// One bad object under the next number of the log stops no mount, neither of a machine that knows
// the library nor of a new one: it is read-only, says which object and what can be done, and goes
// on by itself when that is done.
func TestMountBelowABlockedLog(t *testing.T) {
	cases := map[string]struct {
		ours bool // a commit was damaged, and is restored; otherwise the object is nobody's, and is deleted
		bad  func(store string) []byte
	}{
		"garbage": {false, func(string) []byte { return []byte(strings.Repeat("not a commit ", 100)) }},
		"empty":   {true, func(string) []byte { return nil }},
		"a copy": {true, func(store string) []byte {
			b, err := os.ReadFile(commitFile(t, store, -2))
			if err != nil {
				t.Error(err)
			}
			return b
		}},
		"huge": {false, func(string) []byte { return make([]byte, 64<<20) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, store := newMachine(t), filepath.Join(t.TempDir(), "store")
			url := fileURL(store)
			if err := os.Mkdir(store, 0o755); err != nil {
				t.Fatal(err)
			}
			m.mount(url)
			m.sh("echo one > a; echo two > b; mkdir folder")
			m.umount()
			bad, good := commitFile(t, store, 1), []byte(nil)
			if c.ours {
				m.again(url)
				m.sh("echo three > c")
				m.umount()
				bad = commitFile(t, store, 0)
				var err error
				if good, err = os.ReadFile(bad); err != nil {
					t.Fatal(err)
				}
			}
			hurt := func() {
				t.Helper()
				object := c.bad(store)
				if err := os.Remove(bad); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if err := os.WriteFile(bad, object, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			mend := func() {
				t.Helper()
				err := os.Remove(bad)
				if err == nil && c.ours {
					err = os.WriteFile(bad, good, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			number := "log/0/" + filepath.Base(bad)
			blocked := func() bool {
				s := m.status()
				return s.Blocked != nil && s.ReadOnly && !s.Offline && strings.Contains(s.Blocked.Why, number)
			}
			mends := func(name string) {
				t.Helper()
				mend()
				if !eventually(
					func() bool { return os.WriteFile(filepath.Join(m.mnt, name), []byte("new"), 0o644) == nil },
				) {
					t.Fatalf("it does not go on: %+v", m.status())
				}
				if s := m.status(); s.Blocked != nil || s.ReadOnly {
					t.Errorf("after it was mended: %+v", s)
				}
				if c.ours && m.sh("cat c") != "three\n" {
					t.Error("what the damaged commit made is not there")
				}
			}

			hurt()
			for who, mount := range map[string]func() string{
				"a fresh machine": func() string {
					return m.mount(url, "--catalog-dir="+filepath.Join(t.TempDir(), "catalog"), "--cache-dir="+filepath.Join(t.TempDir(), "cache"))
				},
				"one that knows it": func() string { return m.mount(url) },
			} {
				if said := mount(); !strings.Contains(said, number) || !strings.Contains(said, "mediafs check") ||
					!strings.Contains(said, "read-only") {
					t.Errorf("%s: mount says %q", who, said)
				}
				if !blocked() {
					t.Errorf("%s: %+v", who, m.status())
				}
				if got := m.sh("cat a b; ls -d folder"); got != "one\ntwo\nfolder\n" {
					t.Errorf("%s: %q", who, got)
				}
				for _, err := range []error{
					os.WriteFile(filepath.Join(m.mnt, "new"), nil, 0o644), os.Mkdir(filepath.Join(m.mnt, "new"), 0o755), os.Truncate(filepath.Join(m.mnt, "a"), 0),
					os.Remove(filepath.Join(m.mnt, "a")), os.Chmod(filepath.Join(m.mnt, "a"), 0o600), os.Rename(filepath.Join(m.mnt, "a"), filepath.Join(m.mnt, "z")),
				} {
					if !errors.Is(err, syscall.EROFS) {
						t.Errorf("%s: a change gets %v", who, err)
					}
				}
				if _, out, _ := m.mediafs("status", m.mnt); !strings.Contains(out, "mounted, read-only for now") ||
					!strings.Contains(out, number) {
					t.Errorf("status says\n%s", out)
				}
				m.umount()
			}
			if code, out, errs := m.mediafs("check", url); code != exitDamage || !strings.Contains(out, number) {
				t.Errorf("check: exit code %d\n%s%s", code, out, errs)
			}
			m.mount(url)
			mends("new")
			m.umount()
			if code, out, errs := m.mediafs("check", url); code != exitOK {
				t.Errorf("check afterwards: exit code %d\n%s%s", code, out, errs)
			}
			if c.ours {
				return
			}
			// The same below a mount, with a file that is open for writing.
			m.mount(url)
			f, err := os.Create(filepath.Join(m.mnt, "open"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fmt.Fprint(f, "begun, ")
			bad = commitFile(t, store, 1)
			number = "log/0/" + filepath.Base(bad)
			hurt()
			if !eventually(blocked) {
				t.Fatalf("%+v", m.status())
			}
			fmt.Fprint(f, "gone on")
			if err := f.Close(); !errors.Is(err, syscall.EROFS) {
				t.Errorf("close: %v", err)
			}
			if code, _, errs := m.mediafs("flush", m.mnt); code == exitOK || !strings.Contains(errs, number) {
				t.Errorf("flush: exit code %d, %s", code, errs)
			}
			mends("newer")
			m.do("flush", m.mnt)
			m.umount()
			m.again(url)
			if got := m.sh("cat open"); got != "begun, gone on" {
				t.Errorf("a fresh machine reads %q", got)
			}
			m.umount()
		})
	}
}
