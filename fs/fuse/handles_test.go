package fuse

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Handles of files and folders (name_to_handle_at) lead to them when the kernel has forgotten them,
// and on another mount, by another machine; those of what was deleted are stale. It is what a
// server of NFS needs.
func TestMountedHandles(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		ok := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		ok(s.do("open"))
		dir := filepath.Join(s.dir, "folder", "inner")
		ok(os.MkdirAll(dir, 0o755))
		handles := make(map[string]unix.FileHandle)
		for _, name := range []string{"file", "moved", "deleted"} {
			ok(os.WriteFile(filepath.Join(dir, name), []byte("bytes of "+name), 0o644))
		}
		for _, name := range []string{"file", "moved", "deleted", ".", ".."} {
			h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(dir, name), 0)
			ok(err)
			handles[name] = h
		}
		open := func(name string, flags int) (int, error) {
			t.Helper()
			root, err := unix.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			ok(err)
			defer unix.Close(root)
			return unix.OpenByHandleAt(root, handles[name], flags)
		}
		look := func(when string, names ...string) {
			t.Helper()
			for _, name := range names {
				fd, err := open(name, unix.O_RDWR)
				if err != nil {
					t.Errorf("%s: the handle of %s: %v", when, name, err)
					continue
				}
				got := make([]byte, 100)
				n, err := unix.Pread(fd, got, 0)
				if string(got[:max(n, 0)]) != "bytes of "+name {
					t.Errorf("%s: the handle of %s leads to %q, %v", when, name, got[:max(n, 0)], err)
				}
				ok(unix.Close(fd))
			}
			fd, err := open(".", unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				t.Errorf("%s: the handle of a folder: %v", when, err)
				return
			}
			up, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY, 0)
			ok(err)
			var st, want unix.Stat_t
			ok(unix.Fstat(up, &st), unix.Stat(filepath.Join(s.dir, "folder"), &want), unix.Close(up), unix.Close(fd))
			if st.Ino != want.Ino {
				t.Errorf("%s: above the folder is %d, want %d", when, st.Ino, want.Ino)
			}
		}
		look("at once", "file", "moved", "deleted")
		ok(os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		look("forgotten", "file", "moved", "deleted")
		ok(
			os.Rename(filepath.Join(dir, "moved"), filepath.Join(s.dir, "elsewhere")),
			os.Remove(filepath.Join(dir, "deleted")),
		)
		for _, when := range []string{"another mount", "a third one"} {
			ok(s.do("reopen"))
			look(when, "file", "moved")
			if fd, err := open("deleted", unix.O_RDONLY); err != unix.ESTALE {
				t.Errorf("%s: the handle of what was deleted: %d, %v", when, fd, err)
			}
		}
		ok(s.do("close"))
	})
}
