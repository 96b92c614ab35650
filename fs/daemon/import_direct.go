package daemon

import (
	"context"
	"errors"

	"mediafs/remote"
)

// A Direct is a library that is open in this process without a mount. It has the catalog directory to itself, as a daemon would.
type Direct struct {
	parts *parts
	lock  *dirLock
}

// OpenDirect opens a library where a mount with the same options would, without Dir. An empty place becomes a new library. Busy: a daemon has the catalog
// directory: use Dial.
func OpenDirect(ctx context.Context, opt Options) (*Direct, error) {
	opt = opt.withDefaults()
	if err := opt.CheckPlaces(); err != nil {
		return nil, err
	}
	made := &madeDirs{}
	lock, err := claimDirs(ctx, opt, made)
	if err != nil {
		made.undo(opt.CatalogDir)
		return nil, err
	}
	p, _, err := openParts(ctx, opt)
	if err != nil {
		err = errors.Join(err, lock.close())
		made.undo(opt.CatalogDir)
		return nil, err
	}
	return &Direct{p, lock}, nil
}

// ImportBatch takes objects into the library.
func (d *Direct) ImportBatch(ctx context.Context, b ImportBatch) (ImportResult, error) {
	return d.parts.ImportBatch(ctx, b)
}

// Flush returns when everything that was changed before, in an earlier mount too, is in the store.
func (d *Direct) Flush(ctx context.Context) error { return d.parts.flush(ctx) }

// Close closes the library. What is not in the store stays in the catalog directory.
func (d *Direct) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // wait for no uploads
	err := d.parts.close(ctx)
	if d.parts.status().Pending.Files > 0 && err == nil {
		err = remote.E("close", d.parts.opt.CatalogDir, remote.Unavailable, ErrPending)
	}
	return errors.Join(err, d.lock.close())
}
