package remote_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mediafs/remote"
)

// Names come from other machines and from stores: an error is safe to print whatever they hold.
func TestErrorShowsPathAsText(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"", "unlink: does not exist"},
		{"/a b/é.jpg", "unlink /a b/é.jpg: does not exist"},
		{"/.-gone\x1b[2J", `unlink "/.-gone\x1b[2J": does not exist`},
		{"/a\nb", `unlink "/a\nb": does not exist`},
		{"/\xff", `unlink "/\xff": does not exist`},
		{"/\u202egpj", `unlink "/\u202egpj": does not exist`},
	} {
		err := remote.E("unlink", c.path, remote.NotExist, nil)
		if got := err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if !errors.Is(err, remote.NotExist) || err.Path != c.path {
			t.Errorf("%q: the error itself has changed: %#v", c.path, err)
		}
	}
}

func TestKindOfOS(t *testing.T) {
	dir := t.TempDir()
	_, missing := os.Stat(filepath.Join(dir, "missing"))
	_, long := os.Stat(filepath.Join(dir, strings.Repeat("n", 300)))
	link := os.Link(filepath.Join(dir, "missing"), filepath.Join(dir, "name"))
	notEmpty := os.Remove(filepath.Dir(dir))
	for _, c := range []struct {
		err  error
		want remote.Kind
		text string
	}{
		{nil, remote.Other, ""},
		{errors.New("anything"), remote.Other, "anything"},
		{missing, remote.NotExist, "no such file or directory"},
		{long, remote.TooLong, "file name too long"},
		{link, remote.NotExist, "no such file or directory"},
		{notEmpty, remote.NotEmpty, "directory not empty"},
		{os.ErrExist, remote.Exist, "file already exists"},
		{fmt.Errorf("sync: %w", syscall.ENOSPC), remote.NoSpace, "sync: no space left on device"},
		{os.NewSyscallError("statfs", syscall.EROFS), remote.ReadOnly, "read-only file system"},
		{syscall.EIO, remote.Other, "input/output error"},
	} {
		if got := remote.KindOfOS(c.err); got != c.want {
			t.Errorf("%v is of kind %q, want %q", c.err, got, c.want)
		}
		own := c.want
		if slices.Contains([]remote.Kind{remote.NotExist, remote.Exist, remote.NotEmpty}, own) {
			own = remote.Other
		}
		if got := remote.KindOfOwn(c.err); got != own {
			t.Errorf("%v of our own file is of kind %q, want %q", c.err, got, own)
		}
		if c.err == nil {
			continue
		}
		if err := remote.OSError("look at", "disk", c.err); err.Kind != c.want || err.Err.Error() != c.text {
			t.Errorf("%v becomes %v", c.err, err)
		}
	}
}
