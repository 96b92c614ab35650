package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file without a name takes its name by linkat, either way, with all that was done to it before;
// without one nothing is left of it.
func TestMountedUnnamed(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		ok := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		ok(s.do("open"))
		unix.Umask(0)
		dir := filepath.Join(s.dir, "folder")
		ok(os.Mkdir(dir, 0o755), unix.Chown(dir, 0, 77), unix.Chmod(dir, 0o2755))
		data := bytes.Repeat([]byte("bytes of a file "), 200_000)
		unnamed := func(flags int) int {
			t.Helper()
			fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|flags, 0o640)
			ok(err)
			if n, err := unix.Write(fd, data); err != nil || n != len(data) {
				t.Fatalf("wrote %d, %v", n, err)
			}
			var st unix.Stat_t
			ok(unix.Fstat(fd, &st))
			if st.Nlink != 0 || st.Mode != unix.S_IFREG|0o640 || st.Gid != 77 || st.Size != int64(len(data)) {
				t.Errorf("without a name it is %+v", st)
			}
			return fd
		}
		link := func(fd int, name string) error {
			return unix.Linkat(
				unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, filepath.Join(dir, name),
				unix.AT_SYMLINK_FOLLOW,
			)
		}

		fd := unnamed(unix.O_EXCL)
		if err := link(fd, "exclusive"); err != unix.ENOENT {
			t.Errorf("a link of one opened with O_EXCL: %v", err)
		}
		ok(unix.Close(fd))
		fd = unnamed(0)
		ok(unix.Fsync(fd), unix.Close(fd))
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("there is %v, %v", names, err)
		}

		fd = unnamed(0)
		times := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9 + 1, Nsec: 5}}
		ok(
			unix.Fsetxattr(fd, "user.plain", []byte("kept"), 0), unix.Fchmod(fd, 0o600),
			os.WriteFile(filepath.Join(dir, "taken"), nil, 0o644),
		)
		ok(unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0))
		if err := link(fd, "taken"); err != unix.EEXIST {
			t.Errorf("a link to a name that is taken: %v", err)
		}
		ok(link(fd, "named"))
		ok(unix.Linkat(fd, "", unix.AT_FDCWD, filepath.Join(dir, "second"), unix.AT_EMPTY_PATH))
		var st unix.Stat_t
		ok(unix.Fstat(fd, &st))
		if st.Nlink != 2 {
			t.Errorf("with two names it has %d", st.Nlink)
		}
		ok(unix.Close(fd))
		fd = unnamed(0)
		ok(unix.Linkat(fd, "", unix.AT_FDCWD, filepath.Join(dir, "third"), unix.AT_EMPTY_PATH))
		if _, err := unix.Pwrite(fd, []byte("later"), int64(len(data))); err != nil {
			t.Error(err)
		}
		ok(unix.Close(fd))

		for range 2 {
			for name, want := range map[string][]byte{"named": data, "second": data, "third": append(bytes.Clone(data), "later"...)} {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(want))
				}
			}
			ok(unix.Stat(filepath.Join(dir, "second"), &st))
			if st.Nlink != 2 || st.Mode&0o7777 != 0o600 || st.Gid != 77 || st.Mtim != times[1] {
				t.Errorf("it is %+v", st)
			}
			value := make([]byte, 10)
			if n, err := unix.Getxattr(filepath.Join(dir, "named"), "user.plain", value); err != nil ||
				string(value[:n]) != "kept" {
				t.Errorf("its attribute is %q, %v", value[:n], err)
			}
			ok(s.do("reopen")) // another machine
		}
		ok(s.do("close"))
	})
}
