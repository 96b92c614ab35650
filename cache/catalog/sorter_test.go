package catalog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A sorter gives all pairs in order, with no more in memory than it may have, whether they fit or
// not.
func TestSorter(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, 20_000} {
		const limit = 64 << 10
		s := newSorter(t.TempDir(), limit)
		most := 0
		for _, i := range rand.Perm(n) {
			key := fmt.Appendf(nil, "key %09d", i)
			if err := s.add(key, bytes.Repeat([]byte{byte(i)}, i%200)); err != nil {
				t.Fatal(err)
			}
			most = max(most, s.held())
		}
		if most > limit {
			t.Errorf("%d pairs: %d bytes in memory, at most %d are allowed", n, most, limit)
		}
		if runs := len(s.ends); (runs > 0) != (n > 1000) {
			t.Errorf("%d pairs: %d runs", n, runs)
		}
		next := 0
		err := s.each(func(key, value []byte) error {
			if string(key) != fmt.Sprintf("key %09d", next) ||
				!bytes.Equal(value, bytes.Repeat([]byte{byte(next)}, next%200)) {
				return fmt.Errorf("pair %d is %q with %d bytes", next, key, len(value))
			}
			next++
			return nil
		})
		if err != nil || next != n {
			t.Errorf("%d of %d pairs: %v", next, n, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}
