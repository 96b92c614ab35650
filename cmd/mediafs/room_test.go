package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote/storetest/wiretap"
)

// Another program takes the last inode and the last block of the disk that the daemon has all its
// files on. What was closed goes up all the same, by that daemon or, when it is killed then, by the
// next, which can be mounted; files are deleted; nothing is lost.
func TestNoInodesNoBytes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk is a tmpfs, which only root mounts")
	}
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			w := newWire(t)
			m := w.machine()
			disk := filepath.Join(m.home, ".local")
			if err := os.Mkdir(disk, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=200m,nr_inodes=700"); err != nil {
				t.Skipf("a small disk is a tmpfs, and mounting one was refused: %v", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			source := t.TempDir()
			for i := range 40 {
				pseudoRandom(t, filepath.Join(source, fmt.Sprint(i)), int64(30_000+i))
			}
			m.env = append(m.env, testLimits+"="+faultLimits)
			m.mount(w.store, "--upload=background")
			down := w.tap.Fault(
				wiretap.Fault{Status: 503, Code: "ServiceUnavailable", Match: func(r *wiretap.Request) bool {
					return strings.HasPrefix(r.Key, "content/") && (r.Method == "PUT" || r.Method == "POST")
				}},
			)
			m.sh(`cp "$1"/* .`, source)
			if s := m.status(); s.Pending.Files != 40 {
				t.Fatalf("%+v", s.Pending)
			}
			for i, n := 0, 1<<20; n > 0; i++ { // large files, small ones, empty ones
				err := os.WriteFile(filepath.Join(disk, fmt.Sprint("filler ", i)), make([]byte, n), 0o600)
				if errors.Is(err, unix.ENOSPC) {
					n /= 16
				} else if err != nil {
					t.Fatal(err)
				}
			}
			for i := 0; ; i++ {
				f, err := os.Create(filepath.Join(disk, fmt.Sprint("empty ", i)))
				if errors.Is(err, unix.ENOSPC) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			var st unix.Statfs_t
			if err := unix.Statfs(disk, &st); err != nil || st.Ffree > 0 || st.Bavail > 0 {
				t.Fatalf("%d inodes and %d blocks are free, %v", st.Ffree, st.Bavail, err)
			}
			if killed {
				m.kill()
			}
			down()
			if killed {
				m.mount(w.store, "--upload=background")
			}
			m.do("flush", m.mnt)
			if s := m.status(); !s.Pending.None() {
				t.Errorf("%+v, %+v", s.Pending, s.LastError)
			}
			m.sh(`rm 0; for f in "$1"/[1-9]*; do cmp $f "${f##*/}"; done`, source)
			if err := unix.Statfs(disk, &st); err != nil || st.Ffree < 40 {
				t.Errorf("%d inodes are free, %v", st.Ffree, err)
			}
			m.umount()
			m = w.machine()
			m.mount(w.store)
			out := m.sh(`for f in "$1"/[1-9]*; do cmp $f "${f##*/}"; done; ls | wc -l`, source)
			if strings.TrimSpace(out) != "39" {
				t.Errorf("in the store are %q", out)
			}
			m.umount()
		})
	}
}
