package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Eight programs create, write, rename, exchange, delete and list droppings of three folders, which
// others remove and make. No file shows bytes of another, no listing goes back, and at the end all
// is where the disk has it.
func TestBusy(t *testing.T) {
	r := newRig(t)
	folders := []vfs.ID{r.mkdir(vfs.Root, "a"), r.mkdir(vfs.Root, "b"), vfs.Root}
	// What programs that meet get told.
	expected := map[remote.Kind]bool{remote.NotExist: true, remote.Exist: true, remote.NotEmpty: true}
	var wg sync.WaitGroup
	fail := func(what string, err error) {
		if err != nil && !expected[remote.KindOf(err)] {
			t.Errorf("%s: %v", what, err)
		}
	}
	for seed := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 7))
			folder := func() vfs.ID { return folders[rnd.IntN(3)] }
			name := func() string { return fmt.Sprintf(".-%d", rnd.IntN(6)) }
			for range 400 {
				switch rnd.IntN(7) {
				case 0, 1:
					a, f, err := r.Create(bg, me, folder(), name(), 0o600, unix.O_RDWR)
					fail("create", err)
					if err != nil {
						continue
					}
					mine := fmt.Appendf(nil, "%x", a.ID) // ids are unique while the file is open
					if _, err := f.Write(bg, mine, 0); err != nil {
						t.Error(err)
					}
					p := make([]byte, 100)
					if n, err := f.Read(bg, p, 0); err != nil || string(p[:n]) != string(mine) {
						t.Errorf("%q, %v, want %q", p[:n], err, mine)
					}
					f.Release()
					r.Forget(a.ID, 1)
				case 2:
					fail("unlink", r.Unlink(bg, me, folder(), name()))
				case 3:
					fail("rename", r.Rename(bg, me, folder(), name(), folder(), name(), uint32(rnd.IntN(3))))
				case 4:
					a, err := r.Lookup(bg, folder(), name())
					fail("lookup", err)
					if err != nil {
						continue
					}
					if f, err := r.Open(bg, me, a.ID, unix.O_RDONLY); err != nil {
						t.Errorf("open of what was looked up: %v", err)
					} else {
						p := make([]byte, 100)
						n, err := f.Read(bg, p, 0)
						if err != nil || n > 0 && string(p[:n]) != fmt.Sprintf("%x", a.ID) {
							t.Errorf("%#x holds %q, %v", a.ID, p[:n], err)
						}
						f.Release()
					}
					if b, err := r.GetAttr(bg, a.ID); err != nil || b.ID != a.ID {
						t.Errorf("%+v, %v", b, err)
					}
					r.Forget(a.ID, 1)
				case 5:
					d, err := r.OpenDir(bg, folder())
					if err != nil {
						fail("opendir", err)
						continue
					}
					seen := map[string]uint64{}
					var held []vfs.ID
					attrs := rnd.IntN(2) == 0
					fail("list", d.Read(bg, 0, attrs, func(group []vfs.DirEntry) bool {
						for _, e := range group {
							if at, twice := seen[e.Name]; twice && at >= e.Cookie {
								t.Errorf("%q at %d after %d", e.Name, e.Cookie, at)
							}
							seen[e.Name] = e.Cookie
							if attrs && e.Name != "." && e.Name != ".." {
								held = append(held, e.ID)
							}
						}
						return true
					}))
					for _, id := range held {
						r.Forget(id, 1)
					}
					d.Release()
				case 6:
					n := fmt.Sprint(rnd.IntN(2))
					a, err := r.Mkdir(bg, me, vfs.Root, n, 0o755)
					fail("mkdir", err)
					if err == nil {
						b, f, err := r.Create(bg, me, a.ID, ".-x", 0o600, 0)
						fail("create", err)
						if err == nil {
							f.Release()
							r.Forget(b.ID, 1)
							fail("unlink", r.Unlink(bg, me, a.ID, ".-x"))
						}
						r.Forget(a.ID, 1)
					}
					fail("rmdir", r.Rmdir(bg, me, vfs.Root, n))
				}
			}
		})
	}
	wg.Wait()
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are known at the end", n)
	}
	for _, f := range folders {
		before := map[string]string{}
		for _, name := range r.names(r, f) {
			if a := r.stat(f, name); isLocal(a.ID) {
				before[name] = r.read(f, name)
			}
		}
		r.reopen()
		for _, name := range r.names(r, f) {
			if a := r.stat(f, name); isLocal(a.ID) {
				if got, ok := before[name]; !ok || got != r.read(f, name) {
					t.Errorf("%q is another file after a restart", name)
				}
				delete(before, name)
			}
		}
		if len(before) != 0 {
			t.Errorf("lost with a restart: %v", before)
		}
	}
}

// What several programs append is all there.
func TestAppend(t *testing.T) {
	r := newRig(t)
	a, f, err := r.Create(bg, me, vfs.Root, ".-log", 0o600, unix.O_WRONLY|unix.O_APPEND)
	r.ok(err)
	defer r.Forget(a.ID, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if _, err := f.Write(bg, []byte("line\n"), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f.Release()
	if a := r.stat(vfs.Root, ".-log"); a.Size != 8*200*5 {
		t.Errorf("%d bytes of %d", a.Size, 8*200*5)
	}
}

// unchanged is a library that says yes and removes nothing, as when the folder had gone elsewhere
// in between.
type unchanged struct{ vfs.Library }

func (unchanged) Rmdir(context.Context, vfs.Caller, vfs.ID, string) error { return nil }

// Only what belongs to a folder that is gone is deleted behind an rmdir.
func TestNothingIsSweptOfAFolderThatIsThere(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	r.create(d, ".-a", "a")
	r.ok(r.Library.Close())
	lib, err := local.New(unchanged{r.inner}, local.Options{Dir: r.dir, KeepFree: 1, Names: []string{".DS_Store"}})
	r.ok(err)
	r.ok(lib.Rmdir(bg, me, vfs.Root, "d"))
	r.ok(lib.Close())
	r.reopen()
	r.holds(d, ".-a", "a")
}

// slow is a library whose Rmdir waits for the test.
type slow struct {
	vfs.Library
	entered, leave chan struct{}
}

func (s *slow) Rmdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	close(s.entered)
	<-s.leave
	return s.Library.Rmdir(ctx, c, parent, name)
}

// While a folder is being removed, no dropping comes into it: who makes one waits for the outcome,
// or until they are killed. Everybody else goes on.
func TestNoDroppingInALeavingFolder(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	s := &slow{r.inner, make(chan struct{}), make(chan struct{})}
	lib, err := local.New(s, local.Options{Dir: r.dir + "2", KeepFree: 1, Names: testNames})
	r.ok(err)
	defer lib.Close()
	removed := make(chan error, 1)
	go func() { removed <- lib.Rmdir(bg, me, vfs.Root, "d") }()
	<-s.entered
	ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
	defer cancel()
	_, _, err = lib.Create(ctx, me, d, ".-x", 0o600, 0)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create in a folder that is being removed: %v", err)
	}
	a, f, err := lib.Create(bg, me, vfs.Root, ".-x", 0o600, 0)
	r.ok(err)
	f.Release()
	lib.Forget(a.ID, 1)
	created := make(chan error, 1)
	go func() {
		_, _, err := lib.Create(bg, me, d, ".-x", 0o600, 0)
		created <- err
	}()
	close(s.leave)
	r.ok(<-removed)
	r.is(<-created, remote.NotExist)
}
