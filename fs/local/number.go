package local

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// lookupNumber finds a dropping by its number alone, or the folder that it lies in. One that is not
// known by its name at the moment is looked for in every folder that has droppings: there are few,
// and who asks is a server of file handles, seldom.
func (l *Library) lookupNumber(ctx context.Context, id vfs.ID, parent bool) (vfs.Attr, error) {
	stale := remote.E("look up", fmt.Sprintf("node %x", id), remote.Stale, nil)
	folder, name, err := l.nameByNumber(id)
	if err != nil || name == "" {
		return vfs.Attr{}, firstOf(err, stale)
	}
	in, err := l.inner.Lookup(ctx, folder, ".")
	if err != nil || parent {
		return in, err
	}
	l.inner.Forget(in.ID, 1)
	a, err := l.Lookup(ctx, folder, name)
	switch {
	case remote.KindOf(err) == remote.NotExist:
		return vfs.Attr{}, stale
	case err == nil && a.ID != id:
		l.Forget(a.ID, 1) // the inner library has that name
		return vfs.Attr{}, stale
	}
	return a, err
}

func firstOf(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// nameByNumber gives the name of a dropping; empty when there is none with that number.
func (l *Library) nameByNumber(id vfs.ID) (folder vfs.ID, name string, err error) {
	l.mu.Lock()
	n := l.nodes[id]
	if n != nil {
		folder, name = n.folder, n.name
	}
	l.mu.Unlock()
	if n != nil {
		return folder, name, nil
	}
	l.seen.RLock()
	folders := slices.Collect(maps.Keys(l.seen.has))
	l.seen.RUnlock()
	for _, folder := range folders {
		if name, err := l.nameIn(folder, id); err != nil || name != "" {
			return folder, name, err
		}
	}
	return 0, "", nil
}

func (l *Library) nameIn(folder, id vfs.ID) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLists()
	t, err := l.list(folder)
	if err != nil || t == nil {
		return "", err
	}
	for name, e := range t.names {
		if nodeID(e.ino) == id {
			return name, nil
		}
	}
	return "", nil
}
