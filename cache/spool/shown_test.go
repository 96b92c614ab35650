package spool

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// What an overlay shows of the content below is counted right, whatever is done to it.
func TestShown(t *testing.T) {
	const size, most = 1000, 2000
	rnd := rand.New(rand.NewPCG(1, 2))
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.CreateOver(Description{Node: 1, Dirty: true}, size)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Remove()
	var shows [most]bool
	lie := func() {
		var below []Segment
		shows = [most]bool{}
		for off := rnd.Int64N(100); off < f.Size(); off += rnd.Int64N(300) {
			n := rnd.Int64N(200) // some lie beyond the end
			below = append(below, Segment{off, n})
			for i := off; i < min(off+n, f.Size()); i++ {
				shows[i] = true
			}
			off += n
		}
		f.Over(below)
		for i := range f.Size() {
			shows[i] = shows[i] && len(f.Own(i, 1)) == 0
		}
	}
	hide := func(off, end int64) {
		for i := off; i < end; i++ {
			shows[i] = false
		}
	}
	lie()
	for i := range 3000 {
		off := rnd.Int64N(most - 100)
		n := 1 + rnd.Int64N(99)
		switch op := rnd.IntN(20); {
		case op < 12:
			_, err = f.WriteAt(make([]byte, n), off)
			hide(off, off+n)
		case op < 15:
			err = f.Truncate(off)
			hide(off, most)
		case op < 17:
			err = f.Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
			hide(off, off+n)
		case op < 18:
			err = f.Splice(f.Description(), off, n)
			lie()
		case op < 19:
			err = f.Hollow(f.Description())
			lie()
		}
		if err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		for _, is := range shows {
			if is {
				want++
			}
		}
		if got := f.Shown(); got != want {
			t.Fatalf("after %d steps %d bytes are shown, %d are counted", i+1, want, got)
		}
	}
}
