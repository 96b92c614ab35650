package bucket

import (
	"context"
	"iter"
	"sync"
)

// ahead yields what fetch gives for 0 to n-1, in order, and keeps up to window calls of fetch running ahead of the
// consumer. It stops after the first error. All calls have returned when the iteration ends, however it ends.
func ahead[T any](ctx context.Context, n, window int, fetch func(context.Context, int) (T, error)) iter.Seq2[T, error] {
	type result struct {
		v   T
		err error
	}
	return func(yield func(T, error) bool) {
		var running sync.WaitGroup
		defer running.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		slots := make([]chan result, window)
		start := func(i int) {
			slot := make(chan result, 1)
			slots[i%window] = slot
			running.Go(func() {
				v, err := fetch(ctx, i)
				slot <- result{v, err}
			})
		}
		for i := range min(n, window) {
			start(i)
		}
		for i := range n {
			r := <-slots[i%window]
			if i+window < n && r.err == nil {
				start(i + window)
			}
			if !yield(r.v, r.err) || r.err != nil {
				return
			}
		}
	}
}
