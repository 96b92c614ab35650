package dir

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

// pageSize is what List gives when it is not told how many. A page costs one reading of each folder
// that it touches, so it is larger than that of S3.
const pageSize = 10000

// List walks only the folders that can hold keys with the prefix after the one given, in the order
// of the keys. Files that are no objects (links, sockets, names that are no key) are left out.
func (b *Bucket) List(ctx context.Context, prefix, after string, max int) ([]object.Info, bool, error) {
	if object.NoKeyBegins(prefix) {
		return nil, false, object.CheckContext(ctx, "list objects", prefix)
	}
	return b.list(ctx, prefix, after, max, false)
}

// ListAll is List with files whose names are no key.
func (b *Bucket) ListAll(ctx context.Context, prefix, after string, max int) ([]object.Info, bool, error) {
	return b.list(ctx, prefix, after, max, true)
}

func (b *Bucket) list(ctx context.Context, prefix, after string, max int, all bool) ([]object.Info, bool, error) {
	const op = "list objects"
	if err := object.CheckContext(ctx, op, prefix); err != nil {
		return nil, false, err
	}
	if max <= 0 {
		max = pageSize
	}
	w := &walk{b: b, ctx: ctx, prefix: prefix, after: after, max: max, all: all}
	start := prefix[:strings.LastIndexByte(prefix, '/')+1] // the deepest folder that all keys lie in
	if strings.HasPrefix(start, tempFolder+"/") {
		return nil, false, nil
	}
	err := w.folder(start)
	switch {
	case err == nil:
		return w.page, false, nil
	case errors.Is(err, errFull):
		return w.page, true, nil
	}
	err = b.fail(op, prefix, err)
	if remote.KindOf(err) == remote.NotExist {
		return nil, false, nil // there is no folder of that prefix
	}
	return nil, false, err
}

// errFull ends a walk whose page is full when there is one more object.
var errFull = errors.New("page full")

// walk gathers one page.
type walk struct {
	b             *Bucket
	ctx           context.Context
	prefix, after string
	max           int
	all           bool // names that are no key too
	page          []object.Info
}

// folder walks one folder; name is "" or ends in a slash. A folder sorts as its name with a slash,
// because that is how the keys in it go on.
func (w *walk) folder(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := w.b.readFolder(cmp.Or(strings.TrimSuffix(name, "/"), "."))
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		key := name + e.Name()
		switch {
		case e.IsDir():
			key += "/"
		case !e.Type().IsRegular():
			continue
		}
		if w.wanted(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		err := w.entry(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether key, or a key in the folder key if that ends in a slash, can be on the
// page.
func (w *walk) wanted(key string) bool {
	if key == tempFolder+"/" || !w.all && checkKey("", strings.TrimSuffix(key, "/")) != nil {
		return false
	}
	if strings.HasSuffix(key, "/") {
		inPrefix := strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)
		return inPrefix && (key > w.after || strings.HasPrefix(w.after, key))
	}
	return strings.HasPrefix(key, w.prefix) && key > w.after
}

func (w *walk) entry(key string) error {
	if strings.HasSuffix(key, "/") {
		return w.folder(key)
	}
	fi, err := w.b.root.Lstat(key)
	if err != nil {
		return err
	}
	st, err := statOf(fi)
	if err != nil {
		return err
	}
	info, err := w.b.describe("list objects", key, st)
	if err != nil {
		return nil // no longer a regular file
	}
	if len(w.page) == w.max {
		return errFull
	}
	info.Date = time.Time{}
	w.page = append(w.page, info)
	return nil
}

// statOf gives the kernel's own record of a file.
func statOf(fi fs.FileInfo) (*unix.Stat_t, error) {
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("the operating system does not describe its files")
	}
	return &unix.Stat_t{
		Ino: s.Ino, Dev: uint64(s.Dev), Mode: s.Mode, Nlink: s.Nlink, Size: s.Size,
		Mtim: unix.Timespec{Sec: s.Mtim.Sec, Nsec: s.Mtim.Nsec},
	}, nil
}

func timeOf(ts unix.Timespec) time.Time { return time.Unix(ts.Sec, ts.Nsec) }
