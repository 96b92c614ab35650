package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
)

// What stays on this machine leaves inodes to the catalog and the spool beside it.
func TestInodesAreLeft(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a disk with few inodes is a tmpfs, which only root mounts")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m,nr_inodes=160"); err != nil {
		t.Skipf("a disk with few inodes is a tmpfs, and mounting one was refused: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	r := newRig(t)
	l, err := local.New(r.inner, local.Options{Dir: filepath.Join(disk, "local"), KeepFree: 1, Names: testNames})
	r.ok(err)
	defer func() { r.ok(l.Close()) }()
	here := 0
	for i := range 160 {
		a, f, err := l.Create(bg, me, vfs.Root, fmt.Sprint(".-", i), 0o600, unix.O_RDWR)
		r.ok(err)
		f.Release()
		if isLocal(a.ID) {
			here++
		}
		l.Forget(a.ID, 1)
	}
	var st unix.Statfs_t
	r.ok(unix.Statfs(disk, &st))
	if here == 0 || st.Ffree < 15 {
		t.Errorf("%d files stayed here, and %d inodes are left", here, st.Ffree)
	}
}
