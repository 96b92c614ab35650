package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A mount is the upper layer of an overlay: deletions are whiteouts, folders that were replaced are
// opaque, renamed ones say where they came from, and all of it is there with the next mount.
func TestMountedOverlay(t *testing.T) {
	t.Parallel()
	if filesystems, err := os.ReadFile(
		"/proc/filesystems",
	); err != nil ||
		!bytes.Contains(filesystems, []byte("\toverlay\n")) {
		t.Skip("this kernel has no overlay")
	}
	mounted(t, func(t *testing.T, s *servedMount) {
		ok := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		ok(s.do("open"))
		lower, merged := t.TempDir(), t.TempDir()
		upper, work := filepath.Join(s.dir, "upper"), filepath.Join(s.dir, "work")
		write := func(name, data string) { t.Helper(); ok(os.WriteFile(name, []byte(data), 0o644)) }
		for _, dir := range []string{"deleted", "opaque", "moved/inner"} {
			ok(os.MkdirAll(filepath.Join(lower, dir), 0o755))
			write(filepath.Join(lower, dir, "file"), "below")
		}
		for _, name := range []string{"gone", "renamed", "edited", "kept"} {
			write(filepath.Join(lower, name), "below "+name)
		}
		ok(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755))
		in := func(name string) string { return filepath.Join(merged, name) }
		overlay := func() {
			t.Helper()
			ok(
				unix.Mount(
					"overlay", merged, "overlay", 0,
					fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", lower, upper, work),
				),
			)
		}
		t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })

		overlay()
		ok(os.Remove(in("gone")), os.Rename(in("renamed"), in("new name")), os.RemoveAll(in("deleted")))
		ok(os.RemoveAll(in("opaque")), os.Mkdir(in("opaque"), 0o700))
		write(in("opaque/new"), "above")
		ok(os.Rename(in("moved"), in("elsewhere")))
		f, err := os.OpenFile(in("edited"), os.O_WRONLY|os.O_APPEND, 0)
		ok(err)
		_, err = f.WriteString(" and above")
		ok(err, f.Close())
		write(in("made"), "above")
		ok(os.Link(in("made"), in("linked")), os.Symlink("made", in("symlink")))
		fd, err := unix.Open(merged, unix.O_TMPFILE|unix.O_RDWR, 0o644)
		ok(err)
		_, err = unix.Write(fd, []byte("without"))
		ok(err, unix.Linkat(fd, "", unix.AT_FDCWD, in("tmpfile"), unix.AT_EMPTY_PATH), unix.Close(fd))

		look := func(when string) {
			t.Helper()
			var names []string
			entries, err := os.ReadDir(merged)
			ok(err)
			for _, e := range entries {
				names = append(names, e.Name())
			}
			want := []string{
				"edited", "elsewhere", "kept", "linked", "made", "new name", "opaque", "symlink", "tmpfile",
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: there is %q, want %q", when, names, want)
			}
			for name, want := range map[string]string{
				"edited": "below edited and above", "elsewhere/inner/file": "below", "kept": "below kept", "linked": "above", "new name": "below renamed",
				"opaque/new": "above", "symlink": "above", "tmpfile": "without",
			} {
				if got, err := os.ReadFile(in(name)); err != nil || string(got) != want {
					t.Errorf("%s: %s has %q, %v, want %q", when, name, got, err, want)
				}
			}
			if inside, err := os.ReadDir(in("opaque")); err != nil || len(inside) != 1 {
				t.Errorf("%s: the folder that was replaced has %v, %v", when, inside, err)
			}
		}
		look("at once")
		var st unix.Stat_t
		for _, name := range []string{"gone", "renamed", "deleted", "moved"} {
			if err := unix.Lstat(filepath.Join(upper, name), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR ||
				st.Rdev != 0 {
				t.Errorf("%s is no whiteout: mode %o, device %d, %v", name, st.Mode, st.Rdev, err)
			}
		}
		value := make([]byte, 20)
		if n, err := unix.Getxattr(filepath.Join(upper, "opaque"), "trusted.overlay.opaque", value); err != nil ||
			string(value[:n]) != "y" {
			t.Errorf("the folder that was replaced is not opaque: %q, %v", value[:n], err)
		}
		ok(unix.Unmount(merged, 0), s.do("reopen"))
		overlay()
		look("another mount, by another machine")
		ok(unix.Unmount(merged, 0), s.do("close"))
	})
}

// The whiteout is there with the rename, or not at all.
func TestMountedWhiteout(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		a, b := filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")
		for _, name := range []string{a, b} {
			if err := os.WriteFile(name, []byte(filepath.Base(name)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		rename := func(flags uint) error { return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags) }
		if err := rename(unix.RENAME_WHITEOUT | unix.RENAME_NOREPLACE); err != unix.EEXIST {
			t.Errorf("over a name that is taken: %v", err)
		}
		if err := rename(unix.RENAME_WHITEOUT | unix.RENAME_EXCHANGE); err != unix.EINVAL {
			t.Errorf("with an exchange: %v", err)
		}
		if err := rename(unix.RENAME_WHITEOUT); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(a, &st); err != nil || st.Mode != unix.S_IFCHR || st.Rdev != 0 || st.Nlink != 1 {
			t.Errorf("at the old name is %+v, %v", st, err)
		}
		if got, err := os.ReadFile(b); err != nil || string(got) != "a" {
			t.Errorf("at the new name is %q, %v", got, err)
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
