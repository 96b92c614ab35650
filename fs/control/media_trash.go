package control

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// purgesAtOnce is how many entries of the trash are deleted at the same time: each may be a folder
// of thousands of media.
const purgesAtOnce = 16

func (s *Media) trash(ctx context.Context, _ vfs.Caller, _ *MediaRequest, emit func(MediaAnswer) error) error {
	users := map[uint32]string{}
	var failed error
	err := s.Library.TrashEntries(ctx, func(e vfs.TrashEntry) bool {
		name, ok := users[e.UID]
		if !ok {
			name = userName(e.UID)
			users[e.UID] = name
		}
		item := &TrashItem{
			Entry:   e.Entry,
			Node:    e.Node,
			Folder:  isFolder(e.Attr),
			Size:    e.Attr.Size,
			Deleted: e.Deleted.Std().UTC(),
			User:    name,
		}
		item.Path, item.PathBytes = readable(e.Path)
		failed = emit(MediaAnswer{Trash: item})
		return failed == nil
	})
	return errors.Join(err, failed)
}

// entry finds one entry of the trash.
func (s *Media) entry(ctx context.Context, number uint64) (found vfs.TrashEntry, err error) {
	ok := false
	err = s.Library.TrashEntries(ctx, func(e vfs.TrashEntry) bool {
		if ok = e.Entry == number; ok {
			found = e
		}
		return !ok
	})
	if err == nil && !ok {
		err = remote.E("look in the trash", strconv.FormatUint(number, 10), remote.NotExist, nil)
	}
	return found, err
}

// restore takes one entry out of the trash: to where it was, to Folder under Name, or, without
// Name, to the path of Folder, which is an existing folder to put it in or the new name.
func (s *Media) restore(ctx context.Context, c vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	if len(r.Entries) != 1 {
		return remote.E("restore", "", remote.Invalid, fmt.Errorf("%d entries where one is needed", len(r.Entries)))
	}
	e, err := s.entry(ctx, r.Entries[0])
	if err != nil {
		return err
	}
	parent, name := e.Parent, e.Name
	if r.Folder != nil {
		if parent, name, err = s.destination(ctx, *r.Folder, string(r.Name), e.Name); err != nil {
			return err
		}
	}
	if err := s.Library.Restore(ctx, c, e.Entry, parent, name); err != nil {
		switch kind := remote.KindOf(err); {
		case r.Folder == nil && kind == remote.Exist:
			err = remote.Rehint(err, "its old name is taken: name another place with --to")
		case r.Folder == nil && kind == remote.NotExist:
			err = remote.Rehint(err, "the folder that it was in is gone: name another place with --to")
		}
		return err
	}
	a := MediaAnswer{Node: e.Node}
	if paths, err := s.Library.Paths(ctx, e.Node); err == nil && len(paths) > 0 {
		a.Path = RawName(paths[0])
	}
	return emit(a)
}

func (s *Media) destination(ctx context.Context, to Target, name, old string) (vfs.ID, string, error) {
	a, err := s.resolve(ctx, to)
	switch {
	case err == nil && isFolder(a):
		if name == "" {
			name = old
		}
		return a.ID, name, nil
	case err == nil && name != "":
		return 0, "", remote.E("restore to", string(to.Path), remote.NotDir, nil)
	case err == nil:
		return 0, "", remote.E("restore to", string(to.Path), remote.Exist, nil)
	case name != "" || to.Node != 0 || !errors.Is(err, remote.NotExist):
		return 0, "", err
	}
	at := path.Clean("/" + string(to.Path))
	if a, err = s.resolve(ctx, Target{Path: RawName(path.Dir(at))}); err == nil && !isFolder(a) {
		err = remote.E("restore to", path.Dir(at), remote.NotDir, nil)
	}
	return a.ID, path.Base(at), err
}

func (s *Media) purge(ctx context.Context, c vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	return each(ctx, len(r.Entries), purgesAtOnce, emit, func(ctx context.Context, i int) (MediaAnswer, error) {
		return MediaAnswer{}, s.Library.Purge(ctx, c, r.Entries[i])
	})
}
