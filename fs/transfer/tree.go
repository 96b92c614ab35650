package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// copiesAtOnce is how many files are copied at the same time: each close waits for the store, and
// those of small files share commits.
const copiesAtOnce = 16

// partSuffix ends the name of a file that is being copied.
const partSuffix = ".mediafs-part"

// TreeOptions say what is copied. From and To are needed.
type TreeOptions struct {
	From   string // local folder
	To     string // folder of a mount, made when it is not there; what is in From comes right into it
	Verify bool   // read both sides of what was copied again and compare their SHA-256
	DryRun bool   // change nothing

	Progress func(TreeSummary) // called from one goroutine at a time; must not block; may be nil
}

// A TreeSummary says what a copy did.
type TreeSummary struct {
	Copied    int64     `json:"copied"` // files
	Bytes     int64     `json:"bytes"`  // of them, holes not counted
	Unchanged int64     `json:"unchanged"`
	Folders   int64     `json:"folders"` // made
	Links     int64     `json:"links"`   // symbolic and further hard links made
	Verified  int64     `json:"verified"`
	Failed    int64     `json:"failed"`
	Examples  []Example `json:"examples,omitempty"`
}

// CopyTree copies a local folder through a mount with ordinary calls, so that a copy is what any
// program would have made: times, permissions, owners where that is allowed, attributes, symbolic
// and hard links, holes, fifos and devices. A file that is there with the same size and
// modification time is left alone, so a copy that was broken off goes on; one that is under way has
// another name until it is whole. What cannot be copied is told in the summary, and the rest goes
// on.
func CopyTree(ctx context.Context, opt TreeOptions) (TreeSummary, error) {
	const op = "copy a tree"
	if info, err := os.Stat(opt.From); err != nil {
		return TreeSummary{}, remote.OSError(op, opt.From, err)
	} else if !info.IsDir() {
		return TreeSummary{}, remote.E(op, opt.From, remote.NotDir, nil)
	}
	c := &treeCopy{opt: opt, linked: make(map[fileID]string)}
	if !opt.DryRun {
		if err := os.MkdirAll(opt.To, 0o755); err != nil {
			return TreeSummary{}, remote.OSError(op, opt.To, err)
		}
	}
	c.folder(ctx, "")
	// Of several names of one file the first is copied; the others can be made only when it is
	// there.
	for _, later := range c.links {
		c.link(later.name, later.first)
	}
	// Times of folders come last, since what is made in one changes them; the deepest first.
	for _, name := range slices.Backward(c.folders) {
		c.finishFolder(name)
	}
	return c.sum, ctx.Err()
}

type fileID struct{ dev, ino uint64 }

type laterLink struct{ name, first string }

type treeCopy struct {
	opt     TreeOptions
	linked  map[fileID]string // files with several names → the first that was met
	links   []laterLink
	folders []string // in the order they were met

	mu  sync.Mutex
	sum TreeSummary // guarded by mu
}

func (c *treeCopy) count(add func(*TreeSummary)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.sum)
	if c.opt.Progress != nil {
		c.opt.Progress(c.sum)
	}
}

func (c *treeCopy) failed(name string, err error) {
	c.count(func(s *TreeSummary) {
		s.Failed++
		if len(s.Examples) < maxExamples {
			s.Examples = append(s.Examples, Example{strings.ToValidUTF8(name, "\uFFFD"), err.Error()})
		}
	})
}

func (c *treeCopy) from(name string) string { return filepath.Join(c.opt.From, name) }
func (c *treeCopy) to(name string) string   { return filepath.Join(c.opt.To, name) }

// folder copies what is in a folder, its files at the same time, then the folders in it.
func (c *treeCopy) folder(ctx context.Context, dir string) {
	c.folders = append(c.folders, dir)
	entries, err := os.ReadDir(c.from(dir))
	if err != nil {
		c.failed(dir, err)
	}
	unlock := func() {}
	if !c.opt.DryRun {
		if unlock, err = lockFolder(ctx, c.to(dir)); err != nil {
			if ctx.Err() == nil {
				c.failed(dir, err)
			}
			return
		}
	}
	below := c.files(ctx, dir, entries)
	unlock()
	for _, name := range below {
		if ctx.Err() == nil {
			c.folder(ctx, name)
		}
	}
}

// files copies the files among the entries of a folder, and gives the folders among them.
func (c *treeCopy) files(ctx context.Context, dir string, entries []os.DirEntry) []string {
	var g errgroup.Group
	g.SetLimit(copiesAtOnce)
	var below []string
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if ctx.Err() != nil {
			break
		}
		var st unix.Stat_t
		if err := unix.Lstat(c.from(name), &st); err != nil {
			c.failed(name, err)
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if c.makeFolder(name) {
				below = append(below, name)
			}
			continue
		}
		if st.Nlink > 1 {
			id := fileID{st.Dev, st.Ino}
			if first, met := c.linked[id]; met {
				c.links = append(c.links, laterLink{name, first})
				continue
			}
			c.linked[id] = name
		}
		g.Go(func() error {
			if err := c.entry(ctx, name, &st); err != nil && ctx.Err() == nil {
				c.failed(name, err)
			}
			return nil
		})
	}
	g.Wait() //nolint:errcheck // its functions fail by themselves
	return below
}

// lockPause is how long a copy waits before it looks again whether another one has left a folder.
const lockPause = 50 * time.Millisecond

// lockFolder waits until no other copy on this machine is at work on the files of a folder: two
// would take each other's files under way for leftovers.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { d.Close() }, nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			d.Close()
			return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

func (c *treeCopy) makeFolder(name string) bool {
	if c.opt.DryRun {
		var there unix.Stat_t
		if unix.Lstat(c.to(name), &there) == nil && there.Ino&record.ViewBit != 0 {
			c.failed(name, errView(name))
			return false
		}
		return true
	}
	err := os.Mkdir(c.to(name), 0o700)
	switch {
	case err == nil:
		c.count(func(s *TreeSummary) { s.Folders++ })
	case errors.Is(err, os.ErrExist):
		var there unix.Stat_t
		if serr := unix.Lstat(c.to(name), &there); serr == nil && there.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = nil
			if there.Ino&record.ViewBit != 0 {
				err = errView(name)
			}
		}
	}
	if err != nil {
		c.failed(name, err)
	}
	return err == nil
}

// errView is why nothing is copied into a folder of the views: writing there tags, restores,
// deletes.
func errView(name string) error {
	return remote.E("copy folder", name, remote.Permission, errors.New("at the root of the mount this name is kept for views or the trash: nothing in it was copied")).
		WithHint("copy it into a folder of the mount")
}

func (c *treeCopy) finishFolder(name string) {
	var st unix.Stat_t
	err := unix.Stat(c.from(name), &st)
	if err == nil && !c.opt.DryRun && name != "" {
		err = c.dress(c.from(name), c.to(name), &st)
	}
	if err != nil {
		c.failed(name, err)
	}
}

// entry copies what is no folder.
func (c *treeCopy) entry(ctx context.Context, name string, st *unix.Stat_t) error {
	var there unix.Stat_t
	err := unix.Lstat(c.to(name), &there)
	if err == nil && there.Mode&unix.S_IFMT == st.Mode&unix.S_IFMT &&
		(st.Mode&unix.S_IFMT != unix.S_IFREG || there.Size == st.Size) &&
		there.Mtim == st.Mtim {
		c.count(func(s *TreeSummary) { s.Unchanged++ })
		return nil
	}
	if err != nil && err != unix.ENOENT {
		return err
	}
	if c.opt.DryRun {
		c.count(func(s *TreeSummary) { s.Copied++; s.Bytes += st.Size })
		return nil
	}
	part := c.to(name) + partSuffix
	if len(filepath.Base(part)) > 255 {
		part = filepath.Join(
			filepath.Dir(part), fmt.Sprintf("%x%s", sha256.Sum256([]byte(filepath.Base(name))), partSuffix),
		)
	}
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	copied := int64(0)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		copied, err = c.file(ctx, name, part)
	case unix.S_IFLNK:
		var target string
		if target, err = os.Readlink(c.from(name)); err == nil {
			err = os.Symlink(target, part)
		}
	default:
		err = unix.Mknod(part, st.Mode, int(st.Rdev))
	}
	if err == nil {
		err = c.dress(c.from(name), part, st)
	}
	if err == nil {
		err = os.Rename(part, c.to(name))
	}
	if err != nil {
		return errors.Join(err, removeIfThere(part))
	}
	c.count(func(s *TreeSummary) {
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			s.Copied++
			s.Bytes += copied
		} else {
			s.Links++
		}
	})
	if c.opt.Verify && st.Mode&unix.S_IFMT == unix.S_IFREG {
		return c.verify(name)
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// file copies bytes and leaves holes out.
func (c *treeCopy) file(ctx context.Context, name, part string) (copied int64, err error) {
	in, err := os.Open(c.from(name))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	info, err := in.Stat()
	if err == nil {
		copied, err = copyData(ctx, out, in, info.Size())
	}
	return copied, errors.Join(err, out.Close())
}

func copyData(ctx context.Context, out, in *os.File, size int64) (copied int64, err error) {
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		data, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // a hole to the end
		}
		hole := size
		if err != nil {
			data = off // this file system does not tell
		} else if hole, err = unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE); err != nil {
			hole = size
		}
		for off = data; off < hole; {
			if err := ctx.Err(); err != nil {
				return copied, err
			}
			n, err := in.ReadAt(buf[:min(int64(len(buf)), hole-off)], off)
			if n == 0 {
				if err == io.EOF {
					return copied, errors.New("the file was cut while it was copied")
				}
				return copied, err
			}
			if _, err := out.WriteAt(buf[:n], off); err != nil {
				return copied, err
			}
			off += int64(n)
			copied += int64(n)
		}
	}
	return copied, out.Truncate(size)
}

// dress gives a copy the attributes, access control lists, owner, permissions and times of its
// original, times last. Owners and attributes of other namespaces than user. are for who may set
// them.
func (c *treeCopy) dress(from, to string, st *unix.Stat_t) error {
	names, had := make([]byte, 64<<10), map[string]bool{}
	n, err := unix.Llistxattr(from, names)
	if err != nil && err != unix.ENOTSUP {
		return fmt.Errorf("list attributes: %w", err)
	}
	for name := range bytes.SplitSeq(names[:max(n, 0)], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(from, string(name), value)
		if err == nil {
			err = unix.Lsetxattr(to, string(name), value[:n], 0)
		}
		if err != nil && (bytes.HasPrefix(name, []byte("user.")) || acl.Is(string(name))) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		had[string(name)] = true
	}
	// What the original has no list for, the copy may have got from the folder that it was made in.
	for _, name := range []string{acl.Access, acl.Default} {
		if had[name] {
			continue
		}
		if err := unix.Lremovexattr(to, name); err != nil && err != unix.ENODATA && err != unix.ENOTSUP {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil && (os.Geteuid() == 0 || err != unix.EPERM) {
		return fmt.Errorf("owner: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return fmt.Errorf("permissions: %w", err)
		}
	}
	if err := unix.UtimesNanoAt(
		unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW,
	); err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return nil
}

// link gives a copy a further name.
func (c *treeCopy) link(name, first string) {
	if c.opt.DryRun {
		return
	}
	a, err := os.Lstat(c.to(first))
	if err != nil {
		c.failed(name, err)
		return
	}
	if b, err := os.Lstat(c.to(name)); err == nil && os.SameFile(a, b) {
		c.count(func(s *TreeSummary) { s.Unchanged++ })
		return
	}
	if err = removeIfThere(c.to(name)); err == nil {
		err = os.Link(c.to(first), c.to(name))
	}
	if err != nil {
		c.failed(name, err)
		return
	}
	c.count(func(s *TreeSummary) { s.Links++ })
}

func (c *treeCopy) verify(name string) error {
	var sums [2][]byte
	for i, file := range []string{c.from(name), c.to(name)} {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		sums[i] = h.Sum(nil)
	}
	if !bytes.Equal(sums[0], sums[1]) {
		return remote.E(
			"verify", name, remote.Corrupt,
			errors.New("the copy differs from the original, or somebody wrote to one of them"),
		)
	}
	c.count(func(s *TreeSummary) { s.Verified++ })
	return nil
}
