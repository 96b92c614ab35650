package bucket

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A keeping is a local directory with parts of checkpoints, each a file named as its key ends.
// Nothing in it is trusted: a part is taken from it when its size and all of its checksums are
// right, and fetched otherwise. So files need no sync, and a file that a crash left in the middle
// is harmless.
type keeping struct {
	dir  string
	only bool // fetch nothing
}

// Keep makes Records put what it fetches into dir; see remote.Keeper.
func (c *checkpoint) Keep(dir string, only bool) error {
	const op = "keep checkpoint"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return localError(op, dir, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return localError(op, dir, err)
	}
	named := make(map[string]bool, len(c.m.Parts))
	for _, p := range c.m.Parts {
		named[path.Base(p.Key)] = true
	}
	for _, f := range files {
		if named[f.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, f.Name())); err != nil {
			return localError(op, dir, err)
		}
	}
	c.keep = keeping{dir, only}
	return nil
}

// read gives the file of a part; nil when there is none of its size.
func (k keeping) read(p partEntry) ([]byte, error) {
	if k.dir == "" {
		return nil, nil
	}
	name := filepath.Join(k.dir, path.Base(p.Key))
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, localError("read kept part", name, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != p.Size || !st.Mode().IsRegular() {
		return nil, nil
	}
	obj := make([]byte, p.Size)
	if _, err := io.ReadFull(f, obj); err != nil {
		return nil, nil // whatever the disk says, the store has it
	}
	return obj, nil
}

// write keeps a part.
func (k keeping) write(p partEntry, obj []byte) error {
	if k.dir == "" {
		return nil
	}
	name := filepath.Join(k.dir, path.Base(p.Key))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return localError("keep part", name, err)
	}
	_, err = f.Write(obj)
	return localError("keep part", name, errors.Join(err, f.Close()))
}

func localError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return remote.E(op, name, remote.KindOfOwn(err), err).WithHint("look at the disk of the catalog directory")
}
