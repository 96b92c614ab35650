package bucket

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"mediafs/remote"
)

// again reports whether the same request may succeed later.
func again(err error) bool {
	switch remote.KindOf(err) {
	case remote.Unavailable, remote.Throttled, remote.Conflict:
		return true
	}
	return false
}

// retry calls op until it succeeds, fails for good, has been called Attempts times, or ctx ends. It
// returns op's last error, which says more than that ctx ended. A Conflict that lasts is
// Unavailable: nothing of ours stands in the way, the store does not get on.
func (s *Store) retry(ctx context.Context, op func() error) error {
	for n := 1; ; n++ {
		err := op()
		if err == nil || !again(err) || n >= s.opt.Attempts || s.pause(ctx, n) != nil {
			if remote.KindOf(err) == remote.Conflict {
				err = remote.E("", "", remote.Unavailable, errors.New(err.Error()))
			}
			return err
		}
	}
}

// pause waits before attempt n+1, or fails with ctx's error when that ends first. Half of the time
// is random, so that clients that collided do not meet again.
func (s *Store) pause(ctx context.Context, n int) error {
	d := s.opt.MaxPause
	if n < 30 && s.opt.FirstPause<<(n-1) < d {
		d = s.opt.FirstPause << (n - 1)
	}
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
