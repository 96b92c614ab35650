package vfstest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// A model is a tree in memory that does what the rules say and nothing else: no handles, no times,
// no space. It is what random operations are checked against.
type model struct{ root *inode }

type inode struct {
	mode     uint32
	uid, gid uint32
	nlink    uint32
	data     []byte
	target   string
	xattrs   map[string]string
	entries  map[string]*inode // of a folder
}

func newModel() *model { return &model{root: newFolder()} }

func newFolder() *inode {
	return &inode{
		mode:    unix.S_IFDIR | 0o755,
		nlink:   2,
		entries: make(map[string]*inode),
		xattrs:  make(map[string]string),
	}
}

func newInode(mode uint32) *inode {
	return &inode{mode: mode, nlink: 1, xattrs: make(map[string]string)}
}

func (n *inode) isDir() bool  { return n.entries != nil }
func (n *inode) isFile() bool { return n.mode&unix.S_IFMT == unix.S_IFREG }

// find gives the node of a path.
func (m *model) find(path string) (*inode, error) {
	n := m.root
	for name := range strings.SplitSeq(path, "/") {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[name]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parent gives the folder of a path, the last name, and what has that name now or nil.
func (m *model) parent(path string) (dir *inode, name string, n *inode, err error) {
	dir = m.root
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		if dir, err = m.find(path[:i]); err != nil {
			return nil, "", nil, err
		}
		path = path[i+1:]
	}
	if !dir.isDir() {
		return nil, "", nil, syscall.ENOTDIR
	}
	return dir, path, dir.entries[path], nil
}

// add makes a name for n.
func (m *model) add(path string, n *inode) error {
	dir, name, old, err := m.parent(path)
	if err != nil {
		return err
	}
	if old != nil {
		return syscall.EEXIST
	}
	dir.entries[name] = n
	if n.isDir() {
		dir.nlink++
	}
	return nil
}

func (m *model) link(path, newPath string) error {
	n, err := m.find(path)
	if err != nil {
		return err
	}
	switch _, _, old, err := m.parent(newPath); {
	case err != nil:
		return err
	case old != nil:
		return syscall.EEXIST
	case n.isDir():
		return syscall.EPERM
	}
	n.nlink++
	return m.add(newPath, n)
}

// remove takes a name away, of a folder or of anything else.
func (m *model) remove(path string, folder bool) error {
	dir, name, n, err := m.parent(path)
	switch {
	case err != nil:
		return err
	case n == nil:
		return syscall.ENOENT
	case folder && !n.isDir():
		return syscall.ENOTDIR
	case !folder && n.isDir():
		return syscall.EISDIR
	case len(n.entries) > 0:
		return syscall.ENOTEMPTY
	}
	dir.drop(name)
	return nil
}

func (n *inode) drop(name string) {
	child := n.entries[name]
	delete(n.entries, name)
	if child.isDir() {
		n.nlink--
	} else {
		child.nlink--
	}
}

func (n *inode) contains(other *inode) bool {
	if n == other {
		return true
	}
	for _, c := range n.entries {
		if c.contains(other) {
			return true
		}
	}
	return false
}

func (m *model) rename(path, newPath string, flags uint32) error {
	dir, name, n, err := m.parent(path)
	if err != nil {
		return err
	}
	newDir, newName, old, err := m.parent(newPath)
	switch exchange := flags&vfs.RenameExchange != 0; {
	case err != nil:
		return err
	case n == nil, exchange && old == nil:
		return syscall.ENOENT
	case old != nil && flags&vfs.RenameNoReplace != 0:
		return syscall.EEXIST
	case n.isDir() && n.contains(newDir):
		return syscall.EINVAL
	case old != nil && old.isDir() && old.contains(dir):
		return syscall.ENOTEMPTY
	case old == n:
		return nil
	case exchange:
		dir.entries[name], newDir.entries[newName] = old, n
		if n.isDir() != old.isDir() && dir != newDir {
			if n.isDir() {
				dir, newDir = newDir, dir
			}
			dir.nlink++
			newDir.nlink--
		}
		return nil
	case old == nil:
	case n.isDir() && !old.isDir():
		return syscall.ENOTDIR
	case !n.isDir() && old.isDir():
		return syscall.EISDIR
	case len(old.entries) > 0:
		return syscall.ENOTEMPTY
	default:
		newDir.drop(newName)
	}
	delete(dir.entries, name)
	newDir.entries[newName] = n
	if n.isDir() {
		dir.nlink--
		newDir.nlink++
	}
	return nil
}

// check compares a snapshot of a system with the model.
func (m *model) check(e *env, what string, got map[string]record) {
	e.Helper()
	paths := make(map[*inode]string)
	want := make(map[string]*inode)
	m.root.walk("", want)
	for _, path := range slices.Sorted(maps.Keys(want)) {
		n := want[path]
		g, ok := got[path]
		if !ok {
			e.Errorf("%s: %q is missing", what, path)
			continue
		}
		a := g.Attr
		if a.Mode != n.mode || a.UID != n.uid || a.GID != n.gid || a.Nlink != n.nlink || g.Target != n.target {
			e.Errorf("%s: %q is %o %d:%d, %d links, %q; want %o %d:%d, %d links, %q", what, path,
				a.Mode, a.UID, a.GID, a.Nlink, g.Target, n.mode, n.uid, n.gid, n.nlink, n.target)
		}
		if n.isFile() && (a.Size != int64(len(n.data)) || g.Sum != sha256.Sum256(n.data)) {
			e.Errorf("%s: %q has other content: %d bytes, want %d", what, path, a.Size, len(n.data))
		}
		var xattrs strings.Builder
		for _, name := range slices.Sorted(maps.Keys(n.xattrs)) {
			fmt.Fprintf(&xattrs, "%q=%x ", name, sha256.Sum256([]byte(n.xattrs[name])))
		}
		if g.Xattrs != xattrs.String() {
			e.Errorf("%s: %q has other attributes: %s, want %s", what, path, g.Xattrs, xattrs.String())
		}
		if first, ok := paths[n]; !ok {
			paths[n] = path
		} else if got[first].Attr.ID != a.ID {
			e.Errorf("%s: %q and %q are two inodes", what, first, path)
		}
	}
	for path := range got {
		if want[path] == nil {
			e.Errorf("%s: %q is too many", what, path)
		}
	}
}

func (n *inode) walk(path string, all map[string]*inode) {
	all[path] = n
	for name, c := range n.entries {
		c.walk(strings.TrimPrefix(path+"/"+name, "/"), all)
	}
}

// resize truncates or grows data.
func resize(data []byte, size int) []byte {
	if size <= len(data) {
		return bytes.Clone(data[:size])
	}
	return append(data, make([]byte, size-len(data))...)
}
