package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The tests of this file fill real disks.

const smallest = 64 << 20 // bytes of a disk that is large enough for a catalog

// onDisk puts catalog and spool of a machine there, and its cache elsewhere.
func cacheElsewhere(t *testing.T) func(*engine.Options) {
	dir := t.TempDir()
	return func(o *engine.Options) { o.Cache.Dir = dir }
}

// A program that writes many times what the spool's disk holds is never refused: its writes wait
// until others' bytes, and then its own, are in the store.
func TestWritesWaitForRoom(t *testing.T) {
	notWithRace(t)
	const film, photos, photo = 200 << 20, 100, 1 << 20
	b := mem.New(mem.Options{})
	disk := smallDisk(t, smallest)
	s := openMachine(
		t, b, disk, processes, cacheElsewhere(t), func(o *engine.Options) { o.FlushDelay = time.Hour },
	).with(t)
	closed := false
	defer func() {
		if !closed {
			s.Close()
		}
	}()
	f := s.create("film", "")
	if n, err := s.shoot(f, 1, 0, film); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	s.ok(f.Flush(bg, vfs.Caller{}))
	f.Release()
	// These are closed by another process, whose bytes go up much later unless somebody needs the
	// room.
	for i := range uint64(photos) {
		_, f, err := s.Create(bg, opener, vfs.Root, fmt.Sprint("photo ", i), 0o644, uint32(os.O_RDWR))
		s.ok(err)
		if n, err := s.shoot(f, 100+i, 0, photo); err != nil {
			t.Fatalf("photo %d, after %d bytes: %v", i, n, err)
		}
		s.ok(f.Flush(bg, child))
		defer f.Release()
	}
	check := func(s steps) {
		s.shows("film", 1, film)
		for i := range uint64(photos) {
			s.shows(fmt.Sprint("photo ", i), 100+i, photo)
		}
	}
	check(s)
	s.ok(s.Flush(bg))
	s.ok(s.Close())
	closed = true
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	check(other)
}

// Without the store writes are refused for want of space, after the time that a close may take, and
// for no other reason. The library lives on. What was accepted is in the store when that is back.
func TestFullSpoolWithoutStore(t *testing.T) {
	notWithRace(t)
	const size = 200 << 20
	for _, reopened := range []bool{false, true} {
		t.Run(fmt.Sprintf("reopened %v", reopened), func(t *testing.T) {
			b := mem.New(mem.Options{})
			line := storetest.New(b)
			made(t, b, "old", "what was there before")
			made(t, b, "unwanted", "x")
			for _, name := range []string{"film", "other", "next"} {
				made(t, b, name, "")
			}
			disk := smallDisk(t, smallest)
			soon := func(o *engine.Options) {
				o.UploadTimeout, o.Catalog.AppendTimeout = 60*time.Millisecond, 30*time.Millisecond
			}
			cache := cacheElsewhere(t)
			s := openMachine(t, line, disk, soon, cache).with(t)
			defer func() { s.Close() }()
			f, g := s.open("film", os.O_RDWR), s.open("other", os.O_RDWR)
			if got := s.read("old"); got != "what was there before" {
				t.Fatalf("old reads %q", got)
			}
			id := s.stat("film").ID
			line.SetDown(true)
			n, err := s.shoot(f, 1, 0, size)
			if !errors.Is(err, remote.NoSpace) {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			if n < 4<<20 || n > smallest {
				t.Errorf("%d bytes were accepted", n)
			}
			// Of two who write none is told anything else, nor one that writes on.
			for range 3 {
				if m, err := s.shoot(g, 2, 0, 1<<20); m != 0 || !errors.Is(err, remote.NoSpace) {
					t.Errorf("another file: %d bytes, %v", m, err)
				}
				if m, err := s.shoot(f, 1, n, size); m != n || !errors.Is(err, remote.NoSpace) {
					t.Errorf("the same file: %d bytes, %v", m-n, err)
				}
			}
			if got := s.read("old"); got != "what was there before" {
				t.Errorf("old reads %q", got)
			}
			s.shows("film", 1, n)
			if a, err := s.GetAttr(bg, id); err != nil || a.Size != n {
				t.Errorf("stat: %+v, %v", a, err)
			}
			if err := s.Unlink(bg, me, vfs.Root, "unwanted"); err != nil && !errors.Is(err, remote.Unavailable) {
				t.Errorf("unlink: %v", err)
			}
			if _, err := s.Lookup(bg, vfs.Root, "unwanted"); !errors.Is(err, remote.NotExist) {
				t.Errorf("after unlink: %v", err)
			}
			f.Release()
			g.Release()
			if reopened {
				s.ok(s.Close())
				line.SetDown(false)
				s = openMachine(t, line, disk, cache).with(t)
			}
			line.SetDown(false)
			s.ok(s.Flush(bg))
			s.shows("film", 1, n)
			// And there is room again: whoever is refused still has got on when he comes again.
			h := s.open("next", os.O_RDWR)
			for m, tries := int64(0), 0; m < 40<<20; tries++ {
				if m, err = s.shoot(h, 3, m, 40<<20); err != nil && (!errors.Is(err, remote.NoSpace) || tries == 500) {
					t.Fatalf("after %d bytes with the store: %v", m, err)
				}
			}
			h.Release()
			s.ok(s.Flush(bg))
			s.ok(s.Close())
			o := openMachine(t, b, t.TempDir()).with(t)
			defer o.Close()
			o.shows("film", 1, n)
			o.shows("next", 3, 40<<20)
		})
	}
}

// Another program takes all that the disk of catalog and spool has. Changes are refused for want of
// space and for nothing else; nothing that was accepted is lost, here and in the store; and all
// goes on when there is room again.
func TestDiskFilledByAnotherProgram(t *testing.T) {
	notWithRace(t)
	const size = 30 << 20
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	disk := smallDisk(t, smallest)
	patient := func(o *engine.Options) { o.UploadTimeout, o.StreamFrom = 500*time.Millisecond, 1<<20 }
	cache := cacheElsewhere(t)
	made(t, b, "old", "what was there before")
	s := openMachine(t, line, disk, patient, cache).with(t)
	defer func() { s.Close() }()
	filler := filepath.Join(disk, "filler")
	accepted := map[uint64]int64{}
	last := uint64(0)
	var open []vfs.File
	made := func(i uint64) string { return fmt.Sprint("film ", i) }
	for round := range 3 {
		// One is being written, and streams, when it happens; one is being uploaded.
		writing, uploading := last+1, last+2
		last += 2
		f, g := s.create(made(writing), ""), s.create(made(uploading), "")
		open = append(open, f, g)
		n, err := s.shoot(f, writing, 0, 3<<20)
		s.ok(err)
		m, err := s.shoot(g, uploading, 0, 1<<20)
		s.ok(err)
		gate := make(chan struct{})
		line.Fail(storetest.Fault{Op: storetest.Complete, Prefix: "content/", Action: storetest.Hold, Release: gate})
		synced := make(chan error, 1)
		go func() { synced <- g.Fsync(bg) }()
		waitFor(t, func() bool { return line.Count(storetest.Complete, "content") > round })
		fillDisk(t, filler)
		fillDisk(t, filler)
		close(gate)
		if err := result(t, "fsync", synced); err != nil && !errors.Is(err, remote.NoSpace) {
			t.Errorf("fsync on a full disk: %v", err)
		}
		for off := n; err == nil && off < size; {
			if n, err = s.shoot(f, writing, off, min(off+1<<20, size)); err != nil && !errors.Is(err, remote.NoSpace) {
				t.Errorf("write on a full disk: %v", err)
			}
			off = n
			fillDisk(t, filler)
		}
		if err == nil {
			t.Error("the disk was not full")
		}
		accepted[writing], accepted[uploading] = n, m
		refused := 0
		for i := range 20 {
			a, f, err := s.Create(bg, me, vfs.Root, fmt.Sprint("refused ", round, i), 0o644, uint32(os.O_RDWR))
			if err != nil {
				refused++
				if !errors.Is(err, remote.NoSpace) {
					t.Errorf("create on a full disk: %v", err)
				}
				fillDisk(t, filler)
				continue
			}
			s.Forget(a.ID, 1)
			f.Release()
		}
		if refused == 0 {
			t.Error("no create was refused")
		}
		if err := f.Fsync(bg); err != nil && !errors.Is(err, remote.NoSpace) {
			t.Errorf("fsync on a full disk: %v", err)
		}
		if got := s.read("old"); got != "what was there before" {
			t.Errorf("old reads %q", got)
		}
		s.shows(made(writing), writing, n)
		if round == 1 { // the library is left, and cannot be taken up while there is no room
			for _, f := range open {
				f.Release()
			}
			open = nil
			s.ok(os.Remove(filler))
			s.ok(s.Close())
			fillDisk(t, filler)
			if _, err := tryMachine(t, line, disk, patient, cache); !errors.Is(err, remote.NoSpace) {
				t.Errorf("opened on a full disk: %v", err)
			}
			s.ok(os.Remove(filler))
			s = openMachine(t, line, disk, patient, cache).with(t)
			continue
		}
		s.ok(os.Remove(filler))
		m, err = s.shoot(f, writing, n, n+1<<20)
		s.ok(err)
		accepted[writing] = m
	}
	for _, f := range open {
		f.Release()
	}
	waitFor(t, func() bool { return s.Flush(bg) == nil })
	s.ok(s.Close())
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	for i, n := range accepted {
		o.shows(made(i), i, n)
	}
}

// With no room for it, the read cache is done without: what is written is not taken into it, and
// reads come from the store, exact. The disk keeps what it has left, and the cache is used again
// when that is enough.
func TestCacheDiskFull(t *testing.T) {
	notWithRace(t)
	const size = 12 << 20
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	cold := noise(1, 5<<20)
	made(t, b, "cold", cold)
	disk := smallDisk(t, smallest)
	filler := filepath.Join(disk, "filler")
	for _, left := range []int64{0, 3 << 20, 10 << 20, 40 << 20} { // to the last byte; less than it keeps; less than the film; enough
		t.Run(fmt.Sprintf("%d MiB", left>>20), func(t *testing.T) {
			takeAllBut(t, filler, left)
			defer os.Remove(filler)
			s := openMachine(
				t, line, t.TempDir(), func(o *engine.Options) { o.Cache.Dir, o.Cache.Pause = disk, time.Millisecond },
			).with(t)
			defer s.Close()
			name := fmt.Sprint("film ", left)
			f := s.create(name, "")
			_, err := s.shoot(f, 7, 0, size)
			s.ok(err)
			s.close(f)
			for range 2 {
				line.Reset()
				s.shows(name, 7, size)
				if s.read("cold") != cold {
					t.Error("what was never here reads otherwise")
				}
			}
			if n := line.Count(storetest.Get, "content"); n > 0 && left > size {
				t.Errorf("%d requests for what there is room for", n)
			}
			e := s.open(name, os.O_RDWR)
			s.put(e, "edited", 5000)
			s.close(e)
			if got := s.read(name); got[5000:5006] != "edited" {
				t.Errorf("an edit reads %q", got[5000:5006])
			}
			if now := free(t, disk); now < min(left, 5<<20)-64<<10 {
				t.Errorf("%d bytes are left of the %d that the disk had", now, left)
			}
			if names, err := filepath.Glob(filepath.Join(disk, "*.map")); err != nil || len(names) > 0 && left < 5<<20 {
				t.Errorf("the cache has %q, %v", names, err)
			}
		})
	}
}

// A small edit that left its bytes to the store, to make room, and is closed then: what is kept of
// it for the next reader is the edit.
func TestEditThatMadeRoomReadsAsWritten(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), func(o *engine.Options) { o.WholeBelow = 1 }).with(t)
		want := noise(1, 50_000)
		s.write("f", want)
		f := s.open("f", os.O_RDWR)
		s.put(f, noise(2, size), 20_000)
		want = want[:20_000] + noise(2, size) + want[20_000+size:]
		s.ok(f.Fsync(bg))
		s.MakeRoom()
		s.close(f)
		if s.read("f") != want {
			t.Errorf("an edit of %d bytes reads otherwise", size)
		}
		s.ok(s.Close())
	}
}
