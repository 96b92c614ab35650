package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// fewInodes mounts a tmpfs of so many inodes and bytes, which is gone after the test.
func fewInodes(t *testing.T, inodes int, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk with few inodes is a file system of its own, which only root mounts")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=%d", size, inodes)); err != nil {
		t.Skipf("a disk with few inodes is a tmpfs, and mounting one was refused: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// freeInodes is how many files can still be made on a disk.
func freeInodes(t *testing.T, dir string) int {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Ffree)
}

// takeInodes is another program that makes empty files in dir until the disk has no inode left. It
// adds to those it has made.
func takeInodes(t *testing.T, dir string) {
	t.Helper()
	for i := 0; ; i++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case err == nil:
			f.Close()
		case errors.Is(err, unix.ENOSPC):
			return
		case !errors.Is(err, os.ErrExist):
			t.Fatal(err)
		}
	}
}

// Whatever was closed leaves a disk on which another program has taken the last inode, or the last
// block as well, again and again; what cannot be done is refused for that reason; deletions work;
// nothing is lost, also when the process dies in the middle.
func TestUploadsNeedNoRoom(t *testing.T) {
	notWithRace(t)
	const files = 60
	disks := map[string]func(t *testing.T) string{
		"tmpfs": func(t *testing.T) string { return fewInodes(t, 700, 200<<20) },
		"ext4":  func(t *testing.T) string { return smallDisk(t, 200<<20, "-N", "700") },
	}
	for name, disk := range disks {
		for i := range 4 {
			blocks, reopened := i&1 != 0, i&2 != 0
			t.Run(fmt.Sprintf("%s, blocks %v, reopened %v", name, blocks, reopened), func(t *testing.T) {
				b := mem.New(mem.Options{})
				line := storetest.New(b)
				made(t, b, "old", "what was there before")
				made(t, b, "edited", noise(9, 3<<20))
				dir := disk(t)
				var s steps
				filler, inodes := filepath.Join(dir, "filler"), filepath.Join(dir, "inodes")
				take := func() {
					s.ok(os.MkdirAll(inodes, 0o700))
					if blocks {
						fillDisk(t, filler)
					}
					takeInodes(t, inodes)
				}
				giveBack := func() {
					s.ok(os.RemoveAll(inodes))
					if blocks {
						s.ok(os.Remove(filler))
					}
				}
				soon := func(o *engine.Options) {
					o.UploadTimeout, o.Catalog.AppendTimeout, o.StreamFrom = time.Second, 20*time.Millisecond, 1<<20
				}
				s = openMachine(t, line, dir, soon).with(t) // cache, catalog and spool
				defer func() { s.Close() }()
				want := map[string]string{"edited": noise(9, 3<<20)}
				if got := s.read("old"); got != "what was there before" {
					t.Fatalf("old reads %q", got)
				}
				line.SetDown(true)
				for i := range files {
					name := fmt.Sprint("photo ", i)
					var f vfs.File
					if i == 0 {
						name = "edited"
						f = s.open(name, os.O_RDWR)
						s.put(f, "an edit", 2<<20)
						want[name] = want[name][:2<<20] + "an edit" + want[name][2<<20+7:]
					} else {
						a, g, err := s.Create(bg, me, vfs.Root, name, 0o644, uint32(os.O_RDWR))
						if err != nil && !errors.Is(err, remote.Unavailable) {
							t.Fatal(err)
						}
						if err != nil {
							f = s.open(name, os.O_RDWR) // it shows here
						} else {
							s.Forget(a.ID, 1)
							f = g
						}
						want[name] = noise(uint64(i), 20_000+i)
						s.put(f, want[name], 0)
					}
					f.Release()
				}
				if p := s.Status().Pending; p.Files != files {
					t.Fatalf("%d files wait", p.Files)
				}
				take()
				if reopened {
					s.ok(s.Close())
				}
				line.SetDown(false)
				if reopened {
					s = openMachine(t, line, dir, soon).with(t)
				}
				drained := false
				for range 500 {
					err := s.Flush(bg)
					if drained = err == nil; drained {
						break
					}
					if !errors.Is(err, remote.NoSpace) && !errors.Is(err, remote.Unavailable) {
						t.Fatal(err)
					}
				}
				if p := s.Status(); !drained || p.Pending.Files != 0 || p.Catalog.Outbox != 0 {
					t.Fatalf("on a full disk: %+v, %d changes", p.Pending, p.Catalog.Outbox)
				}
				if n := freeInodes(t, dir); n < files {
					t.Errorf("%d inodes are free", n)
				}
				// Again, once there was room for what was given up.
				giveBack()
				waitFor(t, func() bool {
					made, err := filepath.Glob(filepath.Join(dir, "catalog/ballast.inodes/*"))
					return err == nil && len(made) > 50
				})
				take()
				var refused error
				for i := range 400 {
					a, f, err := s.Create(bg, me, vfs.Root, fmt.Sprint("more ", i), 0o644, uint32(os.O_RDWR))
					if err == nil {
						s.Forget(a.ID, 1)
						_, err = f.Write(bg, []byte("x"), 0)
						if err == nil {
							err = f.Flush(bg, me)
						}
						f.Release()
					}
					if err != nil && !errors.Is(err, remote.NoSpace) {
						t.Fatal(err)
					}
					if refused = err; refused != nil {
						break
					}
				}
				if refused == nil {
					t.Error("nothing was refused")
				}
				if err := s.Unlink(bg, me, vfs.Root, "photo 1"); err != nil && !errors.Is(err, remote.Unavailable) {
					t.Errorf("unlink: %v", err)
				}
				delete(want, "photo 1")
				if got := s.read("old"); got != "what was there before" {
					t.Errorf("old reads %q", got)
				}
				for name, data := range want {
					if s.read(name) != data {
						t.Errorf("%s reads otherwise", name)
					}
				}
				// And all goes on when there is room.
				giveBack()
				f := s.create("after", "bytes")
				s.close(f)
				s.ok(s.Close())
				o := openMachine(t, b, t.TempDir()).with(t)
				defer o.Close()
				for name, data := range want {
					if o.read(name) != data {
						t.Errorf("%s is in the store otherwise", name)
					}
				}
			})
		}
	}
}

// The read cache leaves inodes to what is written beside it.
func TestCacheLeavesInodes(t *testing.T) {
	const files, inodes = 150, 200
	b := mem.New(mem.Options{})
	w := openMachine(t, b, t.TempDir()).with(t)
	for i := range files {
		w.write(fmt.Sprint(i), noise(uint64(i), 20_000))
	}
	s := w
	s.ok(w.Close())
	disk := fewInodes(t, inodes, 200<<20)
	s = openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.Cache.Dir = filepath.Join(disk, "cache") }).with(t)
	defer s.Close()
	for i := range files {
		if s.read(fmt.Sprint(i)) != noise(uint64(i), 20_000) {
			t.Errorf("file %d reads otherwise", i)
		}
	}
	if n := freeInodes(t, disk); n < 15 {
		t.Errorf("%d of %d inodes are left", n, inodes)
	}
}
