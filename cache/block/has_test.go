package block

import "testing"

// Has says what is on disk or in memory, block by block, and asks the store for nothing.
func TestHas(t *testing.T) {
	s := newFake()
	c, err := Open(Options{Store: s, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ct, small := s.add("a", 1, 3*BlockSize+10), s.add("b", 2, 100)
	has := func(ct Content, off, n int64, want bool) {
		t.Helper()
		s.requests = 0
		if got := c.Has(ct, off, n); got != want || s.requests > 0 {
			t.Errorf("[%d, %d) is here: %v, after %d requests", off, off+n, got, s.requests)
		}
	}
	has(ct, 0, 1, false)
	has(ct, 0, 0, true)
	r := c.NewReader(ct)
	if n, err := r.ReadAt(t.Context(), make([]byte, 10), 3*BlockSize); n != 10 {
		t.Fatal(n, err)
	}
	r.Close()
	// nobody who reads waits for that
	wait(t, "what was read is kept", func() bool { return c.Has(ct, 3*BlockSize, 10) })
	has(ct, 3*BlockSize, 10, true)
	has(ct, 3*BlockSize-1, 11, false)
	has(ct, 3*BlockSize, 11, false)
	has(ct, -1, 11, false)
	b := make([]byte, small.Size)
	s.contents[small.ID.ID].ReadAt(b, 0)
	c.Remember(small, b)
	has(small, 0, 100, true)
}
