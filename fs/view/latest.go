package view

import (
	"context"
	"path"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// latest is latest/: the media that came into the library last, newest first, as many as the options say. They are read at once.
type latest struct{ l *Library }

func (f *latest) key() string { return "latest" }

func (f *latest) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

// entries are those that the caller can reach among the newest. Of several with one name the newest has it plain.
func (f *latest) entries(ctx context.Context, who *asker) ([]entry, error) {
	q, err := query.Parse("")
	if err != nil {
		return nil, err
	}
	var es []entry
	names := make(map[string]bool)
	err = f.l.Latest(ctx, q, func(m *remote.Media) bool {
		p, ok := who.reached(ctx, m.Paths)
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

func (f *latest) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	es, err := f.entries(ctx, who)
	if err != nil {
		return entry{}, err
	}
	id, numbered := suffix(name)
	for _, e := range es {
		if e.name == name || numbered && e.media == id && suffixed(e.name, id) == name {
			return e, nil
		}
	}
	return entry{}, missing(name)
}

func (f *latest) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}
