package local

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Rename moves a name. Between two names of droppings it is a rename on the local disk. A dropping
// that gets another name enters the library (enter.go); a file of the library that gets a
// dropping's name leaves it when it is a program's new file, and else stays what it is.
func (l *Library) Rename(
	ctx context.Context, c vfs.Caller, parent vfs.ID, name string, newParent vfs.ID, newName string, flags uint32,
) error {
	inner := func() error { return l.inner.Rename(ctx, c, parent, name, newParent, newName, flags) }
	if flags&^(vfs.RenameNoReplace|vfs.RenameExchange|vfs.RenameWhiteout) != 0 ||
		flags&vfs.RenameExchange != 0 && flags != vfs.RenameExchange {
		return remote.E("rename", quoted(name), remote.Invalid, fmt.Errorf("flags %#x", flags))
	}
	whiteout := flags & vfs.RenameWhiteout
	if l.dropping(parent, name) || l.dropping(newParent, newName) {
		r := &renaming{
			l:         l,
			c:         c,
			parent:    parent,
			name:      name,
			newParent: newParent,
			newName:   newName,
			flags:     flags &^ whiteout,
			whiteout:  whiteout,
		}
		if done, err := r.run(ctx); done || err != nil {
			return err
		}
	}
	if flags&^whiteout != 0 || parent == newParent && name == newName {
		return inner() // replaces nothing
	}
	return l.replace(ctx, "rename", newParent, newName, inner)
}

// A renaming is one call of Rename that may be about droppings.
type renaming struct {
	l               *Library
	c               vfs.Caller
	parent          vfs.ID
	name            string
	newParent       vfs.ID
	newName         string
	flags           uint32 // without whiteout
	whiteout        uint32 // vfs.RenameWhiteout or 0: the inner library leaves one, a dropping none
	from, to        bool   // the old name and the new one mean droppings
	kind, otherKind uint32 // type bits of what the names mean; 0: nothing
}

func (r *renaming) fail(kind remote.Kind) error {
	return remote.E("rename", quoted(r.name)+" to "+quoted(r.newName), kind, nil)
}

// run does what is about droppings; done is false where nothing is, and the inner library's rename
// is still to come.
func (r *renaming) run(ctx context.Context) (done bool, err error) {
	l := r.l
	release, err := l.claims.take(ctx, "rename", r.parent, r.newParent)
	if err != nil {
		return true, err
	}
	defer release()
	if r.from, r.kind, err = l.means(ctx, r.parent, r.name); err != nil {
		return true, err
	}
	if r.to, r.otherKind, err = l.means(ctx, r.newParent, r.newName); err != nil {
		return true, err
	}
	same := r.parent == r.newParent && r.name == r.newName
	switch {
	case same && r.from && r.flags == vfs.RenameNoReplace:
		return true, r.fail(remote.Exist)
	case same && r.from:
		return true, nil
	case r.from && r.whiteout != 0:
		return true, r.fail(remote.Invalid)
	case r.kind == 0 || same || !r.from && !r.to && !l.dropping(r.newParent, r.newName):
		return false, nil // also what is no name of anything: the inner library says so
	case r.otherKind != 0 && r.flags == vfs.RenameNoReplace:
		return true, r.fail(remote.Exist)
	case r.otherKind == 0 && r.flags == vfs.RenameExchange:
		return true, r.fail(remote.NotExist)
	case r.flags == vfs.RenameExchange:
		return r.exchange(ctx)
	case r.from && r.otherKind == unix.S_IFDIR:
		return true, r.fail(remote.IsDir)
	case r.to && r.kind == unix.S_IFDIR:
		return true, r.fail(remote.NotDir)
	case r.from:
		return true, r.renameDropping(ctx)
	}
	return r.renameInner(ctx)
}

// means reports whether a name means a dropping, and the type of what it means; 0: nothing.
func (l *Library) means(ctx context.Context, folder vfs.ID, name string) (dropping bool, kind uint32, err error) {
	if dropping, err = l.shows(ctx, folder, name); err != nil {
		return false, 0, err
	}
	if dropping {
		return true, unix.S_IFREG, nil
	}
	kind, err = l.innerKind(ctx, folder, name)
	return false, kind, err
}

// exchange swaps two names, of which one or both mean droppings. One that cannot stay on this
// machine under its new name, or changes places with something else, enters the library first.
func (r *renaming) exchange(ctx context.Context) (done bool, err error) {
	l := r.l
	if !r.from && !r.to {
		return false, nil
	}
	stay := r.from && r.to
	if stay {
		if stay, err = l.staysAs(r.parent, r.name, r.newParent, r.newName); err == nil && stay {
			stay, err = l.staysAs(r.newParent, r.newName, r.parent, r.name)
		}
		if err != nil {
			return true, err
		}
	}
	if stay {
		if err := l.mayChange("rename", r.name); err != nil {
			return true, err
		}
		return true, l.move(r.parent, r.name, r.newParent, r.newName, r.flags)
	}
	for _, side := range []struct {
		is     bool
		folder vfs.ID
		name   string
	}{{r.from, r.parent, r.name}, {r.to, r.newParent, r.newName}} {
		if !side.is {
			continue
		}
		n, err := l.pinName(side.folder, side.name)
		if err != nil {
			return true, err
		}
		err = l.enterClaimed(ctx, n, side.folder, side.name)
		l.unpin(n)
		if err != nil {
			return true, err
		}
	}
	return true, l.inner.Rename(ctx, r.c, r.parent, r.name, r.newParent, r.newName, r.flags)
}

// staysAs reports whether a dropping is one under another name as well.
func (l *Library) staysAs(folder vfs.ID, name string, newFolder vfs.ID, newName string) (bool, error) {
	if !l.dropping(newFolder, newName) {
		return false, nil
	}
	n, err := l.pinName(folder, name)
	if err != nil {
		return false, err
	}
	defer l.unpin(n)
	head, err := n.head()
	return err == nil && stays(newName, head), err
}

// renameDropping renames a dropping to a free name or one of a file.
func (r *renaming) renameDropping(ctx context.Context) error {
	l := r.l
	if err := l.mayChange("rename", r.name); err != nil {
		return err
	}
	if _, err := l.folder(ctx, "rename", r.newParent, r.newName); err != nil {
		return err
	}
	stay := false
	if r.to || r.otherKind == 0 {
		var err error
		if stay, err = l.staysAs(r.parent, r.name, r.newParent, r.newName); err != nil {
			return err
		}
	}
	if stay {
		return l.move(r.parent, r.name, r.newParent, r.newName, r.flags)
	}
	n, err := l.pinName(r.parent, r.name)
	if err != nil {
		return err
	}
	defer l.unpin(n)
	n.io.Lock()
	defer n.io.Unlock()
	if err := l.bring(ctx, n, r.newParent, r.newName, r.flags); err != nil {
		return err
	}
	return r.replaced()
}

// replaced deletes the dropping that had the new name, which now means a file of the library.
func (r *renaming) replaced() error {
	if !r.to {
		return nil
	}
	return r.l.remove(r.newParent, r.newName)
}

// renameInner renames what is in the inner library to a name of droppings, or over a dropping.
func (r *renaming) renameInner(ctx context.Context) (done bool, err error) {
	l := r.l
	if r.whiteout == 0 && r.kind == unix.S_IFREG && (r.to || r.otherKind == 0) && l.dropping(r.newParent, r.newName) {
		a, err := l.inner.Lookup(ctx, r.parent, r.name)
		if err != nil {
			return true, err
		}
		defer l.forgotten()
		defer l.inner.Forget(a.ID, 1)
		if left, err := l.leave(ctx, r.c, r.parent, r.name, a, r.newParent, r.newName); left || err != nil {
			return true, err
		}
	}
	if !r.to {
		return false, nil
	}
	if err := l.inner.Rename(ctx, r.c, r.parent, r.name, r.newParent, r.newName, r.flags|r.whiteout); err != nil {
		return true, err
	}
	return true, r.replaced()
}
