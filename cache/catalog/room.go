package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A ballast keeps the disk under the catalog from filling up to the last byte. Badger writes through memory maps of sparse files: a page that
// finds no room is a SIGBUS, which ends the process. So operations and commits of others stop while less than a floor is free; and as
// another program may fill the disk between that look and the write, a file of reserved blocks is given up when it happens.
type ballast struct {
	dir  string
	name string

	mu   sync.Mutex
	held bool
}

// Half a dozen of the largest transactions, and a table that is being written: 32 MiB, or a fifth of a disk that is smaller than this deserves.
const maxFloor = 32 << 20

func newBallast(dir string) *ballast {
	return &ballast{dir: dir, name: filepath.Join(dir, "ballast")}
}

// free gives the free and the kept bytes of the disk.
func (b *ballast) free() (free, floor int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return 0, 0, local("look at the catalog's disk", b.dir, err)
	}
	return int64(st.Bavail) * st.Bsize, min(maxFloor, int64(st.Blocks)*st.Bsize/5), nil
}

// room fails with NoSpace while less than the floor is free; it takes the ballast up when there is plenty, and gives it up when there is not.
func (b *ballast) room() error {
	free, floor, err := b.free()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case free < floor && b.held:
		b.held = false
		if err := os.Remove(b.name); err != nil {
			return local("give up reserved blocks", b.name, err)
		}
	case free > 4*floor && !b.held:
		b.held = b.take(floor) == nil // without it the floor still stands
	}
	if free < floor {
		return remote.E("write catalog", b.dir, remote.NoSpace, fmt.Errorf("%d MiB are free and %d MiB are kept free", free>>20, floor>>20)).
			WithHint("free space on this disk, or move the catalog directory to a larger one")
	}
	return nil
}

func (b *ballast) take(n int64) error {
	f, err := os.OpenFile(b.name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
		os.Remove(b.name)
		return err
	}
	return nil
}

// start is room before anything is written: a ballast that an earlier process left is given up first.
func (b *ballast) start() error {
	if err := os.Remove(b.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return local("open catalog", b.name, err)
	}
	return b.room()
}
