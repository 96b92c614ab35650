package view

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A sheet is a text that is made when it is asked for. What one open file reads is made at its open
// and stays. The size that stat tells is that of the file that was opened last while one is open,
// and else of the text as it is now.
type sheet struct {
	l    *Library
	name string
	// about gives the attributes of what it tells of; owner and the right to read are its own.
	about func(ctx context.Context) (vfs.Attr, error)
	of    vfs.ID // the node of the tree that about is about; 0: none
	text  func(ctx context.Context) ([]byte, error)

	mu     sync.Mutex
	opened int
	size   int64
}

func (s *sheet) key() string { return s.name }

func (s *sheet) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := s.about(ctx)
	if err != nil {
		return a, err
	}
	may := s.l.asking(ctx).may(ctx, &a, mayRead)
	a = virtual(a, unix.S_IFREG|a.Mode&0o444, 0)
	if !may {
		return a, nil // how long it is tells what it says; nothing is read by this size
	}
	s.mu.Lock()
	size, open := s.size, s.opened > 0
	s.mu.Unlock()
	if !open {
		b, err := s.text(ctx)
		if err != nil {
			return a, err
		}
		size = int64(len(b))
	}
	a.Size, a.Blocks = size, (size+511)/512
	return a, nil
}

func (s *sheet) rights() (vfs.ID, func(uint32) uint32) { return s.of, readOnlyRights }

func (s *sheet) open(ctx context.Context, _ *asker) (vfs.File, error) {
	b, err := s.text(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.opened++
	s.size = int64(len(b))
	s.mu.Unlock()
	return &page{readOnly: readOnly{s.name}, sheet: s, text: b}, nil
}

// A page is an open sheet.
type page struct {
	readOnly
	sheet *sheet
	text  []byte
}

// Direct tells the kernel's adapter to keep nothing of it.
func (p *page) Direct() bool { return true }

func (p *page) Read(_ context.Context, b []byte, off int64) (int, error) {
	if off >= int64(len(p.text)) {
		return 0, nil
	}
	return copy(b, p.text[off:]), nil
}

func (p *page) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	return seekWhole(p.name, off, int64(len(p.text)), whence)
}

func (p *page) Release() {
	p.sheet.mu.Lock()
	p.sheet.opened--
	p.sheet.mu.Unlock()
}

// readOnly is what a file has that is only read.
type readOnly struct{ name string }

func (r readOnly) refuse(op string) error {
	return remote.E(op, r.name, remote.Permission, errReadOnly)
}

var errReadOnly = errors.New("it is shown, not kept")

func (r readOnly) KeepCache() bool { return false }
func (r readOnly) Write(context.Context, []byte, int64) (int, error) {
	return 0, r.refuse("write")
}
func (r readOnly) Flush(context.Context, vfs.Caller) error { return nil }
func (r readOnly) Fsync(context.Context) error             { return nil }
func (r readOnly) Allocate(context.Context, uint32, int64, int64) error {
	return r.refuse("allocate")
}
func (r readOnly) CopyRange(context.Context, vfs.File, int64, int64, int64) (int64, error) {
	return 0, r.refuse("copy")
}

// seekWhole finds data and holes in a file without holes.
func seekWhole(name string, off, size int64, whence uint32) (int64, error) {
	if off < 0 || off >= size {
		return 0, remote.E("seek", name, remote.Invalid, vfs.ErrNoData)
	}
	if whence == unix.SEEK_HOLE {
		return size, nil
	}
	return off, nil
}
