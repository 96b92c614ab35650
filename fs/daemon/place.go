package daemon

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/control"
	"mediafs/fs/fuse"
	"mediafs/remote"
)

// A Place is where something of mediafs is mounted, or was until its daemon let go: what the
// kernel's mount table and this user's list of mounts say together.
type Place struct {
	Dir     string // mount point
	Source  string // what the mount table calls the device: the store
	Mounted bool   // the mount table has it
	Known   bool   // the list of mounts has it: Mount is set
	Mount   Mount

	mounted fuse.MountInfo // with Mounted
}

// Locate finds the mount at dir. NotExist: there is none. It never looks at the mount itself, which
// could wait for a daemon that hangs.
func (r Registry) Locate(dir string) (Place, error) {
	return r.find(dir, func(mountPoint, dir string) bool { return mountPoint == dir })
}

// Containing finds the mount that dir lies in, or is.
func (r Registry) Containing(dir string) (Place, error) { return r.find(dir, within) }

func (r Registry) find(dir string, matches func(mountPoint, dir string) bool) (Place, error) {
	places, err := r.Places()
	if err != nil {
		return Place{}, err
	}
	innermost := func(dir string) (best Place, ok bool) {
		for _, p := range places {
			if matches(p.Dir, dir) && (!ok || len(p.Dir) > len(best.Dir)) {
				best, ok = p, true
			}
		}
		return best, ok
	}
	for real := range spellings(dir) {
		if p, ok := innermost(real); ok {
			return p, nil
		}
	}
	return Place{}, remote.E("find the mount", dir, remote.NotExist, errors.New("nothing of mediafs is mounted there"))
}

// spellings are the ways to write dir that the mount table may have: as it is given, with the
// symbolic links of its folder resolved, with its own resolved. Who stops at the first that is
// mounted never asks a daemon.
func spellings(dir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(filepath.Clean(dir)) {
			return
		}
		if parent, err := filepath.EvalSymlinks(
			filepath.Dir(dir),
		); err == nil &&
			!yield(filepath.Join(parent, filepath.Base(dir))) {
			return
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			yield(real)
		}
	}
}

// Places lists what is mounted, and the daemons of this user that have been unmounted and still
// finish. Notes of daemons that are neither are removed: they were killed and somebody else
// unmounted.
func (r Registry) Places() ([]Place, error) {
	table, err := fuse.Mounts()
	if err != nil {
		return nil, err
	}
	noted, err := r.List()
	if err != nil {
		return nil, err
	}
	byDir := map[string]Place{}
	for _, m := range table {
		byDir[m.Dir] = Place{Dir: m.Dir, Source: m.FSName, Mounted: true, mounted: m}
	}
	for _, m := range noted {
		p := byDir[m.Dir]
		if !p.Mounted && !m.Alive() {
			if err := r.Forget(m); err != nil {
				return nil, err
			}
			continue
		}
		p.Dir, p.Known, p.Mount = m.Dir, true, m
		byDir[m.Dir] = p
	}
	places := []Place{}
	for _, p := range byDir {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b Place) int { return strings.Compare(a.Dir, b.Dir) })
	return places, nil
}

// Client gives the way to p's daemon. NotExist: it is dead, or not this user's.
func (p Place) Client() (*control.Client, error) {
	switch {
	case !p.Known:
		return nil, remote.E(
			"ask the daemon of", p.Dir, remote.NotExist, errors.New("it is not in this user's list of mounts"),
		)
	case !p.Mount.Alive():
		return nil, remote.E("ask the daemon of", p.Dir, remote.NotExist, fmt.Errorf("process %d has died", p.Mount.PID)).
			WithHint("umount it, then mount it again: nothing written is lost")
	}
	return control.Dial(p.Mount.CatalogDir), nil
}

// Dead tells whether nobody serves p any more. A daemon that is there and does not answer within
// wait is Unavailable.
func (p Place) Dead(wait time.Duration) (bool, error) {
	if !p.Mounted {
		return p.Known && !p.Mount.Alive(), nil
	}
	// Also when the list of mounts says that its daemon died: somebody may have mounted there
	// since.
	return stale(p.Dir, wait)
}

// stale tells whether the mount at dir has lost its daemon. One that hangs would make it wait for
// ever: Unavailable after wait.
func stale(dir string, wait time.Duration) (bool, error) {
	answer := make(chan error, 1)
	// statfs, since the kernel answers a stat from memory for a while. The goroutine ends when the
	// daemon answers or ends: the call cannot be called off.
	go func() { answer <- unix.Statfs(dir, new(unix.Statfs_t)) }()
	select {
	case err := <-answer:
		return err == unix.ENOTCONN, nil
	case <-time.After(wait):
		return false, remote.E("look at the mount", dir, remote.Unavailable, errors.New("its daemon does not answer")).
			WithHint("umount --force unmounts without it")
	}
}

// Unmount asks the kernel to unmount; the daemon, whoever's it is, then closes by itself. Busy:
// files are open.
func (p Place) Unmount() error { return p.unmount(0, "-u") }

// Detach takes the mount out of the tree, whether it is used or not and whether a daemon serves it
// or not.
func (p Place) Detach() error { return p.unmount(unix.MNT_DETACH, "-uz") }

// Cut is Detach where the daemon does not answer: whoever waits for it gets an error, as far as
// this user may do that. What the daemon has is safe.
func (p Place) Cut() error {
	if p.Mounted {
		_ = p.mounted.Abort() // without it they wait for the daemon's end
	}
	return p.Detach()
}

func (p Place) unmount(flags int, helper string) error {
	if !p.Mounted {
		return nil
	}
	err := unix.Unmount(p.Dir, unix.UMOUNT_NOFOLLOW|flags)
	if err == unix.EPERM { // only root unmounts by itself
		out, helperErr := exec.Command("fusermount3", helper, "--", p.Dir).CombinedOutput()
		if err = helperErr; err != nil && len(out) > 0 {
			err = errors.New(strings.TrimSpace(string(out)))
			if strings.Contains(err.Error(), "busy") {
				err = unix.EBUSY
			}
		}
	}
	if err == nil {
		return nil
	}
	e := remote.OSError("unmount", p.Dir, err)
	if e.Kind == remote.Busy {
		e = e.WithHint("close the files that are open there (fuser -vm shows them), or --force")
	}
	return e
}

// prepareMountPoint gives the real path of an empty folder to mount on. The mount of a daemon that
// died is removed first, which a note says. Its errors are ErrMountPoint, and of a kind.
func prepareMountPoint(dir string) (real string, notes []string, err error) {
	if real, notes, err = emptyFolder(dir); err != nil {
		err = marked{err, ErrMountPoint}
	}
	return real, notes, err
}

// mountedAnswer is how long the folder to mount on may take to answer when something is mounted
// there: daemons of ours do from memory, network file systems within seconds.
const mountedAnswer = 5 * time.Second

func emptyFolder(dir string) (real string, notes []string, err error) {
	const op = "mount on"
	if !filepath.IsAbs(dir) {
		return "", nil, remote.E(op, dir, remote.Invalid, errors.New("not an absolute path"))
	}
	mount, mounted, err := mountedAt(dir)
	if err != nil {
		return "", nil, err
	}
	if mounted {
		switch dead, err := stale(mount.Dir, mountedAnswer); {
		case err != nil:
			return "", nil, remote.E(op, dir, remote.Busy, err)
		case !dead:
			return "", nil, remote.E(op, dir, remote.Busy, fmt.Errorf("%s is mounted there already", mount.FSName))
		}
		if err := (Place{Dir: mount.Dir, Mounted: true}).Detach(); err != nil {
			return "", nil, err
		}
		notes = append(notes, "the daemon that had "+dir+" mounted died; its mount was removed")
	}
	info, err := os.Stat(dir)
	if err != nil {
		e := remote.OSError(op, dir, err)
		if e.Kind == remote.NotExist {
			e = e.WithHint("make the folder first")
		}
		return "", nil, e
	}
	if !info.IsDir() {
		return "", nil, remote.E(op, dir, remote.NotDir, nil)
	}
	if real, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, remote.OSError(op, dir, err)
	}
	f, err := os.Open(real)
	if err != nil {
		return "", nil, remote.OSError(op, dir, err)
	}
	defer f.Close()
	switch names, err := f.Readdirnames(1); {
	case len(names) > 0:
		return "", nil, remote.E(op, dir, remote.NotEmpty, nil).
			WithHint("what is in it would be hidden; use an empty folder")
	case err != nil && err != io.EOF:
		return "", nil, remote.OSError(op, dir, err)
	}
	return real, notes, nil
}

// mountedAt finds what of mediafs is mounted at dir.
func mountedAt(dir string) (m fuse.MountInfo, ok bool, err error) {
	mounts, err := fuse.Mounts()
	if err != nil {
		return m, false, err
	}
	for real := range spellings(dir) {
		for _, m := range slices.Backward(mounts) { // the last is on top
			if m.Dir == real {
				return m, true, nil
			}
		}
	}
	return m, false, nil
}

// localStore is the folder of a file:// URL.
func localStore(store string) (string, bool) {
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}
