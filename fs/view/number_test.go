package view

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// What a view shows depends on who asks: no number leads there, no file without a name is made
// there, and no whiteout is left.
func TestNoHandlesIntoViews(t *testing.T) {
	l, ctx := openReal(t), context.Background()
	me := vfs.Caller{UID: 1000, GID: 1000}
	top, err := l.Lookup(ctx, vfs.Root, l.ViewFolder())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Forget(top.ID, 1)
	for _, name := range []string{".", ".."} {
		if a, err := l.Lookup(ctx, top.ID, name); remote.KindOf(err) != remote.Stale {
			t.Errorf("%q of a view is %+v, %v", name, a, err)
		}
	}
	root, err := l.Lookup(ctx, vfs.Root, ".")
	if err != nil || root.ID != vfs.Root {
		t.Errorf("the root is %+v, %v", root, err)
	}
	l.Forget(vfs.Root, 1)
	if _, _, err := l.Tmpfile(ctx, me, top.ID, 0o600, unix.O_RDWR); remote.KindOf(err) != remote.Unsupported {
		t.Errorf("a file without a name: %v", err)
	}
	a, f, err := l.Tmpfile(ctx, me, vfs.Root, 0o600, unix.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Forget(a.ID, 1)
	defer f.Release()
	if _, err := l.Link(ctx, me, a.ID, vfs.Root, l.ViewFolder()); remote.KindOf(err) != remote.Permission {
		t.Errorf("a link to the name of the views: %v", err)
	}
	if err := l.Rename(ctx, me, top.ID, "a", vfs.Root, "b", vfs.RenameWhiteout); remote.KindOf(err) != remote.Invalid {
		t.Errorf("a whiteout in a view: %v", err)
	}
}
