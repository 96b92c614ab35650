package vfstest

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// OverOS is a folder of the running system, through system calls. reopen unmounts it and mounts it
// again, and may be nil. close, which may be nil too, is called at the end. The umask of the
// process becomes 022.
func OverOS(dir string, traits Traits, reopen, close func() error) System {
	unix.Umask(0o022)
	traits.Persists = reopen != nil
	return &osSystem{dir: dir, traits: traits, reopen: reopen, close: close}
}

type osSystem struct {
	dir           string
	traits        Traits
	reopen, close func() error
}

func (s *osSystem) Traits() Traits       { return s.traits }
func (s *osSystem) path(p string) string { return filepath.Join(s.dir, p) }
func (s *osSystem) Unlink(p string) error {
	return again(func() error { return unix.Unlink(s.path(p)) })
}
func (s *osSystem) Rmdir(p string) error { return again(func() error { return unix.Rmdir(s.path(p)) }) }

func (s *osSystem) Reopen() error {
	if s.reopen == nil {
		return nil
	}
	return s.reopen()
}

func (s *osSystem) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// again repeats a call that a signal broke: the Go runtime sends them all the time.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func attrOf(st *unix.Stat_t) vfs.Attr {
	t := func(ts unix.Timespec) vfs.Time { return vfs.Time{Sec: ts.Sec, Nsec: uint32(ts.Nsec)} }
	return vfs.Attr{
		ID: st.Ino, Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Rdev: uint32(st.Rdev),
		Size: st.Size, Blocks: st.Blocks, Atime: t(st.Atim), Mtime: t(st.Mtim), Ctime: t(st.Ctim),
	}
}

func (s *osSystem) Open(p string, flags int, mode uint32) (File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(s.path(p), flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return osFile(fd), nil
}

func (s *osSystem) Mkdir(p string, mode uint32) error {
	return again(func() error { return unix.Mkdir(s.path(p), mode) })
}

func (s *osSystem) Mknod(p string, mode, rdev uint32) error {
	return again(func() error { return unix.Mknod(s.path(p), mode, int(rdev)) })
}

func (s *osSystem) Symlink(target, p string) error {
	return again(func() error { return unix.Symlink(target, s.path(p)) })
}

func (s *osSystem) Readlink(p string) (string, error) {
	buf := make([]byte, 8192)
	n, err := unix.Readlink(s.path(p), buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (s *osSystem) Link(p, q string) error {
	return again(func() error { return unix.Link(s.path(p), s.path(q)) })
}

func (s *osSystem) Rename(p, q string, flags uint32) error {
	return again(func() error {
		if flags == 0 {
			return unix.Rename(s.path(p), s.path(q))
		}
		return unix.Renameat2(unix.AT_FDCWD, s.path(p), unix.AT_FDCWD, s.path(q), uint(flags))
	})
}

func (s *osSystem) Lstat(p string) (vfs.Attr, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Lstat(s.path(p), &st) }); err != nil {
		return vfs.Attr{}, err
	}
	return attrOf(&st), nil
}

func (s *osSystem) Chmod(p string, mode uint32) error {
	return again(func() error { return unix.Chmod(s.path(p), mode) })
}

func (s *osSystem) Chown(p string, uid, gid int) error {
	return again(func() error { return unix.Lchown(s.path(p), uid, gid) })
}

func (s *osSystem) Utimes(p string, atime, mtime *vfs.Time) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	for i, t := range []*vfs.Time{atime, mtime} {
		if t != nil {
			ts[i] = unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
		}
	}
	return again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, s.path(p), ts, unix.AT_SYMLINK_NOFOLLOW) })
}

func (s *osSystem) Truncate(p string, size int64) error {
	return again(func() error { return unix.Truncate(s.path(p), size) })
}

func (s *osSystem) GetXattr(p, name string) ([]byte, error) {
	return sized(func(buf []byte) (int, error) { return unix.Lgetxattr(s.path(p), name, buf) })
}

func (s *osSystem) ListXattr(p string) ([]string, error) {
	list, err := sized(func(buf []byte) (int, error) { return unix.Llistxattr(s.path(p), buf) })
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range splitZero(list) {
		names = append(names, name)
	}
	return names, nil
}

func splitZero(list []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, b := range list {
			if b == 0 {
				if !yield(string(list[start:i])) {
					return
				}
				start = i + 1
			}
		}
	}
}

// sized asks for the size, then for the value.
func sized(get func([]byte) (int, error)) ([]byte, error) {
	n, err := get(nil)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, n+1) // an empty slice would ask for the size again
	if n, err = get(buf); err != nil {
		return nil, err
	}
	return buf[:n], nil
}

func (s *osSystem) SetXattr(p, name string, value []byte, flags int) error {
	return again(func() error { return unix.Lsetxattr(s.path(p), name, value, flags) })
}

func (s *osSystem) RemoveXattr(p, name string) error {
	return again(func() error { return unix.Lremovexattr(s.path(p), name) })
}

func (s *osSystem) StatFS() (vfs.StatFS, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Statfs(s.dir, &st) }); err != nil {
		return vfs.StatFS{}, err
	}
	return vfs.StatFS{
		Bytes: st.Blocks * uint64(st.Bsize), FreeBytes: st.Bfree * uint64(st.Bsize),
		Nodes: st.Files - st.Ffree, MaxName: uint32(st.Namelen),
	}, nil
}

type osFile int

func (f osFile) ReadAt(p []byte, off int64) (int, error) {
	total := 0
	for total < len(p) {
		n, err := unix.Pread(int(f), p[total:], off+int64(total))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return total, err
		case n == 0:
			return total, nil
		default:
			total += n
		}
	}
	return total, nil
}

func (f osFile) WriteAt(p []byte, off int64) (int, error) {
	total := 0
	for {
		n, err := unix.Pwrite(int(f), p[total:], off+int64(total))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return total, err
		}
		total += n
		if total == len(p) {
			return total, nil
		}
	}
}

func (f osFile) Truncate(size int64) error {
	return again(func() error { return unix.Ftruncate(int(f), size) })
}

func (f osFile) Stat() (vfs.Attr, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(int(f), &st) }); err != nil {
		return vfs.Attr{}, err
	}
	return attrOf(&st), nil
}

func (f osFile) Sync() error { return again(func() error { return unix.Fsync(int(f)) }) }

func (f osFile) Seek(off int64, whence int) (int64, error) {
	return unix.Seek(int(f), off, whence)
}

func (f osFile) Allocate(mode uint32, off, n int64) error {
	return again(func() error { return unix.Fallocate(int(f), mode, off, n) })
}

// Close is not repeated after EINTR: the descriptor is gone.
func (f osFile) Close() error { return unix.Close(int(f)) }

// Map implements Mapper.
func (f osFile) Map(n int) ([]byte, func() error, error) {
	mem, err := unix.Mmap(int(f), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return mem, func() error {
		return errors.Join(unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem))
	}, nil
}

func (s *osSystem) OpenDir(p string) (Dir, error) {
	fd, err := unix.Open(s.path(p), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &osDir{fd: fd}, nil
}

// osDir reads with a small buffer, so that a long folder takes many calls.
type osDir struct {
	mu sync.Mutex
	fd int
}

func (d *osDir) Next() ([]vfs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	buf := make([]byte, 4096)
	n, err := unix.Getdents(d.fd, buf)
	if err != nil {
		return nil, err
	}
	var es []vfs.DirEntry
	for buf = buf[:n]; len(buf) > 0; {
		// struct linux_dirent64: ino, off, reclen, type, name, of which x/sys knows the first part
		// of a larger struct.
		const ino, off, reclen, typ, name = 0, 8, 16, 18, 19
		length := int(*(*uint16)(unsafe.Pointer(&buf[reclen])))
		if length < name || length > len(buf) {
			return nil, fmt.Errorf("malformed entry: %w", syscall.EIO)
		}
		e := vfs.DirEntry{
			ID:     *(*uint64)(unsafe.Pointer(&buf[ino])),
			Cookie: *(*uint64)(unsafe.Pointer(&buf[off])),
			Mode:   uint32(buf[typ]) << 12,
		}
		for n := range splitZero(buf[name:length]) {
			e.Name = n
			break
		}
		es = append(es, e)
		buf = buf[length:]
	}
	return es, nil
}

func (d *osDir) Seek(cookie uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := unix.Seek(d.fd, int64(cookie), unix.SEEK_SET)
	return err
}

func (d *osDir) Close() error { return unix.Close(d.fd) }
