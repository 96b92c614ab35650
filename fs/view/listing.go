package view

import (
	"context"
	"hash/maphash"
	"sync"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Cookies: "." and "..", entries of a list by their place in it, and media by their node, whose
// numbers lie above.
const (
	cookieSelf   = 1
	cookieParent = 2
	firstEntry   = 3
	firstNode    = 1 << record.ClientShift
)

// A listing is an open folder of a view. What it keeps between two reads are the entries of lists
// that were read at once, and the names of the media shown, as hashes, so that of several with one
// name one has it plain. Both begin anew with a read from the start.
type listing struct {
	l  *Library
	id vfs.ID
	f  folder

	mu    sync.Mutex // held for a read
	fixed []entry
	got   bool // fixed is filled
	names map[uint64]vfs.ID
	to    vfs.ID // names has those of all media up to this node
}

var nameSeed = maphash.MakeSeed()

func (s *listing) Fsync(context.Context) error { return nil }
func (s *listing) Release()                    {}

// Read lists what comes after a cookie.
func (s *listing) Read(ctx context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cookie == 0 {
		s.fixed, s.got, s.names, s.to = nil, false, nil, 0
	}
	if cookie < cookieSelf && !emit([]vfs.DirEntry{{Name: ".", ID: s.id, Mode: unix.S_IFDIR, Cookie: cookieSelf}}) {
		return nil
	}
	if cookie < cookieParent &&
		!emit([]vfs.DirEntry{{Name: "..", ID: vfs.Root, Mode: unix.S_IFDIR, Cookie: cookieParent}}) {
		return nil
	}
	return s.f.list(
		ctx, s.l.asking(ctx), s, max(cookie, cookieParent), func(e entry) bool { return s.show(ctx, e, attrs, emit) },
	)
}

// together emits entries that have one cookie: all or none of them.
func (s *listing) together(es []entry, emit func(entry) bool) bool {
	if len(es) > 1 {
		es[0].more = es[1:]
	}
	return emit(es[0])
}

// show emits an entry and those that go with it, with a reference on each node when they have
// attributes. It returns false when that was refused.
func (s *listing) show(ctx context.Context, e entry, attrs bool, emit func([]vfs.DirEntry) bool) bool {
	var group []vfs.DirEntry
	for _, e := range append([]entry{e}, e.more...) {
		d := vfs.DirEntry{Name: e.name, Cookie: e.cookie, Mode: e.kind(), ID: e.media}
		switch {
		case attrs:
			a, err := s.l.refer(ctx, e)
			if err != nil {
				continue // it went meanwhile
			}
			d.ID, d.Mode, d.Attr = a.ID, a.Mode&unix.S_IFMT, a
		case e.spot != nil:
			d.ID = s.l.nodes.number(e.spot.key())
		}
		group = append(group, d)
	}
	if len(group) == 0 || emit(group) {
		return true
	}
	for _, d := range group {
		if attrs {
			s.l.Forget(d.ID, 1)
		}
	}
	return false
}

func (e *entry) kind() uint32 {
	switch e.spot.(type) {
	case folder:
		return unix.S_IFDIR
	}
	if e.mode != 0 {
		return e.mode
	}
	return unix.S_IFREG
}

// refer takes a reference on what an entry stands for.
func (l *Library) refer(ctx context.Context, e entry) (vfs.Attr, error) {
	if e.spot == nil {
		a, err := l.Reference(ctx, e.media)
		a.Volatile = true
		return a, err
	}
	id, s := l.nodes.refer(e.spot)
	look := s.attr
	if q, ok := s.(interface {
		quick(ctx context.Context) (vfs.Attr, error)
	}); ok {
		look = q.quick
	}
	a, err := look(ctx)
	if err != nil {
		l.nodes.forget(id, 1)
		return vfs.Attr{}, err
	}
	a.ID, a.Volatile = id, true
	return a, nil
}

// entries lists what get gives, which is called once for each listing from the start.
func (s *listing) entries(after uint64, emit func(entry) bool, get func() ([]entry, error)) error {
	_, err := s.before(after, emit, get)
	return err
}

// before is entries for a folder that goes on with others: more is false when emit refused one.
func (s *listing) before(after uint64, emit func(entry) bool, get func() ([]entry, error)) (more bool, err error) {
	if !s.got {
		if s.fixed, err = get(); err != nil {
			return false, err
		}
		s.got = true
	}
	start := 0
	if after >= firstEntry {
		start = int(min(after-firstEntry+1, uint64(len(s.fixed))))
	}
	for i := start; i < len(s.fixed); i++ {
		e := s.fixed[i]
		e.cookie = firstEntry + uint64(i)
		if !emit(e) {
			return false, nil
		}
	}
	return true, nil
}

// media lists the media of a set by ascending node, without those names that fixed entries have.
func (s *listing) media(ctx context.Context, who *asker, set *set, after uint64, emit func(entry) bool) error {
	if s.names == nil {
		s.names = make(map[uint64]vfs.ID)
		for _, e := range s.fixed {
			s.names[maphash.String(nameSeed, e.name)] = 0 // no media is node 0
		}
	}
	from := vfs.ID(0)
	if after >= firstNode {
		from = after
	}
	// A listing that is taken up in its middle needs the names before.
	return set.find(ctx, who, min(from, s.to), func(id vfs.ID, name string) bool {
		name = s.unique(name, id)
		if id > from && !emit(entry{name: name, media: id, cookie: id}) {
			return false
		}
		s.to = max(s.to, id)
		return true
	})
}

// unique is the spelling that a media has in a listing: plain for the first node with a name, with
// the node's number for others, and for names that could be taken for such a spelling.
func (s *listing) unique(name string, id vfs.ID) string {
	if _, like := suffix(name); like {
		return suffixed(name, id)
	}
	h := maphash.String(nameSeed, name)
	first, seen := s.names[h]
	if !seen {
		s.names[h] = id
		return name
	}
	if first == id {
		return name
	}
	return suffixed(name, id)
}

// OpenDir opens a folder.
func (l *Library) OpenDir(ctx context.Context, id vfs.ID) (vfs.Dir, error) {
	if !inView(id) {
		return l.MediaLibrary.OpenDir(ctx, id)
	}
	s := l.nodes.get(id)
	if s == nil {
		return nil, gone("opendir", id)
	}
	f, ok := s.(folder)
	if !ok {
		return nil, remote.E("opendir", s.key(), remote.NotDir, nil)
	}
	if _, err := f.attr(ctx); err != nil {
		return nil, err
	}
	return &listing{l: l, id: id, f: f}, nil
}
