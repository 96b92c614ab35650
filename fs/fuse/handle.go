package fuse

import (
	"context"
	"sync"
	"syscall"

	"mediafs/fs/vfs"
)

// A table gives numbers to open handles. Numbers are never used twice.
type table[T any] struct {
	mu   sync.RWMutex
	last uint64
	open map[uint64]T
}

func (t *table[T]) add(v T) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[uint64]T)
	}
	t.last++
	t.open[t.last] = v
	return t.last
}

func (t *table[T]) get(n uint64) (T, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v, ok := t.open[n]
	return v, ok
}

func (t *table[T]) remove(n uint64) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.open[n]
	delete(t.open, n)
	return v, ok
}

// drain empties the table: what a connection that broke never released.
func (t *table[T]) drain() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []T
	for _, v := range t.open {
		all = append(all, v)
	}
	t.open = nil
	return all
}

// A handle is an open media. Whether a write goes to the end or where the kernel says belongs to
// the library's file, but a write may want the other than the open did: fcntl can set and clear
// O_APPEND, and pages of a shared mapping, which have their place, are written back through any
// writable handle of the inode. Such writes go to a second file, opened for them the first time.
type handle struct {
	vfs.File
	id      vfs.ID
	appends bool

	mu struct {
		sync.Mutex
		other vfs.File // appends when File does not
	}
}

// writer is the file that appends, or the one that writes at the offset it is told.
func (h *handle) writer(ctx context.Context, lib vfs.Library, c vfs.Caller, append bool) (vfs.File, error) {
	if h.appends == append {
		return h.File, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.other == nil {
		flags := uint32(syscall.O_WRONLY)
		if append {
			flags |= syscall.O_APPEND
		}
		f, err := lib.Open(ctx, c, h.id, flags)
		if err != nil {
			return nil, err
		}
		h.mu.other = f
	}
	return h.mu.other, nil
}

// second is the other file when there is one.
func (h *handle) second() vfs.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.other
}

func (h *handle) release() {
	if f := h.second(); f != nil {
		f.Release()
	}
	h.Release()
}
