package trees

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// need skips the test where one of the programs is not there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s here; scripts/deps installs it", p)
		}
	}
}

// hostile makes the tree and returns where it is and what was left out.
func hostile(t *testing.T, dir string) (leftOut string) {
	t.Helper()
	cmd := exec.Command("../hostile-tree", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("hostile-tree: %v\n%s", err, stderr.String())
	}
	return stderr.String()
}

// compare runs compare-trees and returns what it printed and its exit status.
func compare(t *testing.T, a, b string) (string, int) {
	t.Helper()
	out, err := exec.Command("../compare-trees", a, b).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(out), 0
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	}
	t.Fatal(err)
	return "", 0
}

func TestHostileTreeIsTheSameEveryTime(t *testing.T) {
	need(t, "setfattr", "rsync", "perl")
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	leftOut := hostile(t, a)
	hostile(t, b)
	if out, status := compare(t, a, b); status != 0 || out != "" {
		t.Errorf("two trees differ: status %d\n%s", status, out)
	}
	if os.Getuid() == 0 && strings.Contains(leftOut, "root") {
		t.Errorf("left out although this is root:\n%s", leftOut)
	}
	checkPromises(t, a)
}

// checkPromises looks for what the copies of trees are to be tried on.
func checkPromises(t *testing.T, root string) {
	kinds := map[fs.FileMode]int{}
	names := map[string]bool{}
	depth, entries := 0, 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		entries++
		depth = max(depth, strings.Count(rel, "/")+1)
		kinds[d.Type()]++
		names[d.Name()] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, name := range map[fs.FileMode]string{
		0: "file", fs.ModeDir: "folder", fs.ModeSymlink: "symlink", fs.ModeNamedPipe: "fifo", fs.ModeSocket: "socket",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no %s", name)
		}
	}
	if depth <= 40 || entries < 400 {
		t.Errorf("depth %d, %d entries; want more than 40 and at least 400", depth, entries)
	}
	for _, name := range []string{"\n", "\xff\xfe\x80", "caf\u00e9", "cafe\u0301", "*?[", "trailing  ", "-rf", strings.Repeat("f", 255)} {
		if !names[name] {
			t.Errorf("no entry named %q", name)
		}
	}
	for name, size := range map[string]int64{"262144": 262144, "262145": 262145, "1048575": 1<<20 - 1, "16777217": 16<<20 + 1, "empty": 0} {
		if fi, err := os.Stat(filepath.Join(root, "sizes", name)); err != nil || fi.Size() != size {
			t.Errorf("sizes/%s: %v, %v", name, fi, err)
		}
	}
	if target, err := os.Readlink(
		filepath.Join(root, "symlinks/target-of-4095-bytes"),
	); err != nil ||
		len(target) != 4095 {
		t.Errorf("the longest symlink has a target of %d bytes: %v", len(target), err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "sparse/three-islands"), &st); err != nil || st.Size != 64<<20 ||
		st.Blocks*512 > 1<<20 {
		t.Errorf("sparse/three-islands: %d bytes in %d blocks: %v", st.Size, st.Blocks, err)
	}
	if err := unix.Stat(filepath.Join(root, "links/b/c/everywhere"), &st); err != nil || st.Nlink != 3 {
		t.Errorf("links/b/c/everywhere has %d names: %v", st.Nlink, err)
	}
}

// TestComparisonSees changes one thing at a time in a copy.
func TestComparisonSees(t *testing.T) {
	need(t, "rsync", "perl", "find")
	when := time.Date(2020, 1, 2, 3, 4, 5, 600000007, time.UTC)
	stamp := func(t *testing.T, path string) {
		ts := unix.NsecToTimespec(when.UnixNano())
		ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	// build makes a tree in dir; last changes it before the times are set.
	build := func(t *testing.T, dir string, last func(dir string)) {
		ok(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
		for _, name := range []string{"one", "two", "sub/three", "line\nbreak"} {
			ok(t, os.WriteFile(filepath.Join(dir, name), []byte("bytes of "+name), 0o644))
		}
		ok(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "sub/one too")))
		ok(t, os.Link(filepath.Join(dir, "two"), filepath.Join(dir, "sub/two too")))
		ok(t, os.Symlink("one", filepath.Join(dir, "symlink")))
		if os.Getuid() == 0 {
			ok(t, unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
		}
		if last != nil {
			last(dir)
		}
		ok(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
			stamp(t, p)
			return err
		}))
	}
	at := func(dir string, name string) string { return filepath.Join(dir, name) }

	original := filepath.Join(t.TempDir(), "original")
	build(t, original, nil)
	tests := []struct {
		name  string
		root  bool // needs root
		last  func(dir string)
		after func(dir string) // changes that would not outlive the setting of times, or are changes of times
		says  string
	}{
		{name: "nothing"},
		{
			name: "bytes of the same length",
			last: func(d string) { ok(t, os.WriteFile(at(d, "sub/three"), []byte("BYTES of sub/three"), 0o644)) },
			says: "rsync: >fc",
		},
		{
			name: "a size",
			last: func(d string) { ok(t, os.Truncate(at(d, "sub/three"), 3)) },
			says: "sub/three: size 18 | 3",
		},
		{
			name: "a mode",
			last: func(d string) { ok(t, os.Chmod(at(d, "sub/three"), 0o755|os.ModeSetuid)) },
			says: "sub/three: mode 644 | 4755",
		},
		{
			name: "a folder's mode",
			last: func(d string) { ok(t, os.Chmod(at(d, "sub"), 0o700)) },
			says: "sub: mode 755 | 700",
		},
		{
			name: "a missing file",
			last: func(d string) { ok(t, os.Remove(at(d, "sub/three"))) },
			says: "sub/three: only in",
		},
		{
			name: "an additional file",
			last: func(d string) { ok(t, os.WriteFile(at(d, "more"), nil, 0o644)) },
			says: "more: only in",
		},
		{
			name: "a name with a newline",
			last: func(d string) { ok(t, os.Remove(at(d, "line\nbreak"))) },
			says: `line\x0abreak: only in`,
		},
		{name: "a copy in place of a hard link", last: func(d string) {
			ok(t, os.Remove(at(d, "sub/one too")))
			ok(t, os.WriteFile(at(d, "sub/one too"), []byte("bytes of one"), 0o644))
		}, says: "links 2 | 1"},
		{name: "hard links of other files, as many", last: func(d string) {
			ok(t, os.Remove(at(d, "sub/one too")))
			ok(t, os.Remove(at(d, "sub/two too")))
			ok(t, os.Link(at(d, "one"), at(d, "sub/two too")))
			ok(t, os.Link(at(d, "two"), at(d, "sub/one too")))
		}, says: "hard link of"},
		{name: "a symlink's target", last: func(d string) {
			ok(t, os.Remove(at(d, "symlink")))
			ok(t, os.Symlink("two", at(d, "symlink")))
		}, says: "symlink: target one | two"},
		{name: "a file in place of a symlink", last: func(d string) {
			ok(t, os.Remove(at(d, "symlink")))
			ok(t, os.WriteFile(at(d, "symlink"), []byte("one"), 0o644))
		}, says: "symlink: type l | f"},
		{name: "a nanosecond of a folder", after: func(d string) {
			ts := unix.NsecToTimespec(when.UnixNano() + 1)
			ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(d, "sub"), []unix.Timespec{ts, ts}, 0))
		}, says: "sub: mtime"},
		{name: "a nanosecond of a symlink", after: func(d string) {
			ts := unix.NsecToTimespec(when.UnixNano() + 1)
			ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(d, "symlink"), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
		}, says: "symlink: mtime"},
		{
			name: "an attribute",
			root: true,
			last: func(d string) { ok(t, unix.Setxattr(at(d, "sub/three"), "trusted.mark", []byte{0, 1}, 0)) },
			says: "rsync: .f........x",
		},
		{
			name: "an owner",
			root: true,
			last: func(d string) { ok(t, os.Chown(at(d, "sub/three"), 1000, 0)) },
			says: "sub/three: uid 0 | 1000",
		},
		{name: "a device's number", root: true, last: func(d string) {
			ok(t, os.Remove(at(d, "device")))
			ok(t, unix.Mknod(at(d, "device"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))))
		}, says: "rsync: cD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Getuid() != 0 {
				t.Skip("needs root")
			}
			changed := filepath.Join(t.TempDir(), "changed")
			build(t, changed, tt.last)
			if tt.after != nil {
				tt.after(changed)
			}
			out, status := compare(t, original, changed)
			if tt.says == "" {
				if status != 0 || out != "" {
					t.Errorf("status %d for equal trees:\n%s", status, out)
				}
				return
			}
			if status != 1 || !strings.Contains(out, tt.says) {
				t.Errorf("status %d, want 1 and %q:\n%s", status, tt.says, out)
			}
		})
	}
	t.Run("one that is not there", func(t *testing.T) {
		if out, status := compare(t, original, filepath.Join(t.TempDir(), "none")); status != 2 {
			t.Errorf("status %d, want 2: %s", status, out)
		}
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
