package bucket

import (
	"context"
	"iter"
	"sync"
)

// A window bounds what runs ahead of a consumer.
type window struct {
	calls int             // at most so many at the same time
	bytes int64           // nor more than so many bytes in all, but for one call; 0: any
	size  func(int) int64 // what call i brings, in bytes; nil without bytes
}

// ahead yields what fetch gives for 0 to n-1, in order, and keeps calls of fetch running ahead of
// the consumer, as many as w allows; what was fetched and not consumed yet counts. It stops after
// the first error. All calls have returned when the iteration ends, however it ends.
func ahead[T any](
	ctx context.Context, n int, w window, fetch func(context.Context, int) (T, error),
) iter.Seq2[T, error] {
	type result struct {
		v   T
		err error
	}
	return func(yield func(T, error) bool) {
		var running sync.WaitGroup
		defer running.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		size := func(i int) int64 {
			if w.size == nil {
				return 0
			}
			return w.size(i)
		}
		slots := make([]chan result, w.calls)
		started, held := 0, int64(0)
		start := func(consumed int) {
			for ; started < n && started-consumed < w.calls; started++ {
				i, more := started, size(started)
				if w.bytes > 0 && started > consumed && held+more > w.bytes {
					return
				}
				held += more
				slot := make(chan result, 1)
				slots[i%w.calls] = slot
				running.Go(func() {
					v, err := fetch(ctx, i)
					slot <- result{v, err}
				})
			}
		}
		for i := range n {
			start(i)
			r := <-slots[i%w.calls]
			if held -= size(i); r.err == nil {
				start(i + 1)
			}
			if !yield(r.v, r.err) || r.err != nil {
				return
			}
		}
	}
}
