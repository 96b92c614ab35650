package daemon

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

// lockName is the file in a catalog directory that its daemon keeps locked. It holds the daemon's process id.
const lockName = "lock"

// A dirLock keeps other daemons off a catalog directory. The kernel drops it when the process ends, however it ends, so that
// a killed daemon leaves nothing to clean.
type dirLock struct{ file *os.File }

// lockDir locks dir. Busy, with the holder's process id, when another daemon has it.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, remote.E("lock the catalog directory", dir, kindOfOS(err), bare(err))
	}
	// A lock of the open file, not of the process: a second library in this process is kept off as well.
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		pid := holder(f)
		f.Close()
		return nil, remote.E("lock the catalog directory", dir, remote.Busy, fmt.Errorf("process %s uses it", pid)).
			WithHint("umount that library first, or give this mount a --catalog-dir of its own")
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		f.Close()
		return nil, remote.E("lock the catalog directory", dir, kindOfOS(err), bare(err))
	}
	return &dirLock{f}, nil
}

func (l *dirLock) close() error { return l.file.Close() }

// locked tells whether a daemon has dir, without taking the lock for a moment: that could keep a daemon off that starts now.
func locked(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk) == nil && lk.Type != unix.F_UNLCK
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
