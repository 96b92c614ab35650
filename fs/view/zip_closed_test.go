package view

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Who opens an archive that somebody else has open is asked for the rights of now, and not for those of the first open.
func TestZipOfWhatWasClosed(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	in := r.f.add("/d/in", folded, "")
	r.f.add("/d/in/f.jpg", reg, "private by now")
	id := r.must(ann, ".media/zip/d.zip").ID
	first, err := r.l.Open(as(ann), caller(ann), id, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	r.f.set(in, func(n *fakeNode) { n.attr.Mode = unix.S_IFDIR | 0o700 })
	second, err := r.l.Open(as(bob), caller(bob), id, unix.O_RDONLY)
	r.kind("open what was closed meanwhile", err, remote.Permission)
	if err == nil {
		second.Release()
	}
	r.f.set(in, func(n *fakeNode) { n.attr.Mode = folded })
	second, err = r.l.Open(as(bob), caller(bob), id, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}
