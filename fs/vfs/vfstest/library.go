package vfstest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// OverLibrary is a library called directly, as the kernel would call it: a node that is looked up
// is forgotten again, one that is open keeps a reference. errno is the adapter's table. reopen
// closes the library and opens it again; nil: Reopen does nothing. close is called at the end and
// may be nil. Close then checks that no reference is left, also by the library's own count when it
// has a method References() int.
func OverLibrary(
	lib vfs.Library, errno func(error) syscall.Errno, traits Traits, reopen func() (vfs.Library, error),
	close func() error,
) System {
	traits.Persists = reopen != nil
	return &libSystem{lib: lib, errno: errno, traits: traits, reopen: reopen, close: close, refs: make(map[vfs.ID]int)}
}

type libSystem struct {
	lib    vfs.Library
	errno  func(error) syscall.Errno
	traits Traits
	reopen func() (vfs.Library, error)
	close  func() error

	mu    sync.Mutex
	refs  map[vfs.ID]int // what this adapter holds
	files int
	dirs  int
}

// maxXattr is XATTR_SIZE_MAX: the kernel itself refuses more, so nobody else is asked.
const maxXattr = 1 << 16

var ctx = context.Background()

func root() vfs.Caller { return vfs.Caller{PID: uint32(os.Getpid())} }

func (s *libSystem) Traits() Traits { return s.traits }

// e turns an error into what a program gets.
func (s *libSystem) e(err error) error {
	if n := s.errno(err); n != 0 {
		return n
	}
	return nil
}

func (s *libSystem) took(id vfs.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs[id]++
}

// forget gives a reference back; the root has none.
func (s *libSystem) forget(id vfs.ID) {
	if id == vfs.Root {
		return
	}
	s.mu.Lock()
	s.refs[id]--
	if s.refs[id] == 0 {
		delete(s.refs, id)
	}
	s.mu.Unlock()
	s.lib.Forget(id, 1)
}

// settle checks that nothing is held.
func (s *libSystem) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refs) > 0 || s.files > 0 || s.dirs > 0 {
		return fmt.Errorf("the suite holds %d nodes, %d files, %d folders", len(s.refs), s.files, s.dirs)
	}
	if c, ok := s.lib.(interface{ References() int }); ok && c.References() != 0 {
		return fmt.Errorf("the library counts %d references, all were given back", c.References())
	}
	return nil
}

func (s *libSystem) Reopen() error {
	if err := s.settle(); err != nil || s.reopen == nil {
		return err
	}
	lib, err := s.reopen()
	if err == nil {
		s.lib = lib
	}
	return err
}

func (s *libSystem) Close() error {
	err := s.settle()
	if s.close != nil {
		if e := s.close(); err == nil {
			err = e
		}
	}
	return err
}

// walk looks a path up and holds a reference on its node, which the caller forgets.
func (s *libSystem) walk(p string) (vfs.Attr, error) {
	p = strings.Trim(p, "/")
	if p == "" {
		a, err := s.lib.GetAttr(ctx, vfs.Root)
		return a, s.e(err)
	}
	id := vfs.Root
	var a vfs.Attr
	for name := range strings.SplitSeq(p, "/") {
		next, err := s.lib.Lookup(ctx, id, name)
		s.forget(id)
		if err != nil {
			return a, s.e(err)
		}
		s.took(next.ID)
		id, a = next.ID, next
	}
	return a, nil
}

// parent walks to the folder that a path lies in. A component on the way that is no folder is
// ENOTDIR, as it is in the kernel.
func (s *libSystem) parent(p string) (vfs.ID, string, error) {
	p = strings.Trim(p, "/")
	dir, name := "", p
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		dir, name = p[:i], p[i+1:]
	}
	a, err := s.walk(dir)
	if err != nil {
		return 0, "", err
	}
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		s.forget(a.ID)
		return 0, "", syscall.ENOTDIR
	}
	return a.ID, name, nil
}

// at runs f in the folder of a path. A node that f returns with an error of nil has a reference,
// which is given back.
func (s *libSystem) at(p string, f func(dir vfs.ID, name string) (vfs.Attr, error)) error {
	dir, name, err := s.parent(p)
	if err != nil {
		return err
	}
	defer s.forget(dir)
	a, err := f(dir, name)
	if err != nil {
		return s.e(err)
	}
	if a.ID != 0 {
		s.took(a.ID)
		s.forget(a.ID)
	}
	return nil
}

// on runs f on the node of a path.
func (s *libSystem) on(p string, f func(id vfs.ID) error) error {
	a, err := s.walk(p)
	if err != nil {
		return err
	}
	defer s.forget(a.ID)
	return s.e(f(a.ID))
}

func (s *libSystem) Open(p string, flags int, mode uint32) (File, error) {
	dir, name, err := s.parent(p)
	if err != nil {
		return nil, err
	}
	defer s.forget(dir)
	a, err := s.lib.Lookup(ctx, dir, name)
	switch n := s.errno(err); {
	case n == 0 && flags&unix.O_CREAT != 0 && flags&unix.O_EXCL != 0:
		s.took(a.ID)
		s.forget(a.ID)
		return nil, syscall.EEXIST
	case n == 0:
		s.took(a.ID)
		return s.openNode(a, flags)
	case n != syscall.ENOENT || flags&unix.O_CREAT == 0:
		return nil, n
	}
	a, f, err := s.lib.Create(ctx, root(), dir, name, mode|unix.S_IFREG, uint32(flags))
	if err != nil {
		return nil, s.e(err)
	}
	s.took(a.ID)
	return s.opened(a.ID, f), nil
}

// openNode opens a node on which there is a reference, which the file takes over.
func (s *libSystem) openNode(a vfs.Attr, flags int) (File, error) {
	var err error
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = syscall.EISDIR
	case unix.S_IFLNK:
		err = syscall.ELOOP
	default:
		var f vfs.File
		if f, err = s.lib.Open(ctx, root(), a.ID, uint32(flags)&^(unix.O_CREAT|unix.O_EXCL)); err == nil {
			return s.opened(a.ID, f), nil
		}
		err = s.e(err)
	}
	s.forget(a.ID)
	return nil, err
}

func (s *libSystem) opened(id vfs.ID, f vfs.File) File {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files++
	return &libFile{s: s, id: id, f: f}
}

func (s *libSystem) Mkdir(p string, mode uint32) error {
	return s.at(p, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return s.lib.Mkdir(ctx, root(), dir, name, mode|unix.S_IFDIR)
	})
}

func (s *libSystem) Mknod(p string, mode, rdev uint32) error {
	return s.at(p, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return s.lib.Mknod(ctx, root(), dir, name, mode, rdev)
	})
}

func (s *libSystem) Symlink(target, p string) error {
	return s.at(p, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return s.lib.Symlink(ctx, root(), dir, name, []byte(target))
	})
}

func (s *libSystem) Readlink(p string) (target string, err error) {
	err = s.on(p, func(id vfs.ID) error {
		b, err := s.lib.Readlink(ctx, id)
		target = string(b)
		return err
	})
	return target, err
}

func (s *libSystem) Link(p, q string) error {
	a, err := s.walk(p)
	if err != nil {
		return err
	}
	defer s.forget(a.ID)
	return s.at(q, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return s.lib.Link(ctx, root(), a.ID, dir, name)
	})
}

func (s *libSystem) Unlink(p string) error {
	return s.at(p, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return vfs.Attr{}, s.lib.Unlink(ctx, root(), dir, name)
	})
}

func (s *libSystem) Rmdir(p string) error {
	return s.at(p, func(dir vfs.ID, name string) (vfs.Attr, error) {
		return vfs.Attr{}, s.lib.Rmdir(ctx, root(), dir, name)
	})
}

func (s *libSystem) Rename(p, q string, flags uint32) error {
	dir, name, err := s.parent(p)
	if err != nil {
		return err
	}
	defer s.forget(dir)
	return s.at(q, func(newDir vfs.ID, newName string) (vfs.Attr, error) {
		return vfs.Attr{}, s.lib.Rename(ctx, root(), dir, name, newDir, newName, flags)
	})
}

func (s *libSystem) Lstat(p string) (a vfs.Attr, err error) {
	err = s.on(p, func(id vfs.ID) (err error) {
		a, err = s.lib.GetAttr(ctx, id)
		return err
	})
	a.Btime = vfs.Time{}
	return a, err
}

func (s *libSystem) change(p string, ch vfs.AttrChange) error {
	return s.on(p, func(id vfs.ID) error {
		_, err := s.lib.SetAttr(ctx, root(), id, nil, ch)
		return err
	})
}

func (s *libSystem) Chmod(p string, mode uint32) error {
	return s.change(p, vfs.AttrChange{Mode: &mode})
}

func (s *libSystem) Truncate(p string, size int64) error {
	return s.change(p, vfs.AttrChange{Size: &size})
}

func (s *libSystem) Utimes(p string, atime, mtime *vfs.Time) error {
	return s.change(p, vfs.AttrChange{Atime: atime, Mtime: mtime})
}

func (s *libSystem) Chown(p string, uid, gid int) error {
	var ch vfs.AttrChange
	if uid >= 0 {
		n := uint32(uid)
		ch.UID = &n
	}
	if gid >= 0 {
		n := uint32(gid)
		ch.GID = &n
	}
	return s.change(p, ch)
}

func (s *libSystem) GetXattr(p, name string) (value []byte, err error) {
	err = s.on(p, func(id vfs.ID) (err error) {
		value, err = s.lib.GetXattr(ctx, id, name)
		return err
	})
	return value, err
}

func (s *libSystem) SetXattr(p, name string, value []byte, flags int) error {
	if len(value) > maxXattr {
		return syscall.E2BIG
	}
	return s.on(p, func(id vfs.ID) error {
		return s.lib.SetXattr(ctx, root(), id, name, value, uint32(flags))
	})
}

func (s *libSystem) ListXattr(p string) (names []string, err error) {
	err = s.on(p, func(id vfs.ID) (err error) {
		names, err = s.lib.ListXattr(ctx, id)
		return err
	})
	return names, err
}

func (s *libSystem) RemoveXattr(p, name string) error {
	return s.on(p, func(id vfs.ID) error { return s.lib.RemoveXattr(ctx, root(), id, name) })
}

func (s *libSystem) StatFS() (vfs.StatFS, error) {
	st, err := s.lib.StatFS(ctx)
	return st, s.e(err)
}

// libFile is an open file with the reference that an inode in use has.
type libFile struct {
	s  *libSystem
	id vfs.ID
	f  vfs.File
}

func (f *libFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.Read(ctx, p, off)
	return n, f.s.e(err)
}

func (f *libFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.Write(ctx, p, off)
	return n, f.s.e(err)
}

func (f *libFile) Truncate(size int64) error {
	_, err := f.s.lib.SetAttr(ctx, root(), f.id, f.f, vfs.AttrChange{Size: &size})
	return f.s.e(err)
}

func (f *libFile) Stat() (vfs.Attr, error) {
	a, err := f.s.lib.GetAttr(ctx, f.id)
	a.Btime = vfs.Time{}
	return a, f.s.e(err)
}

func (f *libFile) Sync() error { return f.s.e(f.f.Fsync(ctx)) }

func (f *libFile) Seek(off int64, whence int) (int64, error) {
	n, err := f.f.Seek(ctx, off, uint32(whence))
	return n, f.s.e(err)
}

func (f *libFile) Allocate(mode uint32, off, n int64) error {
	return f.s.e(f.f.Allocate(ctx, mode, off, n))
}

func (f *libFile) Close() error {
	err := f.s.e(f.f.Flush(ctx, root()))
	f.f.Release()
	f.s.forget(f.id)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.files--
	return err
}

func (s *libSystem) OpenDir(p string) (Dir, error) {
	a, err := s.walk(p)
	if err != nil {
		return nil, err
	}
	d, err := s.lib.OpenDir(ctx, a.ID)
	if err != nil {
		s.forget(a.ID)
		return nil, s.e(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs++
	return &libDir{s: s, id: a.ID, d: d}, nil
}

// libDir reads a few groups at a time, in turn with attributes and without.
type libDir struct {
	s      *libSystem
	id     vfs.ID
	d      vfs.Dir
	cookie uint64
	attrs  bool
}

func (d *libDir) Next() ([]vfs.DirEntry, error) {
	const some = 50
	var es []vfs.DirEntry
	d.attrs = !d.attrs
	err := d.d.Read(ctx, d.cookie, d.attrs, func(group []vfs.DirEntry) bool {
		if len(es) >= some {
			return false
		}
		for _, e := range group {
			if d.attrs && e.Name != "." && e.Name != ".." {
				d.s.took(e.ID)
			}
			es = append(es, e)
		}
		return true
	})
	if err = d.s.e(err); err != nil {
		return nil, err
	}
	for _, e := range es {
		d.cookie = e.Cookie
		if d.attrs && e.Name != "." && e.Name != ".." {
			if e.Attr.ID != e.ID || e.Attr.Mode&unix.S_IFMT != e.Mode&unix.S_IFMT {
				err = fmt.Errorf("entry %q: attributes of node %d type %o, entry of node %d type %o: %w", e.Name,
					e.Attr.ID, e.Attr.Mode&unix.S_IFMT, e.ID, e.Mode&unix.S_IFMT, syscall.EIO)
			}
			d.s.forget(e.ID)
		}
	}
	return es, err
}

func (d *libDir) Seek(cookie uint64) error {
	d.cookie = cookie
	return nil
}

func (d *libDir) Close() error {
	d.d.Release()
	d.s.forget(d.id)
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.dirs--
	return nil
}
