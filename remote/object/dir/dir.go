// Package dir is object storage in a local directory: a key is the path of a file under the root. A
// write that returned nil is on the disk: the bytes, the name, and the folders above that this
// process has not synced before.
//
// Everything is written to a file in the private folder .mediafs-tmp first and then takes its name
// in one step, so that readers see a whole object or none, and so does the next process after a
// crash. What lies in .mediafs-tmp is never listed. Folders are made as needed and never removed:
// another process may be about to put a file there.
//
// The package never leaves the root through a symbolic link, starts no goroutine, and changes no
// object in place.
package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

const (
	// tempFolder holds files being written and multipart uploads.
	tempFolder = ".mediafs-tmp"

	// staleTemp is how long a file in tempFolder may go without a write before Open takes it for
	// what a crash left. It is far longer than the slowest single write to a file and far shorter
	// than anybody's patience with a full disk.
	staleTemp = 24 * time.Hour

	putPrefix    = "put-" // a file being written
	uploadPrefix = "up-"  // folder of a multipart upload

	// unlimited is what the sizes are limited to: no file system of today holds a larger file.
	unlimited = 1 << 50
)

// Options of a Bucket; the zero value works.
type Options struct {
	Create bool             // make the root folder (not its parents) when it is missing
	Now    func() time.Time // the store's clock; nil: time.Now
}

// A Bucket is a directory. Several processes may use one directory at the same time.
type Bucket struct {
	path string
	root *os.Root
	now  func() time.Time
	dev  uint64 // device of the root

	mu struct {
		sync.Mutex
		synced map[string]bool // folders whose own name is known to be on the disk
		last   time.Time       // newest modification time that was given out
	}
}

var (
	_ object.Bucket = (*Bucket)(nil)
	_ object.Mover  = (*Bucket)(nil)
)

// Open opens the directory at path as a bucket, and removes files in its private folder that nobody
// has written for 24 hours. Errors: NotExist, NotDir, Permission.
func Open(path string, opt Options) (*Bucket, error) {
	const op = "open directory"
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, convert(op, path, err)
	}
	if opt.Create {
		if err := os.Mkdir(path, 0o700); err == nil {
			err = syncPath(filepath.Dir(path))
			if err != nil {
				return nil, convert(op, path, err)
			}
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, convert(op, path, err)
		}
	}
	if fi, err := os.Stat(path); err == nil && !fi.IsDir() {
		return nil, remote.E(op, path, remote.NotDir, nil)
	}
	root, err := os.OpenRoot(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, remote.E(op, path, remote.NotExist, nil).
			WithHint("make the folder, or mount the disk that it is on")
	case err != nil:
		return nil, convert(op, path, err)
	}
	b := &Bucket{path: path, root: root, now: opt.Now}
	if b.now == nil {
		b.now = time.Now
	}
	b.mu.synced = map[string]bool{".": true}
	st, err := b.statRoot()
	if err != nil {
		root.Close()
		return nil, convert(op, path, err)
	}
	b.dev = st.Dev
	b.removeStale()
	return b, nil
}

func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (b *Bucket) statRoot() (*unix.Stat_t, error) {
	d, err := b.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	st := new(unix.Stat_t)
	if err := unix.Fstat(int(d.Fd()), st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	return st, nil
}

// removeStale removes what crashed writers left. It is housekeeping: what cannot be removed stays.
// A multipart upload is not touched, it is meant to outlive a process; the folder of one that never
// began or has ended is.
func (b *Bucket) removeStale() {
	entries, err := b.readFolder(tempFolder)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := path.Join(tempFolder, e.Name())
		st, err := e.Info()
		if err != nil || b.now().Sub(st.ModTime()) <= staleTemp {
			continue
		}
		switch {
		case strings.HasPrefix(e.Name(), putPrefix):
			b.root.Remove(name)
		case strings.HasPrefix(e.Name(), uploadPrefix):
			if _, err := b.root.Lstat(path.Join(name, aboutFile)); errors.Is(err, fs.ErrNotExist) {
				b.root.RemoveAll(name)
			}
		}
	}
}

// checkKey refuses keys that are no path of ours.
func checkKey(op, key string) error {
	if err := object.CheckKey(op, key); err != nil {
		return err
	}
	if first, _, _ := strings.Cut(key, "/"); first == tempFolder {
		return remote.E(op, key, remote.Invalid, errors.New(tempFolder+" is the bucket's own folder"))
	}
	return nil
}

// begin checks what every method checks first.
func begin(ctx context.Context, op, key string) error {
	if err := checkKey(op, key); err != nil {
		return err
	}
	return object.CheckContext(ctx, op, key)
}

// fail gives err our form. A file that is not there is NotExist only while the root itself is still
// there: a directory that somebody removed has lost its objects, but it has not said so of this
// one.
func (b *Bucket) fail(op, key string, err error) error {
	e := convert(op, key, err)
	if remote.KindOf(e) == remote.NotExist {
		if st, serr := b.statRoot(); serr != nil || st.Nlink == 0 {
			return remote.E(op, key, remote.Unavailable, errors.New("the directory "+b.path+" was removed"))
		}
	}
	if remote.KindOf(e) == remote.Other {
		// os.Root has no name for its refusal.
		if fi, lerr := b.root.Lstat(key); lerr == nil && fi.Mode().Type() == fs.ModeSymlink {
			return remote.E(
				op, key, remote.NotExist,
				errors.New("what has this name is a symbolic link that leads out of the store"),
			)
		}
	}
	return e
}

// convert is the one place where errors of the operating system get a kind.
func convert(op, key string, err error) error {
	var e *remote.Error
	if errors.As(err, &e) {
		if e.Path == key {
			return err
		}
		return remote.E(op, key, e.Kind, err)
	}
	kind := remote.KindOf(err)
	var no unix.Errno
	if errors.As(err, &no) {
		switch no {
		case unix.ENOTDIR: // a part of the key is the key of an object
			kind = remote.NotExist
		case unix.ENOTEMPTY:
			kind = remote.Exist
		case unix.EXDEV:
			kind = remote.Unsupported
		case unix.ELOOP:
			kind = remote.Invalid
		case unix.EIO, unix.ESTALE, unix.ENODEV, unix.ENXIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ETIMEDOUT:
			kind = remote.Unavailable
		default:
			kind = remote.KindOfOS(no)
		}
	}
	if kind == remote.NoSpace {
		return remote.E(op, key, kind, err).WithHint("free space on the disk that the store is on")
	}
	return remote.E(op, key, kind, err)
}

// stamp is the modification time of the next object. It never repeats within a process and has
// nanoseconds, where the kernel's own would be a clock tick of milliseconds: the etag rests on it.
func (b *Bucket) stamp() time.Time {
	t := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !t.After(b.mu.last) && b.mu.last.Sub(t) < time.Second {
		t = b.mu.last.Add(1)
	}
	b.mu.last = t
	return t
}

// Facts are read anew at every call.
func (b *Bucket) Facts() object.Facts {
	f := object.Facts{
		URL: "file://" + b.path, Local: true,
		MinPart: 1, MaxPart: unlimited, MaxParts: 10000, MaxPut: unlimited,
	}
	d, err := b.root.Open(".")
	if err != nil {
		return f
	}
	defer d.Close()
	var st unix.Statfs_t
	if unix.Fstatfs(int(d.Fd()), &st) == nil {
		f.Capacity = int64(st.Blocks) * st.Bsize
		f.Free = int64(st.Bavail) * st.Bsize
	}
	var own unix.Stat_t
	if unix.Fstat(int(d.Fd()), &own) == nil {
		f.Device = own.Dev
	}
	return f
}

// Close frees the directory. Readers that are open stay usable.
func (b *Bucket) Close() error {
	if err := b.root.Close(); err != nil {
		return convert("close directory", b.path, err)
	}
	return nil
}
