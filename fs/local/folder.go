package local

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// maxListed is how many names of droppings are kept in memory when nobody lists their folders: some
// 10 MiB.
const maxListed = 1 << 16

// list gives the droppings of a folder, read from the disk where this process has not yet; nil when
// it has no directory. mu is held.
func (l *Library) list(folder vfs.ID) (*list, error) {
	if t := l.lists[folder]; t != nil {
		return t, nil
	}
	if !l.has(folder) {
		return nil, nil
	}
	if l.closed {
		return nil, remote.E("list local files", folderName(folder), remote.Unavailable, os.ErrClosed)
	}
	d, err := l.disk.openDir(folderName(folder))
	if errors.Is(err, unix.ENOENT) {
		if l.disk.gone() {
			return nil, l.disk.missing("list local files", folderName(folder))
		}
		l.setHas(folder, false)
		return nil, nil
	}
	if err != nil {
		return nil, remote.OSError("list local files", l.disk.path+"/"+folderName(folder), err)
	}
	defer d.Close()
	files, err := l.disk.files(d)
	if err != nil {
		return nil, remote.OSError("list local files", l.disk.path+"/"+folderName(folder), err)
	}
	t := newList(endPlaces)
	for _, f := range files {
		if l.names.match(f.name) && !t.full() {
			t.set(f.name, f.ino)
		}
	}
	l.lists[folder] = t
	l.listed += len(t.names)
	return t, nil
}

// forgetLists makes room for other lists. Those of folders that are being listed stay: places are
// theirs to keep. mu is held, and nobody has a list in hand.
func (l *Library) forgetLists() {
	if l.listed <= maxListed {
		return
	}
	l.seen.RLock()
	defer l.seen.RUnlock()
	for id, t := range l.lists {
		if l.seen.open[id] == 0 {
			delete(l.lists, id)
			l.listed -= len(t.names)
		}
	}
}

// add makes a dropping with one pin on its node. folder exists, and the caller has a claim on it.
//
// With fill the file has what that writes before it has its name, and a dropping of that name is
// replaced; else Exist. Nobody waits for fill, which may read from the store.
func (l *Library) add(folder vfs.ID, name string, r record, fill func(*os.File) error) (n *node, err error) {
	const op = "create a local file"
	m, err := l.begin(op, name, r)
	if err != nil {
		return nil, err
	}
	if fill != nil {
		err = fill(m.f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		n, err = l.addMade(op, folder, name, m, fill != nil)
	}
	if err == nil {
		return n, nil
	}
	if given := l.disk.giveUp(m); given != nil {
		l.log.WithError(given).Debug("a local file that was begun stays for the next mount to remove")
	}
	if said := new(remote.Error); errors.As(err, &said) {
		return nil, err
	}
	return nil, l.disk.wrapMade(op, quoted(name), err)
}

func (l *Library) begin(op, name string, r record) (m making, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return m, remote.E(op, quoted(name), remote.Unavailable, os.ErrClosed)
	}
	if err := l.disk.mayGrow(0); err != nil {
		return m, err
	}
	if m, err = l.disk.begin(name, r); err != nil {
		return m, l.disk.wrapMade(op, quoted(name), err)
	}
	return m, nil
}

// addMade gives a file that was made its name. mu is held.
func (l *Library) addMade(op string, folder vfs.ID, name string, m making, replaces bool) (n *node, err error) {
	if l.closed {
		return nil, remote.E(op, quoted(name), remote.Unavailable, os.ErrClosed)
	}
	t, d, err := l.ready(op, folder, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var lost *node
	if over := t.names[name]; over != nil {
		if !replaces {
			return nil, remote.E(op, quoted(name), remote.Exist, nil)
		}
		lost = l.nodes[nodeID(over.ino)]
		if err := l.keep(lost); err != nil && remote.KindOf(err) != remote.NotExist {
			return nil, err
		}
	}
	if err := l.disk.name(m, d, name, replaces); err != nil {
		if lost != nil {
			l.settle(lost)
		}
		l.empty(folder, t)
		return nil, err
	}
	l.nameless(lost)
	l.put(t, name, m.ino)
	n = l.node(folder, t.names[name])
	place(n, folder, name)
	n.f, n.pins = m.f, n.pins+1
	return n, nil
}

// ready gives a folder's list and its directory, made when missing, with room for one more name. mu
// is held.
func (l *Library) ready(op string, folder vfs.ID, name string) (*list, *os.File, error) {
	if err := unix.Mkdirat(int(l.disk.root.Fd()), folderName(folder), 0o700); err != nil &&
		!errors.Is(err, unix.EEXIST) {
		return nil, nil, l.disk.wrapMade(op, quoted(name), err)
	}
	d, err := l.disk.openDir(folderName(folder))
	if err != nil {
		return nil, nil, l.disk.wrapMade(op, quoted(name), err)
	}
	l.setHas(folder, true)
	t, err := l.list(folder)
	if err == nil && t.full() && t.names[name] == nil {
		err = remote.E(op, quoted(name), remote.NoSpace, errors.New("the folder has no place for another local name"))
	}
	if err != nil {
		d.Close()
		return nil, nil, err
	}
	return t, d, nil
}

// put enters a name into a list. mu is held.
func (l *Library) put(t *list, name string, ino uint64) {
	l.listed -= len(t.names)
	t.set(name, ino)
	l.listed += len(t.names)
}

// drop takes a name out of a folder's list, and the directory away with the last. mu is held.
func (l *Library) drop(folder vfs.ID, t *list, name string) {
	l.listed -= len(t.names)
	t.remove(name)
	l.listed += len(t.names)
	l.empty(folder, t)
}

// empty removes the directory of a folder that has no dropping. One in which something of others
// lies stays, and is looked at again by the next process. mu is held.
func (l *Library) empty(folder vfs.ID, t *list) {
	if len(t.names) > 0 {
		return
	}
	if err := unix.Unlinkat(int(l.disk.root.Fd()), folderName(folder), unix.AT_REMOVEDIR); err == nil {
		delete(l.lists, folder)
		l.setHas(folder, false)
	}
}

// keep makes sure that a file that is about to lose its name is open if somebody uses it. mu is
// held.
func (l *Library) keep(n *node) error {
	if n == nil || n.f != nil {
		return nil
	}
	return l.openNode(n)
}

// nameless settles a node after it lost its name. mu is held.
func (l *Library) nameless(n *node) {
	if n != nil {
		n.name = ""
		l.settle(n)
	}
}

// remove takes a dropping's name away: NotExist when there is none. The caller has a claim on
// folder.
func (l *Library) remove(folder vfs.ID, name string) error {
	const op = "delete a local file"
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.list(folder)
	if err != nil {
		return err
	}
	if t == nil || t.names[name] == nil {
		return remote.E(op, quoted(name), remote.NotExist, nil)
	}
	d, err := l.disk.openDir(folderName(folder))
	if err != nil {
		return l.disk.wrap(op, quoted(name), err)
	}
	defer d.Close()
	n := l.nodes[nodeID(t.names[name].ino)]
	if err := l.keep(n); err != nil && remote.KindOf(err) != remote.NotExist {
		return err
	}
	if err := unix.Unlinkat(int(d.Fd()), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		if n != nil {
			l.settle(n)
		}
		return l.disk.wrap(op, quoted(name), err)
	}
	l.nameless(n)
	l.drop(folder, t, name)
	return nil
}

// move renames a dropping. The caller has claims on both folders, and to exists.
func (l *Library) move(from vfs.ID, name string, to vfs.ID, newName string, flags uint32) error {
	const op = "rename a local file"
	bad := func(kind remote.Kind, err error) error {
		return remote.E(op, quoted(name)+" to "+quoted(newName), kind, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	src, err := l.list(from)
	if err != nil {
		return err
	}
	if src == nil || src.names[name] == nil {
		return bad(remote.NotExist, nil)
	}
	dst, toDir, err := l.ready(op, to, newName)
	if err != nil {
		return err
	}
	defer toDir.Close()
	defer func() { l.empty(to, dst) }() // where nothing came to lie in it
	fromDir, err := l.disk.openDir(folderName(from))
	if err != nil {
		return bad(l.disk.wrap(op, "", err).Kind, err)
	}
	defer fromDir.Close()
	ino := src.names[name].ino
	over := dst.names[newName]
	switch {
	case over != nil && flags == vfs.RenameNoReplace:
		return bad(remote.Exist, nil)
	case over == nil && flags == vfs.RenameExchange:
		return bad(remote.NotExist, nil)
	case over != nil && over.ino == ino:
		return nil // the same name
	}
	n := l.nodes[nodeID(ino)]
	if over == nil {
		err = moveToFree(fromDir, name, toDir, newName)
	} else {
		lost, overIno := l.nodes[nodeID(over.ino)], over.ino
		if flags == vfs.RenameExchange {
			if err := unix.Renameat2(
				int(fromDir.Fd()), name, int(toDir.Fd()), newName, unix.RENAME_EXCHANGE,
			); err != nil {
				return bad(l.disk.wrap(op, "", err).Kind, err)
			}
			src.names[name].ino, over.ino = overIno, ino
			place(n, to, newName)
			place(lost, from, name)
			return nil
		}
		if err := l.keep(lost); err != nil && remote.KindOf(err) != remote.NotExist {
			return err
		}
		if err = unix.Renameat(int(fromDir.Fd()), name, int(toDir.Fd()), newName); err == nil {
			l.nameless(lost)
		} else if lost != nil {
			l.settle(lost)
		}
	}
	if err != nil {
		return bad(l.disk.wrap(op, "", err).Kind, err)
	}
	place(n, to, newName)
	l.put(dst, newName, ino)
	l.drop(from, src, name)
	return nil
}

// place notes where a node's file lies now.
func place(n *node, folder vfs.ID, name string) {
	if n != nil {
		n.folder, n.name = folder, name
	}
}

// isEmpty tells whether a folder has no dropping that is shown.
func (l *Library) isEmpty(folder vfs.ID) (bool, error) {
	if !l.has(folder) {
		return true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.list(folder)
	return t == nil || len(t.names) == 0, err
}

// syncFolder makes the names of a folder's droppings survive a loss of power.
func (l *Library) syncFolder(folder vfs.ID) error {
	d, err := l.disk.openDir(folderName(folder))
	if errors.Is(err, unix.ENOENT) {
		return l.sync(l.disk.root)
	}
	if err != nil {
		return remote.OSError("fsync a local folder", folderName(folder), err)
	}
	defer d.Close()
	return errors.Join(l.sync(d), l.sync(l.disk.root))
}

func (l *Library) sync(f *os.File) error {
	if err := f.Sync(); err != nil {
		return remote.OSError("fsync", f.Name(), err)
	}
	return nil
}
