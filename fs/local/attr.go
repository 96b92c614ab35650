package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// attr tells what stat tells. The node is pinned.
func (n *node) attr() (vfs.Attr, error) {
	const op = "get the attributes of a local file"
	fd := int(n.f.Fd())
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return vfs.Attr{}, remote.OSError(op, quoted(n.f.Name()), err)
	}
	r, err := readRecord(fd, &unix.Stat_t{Uid: st.Uid, Gid: st.Gid})
	if err != nil {
		return vfs.Attr{}, remote.OSError(op, quoted(n.f.Name()), err)
	}
	t := func(x unix.StatxTimestamp) vfs.Time { return vfs.Time{Sec: x.Sec, Nsec: x.Nsec} }
	a := vfs.Attr{
		ID:     n.id,
		Mode:   unix.S_IFREG | r.mode,
		Nlink:  st.Nlink,
		UID:    r.uid,
		GID:    r.gid,
		Size:   int64(st.Size),
		Blocks: int64(st.Blocks),
		Atime:  t(st.Atime),
		Mtime:  t(st.Mtime),
		Ctime:  t(st.Ctime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		a.Btime = t(st.Btime)
		a.Generation = uint32(st.Btime.Sec) ^ st.Btime.Nsec<<2 // the disk uses inode numbers again
	}
	return a, nil
}

// GetAttr tells what stat tells.
func (l *Library) GetAttr(ctx context.Context, id vfs.ID) (vfs.Attr, error) {
	asked := id
	if id = l.at(id); !local(id) {
		a, err := l.inner.GetAttr(ctx, id)
		a.ID = asked
		return a, err
	}
	n, err := l.pin("get attributes", id)
	if err != nil {
		return vfs.Attr{}, err
	}
	defer l.unpin(n)
	a, err := n.attr()
	a.ID = asked
	return a, err
}

// SetAttr changes attributes. A dropping's ctime is the local disk's and not to be set.
func (l *Library) SetAttr(
	ctx context.Context, c vfs.Caller, id vfs.ID, f vfs.File, ch vfs.AttrChange,
) (vfs.Attr, error) {
	asked := id
	if id = l.at(id); !local(id) {
		f, err := inLibrary(ctx, f)
		if err != nil {
			return vfs.Attr{}, err
		}
		a, err := l.inner.SetAttr(ctx, c, id, f, ch)
		a.ID = asked
		return a, err
	}
	if err := l.mayChange("set attributes", ""); err != nil {
		return vfs.Attr{}, err
	}
	n, err := l.pin("set attributes", id)
	if err != nil {
		return vfs.Attr{}, err
	}
	defer l.unpin(n)
	if open, ok := f.(*file); ok && ch.Size != nil {
		open.changed.Store(true) // its close looks what it has become
	}
	a, entered, err := l.setAttr(n, ch)
	if err != nil && mustEnter(err) {
		entered, err = l.enterOr(ctx, n, err)
	}
	if entered {
		return l.SetAttr(ctx, c, asked, f, ch)
	}
	if err == nil && ch.Size != nil && f == nil {
		err = l.sort(ctx, n)
	}
	a.ID = asked
	return a, err
}

// setAttr changes attributes of a dropping; entered is true, and nothing changed, when it is none
// any more.
func (l *Library) setAttr(n *node, ch vfs.AttrChange) (a vfs.Attr, entered bool, err error) {
	n.io.Lock()
	defer n.io.Unlock()
	if n.entered() != 0 {
		return vfs.Attr{}, true, nil
	}
	if ch.Size != nil {
		if err := l.truncate(n, *ch.Size); err != nil {
			return vfs.Attr{}, false, err
		}
	}
	if err := n.own(ch); err != nil {
		return vfs.Attr{}, false, err
	}
	if ch.Atime != nil || ch.Mtime != nil {
		times := []unix.Timespec{spec(ch.Atime), spec(ch.Mtime)}
		if err := unix.UtimesNanoAt(int(n.f.Fd()), "", times, unix.AT_EMPTY_PATH); err != nil {
			return vfs.Attr{}, false, remote.OSError("set the times of a local file", quoted(n.f.Name()), err)
		}
	}
	a, err = n.attr()
	return a, false, err
}

func spec(t *vfs.Time) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
}

// own changes owner and mode. io is held.
func (n *node) own(ch vfs.AttrChange) error {
	if ch.Mode == nil && ch.UID == nil && ch.GID == nil {
		return nil
	}
	const op = "set the owner of a local file"
	fd := int(n.f.Fd())
	r, err := n.record()
	if err != nil {
		return remote.OSError(op, quoted(n.f.Name()), err)
	}
	if ch.UID != nil {
		r.uid = *ch.UID
	}
	if ch.GID != nil {
		r.gid = *ch.GID
	}
	if ch.Mode != nil {
		r.mode = *ch.Mode & permissions
	} else {
		r.mode = unprivileged(r.mode)
	}
	if err := writeRecord(fd, r); err != nil {
		return remote.OSError(op, quoted(n.f.Name()), err)
	}
	return nil
}

// unprivileged is a mode without what a change of owner, or a write by somebody else, clears:
// set-user-id, and set-group-id where the group may execute.
func unprivileged(mode uint32) uint32 {
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	return mode &^ unix.S_ISUID
}

// userSpace is the only space of attributes that a dropping has, beside its access control list.
// The kernel would act on others, or keep them from a daemon that is not root.
const userSpace = "user."

func ordinary(name string) bool {
	return strings.HasPrefix(name, userSpace) && name != recordName && name != listName
}

// Who neither owns a dropping nor is root may have it take this much in attributes: ext4 keeps 4
// KiB of them in all.
const (
	othersXattrs     = 32
	othersXattrBytes = 2 << 10
)

// GetXattr reads an attribute of a user; every other is not set.
func (l *Library) GetXattr(ctx context.Context, id vfs.ID, name string) ([]byte, error) {
	if id = l.at(id); !local(id) {
		return l.inner.GetXattr(ctx, id, name)
	}
	const op = "get an attribute of a local file"
	if !ordinary(name) && name != acl.Access || !vfs.Namespaced(name) {
		return nil, absent(op, name)
	}
	n, err := l.pin(op, id)
	if err != nil {
		return nil, err
	}
	defer l.unpin(n)
	if name == acl.Access {
		r, err := n.record()
		switch {
		case err != nil:
			return nil, remote.OSError(op, quoted(name), err)
		case r.list == nil:
			return nil, absent(op, name)
		}
		return r.list.Bytes(), nil
	}
	return n.xattr(name)
}

// xattr reads an attribute. The node is pinned.
func (n *node) xattr(name string) ([]byte, error) {
	value, err := sized(func(b []byte) (int, error) { return unix.Fgetxattr(int(n.f.Fd()), name, b) })
	if err != nil {
		return nil, remote.OSError("get an attribute of a local file", quoted(name), err)
	}
	return value, nil
}

// absent is about an attribute that is not set, or that no file of a library can have.
func absent(op, name string) error {
	if !vfs.Namespaced(name) {
		return remote.E(op, quoted(name), remote.Unsupported, nil)
	}
	return remote.E(op, quoted(name), remote.NoAttribute, nil)
}

// record reads the node's record. The node is pinned.
func (n *node) record() (record, error) {
	fd := int(n.f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return record{}, err
	}
	return readRecord(fd, &st)
}

// sized calls get with larger and larger buffers until what it gives fits.
func sized(get func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 16 {
		b := make([]byte, size)
		n, err := get(b)
		if err == nil {
			return b[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) || size > 1<<20 { // XATTR_SIZE_MAX is 64 KiB
			return nil, err
		}
	}
}

// SetXattr sets an attribute. Permission: it is the Library's own; Unsupported: it is none of a
// user; NoSpace: the local disk takes no more of them, which for ext4 is 4 KiB a file.
func (l *Library) SetXattr(
	ctx context.Context, c vfs.Caller, id vfs.ID, name string, value []byte, flags uint32,
) error {
	if id = l.at(id); !local(id) {
		return l.inner.SetXattr(ctx, c, id, name, value, flags)
	}
	const op = "set an attribute of a local file"
	var list acl.List
	switch {
	case flags&^(vfs.XattrCreate|vfs.XattrReplace|vfs.XattrClearSetgid) != 0:
		return remote.E(op, quoted(name), remote.Invalid, nil)
	case name == recordName, name == listName, name == acl.Default:
		return remote.E(op, quoted(name), remote.Permission, nil)
	case name == acl.Access:
		var err error
		if list, err = acl.Parse(value); err != nil {
			return remote.E(op, quoted(name), remote.Invalid, err)
		}
	case !ordinary(name), !vfs.Namespaced(name):
		return remote.E(op, quoted(name), remote.Unsupported, nil)
	}
	entered, err := l.changeXattr(op, id, name, func(n *node, fd int) error {
		if list != nil {
			return n.setList(list, flags)
		}
		if err := n.room(c, op, name, len(value)); err != nil {
			return err
		}
		return unix.Fsetxattr(fd, name, value, int(flags))
	})
	if entered {
		return l.SetXattr(ctx, c, id, name, value, flags)
	}
	return err
}

// setList gives a dropping an access control list, or with nil takes it away. io is held.
func (n *node) setList(list acl.List, flags uint32) error {
	r, err := n.record()
	if err != nil {
		return err
	}
	r.list = list
	if list != nil {
		if r.mode = list.Mode(r.mode); flags&vfs.XattrClearSetgid != 0 {
			r.mode &^= unix.S_ISGID
		}
		if list.Minimal() {
			r.list = nil
		}
	}
	return writeList(int(n.f.Fd()), r)
}

// room fails with NoSpace when who neither owns the dropping nor is root would have it take more
// than his part in attributes.
func (n *node) room(c vfs.Caller, op, name string, size int) error {
	if c.UID == 0 {
		return nil
	}
	r, err := n.record()
	if err != nil || r.uid == c.UID {
		return err
	}
	names, err := n.xattrs()
	if err != nil {
		return err
	}
	count, bytes := 1, len(name)+size
	for _, other := range names {
		if other == name {
			continue
		}
		have, err := unix.Fgetxattr(int(n.f.Fd()), other, nil)
		if err != nil {
			return err
		}
		count, bytes = count+1, bytes+len(other)+have
	}
	if count > othersXattrs || bytes > othersXattrBytes {
		return remote.E(
			op,
			quoted(name),
			remote.NoSpace,
			fmt.Errorf(
				"at most %d attributes of %d bytes in all for others than the file's owner", othersXattrs,
				othersXattrBytes,
			),
		)
	}
	return nil
}

// RemoveXattr removes an attribute.
func (l *Library) RemoveXattr(ctx context.Context, c vfs.Caller, id vfs.ID, name string) error {
	if id = l.at(id); !local(id) {
		return l.inner.RemoveXattr(ctx, c, id, name)
	}
	const op = "remove an attribute of a local file"
	switch {
	case name == acl.Access:
	case name == acl.Default:
		return nil
	case !ordinary(name), !vfs.Namespaced(name):
		return absent(op, name)
	}
	entered, err := l.changeXattr(op, id, name, func(n *node, fd int) error {
		if name == acl.Access {
			return n.setList(nil, 0)
		}
		return unix.Fremovexattr(fd, name)
	})
	if entered {
		return l.RemoveXattr(ctx, c, id, name)
	}
	return err
}

// changeXattr runs change on a dropping, with io held; entered is true, and change did not run,
// when it is none any more. An error that change gives words to stays as it is.
func (l *Library) changeXattr(op string, id vfs.ID, name string,
	change func(n *node, fd int) error) (entered bool, err error) {
	if err := l.mayChange(op, name); err != nil {
		return false, err
	}
	n, err := l.pin(op, id)
	if err != nil {
		return false, err
	}
	defer l.unpin(n)
	n.io.Lock()
	defer n.io.Unlock()
	if n.entered() != 0 {
		return true, nil
	}
	err = change(n, int(n.f.Fd()))
	if said := new(remote.Error); err == nil || errors.As(err, &said) {
		return false, err
	}
	return false, remote.OSError(op, quoted(name), err)
}

// ListXattr names the attributes.
func (l *Library) ListXattr(ctx context.Context, id vfs.ID) ([]string, error) {
	if id = l.at(id); !local(id) {
		return l.inner.ListXattr(ctx, id)
	}
	n, err := l.pin("list the attributes of a local file", id)
	if err != nil {
		return nil, err
	}
	defer l.unpin(n)
	names, err := n.xattrs()
	if err != nil {
		return nil, err
	}
	r, err := n.record()
	if err != nil {
		return nil, remote.OSError("list the attributes of a local file", "", err)
	}
	if r.list != nil {
		names = append(names, acl.Access)
	}
	return names, nil
}

// xattrs lists the attributes that programs see, but for the access control list. The node is
// pinned.
func (n *node) xattrs() (names []string, err error) {
	b, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(int(n.f.Fd()), b) })
	if err != nil {
		return nil, remote.OSError("list the attributes of a local file", "", err)
	}
	for name := range strings.SplitSeq(string(b), "\x00") {
		if ordinary(name) {
			names = append(names, name)
		}
	}
	return names, nil
}
