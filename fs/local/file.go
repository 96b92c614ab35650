package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A file is an open dropping. All of one node share the real file's descriptor. When the dropping
// enters the library, each goes on with a file of its own there.
type file struct {
	l       *Library
	n       *node // pinned until Release
	opener  vfs.Caller
	flags   uint32
	writes  bool
	append  bool
	changed atomic.Bool // since it was last looked at whether it still is a dropping
	done    atomic.Bool

	mu    sync.Mutex
	inner vfs.File // once the dropping has entered the library and this file was used; guarded by mu
}

// newFile takes over a pin.
func newFile(l *Library, n *node, c vfs.Caller, flags uint32) *file {
	return &file{
		l:      l,
		n:      n,
		opener: c,
		flags:  flags,
		writes: flags&unix.O_ACCMODE != unix.O_RDONLY,
		append: flags&unix.O_APPEND != 0,
	}
}

// entered gives the file of the inner library that this one goes on with; nil while it is a
// dropping's.
func (f *file) entered(ctx context.Context) (vfs.File, error) {
	id := f.n.entered()
	if id == 0 {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inner == nil {
		g, err := f.l.inner.Open(ctx, f.opener, id, f.flags&^(unix.O_CREAT|unix.O_EXCL|unix.O_TRUNC))
		if err != nil {
			return nil, err
		}
		f.inner = g
	}
	return f.inner, nil
}

// inLibrary gives what the inner library knows of an open file.
func inLibrary(ctx context.Context, f vfs.File) (vfs.File, error) {
	ours, ok := f.(*file)
	if !ok {
		return f, nil
	}
	g, err := ours.entered(ctx)
	if g == nil {
		return nil, err
	}
	return g, nil
}

func (l *Library) open(ctx context.Context, c vfs.Caller, id vfs.ID, flags uint32) (vfs.File, error) {
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
		id := n.entered()
		if id == 0 {
			err = l.truncate(n, 0)
		}
		n.io.Unlock()
		if id != 0 {
			l.unpin(n)
			return l.inner.Open(ctx, c, id, flags)
		}
		if err != nil {
			l.unpin(n)
			return nil, err
		}
	}
	f := newFile(l, n, c, flags)
	f.changed.Store(flags&unix.O_TRUNC != 0)
	return f, nil
}

// KeepCache is false: to read a small file of the local disk once more is cheaper than to know who
// else may have written it.
func (f *file) KeepCache() bool { return false }

func (f *file) Read(ctx context.Context, p []byte, off int64) (int, error) {
	switch g, err := f.entered(ctx); {
	case err != nil:
		return 0, err
	case g != nil:
		return g.Read(ctx, p, off)
	}
	n, err := f.n.f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, remote.OSError("read a local file", quoted(f.n.f.Name()), err)
	}
	return n, nil
}

// Write writes all of p or fails. What shows the file to be no dropping has it enter the library
// first: beginning as no AppleDouble file does, or being larger than droppings are.
func (f *file) Write(ctx context.Context, p []byte, off int64) (int, error) {
	const op = "write a local file"
	if !f.writes {
		return 0, remote.E(op, quoted(f.n.f.Name()), remote.Permission, errors.New("it was opened for reading"))
	}
	for {
		switch g, err := f.entered(ctx); {
		case err != nil:
			return 0, err
		case g != nil:
			return g.Write(ctx, p, off)
		}
		done, enter, err := f.write(p, off)
		if !enter {
			return done, err
		}
		// One that has lost its name meanwhile cannot enter: what its name said does not count any
		// more.
		if entered, err := f.l.enterOr(ctx, f.n, err); !entered && err != nil {
			return 0, err
		}
	}
}

// write writes into the real file; enter is true when the file is to enter the library first, or
// else err is why it can not be written.
func (f *file) write(p []byte, off int64) (done int, enter bool, err error) {
	const op = "write a local file"
	n := f.n
	name := f.l.nameOf(n)
	n.io.Lock()
	defer n.io.Unlock()
	if n.entered() != 0 {
		return 0, true, nil
	}
	if f.append {
		if off, err = n.size(); err != nil {
			return 0, false, err
		}
	}
	if off == 0 && byContent(name) && !mayBeAppleDouble(p) {
		return 0, true, nil // a file that has a name: enter does not refuse
	}
	if err := f.l.fits(op, n, off, int64(len(p))); err != nil {
		return 0, mustEnter(err), err
	}
	f.changed.Store(true)
	done, err = n.f.WriteAt(p, off)
	if err != nil {
		if done > 0 {
			return done, false, nil // what is written is written; the next one is told
		}
		return 0, false, remote.OSError(op, quoted(n.f.Name()), err)
	}
	return done, false, nil
}

// nameOf gives a dropping's present name; empty when it has lost it.
func (l *Library) nameOf(n *node) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return n.name
}

func (n *node) size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(n.f.Fd()), &st); err != nil {
		return 0, remote.OSError("look at a local file", quoted(n.f.Name()), err)
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
			WithHint("a larger file of this name must be in the library: it was deleted, so it cannot")
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
		return remote.OSError(op, quoted(n.f.Name()), err)
	}
	return nil
}

// Flush has a file enter the library when what was written to it shows that it is no dropping, and
// then does what a close there does. For a dropping it does nothing: a close of a file of the local
// disk waits for nothing either.
func (f *file) Flush(ctx context.Context, c vfs.Caller) error {
	if err := f.sort(ctx); err != nil {
		return err
	}
	g, err := f.entered(ctx)
	if g == nil || err != nil {
		return err
	}
	return g.Flush(ctx, c)
}

// sort has a file that this one has changed enter the library unless its bytes are those of a
// dropping.
func (f *file) sort(ctx context.Context) error {
	if f.n.entered() != 0 || !f.changed.Load() {
		return nil
	}
	if err := f.l.sort(ctx, f.n); err != nil {
		return err
	}
	f.changed.Store(false)
	return nil
}

// sort has a file enter the library unless its name and bytes are those of a dropping. The node is
// pinned.
func (l *Library) sort(ctx context.Context, n *node) error {
	name := l.nameOf(n)
	if !byContent(name) {
		return nil
	}
	n.io.Lock()
	head, err := n.head()
	n.io.Unlock()
	if err == nil && !stays(name, head) {
		_, err = l.enter(ctx, n)
	}
	return err
}

// Fsync returns when bytes, attributes and name are on the local disk, or in the store for a file
// that is no dropping.
func (f *file) Fsync(ctx context.Context) error {
	if err := f.sort(ctx); err != nil {
		return err
	}
	switch g, err := f.entered(ctx); {
	case err != nil:
		return err
	case g != nil:
		return g.Fsync(ctx)
	}
	if err := f.n.f.Sync(); err != nil {
		return remote.OSError("fsync a local file", quoted(f.n.f.Name()), err)
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
func (f *file) Allocate(ctx context.Context, mode uint32, off, n int64) error {
	const op = "allocate"
	name := quoted(f.n.f.Name())
	switch mode {
	case 0,
		vfs.AllocateKeepSize,
		vfs.AllocatePunchHole | vfs.AllocateKeepSize,
		vfs.AllocateZeroRange,
		vfs.AllocateZeroRange | vfs.AllocateKeepSize:
	default:
		return remote.E(op, name, remote.Unsupported, fmt.Errorf("mode %#x", mode))
	}
	if !f.writes {
		return remote.E(op, name, remote.Permission, errors.New("it was opened for reading"))
	}
	if off < 0 || n <= 0 || off+n < 0 {
		return remote.E(op, name, remote.Invalid, nil)
	}
	entered, err := f.allocate(mode, off, n)
	if err != nil && mustEnter(err) {
		entered, err = f.l.enterOr(ctx, f.n, err)
	}
	if !entered {
		return err
	}
	g, err := f.entered(ctx)
	if err != nil {
		return err
	}
	return g.Allocate(ctx, mode, off, n)
}

// allocate allocates in the real file; entered is true, and nothing changed, when the dropping is
// none any more.
func (f *file) allocate(mode uint32, off, n int64) (entered bool, err error) {
	const op = "allocate"
	f.n.io.Lock()
	defer f.n.io.Unlock()
	if f.n.entered() != 0 {
		return true, nil
	}
	f.changed.Store(true)
	if mode&vfs.AllocatePunchHole == 0 {
		if err := f.l.fits(op, f.n, off, n); err != nil {
			return false, err
		}
	}
	if err := unix.Fallocate(int(f.n.f.Fd()), mode, off, n); err != nil {
		return false, remote.OSError(op, quoted(f.n.f.Name()), err)
	}
	return false, nil
}

// CopyRange copies between droppings. From a file of the inner library it is Unsupported, which
// makes the kernel read and write.
func (f *file) CopyRange(ctx context.Context, from vfs.File, fromOff, off, n int64) (int64, error) {
	const op = "copy a local file"
	name := quoted(f.n.f.Name())
	g, err := f.entered(ctx)
	if err != nil {
		return 0, err
	}
	src, ok := from.(*file)
	if ok && src.n.entered() != 0 {
		ok = false
		if from, err = src.entered(ctx); err != nil {
			return 0, err
		}
	}
	switch {
	case g != nil && !ok:
		return g.CopyRange(ctx, from, fromOff, off, n)
	case g != nil || !ok || src.l != f.l:
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
	if f.n.entered() != 0 || off == 0 && byContent(f.n.f.Name()) {
		return 0, remote.E(op, name, remote.Unsupported, nil) // the kernel copies: Write sees what the file becomes
	}
	f.changed.Store(true)
	size, err := src.n.size()
	if n = min(n, size-fromOff); err != nil || n <= 0 {
		return 0, err
	}
	if err := f.l.fits(op, f.n, off, n); err != nil {
		return 0, err
	}
	done, err := unix.CopyFileRange(int(src.n.f.Fd()), &fromOff, int(f.n.f.Fd()), &off, int(n), 0)
	if err != nil {
		return 0, remote.OSError(op, name, err)
	}
	return int64(done), nil
}

// Seek finds data (3) or a hole (4).
func (f *file) Seek(ctx context.Context, off int64, whence uint32) (int64, error) {
	name := quoted(f.n.f.Name())
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, remote.E("seek", name, remote.Invalid, fmt.Errorf("whence %d", whence))
	}
	switch g, err := f.entered(ctx); {
	case err != nil:
		return 0, err
	case g != nil:
		return g.Seek(ctx, off, whence)
	}
	at, err := unix.Seek(int(f.n.f.Fd()), off, int(whence))
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, remote.E("seek", name, remote.Invalid, vfs.ErrNoData)
	case err != nil:
		return 0, remote.OSError("seek", name, err)
	}
	return at, nil
}

// Release ends the file.
func (f *file) Release() {
	if !f.done.CompareAndSwap(false, true) {
		return
	}
	f.mu.Lock()
	g := f.inner
	f.mu.Unlock()
	if g != nil {
		g.Release()
	}
	f.l.unpin(f.n)
}
