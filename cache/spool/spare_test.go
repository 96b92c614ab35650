package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// On a disk without an inode or a block a file is described as often as its upload needs, and gives
// up its bytes; a new one is refused. All of it is found again.
func TestDescribingNeedsNoRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk is a tmpfs, which only root mounts")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m,nr_inodes=100"); err != nil {
		t.Skipf("a small disk is a tmpfs, and mounting one was refused: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	dir := filepath.Join(disk, "spool")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Create(Description{Node: 7, Dirty: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 100_000), 0); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if err = os.WriteFile(filepath.Join(disk, fmt.Sprint(i)), nil, 0o600); err != nil {
			break
		}
	}
	filler, ferr := os.OpenFile(filepath.Join(disk, "0"), os.O_WRONLY|os.O_APPEND, 0)
	for ferr == nil {
		_, ferr = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) || !errors.Is(ferr, unix.ENOSPC) {
		t.Fatal(err, ferr)
	}
	if _, err := s.Create(Description{Node: 8, Dirty: true}); !errors.Is(err, remote.NoSpace) {
		t.Errorf("a new file: %v", err)
	}
	if err := s.Room(0); !errors.Is(err, remote.NoSpace) {
		t.Errorf("room: %v", err)
	}
	long := make([]byte, 255)
	for i := range 100 {
		d := f.Description()
		d.Name, d.Content, d.Synced = long[:i], fmt.Sprint("content ", i), i%2 == 1
		if err := f.Describe(d); err != nil {
			t.Fatalf("description %d: %v", i, err)
		}
		for _, gone := range []bool{true, false} {
			if err := f.SetGone(gone); err != nil {
				t.Fatalf("after description %d: %v", i, err)
			}
		}
	}
	if again, err := Open(dir); err != nil || len(again.spares.names) != spareCount {
		t.Errorf("%d spares are left, %v", len(again.spares.names), err)
	}
	d := f.Description()
	d.Under, d.Synced = []byte("head"), false
	if err := f.Hollow(d); err != nil {
		t.Errorf("giving up bytes: %v", err)
	}
	r := recoverOne(t, dir)
	if got := r.Description(); got.Content != "content 99" || !got.Overlay || r.Runs() != 0 {
		t.Errorf("found again: %+v", got)
	}
	// What was used up is made again when a file has gone.
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
	if len(r.spool.spares.names) != spareCount {
		t.Errorf("%d spares", len(r.spool.spares.names))
	}
}
