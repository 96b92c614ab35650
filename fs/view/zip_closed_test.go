package view

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Who opens an archive that somebody else has open is asked for the rights of now, and not for
// those of the first open.
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

// How large an archive is, and how long a text about a media, is for who may read what is in it:
// also when somebody who may has just looked, or has it open.
func TestSizesOfWhatIsClosed(t *testing.T) {
	r := newRig(t)
	zipTree(r, 5)
	closed := r.f.walk("/big/sub").attr.ID
	r.f.set(closed, func(n *fakeNode) { n.attr.Mode = unix.S_IFDIR | 0o700 })
	id := r.must(0, ".media/zip/big.zip").ID
	stat := func(uid uint32) error { _, err := r.l.GetAttr(as(uid), id); return err }
	r.kind("stat", stat(bob), remote.Permission)
	if err := stat(0); err != nil {
		t.Fatal(err)
	}
	r.kind("stat after root's", stat(bob), remote.Permission)
	f, size := r.archive(0, ".media/zip/big.zip")
	defer f.Release()
	r.kind("stat while root has it open", stat(bob), remote.Permission)
	r.f.set(closed, func(n *fakeNode) { n.attr.Mode = folded })
	if a, err := r.l.GetAttr(as(bob), id); err != nil || a.Size != size {
		t.Errorf("stat of what is open to all: %+v, %v", a, err)
	}

	media := r.f.add("/private.jpg", reg, "x")
	r.f.set(media, func(n *fakeNode) { n.attr.Mode = unix.S_IFREG | 0o600 })
	text := r.must(0, ".media/info/private.jpg.json").ID
	if a, err := r.l.GetAttr(as(bob), text); err != nil || a.Size != 0 {
		t.Errorf("the text of a private media: %d bytes, %v", a.Size, err)
	}
	if a, err := r.l.GetAttr(as(0), text); err != nil || a.Size == 0 {
		t.Errorf("root sees %d bytes, %v", a.Size, err)
	}
}
