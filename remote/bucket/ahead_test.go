package bucket

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// What is fetched and not consumed yet stays within the window, in calls and in bytes, and small
// calls do run at the same time.
func TestAheadIsBounded(t *testing.T) {
	for _, c := range []struct {
		size, most int64
	}{{1, 8}, {25, 4}, {60, 1}, {1000, 1}} {
		var held, most atomic.Int64
		w := window{calls: 8, bytes: 100, size: func(int) int64 { return c.size }}
		full := make(chan struct{}, 100)
		fetch := func(_ context.Context, i int) (int, error) {
			n := held.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			full <- struct{}{}
			return i, nil
		}
		next := 0
		for i, err := range ahead(t.Context(), 50, w, fetch) {
			if err != nil || i != next {
				t.Fatalf("call %d gave %d, %v", next, i, err)
			}
			if next == 0 { // all that may run ahead of the first does
				for range min(c.most, 8) {
					select {
					case <-full:
					case <-time.After(20 * time.Second):
						t.Fatalf("of %d bytes, fewer than %d calls run ahead", c.size, c.most)
					}
				}
			}
			held.Add(-1)
			next++
		}
		if next != 50 || most.Load() > c.most+1 { // one that is consumed counts until here
			t.Errorf("of %d bytes, %d calls; %d held at once, want %d", c.size, next, most.Load(), c.most)
		}
	}
}
