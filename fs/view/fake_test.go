package view

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mediafs/fs/media"
	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A fake is a media library in memory, with one lock. What is not here panics.
type fake struct {
	vfs.MediaLibrary
	mu       sync.Mutex
	next     vfs.ID
	nodes    map[vfs.ID]*fakeNode
	trash    map[uint64]vfs.TrashEntry
	clock    int64
	uploads  []vfs.UploadState
	canceled []vfs.ID
	crcs     int // how often CRC32 read
	finds    int
	edits    int
	refs     map[vfs.ID]int
	opened   int

	unindexed atomic.Uint64 // of a hundred
}

type fakeNode struct {
	attr     vfs.Attr
	children map[string]vfs.ID
	parents  map[string]vfs.ID // "parent/name"
	data     []byte
	sparse   bool // data is zeros but for a mark every GiB
	target   []byte
	media    remote.Media
	versions []vfs.Version
	old      map[uint64][]byte
	list     []byte // access control list; nil: none
}

const firstFake = vfs.ID(1)<<40 | 0x100

func newFake() *fake {
	f := &fake{
		next:  firstFake,
		nodes: make(map[vfs.ID]*fakeNode),
		trash: make(map[uint64]vfs.TrashEntry),
		clock: 1_700_000_000,
		refs:  make(map[vfs.ID]int),
	}
	f.nodes[vfs.Root] = &fakeNode{
		attr:     vfs.Attr{ID: vfs.Root, Mode: unix.S_IFDIR | 0o755, Nlink: 2},
		children: make(map[string]vfs.ID),
	}
	return f
}

func (f *fake) now() vfs.Time {
	f.clock++
	return vfs.Time{Sec: f.clock}
}

// add makes a node at a path whose folder is there. The lock is taken.
func (f *fake) add(p string, mode uint32, data string) vfs.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := f.walk(path.Dir(p))
	if dir == nil {
		panic(p)
	}
	return f.put(dir, path.Base(p), mode, data)
}

func (f *fake) put(dir *fakeNode, name string, mode uint32, data string) vfs.ID {
	f.next++
	id, t := f.next, f.now()
	n := &fakeNode{
		attr:    vfs.Attr{ID: id, Mode: mode, Nlink: 1, UID: 0, Size: int64(len(data)), Mtime: t, Ctime: t, Btime: t},
		data:    []byte(data),
		parents: make(map[string]vfs.ID),
	}
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		n.children = make(map[string]vfs.ID)
	case unix.S_IFLNK:
		n.target = []byte(data)
	}
	n.media = remote.Media{ID: fmt.Sprintf("%032x", id), Node: id}
	f.nodes[id] = n
	f.name(dir, name, id)
	return id
}

func (f *fake) name(dir *fakeNode, name string, id vfs.ID) {
	dir.children[name] = id
	f.nodes[id].parents[fmt.Sprintf("%x/%s", dir.attr.ID, name)] = dir.attr.ID
}

func (f *fake) unname(dir *fakeNode, name string) vfs.ID {
	id := dir.children[name]
	delete(dir.children, name)
	delete(f.nodes[id].parents, fmt.Sprintf("%x/%s", dir.attr.ID, name))
	f.nodes[id].attr.Ctime = f.now()
	return id
}

func (f *fake) walk(p string) *fakeNode {
	n := f.nodes[vfs.Root]
	for _, name := range strings.Split(strings.Trim(p, "/"), "/") {
		if name == "" || name == "." {
			continue
		}
		id, ok := n.children[name]
		if !ok {
			return nil
		}
		n = f.nodes[id]
	}
	return n
}

func (f *fake) paths(id vfs.ID) []string {
	if id == vfs.Root {
		return []string{"/"}
	}
	var all []string
	n := f.nodes[id]
	if n == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(n.parents)) {
		_, name, _ := strings.Cut(k, "/")
		for _, p := range f.paths(n.parents[k]) {
			all = append(all, path.Join(p, name))
		}
	}
	return all
}

// set changes a node under the lock.
func (f *fake) set(id vfs.ID, change func(n *fakeNode)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.nodes[id])
	f.nodes[id].attr.Ctime = f.now()
}

func none(op string, what any) error { return remote.E(op, fmt.Sprint(what), remote.NotExist, nil) }

func (f *fake) node(id vfs.ID) (*fakeNode, error) {
	if n := f.nodes[id]; n != nil {
		return n, nil
	}
	return nil, none("node", id)
}

func (f *fake) Lookup(_ context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(parent)
	if err != nil {
		return vfs.Attr{}, err
	}
	id, ok := n.children[name]
	if !ok {
		return vfs.Attr{}, none("look up", name)
	}
	f.refs[id]++
	return f.nodes[id].attr, nil
}

func (f *fake) Forget(id vfs.ID, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs[id] -= int(n)
}

func (f *fake) Reference(_ context.Context, id vfs.ID) (vfs.Attr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return vfs.Attr{}, err
	}
	f.refs[id]++
	return n.attr, nil
}

func (f *fake) GetAttr(_ context.Context, id vfs.ID) (vfs.Attr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return vfs.Attr{}, err
	}
	return n.attr, nil
}

func (f *fake) Resolve(_ context.Context, p string) (vfs.Attr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.walk(p); n != nil {
		return n.attr, nil
	}
	return vfs.Attr{}, none("resolve", p)
}

func (f *fake) Paths(_ context.Context, id vfs.ID) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.node(id); err != nil {
		return nil, err
	}
	return f.paths(id), nil
}

func (f *fake) Readlink(_ context.Context, id vfs.ID) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[id].target, nil
}

func (f *fake) tell(n *fakeNode) *remote.Media {
	m := n.media
	m.Paths, m.Size = f.paths(n.attr.ID), n.attr.Size
	if len(m.Paths) > 0 {
		m.Name = path.Base(m.Paths[0])
	}
	m.Tags, m.Favorites = slices.Clone(m.Tags), slices.Clone(m.Favorites)
	m.Revision = uint64(len(n.versions))
	return &m
}

func (f *fake) Media(_ context.Context, id vfs.ID) (*remote.Media, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	return f.tell(n), nil
}

func (f *fake) MediaNode(_ context.Context, id string) (vfs.ID, error) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil || len(id) != 32 {
		return 0, remote.E("media", id, remote.Invalid, nil)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes[n] == nil {
		return 0, none("media", id)
	}
	return n, nil
}

func (f *fake) Document(context.Context, vfs.ID) (*remote.FactsDocument, error) {
	return nil, none("document", "")
}

func (f *fake) EditMedia(_ context.Context, _ vfs.Caller, id vfs.ID, ch vfs.MediaChange) error {
	if err := media.Check(ch.Edits); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return err
	}
	f.edits++
	m := &n.media
	for _, e := range ch.Edits {
		switch {
		case e.Field == "tags" && e.Do == media.Add:
			if !slices.Contains(m.Tags, e.Value) {
				m.Tags = append(m.Tags, e.Value)
			}
		case e.Field == "tags" && e.Do == media.Remove:
			m.Tags = slices.DeleteFunc(m.Tags, func(t string) bool { return t == e.Value })
		case e.Field == "hidden":
			m.Hidden = e.Do == media.Set
		case e.Field == "moderation":
			m.Moderation, _ = strconv.Atoi(e.Value)
		default:
			panic(e)
		}
	}
	for _, a := range ch.Attached {
		if a.Kind != record.AttachedFavorite {
			panic(a)
		}
		user := string(a.Which)
		m.Favorites = slices.DeleteFunc(m.Favorites, func(u string) bool { return u == user })
		if !a.Remove {
			m.Favorites = append(m.Favorites, user)
		}
	}
	return nil
}

// matching are the media of the tree after a node, ascending.
func (f *fake) matching(q *query.Query, after vfs.ID) []*remote.Media {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finds++
	var ids []vfs.ID
	for id, n := range f.nodes {
		if id > after && n.attr.Mode&unix.S_IFMT == unix.S_IFREG {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var all []*remote.Media
	for _, id := range ids {
		if m := f.tell(f.nodes[id]); len(m.Paths) > 0 && (q == nil || q.Match(m)) {
			all = append(all, m)
		}
	}
	return all
}

func (f *fake) Find(_ context.Context, q *query.Query, after vfs.ID, yield func(*remote.Media) bool) error {
	for _, m := range f.matching(q, after) {
		if !yield(m) {
			return nil
		}
	}
	return nil
}

func (f *fake) Latest(_ context.Context, q *query.Query, yield func(*remote.Media) bool) error {
	all := f.matching(q, 0)
	slices.Reverse(all)
	for _, m := range all {
		if !yield(m) {
			return nil
		}
	}
	return nil
}

func (f *fake) Values(_ context.Context, field string, q *query.Query) ([]string, error) {
	var all []string
	for _, m := range f.matching(q, 0) {
		switch field {
		case "tag":
			all = append(all, m.Tags...)
		case "favorite":
			all = append(all, m.Favorites...)
		case "type":
			if m.Type != "" {
				all = append(all, m.Type)
			}
		case "month":
			if m.Year != 0 && m.Month != 0 {
				all = append(all, fmt.Sprintf("%04d-%02d", m.Year, m.Month))
			}
		default:
			panic(field)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (f *fake) TrashEntries(_ context.Context, yield func(vfs.TrashEntry) bool) error {
	f.mu.Lock()
	all := slices.Collect(maps.Values(f.trash))
	f.mu.Unlock()
	for _, e := range all {
		if !yield(e) {
			return nil
		}
	}
	return nil
}

func (f *fake) TrashName(_ context.Context, c vfs.Caller, parent vfs.ID, name string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := f.nodes[parent]
	if _, ok := dir.children[name]; !ok {
		return 0, none("trash", name)
	}
	p := "/" + name
	if above := f.paths(parent); len(above) > 0 {
		p = path.Join(above[0], name)
	}
	id := f.unname(dir, name)
	f.next++
	if len(f.nodes[id].parents) > 0 {
		return f.next, nil // it has other names
	}
	f.trash[f.next] = vfs.TrashEntry{
		Entry:   f.next,
		Node:    id,
		Parent:  parent,
		Path:    p,
		Name:    name,
		Deleted: f.now(),
		UID:     c.UID,
		Attr:    f.nodes[id].attr,
	}
	return f.next, nil
}

func (f *fake) Restore(_ context.Context, _ vfs.Caller, entry uint64, parent vfs.ID, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.trash[entry]
	if !ok {
		return none("restore", entry)
	}
	dir := f.nodes[parent]
	if _, taken := dir.children[name]; taken {
		return remote.E("restore", name, remote.Exist, nil)
	}
	f.name(dir, name, e.Node)
	delete(f.trash, entry)
	return nil
}

func (f *fake) Purge(_ context.Context, _ vfs.Caller, entry uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.trash[entry]
	if !ok {
		return none("purge", entry)
	}
	delete(f.trash, entry)
	f.drop(e.Node)
	return nil
}

func (f *fake) drop(id vfs.ID) {
	for _, c := range f.nodes[id].children {
		f.drop(c)
	}
	delete(f.nodes, id)
}

func (f *fake) Versions(_ context.Context, id vfs.ID) ([]vfs.Version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.versions), nil
}

func (f *fake) OpenVersion(_ context.Context, id vfs.ID, number uint64) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return &fakeFile{f: f, data: f.nodes[id].old[number]}, nil
}

func (f *fake) Uploads(context.Context) ([]vfs.UploadState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.uploads), nil
}

func (f *fake) CancelUpload(_ context.Context, id vfs.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.canceled = append(f.canceled, id)
	f.uploads = slices.DeleteFunc(f.uploads, func(u vfs.UploadState) bool { return u.Node == id })
	return nil
}

func (f *fake) CRC32(_ context.Context, id vfs.ID) (uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crcs++
	n, err := f.node(id)
	if err != nil {
		return 0, err
	}
	return crc32.ChecksumIEEE(n.data), nil
}

func (f *fake) ViewFolder() string { return ".media" }
func (f *fake) Status() vfs.Status { return vfs.Status{} }

func (f *fake) Indexed() (done, total uint64, ready bool) {
	n := f.unindexed.Load()
	return 100 - n, 100, n == 0
}

func (f *fake) Open(_ context.Context, _ vfs.Caller, id vfs.ID, _ uint32) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	f.opened++
	return &fakeFile{f: f, data: n.data, sparse: n.sparse, size: n.attr.Size}, nil
}

func (f *fake) Unlink(_ context.Context, _ vfs.Caller, parent vfs.ID, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.nodes[parent].children[name]; !ok {
		return none("unlink", name)
	}
	f.unname(f.nodes[parent], name)
	return nil
}

// Rmdir is asked for what the kernel still believes to be in the tree, for a second after it went
// to the trash.
func (f *fake) Rmdir(_ context.Context, _ vfs.Caller, parent vfs.ID, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, ok := f.nodes[parent].children[name]
	if !ok {
		return none("rmdir", name)
	}
	if len(f.nodes[id].children) > 0 {
		return remote.E("rmdir", name, remote.NotEmpty, nil)
	}
	f.unname(f.nodes[parent], name)
	return nil
}

func (f *fake) Rename(
	_ context.Context, _ vfs.Caller, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32,
) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.nodes[newParent].children[newName]; taken && flags&vfs.RenameNoReplace != 0 {
		return remote.E("rename", newName, remote.Exist, nil)
	}
	if _, ok := f.nodes[parent].children[name]; !ok {
		return none("rename", name)
	}
	f.name(f.nodes[newParent], newName, f.unname(f.nodes[parent], name))
	return nil
}

func (f *fake) Mkdir(_ context.Context, c vfs.Caller, parent vfs.ID, name string, mode uint32) (vfs.Attr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.put(f.nodes[parent], name, unix.S_IFDIR|mode, "")
	f.nodes[id].attr.UID = c.UID
	f.refs[id]++
	return f.nodes[id].attr, nil
}

func (f *fake) OpenDir(_ context.Context, id vfs.ID) (vfs.Dir, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	if n.children == nil {
		return nil, remote.E("opendir", "", remote.NotDir, nil)
	}
	f.opened++
	return &fakeDir{f, id}, nil
}

// fakeDir lists by node, which is its cookie, and holds the library's lock while it does: who calls
// back hangs.
type fakeDir struct {
	f  *fake
	id vfs.ID
}

func (d *fakeDir) Fsync(context.Context) error { return nil }

func (d *fakeDir) Release() { d.f.release() }

func (f *fake) release() {
	f.mu.Lock()
	f.opened--
	f.mu.Unlock()
}

func (d *fakeDir) Read(_ context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool) error {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	for c, name := range []string{1: ".", 2: ".."} {
		if name != "" && cookie < uint64(c) &&
			!emit([]vfs.DirEntry{{Name: name, Cookie: uint64(c), ID: d.id, Mode: unix.S_IFDIR}}) {
			return nil
		}
	}
	n := d.f.nodes[d.id]
	names := slices.SortedFunc(
		maps.Keys(n.children), func(a, b string) int { return strings.Compare(hashed(a), hashed(b)) },
	)
	for _, name := range names {
		c := binary.BigEndian.Uint64([]byte(hashed(name)))
		if c <= cookie {
			continue
		}
		a := d.f.nodes[n.children[name]].attr
		if !emit([]vfs.DirEntry{{Name: name, Cookie: c, ID: a.ID, Mode: a.Mode & unix.S_IFMT, Attr: a}}) {
			return nil
		}
		if attrs {
			d.f.refs[a.ID]++
		}
	}
	return nil
}

// hashed is where a name is in a listing: 8 bytes.
func hashed(name string) string {
	h := uint64(crc32.ChecksumIEEE([]byte(name)))<<20 | uint64(len(name)) | 1<<53
	return string(binary.BigEndian.AppendUint64(nil, h))
}

type fakeFile struct {
	vfs.File
	f      *fake
	data   []byte
	sparse bool
	size   int64
}

// mark is what a sparse media has at each GiB; the rest is zeros.
const mark = 0x5a

func (f *fakeFile) Read(_ context.Context, p []byte, off int64) (int, error) {
	if !f.sparse {
		if off >= int64(len(f.data)) {
			return 0, nil
		}
		return copy(p, f.data[off:]), nil
	}
	n := max(0, min(int64(len(p)), f.size-off))
	clear(p[:n])
	for g := (off + 1<<30 - 1) >> 30 << 30; g < off+n; g += 1 << 30 {
		p[g-off] = mark
	}
	return int(n), nil
}

func (f *fakeFile) Release() { f.f.release() }
