package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A modelNode is what a folder, file or symbolic link must be.
type modelNode struct {
	kind     os.FileMode // type bits: ModeDir, ModeSymlink, or 0
	mode     uint32      // permission bits
	data     []byte      // of a file; the target of a link
	names    int         // of anything but a folder
	mtime    int64       // nanoseconds; 0: not known
	xattr    map[string]string
	children map[string]*modelNode

	// states are what a file has held since it was last confirmed, the confirmed state first: any
	// of them may be there after a loss of power.
	states [][]byte
}

// A modelFile is an open file.
type modelFile struct {
	node   *modelNode
	append bool
	wrote  bool // through this one, since it was last sent
}

// A model is a folder as its only user has left it. It is a file system on its own: apply does what
// an operation must do.
type model struct {
	root    *modelNode
	files   map[int]*modelFile
	history bool // keep the states of files
}

func newModel() *model {
	return &model{root: newNode(os.ModeDir, 0o755), files: map[int]*modelFile{}}
}

func newNode(kind os.FileMode, mode uint32) *modelNode {
	n := &modelNode{kind: kind, mode: mode, names: 1, xattr: map[string]string{}, states: [][]byte{nil}}
	if kind == os.ModeDir {
		n.children = map[string]*modelNode{}
	}
	return n
}

func (n *modelNode) isDir() bool  { return n.kind == os.ModeDir }
func (n *modelNode) isFile() bool { return n.kind == 0 }

// clone copies a model; links and open files stay what they are to each other.
func (m *model) clone() *model {
	seen := map[*modelNode]*modelNode{}
	var copyOf func(n *modelNode) *modelNode
	copyOf = func(n *modelNode) *modelNode {
		if c := seen[n]; c != nil {
			return c
		}
		c := *n
		seen[n] = &c
		c.data, c.xattr, c.states = bytes.Clone(n.data), maps.Clone(n.xattr), slices.Clone(n.states)
		if n.isDir() {
			c.children = map[string]*modelNode{}
			for name, child := range n.children {
				c.children[name] = copyOf(child)
			}
		}
		return &c
	}
	c := &model{root: copyOf(m.root), files: map[int]*modelFile{}, history: m.history}
	for fd, f := range m.files {
		g := *f
		g.node = copyOf(f.node)
		c.files[fd] = &g
	}
	return c
}

// find follows a path; parent is nil when a folder on the way is missing.
func (m *model) find(name string) (parent *modelNode, base string, n *modelNode) {
	if name == "" || name == "." {
		return nil, "", m.root
	}
	parent = m.root
	dir, base := filepath.Split(name)
	for seg := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if seg == "" {
			continue
		}
		if parent = parent.children[seg]; parent == nil || !parent.isDir() {
			return nil, base, nil
		}
	}
	return parent, base, parent.children[base]
}

// walk visits everything below the root, folders before what is in them, in the order of their
// names.
func (m *model) walk(visit func(name string, n *modelNode)) {
	var down func(prefix string, n *modelNode)
	down = func(prefix string, n *modelNode) {
		for _, name := range slices.Sorted(maps.Keys(n.children)) {
			child := n.children[name]
			visit(filepath.Join(prefix, name), child)
			down(filepath.Join(prefix, name), child)
		}
	}
	down("", m.root)
}

func (m *model) inside(n, top *modelNode) bool {
	if n == top {
		return true
	}
	for _, child := range top.children {
		if m.inside(n, child) {
			return true
		}
	}
	return false
}

// changed notes new bytes of a file.
func (m *model) changed(n *modelNode) {
	n.mtime = 0
	if m.history {
		n.states = append(n.states, bytes.Clone(n.data))
	}
}

// confirmed notes that what a file holds may not be lost any more.
func (m *model) confirmed(n *modelNode) {
	if m.history {
		n.states = [][]byte{bytes.Clone(n.data)}
	}
}

// writeAt puts p into a file.
func (m *model) writeAt(n *modelNode, p []byte, off int64) {
	if end := off + int64(len(p)); end > int64(len(n.data)) {
		m.resize(n, end)
	}
	copy(n.data[off:], p)
	m.changed(n)
}

func (m *model) resize(n *modelNode, size int64) {
	if size <= int64(len(n.data)) {
		n.data = n.data[:size:size]
		return
	}
	n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
}

// pattern are n bytes made of a number.
func pattern(seed uint64, n int64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

// apply does an operation that came to its end, or would have. It returns why it must fail, or for
// a call that only looks what it must tell.
func (m *model) apply(o *op) (errno syscall.Errno, tells int64) {
	f := m.files[o.FD]
	switch o.Do {
	case "create", "open":
		return m.open(o), 0
	case "write":
		off, n := o.Off, o.Len
		if f.append {
			off = int64(len(f.node.data))
		}
		if o.Done && o.Err == "" {
			n = o.Res
		}
		m.writeAt(f.node, pattern(o.Seed, o.Len)[:n], off)
		f.wrote = true
	case "read":
		b := f.node.data[min(o.Off, int64(len(f.node.data))):]
		b = b[:min(o.Len, int64(len(b)))]
		return 0, int64(crc32.ChecksumIEEE(b))<<24 | int64(len(b))
	case "ftruncate":
		m.resize(f.node, o.Len)
		m.changed(f.node)
		f.wrote = true
	case "fsync":
		m.confirmed(f.node)
		f.wrote = false
	case "close":
		if f.wrote {
			m.confirmed(f.node)
		}
		delete(m.files, o.FD)
	case "copy":
		to := m.files[o.To2]
		b := f.node.data[min(o.Off, int64(len(f.node.data))):]
		b = bytes.Clone(b[:min(o.Len, int64(len(b)))])
		if o.Done && o.Err == "" {
			b = b[:min(int64(len(b)), o.Res)]
		}
		if len(b) > 0 {
			m.writeAt(to.node, b, o.Off2)
			to.wrote = true
		}
	case "flush":
		m.walk(func(_ string, n *modelNode) { m.confirmed(n) })
	default:
		return m.name(o), 0
	}
	return 0, 0
}

func (m *model) open(o *op) syscall.Errno {
	parent, base, n := m.find(o.Path)
	switch {
	case n == nil && o.Do == "open", parent == nil:
		return syscall.ENOENT
	case n != nil && o.Do == "create":
		return syscall.EEXIST
	case n != nil && !n.isFile():
		return syscall.EISDIR
	case n == nil:
		n = newNode(0, 0o644)
		parent.children[base] = n
	}
	m.files[o.FD] = &modelFile{node: n, append: o.Flags&os.O_APPEND != 0}
	if o.Flags&os.O_TRUNC != 0 {
		m.files[o.FD].wrote = len(n.data) > 0
		m.resize(n, 0)
		m.changed(n)
	}
	return 0
}

// name does what is done with names instead of open files.
func (m *model) name(o *op) syscall.Errno {
	parent, base, n := m.find(o.Path)
	make := func(kind os.FileMode, mode uint32) syscall.Errno {
		switch {
		case parent == nil:
			return syscall.ENOENT
		case n != nil:
			return syscall.EEXIST
		}
		n = newNode(kind, mode)
		parent.children[base] = n
		return 0
	}
	switch o.Do {
	case "mkdir":
		return make(os.ModeDir, 0o755)
	case "symlink":
		errno := make(os.ModeSymlink, 0o777)
		if errno == 0 {
			n.data = []byte(o.Value)
		}
		return errno
	case "rename":
		return m.rename(o)
	}
	if n == nil {
		return syscall.ENOENT
	}
	switch o.Do {
	case "unlink":
		if n.isDir() {
			return syscall.EISDIR
		}
		n.names--
		delete(parent.children, base)
	case "rmdir":
		switch {
		case !n.isDir():
			return syscall.ENOTDIR
		case len(n.children) > 0:
			return syscall.ENOTEMPTY
		}
		delete(parent.children, base)
	case "link":
		to, toBase, there := m.find(o.To)
		switch {
		case n.isDir():
			return syscall.EPERM
		case to == nil:
			return syscall.ENOENT
		case there != nil:
			return syscall.EEXIST
		}
		n.names++
		to.children[toBase] = n
	case "truncate":
		if !n.isFile() {
			return syscall.EISDIR
		}
		m.resize(n, o.Len)
		m.changed(n)
	case "chmod":
		n.mode = o.Mode
	case "utimens":
		n.mtime = o.Time
	case "setxattr":
		n.xattr[o.Attr] = o.Value
	case "removexattr":
		if _, ok := n.xattr[o.Attr]; !ok {
			return syscall.ENODATA
		}
		delete(n.xattr, o.Attr)
	default:
		panic(o.Do)
	}
	return 0
}

func (m *model) rename(o *op) syscall.Errno {
	from, fromBase, src := m.find(o.Path)
	to, toBase, dst := m.find(o.To)
	exchange := o.Flags == unix.RENAME_EXCHANGE
	switch {
	case src == nil, to == nil, exchange && dst == nil:
		return syscall.ENOENT
	case o.Flags == unix.RENAME_NOREPLACE && dst != nil:
		return syscall.EEXIST
	case m.inside(to, src), exchange && m.inside(from, dst):
		return syscall.EINVAL
	case !exchange && dst != nil && m.inside(from, dst):
		return syscall.ENOTEMPTY
	case src == dst:
		return 0
	case exchange:
		from.children[fromBase], to.children[toBase] = dst, src
		return 0
	case dst != nil && dst.isDir() != src.isDir():
		return syscall.EISDIR
	case dst != nil && len(dst.children) > 0:
		return syscall.ENOTEMPTY
	}
	if dst != nil {
		dst.names--
	}
	delete(from.children, fromBase)
	to.children[toBase] = src
	return 0
}

// readModel reads a folder as it is. Without data, files have zeros.
func readModel(dir string, data bool) (*model, error) {
	m := newModel()
	byInode := map[uint64]*modelNode{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: name, Err: err}
		}
		rel, _ := filepath.Rel(dir, name)
		parent, base, _ := m.find(rel)
		if n := byInode[st.Ino]; n != nil {
			parent.children[base] = n
			return nil
		}
		n := newNode(d.Type(), st.Mode&0o7777)
		byInode[st.Ino], parent.children[base] = n, n
		n.mtime = st.Mtim.Nano()
		if n.names = int(st.Nlink); n.isDir() {
			n.names = 1
		}
		switch {
		case n.kind == os.ModeSymlink:
			target, err := os.Readlink(name)
			n.data = []byte(target)
			return err
		case n.isFile() && !data:
			n.data = make([]byte, st.Size)
		case n.isFile():
			if n.data, err = os.ReadFile(name); err == nil && int64(len(n.data)) != st.Size {
				err = fmt.Errorf("%s has %d bytes, lstat says %d", rel, len(n.data), st.Size)
			}
		}
		if err == nil {
			n.xattr, err = readXattrs(name)
		}
		return err
	})
	return m, err
}

// takenOver makes a folder that was read the beginning of a model.
func (m *model) takenOver(history bool) *model {
	m.history = history
	count := map[*modelNode]int{}
	m.walk(func(_ string, n *modelNode) { count[n]++ })
	for n, names := range count {
		n.names, n.states = names, [][]byte{n.data}
		if history {
			n.states[0] = bytes.Clone(n.data)
		}
	}
	return m
}

// readXattrs reads the extended attributes that these tests set.
func readXattrs(name string) (map[string]string, error) {
	list, value := make([]byte, 64<<10), make([]byte, 64<<10)
	n, err := unix.Llistxattr(name, list)
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: name, Err: err}
	}
	found := map[string]string{}
	for attr := range strings.SplitSeq(string(list[:n]), "\x00") {
		if !strings.HasPrefix(attr, "user.torture.") {
			continue
		}
		n, err := unix.Lgetxattr(name, attr, value)
		if err != nil {
			return nil, &fs.PathError{Op: "getxattr", Path: name, Err: err}
		}
		found[attr] = string(value[:n])
	}
	return found, nil
}

// differs says in what a folder is not what the model says, or nothing. bytesOK judges the bytes of
// a file.
func (m *model) differs(is *model, bytesOK func(name string, want, is *modelNode) string) string {
	wanted := map[string]*modelNode{}
	m.walk(func(name string, n *modelNode) { wanted[name] = n })
	var first string
	note := func(format string, args ...any) {
		if first == "" {
			first = fmt.Sprintf(format, args...)
		}
	}
	is.walk(func(name string, n *modelNode) {
		w := wanted[name]
		delete(wanted, name)
		switch {
		case w == nil:
			note("%s is there and was never made, or was removed", name)
		case w.kind != n.kind:
			note("%s is a %v, not a %v", name, n.kind, w.kind)
		case w.mode != n.mode:
			note("%s has mode %o, not %o", name, n.mode, w.mode)
		case w.names != n.names:
			note("%s has %d names, not %d", name, n.names, w.names)
		case !maps.Equal(w.xattr, n.xattr):
			note("%s has the attributes %q, not %q", name, n.xattr, w.xattr)
		case n.kind == os.ModeSymlink && !bytes.Equal(w.data, n.data):
			note("%s leads to %q, not %q", name, n.data, w.data)
		case n.isFile():
			if s := bytesOK(name, w, n); s != "" {
				note("%s", s)
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		note("%s is missing", name)
	}
	return first
}

// exactBytes wants a file to be what it was, and its time where that was set.
func exactBytes(name string, want, is *modelNode) string {
	if !bytes.Equal(want.data, is.data) {
		return fmt.Sprintf("%s %s", name, firstDifference(is.data, want.data))
	}
	if want.mtime != 0 && want.mtime != is.mtime {
		return fmt.Sprintf("%s has the time %d, %d was set", name, is.mtime, want.mtime)
	}
	return ""
}

func firstDifference(is, want []byte) string {
	i := 0
	for i < len(is) && i < len(want) && is[i] == want[i] {
		i++
	}
	return fmt.Sprintf(
		"has %d bytes, not %d; differs from byte %d on: % x, not % x", len(is), len(want), i, is[i:min(len(is), i+8)],
		want[i:min(len(want), i+8)],
	)
}

// eitherBytes tells whether each byte is the old or the new one.
func eitherBytes(is, old, now []byte) bool {
	if len(is) < min(len(old), len(now)) || len(is) > max(len(old), len(now)) {
		return false
	}
	for i, b := range is {
		if (i >= len(old) || old[i] != b) && (i >= len(now) || now[i] != b) {
			return false
		}
	}
	return true
}
