package engine_test

import (
	"errors"
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// What is written at the end of what a file can be is kept, or refused, also with a cache in
// memory, where lseek does not find bytes of the last page below 2^63.
func TestLargestFile(t *testing.T) {
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "mediafs-largest."); err == nil {
		dir = shm
		defer os.RemoveAll(shm)
	}
	b := mem.New(mem.Options{})
	s := openMachine(t, b, dir).with(t)
	const end = math.MaxInt64
	tooLarge := func(what string, err error) bool {
		t.Helper()
		if err != nil && !errors.Is(err, remote.TooLarge) {
			t.Errorf("%s: %v, want that it is too large", what, err)
		}
		return err != nil
	}
	src := s.create("source", "source")
	kept := map[string]int64{}
	for name, off := range map[string]int64{"end": end - 1, "page": end - 4096, "less": end - 1<<27, "middle": 1 << 62, "disk": 1 << 30} {
		f := s.create(name, "")
		if _, err := f.Write(bg, []byte("x"), off); !tooLarge(name+": write", err) {
			kept[name] = off
		}
		s.close(f)

		// Refused or done, and not in between.
		f = s.create(name+" cut", "")
		size := off + 1
		_, err := s.SetAttr(bg, me, s.stat(name+" cut").ID, f, vfs.AttrChange{Size: &size})
		if tooLarge(name+": truncate", err) {
			size = 0
		}
		if got := s.stat(name + " cut").Size; int64(got) != size {
			t.Errorf("%s: truncate: %d bytes, want %d", name, got, size)
		}
		tooLarge(name+": allocate", f.Allocate(bg, vfs.AllocateKeepSize|vfs.AllocateZeroRange, off, 1))
		if _, err := f.CopyRange(bg, src, 0, off, 6); !tooLarge(name+": copy", err) {
			buf := make([]byte, 1)
			if _, err := f.Read(bg, buf, off); err != nil || buf[0] != 's' {
				t.Errorf("%s: copied: %q, %v", name, buf, err)
			}
		}
		s.close(f)
	}
	s.close(src)
	s.ok(s.Close())
	s = openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	for name, off := range kept {
		f := s.open(name, unix.O_RDONLY)
		buf := make([]byte, 2)
		if n, err := f.Read(bg, buf, off); err != nil || string(buf[:n]) != "x" {
			t.Errorf("%s: written at %d, and another machine reads %q, %v", name, off, buf[:n], err)
		}
		f.Release()
	}
	if kept["disk"] == 0 {
		t.Error("nothing could be written at 1 GiB")
	}
}
