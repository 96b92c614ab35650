package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/fuse"
	"mediafs/remote"
)

// A Place is where something of mediafs is mounted, or was until its daemon let go: what the kernel's mount table and this user's list of mounts
// say together.
type Place struct {
	Dir     string // mount point
	Source  string // what the mount table calls the device: the store
	Mounted bool   // the mount table has it
	Known   bool   // the list of mounts has it: Mount is set
	Mount   Mount
}

// Locate finds the mount at dir. NotExist: there is none. It never looks at the mount itself, which could wait for a daemon that hangs.
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
	// As it is written, then with the symbolic links of its folder resolved, then with its own: what is mounted is found by then
	// and its root never asked.
	parent := func(dir string) (string, error) {
		real, err := filepath.EvalSymlinks(filepath.Dir(dir))
		return filepath.Join(real, filepath.Base(dir)), err
	}
	asWritten := func(dir string) (string, error) { return filepath.Clean(dir), nil }
	for _, resolve := range []func(string) (string, error){asWritten, parent, filepath.EvalSymlinks} {
		real, err := resolve(dir)
		if err != nil {
			continue
		}
		if p, ok := innermost(real); ok {
			return p, nil
		}
	}
	return Place{}, remote.E("find the mount", dir, remote.NotExist, errors.New("nothing of mediafs is mounted there"))
}

// Places lists what is mounted, and the daemons of this user that have been unmounted and still finish. Notes of daemons that
// are neither are removed: they were killed and somebody else unmounted.
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
		byDir[m.Dir] = Place{Dir: m.Dir, Source: m.FSName, Mounted: true}
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
func (p Place) Client() (*Client, error) {
	switch {
	case !p.Known:
		return nil, remote.E("ask the daemon of", p.Dir, remote.NotExist, errors.New("it is not in this user's list of mounts"))
	case !p.Mount.Alive():
		return nil, remote.E("ask the daemon of", p.Dir, remote.NotExist, fmt.Errorf("process %d has died", p.Mount.PID)).
			WithHint("umount it, then mount it again: nothing written is lost")
	}
	return Dial(p.Mount.CatalogDir), nil
}

// Dead tells whether nobody serves p any more. A daemon that is there and does not answer within ctx is Unavailable.
func (p Place) Dead(ctx context.Context) (bool, error) {
	if p.Known {
		return !p.Mount.Alive(), nil
	}
	answer := make(chan bool, 1)
	go func() { answer <- fuse.Stale(p.Dir) }() // ends when the daemon answers or ends: stat cannot be called off
	select {
	case dead := <-answer:
		return dead, nil
	case <-ctx.Done():
		return false, remote.E("look at the mount", p.Dir, remote.Unavailable, errors.New("its daemon does not answer")).
			WithHint("--force unmounts without it")
	}
}

// Unmount asks the kernel to unmount; the daemon, whoever's it is, then closes by itself. Busy: files are open.
func (p Place) Unmount() error { return p.unmount(0, "-u") }

// Detach takes the mount out of the tree, whether it is used or not and whether a daemon serves it or not.
func (p Place) Detach() error { return p.unmount(unix.MNT_DETACH, "-uz") }

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
	e := remote.E("unmount", p.Dir, kindOfOS(err), err)
	if e.Kind == remote.Busy {
		e = e.WithHint("close the files that are open there (fuser -vm shows them), or --force")
	}
	return e
}

// prepareMountPoint gives the real path of an empty folder to mount on. The mount of a daemon that died is removed first, which a note says. Its errors
// are ErrMountPoint, and of a kind.
func prepareMountPoint(dir string) (real string, notes []string, err error) {
	if real, notes, err = emptyFolder(dir); err != nil {
		err = marked{err, ErrMountPoint}
	}
	return real, notes, err
}

func emptyFolder(dir string) (real string, notes []string, err error) {
	const op = "mount on"
	if !filepath.IsAbs(dir) {
		return "", nil, remote.E(op, dir, remote.Invalid, errors.New("not an absolute path"))
	}
	if fuse.Stale(dir) {
		if err := fuse.CleanStale(dir); err != nil {
			return "", nil, err
		}
		notes = append(notes, "the daemon that had "+dir+" mounted died; its mount was removed")
	}
	info, err := os.Stat(dir)
	if err != nil {
		e := remote.E(op, dir, kindOfOS(err), bare(err))
		if e.Kind == remote.NotExist {
			e = e.WithHint("make the folder first")
		}
		return "", nil, e
	}
	if !info.IsDir() {
		return "", nil, remote.E(op, dir, remote.NotDir, nil)
	}
	if real, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, remote.E(op, dir, kindOfOS(err), bare(err))
	}
	mounts, err := fuse.Mounts()
	if err != nil {
		return "", nil, err
	}
	for _, m := range mounts {
		if m.Dir == real {
			return "", nil, remote.E(op, dir, remote.Busy, fmt.Errorf("%s is mounted there already", m.FSName))
		}
	}
	f, err := os.Open(real)
	if err != nil {
		return "", nil, remote.E(op, dir, kindOfOS(err), bare(err))
	}
	defer f.Close()
	switch names, err := f.Readdirnames(1); {
	case len(names) > 0:
		return "", nil, remote.E(op, dir, remote.NotEmpty, nil).WithHint("what is in it would be hidden; use an empty folder")
	case err != nil && err != io.EOF:
		return "", nil, remote.E(op, dir, kindOfOS(err), bare(err))
	}
	return real, notes, nil
}

// localStore is the folder of a file:// URL.
func localStore(store string) (string, bool) {
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}
