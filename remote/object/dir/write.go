package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

// tries bounds how often a folder is made again that somebody else removes at the same time.
const tries = 10

// Put writes and syncs a file in the private folder and then gives it its name.
func (b *Bucket) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	const op = "put object"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	if opt.IfAbsent {
		// Spares the writing; what decides is the naming below.
		if _, err := b.root.Lstat(key); err == nil {
			return object.Info{}, remote.E(op, key, remote.Exist, nil)
		}
	}
	t, err := b.newTemp(op, key)
	if err != nil {
		return object.Info{}, err
	}
	defer t.discard()
	if err := object.Copy(ctx, op, key, t.f, body, size); err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	return b.publish(op, key, t, opt.IfAbsent)
}

// temp is a file in the private folder that has no name of its own yet.
type temp struct {
	b    *Bucket
	f    *os.File
	path string // under the root; empty once it has its real name
}

func (b *Bucket) newTemp(op, key string) (*temp, error) {
	p := path.Join(tempFolder, putPrefix+rand.Text())
	for range tries {
		f, err := b.root.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			err = b.makeFolders(tempFolder)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, b.fail(op, key, err)
		}
		return &temp{b: b, f: f, path: p}, nil
	}
	return nil, remote.E(
		op, key, remote.Unavailable, errors.New("the folder "+tempFolder+" vanishes as often as it is made"),
	)
}

// openDir opens an existing folder, and nothing else: a fifo of that name would hold us up.
func (b *Bucket) openDir(name string) (*os.File, error) {
	return b.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// discard closes the file, and removes it if it was not given a name.
func (t *temp) discard() {
	t.f.Close()
	if t.path != "" {
		t.b.root.Remove(t.path)
	}
}

// publish stamps and syncs t and makes it the object key: the last step of every write.
func (b *Bucket) publish(op, key string, t *temp, ifAbsent bool) (object.Info, error) {
	if err := b.seal(t.f); err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	info, err := b.statFile(op, key, t.f)
	if err != nil {
		return object.Info{}, err
	}
	from, err := b.openDir(path.Dir(t.path))
	if err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	defer from.Close()
	moved, err := b.rename(int(from.Fd()), path.Base(t.path), key, ifAbsent)
	if moved {
		t.path = ""
	}
	if err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	return info, nil
}

// seal gives a file its modification time and syncs it.
func (b *Bucket) seal(f *os.File) error {
	if err := setTime(f, b.stamp()); err != nil {
		return err
	}
	return f.Sync()
}

// setTime sets the modification time of an open file, whatever its name is by now.
func setTime(f *os.File, t time.Time) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(t.UnixNano())}
	if err := unix.UtimesNanoAt(int(f.Fd()), "", times, unix.AT_EMPTY_PATH); err == nil ||
		!errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return err
	}
	// Kernels before 5.8 know no empty path here.
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0)
}

// rename moves a synced file to key and syncs the folder. moved reports whether the file has its
// new name, which it may have in spite of an error: the write is then in doubt.
func (b *Bucket) rename(fromDir int, from, key string, ifAbsent bool) (moved bool, err error) {
	folder, base := path.Dir(key), path.Base(key)
	for range tries {
		var d *os.File
		if d, err = b.openFolder(folder); err != nil {
			return false, err
		}
		err = move(fromDir, from, int(d.Fd()), base, ifAbsent)
		if errors.Is(err, unix.ENOENT) {
			d.Close()
			b.forget(folder)
			continue
		}
		if err != nil {
			d.Close()
			if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) {
				err = remote.E("rename", key, remote.Invalid, errors.New("there are objects below this key"))
			}
			return false, err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return true, remote.E("sync folder", folder, remote.Unavailable, err)
		}
		return true, nil
	}
	return false, remote.E(
		"rename", key, remote.Unavailable, fmt.Errorf("the folder vanishes as often as it is made: %w", err),
	)
}

// move renames a file. With ifAbsent it fails with EEXIST when the name is taken; that is atomic,
// by the file system's own rename without replacement, or where it has none by a second link.
func move(fromDir int, from string, toDir int, to string, ifAbsent bool) error {
	if !ifAbsent {
		return unix.Renameat(fromDir, from, toDir, to)
	}
	err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := unix.Linkat(fromDir, from, toDir, to, 0); err != nil {
		if errors.Is(err, unix.EPERM) {
			return unix.EOPNOTSUPP // a file system without links
		}
		return err
	}
	return unix.Unlinkat(fromDir, from, 0)
}

// openFolder opens a folder for what will be put in it, and makes it when it is missing. When it
// returns, the folder and those above are on the disk.
func (b *Bucket) openFolder(name string) (*os.File, error) {
	b.mu.Lock()
	known := b.mu.synced[name]
	b.mu.Unlock()
	if known {
		d, err := b.openDir(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
		b.forget(name)
	}
	if err := b.makeFolders(name); err != nil {
		return nil, err
	}
	return b.openDir(name)
}

// makeFolders makes name and what is missing above it, and syncs every folder on the way that this
// process has not synced: one that is there already may have been made a moment ago by another
// process.
func (b *Bucket) makeFolders(name string) error {
	above := "."
	for seg := range strings.SplitSeq(name, "/") {
		here := path.Join(above, seg)
		if err := b.makeFolder(above, here); err != nil {
			return err
		}
		above = here
	}
	return nil
}

func (b *Bucket) makeFolder(above, here string) error {
	err := b.root.Mkdir(here, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	b.mu.Lock()
	known := err != nil && b.mu.synced[here]
	b.mu.Unlock()
	if known {
		return nil
	}
	if err != nil {
		fi, serr := b.root.Stat(here)
		if serr == nil && !fi.IsDir() {
			return remote.E("make folder", here, remote.Invalid, errors.New("an object has the name of this folder"))
		}
	}
	d, err := b.openDir(above)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return err
	}
	b.mu.Lock()
	b.mu.synced[here] = true
	b.mu.Unlock()
	return nil
}

// forget drops what is known of a folder and of all above it.
func (b *Bucket) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ; name != "."; name = path.Dir(name) {
		delete(b.mu.synced, name)
	}
}

// Delete removes files and syncs each folder they were in once.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	const op = "delete object"
	for _, key := range keys {
		if err := checkKey(op, key); err != nil {
			return err
		}
	}
	folders := map[string]string{} // folder → a key in it
	for _, key := range keys {
		if err := object.CheckContext(ctx, op, key); err != nil {
			return err
		}
		err := b.remove(key)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			if err := b.fail(op, key, unix.ENOENT); remote.KindOf(err) != remote.NotExist {
				return err
			}
			continue
		}
		if err != nil {
			return b.fail(op, key, err)
		}
		folders[path.Dir(key)] = key
	}
	for folder, key := range folders {
		if err := b.syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return b.fail(op, key, err)
		}
	}
	return nil
}

// remove unlinks a file, and never a folder.
func (b *Bucket) remove(key string) error {
	d, err := b.openDir(path.Dir(key))
	if err != nil {
		return err
	}
	defer d.Close()
	err = unix.Unlinkat(int(d.Fd()), path.Base(key), 0)
	if errors.Is(err, unix.EISDIR) {
		return unix.ENOENT // a folder is no object
	}
	return err
}

func (b *Bucket) syncFolder(name string) error {
	d, err := b.openDir(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// PutFile gives a finished local file its place in the bucket by renaming it.
func (b *Bucket) PutFile(ctx context.Context, key, file string) (object.Info, error) {
	const op = "move file to object"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	// Write access is not needed for fsync; O_NOFOLLOW: a link is not the file.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return object.Info{}, remote.E(op, file, remote.Other, err) // of this machine: NotExist is about objects
	}
	if err != nil {
		return object.Info{}, convert(op, file, err)
	}
	defer f.Close()
	var before unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return object.Info{}, convert(op, file, err)
	}
	switch {
	case before.Mode&unix.S_IFMT != unix.S_IFREG:
		return object.Info{}, remote.E(op, file, remote.Invalid, errors.New("it is no regular file"))
	case before.Dev != b.dev:
		return object.Info{}, remote.E(op, key, remote.Unsupported, errors.New(file+" is on another file system"))
	}
	if err := b.seal(f); err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	info, err := b.statFile(op, key, f)
	if err != nil {
		return object.Info{}, err
	}
	moved, err := b.rename(unix.AT_FDCWD, file, key, true)
	if err != nil {
		if !moved {
			setTime(f, timeOf(before.Mtim))
		}
		return object.Info{}, b.fail(op, key, err)
	}
	if err := f.Chmod(0o600); err != nil {
		return object.Info{}, remote.E(op, key, remote.Unavailable, err)
	}
	return info, nil
}
