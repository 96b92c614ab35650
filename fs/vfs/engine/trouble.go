package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
)

// maxTroubles is how many are remembered, the newest.
const maxTroubles = 100

// troubles remember what failed until it works, for the attribute user.media.error and for status.
type troubles struct {
	n    atomic.Int32 // how many there are: where nothing fails, nothing is locked
	mu   sync.Mutex
	list []vfs.Trouble // oldest first
}

// tried notes how reading or sending a media went.
func (fs *FS) tried(id vfs.ID, what string, err error) {
	t := &fs.troubles
	if err == nil && t.n.Load() == 0 || err != nil && remote.KindOf(err) == remote.Interrupted {
		return
	}
	var entry vfs.Trouble
	if err != nil {
		entry = vfs.Trouble{Node: id, What: what, Error: err.Error(), Time: fs.opt.Now()}
		_ = fs.cat.View(func(tx *catalog.Tx) error { // without a path it is told by its number
			if ps := operation.PathsOf(tx, id); len(ps) > 0 {
				entry.Path = ps[0]
			}
			return nil
		})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(o vfs.Trouble) bool { return o.Node == id && o.What == what })
	if err != nil {
		t.list = append(t.list, entry)
		t.list = t.list[max(0, len(t.list)-maxTroubles):]
	}
	t.n.Store(int32(len(t.list)))
}

// of is what last failed of a media; false: nothing.
func (t *troubles) of(id vfs.ID) (vfs.Trouble, bool) {
	if t.n.Load() == 0 {
		return vfs.Trouble{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range slices.Backward(t.list) {
		if o.Node == id {
			return o, true
		}
	}
	return vfs.Trouble{}, false
}

// all are those of the last day: nobody may ever try some of them again.
func (t *troubles) all(now time.Time) (all []vfs.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.list {
		if now.Sub(o.Time) < 24*time.Hour {
			all = append(all, o)
		}
	}
	return all
}

// stored lists the contents that a media's head has in the store.
func (fs *FS) stored(id vfs.ID) (ids []remote.ContentID, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "look how a media is kept", id)
		}
		for _, e := range n.Head.GetExtents() {
			c := tx.Content(e.Content)
			if c == nil || c.Inline != nil {
				continue
			}
			if at := fs.blockContent(e.Content, c).ID; !slices.Contains(ids, at) {
				ids = append(ids, at)
			}
		}
		return tx.Err()
	})
	return ids, err
}

// Archives says how the store keeps each content of a media; none where nothing can be archived.
func (fs *FS) Archives(ctx context.Context, id vfs.ID) ([]remote.Archive, error) {
	return fs.archives(
		ctx, id, func(s remote.Archiver, c remote.ContentID) (remote.Archive, error) { return s.Archive(ctx, c) },
	)
}

// RestoreArchived asks the store for copies of a media's archived contents that can be read for
// some days, and says how each is kept then. Unsupported: the store has no archive, or cannot be
// asked.
func (fs *FS) RestoreArchived(ctx context.Context, id vfs.ID, days int) ([]remote.Archive, error) {
	return fs.archives(ctx, id, func(s remote.Archiver, c remote.ContentID) (remote.Archive, error) {
		return s.RestoreArchived(ctx, c, days)
	})
}

func (fs *FS) archives(
	ctx context.Context, id vfs.ID, do func(remote.Archiver, remote.ContentID) (remote.Archive, error),
) (all []remote.Archive, err error) {
	ids, err := fs.stored(id)
	if err != nil {
		return nil, err
	}
	s, ok := fs.store.(remote.Archiver)
	if !ok {
		return nil, remote.E("look how a media is kept", "", remote.Unsupported, nil)
	}
	for _, c := range ids {
		if err := ctx.Err(); err != nil {
			return all, remote.E("look how a media is kept", "", remote.KindOf(err), err)
		}
		a, err := do(s, c)
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
	return all, nil
}
