package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

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
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, remote.OSError("lock the catalog directory", dir, err)
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
			// A mount that failed takes its lock file with it: a lock on a file without a name keeps nobody off.
			var st unix.Stat_t
			if unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink == 0 {
				f.Close()
				continue
			}
			err = f.Truncate(0)
		}
		if err == nil {
			_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		}
		if err != nil {
			f.Close()
			return nil, remote.OSError("lock the catalog directory", dir, err)
		}
		return &dirLock{f}, nil
	}
}

func (l *dirLock) close() error { return l.file.Close() }

// awaitLock locks the catalog directory. A daemon that has it and is ending is waited for, for at most LockTimeout, which Waiting is told once: between the unmount and the
// end of a daemon lie its last uploads. One that goes on, or does not end in time, is Busy.
func awaitLock(ctx context.Context, opt Options) (*dirLock, error) {
	deadline := time.Now().Add(opt.LockTimeout)
	for told := false; ; {
		lock, err := lockDir(opt.CatalogDir)
		if err == nil || !errors.Is(err, remote.Busy) {
			return lock, err
		}
		asking, cancel := context.WithTimeout(ctx, lockAnswer)
		s, askErr := Dial(opt.CatalogDir).Status(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, errors.Join(remote.E("wait for the daemon's end", opt.CatalogDir, remote.KindOf(ctx.Err()), nil), err)
		case askErr == nil && !s.Ending:
			return nil, err
		case time.Now().After(deadline):
			var e *remote.Error
			if opt.LockTimeout > 0 && errors.As(err, &e) {
				err = remote.E(e.Op, e.Path, e.Kind, fmt.Errorf("%w, and has not ended for %s", e.Err, opt.LockTimeout)).WithHint("--lock-timeout waits longer")
			}
			return nil, err
		}
		// Without an answer it is about to end, or to begin: then the next answer says so.
		if !told && opt.Waiting != nil {
			told = true
			what := "another daemon of this library"
			if s.Mount != "" {
				what = "the daemon that had " + s.Mount + " mounted"
			}
			opt.Waiting(fmt.Sprintf("waiting up to %s for the end of %s (process %s)", opt.LockTimeout, what, holderOf(opt.CatalogDir)))
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockAgain):
		}
	}
}

// lockAnswer is how long a daemon that has the lock may take to say whether it is ending, and lockAgain how long until it is asked again.
const (
	lockAnswer = 2 * time.Second
	lockAgain  = 20 * time.Millisecond
)

// removeLock takes the lock file of a new catalog directory away, unless somebody has it by now. Whoever waits for the lock looks whether its file still has a name.
func removeLock(dir string) {
	if _, err := os.Lstat(filepath.Join(dir, lockName)); err != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 1 {
		return
	}
	if l, err := lockDir(dir); err == nil {
		os.Remove(filepath.Join(dir, lockName)) //nolint:errcheck // it may stay
		l.close()
	}
}

// locked reports whether a daemon has dir, without taking the lock for a moment: that could keep a daemon off that starts now.
func locked(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk) == nil && lk.Type != unix.F_UNLCK
}

func holderOf(dir string) string {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
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
