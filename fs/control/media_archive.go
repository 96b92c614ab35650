package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

const (
	// archiveTimeout is how long who asks about a media waits for what the store says of it.
	archiveTimeout = 5 * time.Second
	// unarchiveAtOnce is how many media the store is asked about at the same time.
	unarchiveAtOnce = 16
)

// archive adds how the store keeps a media. That nobody can say is no failure: all else is known
// here.
func (s *Media) archive(ctx context.Context, id vfs.ID, a *MediaAnswer) {
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	var err error
	if a.Archives, err = s.Library.Archives(ctx, id); err != nil && !errors.Is(err, remote.Unsupported) {
		a.Unasked = err.Error()
	}
}

// unarchive asks the store for what is archived of media, and of all media in folders. Each media
// that is archived, or of which that cannot be said, is a line with its path.
func (s *Media) unarchive(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	if r.Days < 1 {
		return remote.E("restore from the archive", "", remote.Invalid, errors.New("for how many days is not said"))
	}
	var mu sync.Mutex // one line at a time
	tell := func(a MediaAnswer) error {
		mu.Lock()
		defer mu.Unlock()
		return emit(a)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(unarchiveAtOnce)
	one := func(index int, id vfs.ID) {
		g.Go(func() error {
			a := MediaAnswer{Index: index, Node: id}
			if ps, err := s.Library.Paths(gctx, id); err == nil && len(ps) > 0 {
				a.Path = RawName(ps[0])
			}
			var err error
			if a.Archives, err = s.Library.RestoreArchived(gctx, id, r.Days); err != nil {
				a.Failed, a.Archives = failureOf(err), nil
			}
			return tell(a)
		})
	}
	for i, t := range r.Targets {
		at, err := s.resolve(ctx, t)
		if err == nil {
			err = s.walkMedia(gctx, at.ID, at.Mode, func(id vfs.ID) { one(i, id) })
		}
		if err != nil && gctx.Err() == nil {
			if err := tell(MediaAnswer{Index: i, Failed: failureOf(err)}); err != nil {
				return errors.Join(err, g.Wait())
			}
		}
	}
	return g.Wait()
}

// walkMedia calls each for a media, or for all that lie in a folder and in those below it.
func (s *Media) walkMedia(ctx context.Context, id vfs.ID, mode uint32, each func(vfs.ID)) error {
	const (
		kinds  = 0o170000
		folder = 0o040000
		media  = 0o100000
	)
	switch mode & kinds {
	case media:
		each(id)
		return nil
	case folder:
	default:
		return nil
	}
	d, err := s.Library.OpenDir(ctx, id)
	if err != nil {
		return err
	}
	var entries []vfs.DirEntry
	err = d.Read(ctx, 2, false, func(group []vfs.DirEntry) bool { // without "." and ".."
		entries = append(entries, group...)
		return ctx.Err() == nil
	})
	d.Release()
	for _, e := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		err = s.walkMedia(ctx, e.ID, e.Mode, each)
	}
	return err
}
