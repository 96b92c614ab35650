package local

import (
	"bytes"
	"strings"

	"mediafs/remote"

	"golang.org/x/sys/unix"
)

// appleDouble is what an AppleDouble file begins with: the magic number of version 2 of Apple's
// format, RFC 1740 appendix B.
var appleDouble = []byte{0x00, 0x05, 0x16, 0x07}

// byContent reports whether files of this name stay on this machine only when they are AppleDouble
// files. A name says little here: `._DSC0001.JPG.x1Y2z3` is rsync's temporary file of the photo
// _DSC0001.JPG.
func byContent(name string) bool { return strings.HasPrefix(name, "._") }

// mayBeAppleDouble reports whether a file that begins with these bytes, the first four or fewer,
// can be AppleDouble.
func mayBeAppleDouble(head []byte) bool {
	return bytes.HasPrefix(appleDouble, head[:min(len(head), len(appleDouble))])
}

// stays reports whether a dropping with these first bytes stays on this machine under a name of the
// list.
func stays(name string, head []byte) bool {
	return !byContent(name) || bytes.HasPrefix(head, appleDouble)
}

// head reads the first bytes, fewer when the file has no more. The node is pinned.
func (n *node) head() ([]byte, error) {
	b := make([]byte, len(appleDouble))
	got, err := unix.Pread(int(n.f.Fd()), b, 0)
	if err != nil {
		return nil, remote.OSError("read a local file", quoted(n.f.Name()), err)
	}
	return b[:got], nil
}
