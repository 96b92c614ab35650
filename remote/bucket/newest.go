package bucket

import (
	"context"
)

// Newest is the number of a commit that is in the log, at least after, and less than a hundredth of
// the way behind the newest: enough to tell how far a reader is. It is a HEAD for each doubling of
// the distance and about seven more.
func (s *Store) Newest(ctx context.Context, after uint64) (uint64, error) {
	const op = "look for the end of the log"
	there := func(n uint64) (bool, error) {
		_, ok, err := s.exists(ctx, logKey(n))
		return ok, during(op, logKey(n), err)
	}
	low, step := after, uint64(1000)
	for {
		ok, err := there(low + step)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low += step
		step *= 2
	}
	for high := low + step; high-low > max((low-after)/100, 16); {
		mid := low + (high-low)/2
		ok, err := there(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}
