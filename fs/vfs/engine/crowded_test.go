package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The tests of this file have many programs want the room of one full disk.

// Programs that write large files at the same time to a full disk wait for each other's bytes and
// not for each other.
func TestWritersOnAFullSpool(t *testing.T) {
	notWithRace(t)
	const size = 60 << 20
	for _, writers := range []int{2, 6} {
		t.Run(fmt.Sprint(writers), func(t *testing.T) {
			b := mem.New(mem.Options{})
			s := openMachine(t, b, smallDisk(t, smallest), cacheElsewhere(t)).with(t)
			defer s.Close()
			done := make(chan error, writers)
			each := int64(2 * size / writers)
			for i := range uint64(writers) {
				f := s.create(fmt.Sprint("film ", i), "")
				go func() {
					defer f.Release()
					n, err := s.shoot(f, i, 0, each)
					if err == nil {
						err = f.Flush(bg, me)
					}
					if err != nil {
						err = fmt.Errorf("film %d, after %d bytes: %w", i, n, err)
					}
					done <- err
				}()
			}
			for range writers {
				select {
				case err := <-done:
					s.ok(err)
				case <-time.After(time.Minute):
					t.Fatal("the writers wait for each other")
				}
			}
			o := openMachine(t, b, t.TempDir()).with(t)
			defer o.Close()
			for i := range uint64(writers) {
				s.shows(fmt.Sprint("film ", i), i, each)
				o.shows(fmt.Sprint("film ", i), i, each)
			}
		})
	}
}

// Uploads behind that wait for writers who wait for room keep no other upload from making it.
func TestRoomIsMadePastWaitingUploads(t *testing.T) {
	const writers, slots, each = 24, 4, 64 << 10
	line := storetest.New(mem.New(mem.Options{}))
	disk := smallDisk(t, smallest)
	s := openMachine(
		t, line, disk, processes, cacheElsewhere(t), func(o *engine.Options) { o.FlushDelay = time.Hour },
	).with(t)
	defer s.Close()
	full := func(name string, size int64) vfs.File {
		f := s.open(name, os.O_RDWR)
		n, err := s.shoot(f, 0, 0, size)
		if err != nil {
			t.Fatalf("%s, after %d bytes: %v", name, n, err)
		}
		return f
	}
	s.write("first", "")
	s.write("second", "")
	first := full("first", 4<<10)
	defer first.Release()
	var fs []vfs.File
	for i := range writers {
		name := fmt.Sprint("writer ", i)
		s.write(name, "")
		f := full(name, each)
		defer f.Release()
		fs = append(fs, f)
	}
	filler := filepath.Join(disk, "filler")
	for n := int64(1); s.Room(32<<10) == nil; n++ {
		takeRoom(t, filler, n*16<<10)
	}

	// The first one's upload is on its way while the others begin to wait for it.
	gate := make(chan struct{})
	line.Reset()
	line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Action: storetest.Hold, Release: gate})
	synced := make(chan error, 1)
	go func() { synced <- first.Fsync(bg) }()
	waitFor(t, func() bool { return line.Count(storetest.Put, "content") > 0 })
	wrote := make(chan error, writers)
	for _, f := range fs {
		go func() {
			n, err := s.shoot(f, 0, each, 3*each)
			if err != nil {
				err = fmt.Errorf("after %d bytes: %w", n, err)
			}
			wrote <- err
		}()
	}
	waitFor(t, func() bool { return s.Cramped()+len(wrote) == writers }) // one or another may find the last room
	for _, f := range fs {
		s.ok(f.Flush(bg, child))
	}
	for i := 0; i < 50 && s.Uploading() < slots; i++ { // those that wait take all places, if they do wait
		time.Sleep(time.Millisecond)
	}
	second := full("second", 8<<10) // that much room there is
	defer second.Release()
	close(gate)
	s.ok(result(t, "the first one's upload", synced))
	s.ok(result(t, "who wants room", wrote))
	s.ok(os.Remove(filler))
	for range writers - 1 {
		s.ok(result(t, "who wants room", wrote))
	}
}

// takeRoom makes a file of another program size bytes long.
func takeRoom(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		t.Fatal(err)
	}
}
