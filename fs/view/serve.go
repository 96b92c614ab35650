package view

import (
	"context"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// gone is about a node of a view that the kernel does not refer to.
func gone(op string, id vfs.ID) error {
	return remote.E(op, strconv.FormatUint(id, 16), remote.NotExist, nil)
}

// refused is about a change that a view does not take.
func refused(op, name, hint string) error {
	e := remote.E(op, quoted(name), remote.Permission, errors.New("a view does not take that"))
	if hint != "" {
		return e.WithHint(hint)
	}
	return e
}

// atRoot gives what a name of the root stands for that belongs to views.
func (l *Library) atRoot(who *asker, name string) (spot, error) {
	uid, ok := desktopName(name)
	switch {
	case !ok:
		return l.top, nil
	case !who.root() && who.caller.UID != uid:
		return nil, missing(name)
	}
	return l.desktopTrash(uid), nil
}

// reserved tells whether a name of the root belongs to views. What the library has under the name
// of a desktop's trash, from an import or from a machine that makes no views, stays what it is:
// hidden it would be lost to people.
func (l *Library) reserved(ctx context.Context, parent vfs.ID, name string) bool {
	if parent != vfs.Root {
		return false
	}
	if _, trash := desktopName(name); !trash {
		return name == l.ViewFolder()
	}
	_, err := l.Resolve(ctx, name)
	return err != nil
}

// folder gives the view's folder of a number.
func (l *Library) folder(op string, id vfs.ID) (folder, error) {
	switch s := l.nodes.get(id).(type) {
	case nil:
		return nil, gone(op, id)
	case folder:
		return s, nil
	default:
		return nil, remote.E(op, s.key(), remote.NotDir, nil)
	}
}

// Lookup takes a reference. That a name is not there is volatile in a view as well.
func (l *Library) Lookup(ctx context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	if name == "." || name == ".." {
		if inView(parent) {
			// What a view shows depends on who asks, and its numbers mean something while the
			// kernel has them.
			return vfs.Attr{Volatile: true}, remote.E("look up", strconv.FormatUint(parent, 16), remote.Stale, nil)
		}
		return l.MediaLibrary.Lookup(ctx, parent, name)
	}
	if l.reserved(ctx, parent, name) {
		s, err := l.atRoot(l.asking(ctx), name)
		if err != nil {
			return vfs.Attr{Volatile: true}, err
		}
		return l.refer(ctx, entry{spot: s})
	}
	if !inView(parent) {
		return l.MediaLibrary.Lookup(ctx, parent, name)
	}
	none := vfs.Attr{Volatile: true}
	if len(name) > 255 {
		return none, remote.E("look up", quoted(name), remote.TooLong, nil)
	}
	f, err := l.folder("look up", parent)
	if err != nil {
		return none, err
	}
	e, err := f.lookup(ctx, l.asking(ctx), name)
	if err != nil {
		return none, err
	}
	a, err := l.refer(ctx, e)
	if err != nil {
		return none, err
	}
	return a, nil
}

// Forget gives references back.
func (l *Library) Forget(id vfs.ID, n uint64) {
	if !inView(id) {
		l.MediaLibrary.Forget(id, n)
		return
	}
	l.nodes.forget(id, n)
}

// GetAttr tells what stat does.
func (l *Library) GetAttr(ctx context.Context, id vfs.ID) (vfs.Attr, error) {
	if !inView(id) {
		return l.MediaLibrary.GetAttr(ctx, id)
	}
	s := l.nodes.get(id)
	if s == nil {
		return vfs.Attr{}, gone("get attributes", id)
	}
	a, err := s.attr(ctx)
	a.ID, a.Volatile = id, true
	return a, err
}

// SetAttr changes nothing of a view's nodes but the size of files that a desktop program writes
// into its trash. Such programs also set modes there, which is accepted without effect.
func (l *Library) SetAttr(
	ctx context.Context, c vfs.Caller, id vfs.ID, f vfs.File, ch vfs.AttrChange,
) (vfs.Attr, error) {
	if !inView(id) {
		return l.MediaLibrary.SetAttr(ctx, c, id, f, ch)
	}
	s := l.nodes.get(id)
	if s == nil {
		return vfs.Attr{}, gone("set attributes", id)
	}
	k, ok := s.(interface {
		change(ch vfs.AttrChange) error
	})
	if !ok {
		return vfs.Attr{}, refused("set attributes", s.key(), "")
	}
	if err := k.change(ch); err != nil {
		return vfs.Attr{}, err
	}
	return l.GetAttr(ctx, id)
}

// Mknod is refused in views.
func (l *Library) Mknod(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, rdev uint32,
) (vfs.Attr, error) {
	if inView(parent) || l.reserved(ctx, parent, name) {
		return vfs.Attr{}, refused("make node", name, "")
	}
	return l.MediaLibrary.Mknod(ctx, c, parent, name, mode, rdev)
}

// Mkdir makes a tag. The folders of a desktop's trash are there always.
func (l *Library) Mkdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode uint32) (vfs.Attr, error) {
	who := l.askedBy(c)
	if l.reserved(ctx, parent, name) {
		if _, err := l.atRoot(who, name); err == nil {
			return vfs.Attr{}, remote.E("make folder", quoted(name), remote.Exist, nil)
		}
		return vfs.Attr{}, refused("make folder", name, "the name belongs to a user's trash")
	}
	if !inView(parent) {
		return l.MediaLibrary.Mkdir(ctx, c, parent, name, mode)
	}
	f, err := l.folder("make folder", parent)
	if err != nil {
		return vfs.Attr{}, err
	}
	if _, err := f.lookup(ctx, who, name); err == nil {
		return vfs.Attr{}, remote.E("make folder", quoted(name), remote.Exist, nil)
	} else if remote.KindOf(err) != remote.NotExist {
		return vfs.Attr{}, err
	}
	m, ok := f.(maker)
	if !ok {
		return vfs.Attr{}, refused("make folder", name, "")
	}
	s, err := m.mkdir(ctx, who, name)
	if err != nil {
		return vfs.Attr{}, err
	}
	return l.refer(ctx, entry{spot: s})
}

// Symlink is refused in views.
func (l *Library) Symlink(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, target []byte,
) (vfs.Attr, error) {
	if inView(parent) || l.reserved(ctx, parent, name) {
		return vfs.Attr{}, refused("make symlink", name, "")
	}
	return l.MediaLibrary.Symlink(ctx, c, parent, name, target)
}

// Link puts a media into a view: it tags, hides or marks it.
func (l *Library) Link(ctx context.Context, c vfs.Caller, id, parent vfs.ID, name string) (vfs.Attr, error) {
	switch {
	case l.reserved(ctx, parent, name), inView(id):
		return vfs.Attr{}, refused("link", name, "")
	case !inView(parent):
		return l.MediaLibrary.Link(ctx, c, id, parent, name)
	}
	f, err := l.folder("link", parent)
	if err != nil {
		return vfs.Attr{}, err
	}
	k, ok := f.(linker)
	if !ok {
		return vfs.Attr{}, refused("link", name, "")
	}
	a, err := l.MediaLibrary.GetAttr(ctx, id)
	if err != nil {
		return vfs.Attr{}, err
	}
	if a.Mode&unix.S_IFMT != unix.S_IFREG {
		return vfs.Attr{}, refused("link", name, "only media can be in a view")
	}
	who := l.askedBy(c)
	if err := l.named(ctx, who, "link", id, name); err != nil {
		return vfs.Attr{}, err
	}
	if err := k.link(ctx, who, id, name); err != nil {
		return vfs.Attr{}, err
	}
	return l.refer(ctx, entry{media: id})
}

// Readlink reads a symlink that lies in the trash.
func (l *Library) Readlink(ctx context.Context, id vfs.ID) ([]byte, error) {
	if !inView(id) {
		return l.MediaLibrary.Readlink(ctx, id)
	}
	switch s := l.nodes.get(id).(type) {
	case nil:
		return nil, gone("read symlink", id)
	case *relic:
		return l.MediaLibrary.Readlink(ctx, s.id)
	default:
		return nil, remote.E("read symlink", s.key(), remote.Invalid, nil)
	}
}

// Unlink takes a media out of a view: what that means is the view's.
func (l *Library) Unlink(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	if l.reserved(ctx, parent, name) {
		return remote.E("unlink", quoted(name), remote.IsDir, nil)
	}
	if !inView(parent) {
		defer l.trash.changed()
		return l.MediaLibrary.Unlink(ctx, c, parent, name)
	}
	f, err := l.folder("unlink", parent)
	if err != nil {
		return err
	}
	u, ok := f.(unlinker)
	if !ok {
		return refused("unlink", name, "")
	}
	who := l.askedBy(c)
	e, err := f.lookup(ctx, who, name)
	if err != nil {
		return err
	}
	if err := u.unlink(ctx, who, name); err != nil {
		return err
	}
	if e.spot == nil {
		// The kernel took one off the media's count of links.
		l.announce(func(a vfs.Announcer) { a.Node(e.media, false) })
	}
	return nil
}

// Rmdir removes an empty tag, or a folder from the trash.
func (l *Library) Rmdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	if l.reserved(ctx, parent, name) {
		return refused("remove folder", name, "it is always there")
	}
	if !inView(parent) {
		defer l.trash.changed()
		return l.MediaLibrary.Rmdir(ctx, c, parent, name)
	}
	f, err := l.folder("remove folder", parent)
	if err != nil {
		return err
	}
	r, ok := f.(dirRemover)
	if !ok {
		return refused("remove folder", name, "")
	}
	return r.rmdir(ctx, l.askedBy(c), name)
}

// Rename moves names within views, into the trash and out of it.
func (l *Library) Rename(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32,
) error {
	if l.reserved(ctx, parent, name) || l.reserved(ctx, newParent, newName) {
		return refused("rename", name, "the name belongs to the views")
	}
	from, to := inView(parent), inView(newParent)
	if !from && !to {
		defer l.trash.changed()
		return l.MediaLibrary.Rename(ctx, c, parent, name, newParent, newName, flags)
	}
	if flags&(vfs.RenameExchange|vfs.RenameWhiteout) != 0 {
		return remote.E(
			"rename", quoted(name), remote.Invalid, errors.New("views do not exchange names, and have no whiteouts"),
		)
	}
	who := l.askedBy(c)
	target := place{parent: newParent, name: newName}
	if to {
		f, err := l.folder("rename", newParent)
		if err != nil {
			return err
		}
		target.view = f
	}
	if !from {
		t, ok := target.view.(taker)
		if !ok {
			err := refused(
				"rename", name, "that would take it out of its folder; link it into the view instead (ln, cp -l)",
			)
			l.opt.Log.WithField("name", quoted(name)).WithField("view", target.view.key()).Info(err)
			return err
		}
		if err := t.take(ctx, who, parent, name, newName); err != nil {
			return err
		}
		// The kernel moved what it knew of the name into the view, and would believe it as long as
		// in the tree.
		l.announce(func(a vfs.Announcer) { a.Entry(newParent, newName) })
		return nil
	}
	f, err := l.folder("rename", parent)
	if err != nil {
		return err
	}
	g, ok := f.(giver)
	if !ok {
		return refused("rename", name, "")
	}
	return g.give(ctx, who, name, target, flags)
}

// Create makes a file where a desktop program describes what it is about to put into its trash.
func (l *Library) Create(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	if l.reserved(ctx, parent, name) {
		return vfs.Attr{}, nil, refused("create", name, "the name belongs to the views")
	}
	if !inView(parent) {
		return l.MediaLibrary.Create(ctx, c, parent, name, mode, flags)
	}
	f, err := l.folder("create", parent)
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	k, ok := f.(creator)
	if !ok {
		return vfs.Attr{}, nil, refused("create", name, "")
	}
	s, file, err := k.create(ctx, l.askedBy(c), name, flags)
	if err != nil {
		return vfs.Attr{}, nil, err
	}
	a, err := l.refer(ctx, entry{spot: s})
	if err != nil {
		file.Release()
		return vfs.Attr{}, nil, err
	}
	return a, file, nil
}

// Tmpfile is not for views: what lies in them has its name in the tree.
func (l *Library) Tmpfile(
	ctx context.Context, c vfs.Caller, parent vfs.ID, mode, flags uint32,
) (vfs.Attr, vfs.File, error) {
	if inView(parent) {
		return vfs.Attr{}, nil, remote.E("make a file without a name", "", remote.Unsupported, nil)
	}
	return l.MediaLibrary.Tmpfile(ctx, c, parent, mode, flags)
}

// Open opens a file of a view for reading.
func (l *Library) Open(ctx context.Context, c vfs.Caller, id vfs.ID, flags uint32) (vfs.File, error) {
	if !inView(id) {
		return l.MediaLibrary.Open(ctx, c, id, flags)
	}
	s := l.nodes.get(id)
	if s == nil {
		return nil, gone("open", id)
	}
	switch s := s.(type) {
	case *note:
		return s.openFor(flags)
	case file:
		if flags&(unix.O_ACCMODE|unix.O_TRUNC) != unix.O_RDONLY {
			return nil, refused("open", s.key(), "it can be read only")
		}
		return s.open(ctx, l.askedBy(c))
	case folder:
		return nil, remote.E("open", s.key(), remote.IsDir, nil)
	}
	return nil, remote.E("open", s.key(), remote.Invalid, nil)
}

// namedBy are the attributes of a media that tell its names and folders.
var namedBy = map[string]bool{
	media.AttributePrefix + "paths":     true,
	media.AttributePrefix + "name":      true,
	media.AttributePrefix + "extension": true,
	media.AttributePrefix + "folder_id": true,
}

// GetXattr of a view's node: there are none, but the access control list of the node of the tree
// whose rights it has. What a media's attributes tell of its names is for who can reach them.
func (l *Library) GetXattr(ctx context.Context, id vfs.ID, name string) ([]byte, error) {
	if who := l.asking(ctx); !inView(id) && namedBy[name] && !who.root() {
		m, err := l.Media(ctx, id)
		if err == nil {
			who.withoutNames(ctx, m)
			if value, _ := media.Attribute(m, name); value != nil {
				return value, nil
			}
			return nil, remote.E("get attribute", quoted(name), remote.NoAttribute, nil)
		}
		if remote.KindOf(err) != remote.Unsupported {
			return nil, err
		}
	}
	if !inView(id) {
		return l.MediaLibrary.GetXattr(ctx, id, name)
	}
	if s, ok := l.nodes.get(id).(shadow); ok && name == acl.Access {
		if of, shown := s.rights(); of != 0 {
			list, err := l.list(ctx, of)
			if list != nil || err != nil {
				return list.Map(shown).Bytes(), err
			}
		}
	}
	kind := remote.NoAttribute
	if !vfs.Namespaced(name) {
		kind = remote.Unsupported
	}
	return nil, remote.E("get attribute", quoted(name), kind, nil)
}

// SetXattr is refused for a view's node.
func (l *Library) SetXattr(
	ctx context.Context, c vfs.Caller, id vfs.ID, name string, value []byte, flags uint32,
) error {
	if !inView(id) {
		return l.MediaLibrary.SetXattr(ctx, c, id, name, value, flags)
	}
	return remote.E("set attribute", quoted(name), remote.Unsupported, nil)
}

// ListXattr of a view's node: there are none.
func (l *Library) ListXattr(ctx context.Context, id vfs.ID) ([]string, error) {
	if !inView(id) {
		return l.MediaLibrary.ListXattr(ctx, id)
	}
	return nil, nil
}

// RemoveXattr of a view's node: there are none.
func (l *Library) RemoveXattr(ctx context.Context, c vfs.Caller, id vfs.ID, name string) error {
	if !inView(id) {
		return l.MediaLibrary.RemoveXattr(ctx, c, id, name)
	}
	kind := remote.NoAttribute
	if !vfs.Namespaced(name) || acl.Is(name) {
		kind = remote.Unsupported
	}
	return remote.E("remove attribute", quoted(name), kind, nil)
}
