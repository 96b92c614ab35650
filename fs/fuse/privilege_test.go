package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What actors do to the bytes of a program of root's, besides a change of its owner.
var contentChanges = []string{
	"write", "direct write", "truncate", "ftruncate", "open truncating", "allocate", "allocate beyond", "punch", "zero",
	"zero beyond", "copy", "copy large",
}

// changeContent is one of contentChanges, or something that changes nothing. other is a file of 2
// MiB.
func changeContent(how, file, other string) error {
	if how == "truncate" {
		return unix.Truncate(file, 3)
	}
	flags := unix.O_RDWR
	switch how {
	case "direct write":
		flags |= unix.O_DIRECT
	case "open truncating":
		flags |= unix.O_TRUNC
	case "read":
		flags = unix.O_RDONLY
	}
	fd, err := unix.Open(file, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	allocate := func(mode uint32, off int64) error { return unix.Fallocate(fd, mode, off, 4096) }
	switch how {
	case "write":
		_, err = unix.Pwrite(fd, []byte("x"), 1)
	case "direct write":
		mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
		if err != nil {
			return err
		}
		_, err = unix.Pwrite(fd, mem, 0)
		return errors.Join(err, unix.Munmap(mem))
	case "ftruncate":
		err = unix.Ftruncate(fd, 3)
	case "allocate":
		err = allocate(0, 1000)
	case "allocate beyond":
		err = allocate(unix.FALLOC_FL_KEEP_SIZE, 1<<20)
	case "punch":
		err = allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0)
	case "zero":
		err = allocate(unix.FALLOC_FL_ZERO_RANGE, 0)
	case "zero beyond":
		err = allocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, 1<<20)
	case "copy", "copy large":
		n := 100
		if how == "copy large" {
			n = 2 << 20
		}
		from, err := unix.Open(other, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(from)
		if done, err := unix.CopyFileRange(from, nil, fd, nil, n, 0); err != nil || done == 0 {
			return fmt.Errorf("copied %d bytes: %w", done, err)
		}
	case "mapped write":
		mem, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		mem[0] = 'x'
		return errors.Join(unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem))
	case "open truncating", "read":
	default:
		return fmt.Errorf("asked for %q", how)
	}
	return err
}

const stranger, theirGroup = 4711, 4712

// A privilegeCase is one change of a file of root's and of group theirGroup.
type privilegeCase struct {
	how      string
	uid, gid uint32
	mode     uint32
	want     uint32 // mode after it
	keeps    bool   // security.capability
}

func privilegeCases() (all []privilegeCase) {
	for _, mode := range []uint32{0o6666, 0o6676, 0o6766, 0o6777, 0o2666, 0o666} {
		outsider, member := mode&0o777, mode&0o777
		if mode&0o010 == 0 {
			member = mode & 0o2777 // without execution by the group it means something else, and members keep it
		}
		how := contentChanges
		if mode != 0o6666 && mode != 0o6777 && raceEnabled {
			how = []string{"write", "punch", "copy"}
		}
		for _, how := range how {
			all = append(all,
				privilegeCase{how, stranger, stranger, mode, outsider, false},
				privilegeCase{how, stranger, theirGroup, mode, member, false},
				privilegeCase{how, 0, 0, mode, mode, false})
		}
		all = append(all, privilegeCase{"chown", 0, 0, mode, member, false})
		for _, how := range []string{"read", "mapped write"} { // as everywhere, whatever one thinks of it
			all = append(all, privilegeCase{how, stranger, stranger, mode, mode, true})
		}
	}
	return all
}

var capability = []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// tryPrivileges does what the cases say in a folder that everybody may enter.
func tryPrivileges(t *testing.T, dir string) {
	other, file := filepath.Join(dir, "other"), filepath.Join(dir, "program")
	if err := os.WriteFile(other, bytes.Repeat([]byte("other"), 2<<20/5+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range privilegeCases() {
		name := fmt.Sprintf("%s by %d:%d of %o", c.how, c.uid, c.gid, c.mode)
		if err := errors.Join(
			os.WriteFile(file, make([]byte, 8192), 0o644), os.Chown(file, 0, theirGroup), unix.Chmod(file, c.mode),
			unix.Setxattr(file, "security.capability", capability, 0),
		); err != nil {
			t.Fatal(err)
		}
		if c.how == "chown" {
			if err := os.Chown(file, 5, -1); err != nil {
				t.Fatal(err)
			}
		} else if said := says(t, actor(c.uid, c.gid, "change", c.how, file, other)); said != "ok" {
			t.Fatalf("%s: %s", name, said)
		}
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			t.Fatal(err)
		}
		if got := st.Mode & 0o7777; got != c.want {
			t.Errorf("%s: mode %o, want %o", name, got, c.want)
		}
		got := make([]byte, 100)
		n, err := unix.Getxattr(file, "security.capability", got)
		if has := err == nil && bytes.Equal(got[:n], capability); has != c.keeps {
			t.Errorf("%s: capability %v (%v), want %v", name, has, err, c.keeps)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// openToAll lets other users get to a folder.
func openToAll(t *testing.T, dir string) {
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Another user changes the content of root's set-user-id program: the bits go, whichever way it is
// done, and so does a capability. What root itself does leaves the bits.
func TestMountedPrivileges(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		openToAll(t, s.dir)
		tryPrivileges(t, s.dir)

		// A new file keeps what it was made with.
		if err := os.Chmod(s.dir, 0o777); err != nil {
			t.Fatal(err)
		}
		made := filepath.Join(s.dir, "made")
		if said := says(t, actor(stranger, stranger, "create truncating", made, "06755")); said != "ok" {
			t.Fatal(said)
		}
		var st unix.Stat_t
		if err := unix.Stat(made, &st); err != nil || st.Mode&0o7777 != 0o6755 {
			t.Errorf("a new file has mode %o, %v", st.Mode, err)
		}

		// Root in a namespace of its own, or without the capability, is as any other user.
		file := filepath.Join(s.dir, "program")
		for name, change := range map[string]func(*syscall.SysProcAttr){
			"a user namespace": func(a *syscall.SysProcAttr) {
				a.Cloneflags = syscall.CLONE_NEWUSER
				a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
				a.GidMappings = a.UidMappings
			},
			"no CAP_FSETID": func(a *syscall.SysProcAttr) {
				a.Credential = &syscall.Credential{Uid: stranger, Gid: stranger}
				a.AmbientCaps = []uintptr{unix.CAP_NET_RAW}
			},
			"CAP_FSETID": func(a *syscall.SysProcAttr) {
				a.Credential = &syscall.Credential{Uid: stranger, Gid: stranger}
				a.AmbientCaps = []uintptr{unix.CAP_FSETID}
			},
		} {
			if err := errors.Join(os.WriteFile(file, make([]byte, 8192), 0o644), unix.Chmod(file, 0o6777)); err != nil {
				t.Fatal(err)
			}
			c := actor(0, 0, "change", "punch", file, file)
			c.SysProcAttr = new(syscall.SysProcAttr)
			change(c.SysProcAttr)
			if said := says(t, c); said != "ok" {
				t.Fatalf("%s: %s", name, said)
			}
			want := uint32(0o777)
			if name == "CAP_FSETID" {
				want = 0o6777
			}
			if err := unix.Stat(file, &st); err != nil || st.Mode&0o7777 != want {
				t.Errorf("root in %s leaves mode %o, %v, want %o", name, st.Mode&0o7777, err, want)
			}
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}

// The cases are what a local disk does.
func TestPrivilegesOfALocalDisk(t *testing.T) {
	var st unix.Statfs_t
	dir := t.TempDir()
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains([]int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC}, int64(st.Type)) || os.Geteuid() != 0 {
		t.Skipf("needs root and a folder for temporary files on ext4 or xfs, not %x", st.Type)
	}
	openToAll(t, dir)
	tryPrivileges(t, dir)
}

// The time of birth is there, and stays.
func TestMountedBirth(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(s.dir, "file")
		var first, second unix.Statx_t
		birth := func(st *unix.Statx_t) {
			if err := unix.Statx(unix.AT_FDCWD, file, unix.AT_STATX_FORCE_SYNC, unix.STATX_BTIME, st); err != nil {
				t.Fatal(err)
			}
			if st.Mask&unix.STATX_BTIME == 0 || st.Btime.Sec == 0 {
				t.Errorf("no time of birth: %+v", st)
			}
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		birth(&first)
		if err := os.WriteFile(file, []byte("later"), 0o644); err != nil {
			t.Fatal(err)
		}
		birth(&second)
		if first.Btime != second.Btime {
			t.Errorf("born at %v, then at %v", first.Btime, second.Btime)
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
