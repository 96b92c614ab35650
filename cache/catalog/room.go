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
//
// A second such file is for closing alone: Badger then writes a table of what it has in memory.
type ballast struct {
	dir     string
	name    string
	closing string

	mu   sync.Mutex
	held bool
}

// Half a dozen of the largest transactions, and a table that is being written: 32 MiB, or a fifth of a disk that is smaller than this deserves.
const maxFloor = 32 << 20

func newBallast(dir string) *ballast {
	return &ballast{dir: dir, name: filepath.Join(dir, "ballast"), closing: filepath.Join(dir, "ballast.closing")}
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
		b.held = b.take(b.name, floor) == nil // without it the floor still stands
	}
	if free < floor {
		return remote.E("write catalog", b.dir, remote.NoSpace, fmt.Errorf("%d MiB are free and %d MiB are kept free", free>>20, floor>>20)).
			WithHint("free space on this disk, or move the catalog directory to a larger one")
	}
	return nil
}

// take reserves n bytes.
func (b *ballast) take(name string, n int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
		os.Remove(name)
		return err
	}
	return nil
}

// start is room before anything is written: what an earlier process left is given up first.
func (b *ballast) start() error {
	for _, name := range []string{b.name, b.closing} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return local("open catalog", name, err)
		}
	}
	if err := b.room(); err != nil {
		return err
	}
	_, floor, err := b.free()
	if err == nil {
		_ = b.take(b.closing, closingRoom(floor)) // room was looked at: another program has just taken it
	}
	return err
}

// closingRoom is what closing may take: the larger of Badger's memtable and its manifest, or, on a small disk, half of what is kept free there.
func closingRoom(floor int64) int64 { return min(16<<20, floor/2) }

// end gives all up, and tells whether Badger can be closed: with no room for its table it would end the process.
func (b *ballast) end() error {
	for _, name := range []string{b.closing, b.name} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return local("give up reserved blocks", name, err)
		}
	}
	free, floor, err := b.free()
	if err == nil && free < closingRoom(floor) {
		err = remote.E("close catalog", b.dir, remote.NoSpace, fmt.Errorf("%d MiB are free", free>>20)).
			WithHint("nothing is lost: free space on this disk and mount again")
	}
	return err
}
