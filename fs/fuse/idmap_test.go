package fuse

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mapUsers mounts dir a second time at target, where user and group inside are seen as outside, and
// root as root.
func mapUsers(dir, target string, inside, outside int) error {
	c := exec.Command("sleep", "60")
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: inside, HostID: outside, Size: 1}}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: ids,
		GidMappings: ids,
		Pdeathsig:   unix.SIGKILL,
	}
	if err := c.Start(); err != nil {
		return err
	}
	ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", c.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	_ = errors.Join(c.Process.Kill(), c.Wait())
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(
		tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns)},
	); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// A mount that maps users shows and makes files of the mapped ones, in every way that makes files,
// and lets nobody else at them.
func TestMountedIDMap(t *testing.T) {
	t.Parallel()
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil || major < 6 ||
		major == 6 && minor < 12 {
		t.Skipf("Linux %s maps no users on FUSE mounts, 6.12 does", unix.ByteSliceToString(u.Release[:]))
	}
	mounted(t, func(t *testing.T, s *servedMount) {
		ok := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		ok(s.do("open idmap"))
		openToAll(t, s.dir)
		unix.Umask(0)
		const inside, outside = 1000, stranger
		mapped := t.TempDir()
		openToAll(t, mapped)
		t.Cleanup(func() { _ = unix.Unmount(mapped, unix.MNT_DETACH) })
		ok(mapUsers(s.dir, mapped, inside, outside))

		dir, there := filepath.Join(s.dir, "folder"), filepath.Join(mapped, "folder")
		ok(os.Mkdir(dir, 0o755), os.Chown(dir, inside, inside))
		owner := func(name string, want uint32) {
			t.Helper()
			var st unix.Stat_t
			if err := unix.Lstat(name, &st); err != nil || st.Uid != want || st.Gid != want {
				t.Errorf("%s belongs to %d:%d, %v, want %d", name, st.Uid, st.Gid, err, want)
			}
		}
		does := func(uid uint32, want string, arg ...string) {
			t.Helper()
			if said := says(t, actor(uid, uid, arg...)); said != want {
				t.Errorf("%d: %q says %q, want %q", uid, arg, said, want)
			}
		}
		owner(dir, inside)
		owner(there, outside)
		in := func(name string) string { return filepath.Join(there, name) }
		does(outside, "ok", "create", in("created"), "0600")
		does(outside, "ok", "mkdir", in("made"), "0700")
		does(outside, "ok", "symlink", in("symlink"))
		does(outside, "ok", "mkfifo", in("fifo"))
		does(outside, "ok", "tmpfile", there, in("tmpfile"))
		does(outside, "ok", "create", in("moved"), "0600")
		does(outside, "ok", "rename whiteout", in("moved"), in("to"))
		for _, name := range []string{"created", "made", "symlink", "fifo", "tmpfile", "moved", "to"} {
			owner(in(name), outside)
			owner(filepath.Join(dir, name), inside)
		}
		does(outside, "ok", "append", in("created"), "x", "3")
		does(inside, "EACCES", "append", in("created"), "x", "3")
		does(outside, "EACCES", "append", filepath.Join(dir, "created"), "x", "3")
		does(inside, "ok", "append", filepath.Join(dir, "created"), "x", "3")
		does(inside, "EACCES", "unlink", in("created"))

		// Bits go, whoever it is that nobody tells.
		ok(unix.Chmod(filepath.Join(dir, "created"), 0o6777))
		does(outside, "ok", "change", "punch", in("created"), in("created"))
		var st unix.Stat_t
		ok(unix.Stat(in("created"), &st))
		if st.Mode&0o7777 != 0o777 {
			t.Errorf("after a change it has mode %o", st.Mode&0o7777)
		}
		ok(unix.Chmod(filepath.Join(dir, "created"), 0o6777))
		does(0, "ok", "change", "punch", in("created"), in("created"))
		ok(unix.Stat(in("created"), &st))
		if st.Mode&0o7777 != 0o6777 {
			t.Errorf("after a change by root it has mode %o", st.Mode&0o7777)
		}
		ok(os.Chown(in("created"), 0, 0))
		owner(filepath.Join(dir, "created"), 0)
		does(outside, "ok", "unlink", in("created"))
		does(0, "ok", "create", in("roots"), "0600")
		owner(filepath.Join(dir, "roots"), 0)
		if err := os.Chown(in("roots"), inside, inside); !errors.Is(err, unix.EOVERFLOW) &&
			!errors.Is(err, unix.EINVAL) {
			t.Errorf("giving it to somebody who is not mapped: %v", err)
		}
		ok(unix.Unmount(mapped, 0), s.do("close"))
	})
}

// Without the option nothing is mapped, and the kernel tells who asks.
func TestMountedWithoutIDMap(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		mapped := t.TempDir()
		t.Cleanup(func() { _ = unix.Unmount(mapped, unix.MNT_DETACH) })
		if err := mapUsers(s.dir, mapped, 1000, stranger); !errors.Is(err, unix.EINVAL) {
			t.Errorf("mapping the users of a mount that was not made for it: %v", err)
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
