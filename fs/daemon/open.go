package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"mediafs/fs/control"
	"mediafs/fs/fuse"
)

// Open mounts a library. When it returns, the mount can be used and the control socket answers.
// Whatever fails, everything that was opened before is closed again, folders that were made and are
// empty are gone, and of a store that holds no library nothing is changed unless Create allows it;
// an empty one becomes a new library. A daemon of the same library that is ending is waited for, at
// most Options.LockTimeout.
//
// Errors: NotExist, NotDir, NotEmpty, Busy, Permission of the mount point, all ErrMountPoint; Busy
// of the catalog directory; Invalid of folders that lie in one another; ErrForeign; those of the
// store.
func Open(ctx context.Context, opt Options) (d *Daemon, err error) {
	opt = opt.withDefaults()
	dir, notes, err := prepareMountPoint(opt.Dir)
	if err != nil {
		return nil, err
	}
	opt.Dir = dir
	if err := opt.CheckPlaces(); err != nil {
		return nil, err
	}
	if err := fuse.Check(opt.kernel()); err != nil {
		return nil, err
	}
	made := &madeDirs{}
	defer func() {
		if err != nil {
			made.undo(opt.CatalogDir)
		}
	}()
	lock, err := claimDirs(ctx, opt, made)
	if err != nil {
		return nil, err
	}
	if opt.Claimed != nil {
		undo, claimErr := opt.Claimed()
		if claimErr != nil {
			return nil, errors.Join(claimErr, lock.Close())
		}
		defer func() {
			if err != nil && undo != nil {
				undo()
			}
		}()
	}
	p, news, err := openParts(ctx, opt)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return start(opt, lock, p, p.mount, append(notes, news...))
}

// claimDirs makes the private directories, and the store's when that is wanted, and locks the
// catalog's. What it made is noted, also when it fails.
func claimDirs(ctx context.Context, opt Options, made *madeDirs) (*control.Lock, error) {
	if dir, ok := localStore(opt.Store); ok && opt.MakeStore {
		if err := made.make(dir); err != nil {
			return nil, cannotMake("store", dir, err)
		}
	}
	for _, d := range []struct{ dir, what string }{
		{opt.CatalogDir, "catalog directory"},
		{filepath.Join(opt.CatalogDir, catalogName), "catalog"},
		{filepath.Join(opt.CatalogDir, spoolName), "spool"},
		{opt.CacheDir, "cache directory"},
	} {
		if err := privateDir(d.dir, d.what, made); err != nil {
			return nil, err
		}
	}
	return awaitLock(ctx, opt)
}

// madeDirs are folders that were made for a mount, those above first.
type madeDirs []string

// make makes dir and the folders above it that are missing, for this user alone (0700).
func (m *madeDirs) make(dir string) error {
	for {
		var missing []string
		for at := dir; ; at = filepath.Dir(at) {
			if _, err := os.Lstat(at); !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
				break
			}
			missing = append(missing, at)
		}
		again := false
		for i := len(missing) - 1; i >= 0; i-- {
			switch err := os.Mkdir(missing[i], 0o700); {
			case err == nil:
				*m = append(*m, missing[i])
			case errors.Is(err, os.ErrExist): // another process was first
			case errors.Is(err, os.ErrNotExist) && i < len(missing)-1: // and one whose mount failed took its folder back
				again = true
			default:
				return err
			}
			if again {
				break
			}
		}
		if !again {
			return nil
		}
	}
}

// undo takes away those that are empty, but for the lock file of a new catalog directory.
func (m *madeDirs) undo(catalogDir string) {
	for i := len(*m) - 1; i >= 0; i-- {
		dir := (*m)[i]
		if dir == catalogDir {
			control.RemoveLock(dir)
		}
		entries, _ := os.ReadDir(dir) // a local store has made a folder of its own
		for _, e := range entries {
			if e.IsDir() {
				os.Remove(filepath.Join(dir, e.Name())) //nolint:errcheck // it stays when something is in it
			}
		}
		os.Remove(dir) //nolint:errcheck // it stays when something is in it
	}
}
