package view

import (
	"context"
	"strings"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// search is search/: every name in it is a query, and a folder of what is found. None is listed.
type search struct{ l *Library }

func (f *search) key() string { return "search" }

func (f *search) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

// lookup reads a query. Names that begin with a dot are none: programs look for such names in every
// folder.
func (f *search) lookup(_ context.Context, _ *asker, name string) (entry, error) {
	if strings.HasPrefix(name, ".") {
		return entry{}, missing(name)
	}
	s, err := f.l.newSet(name, nil)
	if err != nil {
		return entry{}, remote.E("search", quoted(name), remote.Invalid, err)
	}
	return entry{name: name, spot: &shelf{l: f.l, name: "search/" + name, set: s}}, nil
}

func (f *search) list(context.Context, *asker, *listing, uint64, func(entry) bool) error { return nil }

// A shelf is a folder of media that takes no changes.
type shelf struct {
	l    *Library
	name string
	set  *set
}

func (f *shelf) key() string { return f.name }

func (f *shelf) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *shelf) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	return f.set.lookup(ctx, who, name)
}

func (f *shelf) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.media(ctx, who, f.set, after, emit)
}
