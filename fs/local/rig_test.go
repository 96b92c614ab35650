package local_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
)

var (
	bg = context.Background()
	me = vfs.Caller{UID: 1001, GID: 1002}
)

// testNames are the default ones but for "._*": which file of such a name is a dropping depends on
// its bytes, and most tests are about others.
var testNames = []string{".-*", ".DS_Store", "Thumbs.db", "desktop.ini"}

// openInner opens a real library in b, which it makes when it is missing.
func openInner(t testing.TB, b object.Bucket, dir string) *engine.FS {
	t.Helper()
	bo := bucket.Options{FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond, ChunkSize: 64 << 10}
	store, err := bucket.Open(bg, b, bo)
	if err != nil {
		if store, err = bucket.Create(bg, b, bo); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := engine.Open(bg, engine.Options{
		Store: store,
		Catalog: catalog.Options{
			Dir:           filepath.Join(dir, "catalog"),
			Machine:       []byte(dir),
			PollInterval:  20 * time.Millisecond,
			RetryInterval: 5 * time.Millisecond,
		},
		Cache:         block.Options{Dir: filepath.Join(dir, "cache")},
		SpoolDir:      filepath.Join(dir, "spool"),
		FlushDelay:    10 * time.Millisecond,
		RetryInterval: 5 * time.Millisecond,
		Host:          "testhost",
	})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// A rig is a library with droppings over a real one in memory.
type rig struct {
	*testing.T
	*local.Library
	inner *engine.FS
	dir   string // of the droppings
}

func newRig(t *testing.T, change ...func(*local.Options)) *rig {
	t.Helper()
	inner := openInner(t, mem.New(mem.Options{}), t.TempDir())
	r := &rig{T: t, inner: inner, dir: filepath.Join(t.TempDir(), "local")}
	t.Cleanup(func() {
		if err := r.Library.Close(); err != nil {
			t.Error(err)
		}
		if err := inner.Close(); err != nil {
			t.Error(err)
		}
	})
	r.reopen(change...)
	return r
}

// reopen is the end of one process, however it came, and the beginning of the next.
func (r *rig) reopen(change ...func(*local.Options)) {
	r.Helper()
	if r.Library != nil {
		r.ok(r.Library.Close())
	}
	opt := local.Options{Dir: r.dir, KeepFree: 1, Names: testNames}
	for _, c := range change {
		c(&opt)
	}
	var err error
	r.Library, err = local.New(r.inner, opt)
	r.ok(err)
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) is(err error, want remote.Kind) {
	r.Helper()
	if err == nil || remote.KindOf(err) != want {
		r.Fatalf("%v, want kind %q", err, want)
	}
}

// create makes a file with these bytes and gives back what the kernel would; it returns the id.
func (r *rig) create(folder vfs.ID, name, data string) vfs.ID {
	r.Helper()
	a, f, err := r.Create(bg, me, folder, name, 0o640, unix.O_RDWR|unix.O_CREAT)
	r.ok(err)
	r.write(f, data, 0)
	r.ok(f.Flush(bg, me))
	f.Release()
	r.Forget(a.ID, 1)
	return a.ID
}

func (r *rig) write(f vfs.File, data string, off int64) {
	r.Helper()
	n, err := f.Write(bg, []byte(data), off)
	r.ok(err)
	if n != len(data) {
		r.Fatalf("%d of %d bytes", n, len(data))
	}
}

func (r *rig) mkdir(folder vfs.ID, name string) vfs.ID {
	r.Helper()
	a, err := r.Mkdir(bg, me, folder, name, 0o755)
	r.ok(err)
	r.Forget(a.ID, 1)
	return a.ID
}

// stat looks a name up and gives the reference back.
func (r *rig) stat(folder vfs.ID, name string) vfs.Attr {
	r.Helper()
	a, err := r.Lookup(bg, folder, name)
	r.ok(err)
	r.Forget(a.ID, 1)
	return a
}

func (r *rig) gone(folder vfs.ID, name string) {
	r.Helper()
	_, err := r.Lookup(bg, folder, name)
	r.is(err, remote.NotExist)
}

// read gives the bytes of a name.
func (r *rig) read(folder vfs.ID, name string) string {
	r.Helper()
	a, err := r.Lookup(bg, folder, name)
	r.ok(err)
	defer r.Forget(a.ID, 1)
	f, err := r.Open(bg, me, a.ID, unix.O_RDONLY)
	r.ok(err)
	defer f.Release()
	b := make([]byte, 1<<20)
	n, err := f.Read(bg, b, 0)
	r.ok(err)
	return string(b[:n])
}

func (r *rig) holds(folder vfs.ID, name, want string) {
	r.Helper()
	if got := r.read(folder, name); got != want {
		r.Fatalf("%q holds %q, want %q", name, got, want)
	}
}

func isLocal(id vfs.ID) bool { return id>>61 == 3 }

// names lists a folder of any library, in turn with attributes and without, a few entries a call,
// without "." and "..". The order is the listing's.
func (r *rig) names(lib vfs.Library, folder vfs.ID) (names []string) {
	r.Helper()
	d, err := lib.OpenDir(bg, folder)
	r.ok(err)
	defer d.Release()
	for cookie, attrs := uint64(0), false; ; attrs = !attrs {
		some := r.page(lib, d, cookie, attrs, 3)
		if len(some) == 0 {
			return names
		}
		for _, e := range some {
			if cookie = e.Cookie; e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
		}
	}
}

// page reads up to max entries after a cookie, and gives references back.
func (r *rig) page(lib vfs.Library, d vfs.Dir, cookie uint64, attrs bool, max int) (some []vfs.DirEntry) {
	r.Helper()
	r.ok(d.Read(bg, cookie, attrs, func(group []vfs.DirEntry) bool {
		if len(some)+len(group) > max {
			return false
		}
		some = append(some, group...)
		return true
	}))
	for _, e := range some {
		if attrs && e.Name != "." && e.Name != ".." {
			if e.Attr.ID != e.ID {
				r.Fatalf("%q has id %#x and attributes of %#x", e.Name, e.ID, e.Attr.ID)
			}
			lib.Forget(e.ID, 1)
		}
	}
	return some
}
