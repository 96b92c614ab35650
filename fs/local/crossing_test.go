package local_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
)

// A hooked library is an inner one that does what an inner one may do at the worst moment.
type hooked struct {
	vfs.Library
	short  int                              // bytes that one Write takes, without an error; 0: all
	read   func(p []byte, off int64)        // before each Read
	lookup func(parent vfs.ID, name string) // before each Lookup
}

type hookedFile struct {
	vfs.File
	h *hooked
}

func (h *hooked) Open(ctx context.Context, c vfs.Caller, id vfs.ID, flags uint32) (vfs.File, error) {
	f, err := h.Library.Open(ctx, c, id, flags)
	if err != nil {
		return nil, err
	}
	return &hookedFile{f, h}, nil
}

func (h *hooked) Create(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	a, f, err := h.Library.Create(ctx, c, parent, name, mode, flags)
	if err != nil {
		return a, nil, err
	}
	return a, &hookedFile{f, h}, nil
}

func (h *hooked) SetAttr(
	ctx context.Context, c vfs.Caller, id vfs.ID, f vfs.File, ch vfs.AttrChange,
) (vfs.Attr, error) {
	if g, ok := f.(*hookedFile); ok {
		f = g.File
	}
	return h.Library.SetAttr(ctx, c, id, f, ch)
}

func (h *hooked) Lookup(ctx context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	if h.lookup != nil {
		h.lookup(parent, name)
	}
	return h.Library.Lookup(ctx, parent, name)
}

func (f *hookedFile) Read(ctx context.Context, p []byte, off int64) (int, error) {
	if f.h.read != nil {
		f.h.read(p, off)
	}
	return f.File.Read(ctx, p, off)
}

func (f *hookedFile) Write(ctx context.Context, p []byte, off int64) (int, error) {
	if f.h.short > 0 {
		p = p[:min(len(p), f.h.short)]
	}
	return f.File.Write(ctx, p, off)
}

// hook has the library of a rig stand in front of a hooked one.
func (r *rig) hook(h *hooked) {
	r.Helper()
	r.ok(r.Library.Close())
	h.Library = r.inner
	opt := local.Options{Dir: r.dir, KeepFree: 1}
	r.crossing()(&opt)
	var err error
	r.Library, err = local.New(h, opt)
	r.ok(err)
}

// A write that ends early, as on a disk that fills up, loses nothing of a file that enters the
// library.
func TestEnterWithShortWrites(t *testing.T) {
	r := newCrossing(t)
	r.hook(&hooked{short: 1000})
	data := double + strings.Repeat("fork", 2000)
	a, f, err := r.Create(bg, me, vfs.Root, "._a", 0o600, unix.O_RDWR)
	r.ok(err)
	r.write(f, data, 0)
	f.Release()
	r.Forget(a.ID, 1)
	r.ok(r.Rename(bg, me, vfs.Root, "._a", vfs.Root, "photo.jpg", 0))
	r.lies(vfs.Root, "photo.jpg", "library", data)
}

// An AppleDouble file that is cut through an open file and written no more is none when it is
// closed.
func TestCutThroughAFile(t *testing.T) {
	r := newCrossing(t)
	r.create(vfs.Root, "._a", double)
	a, err := r.Lookup(bg, vfs.Root, "._a")
	r.ok(err)
	f, err := r.Open(bg, me, a.ID, unix.O_RDWR)
	r.ok(err)
	size := int64(2)
	_, err = r.SetAttr(bg, me, a.ID, f, vfs.AttrChange{Size: &size})
	r.ok(err)
	r.ok(f.Flush(bg, me))
	f.Release()
	r.Forget(a.ID, 1)
	r.lies(vfs.Root, "._a", "library", double[:2])
	r.create(vfs.Root, "._b", double)
	a, err = r.Lookup(bg, vfs.Root, "._b")
	r.ok(err)
	f, err = r.Open(bg, me, a.ID, unix.O_RDWR|unix.O_TRUNC)
	r.ok(err)
	r.ok(f.Flush(bg, me))
	f.Release()
	r.Forget(a.ID, 1)
	r.lies(vfs.Root, "._b", "library", "")
}

// A write into a file that loses its name while the write is about to have it enter the library.
func TestWriteMeetsUnlink(t *testing.T) {
	r := newCrossing(t)
	reached, on := make(chan bool), make(chan bool)
	armed := false
	r.hook(&hooked{lookup: func(_ vfs.ID, name string) {
		if armed && name == "._a" {
			armed = false
			reached <- true
			<-on
		}
	}})
	a, f, err := r.Create(bg, me, vfs.Root, "._a", 0o600, unix.O_RDWR)
	r.ok(err)
	armed = true
	unlinked, written := make(chan error), make(chan error)
	go func() { unlinked <- r.Unlink(bg, me, vfs.Root, "._a") }()
	<-reached // it has the claim on the folder
	go func() {
		n, err := f.Write(bg, []byte("a photo"), 0)
		if err == nil && n != len("a photo") {
			err = errors.New("nothing was written, without an error")
		}
		written <- err
	}()
	for r.Claimants(vfs.Root) < 2 {
		time.Sleep(time.Millisecond)
	}
	close(on)
	r.ok(<-unlinked)
	r.ok(<-written)
	p := make([]byte, 100)
	n, err := f.Read(bg, p, 0)
	if err != nil || string(p[:n]) != "a photo" {
		t.Errorf("%q, %v", p[:n], err)
	}
	f.Release()
	r.Forget(a.ID, 1)
}

// While a file that leaves the library is read, which may take as long as the store takes, nobody
// else waits.
func TestLeaveHoldsUpNobody(t *testing.T) {
	r := newCrossing(t)
	reached, on := make(chan bool, 10), make(chan bool)
	h := &hooked{}
	r.hook(h)
	d := r.mkdir(vfs.Root, "d")
	r.create(d, ".DS_Store", "store")
	r.create(vfs.Root, "new", double)
	h.read = func([]byte, int64) { reached <- true; <-on }
	renamed := make(chan error)
	go func() { renamed <- r.Rename(bg, me, vfs.Root, "new", vfs.Root, "._a", 0) }()
	<-reached // it looks whether the bytes are those of an AppleDouble file
	on <- true
	<-reached // it copies
	looked := make(chan error)
	go func() {
		a, err := r.Lookup(bg, d, ".DS_Store")
		if err == nil {
			r.Forget(a.ID, 1)
		}
		looked <- err
	}()
	select {
	case err := <-looked:
		r.ok(err)
	case <-time.After(time.Minute):
		t.Error("another dropping cannot be looked up meanwhile")
	}
	close(on)
	r.ok(<-renamed)
	h.read = nil
	r.lies(vfs.Root, "._a", "here", double)
}

// A file that another machine writes while it is copied out of the library stays there, and is not
// cut to the size it had.
func TestLeaveBesideAnotherMachine(t *testing.T) {
	r := newCrossing(t)
	h := &hooked{}
	r.hook(h)
	r.create(vfs.Root, "new", double)
	id := r.stat(vfs.Root, "new").ID
	longer := double + strings.Repeat("fork", 100)
	reads := 0
	h.read = func([]byte, int64) {
		if reads++; reads == 2 {
			f, err := r.inner.Open(bg, me, id, unix.O_WRONLY)
			r.ok(err)
			r.write(f, longer, 0)
			r.ok(f.Flush(bg, me))
			f.Release()
		}
	}
	r.ok(r.Rename(bg, me, vfs.Root, "new", vfs.Root, "._a", 0))
	h.read = nil
	if reads < 2 {
		t.Fatalf("%d reads", reads)
	}
	r.lies(vfs.Root, "._a", "library", longer)
}

// The name in the store is given up when this disk has the file, also after a loss of power.
func TestLeaveThenPowerLoss(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no file system can be mounted here")
	}
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			run := func(name string, args ...string) error {
				out, err := exec.Command(name, args...).CombinedOutput()
				if err != nil {
					return errors.New(name + ": " + err.Error() + ": " + string(out))
				}
				return nil
			}
			if _, err := exec.LookPath("mkfs." + kind); err != nil {
				t.Skipf("no mkfs.%s here (Debian packages e2fsprogs, xfsprogs)", kind)
			}
			image, at, again := filepath.Join(t.TempDir(), "image"), t.TempDir(), t.TempDir()
			const size = 320 << 20 // XFS takes no less than 300 MiB
			err := errors.Join(
				os.WriteFile(image, nil, 0o600), os.Truncate(image, size), run("mkfs."+kind, "-q", image),
			)
			if err != nil {
				t.Fatal(err)
			}
			if err := run("mount", "-o", "loop", image, at); err != nil {
				t.Skipf("no %s can be mounted from a file here: %v", kind, err)
			}
			t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) }) //nolint:errcheck // nothing more can be done
			r := newCrossing(t)
			r.dir = filepath.Join(at, "local")
			r.reopen(r.crossing())
			unix.Sync()
			r.create(vfs.Root, "new", double)
			r.ok(r.Rename(bg, me, vfs.Root, "new", vfs.Root, "._a", 0))
			const shutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN
			f, err := os.Open(at)
			r.ok(err)
			r.ok(errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush), f.Close()))
			r.ok(r.Library.Close())
			r.ok(unix.Unmount(at, 0))
			r.ok(run("mount", "-o", "loop", image, again))
			t.Cleanup(func() { unix.Unmount(again, unix.MNT_DETACH) }) //nolint:errcheck // it is unmounted already
			r.dir = filepath.Join(again, "local")
			r.Library, err = local.New(
				r.inner, local.Options{Dir: r.dir, KeepFree: 1, OpenForWriting: r.inner.OpenForWriting},
			)
			r.ok(err)
			r.lies(vfs.Root, "._a", "here", double)
			r.ok(r.Library.Close())
			r.ok(unix.Unmount(again, 0))
		})
	}
}
