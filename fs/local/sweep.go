package local

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// find notes which folders have droppings from an earlier process, and deletes those of folders
// that are gone.
func (l *Library) find() error {
	names, err := l.disk.root.Readdirnames(-1)
	if err != nil {
		return remote.OSError("list the directory of local names", l.disk.path, err)
	}
	if !l.readOnly {
		if err := l.disk.clear(); err != nil {
			return err
		}
	}
	for _, name := range names {
		id, ok := folderID(name)
		if !ok {
			continue // not ours
		}
		d, err := l.disk.openDir(name)
		if err != nil {
			l.log.WithError(err).Warnf("what lies at %q in %s is no folder of local files", name, l.disk.path)
			continue
		}
		d.Close()
		l.setHas(id, true)
		_, err = l.inner.GetAttr(context.Background(), id)
		if remote.KindOf(err) == remote.NotExist && err != nil {
			l.sweep(id)
		}
	}
	return nil
}

// sweep deletes the droppings of a folder that does not exist any more, also those that are not
// shown since the list of names was changed. What has neither a name of the list nor a record is
// somebody else's and stays.
func (l *Library) sweep(folder vfs.ID) {
	if l.readOnly || !l.has(folder) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sweepLocked(folder); err != nil {
		l.log.WithError(err).
			Warnf("local files of a folder that was removed stay in %s/%s; the next mount tries again", l.disk.path, folderName(folder))
	}
}

func (l *Library) sweepLocked(folder vfs.ID) error {
	if l.closed {
		return nil
	}
	d, err := l.disk.openDir(folderName(folder))
	if err != nil {
		return err
	}
	defer d.Close()
	files, err := l.disk.files(d)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !l.names.match(f.name) && !l.recorded(d.Fd(), f.name) {
			continue
		}
		n := l.nodes[nodeID(f.ino)]
		if err := l.keep(n); err != nil {
			return err
		}
		if err := unix.Unlinkat(int(d.Fd()), f.name, 0); err != nil {
			return fmt.Errorf("delete %q: %w", f.name, err)
		}
		l.nameless(n)
	}
	if t := l.lists[folder]; t != nil {
		l.listed -= len(t.names)
		delete(l.lists, folder)
	}
	l.setHas(folder, false)
	if err := unix.Unlinkat(int(l.disk.root.Fd()), folderName(folder), unix.AT_REMOVEDIR); err != nil &&
		!errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// recorded tells whether a real file has a record, and so was made here.
func (l *Library) recorded(folder uintptr, name string) bool {
	fd, err := unix.Openat(int(folder), name, unix.O_RDONLY|openFile, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var b [128]byte
	n, err := unix.Fgetxattr(fd, recordName, b[:])
	if err != nil {
		return false
	}
	_, err = parseRecord(b[:n])
	return err == nil
}
