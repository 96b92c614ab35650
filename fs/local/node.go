package local

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A node is a dropping that the kernel knows or that is open. Its file is open while somebody uses
// it, and from the loss of its name on until the last reference is given back.
type node struct {
	id vfs.ID

	// Guarded by Library.mu:
	folder  vfs.ID
	name    string // empty: it has lost it
	lookups uint64 // the kernel's
	pins    int    // open files and running calls

	f *os.File // set under Library.mu; with a pin it is there and stays

	inner atomic.Uint64 // the node of the inner library that it has become; 0: it is a dropping still. Set under io

	io sync.Mutex // held by who changes its size or its record
}

// node gives the node of a name's real file. mu is held.
func (l *Library) node(folder vfs.ID, e *entry) *node {
	id := nodeID(e.ino)
	n := l.nodes[id]
	if n == nil {
		n = &node{id: id, folder: folder, name: e.name}
		l.nodes[id] = n
	}
	return n
}

// hold pins a node, which opens its file. mu is held.
func (l *Library) hold(n *node) error {
	if n.f == nil {
		if err := l.openNode(n); err != nil {
			l.settle(n)
			return err
		}
	}
	n.pins++
	return nil
}

func (l *Library) openNode(n *node) error {
	op := "open a local file"
	if l.closed {
		return remote.E(op, quoted(n.name), remote.Unavailable, os.ErrClosed)
	}
	folder, err := l.disk.openDir(folderName(n.folder))
	if err != nil {
		return l.disk.wrap(op, quoted(n.name), err)
	}
	defer folder.Close()
	flags := unix.O_RDWR
	if l.readOnly {
		flags = unix.O_RDONLY
	}
	f, ino, err := l.disk.open(folder, n.name, flags)
	if err != nil {
		return l.disk.wrap(op, quoted(n.name), err)
	}
	if nodeID(ino) != n.id {
		f.Close()
		return remote.E(
			op, quoted(n.name), remote.Stale, fmt.Errorf("another file lies in its place in %s", l.disk.path),
		)
	}
	n.f = f
	return nil
}

// settle lets go of what nobody uses any more. mu is held.
func (l *Library) settle(n *node) {
	if n.pins > 0 {
		return
	}
	if n.f != nil && (n.name != "" || n.lookups == 0) {
		n.f.Close()
		n.f = nil
	}
	if n.lookups == 0 && l.nodes[n.id] == n {
		delete(l.nodes, n.id)
		l.letGo(n)
	}
}

// pin gives the node of an id that the kernel knows, with its file open, until unpin.
func (l *Library) pin(op string, id vfs.ID) (*node, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nodes[id]
	if n == nil {
		return nil, remote.E(op, fmt.Sprint(id), remote.NotExist, nil)
	}
	if err := l.hold(n); err != nil {
		return nil, err
	}
	return n, nil
}

// pinName gives the node of a name: NotExist when there is none.
func (l *Library) pinName(folder vfs.ID, name string) (*node, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLists()
	t, err := l.list(folder)
	if err != nil {
		return nil, err
	}
	if t == nil || t.names[name] == nil {
		return nil, remote.E("look up", quoted(name), remote.NotExist, nil)
	}
	n := l.node(folder, t.names[name])
	if err := l.hold(n); err != nil {
		if remote.KindOf(err) == remote.NotExist {
			l.drop(folder, t, name) // somebody deleted the real file
		}
		return nil, err
	}
	return n, nil
}

func (l *Library) unpin(n *node) {
	l.mu.Lock()
	n.pins--
	l.settle(n)
	l.unlock()
}

// lookedUp adds a reference of the kernel's to a node that is pinned.
func (l *Library) lookedUp(n *node) {
	l.mu.Lock()
	n.lookups++
	l.mu.Unlock()
}

func (l *Library) forget(id vfs.ID, count uint64) {
	l.mu.Lock()
	if n := l.nodes[id]; n != nil {
		n.lookups -= min(count, n.lookups)
		l.settle(n)
	}
	l.unlock()
}
