package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A file is an open dropping. All of one node share the real file's descriptor.
type file struct {
	l      *Library
	n      *node // pinned until Release
	writes bool
	append bool
	done   atomic.Bool
}

// newFile takes over a pin.
func newFile(l *Library, n *node, flags uint32) *file {
	return &file{l: l, n: n, writes: flags&unix.O_ACCMODE != unix.O_RDONLY, append: flags&unix.O_APPEND != 0}
}

func (l *Library) open(id vfs.ID, flags uint32) (*file, error) {
	const op = "open a local file"
	if flags&(unix.O_ACCMODE|unix.O_TRUNC) != unix.O_RDONLY {
		if err := l.mayChange(op, ""); err != nil {
			return nil, err
		}
	}
	n, err := l.pin(op, id)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_TRUNC != 0 {
		n.io.Lock()
		err = l.truncate(n, 0)
		n.io.Unlock()
		if err != nil {
			l.unpin(n)
			return nil, err
		}
	}
	return newFile(l, n, flags), nil
}

// KeepCache is false: to read a small file of the local disk once more is cheaper than to know who else may have written it.
func (f *file) KeepCache() bool { return false }

func (f *file) Read(_ context.Context, p []byte, off int64) (int, error) {
	n, err := f.n.f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, wrap("read a local file", quoted(f.n.f.Name()), err)
	}
	return n, nil
}

// Write writes all of p or fails: TooLarge beyond Options.MaxBytes, of which nothing is written then.
func (f *file) Write(_ context.Context, p []byte, off int64, killPriv bool) (int, error) {
	const op = "write a local file"
	if !f.writes {
		return 0, remote.E(op, quoted(f.n.f.Name()), remote.Permission, errors.New("it was opened for reading"))
	}
	n := f.n
	n.io.Lock()
	defer n.io.Unlock()
	if f.append {
		size, err := n.size()
		if err != nil {
			return 0, err
		}
		off = size
	}
	if err := f.l.fits(op, n, off, int64(len(p))); err != nil {
		return 0, err
	}
	done, err := n.f.WriteAt(p, off)
	if err != nil {
		if done > 0 {
			return done, nil // what is written is written; the next one is told
		}
		return 0, wrap(op, quoted(n.f.Name()), err)
	}
	if killPriv {
		err = n.killPriv()
	}
	return done, err
}

// killPriv clears bits that a write by somebody else may not leave. io is held.
func (n *node) killPriv() error {
	a, err := n.attr()
	if err != nil {
		return err
	}
	mode := a.Mode & permissions
	if unprivileged(mode) == mode {
		return nil
	}
	mode = unprivileged(mode)
	return n.own(vfs.AttrChange{Mode: &mode})
}

func (n *node) size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(n.f.Fd()), &st); err != nil {
		return 0, wrap("look at a local file", quoted(n.f.Name()), err)
	}
	return st.Size, nil
}

// fits tells whether count bytes may be written at off.
func (l *Library) fits(op string, n *node, off, count int64) error {
	if off < 0 || count < 0 || off+count < 0 {
		return remote.E(op, quoted(n.f.Name()), remote.Invalid, fmt.Errorf("%d bytes at %d", count, off))
	}
	if off+count > l.max {
		return remote.E(op, quoted(n.f.Name()), remote.TooLarge, fmt.Errorf("%d bytes, at most %d", off+count, l.max)).
			WithHint("files of this name stay on this machine; give it another name to have it in the library")
	}
	if count == 0 {
		return nil
	}
	return l.disk.mayGrow(count)
}

// truncate sets the size. io is held.
func (l *Library) truncate(n *node, size int64) error {
	const op = "truncate a local file"
	if err := l.fits(op, n, size, 0); err != nil {
		was, serr := n.size()
		if serr != nil || size > was || size < 0 { // one that was larger before the limit was lowered may shrink
			return err
		}
	}
	if err := n.f.Truncate(size); err != nil {
		return wrap(op, quoted(n.f.Name()), err)
	}
	return nil
}

// Flush does nothing: a close of a file of the local disk waits for nothing either.
func (f *file) Flush(context.Context, vfs.Caller) error { return nil }

// Fsync returns when bytes, attributes and name are on the local disk.
func (f *file) Fsync(context.Context) error {
	if err := f.n.f.Sync(); err != nil {
		return wrap("fsync a local file", quoted(f.n.f.Name()), err)
	}
	f.l.mu.Lock()
	folder, named := f.n.folder, f.n.name != ""
	f.l.mu.Unlock()
	if !named {
		return nil
	}
	return f.l.syncFolder(folder)
}

// Allocate is fallocate(2), as far as the local disk can do it.
func (f *file) Allocate(_ context.Context, mode uint32, off, n int64) error {
	const op = "allocate"
	name := quoted(f.n.f.Name())
	switch mode {
	case 0, vfs.AllocateKeepSize, vfs.AllocatePunchHole | vfs.AllocateKeepSize, vfs.AllocateZeroRange, vfs.AllocateZeroRange | vfs.AllocateKeepSize:
	default:
		return remote.E(op, name, remote.Unsupported, fmt.Errorf("mode %#x", mode))
	}
	if !f.writes {
		return remote.E(op, name, remote.Permission, errors.New("it was opened for reading"))
	}
	if off < 0 || n <= 0 || off+n < 0 {
		return remote.E(op, name, remote.Invalid, nil)
	}
	f.n.io.Lock()
	defer f.n.io.Unlock()
	if mode&vfs.AllocatePunchHole == 0 {
		if err := f.l.fits(op, f.n, off, n); err != nil {
			return err
		}
	}
	if err := unix.Fallocate(int(f.n.f.Fd()), mode, off, n); err != nil {
		return wrap(op, name, err)
	}
	return nil
}

// CopyRange copies between droppings. From a file of the inner library it is Unsupported, which makes the kernel read and write.
func (f *file) CopyRange(_ context.Context, from vfs.File, fromOff, off, n int64) (int64, error) {
	const op = "copy a local file"
	name := quoted(f.n.f.Name())
	src, ok := from.(*file)
	if !ok || src.l != f.l {
		return 0, remote.E(op, name, remote.Unsupported, nil)
	}
	if !f.writes {
		return 0, remote.E(op, name, remote.Permission, errors.New("it was opened for reading"))
	}
	if n <= 0 || fromOff < 0 || off < 0 {
		return 0, nil
	}
	f.n.io.Lock()
	defer f.n.io.Unlock()
	size, err := src.n.size()
	if n = min(n, size-fromOff); err != nil || n <= 0 {
		return 0, err
	}
	if err := f.l.fits(op, f.n, off, n); err != nil {
		return 0, err
	}
	done, err := unix.CopyFileRange(int(src.n.f.Fd()), &fromOff, int(f.n.f.Fd()), &off, int(n), 0)
	if err != nil {
		return 0, wrap(op, name, err)
	}
	return int64(done), nil
}

// Seek finds data (3) or a hole (4).
func (f *file) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	name := quoted(f.n.f.Name())
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, remote.E("seek", name, remote.Invalid, fmt.Errorf("whence %d", whence))
	}
	at, err := unix.Seek(int(f.n.f.Fd()), off, int(whence))
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, remote.E("seek", name, remote.Invalid, vfs.ErrNoData)
	case err != nil:
		return 0, wrap("seek", name, err)
	}
	return at, nil
}

// Release ends the file.
func (f *file) Release() {
	if f.done.CompareAndSwap(false, true) {
		f.l.unpin(f.n)
	}
}
