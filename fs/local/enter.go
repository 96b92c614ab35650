package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A dropping enters the inner library when it loses the name that keeps it here, gets a second
// name, or turns out to be something else: bytes, size, times, owner, mode and user attributes go
// along, and everybody sees all of it or the dropping. A crash on the way leaves the dropping, or
// both.
//
// Who has it open goes on with the file of the inner library, and so does the kernel, which knows
// it by the id that it had: see ids.

// enter brings a dropping in under its own name. entered is false for one that has none any more.
// The node is pinned; the caller has no claim on its folder.
func (l *Library) enter(ctx context.Context, n *node) (entered bool, err error) {
	for {
		l.mu.Lock()
		folder, name := n.folder, n.name
		l.mu.Unlock()
		if n.entered() != 0 {
			return true, nil
		}
		if name == "" {
			return false, nil
		}
		release, err := l.claims.take(ctx, "move a local file into the library", folder)
		if err != nil {
			return false, err
		}
		l.mu.Lock()
		same := n.folder == folder && n.name == name
		l.mu.Unlock()
		if same {
			err = l.enterClaimed(ctx, n, folder, name)
		}
		release()
		if same {
			return err == nil, err
		}
	}
}

// enterOr is enter, with the reason why the dropping cannot stay one, which is the error when it
// cannot enter either.
func (l *Library) enterOr(ctx context.Context, n *node, why error) (entered bool, err error) {
	if entered, err = l.enter(ctx, n); !entered && err == nil {
		err = why
	}
	return entered, err
}

// mustEnter reports whether the library has room for what this machine refuses to keep.
func mustEnter(err error) bool {
	kind := remote.KindOf(err)
	return kind == remote.TooLarge || kind == remote.NoSpace
}

// enterClaimed is enter for a caller that has the claim on the folder.
func (l *Library) enterClaimed(ctx context.Context, n *node, folder vfs.ID, name string) error {
	n.io.Lock()
	defer n.io.Unlock()
	if n.entered() != 0 {
		return nil
	}
	return l.bring(ctx, n, folder, name, vfs.RenameNoReplace)
}

// bring copies a dropping into the inner library, gives the copy its name there, and takes the
// dropping away. flags are Rename's: what has the name is replaced or not. io is held, and claims
// on the folders of the old name and the new.
func (l *Library) bring(ctx context.Context, n *node, folder vfs.ID, name string, flags uint32) error {
	const op = "move a local file into the library"
	if err := l.mayChange(op, name); err != nil {
		return err
	}
	a, err := n.attr()
	if err != nil {
		return err
	}
	owner := vfs.Caller{UID: a.UID, GID: a.GID}
	// An empty file needs no other name first.
	first := name
	if a.Size > 0 || flags != vfs.RenameNoReplace {
		first = ".mediafs-" + rand.Text()
	}
	made, f, err := l.inner.Create(ctx, owner, folder, first, a.Mode&permissions, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	err = l.fill(ctx, n, f, made.ID, a)
	if err == nil && a.Size > 0 {
		err = f.Flush(ctx, owner)
	}
	f.Release()
	if err == nil && first != name {
		err = l.inner.Rename(ctx, owner, folder, first, folder, name, flags)
	}
	if err != nil {
		undo := l.inner.Unlink(context.WithoutCancel(ctx), owner, folder, first)
		l.inner.Forget(made.ID, 1)
		return errors.Join(err, undo)
	}
	l.mu.Lock()
	n.inner.Store(made.ID) // with Create's reference
	l.entered[made.ID] = n
	l.moved.Add(1)
	oldFolder, oldName := n.folder, n.name
	l.mu.Unlock()
	return l.remove(oldFolder, oldName)
}

// fill makes a new file of the inner library what a dropping is. Nobody else knows the file yet, or
// it is empty.
func (l *Library) fill(ctx context.Context, n *node, f vfs.File, id vfs.ID, a vfs.Attr) error {
	buf := make([]byte, min(a.Size, 1<<20))
	for off := int64(0); off < a.Size; {
		got, err := n.f.ReadAt(buf[:min(int64(len(buf)), a.Size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return remote.OSError("read a local file", quoted(n.f.Name()), err)
		}
		if got == 0 {
			break
		}
		if !allZero(buf[:got]) { // a hole stays one
			if err := writeAll(ctx, f, buf[:got], off); err != nil {
				return err
			}
		}
		off += int64(got)
	}
	names, err := n.xattrs()
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := n.xattr(name)
		if err != nil {
			return err
		}
		if err := l.inner.SetXattr(ctx, vfs.Caller{}, id, name, value, 0); err != nil {
			return err
		}
	}
	r, err := n.record()
	if err != nil {
		return remote.OSError("read a local file", quoted(n.f.Name()), err)
	}
	if r.list != nil {
		err = l.inner.SetXattr(ctx, vfs.Caller{}, id, acl.Access, r.list.Bytes(), 0)
	} else {
		err = l.inner.RemoveXattr(ctx, vfs.Caller{}, id, acl.Access) // what it got from its folder
	}
	if err != nil {
		return err
	}
	mode := a.Mode & permissions
	ch := vfs.AttrChange{Mode: &mode, UID: &a.UID, GID: &a.GID, Atime: &a.Atime, Mtime: &a.Mtime}
	if a.Size > 0 {
		ch.Size = &a.Size
	}
	_, err = l.inner.SetAttr(ctx, vfs.Caller{}, id, f, ch)
	return err
}

// writeAll writes until all of p is written: a Write may end early, and the next one says why.
func writeAll(ctx context.Context, f vfs.File, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := f.Write(ctx, p, off)
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// fresh is how long a file of the inner library may exist and still leave it for this machine: a
// little less than deleted media must have existed to be kept in the trash, so that none is in both
// places.
const fresh = 4 * 60 // seconds

// leave moves a file of the inner library to a name that keeps it on this machine: what a program
// writes under a temporary name first. left is false where it stays in the library, under any name:
// one that is older, has another name, is open for writing, is too large, or is no AppleDouble
// file. The caller has claims on both folders, and no other file of the inner library has the new
// name; a dropping that has it is replaced. Afterwards the caller calls forgotten.
//
// A crash on the way leaves the file under both names.
func (l *Library) leave(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, a vfs.Attr, to vfs.ID, newName string,
) (left bool, err error) {
	now := l.opt.Now().Unix()
	switch {
	case l.opt.OpenForWriting == nil || l.readOnly:
		return false, nil
	case a.Mode&unix.S_IFMT != unix.S_IFREG || a.Nlink != 1 || a.Size > l.max:
		return false, nil
	case a.Btime.Sec < now-fresh || a.Btime.Sec > now:
		return false, nil
	}
	// Opens by id wait until it is known what they open.
	release, ok := l.opens.stop(a.ID)
	if !ok {
		return false, nil
	}
	n, err := l.copyUnopened(ctx, c, a, to, newName)
	release()
	if n == nil || err != nil {
		return false, err
	}
	// What the store has of it goes with its last name there: by then this disk must have it under
	// the new one.
	if err := l.syncFolder(to); err != nil {
		return true, err
	}
	return true, l.inner.Unlink(ctx, c, parent, name)
}

// copyUnopened makes a dropping of a file of the inner library and has what the kernel knows by
// that one's id mean it; nil where the file stays. No open of it by id begins meanwhile.
func (l *Library) copyUnopened(
	ctx context.Context, c vfs.Caller, a vfs.Attr, to vfs.ID, newName string,
) (*node, error) {
	if l.opt.OpenForWriting(a.ID) {
		return nil, nil
	}
	f, err := l.inner.Open(ctx, c, a.ID, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	head := make([]byte, len(appleDouble))
	got, err := f.Read(ctx, head, 0)
	if err != nil {
		return nil, err
	}
	if !stays(newName, head[:got]) {
		return nil, nil
	}
	n, err := l.copyOut(ctx, f, a, to, newName)
	if err != nil {
		if kind := remote.KindOf(err); kind == remote.NoSpace || kind == remote.TooLarge || kind == remote.Conflict {
			return nil, nil
		}
		return nil, err
	}
	l.mu.Lock()
	l.left[a.ID] = n
	l.moved.Add(1)
	n.lookups++ // by the kernel's reference on the id that it had
	n.pins--
	l.mu.Unlock()
	return n, nil
}

// copyOut makes a dropping of a file of the inner library, with one pin.
func (l *Library) copyOut(ctx context.Context, f vfs.File, a vfs.Attr, to vfs.ID, newName string) (*node, error) {
	names, err := l.inner.ListXattr(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]byte)
	for _, name := range names {
		if !ordinary(name) {
			continue
		}
		if values[name], err = l.inner.GetXattr(ctx, a.ID, name); err != nil {
			return nil, err
		}
	}
	if _, err := l.folder(ctx, "rename", to, newName); err != nil {
		return nil, err
	}
	if err := l.disk.mayGrow(a.Size); err != nil {
		return nil, err
	}
	r := record{uid: a.UID, gid: a.GID, mode: a.Mode & permissions}
	switch value, err := l.inner.GetXattr(ctx, a.ID, acl.Access); {
	case err == nil:
		if r.list, err = acl.Parse(value); err != nil {
			return nil, remote.E("rename", quoted(newName), remote.Corrupt, err)
		}
	case remote.KindOf(err) != remote.NoAttribute:
		return nil, err
	}
	return l.add(to, newName, r, func(out *os.File) error {
		buf := make([]byte, min(a.Size, 1<<20))
		for off := int64(0); off < a.Size; {
			got, err := f.Read(ctx, buf, off)
			if err != nil {
				return err
			}
			if got == 0 {
				break
			}
			if _, err := out.WriteAt(buf[:got], off); err != nil {
				return err
			}
			off += int64(got)
		}
		for name, value := range values {
			if err := unix.Fsetxattr(int(out.Fd()), name, value, 0); err != nil {
				return err
			}
		}
		// What another machine has written or changed meanwhile is in the copy in part.
		now, err := l.inner.GetAttr(ctx, a.ID)
		if err == nil && (now.Size != a.Size || now.Mtime != a.Mtime || now.Ctime != a.Ctime) {
			err = remote.E(
				"rename", quoted(newName), remote.Conflict, errors.New("the file changed while it was copied"),
			)
		}
		if err != nil {
			return err
		}
		times := []unix.Timespec{spec(&a.Atime), spec(&a.Mtime)}
		if err := unix.UtimesNanoAt(int(out.Fd()), "", times, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
		return out.Sync() // its bytes may have been in the store
	})
}
