package view

import (
	"context"
	"path"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// latest is latest/: the media that came into the library last, newest first, as many as the
// options say. They are read at once.
type latest struct{ l *Library }

func (f *latest) key() string { return "latest" }

func (f *latest) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

// entries are those that the caller can reach among the newest. Of several with one name the newest
// has it plain.
func (f *latest) entries(ctx context.Context, who *asker) ([]entry, error) {
	q, err := query.Parse("")
	if err != nil {
		return nil, err
	}
	var es []entry
	names := make(map[string]bool)
	err = f.l.Latest(ctx, q, func(m *remote.Media) bool {
		p, ok := who.shown(ctx, m)
		if !ok {
			return true
		}
		name := path.Base(p)
		if _, like := suffix(name); like || names[name] {
			name = suffixed(name, m.Node)
		}
		names[name] = true
		es = append(es, entry{name: name, media: m.Node})
		return len(es) < f.l.opt.Latest
	})
	return es, err
}

// lookup finds the newest media that has a name, and any by the spelling with its number. It does
// not go through the list: programs look up every name that they were shown. So a media that is too
// old for the list is found as well.
func (f *latest) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	e := entry{name: name}
	if id, ok := suffix(name); ok {
		m, err := f.l.Media(ctx, id)
		if err != nil || m.Hidden {
			return e, missing(name)
		}
		if p, ok := who.shown(ctx, m); ok && suffixed(path.Base(p), id) == name {
			e.media = id
		}
		return e, found(&e, nil)
	}
	all, err := f.l.newSet("", nil)
	if err != nil {
		return e, err
	}
	err = f.l.Latest(ctx, all.narrow(name), func(m *remote.Media) bool {
		if p, ok := who.shown(ctx, m); ok && path.Base(p) == name {
			e.media = m.Node
		}
		return e.media == 0
	})
	return e, found(&e, err)
}

func (f *latest) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}
