package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"mediafs/cache/catalog"
	"mediafs/remote"
	"mediafs/remote/bucket"
)

// A snapshot is a copy of a library's catalog after one commit, in a private directory that goes
// with it. It follows nobody.
type snapshot struct {
	dir string
	cat *catalog.Catalog
}

// never is the interval at which the snapshot would look at the log.
const never = 1 << 62

func openSnapshot(ctx context.Context, store *bucket.Store, tempDir string, log *logrus.Entry) (*snapshot, error) {
	dir, err := os.MkdirTemp(tempDir, "mediafs-snapshot-")
	if err != nil {
		kind := remote.KindOfOS(err)
		if kind == remote.NotExist {
			kind = remote.Invalid // NotExist would say that there is no library
		}
		return nil, remote.E("make a temporary directory", tempDir, kind, remote.Bare(err))
	}
	s := &snapshot{dir: dir}
	s.cat, err = catalog.Open(ctx, catalog.Options{
		Dir:          filepath.Join(dir, "catalog"),
		Store:        store,
		Library:      store.Facts().Library,
		ReadOnly:     true,
		NoIndex:      true,
		PollInterval: never,
		Log:          log,
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// commit is the one after which the catalog was like this.
func (s *snapshot) commit() uint64 { return s.cat.Status().Applied }

func (s *snapshot) close() error { return errors.Join(s.cat.Close(), os.RemoveAll(s.dir)) }
