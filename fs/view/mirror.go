package view

import (
	"context"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A mirrored is a view that has the folders of the tree, and in them an item for each media, or for
// each folder too. Its folders have the owners and the rights to read and search of those they
// mirror, so that the kernel lets nobody in who may not into these.
type mirrored struct {
	l      *Library
	name   string
	ending string                                    // of items; empty: the item of a media has its name
	item   func(id vfs.ID, kind uint32) spot         // of a media or folder; nil: there is none
	placed func(s spot, in vfs.ID, name string) spot // gives an item that is a folder its place; nil: items are files
	first  []entry                                   // what the topmost folder has besides
}

// A mirror is one folder of a mirrored view.
type mirror struct {
	*mirrored
	id vfs.ID
}

func (f *mirror) key() string { return f.name + "/" + strconv.FormatUint(f.id, 16) }

func (f *mirror) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := f.l.MediaLibrary.GetAttr(ctx, f.id)
	if err == nil && a.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = remote.E("get attributes", f.key(), remote.NotDir, nil)
	}
	return virtual(a, unix.S_IFDIR|a.Mode&0o555, 0), err
}

func (f *mirror) rights() (vfs.ID, func(uint32) uint32) {
	return f.id, func(perm uint32) uint32 { return perm & (mayRead | maySearch) }
}

// child gives the node and type of a name in the mirrored folder; 0 when there is none.
func (f *mirror) child(ctx context.Context, name string) (vfs.ID, uint32, error) {
	if !entryName(name) {
		return 0, 0, nil
	}
	a, err := f.l.MediaLibrary.Lookup(ctx, f.id, name)
	switch {
	case err == nil:
		f.l.MediaLibrary.Forget(a.ID, 1)
		return a.ID, a.Mode & unix.S_IFMT, nil
	case remote.KindOf(err) == remote.NotExist:
		return 0, 0, nil
	}
	return 0, 0, err
}

// taken tells whether a folder of the tree, or an entry of the view's own, has a name.
func (f *mirror) taken(ctx context.Context, name string) (bool, error) {
	if f.own(name) != nil {
		return true, nil
	}
	_, kind, err := f.child(ctx, name)
	return kind == unix.S_IFDIR, err
}

func (f *mirror) own(name string) *entry {
	if f.id == vfs.Root {
		for i := range f.first {
			if f.first[i].name == name {
				return &f.first[i]
			}
		}
	}
	return nil
}

// spelled gives the names under which a child's folder and item are shown, empty for none. What
// meets a folder, or is too long, has the node's number in it.
func (f *mirror) spelled(ctx context.Context, name string, id vfs.ID, kind uint32) (folder, item string, err error) {
	if kind == unix.S_IFDIR {
		if folder = name; f.own(name) != nil {
			folder = suffixed(name, id)
		}
	}
	if f.item(id, kind) == nil {
		return folder, "", nil
	}
	if f.ending == "" {
		return folder, name, nil
	}
	item = name + f.ending
	meets := len(item) > record.MaxName
	if !meets {
		if meets, err = f.taken(ctx, item); err != nil {
			return "", "", err
		}
	}
	if meets {
		item = cut(name, " ("+strconv.FormatUint(id, 16)+")"+f.ending)
	}
	return folder, item, nil
}

// place gives the item of a child. One that is a folder is another for each name of its media: the
// kernel moves a folder that it meets in two places.
func (f *mirror) place(id vfs.ID, kind uint32, name string) spot {
	s := f.item(id, kind)
	if f.placed != nil {
		s = f.placed(s, f.id, name)
	}
	return s
}

// show gives the entry of a name, when it is one of the two that a child has.
func (f *mirror) show(ctx context.Context, name, child string, id vfs.ID, kind uint32) (entry, error) {
	folder, item, err := f.spelled(ctx, child, id, kind)
	switch {
	case err != nil:
		return entry{}, err
	case folder == name:
		return entry{name: name, spot: &mirror{f.mirrored, id}}, nil
	case item == name:
		return entry{name: name, spot: f.place(id, kind, child)}, nil
	}
	return entry{}, missing(name)
}

func (f *mirror) lookup(ctx context.Context, _ *asker, name string) (entry, error) {
	if e := f.own(name); e != nil {
		return *e, nil
	}
	bases := []string{name}
	if base, ok := strings.CutSuffix(name, f.ending); ok && f.ending != "" {
		bases = append(bases, base)
	}
	for _, base := range bases {
		id, kind, err := f.child(ctx, base)
		if err != nil {
			return entry{}, err
		}
		if id == 0 {
			continue
		}
		if e, err := f.show(ctx, name, base, id, kind); remote.KindOf(err) != remote.NotExist || err == nil {
			return e, err
		}
	}
	id, ok := suffix(name)
	if !ok {
		return entry{}, missing(name)
	}
	paths, err := f.l.Paths(ctx, id)
	if err != nil {
		return entry{}, missing(name)
	}
	for _, p := range paths {
		d, err := f.l.Resolve(ctx, path.Dir(p))
		if err != nil || d.ID != f.id {
			continue
		}
		child := path.Base(p)
		if _, kind, err := f.child(ctx, child); err == nil {
			if e, err := f.show(ctx, name, child, id, kind); err == nil {
				return e, nil
			}
		}
	}
	return entry{}, missing(name)
}

// list goes through the mirrored folder, whose cookies it takes over: a folder and its item have
// one cookie, so they go together.
func (f *mirror) list(ctx context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	if f.id == vfs.Root {
		more, err := s.before(after, emit, func() ([]entry, error) { return f.first, nil })
		if !more {
			return err
		}
	}
	return f.l.children(ctx, f.id, after, func(e vfs.DirEntry) (bool, error) {
		kind := e.Mode & unix.S_IFMT
		folder, item, err := f.spelled(ctx, e.Name, e.ID, kind)
		if err != nil {
			return false, err
		}
		var es []entry
		if folder != "" {
			es = append(es, entry{name: folder, spot: &mirror{f.mirrored, e.ID}, cookie: e.Cookie})
		}
		if item != "" {
			es = append(es, entry{name: item, spot: f.place(e.ID, kind, e.Name), cookie: e.Cookie})
		}
		return len(es) == 0 || s.together(es, emit), nil
	})
}

// childrenPage is how many names are read at once: no call is made while the tree lists.
const childrenPage = 128

// children yields the names of a folder of the tree after a cookie, until yield returns false or
// fails.
func (l *Library) children(ctx context.Context, id vfs.ID, after uint64, yield func(vfs.DirEntry) (bool, error)) error {
	d, err := l.MediaLibrary.OpenDir(ctx, id)
	if err != nil {
		return err
	}
	defer d.Release()
	after = max(after, cookieParent)
	for {
		var page []vfs.DirEntry
		more := false
		err := d.Read(ctx, after, false, func(group []vfs.DirEntry) bool {
			if len(page) > 0 && len(page)+len(group) > childrenPage {
				more = true
				return false
			}
			page = append(page, group...)
			return true
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.Name == "." || e.Name == ".." {
				continue
			}
			if on, err := yield(e); !on || err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		after = page[len(page)-1].Cookie
	}
}

// readable gives the attributes of a text about a node: its owner, its times, and its right to be
// read.
func (l *Library) readable(id vfs.ID) func(ctx context.Context) (vfs.Attr, error) {
	return func(ctx context.Context) (vfs.Attr, error) { return l.MediaLibrary.GetAttr(ctx, id) }
}
