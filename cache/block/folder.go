package block

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A folder is the cache directory, held by its descriptor and locked. Its methods take names of
// entries and never follow a symbolic link.
type folder struct {
	path string
	f    *os.File
	held *os.File // the lock file
	// gives up open files that can be opened again and tells whether there were any; nil: there are
	// none
	spare func() bool
}

const lockName = "lock"

// openFolder makes the directory if it is missing and locks it. A directory that others may write
// is refused: what is in it could be anybody's.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, remote.E("make cache directory", path, kindOfPath(err), err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, remote.E("open cache directory", path, kindOfPath(err), err)
	}
	d := &folder{path: path, f: f}
	if err := d.check(); err != nil {
		_ = f.Close()
		return nil, err
	}
	d.held, err = d.open(lockName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		_ = f.Close()
		return nil, remote.E("open lock of cache directory", path, remote.KindOfOwn(err), err)
	}
	if err := unix.Flock(int(d.held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = d.close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, remote.E("lock cache directory", path, remote.Busy, nil).
				WithHint("another mediafs uses it; stop that one or choose another cache directory")
		}
		return nil, remote.E("lock cache directory", path, remote.Other, err)
	}
	return d, nil
}

func (d *folder) check() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.f.Fd()), &st); err != nil {
		return remote.E("look at cache directory", d.path, remote.Other, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return remote.E("use cache directory", d.path, remote.Permission,
			fmt.Errorf("owned by user %d, mode %04o", st.Uid, st.Mode&0o7777)).
			WithHint("it must be yours and writable by nobody else: chmod 700")
	}
	return nil
}

// close unlocks the directory.
func (d *folder) close() error {
	return errors.Join(d.held.Close(), d.f.Close())
}

// open opens a regular file, private to this user when it is made.
func (d *folder) open(name string, flags int) (*os.File, error) {
	fd, err := d.openat(name, flags)
	if scarce(err) && d.spare != nil && d.spare() {
		fd, err = d.openat(name, flags)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.EINVAL}
	}
	return f, nil
}

func (d *folder) openat(name string, flags int) (int, error) {
	return unix.Openat(int(d.f.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
}

// scarce tells whether a file was not opened because this process, or the machine, has too many
// open: it is what it was, and nothing of it is given up.
func scarce(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// read returns the bytes of a file of at most max bytes, and what is known of the file.
func (d *folder) read(name string, max int64) ([]byte, os.FileInfo, error) {
	f, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = &fs.PathError{Op: "read", Path: name, Err: unix.EFBIG}
	}
	return b, st, err
}

// replace makes b the bytes of name in one step; with sync, they are on disk when it returns.
func (d *folder) replace(name string, b []byte, sync bool) error {
	tmp := name + tempSuffix
	d.remove(tmp)
	f, err := d.open(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.rename(tmp, name)
	}
	if err != nil {
		d.remove(tmp)
		return err
	}
	if sync {
		return d.f.Sync()
	}
	return nil
}

func (d *folder) rename(from, to string) error {
	fd := int(d.f.Fd())
	if err := unix.Renameat(fd, from, fd, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// take moves the file at an outside path in. EXDEV: it lies on another file system.
func (d *folder) take(path, name string) error {
	if err := unix.Renameat(unix.AT_FDCWD, path, int(d.f.Fd()), name); err != nil {
		return &os.LinkError{Op: "rename", Old: path, New: name, Err: err}
	}
	return nil
}

// remove removes a name. That it is not there, or cannot be removed, makes no difference: what a
// leftover holds is verified before use.
func (d *folder) remove(name string) {
	_ = unix.Unlinkat(int(d.f.Fd()), name, 0)
}

// names lists the directory.
func (d *folder) names() ([]string, error) {
	return d.f.Readdirnames(-1)
}

// freeSpace returns how many bytes of f's file system a user may still fill, and how many it has.
func freeSpace(f *os.File) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// openLimit is how many files this process may have open.
func openLimit() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<20))
}

// kindOfPath is remote.KindOfOwn for the directory itself, which may be something else.
func kindOfPath(err error) remote.Kind {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return remote.NotDir
	}
	return remote.KindOfOwn(err)
}
