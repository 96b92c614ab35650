package local

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Unlink deletes a file. A dropping goes neither to the trash nor into a version.
func (l *Library) Unlink(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	if !l.dropping(parent, name) {
		return l.inner.Unlink(ctx, c, parent, name)
	}
	release, err := l.claims.take(ctx, "unlink", parent)
	if err != nil {
		return err
	}
	defer release()
	is, err := l.shows(ctx, parent, name)
	if err != nil {
		return err
	}
	if !is {
		return l.inner.Unlink(ctx, c, parent, name)
	}
	if err := l.mayChange("unlink", name); err != nil {
		return err
	}
	return l.remove(parent, name)
}

// Rmdir removes a folder that has neither entries nor droppings.
func (l *Library) Rmdir(ctx context.Context, c vfs.Caller, parent vfs.ID, name string) error {
	if is, err := l.shows(ctx, parent, name); err != nil {
		return err
	} else if is {
		return remote.E("rmdir", quoted(name), remote.NotDir, nil)
	}
	return l.replace(ctx, "rmdir", parent, name, func() error { return l.inner.Rmdir(ctx, c, parent, name) })
}

var errDroppings = errors.New("it has files that are kept on this machine")

// replace runs what takes a name away, or over: not where it means a folder that has droppings. A
// folder that ends so takes what is not shown with it.
func (l *Library) replace(ctx context.Context, op string, parent vfs.ID, name string, do func() error) error {
	if l.disk == nil {
		return do()
	}
	a, err := l.inner.Lookup(ctx, parent, name)
	if err != nil {
		return do() // it says what is wrong with that, if anything is
	}
	defer l.inner.Forget(a.ID, 1)
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		return do()
	}
	release, err := l.claims.take(ctx, op, a.ID)
	if err != nil {
		return err
	}
	defer release()
	if empty, err := l.isEmpty(a.ID); err != nil {
		return err
	} else if !empty {
		return remote.E(op, quoted(name), remote.NotEmpty, errDroppings)
	}
	if err := do(); err != nil {
		return err
	}
	if !l.has(a.ID) {
		return nil
	}
	// Not a folder that was found again under its own name.
	if a, err := l.inner.GetAttr(ctx, a.ID); err == nil && a.Nlink > 0 {
		return nil
	}
	l.sweep(a.ID)
	return nil
}
