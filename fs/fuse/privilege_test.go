package fuse

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Another user changes the content of root's set-user-id program: the bits go, whichever way it is done, and so does a
// capability. What the owner's root does leaves the bits. The time of birth is there, and stays.
func TestMountedPrivileges(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		// The user must get to the mount.
		for d := s.dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(s.dir, "program")
		caps := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		const stranger = 4711
		for _, c := range []struct {
			name   string
			uid    uint32
			script string
			mode   uint32 // what is left of 06777
			keeps  bool   // the capability
		}{
			{"write", stranger, `echo x >> "$1"`, 0o777, false},
			{"truncate", stranger, `truncate -s 2 "$1"`, 0o777, false},
			{"open truncating", stranger, `: > "$1"`, 0o777, false},
			{"read", stranger, `cat "$1"`, 0o6777, true},
			{"write as root", 0, `echo x >> "$1"`, 0o6777, false},
			{"chown", 0, `chown 5 "$1"`, 0o777, false},
		} {
			if err := errors.Join(os.WriteFile(file, []byte("#!/bin/sh\n"), 0o644), os.Chmod(file, 0o777|os.ModeSetuid|os.ModeSetgid),
				unix.Setxattr(file, "security.capability", caps, 0)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", c.script, "sh", file)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.uid}}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", c.name, err, out)
			}
			var st unix.Stat_t
			if err := unix.Stat(file, &st); err != nil {
				t.Fatal(err)
			}
			if got := st.Mode & 0o7777; got != c.mode {
				t.Errorf("%s: mode %o, want %o", c.name, got, c.mode)
			}
			got := make([]byte, 100)
			n, err := unix.Getxattr(file, "security.capability", got)
			if has := err == nil && bytes.Equal(got[:n], caps); has != c.keeps {
				t.Errorf("%s: capability %v (%v), want %v", c.name, has, err, c.keeps)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}

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
