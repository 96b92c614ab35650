package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mediafs/fs/control"
	"mediafs/remote"
)

// awaitLock locks the catalog directory. A daemon that has it and is ending is waited for, for at
// most LockTimeout, which Waiting is told once: between the unmount and the end of a daemon lie its
// last uploads. One that goes on, or does not end in time, is Busy.
func awaitLock(ctx context.Context, opt Options) (*control.Lock, error) {
	deadline := time.Now().Add(opt.LockTimeout)
	for told := false; ; {
		lock, err := control.LockDir(opt.CatalogDir)
		if err == nil || !errors.Is(err, remote.Busy) {
			return lock, err
		}
		asking, cancel := context.WithTimeout(ctx, lockAnswer)
		s, askErr := control.Dial(opt.CatalogDir).Status(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, errors.Join(
				remote.E("wait for the daemon's end", opt.CatalogDir, remote.KindOf(ctx.Err()), nil), err,
			)
		case askErr == nil && !s.Ending:
			return nil, err
		case time.Now().After(deadline):
			var e *remote.Error
			if opt.LockTimeout > 0 && errors.As(err, &e) {
				err = remote.E(e.Op, e.Path, e.Kind, fmt.Errorf("%w, and has not ended for %s", e.Err, opt.LockTimeout)).
					WithHint("--lock-timeout waits longer")
			}
			return nil, err
		}
		// Without an answer it is about to end, or to begin: then the next answer says so.
		if !told && opt.Waiting != nil {
			told = true
			what := "another daemon of this library"
			if s.Mount != "" {
				what = "the daemon that had " + s.Mount + " mounted"
			}
			opt.Waiting(
				fmt.Sprintf(
					"waiting up to %s for the end of %s (process %s)", opt.LockTimeout, what,
					control.Holder(opt.CatalogDir),
				),
			)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockAgain):
		}
	}
}

// lockAnswer is how long a daemon that has the lock may take to say whether it is ending, and
// lockAgain how long until it is asked again.
const (
	lockAnswer = 2 * time.Second
	lockAgain  = 20 * time.Millisecond
)
