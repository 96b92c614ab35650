package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// cannotMake is the error of a directory that cannot be made.
func cannotMake(what, dir string, err error) error {
	e := remote.OSError("make the "+what, dir, err)
	places := map[string]string{
		"store": "XDG_DATA_HOME, or a STORE, names", "cache directory": "--cache-dir or XDG_CACHE_HOME names",
	}
	place := places[what]
	if place == "" {
		place = "--catalog-dir or XDG_STATE_HOME names"
	}
	switch e.Kind {
	case remote.Permission, remote.ReadOnly:
		return e.WithHint("this user must be able to write there; " + place + " another place")
	case remote.NoSpace:
		return e.WithHint("free space on this disk; " + place + " another place")
	}
	return e
}

// privateDir makes dir, with its parents, for this user alone (0700), or takes one that is there
// when it belongs to this user and is no symbolic link: whoever could write there could hand the
// daemon a catalog or blocks of their own. A folder of this user that others may look into is
// closed to them; one that they could write to must be empty. Folders that it makes are noted in
// made.
func privateDir(dir, what string, made *madeDirs) error {
	if !filepath.IsAbs(dir) {
		return remote.E("open the "+what, dir, remote.Invalid, errors.New("not an absolute path"))
	}
	if err := made.make(dir); err != nil && !errors.Is(err, unix.ENOTDIR) {
		return cannotMake(what, dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return remote.OSError("open the "+what, dir, err)
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		return remote.E("open the "+what, dir, remote.Invalid, errors.New("it is a symbolic link")).
			WithHint("name the directory that it points to")
	case !info.IsDir():
		return remote.E("open the "+what, dir, remote.NotDir, nil)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return remote.OSError("open the "+what, dir, err)
	}
	if int(st.Uid) != os.Geteuid() {
		return remote.E("open the "+what, dir, remote.Permission, fmt.Errorf("it belongs to user %d", st.Uid)).
			WithHint("every user needs a directory of their own")
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return remote.OSError("close to others the "+what, dir, err)
		}
	}
	if info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	// Looked at only now that nobody else can add to it.
	switch names, err := os.ReadDir(dir); {
	case err != nil:
		return remote.OSError("open the "+what, dir, err)
	case len(names) == 0:
		return nil
	}
	why := fmt.Errorf("others could write there (mode %04o), and it is not empty", info.Mode().Perm())
	err = os.Chmod(dir, info.Mode().Perm()) // so that the next try is refused as well
	return remote.E("open the "+what, dir, remote.Permission, errors.Join(why, err)).
		WithHint("look at what is in it, then chmod 700")
}

// writePrivate makes b the bytes of a small file that only this user can read, whole or not at all.
// A link in its place is replaced and not followed.
func writePrivate(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	return err
}
