package view

import (
	"context"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// trash is trash/: what was deleted, under the names it had, for who deleted it, who owns it, and
// root. A rename out of it restores, a rename from the tree into it deletes, and removing an entry
// deletes for good. Nothing in it is replaced: what comes under a name that is taken is shown with
// its number.
type trash struct{ l *Library }

func (f *trash) key() string { return "trash" }

func (f *trash) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

func (f *trash) bin(who *asker) bin {
	return bin{f.l, audience{root: who.root(), uid: who.caller.UID}}
}

func (f *trash) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	return f.bin(who).lookup(ctx, name)
}

func (f *trash) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return f.bin(who).list(ctx, s, after, emit)
}

func (f *trash) take(ctx context.Context, who *asker, parent vfs.ID, name, newName string) error {
	return f.bin(who).take(ctx, who, parent, name, newName)
}

func (f *trash) give(ctx context.Context, who *asker, name string, to place, _ uint32) error {
	return f.bin(who).give(ctx, who, name, to)
}

func (f *trash) unlink(ctx context.Context, who *asker, name string) error {
	return f.bin(who).purge(ctx, who, name, false)
}

func (f *trash) rmdir(ctx context.Context, who *asker, name string) error {
	return f.bin(who).purge(ctx, who, name, true)
}

// A bin is the trash for an audience: what trash/ and the files/ of a desktop's trash have in
// common.
type bin struct {
	l  *Library
	to audience
}

func (b bin) shown(ctx context.Context) (*shown, error) {
	n, err := b.l.trashNow(ctx)
	if err != nil {
		return nil, err
	}
	return n.to(b.to), nil
}

// find gives the trash entry with a name.
func (b bin) find(ctx context.Context, name string) (vfs.TrashEntry, error) {
	s, err := b.shown(ctx)
	if err != nil {
		return vfs.TrashEntry{}, err
	}
	e, ok := s.find(b.to, name)
	if !ok || !s.of.has(e.Entry) {
		return e, missing(name)
	}
	return e, nil
}

func (b bin) lookup(ctx context.Context, name string) (entry, error) {
	e, err := b.find(ctx, name)
	if err != nil {
		return entry{}, err
	}
	return b.l.deleted(b.place(), name, e.Node, e.Attr.Mode), nil
}

func (b bin) list(ctx context.Context, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) {
		t, err := b.shown(ctx)
		if err != nil {
			return nil, err
		}
		es := make([]entry, 0, len(t.entries))
		for i, e := range t.entries {
			if t.of.has(e.Entry) {
				es = append(es, b.l.deleted(b.place(), t.names[i], e.Node, e.Attr.Mode))
			}
		}
		return es, nil
	})
}

func (b bin) take(ctx context.Context, who *asker, parent vfs.ID, name, newName string) error {
	n, err := b.l.TrashName(ctx, who.caller, parent, name)
	b.l.trash.changed()
	if err != nil {
		return err
	}
	if newName != name || b.to.desktop {
		b.l.trash.choose(n, newName)
	}
	return nil
}

func (b bin) give(ctx context.Context, who *asker, name string, to place) error {
	e, err := b.find(ctx, name)
	if err != nil {
		return err
	}
	switch to.view.(type) {
	case nil:
		return b.went(e, b.l.Restore(ctx, who.caller, e.Entry, to.parent, to.name))
	case *expunged:
		if e.Attr.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := who.empties(ctx, name, e.Node); err != nil {
				return err
			}
		}
		return b.went(e, b.l.Purge(ctx, who.caller, e.Entry))
	}
	return refused("rename", name, "move it to a folder of the tree to restore it")
}

// purge deletes an entry for good; a folder must be empty, as for rmdir, which programs that delete
// whole trees see to.
func (b bin) purge(ctx context.Context, who *asker, name string, dir bool) error {
	e, err := b.find(ctx, name)
	if err != nil {
		return err
	}
	if err := b.l.emptyFolder(ctx, name, e.Node, e.Attr.Mode, dir); err != nil {
		return err
	}
	return b.went(e, b.l.Purge(ctx, who.caller, e.Entry))
}

// went notes that an entry has left the trash, or after an error that nobody knows.
func (b bin) went(e vfs.TrashEntry, err error) error {
	if err != nil {
		b.l.trash.changed()
	} else {
		b.l.trash.left(e)
	}
	return err
}

// empties fails with Permission when the caller could not delete what is in a folder, and in the
// folders in it, one by one.
func (who *asker) empties(ctx context.Context, name string, id vfs.ID) error {
	if who.root() {
		return nil
	}
	a, err := who.l.MediaLibrary.GetAttr(ctx, id)
	if err != nil {
		return err
	}
	may := who.may(ctx, &a, mayWrite|maySearch)
	return who.l.children(ctx, id, 0, func(e vfs.DirEntry) (bool, error) {
		if may && a.Mode&unix.S_ISVTX != 0 && !who.owns(&a) {
			c, err := who.l.MediaLibrary.GetAttr(ctx, e.ID)
			if err != nil {
				return false, err
			}
			may = who.owns(&c)
		}
		if !may {
			return false, remote.E("delete", quoted(name), remote.Permission, nil).
				WithHint("others' files are in a folder that only they may write to")
		}
		if e.Mode&unix.S_IFMT == unix.S_IFDIR {
			return true, who.empties(ctx, name, e.ID)
		}
		return true, nil
	})
}

// emptyFolder fails when something cannot be removed by unlink, or with dir by rmdir.
func (l *Library) emptyFolder(ctx context.Context, name string, id vfs.ID, mode uint32, dir bool) error {
	is := mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case is && !dir:
		return remote.E("delete", quoted(name), remote.IsDir, nil)
	case !is && dir:
		return remote.E("delete", quoted(name), remote.NotDir, nil)
	case !is:
		return nil
	}
	empty := true
	err := l.children(ctx, id, 0, func(vfs.DirEntry) (bool, error) {
		empty = false
		return false, nil
	})
	if err == nil && !empty {
		err = remote.E("delete", quoted(name), remote.NotEmpty, nil)
	}
	return err
}

// place tells trash/ from the trash of each desktop user. A folder that is in several of them is
// another in each: the kernel moves a folder that it meets in two places.
func (b bin) place() string {
	if b.to.desktop {
		return strconv.FormatUint(uint64(b.to.uid), 10) + "/"
	}
	return ""
}

// deleted is the entry of a node in the trash, in one of the places where it is shown.
func (l *Library) deleted(in, name string, id vfs.ID, mode uint32) entry {
	switch kind := mode & unix.S_IFMT; kind {
	case unix.S_IFREG:
		return entry{name: name, media: id}
	case unix.S_IFDIR:
		return entry{name: name, spot: &relicFolder{relic{l, id, in}}}
	default:
		return entry{name: name, spot: &relic{l, id, in}, mode: kind}
	}
}

// A relic is a node in the trash that is neither media nor folder.
type relic struct {
	l  *Library
	id vfs.ID
	in string // as bin.place has it
}

func (f *relic) key() string { return "relic/" + f.in + strconv.FormatUint(f.id, 16) }

func (f *relic) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := f.l.MediaLibrary.GetAttr(ctx, f.id)
	size, rdev := a.Size, a.Rdev
	a = virtual(a, a.Mode, size)
	a.Rdev = rdev
	return a, err
}

func (f *relic) rights() (vfs.ID, func(uint32) uint32) {
	return f.id, func(perm uint32) uint32 { return perm }
}

// A relicFolder is a folder in the trash, or in one that is. What is removed in it is deleted for
// good: it becomes an entry of the trash for a moment, and stays one if this process ends just
// then. What is moved out of it into the tree is restored, in the place of nothing.
type relicFolder struct{ relic }

// there fails with NotExist when the folder is in the trash no longer: a program that has it open,
// or works in it, while it is restored must not go on and delete for good what lies in the tree
// again.
func (f *relicFolder) there(ctx context.Context) error {
	paths, err := f.l.Paths(ctx, f.id)
	if err == nil && len(paths) > 0 {
		err = remote.E("look in the trash", f.key(), remote.NotExist, errors.New("the folder was restored"))
	}
	return err
}

func (f *relicFolder) attr(ctx context.Context) (vfs.Attr, error) {
	if err := f.there(ctx); err != nil {
		return vfs.Attr{}, err
	}
	return f.relic.attr(ctx)
}

func (f *relicFolder) lookup(ctx context.Context, _ *asker, name string) (entry, error) {
	if err := f.there(ctx); err != nil {
		return entry{}, err
	}
	a, err := f.child(ctx, name)
	if err != nil {
		return entry{}, err
	}
	return f.l.deleted(f.in, name, a.ID, a.Mode), nil
}

func (f *relicFolder) child(ctx context.Context, name string) (vfs.Attr, error) {
	a, err := f.l.MediaLibrary.Lookup(ctx, f.id, name)
	if err == nil {
		f.l.MediaLibrary.Forget(a.ID, 1)
	}
	return a, err
}

func (f *relicFolder) list(ctx context.Context, _ *asker, _ *listing, after uint64, emit func(entry) bool) error {
	if err := f.there(ctx); err != nil {
		return err
	}
	return f.l.children(ctx, f.id, after, func(d vfs.DirEntry) (bool, error) {
		e := f.l.deleted(f.in, d.Name, d.ID, d.Mode)
		e.cookie = d.Cookie
		return emit(e), nil
	})
}

func (f *relicFolder) unlink(ctx context.Context, who *asker, name string) error {
	return f.purge(ctx, who, name, false)
}

func (f *relicFolder) rmdir(ctx context.Context, who *asker, name string) error {
	return f.purge(ctx, who, name, true)
}

func (f *relicFolder) purge(ctx context.Context, who *asker, name string, dir bool) error {
	if err := f.there(ctx); err != nil {
		return err
	}
	a, err := f.child(ctx, name)
	if err != nil {
		return err
	}
	if err := f.l.emptyFolder(ctx, name, a.ID, a.Mode, dir); err != nil {
		return err
	}
	defer f.l.trash.changed()
	n, err := f.l.TrashName(ctx, who.caller, f.id, name)
	switch {
	case remote.KindOf(err) == remote.Unsupported && dir: // this mount keeps no trash: what is deleted is gone
		return f.l.MediaLibrary.Rmdir(ctx, who.caller, f.id, name)
	case remote.KindOf(err) == remote.Unsupported:
		return f.l.MediaLibrary.Unlink(ctx, who.caller, f.id, name)
	case err != nil:
		return err
	}
	if f.there(ctx) != nil {
		return nil // restored at just this moment: what was deleted stays in the trash
	}
	err = f.l.Purge(ctx, who.caller, n)
	if remote.KindOf(err) == remote.NotExist {
		return nil // it has other names, so no entry came of it
	}
	return err
}

func (f *relicFolder) give(ctx context.Context, who *asker, name string, to place, _ uint32) error {
	if to.view != nil {
		return refused("rename", name, "move it to a folder of the tree to restore it")
	}
	if err := f.there(ctx); err != nil {
		return err
	}
	return f.l.MediaLibrary.Rename(ctx, who.caller, f.id, name, to.parent, to.name, vfs.RenameNoReplace)
}
