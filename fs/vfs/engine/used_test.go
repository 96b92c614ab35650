package engine_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
)

// used is what df says is used, in bytes.
func (s steps) used() int64 {
	s.t.Helper()
	st, err := s.StatFS(bg)
	s.ok(err)
	return int64(st.Bytes - st.FreeBytes)
}

// stored counts the bytes of the contents in a store.
func stored(t *testing.T, b object.Bucket) (n int64) {
	t.Helper()
	for after := ""; ; {
		page, more, err := b.List(bg, "content/", after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			after = i.Key
			if !strings.HasSuffix(i.Key, ".sum") {
				n += i.Size
			}
		}
		if !more {
			return n
		}
	}
}

// Used is what the store holds, whatever was done to a file, and blocks are what a file's contents
// hold.
func TestUsed(t *testing.T) {
	const mib = 1 << 20
	b := mem.New(mem.Options{})
	s := openMachine(
		t, b, t.TempDir(), func(o *engine.Options) { o.Trash = time.Hour; o.FlushDelay = time.Hour },
	).with(t)
	defer func() { s.Close() }()
	edit := func(name string, do func(f vfs.File)) {
		t.Helper()
		f := s.open(name, os.O_RDWR)
		do(f)
		s.close(f)
	}
	truncate := func(name string, f vfs.File, size int64) {
		t.Helper()
		s.ok(drop(s.SetAttr(bg, me, s.stat(name).ID, f, vfs.AttrChange{Size: &size})))
	}
	cut := func(name string, size int64) { edit(name, func(f vfs.File) { truncate(name, f, size) }) }
	is := func(what, name string, blocks, used int64) {
		t.Helper()
		if name != "" {
			if a := s.stat(name); a.Blocks*512 != blocks {
				t.Errorf("%s: %d bytes in blocks, want %d", what, a.Blocks*512, blocks)
			}
		}
		if got := s.used(); got != used {
			t.Errorf("%s: %d bytes are used, want %d", what, got, used)
		}
		if got := stored(t, b); got != used {
			t.Errorf("%s: the store holds %d bytes", what, got)
		}
		if st := s.Status(); st.Used != used || st.Pending.Bytes != 0 {
			t.Errorf("%s: status says %d used, %d pending", what, st.Used, st.Pending.Bytes)
		}
	}
	is("nothing", "", 0, 0)
	s.write("holes", "")
	cut("holes", 100<<30)
	is("a hole of 100 GiB", "holes", 0, 0)
	cut("holes", 1<<20)
	is("a version that is a hole", "holes", 0, 0)
	s.unlink("holes")
	is("the trash has a hole", "", 0, 0)

	s.write("film", noise(1, 8*mib))
	is("8 MiB", "film", 8*mib, 8*mib)
	edit("film", func(f vfs.File) { s.put(f, noise(2, mib), 2*mib) })
	is("1 MiB is edited", "film", 8*mib, 9*mib)
	edit("film", func(f vfs.File) {
		s.ok(f.Allocate(bg, vfs.AllocatePunchHole|vfs.AllocateKeepSize, 4*mib, mib))
	})
	is("1 MiB is punched", "film", 7*mib, 9*mib)
	edit("film", func(f vfs.File) { s.ok(f.Allocate(bg, vfs.AllocateZeroRange, 5*mib, mib)) })
	is("1 MiB is zeroed", "film", 6*mib, 9*mib)
	from, to := s.open("film", os.O_RDONLY), s.create("copy", "")
	s.copyAll(to, from, 0, 0, 8*mib)
	s.close(to)
	from.Release()
	is("a copy", "copy", 6*mib, 9*mib)
	cut("copy", 3*mib)
	is("a copy is cut", "copy", 3*mib, 9*mib)
	s.unlink("copy")
	s.unlink("film")
	is("both are deleted, and the store has them", "", 0, 9*mib)

	// What no store has yet counts as well, and once.
	f := s.create("new", noise(3, 2*mib))
	s.put(f, "x", 64*mib)
	const first = 2*mib + 4096
	if got, blocks := s.used(), s.stat("new").Blocks*512; got != 9*mib+first || blocks != first {
		t.Errorf("unsent: %d bytes are used, %d in blocks", got, blocks)
	}
	if p := s.Status().Pending; p.Files != 1 || p.Bytes != first {
		t.Errorf("unsent: %+v", p)
	}
	s.close(f)
	const blocks = 2*mib + 512 // of which the last holds one byte
	is("it is sent", "new", blocks, 9*mib+2*mib+1)
	used := s.used()
	f = s.open("new", os.O_RDWR)
	s.put(f, noise(4, mib), mib)
	s.put(f, noise(5, mib), 32*mib)
	if got, now := s.used(), s.stat("new").Blocks*512; got != used+2*mib || now != blocks+mib {
		t.Errorf("an unsent edit: %d bytes are used of %d, %d in blocks of %d", got, used, now, blocks)
	}
	truncate("new", f, mib+mib/2)
	if now := s.stat("new").Blocks * 512; now != mib+mib/2 {
		t.Errorf("an unsent edit that was cut: %d bytes in blocks", now)
	}
	f.Release()
	s.ok(s.Flush(bg))
	is("the edit is sent", "new", mib+mib/2, used+mib/2)
	used = s.used()
	s.ok(s.Close())

	// The counter is the catalog's, on every machine.
	s = openMachine(t, b, t.TempDir()).with(t)
	is("another machine", "new", mib+mib/2, used)
}

// An edit that waits in the spool counts by what was written, and no longer once it is in the
// store.
func TestUsedByTheSpool(t *testing.T) {
	const mib = 1 << 20
	b := mem.New(mem.Options{})
	made(t, b, "f", noise(1, 4*mib))
	home := t.TempDir()
	late := func(o *engine.Options) { o.FlushDelay = time.Hour }
	s := openMachine(t, b, home, late, processes).with(t)
	f := s.open("f", os.O_RDWR)
	s.put(f, noise(2, mib), mib)
	s.ok(f.Flush(bg, child))
	if got := s.used(); got != 5*mib {
		t.Errorf("%d bytes are used", got)
	}
	f.Release()
	s.ok(s.Flush(bg))
	if got, have := s.used(), stored(t, b); got != 5*mib || have != got {
		t.Errorf("%d bytes are used, the store has %d", got, have)
	}
	s.ok(s.Close())
}

// What df says is free on the disk of spool and store can be written.
func TestFreeCanBeWritten(t *testing.T) {
	notWithRace(t)
	disk := smallDisk(t, 512<<20)
	b, err := dir.Open(disk+"/store", dir.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s := openMachine(t, b, disk, cacheElsewhere(t)).with(t)
	defer s.Close()
	avail := func() int64 {
		st, err := s.StatFS(bg)
		s.ok(err)
		return int64(st.FreeBytes)
	}
	n := avail() - 4<<20 // blocks of the file system that lead to others
	if have := free(t, disk); n >= have-40<<20 || n < have/2 {
		t.Errorf("%d bytes are said to be free of %d", n, have)
	}
	f := s.create("film", "")
	if m, err := s.shoot(f, 1, 0, n); err != nil {
		t.Fatalf("%d bytes were free, and after %d: %v", n, m, err)
	}
	s.ok(f.Flush(bg, vfs.Caller{}))
	if left := avail(); left > 16<<20 {
		t.Errorf("%d bytes are said to be free of a full disk", left)
	}
	f.Release()
	s.shows("film", 1, n)
	if got := s.used(); got != n {
		t.Errorf("%d bytes are used, %d were written", got, n)
	}
}
