package vfstest_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs/vfstest"
)

// The suite's expectations are the kernel's: it runs on the file systems of the machine, as far as
// they are among those whose traits are known.
func TestSuiteOnLocalDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes devices and changes owners")
	}
	known := map[int64]struct {
		name   string
		traits vfstest.Traits
	}{
		unix.EXT4_SUPER_MAGIC: {"ext4", vfstest.Traits{MaxXattr: 2000, Sparse: true, ZeroRange: true}},
		unix.XFS_SUPER_MAGIC:  {"xfs", vfstest.Traits{MaxXattr: 60_000, Sparse: true, ZeroRange: true}},
		unix.TMPFS_MAGIC:      {"tmpfs", vfstest.Traits{MaxXattr: 60_000, Sparse: true}},
	}
	ran := make(map[string]bool)
	for _, parent := range []string{t.TempDir(), "/dev/shm"} {
		var st unix.Statfs_t
		if unix.Statfs(parent, &st) != nil {
			continue
		}
		fs, ok := known[int64(st.Type)]
		if !ok || ran[fs.name] {
			continue
		}
		ran[fs.name] = true
		t.Run(fs.name, func(t *testing.T) {
			dir, err := os.MkdirTemp(parent, "vfstest")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			vfstest.Run(t, func(*testing.T) vfstest.System { return vfstest.OverOS(dir, fs.traits, nil, nil) })
		})
	}
	if len(ran) == 0 {
		t.Skip("no file system of a known kind")
	}
}
