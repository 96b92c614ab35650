package fuse

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An actor is a process beside the one that runs the cases: another user, another holder of locks,
// another writer. It does one thing, says "ok" or the name of an errno, and ends.

// actor prepares one that runs as uid and gid. It is started through /proc, since the folder that
// go builds tests in is closed to other users.
func actor(uid, gid uint32, arg ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", arg...)
	c.Env = append(os.Environ(), roleVar+"=actor", "GORACE=atexit_sleep_ms=0") // it would wait a second
	c.Stderr = os.Stderr
	if uid != 0 || gid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return c
}

// says runs an actor to its end and gives what it said.
func says(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v", c.Args[1:], err)
	}
	return strings.TrimSpace(string(out))
}

// startHolder starts an actor that does its thing and then stays until end is called; it returns
// what it said.
func startHolder(t testing.TB, c *exec.Cmd) (said string, end func()) {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := out.Read(b); err != nil || b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return string(line), func() {
		t.Helper()
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("%q: %v", c.Args[1:], err)
		}
	}
}

// act is an actor's whole life. Its exit status tells of mistakes of the tests; what the system
// said is printed.
func act(arg []string) int {
	unix.Umask(0)
	said, err := perform(arg)
	var errno syscall.Errno
	switch {
	case err == nil:
		fmt.Println(said)
	case errors.As(err, &errno):
		fmt.Println(unix.ErrnoName(errno))
	default:
		fmt.Fprintln(os.Stderr, "actor:", err)
		return 1
	}
	if arg[0] == "lock" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is let go
	}
	return 0
}

func perform(arg []string) (string, error) {
	n := func(i int) int {
		v, err := strconv.ParseInt(arg[i], 0, 64)
		if err != nil {
			panic(err)
		}
		return int(v)
	}
	switch strings.Join(arg[:1], "") {
	case "unlink":
		return "ok", unix.Unlink(arg[1])
	case "rmdir":
		return "ok", unix.Rmdir(arg[1])
	case "rename":
		return "ok", unix.Rename(arg[1], arg[2])
	case "chmod":
		return "ok", unix.Chmod(arg[1], uint32(n(2)))
	case "mkdir":
		return "ok", unix.Mkdir(arg[1], uint32(n(2)))
	case "create":
		fd, err := unix.Open(arg[1], unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, uint32(n(2)))
		if err == nil {
			err = unix.Close(fd)
		}
		return "ok", err
	case "symlink":
		return "ok", unix.Symlink("target", arg[1])
	case "mkfifo":
		return "ok", unix.Mkfifo(arg[1], 0o600)
	case "tmpfile":
		fd, err := unix.Open(arg[1], unix.O_TMPFILE|unix.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		return "ok", errors.Join(
			unix.Linkat(
				unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, arg[2], unix.AT_SYMLINK_FOLLOW,
			),
			unix.Close(fd),
		)
	case "rename whiteout":
		return "ok", unix.Renameat2(unix.AT_FDCWD, arg[1], unix.AT_FDCWD, arg[2], unix.RENAME_WHITEOUT)
	case "create truncating":
		fd, err := unix.Open(arg[1], unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY, uint32(n(2)))
		if err == nil {
			err = unix.Close(fd)
		}
		return "ok", err
	case "mkdir-masked":
		unix.Umask(n(3))
		return "ok", unix.Mkdir(arg[1], uint32(n(2)))
	case "setxattr":
		return "ok", unix.Lsetxattr(arg[1], arg[2], []byte(arg[3]), 0)
	case "getxattr":
		b := make([]byte, 1<<16)
		size, err := unix.Lgetxattr(arg[1], arg[2], b)
		return string(b[:max(size, 0)]), err
	case "removexattr":
		return "ok", unix.Lremovexattr(arg[1], arg[2])
	case "listxattr":
		names, err := listed(arg[1])
		return strings.Join(names, " "), err
	case "listxattr-without": // a capability
		runtime.LockOSThread()
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := unix.Capget(&head, &caps[0]); err != nil {
			return "", err
		}
		caps[n(2)/32].Effective &^= 1 << (n(2) % 32)
		if err := unix.Capset(&head, &caps[0]); err != nil {
			return "", err
		}
		names, err := listed(arg[1])
		return strings.Join(names, " "), err
	case "fill": // with attributes of so many bytes, as many as there is room for
		for i := 0; ; i++ {
			err := unix.Setxattr(arg[1], fmt.Sprint("user.fill", os.Getuid(), ".", i), make([]byte, n(2)), 0)
			if err == unix.ENOSPC {
				return fmt.Sprint(i), nil
			}
			if err != nil {
				return "", err
			}
		}
	case "setlist": // an access control list that is written as hex digits
		b, err := hex.DecodeString(arg[3])
		if err != nil {
			return "", err
		}
		return "ok", unix.Setxattr(arg[1], arg[2], b, 0)
	case "may": // open a file for reading, writing or both
		fd, err := unix.Open(arg[1], n(2), 0)
		if err == nil {
			err = unix.Close(fd)
		}
		return "ok", err
	case "change":
		return "ok", changeContent(arg[1], arg[2], arg[3])
	case "append":
		return "ok", appendLines(arg[1], arg[2], n(3))
	case "churn":
		return "ok", churn(arg[1], n(2))
	case "lock":
		fd, err := unix.Open(arg[1], unix.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		return "ok", tryLock(fd, arg[2], int64(n(3)), int64(n(4)))
	case "sum": // of the bytes that read(2) gives
		b, err := os.ReadFile(arg[1])
		return checksum(b), err
	case "sum-mapped": // of those that a mapping shows
		f, err := os.Open(arg[1])
		if err != nil {
			return "", err
		}
		st, err := f.Stat()
		if err != nil {
			return "", err
		}
		mem, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return "", err
		}
		return checksum(mem), nil
	}
	return "", fmt.Errorf("asked for %q", arg)
}

// listed gives the names of a file's attributes, in order.
func listed(name string) ([]string, error) {
	b := make([]byte, 1<<16)
	n, err := unix.Llistxattr(name, b)
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimRight(string(b[:n]), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

func checksum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// line is one line of an appender: who, which, and a length that says where it must end.
func line(who string, i int) []byte {
	return fmt.Appendf(nil, "%s %d %s\n", who, i, bytes.Repeat([]byte(who), i*37%400))
}

func appendLines(name, who string, count int) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_APPEND, 0)
	if err != nil {
		return err
	}
	for i := range count {
		b := line(who, i)
		if n, err := unix.Write(fd, b); err != nil || n != len(b) {
			return errors.Join(err, fmt.Errorf("%d of %d bytes were appended", n, len(b)))
		}
	}
	return unix.Close(fd)
}

// churn makes and removes names of its own in a folder.
func churn(dir string, rounds int) error {
	for i := range rounds {
		a, b := filepath.Join(dir, fmt.Sprint("churn ", i)), filepath.Join(dir, fmt.Sprint("churned ", i))
		fd, err := unix.Open(a, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(unix.Close(fd), unix.Rename(a, b)); err != nil {
			return err
		}
		if i%3 != 0 { // some stay, so that the folder grows
			if err := unix.Unlink(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// tryLock takes a write lock without waiting: "flock" of the whole file, "classic" or "ofd" of n
// bytes from start.
func tryLock(fd int, kind string, start, n int64) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: start, Len: n}
	switch kind {
	case "flock":
		return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	case "classic":
		return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &l)
	case "ofd":
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	}
	return fmt.Errorf("no lock is called %q", kind)
}
