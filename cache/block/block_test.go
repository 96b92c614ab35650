package block

import (
	"testing"
)

func TestColdReadFetchesItsBlockOnly(t *testing.T) {
	s := newFake()
	ct := s.add("film", 1, 300<<20+777)
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 123456789, 4096)
	if n, b := s.counts(); n != 1 || b > BlockSize {
		t.Fatalf("%d requests for %d bytes", n, b)
	}
	check(t, r, s.contents["film"], 123456789+100, 4096)
	if n, _ := s.counts(); n != 1 {
		t.Fatalf("the second read of a block made a request")
	}
	check(t, r, s.contents["film"], 300<<20, 4096)
	check(t, r, s.contents["film"], 300<<20+777, 10)
	check(t, r, s.contents["film"], 300<<20+9999, 10)
}

func TestNeighboursShareOneGET(t *testing.T) {
	s := newFake()
	ct := s.add("film", 1, 20<<20)
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 5*BlockSize-10, 3*BlockSize)
	if n, b := s.counts(); n != 1 || b != 4*BlockSize {
		t.Fatalf("%d requests for %d bytes", n, b)
	}
}

func TestSequentialReadFetchesEachByteOnce(t *testing.T) {
	for _, local := range []bool{false, true} {
		s := newFake()
		s.local = local
		ct := s.add("film", 1, 24<<20+12345)
		c := open(t, options(t, s))
		r := c.NewReader(ct)
		for off := int64(0); off < ct.Size; off += 128 << 10 {
			check(t, r, s.contents["film"], off, min(128<<10, ct.Size-off))
		}
		r.Close()
		n, asked := s.counts()
		if asked != ct.Size {
			t.Errorf("local %v: asked for %d of %d bytes", local, asked, ct.Size)
		}
		for b, sent := range s.sent {
			if want := min(BlockSize, ct.Size-b*BlockSize); sent != want {
				t.Errorf("local %v: block %d: %d bytes sent", local, b, sent)
			}
		}
		if !local && n > 30 {
			t.Errorf("%d requests for 24 MiB", n)
		}
		t.Logf("local %v: %d requests", local, n)
	}
}
