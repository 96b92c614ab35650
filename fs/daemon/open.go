package daemon

import (
	"context"
	"errors"
	"path/filepath"
)

// Open mounts a library. When it returns, the mount can be used and the control socket answers. Whatever fails, everything that was opened before is closed
// again, and of a store that holds no library nothing is changed unless Create allows it; an empty one becomes a new library.
//
// Errors: NotExist, NotDir, NotEmpty, Busy of the mount point, all ErrMountPoint; Busy of the catalog directory; ErrForeign; those of the store.
func Open(ctx context.Context, opt Options) (*Daemon, error) {
	opt = opt.withDefaults()
	dir, notes, err := prepareMountPoint(opt.Dir)
	if err != nil {
		return nil, err
	}
	opt.Dir = dir
	if err := opt.checkOverlap(); err != nil {
		return nil, err
	}
	lock, err := claimDirs(opt)
	if err != nil {
		return nil, err
	}
	p, made, err := openParts(ctx, opt)
	if err != nil {
		return nil, errors.Join(err, lock.close())
	}
	return start(opt, lock, p, p.mount, append(notes, made...))
}

// claimDirs makes the private directories and locks the catalog's.
func claimDirs(opt Options) (*dirLock, error) {
	for _, d := range []struct{ dir, what string }{
		{opt.CatalogDir, "catalog directory"},
		{filepath.Join(opt.CatalogDir, catalogName), "catalog"},
		{filepath.Join(opt.CatalogDir, spoolName), "spool"},
		{opt.CacheDir, "cache directory"},
	} {
		if err := privateDir(d.dir, d.what); err != nil {
			return nil, err
		}
	}
	return lockDir(opt.CatalogDir)
}
