package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// LockName is the file in a catalog directory that its daemon keeps locked. It holds the daemon's
// process id.
const LockName = "lock"

// A Lock keeps other daemons off a catalog directory. The kernel drops it when the process ends,
// however it ends, so that a killed daemon leaves nothing to clean.
type Lock struct{ file *os.File }

// LockDir locks the catalog directory dir. Busy, with the holder's process id, when another daemon
// has it.
func LockDir(dir string) (*Lock, error) {
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	err = l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		l.Close()
		e := remote.OSError("lock the catalog directory", dir, err)
		if e.Kind == remote.NoSpace {
			e = e.WithHint("free space on this disk, or give the mount a --catalog-dir on another")
		}
		return nil, e
	}
	return l, nil
}

// lock is LockDir without a word of who has it.
func lock(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, remote.OSError("lock the catalog directory", dir, err)
		}
		// A lock of the open file, not of the process: a second library in this process is kept off
		// as well.
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			pid := holder(f)
			f.Close()
			return nil, remote.E("lock the catalog directory", dir, remote.Busy, fmt.Errorf("process %s uses it", pid)).
				WithHint("umount that library first, or give this mount a --catalog-dir of its own")
		}
		if err == nil {
			// A mount that failed takes its lock file with it: a lock on a file without a name
			// keeps nobody off.
			var st unix.Stat_t
			if unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink == 0 {
				f.Close()
				continue
			}
		}
		if err != nil {
			f.Close()
			return nil, remote.OSError("lock the catalog directory", dir, err)
		}
		return &Lock{f}, nil
	}
}

// Close lets the directory go.
func (l *Lock) Close() error { return l.file.Close() }

// RemoveLock takes the lock file of a new catalog directory away, unless somebody has it by now.
// Whoever waits for the lock looks whether its file still has a name.
func RemoveLock(dir string) {
	if _, err := os.Lstat(filepath.Join(dir, LockName)); err != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 1 {
		return
	}
	if l, err := lock(dir); err == nil { // on a full disk as well
		os.Remove(filepath.Join(dir, LockName)) //nolint:errcheck // it may stay
		l.Close()
	}
}

// Locked reports whether a daemon has dir, without taking the lock for a moment: that could keep a
// daemon off that starts now.
func Locked(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk) == nil && lk.Type != unix.F_UNLCK
}

// Holder returns the process id of the daemon that has dir, or had it last: "unknown" when there is
// none to read.
func Holder(dir string) string {
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	return holder(f)
}

// holder reads the process id out of a lock file.
func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid := strings.TrimSpace(string(b[:n]))
	if _, err := strconv.Atoi(pid); err != nil {
		return "unknown"
	}
	return pid
}
