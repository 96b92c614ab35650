package view

import (
	"context"
	"path"
	"strings"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A set is the media that a view's folder shows: those that a query finds and that in takes, which
// may be nil. The query uses the index, and may find too many.
type set struct {
	l  *Library
	q  *query.Query
	in func(*remote.Media) bool
}

// newSet makes a set of a query's text.
func (l *Library) newSet(text string, in func(*remote.Media) bool) (*set, error) {
	q, err := query.Parse(text)
	if err != nil {
		return nil, err
	}
	return &set{l: l, q: q, in: in}, nil
}

// term is a field and a value in the language of queries.
func term(field, value string) string {
	return field + `:"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// find yields the media of the set that the caller can reach, by ascending node, from the first
// greater than after, each under the name of its first path that he can reach.
func (s *set) find(ctx context.Context, who *asker, after vfs.ID, yield func(id vfs.ID, name string) bool) error {
	return s.run(ctx, who, s.q, after, yield)
}

func (s *set) run(
	ctx context.Context, who *asker, q *query.Query, after vfs.ID, yield func(id vfs.ID, name string) bool,
) error {
	return s.l.Find(ctx, q, after, func(m *remote.Media) bool {
		if s.in != nil && !s.in(m) {
			return true
		}
		p, ok := who.shown(ctx, m)
		return !ok || yield(m.Node, path.Base(p))
	})
}

// lookup finds the media that has a name in a listing of the set, and any media of the set by the
// spelling with its number.
func (s *set) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	e := entry{name: name}
	if id, ok := suffix(name); ok {
		err := s.find(ctx, who, id-1, func(found vfs.ID, n string) bool {
			if found == id && suffixed(n, id) == name {
				e.media = id
			}
			return false
		})
		return e, found(&e, err)
	}
	err := s.run(ctx, who, s.narrow(name), 0, func(id vfs.ID, n string) bool {
		if n == name {
			e.media = id
		}
		return e.media == 0
	})
	return e, found(&e, err)
}

// narrow is the query for media of the set that have a name, as far as the language can say it: the
// words of a name may be too many, or none, or no text at all.
func (s *set) narrow(name string) *query.Query {
	by := term("name", name)
	only, err := query.Parse(by)
	if err != nil || !only.Match(&remote.Media{Name: name, Paths: []string{"/" + name}}) {
		return s.q
	}
	text := s.q.String()
	if text != "" {
		by = "(" + text + ") " + by
	}
	q, err := query.Parse(by)
	if err != nil {
		return s.q // too long
	}
	return q
}

// has tells whether the caller is shown any media of the set.
func (s *set) has(ctx context.Context, who *asker) (bool, error) {
	has := false
	err := s.find(ctx, who, 0, func(vfs.ID, string) bool {
		has = true
		return false
	})
	return has, err
}

// shows gives the folder of a set, when the caller is shown any media of it.
func (s *set) shows(ctx context.Context, who *asker, folder entry) (entry, error) {
	has, err := s.has(ctx, who)
	if err == nil && !has {
		err = missing(folder.name)
	}
	return folder, err
}

func found(e *entry, err error) error {
	if err == nil && e.media == 0 {
		err = missing(e.name)
	}
	return err
}

// values are the distinct values of a field among what the caller can reach, as names of folders.
// Texts that cannot be one are left out. of gives the set for a value, which a caller who is not
// root needs to be shown one media of.
func (l *Library) values(
	ctx context.Context, who *asker, field string, q *query.Query, of func(value string) (*set, error),
) ([]string, error) {
	all, err := l.Values(ctx, field, q)
	if err != nil || who.root() {
		return all, err
	}
	var shown []string
	for _, v := range all {
		s, err := of(v)
		if err != nil {
			continue
		}
		has, err := s.has(ctx, who)
		if err != nil {
			return nil, err
		}
		if has {
			shown = append(shown, v)
		}
	}
	return shown, nil
}

// named tells whether a media may come into a view under a name: the view shows it under its own,
// and under no other.
func (l *Library) named(ctx context.Context, who *asker, op string, id vfs.ID, name string) error {
	paths, err := l.Paths(ctx, id)
	if err != nil {
		return err
	}
	for _, p := range paths {
		base := path.Base(p)
		if (base == name || suffixed(base, id) == name) && who.reaches(ctx, p) {
			return nil
		}
	}
	return remote.E(op, quoted(name), remote.Invalid, nil).
		WithHint("in a view a media has the name that it has in the tree")
}
