package fuse

import (
	"context"
	"sync"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// fakeLibrary is a library of one media, "file", whose reads can be held up. What is not here
// panics.
type fakeLibrary struct {
	vfs.Library
	mu      sync.Mutex
	attr    vfs.Attr
	opened  []*fakeFile
	changes []vfs.AttrChange
	xattrs  map[string][]byte
	read    func(ctx context.Context) error
}

const fakeID = vfs.ID(5)

func newFake() *fakeLibrary {
	return &fakeLibrary{attr: vfs.Attr{ID: fakeID, Mode: unix.S_IFREG | 0o644, Nlink: 1, Size: 1000}}
}

func (l *fakeLibrary) Lookup(ctx context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	if name == "file" {
		return l.GetAttr(ctx, fakeID)
	}
	return vfs.Attr{}, remote.E("look up", name, remote.NotExist, nil)
}

func (l *fakeLibrary) GetAttr(_ context.Context, id vfs.ID) (vfs.Attr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == vfs.Root {
		return vfs.Attr{ID: vfs.Root, Mode: unix.S_IFDIR | 0o755, Nlink: 2}, nil
	}
	return l.attr, nil
}

func (l *fakeLibrary) SetAttr(
	_ context.Context, _ vfs.Caller, _ vfs.ID, _ vfs.File, ch vfs.AttrChange,
) (vfs.Attr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, ch)
	return l.attr, nil
}

func (l *fakeLibrary) Forget(vfs.ID, uint64) {}

func (l *fakeLibrary) Open(_ context.Context, _ vfs.Caller, _ vfs.ID, flags uint32) (vfs.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &fakeFile{lib: l, flags: flags}
	l.opened = append(l.opened, f)
	return f, nil
}

func (l *fakeLibrary) GetXattr(_ context.Context, _ vfs.ID, name string) ([]byte, error) {
	if v, ok := l.xattrs[name]; ok {
		return v, nil
	}
	return nil, remote.E("get attribute", name, remote.NoAttribute, nil)
}

func (l *fakeLibrary) ListXattr(context.Context, vfs.ID) ([]string, error) {
	return []string{"user.a", "user.b"}, nil
}

func (l *fakeLibrary) SetXattr(context.Context, vfs.Caller, vfs.ID, string, []byte, uint32) error {
	return remote.E("set attribute", "", remote.TooLarge, nil)
}

type fakeFile struct {
	lib                    *fakeLibrary
	flags                  uint32
	writes, flushes, syncs int
	released               bool
}

func (f *fakeFile) KeepCache() bool { return f.flags&unix.O_APPEND == 0 }

func (f *fakeFile) Read(ctx context.Context, p []byte, off int64) (int, error) {
	if f.lib.read != nil {
		if err := f.lib.read(ctx); err != nil {
			return 0, err
		}
	}
	n := min(int64(len(p)), max(0, f.lib.attr.Size-off))
	clear(p[:n])
	return int(n), nil
}

func (f *fakeFile) Write(_ context.Context, p []byte, _ int64) (int, error) {
	f.writes++
	return len(p), nil
}

func (f *fakeFile) CopyRange(_ context.Context, _ vfs.File, _, _, n int64) (int64, error) {
	return n, nil
}

func (f *fakeFile) Flush(context.Context, vfs.Caller) error {
	f.flushes++
	return nil
}

func (f *fakeFile) Fsync(context.Context) error {
	f.syncs++
	return nil
}

func (f *fakeFile) Allocate(context.Context, uint32, int64, int64) error {
	return remote.E("allocate", "", remote.Unsupported, nil)
}

func (f *fakeFile) Seek(_ context.Context, off int64, _ uint32) (int64, error) {
	return 0, remote.E("seek", "", remote.Invalid, vfs.ErrNoData)
}

func (f *fakeFile) Release() { f.released = true }

// newFileSystem is an adapter over lib that no kernel talks to.
func newFileSystem(lib vfs.Library) *fileSystem {
	return &fileSystem{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(),
		lib:           lib,
		log:           discard(),
		announcer:     NewAnnouncer(),
		dying:         func(uint32) bool { return false },
	}
}

// mountFake serves lib from this process, which must not touch the mount itself.
func mountFake(t *testing.T, lib vfs.Library, change ...func(*Options)) *Server {
	t.Helper()
	if err := checkDevice(""); err != nil {
		t.Skip(err)
	}
	o := Options{Library: lib, Dir: t.TempDir(), FSName: "fake"}
	for _, c := range change {
		c(&o)
	}
	s, err := Mount(o)
	if remote.KindOf(err) == remote.Permission || remote.KindOf(err) == remote.Unsupported {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.over() {
			_ = s.Abort()
			_ = s.LazyUnmount()
			s.Wait()
		}
	})
	return s
}
