package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"mediafs/cache/catalog"
	"mediafs/remote"
)

// A replica is a copy of the catalog that follows nobody until it is told to: each state that it
// shows is that after one commit.
type replica struct {
	opt Options
	dir string // private, removed at close
	cat *catalog.Catalog

	stays bool // it shows the last commit that can be read when the log cannot be read on: cat.Blocked
}

// asleep is the interval at which the replica would look at the log by itself: it never does.
const asleep = 1 << 62

// newReplica makes the directory, and nothing else yet: see catchUp.
func newReplica(opt Options) (*replica, error) {
	dir, err := os.MkdirTemp(opt.TempDir, "mediafs-check-")
	if err != nil {
		kind := remote.Other
		switch {
		case errors.Is(err, os.ErrPermission):
			kind = remote.Permission
		case errors.Is(err, os.ErrNotExist):
			kind = remote.Invalid // not NotExist: that would say that there is no library
		}
		return nil, remote.E("make a temporary directory", opt.TempDir, kind, err)
	}
	return &replica{opt: opt, dir: dir}, nil
}

// catchUp brings the replica to the newest commit. Corrupt and Stale say that the library cannot be
// read as it is in the store.
func (r *replica) catchUp(ctx context.Context) error {
	if err := r.sleep(); err != nil {
		return err
	}
	cat, err := catalog.Open(ctx, catalog.Options{
		Dir:           filepath.Join(r.dir, "catalog"),
		Store:         r.opt.Store,
		Library:       r.opt.Store.Facts().Library,
		ReadOnly:      true,
		NoIndex:       true,
		StayReadable:  r.stays,
		PollInterval:  asleep,
		RetryInterval: r.opt.Pause,
		Log:           r.opt.Log,
	})
	if err != nil {
		return err
	}
	r.cat = cat
	return nil
}

// applied is the commit whose state the replica shows.
func (r *replica) applied() uint64 { return r.cat.Status().Applied }

func (r *replica) sleep() error {
	if r.cat == nil {
		return nil
	}
	err := r.cat.Close()
	r.cat = nil
	return err
}

// close removes all that the replica had on disk.
func (r *replica) close() error {
	return errors.Join(r.sleep(), os.RemoveAll(r.dir))
}

// await sleeps before attempt n+1, or fails with ctx's error when that ends first.
func await(ctx context.Context, first time.Duration, n int) error {
	t := time.NewTimer(first << min(n-1, 10))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
