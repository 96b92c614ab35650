package engine_test

import (
	"fmt"
	"os"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
)

// What left its bytes to the store, and is closed then, is not taken into the cache with the bytes
// that lie below, or zeros.
func TestHollowThenAdopt(t *testing.T) {
	notWithRace(t)
	for _, n := range []int{300, 17 << 20} {
		for _, edit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, edit %v", n, edit), func(t *testing.T) {
				b := mem.New(mem.Options{})
				old := noise(1, n+5<<20)
				if edit {
					made(t, b, "f", old)
				}
				s := openMachine(
					t, b, t.TempDir(), func(o *engine.Options) { o.WholeBelow, o.StreamFrom = 1, 1<<40 },
				).with(t)
				defer s.Close()
				var f vfs.File
				var want string
				if edit {
					f = s.open("f", os.O_RDWR)
					s.put(f, noise(2, n), 100)
					want = old[:100] + noise(2, n) + old[100+n:]
				} else {
					want = noise(2, n)
					f = s.create("f", want)
				}
				s.ok(f.Fsync(bg))
				s.MakeRoom() // the disk is nearly full
				s.close(f)
				if got := s.read("f"); got != want {
					i := 0
					for i < len(got) && i < len(want) && got[i] == want[i] {
						i++
					}
					t.Errorf(
						"confirmed, and this machine reads other bytes from %d on: %x, want %x", i,
						got[i:min(i+4, len(got))], want[i:i+4],
					)
				}
			})
		}
	}
}

// Nor do zeros become what the store has, when it is then written as a whole.
func TestHollowThenAdoptThenCut(t *testing.T) {
	notWithRace(t)
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.StreamFrom = 1 << 40 }).with(t)
	want := noise(2, 17<<20)
	f := s.create("f", want)
	s.ok(f.Fsync(bg))
	s.MakeRoom()
	s.close(f)
	size := int64(1000)
	_, err := s.SetAttr(bg, me, s.stat("f").ID, nil, vfs.AttrChange{Size: &size})
	s.ok(err)
	s.ok(s.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if got := other.read("f"); got != want[:1000] {
		t.Errorf("cut to 1000 bytes, and the store has %d that begin %x, want %x", len(got), got[:8], want[:8])
	}
}
