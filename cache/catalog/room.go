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

// A ballast keeps the disk under the catalog from filling up to the last byte and inode. Badger
// writes through memory maps of sparse files: a page that finds no room is a SIGBUS, which ends the
// process, and so does a memtable that gets no file. So operations and commits of others stop while
// less than a floor is free; and as another program may fill the disk between that look and the
// write, files of reserved blocks and inodes are given up then, and made again when there is room.
// They are given up for what frees room alone (an upload's head, a deletion), which goes on below
// the floor, to a half or quarter of it.
//
// A further such file is for closing alone: Badger then writes a table of what it has in memory.
type ballast struct {
	dir     string
	name    string
	inodes  string // a folder of empty files
	closing string

	mu   sync.Mutex
	held bool // both
}

const (
	// Half a dozen of the largest transactions, and a table that is being written: 32 MiB, or a
	// fifth of a disk that is smaller than this deserves.
	maxFloor = 32 << 20
	// A memtable, the tables of two compactions, a manifest, many times over: or a tenth of few.
	maxInodes = 64
)

func newBallast(dir string) *ballast {
	name := filepath.Join(dir, "ballast")
	return &ballast{dir: dir, name: name, inodes: name + ".inodes", closing: name + ".closing"}
}

// A disk is what the catalog's has left, and what is kept free of it.
type disk struct {
	free, floor   int64 // bytes
	files, fewest int64 // inodes; 0 and 0 where their number is not limited
}

func (b *ballast) disk() (d disk, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return d, local("look at the catalog's disk", b.dir, err)
	}
	d.free, d.floor = int64(st.Bavail)*st.Bsize, min(maxFloor, int64(st.Blocks)*st.Bsize/5)
	if st.Files > 0 {
		d.files, d.fewest = int64(st.Ffree), int64(min(maxInodes, st.Files/10))
	}
	return d, nil
}

// scarce says what there is too little of; nil: nothing.
func (d disk) scarce() error {
	switch {
	case d.free < d.floor:
		return fmt.Errorf("%d MiB are free and %d MiB are kept free", d.free>>20, d.floor>>20)
	case d.files < d.fewest:
		return fmt.Errorf("%d inodes are free and %d are kept free", d.files, d.fewest)
	}
	return nil
}

// room fails with NoSpace while less than the floor is free, or, for what frees room, less than a
// part of it: for that, and for nothing else, the ballast is given up. It is taken up when twice
// the floor is free.
func (b *ballast) room(frees bool) error {
	d, err := b.disk()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case d.scarce() != nil && b.held && frees:
		b.held = false
		if err := b.giveUp(); err != nil {
			return err
		}
		if d, err = b.disk(); err != nil {
			return err
		}
	case !b.held && d.free >= 2*d.floor && d.files >= 2*d.fewest:
		// As much stays as there must be, so that it is not given up at once. Without it the floor
		// still stands.
		b.held = true
		if b.take(b.name, d.floor) != nil || b.takeInodes(d.fewest) != nil {
			b.held = false
			if err := b.giveUp(); err != nil {
				return err
			}
		}
	}
	if frees {
		d.floor, d.fewest = d.floor/2, d.fewest/4
	}
	if why := d.scarce(); why != nil {
		return remote.E("write catalog", b.dir, remote.NoSpace, why).
			WithHint("free space on this disk, or move the catalog directory to a larger one")
	}
	return nil
}

// giveUp frees what was reserved, but for closing.
func (b *ballast) giveUp() error {
	for _, name := range []string{b.name, b.inodes} {
		if err := os.RemoveAll(name); err != nil {
			return local("give up reserved blocks", name, err)
		}
	}
	return nil
}

// takeInodes reserves n inodes.
func (b *ballast) takeInodes(n int64) error {
	if n == 0 {
		return nil
	}
	if err := os.Mkdir(b.inodes, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for i := range n {
		f, err := os.OpenFile(filepath.Join(b.inodes, fmt.Sprint(i)), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
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

// start is room before anything is written: what an earlier process left is given up first. What
// frees room may be all that there is to do, so that less than the floor is enough.
func (b *ballast) start() error {
	if err := b.letGo(); err != nil {
		return err
	}
	if err := b.room(true); err != nil {
		return err
	}
	d, err := b.disk()
	if err == nil {
		_ = b.take(b.closing, closingRoom(d.floor)) // room was looked at: another program has just taken it
	}
	return err
}

// letGo gives all up.
func (b *ballast) letGo() error {
	if err := os.Remove(b.closing); err != nil && !errors.Is(err, os.ErrNotExist) {
		return local("give up reserved blocks", b.closing, err)
	}
	return b.giveUp()
}

// closingRoom is what closing may take: the larger of Badger's memtable and its manifest, or, on a
// small disk, half of what is kept free there.
func closingRoom(floor int64) int64 { return min(16<<20, floor/2) }

// end gives all up, and tells whether Badger can be closed: with no room for its table it would end
// the process.
func (b *ballast) end() error {
	if err := b.letGo(); err != nil {
		return err
	}
	d, err := b.disk()
	if err != nil {
		return err
	}
	switch {
	case d.free < closingRoom(d.floor):
		err = fmt.Errorf("%d MiB are free", d.free>>20)
	case d.files < d.fewest/4:
		err = fmt.Errorf("%d inodes are free", d.files)
	default:
		return nil
	}
	return remote.E("close catalog", b.dir, remote.NoSpace, err).
		WithHint("nothing is lost: free space on this disk and mount again")
}
