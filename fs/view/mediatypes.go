package view

import (
	"context"
	"strings"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// types is by-type/: a folder for the first half of each media type, such as image, and in it one
// for each second half, such as jpeg.
type types struct{ l *Library }

func (f *types) key() string { return "by-type" }

func (f *types) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (l *Library) ofType(mediaType string) (*set, error) {
	return l.newSet(term("type", mediaType), func(m *remote.Media) bool { return m.Type == mediaType })
}

// halves lists the types of which the caller is shown media; one without two halves that can be
// names is in no folder.
func (l *Library) halves(ctx context.Context, who *asker) ([][2]string, error) {
	all, err := l.values(ctx, who, "type", nil, l.ofType)
	var out [][2]string
	for _, t := range all {
		if a, b, ok := strings.Cut(t, "/"); ok && entryName(a) && entryName(b) {
			out = append(out, [2]string{a, b})
		}
	}
	return out, err
}

// lookup asks for one media, and not for all types: each name below is looked up through its
// folders.
func (f *types) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	s, err := f.l.newSet(term("type", name), func(m *remote.Media) bool {
		a, b, ok := strings.Cut(m.Type, "/")
		return ok && a == name && entryName(b)
	})
	if err != nil {
		return entry{}, missing(name) // a text that is no type
	}
	return s.shows(ctx, who, entry{name: name, spot: &subtypes{f.l, name}})
}

func (f *types) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}

func (f *types) entries(ctx context.Context, who *asker) ([]entry, error) {
	all, err := f.l.halves(ctx, who)
	var es []entry
	for _, t := range all {
		if len(es) == 0 || es[len(es)-1].name != t[0] {
			es = append(es, entry{name: t[0], spot: &subtypes{f.l, t[0]}})
		}
	}
	return es, err
}

// subtypes is by-type/<first half>/.
type subtypes struct {
	l    *Library
	name string
}

func (f *subtypes) key() string { return "by-type/" + f.name }

func (f *subtypes) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *subtypes) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	s, err := f.l.ofType(f.name + "/" + name)
	if err != nil {
		return entry{}, missing(name)
	}
	return s.shows(ctx, who, entry{name: name, spot: &shelf{l: f.l, name: "by-type/" + f.name + "/" + name, set: s}})
}

func (f *subtypes) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}

func (f *subtypes) entries(ctx context.Context, who *asker) ([]entry, error) {
	all, err := f.l.halves(ctx, who)
	var es []entry
	for _, t := range all {
		if t[0] != f.name {
			continue
		}
		if s, err := f.l.ofType(t[0] + "/" + t[1]); err == nil {
			es = append(es, entry{name: t[1], spot: &shelf{l: f.l, name: "by-type/" + t[0] + "/" + t[1], set: s}})
		}
	}
	return es, err
}
