package remote_test

import (
	"errors"
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
