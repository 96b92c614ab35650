package local_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

func TestLimits(t *testing.T) {
	r := newRig(t, func(o *local.Options) { o.MaxBytes = 10 })
	a, f, err := r.Create(bg, me, vfs.Root, ".-a", 0o600, unix.O_RDWR)
	r.ok(err)
	r.write(f, "0123456789", 0)
	_, err = f.Write(bg, []byte("x"), 1<<63-1)
	r.is(err, remote.Invalid)
	f.Release()
	r.Forget(a.ID, 1)
	r.holds(vfs.Root, ".-a", "0123456789")
	size := int64(11)

	r.reopen(func(o *local.Options) { o.MaxBytes = 5 })
	a, err = r.Lookup(bg, vfs.Root, ".-a")
	r.ok(err)
	size = 7
	_, err = r.SetAttr(bg, me, a.ID, nil, vfs.AttrChange{Size: &size}) // it may shrink towards a lower limit
	r.ok(err)
	r.Forget(a.ID, 1)

	r.reopen(func(o *local.Options) { o.KeepFree = 1 << 60 })
	if id := r.create(vfs.Root, ".-b", "b"); isLocal(id) { // the library has room where this disk has none
		t.Error(".-b stayed on a full disk")
	}
	a, err = r.Lookup(bg, vfs.Root, ".-a")
	r.ok(err)
	f, err = r.Open(bg, me, a.ID, unix.O_RDWR)
	r.ok(err)
	r.ok(r.Unlink(bg, me, vfs.Root, ".-a")) // what makes room is possible
	_, err = f.Write(bg, []byte("x"), 0)
	r.is(err, remote.NoSpace) // without a name it cannot enter the library
	f.Release()
	r.Forget(a.ID, 1)
}

func TestReadOnly(t *testing.T) {
	r := newRig(t)
	r.create(vfs.Root, ".-a", "a")
	r.reopen(func(o *local.Options) { o.ReadOnly = true })
	r.holds(vfs.Root, ".-a", "a")
	a, err := r.Lookup(bg, vfs.Root, ".-a")
	r.ok(err)
	defer r.Forget(a.ID, 1)
	mode := uint32(0)
	_, _, err = r.Create(bg, me, vfs.Root, ".-b", 0o600, 0)
	r.is(err, remote.ReadOnly)
	_, err = r.Open(bg, me, a.ID, unix.O_WRONLY)
	r.is(err, remote.ReadOnly)
	_, err = r.Open(bg, me, a.ID, unix.O_RDONLY|unix.O_TRUNC)
	r.is(err, remote.ReadOnly)
	_, err = r.SetAttr(bg, me, a.ID, nil, vfs.AttrChange{Mode: &mode})
	r.is(err, remote.ReadOnly)
	r.is(r.SetXattr(bg, me, a.ID, "user.x", nil, 0), remote.ReadOnly)
	r.is(r.RemoveXattr(bg, me, a.ID, "user.x"), remote.ReadOnly)
	r.is(r.Unlink(bg, me, vfs.Root, ".-a"), remote.ReadOnly)
	r.is(r.Rename(bg, me, vfs.Root, ".-a", vfs.Root, ".-b", 0), remote.ReadOnly)
	r.holds(vfs.Root, ".-a", "a")
}
