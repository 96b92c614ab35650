package local

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A disk is the directory of this machine in which droppings lie:
//
//	<number of the folder in hex>/<name>   one real file a dropping
//	new/                                   files being made: a dropping is seen with its owner and mode or not at all
//
// Every path has two parts, each opened by itself and not through a link, so nothing planted in it
// leads out of it. Something else that lies there is left alone.
type disk struct {
	path string // for people
	root *os.File
	made *os.File // new/
	dev  uint64   // of the file system: real files are told apart by their inode numbers
	keep int64    // bytes of the file system that stay free; 0: as mayGrow has it
	last uint64   // number of the last file made in new/
}

const newName = "new"

const (
	openDir  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openFile = unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY // a fifo in its place holds up nobody
)

// openDisk opens the directory, which it makes when it is missing. It must be this user's, and
// nobody else may have been able to write there. Unsupported: its file system keeps no attributes
// of users.
func openDisk(path string) (d *disk, err error) {
	const op = "open the directory of local names"
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, remote.OSError(op, path, err)
	}
	fd, err := unix.Open(path, openDir, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil, remote.E(op, path, remote.NotDir, err).
				WithHint("move away what lies there; a symbolic link is not followed")
		}
		return nil, remote.OSError(op, path, err)
	}
	d = &disk{path: path, root: os.NewFile(uintptr(fd), path)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
			d = nil
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, remote.OSError(op, path, err)
	}
	d.dev = st.Dev
	switch {
	case int(st.Uid) != os.Geteuid():
		return d, remote.E(op, path, remote.Permission, fmt.Errorf("it belongs to user %d", st.Uid))
	case st.Mode&0o022 != 0:
		return d, remote.E(op, path, remote.Permission, fmt.Errorf("others could write there (mode %04o)", st.Mode&permissions)).
			WithHint("look at what is in it, then chmod 700")
	case st.Mode&0o077 != 0:
		if err := unix.Fchmod(fd, 0o700); err != nil {
			return d, remote.OSError("close to others the directory of local names", path, err)
		}
	}
	if err := unix.Mkdirat(fd, newName, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return d, remote.OSError(op, path+"/"+newName, err)
	}
	if d.made, err = d.openDir(newName); err != nil {
		return d, remote.OSError(op, path+"/"+newName, err)
	}
	if err := unix.Fsetxattr(int(d.made.Fd()), recordName, record{mode: 0o700}.encode(), 0); err != nil {
		return d, remote.OSError(
			op, path, err,
		).WithHint("its file system must keep user attributes, as ext4, xfs and btrfs do; or keep no names local")
	}
	return d, nil
}

func (d *disk) close() error {
	err := d.root.Close()
	if d.made != nil {
		err = errors.Join(err, d.made.Close())
	}
	return err
}

func folderName(id vfs.ID) string { return strconv.FormatUint(id, 16) }

// folderID reads a folder's name, and no other spelling of the same number.
func folderID(name string) (vfs.ID, bool) {
	id, err := strconv.ParseUint(name, 16, 64)
	return id, err == nil && id != 0 && folderName(id) == name
}

// openDir opens a folder right below the root, on the same file system.
func (d *disk) openDir(name string) (*os.File, error) {
	fd, err := unix.Openat(int(d.root.Fd()), name, openDir, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Dev != d.dev {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// open opens a real file of a folder: ENOENT, or EINVAL for what is none.
func (d *disk) open(folder *os.File, name string, flags int) (*os.File, uint64, error) {
	fd, err := unix.Openat(int(folder.Fd()), name, flags|openFile, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EISDIR) {
		err = unix.EINVAL
	}
	if err != nil {
		return nil, 0, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && !d.isFile(&st) {
		err = unix.EINVAL
	}
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return nil, 0, err
	}
	return os.NewFile(uintptr(fd), name), st.Ino, nil
}

func (d *disk) isFile(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Dev == d.dev
}

// A found is a real file of a folder.
type found struct {
	name string
	ino  uint64
}

// files lists the real files of a folder. What else lies there, and what goes away meanwhile, is
// left out.
func (d *disk) files(folder *os.File) (all []found, err error) {
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var st unix.Stat_t
		switch err := unix.Fstatat(int(folder.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return nil, err
		case d.isFile(&st):
			all = append(all, found{name, st.Ino})
		}
	}
	return all, nil
}

// A making is a real file in new/, which is no dropping yet.
type making struct {
	f   *os.File
	ino uint64
	tmp string // its name there
}

// begin makes a real file with its record in new/. name is the dropping's, for people.
func (d *disk) begin(name string, r record) (m making, err error) {
	d.last++
	m.tmp = strconv.FormatUint(d.last, 10)
	fd, err := unix.Openat(
		int(d.made.Fd()), m.tmp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600,
	)
	if err != nil {
		return m, err
	}
	m.f = os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = writeList(fd, r)
	}
	m.ino = st.Ino
	if err != nil {
		return m, errors.Join(err, d.giveUp(m))
	}
	return m, nil
}

// name gives a file that was begun its name in folder, which is free unless it replaces.
func (d *disk) name(m making, folder *os.File, name string, replaces bool) error {
	if replaces {
		return unix.Renameat(int(d.made.Fd()), m.tmp, int(folder.Fd()), name)
	}
	return moveToFree(d.made, m.tmp, folder, name)
}

// giveUp ends a file that gets no name.
func (d *disk) giveUp(m making) error {
	return errors.Join(unix.Unlinkat(int(d.made.Fd()), m.tmp, 0), m.f.Close())
}

// clear removes what an earlier process began to make.
func (d *disk) clear() error {
	all, err := d.files(d.made)
	for _, f := range all {
		err = errors.Join(err, unix.Unlinkat(int(d.made.Fd()), f.name, 0))
	}
	if err != nil {
		return remote.OSError("clear the directory of local names", d.path+"/"+newName, err)
	}
	return nil
}

// moveToFree renames to a name that is free. Where the file system cannot make sure of that, the
// list of the folder has.
func moveToFree(from *os.File, name string, to *os.File, newName string) error {
	err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), newName, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		err = unix.Renameat(int(from.Fd()), name, int(to.Fd()), newName)
	}
	return err
}

// mayGrow fails with NoSpace when n more bytes, or another file, would leave less of the disk than
// what lies beside them needs to go on: the catalog, above all, which must never meet a full one.
// The numbers are the spool's.
func (d *disk) mayGrow(n int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.root.Fd()), &st); err != nil {
		return remote.OSError("look at the disk of local names", d.path, err)
	}
	free, total, floor := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize, d.keep
	if floor == 0 {
		floor = max(min(512<<20, total/10), min(64<<20, total*3/10))
	}
	var why error
	switch fewest := min(256, st.Files/8); {
	case free-n < floor:
		why = fmt.Errorf("%d MiB are free and %d MiB are kept free", free>>20, floor>>20)
	case st.Ffree < fewest:
		why = fmt.Errorf("%d inodes are free and %d are kept free", st.Ffree, fewest)
	default:
		return nil
	}
	return remote.E("write a local file", d.path, remote.NoSpace, why).WithHint("free space on this disk")
}

// gone reports whether the directory was deleted below its library. What lies in it is not there
// then, and that says nothing of the files that people had.
func (d *disk) gone() bool {
	var root, made unix.Stat_t
	return unix.Fstat(int(d.root.Fd()), &root) == nil && root.Nlink == 0 ||
		unix.Fstat(int(d.made.Fd()), &made) == nil && made.Nlink == 0
}

// wrap gives an error of what lies in the directory its kind.
func (d *disk) wrap(op, path string, err error) *remote.Error {
	if errors.Is(err, unix.ENOENT) && d.gone() {
		return d.missing(op, path)
	}
	return remote.OSError(op, path, err)
}

// wrapMade is wrap for what is made in the directory: that something is missing there is never the
// caller's mistake.
func (d *disk) wrapMade(op, path string, err error) *remote.Error {
	if errors.Is(err, unix.ENOENT) {
		return d.missing(op, path)
	}
	return remote.OSError(op, path, err)
}

// missing is the error of a directory that was deleted below its library.
func (d *disk) missing(op, path string) *remote.Error {
	return remote.E(op, path, remote.Other, errors.New("the directory of local names "+d.path+" was deleted")).
		WithHint("unmount, and mount again")
}
