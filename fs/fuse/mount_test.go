package fuse

import (
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs/vfstest"
)

func TestMountedSuite(t *testing.T) {
	t.Parallel()
	mounted(t, runMountedSuite)
}

// The whole way: programs, the kernel, the library, a real S3 server.
func TestMountedSuiteOnS3(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("s3"); err != nil {
			t.Fatal(err)
		}
		runMountedSuite(t, s)
	})
}

func runMountedSuite(t *testing.T, s *servedMount) {
	vfstest.Run(t, func(t *testing.T) vfstest.System {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		traits := vfstest.Traits{MaxXattr: 60_000, Sparse: true, ZeroRange: true}
		return vfstest.OverOS(
			s.dir, traits, func() error { return s.do("reopen") }, func() error { return s.do("close") },
		)
	})
}

func TestMountedPosix(t *testing.T) {
	t.Parallel()
	skip := map[string]string{
		"Tmpfile":             "a file without a name is not supported",
		"OpenSymlinkRace":     "takes seconds to try the kernel's own patience",
		"FcntlFlockLocksFile": "flock and fcntl locks are the kernel's own here, and do not see each other",
	}
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		for name, f := range posixtest.All {
			t.Run(name, func(t *testing.T) {
				if why := skip[name]; why != "" {
					t.Skip(why)
				}
				dir := filepath.Join(s.dir, name)
				if err := unix.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				f(t, dir)
			})
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
