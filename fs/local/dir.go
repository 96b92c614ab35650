package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A dir is an open folder: ".", "..", its droppings, then the rest of the inner library's listing.
// A cookie below vfs.FirstCookie is a dropping's, from there on the inner library's, so that both
// resume where they were whatever comes and goes.
type dir struct {
	vfs.Dir
	l    *Library
	id   vfs.ID
	done atomic.Bool

	mu struct {
		sync.Mutex
		// droppings that were made since the listing began are not in it: who renames what they
		// list comes to an end
		end uint64
	}
}

// OpenDir opens a folder for listing.
func (l *Library) OpenDir(ctx context.Context, id vfs.ID) (vfs.Dir, error) {
	if local(id) {
		return nil, remote.E("opendir", fmt.Sprint(id), remote.NotDir, nil)
	}
	inner, err := l.inner.OpenDir(ctx, id)
	if err != nil || l.disk == nil {
		return inner, err
	}
	l.seen.Lock()
	l.seen.open[id]++
	l.seen.Unlock()
	return &dir{Dir: inner, l: l, id: id}, nil
}

func (d *dir) Release() {
	if !d.done.CompareAndSwap(false, true) {
		return
	}
	d.Dir.Release()
	s := &d.l.seen
	s.Lock()
	defer s.Unlock()
	if s.open[d.id]--; s.open[d.id] == 0 {
		delete(s.open, d.id)
	}
}

// Fsync returns when the names of the inner library are in the store and those of droppings on the
// local disk.
func (d *dir) Fsync(ctx context.Context) error {
	err := d.Dir.Fsync(ctx)
	if d.l.has(d.id) {
		err = errors.Join(err, d.l.syncFolder(d.id))
	}
	return err
}

// lastDot is the cookie of "..".
const lastDot = firstPlace - 1

// Read lists what comes after a cookie.
func (d *dir) Read(ctx context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool) error {
	if !d.l.has(d.id) {
		if lastDot < cookie && cookie < endPlaces {
			cookie = lastDot // all droppings are gone
		}
		return d.Dir.Read(ctx, cookie, attrs, emit)
	}
	if cookie < endPlaces {
		more, err := d.first(ctx, cookie, attrs, emit)
		if err != nil || !more {
			return err
		}
		cookie = lastDot
	}
	return d.Dir.Read(ctx, cookie, attrs, emit)
}

// first lists what lies before the names of the inner library. more is false when emit wants no
// more.
func (d *dir) first(
	ctx context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool,
) (more bool, err error) {
	if cookie < lastDot {
		full := false
		err := d.Dir.Read(ctx, cookie, attrs, func(group []vfs.DirEntry) bool {
			if group[0].Cookie > lastDot {
				return false
			}
			full = !emit(group)
			return !full
		})
		if err != nil || full {
			return false, err
		}
	}
	const some = 128
	begin := cookie <= lastDot
	for cookie = max(cookie, lastDot); ; {
		entries, err := d.after(cookie, begin, some)
		if err != nil {
			return false, err
		}
		begin = false
		for _, e := range entries {
			cookie = e.place
			if more, err := d.emit(ctx, e, attrs, emit); err != nil || !more {
				return false, err
			}
		}
		if len(entries) < some {
			return true, nil
		}
	}
}

// after gives the next droppings; begin tells that the listing starts here.
func (d *dir) after(place uint64, begin bool, max int) ([]entry, error) {
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	d.l.forgetLists()
	t, err := d.l.list(d.id)
	if t == nil || err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if begin {
		d.mu.end = t.next
	}
	return t.after(place, d.mu.end, max), nil
}

// emit passes one dropping on, unless the inner library has a file of its name or it went away.
func (d *dir) emit(ctx context.Context, e entry, attrs bool, emit func([]vfs.DirEntry) bool) (more bool, err error) {
	hidden, err := d.l.hidden(ctx, d.id, e.name)
	if hidden || err != nil {
		return err == nil, err
	}
	x := vfs.DirEntry{Name: e.name, ID: nodeID(e.ino), Mode: unix.S_IFREG, Cookie: e.place}
	if !attrs {
		return emit([]vfs.DirEntry{x}), nil
	}
	n, err := d.l.pinName(d.id, e.name)
	if remote.KindOf(err) == remote.NotExist && err != nil {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer d.l.unpin(n)
	if x.Attr, err = n.attr(); err != nil {
		return false, err
	}
	x.ID = n.id
	if !emit([]vfs.DirEntry{x}) {
		return false, nil
	}
	d.l.lookedUp(n)
	return true, nil
}
