package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A disk that another program fills to the last byte: operations fail with NoSpace, the process
// lives on, and everything goes on when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk is a tmpfs, which only root mounts")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=80m"); err != nil {
		t.Skipf("a small disk is a tmpfs, and mounting one was refused: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	w := newWorld(t)
	a := w.open(filepath.Join(disk, "catalog"))
	b := w.open(t.TempDir())
	a.must("name 1 before 5")

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	refused := 0
	for i := range 300 {
		if err := a.word("name 1 %s %d", fmt.Sprintf("%0200d", i), 100+i); errors.Is(err, remote.NoSpace) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		fill(t, filler) // the ballast took it all
		if err := a.word("name 1 x 7"); !errors.Is(err, remote.NoSpace) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	b.must("name 1 elsewhere 6") // a cannot apply it now
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	a.must("name 1 after 8")
	a.view(func(tx *Tx) {
		for _, name := range []string{"before", "elsewhere", "after"} {
			if tx.Dentry(1, name) == nil {
				t.Errorf("%q is not there", name)
			}
		}
	})
	a.Close()

	for _, name := range []string{"ballast", "ballast.closing"} {
		if err := os.Remove(filepath.Join(disk, "catalog", name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	fill(t, filler)
	if _, err := w.try(filepath.Join(disk, "catalog")); !errors.Is(err, remote.NoSpace) {
		t.Errorf("opened on a full disk: %v", err)
	}
}

// fill writes until nothing fits any more.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1 << 20, 4096} {
		buf := make([]byte, n)
		for {
			if _, err := f.Write(buf); err != nil {
				break
			}
		}
	}
}
