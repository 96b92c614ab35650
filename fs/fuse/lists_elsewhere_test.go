package fuse

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
)

// A list that another machine sets counts here, however long the kernel believes what it knows: it
// is told.
func TestMountedListsOfOthers(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("patient"); err != nil {
			t.Fatal(err)
		}
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		letOthersIn(t, s.dir)
		file := filepath.Join(s.dir, "file")
		if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chown(file, anna, anna); err != nil {
			t.Fatal(err)
		}
		reads := func() string { return says(t, actor(bert, bert, "may", file, "0")) }
		if got := reads(); got != "EACCES" {
			t.Errorf("before: %s", got)
		}
		for _, c := range []struct {
			perm uint32
			want string
		}{{4, "ok"}, {0, "EACCES"}, {6, "ok"}} {
			if err := s.do("elsewhere file " + namedList(bert, c.perm)); err != nil {
				t.Fatal(err)
			}
			got := ""
			for range 500 { // until the log is read and the kernel told
				if got = reads(); got == c.want {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if got != c.want {
				t.Errorf("with %o: %s, want %s", c.perm, got, c.want)
			}
		}
		b := make([]byte, 1000)
		n, err := unix.Getxattr(file, acl.Access, b)
		if err != nil || hex.EncodeToString(b[:n]) != namedList(bert, 6) {
			t.Errorf("% x, %v", b[:max(n, 0)], err)
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
