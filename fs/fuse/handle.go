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

// A handle is an open media. When the kernel writes back pages of a shared mapping it uses any writable handle of the
// inode, also one opened with O_APPEND, where the bytes would be put at the end. Such writes go to a second
// file that is opened for them, the first time, without that flag.
type handle struct {
	vfs.File
	id      vfs.ID
	appends bool

	mu struct {
		sync.Mutex
		placed vfs.File
	}
}

// placed is the file that writes at the offset it is told.
func (h *handle) placed(ctx context.Context, lib vfs.Library, c vfs.Caller) (vfs.File, error) {
	if !h.appends {
		return h.File, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.placed == nil {
		f, err := lib.Open(ctx, c, h.id, syscall.O_WRONLY)
		if err != nil {
			return nil, err
		}
		h.mu.placed = f
	}
	return h.mu.placed, nil
}

// second is the file for placed writes when there is one.
func (h *handle) second() vfs.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.placed
}

func (h *handle) release() {
	if f := h.second(); f != nil {
		f.Release()
	}
	h.Release()
}
