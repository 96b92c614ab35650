package block

import (
	"bytes"
	"testing"
)

// What was remembered is read without a request, by who has checksums and who has none; bytes of
// another length, or others than the content has, are not taken.
func TestRemember(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		s := newFake()
		o := Options{Store: s}
		if onDisk {
			o.Dir = t.TempDir()
		}
		c, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		wrong := s.add("wrong", 4, 1000)
		known, short := s.add("known", 1, 1000), s.add("short", 2, 1000)
		bare := s.add("bare", 3, BlockSize)
		bare.Sums = nil
		for _, ct := range []Content{known, short, bare, wrong} {
			b := make([]byte, ct.Size)
			s.contents[ct.ID.ID].ReadAt(b, 0)
			if ct.ID == short.ID {
				b = b[:999]
			}
			if ct.ID == wrong.ID {
				b[7] ^= 1
			}
			c.Remember(ct, b)
			s.requests = 0
			r := c.NewReader(ct)
			got := make([]byte, ct.Size)
			if n, err := r.ReadAt(t.Context(), got, 0); n != len(got) || err != nil {
				t.Fatalf("%s: %d, %v", ct.ID.ID, n, err)
			}
			r.Close()
			want := make([]byte, ct.Size)
			s.contents[ct.ID.ID].ReadAt(want, 0)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: other bytes", ct.ID.ID)
			}
			if asked := s.requests > 0; asked != (ct.ID == short.ID || ct.ID == wrong.ID) {
				t.Errorf("%s: %d requests", ct.ID.ID, s.requests)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
