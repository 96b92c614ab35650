package view

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"mediafs/fs/vfs"
	"mediafs/remote/bucket/record"
)

// A spot is what a node of a view is.
type spot interface {
	// key describes it: two spots with one key are the same node.
	key() string
	// attr gives its attributes, but for the number. NotExist: there is no such thing any more.
	attr(ctx context.Context) (vfs.Attr, error)
}

// A folder is a spot with entries.
type folder interface {
	spot
	// lookup finds an entry. NotExist also for one that the caller is not shown.
	lookup(ctx context.Context, who *asker, name string) (entry, error)
	// list emits the entries after a cookie, until emit returns false. s is the open folder.
	list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error
}

// A file is a spot that can be read.
type file interface {
	spot
	open(ctx context.Context, who *asker) (vfs.File, error)
}

// A shadow is a spot whose attributes are made of those of a node of the tree. The node's access
// control list counts for it too, with what shown leaves of the permissions of each entry: as attr
// does with those of the mode. of is 0 when there is no such node.
type shadow interface {
	rights() (of vfs.ID, shown func(perm uint32) uint32)
}

// readOnlyRights are the rights to a file that can be read only.
func readOnlyRights(perm uint32) uint32 { return perm & mayRead }

// What else a folder may take; one that does not implement it refuses. From and to whom something
// goes is settled by rename.
type (
	maker interface {
		mkdir(ctx context.Context, who *asker, name string) (spot, error)
	}
	linker interface {
		link(ctx context.Context, who *asker, id vfs.ID, name string) error
	}
	unlinker interface {
		unlink(ctx context.Context, who *asker, name string) error
	}
	dirRemover interface {
		rmdir(ctx context.Context, who *asker, name string) error
	}
	creator interface {
		create(ctx context.Context, who *asker, name string, flags uint32) (spot, vfs.File, error)
	}
	// taker takes a name of the tree.
	taker interface {
		take(ctx context.Context, who *asker, parent vfs.ID, name, newName string) error
	}
	// giver gives one of its entries up for a name in the tree or in another folder of a view.
	giver interface {
		give(ctx context.Context, who *asker, name string, to place, flags uint32) error
	}
)

// A place is where a rename goes: a name in a folder of the tree, or of a view.
type place struct {
	parent vfs.ID
	view   folder // nil: parent is in the tree
	name   string
}

// An entry is a name in a folder of a view. It stands for a spot, or for a media of the tree.
type entry struct {
	name   string
	cookie uint64
	spot   spot
	media  vfs.ID  // when spot is nil
	mode   uint32  // type bits of a spot that is neither folder nor regular file; 0: they follow from what it is
	more   []entry // that have the same cookie
}

// A table gives numbers to spots, and keeps those that the kernel refers to.
type table struct {
	salt  [16]byte
	mu    sync.Mutex // guards what is below
	byID  map[vfs.ID]*node
	byKey map[string]*node
	hash  func(key string, try int) uint64 // nil: keyed by salt; for tests of collisions
}

// A node is a spot that the kernel refers to.
type node struct {
	id   vfs.ID
	key  string
	spot spot
	refs uint64
}

func (t *table) init(salt [16]byte) {
	t.salt = salt
	t.byID, t.byKey = make(map[vfs.ID]*node), make(map[string]*node)
}

// number is the number that a spot has, or would get.
func (t *table) number(key string) vfs.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(key)
}

// find is number for who has mu. A number that another spot has is passed over; with 61 bits that
// hardly happens.
func (t *table) find(key string) vfs.ID {
	if n := t.byKey[key]; n != nil {
		return n.id
	}
	for try := 0; ; try++ {
		id := record.ViewBit | t.sum(key, try)&(record.ViewBit>>1-1)
		if t.byID[id] == nil {
			return id
		}
	}
}

func (t *table) sum(key string, try int) uint64 {
	if t.hash != nil {
		return t.hash(key, try)
	}
	b := make([]byte, 0, 64)
	b = append(b, t.salt[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(try))
	b = append(b, key...)
	s := sha256.Sum256(b)
	return binary.BigEndian.Uint64(s[:])
}

// refer takes a reference and gives the number and the spot that has it, which is the one that came
// first under its key.
func (t *table) refer(s spot) (vfs.ID, spot) {
	key := s.key()
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byKey[key]
	if n == nil {
		n = &node{id: t.find(key), key: key, spot: s}
		t.byKey[key], t.byID[n.id] = n, n
	}
	n.refs++
	return n.id, n.spot
}

// get gives what a number stands for; nil when the kernel does not refer to it.
func (t *table) get(id vfs.ID) spot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.byID[id]; n != nil {
		return n.spot
	}
	return nil
}

func (t *table) forget(id vfs.ID, refs uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil {
		return
	}
	if n.refs -= min(refs, n.refs); n.refs == 0 {
		delete(t.byID, id)
		delete(t.byKey, n.key)
	}
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}
