package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/terms"
)

// A search looks at the catalog for a while, then lets changes in, and goes on where it stood; each
// look may take twice as long as the one before.
const (
	firstLook   = 20 * time.Millisecond
	longestLook = 160 * time.Millisecond
	firstFound  = 8 // media that the first look finds at most: who asks whether there is any wants no more
)

// Find yields the media of the tree that match, by ascending node.
func (fs *FS) Find(ctx context.Context, q *query.Query, after vfs.ID, yield func(*remote.Media) bool) error {
	few := firstFound
	for look := firstLook; ; look = min(2*look, longestLook) {
		var page []*remote.Media
		paused := false
		err := fs.cat.View(func(tx *catalog.Tx) error {
			var from time.Time // the first look at a media: what the index is read for before is done for all of a page
			rctx, stop := context.WithCancel(ctx)
			defer stop()
			load := func(id vfs.ID) (*remote.Media, bool) {
				after = id
				if from.IsZero() {
					from = time.Now()
				}
				if time.Since(from) > look {
					paused = true
					stop()
				}
				m := fs.found(tx, id)
				return m, m != nil
			}
			err := query.Run(rctx, tx, load, q, after, func(m *remote.Media) bool {
				page = append(page, m)
				paused = paused || len(page) == few || time.Since(from) > look
				return !paused
			})
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil && !paused {
				return err
			}
			return tx.Err()
		})
		if err != nil {
			return err
		}
		for _, m := range page {
			if !yield(m) {
				return nil
			}
		}
		if !paused {
			return nil
		}
		few *= 4
	}
}

// found puts together a media that a search has come upon; nil when it is not in the tree.
func (fs *FS) found(tx *catalog.Tx, id vfs.ID) *remote.Media {
	n := tx.Node(id)
	if n == nil || len(n.MediaId) == 0 || tx.Orphan(id) {
		return nil
	}
	paths := operation.PathsOf(tx, id)
	if len(paths) == 0 {
		return nil
	}
	return fs.whole(tx, id, n, paths)
}

// latestLimit is how many media Latest gives at most: what people look through.
const latestLimit = 1000

// Latest yields the media that match, newest in the library first, at most 1,000.
func (fs *FS) Latest(ctx context.Context, q *query.Query, yield func(*remote.Media) bool) error {
	var page []*remote.Media
	err := fs.cat.View(func(tx *catalog.Tx) error {
		load := func(id vfs.ID) (*remote.Media, bool) {
			m := fs.found(tx, id)
			return m, m != nil
		}
		err := query.Latest(ctx, tx, load, q, func(m *remote.Media) bool {
			page = append(page, m)
			return len(page) < latestLimit
		})
		if err != nil {
			return err
		}
		return tx.Err()
	})
	if err != nil {
		return err
	}
	for _, m := range page {
		if !yield(m) {
			break
		}
	}
	return nil
}

// Indexed tells how far the index is.
func (fs *FS) Indexed() (done, total uint64, ready bool) { return fs.cat.IndexReady() }

// valueKinds are the fields whose values can be listed, and the terms they are of.
var valueKinds = map[string]terms.Kind{
	"tag":        terms.Tag,
	"type":       terms.Type,
	"class":      terms.Class,
	"favorite":   terms.Favorite,
	"moderation": terms.Moderation,
	"year":       terms.Taken,
	"month":      terms.Taken,
}

// Values lists the distinct values that a field has among all media of the tree, ascending; with q,
// among those that match.
func (fs *FS) Values(ctx context.Context, field string, q *query.Query) ([]string, error) {
	kind, ok := valueKinds[field]
	if !ok {
		return nil, remote.E("list values", fmt.Sprintf("%q", field), remote.Invalid, nil).
			WithHint("tag, type, class, favorite, moderation, year or month")
	}
	if q != nil {
		return fs.valuesAmong(ctx, field, q)
	}
	// A term may be of what another record overrides, or only of media in the trash: each needs one
	// media that has it.
	var candidates []string
	err := fs.cat.View(func(tx *catalog.Tx) error {
		switch field {
		case "year", "month":
			candidates = spans(tx, kind, field == "month")
		default:
			for t := range tx.Terms(kind, "") {
				if field == "moderation" {
					t = strconv.Itoa(int(t[0])<<8 + int(t[1]) - 1<<15)
				}
				if t == terms.AnyClass && field == "class" {
					continue
				}
				candidates = append(candidates, t)
			}
		}
		return tx.Err()
	})
	if err != nil {
		return nil, err
	}
	if field == "class" {
		for _, c := range remote.Classes() {
			candidates = append(candidates, string(c))
		}
		slices.Sort(candidates)
		candidates = slices.Compact(candidates)
	}
	var values []string
	for _, v := range candidates {
		q, err := query.Parse(valueQuery(field, v))
		if err != nil {
			continue // no query can mean it
		}
		used := false
		if err := fs.Find(ctx, q, 0, func(*remote.Media) bool { used = true; return false }); err != nil {
			return nil, err
		}
		if used {
			values = append(values, v)
		}
	}
	return values, nil
}

// quoted is a value as a query has it.
func quoted(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}

// valueQuery is the query for the media that have a value.
func valueQuery(field, v string) string {
	switch field {
	case "year", "month":
		return "taken:" + v
	case "moderation":
		return field + ":" + v
	default:
		return field + ":" + quoted(v)
	}
}

// spans lists the years or months in which a media was taken, by seeking from one to the next.
func spans(tx *catalog.Tx, kind terms.Kind, months bool) (list []string) {
	last := terms.Time(1<<39 - 1)
	for from := terms.Time(-1 << 39); ; {
		term, any := "", false
		for t := range tx.Postings(kind, from, last) {
			term, any = t, true
			break
		}
		if !any {
			return list
		}
		at := time.Unix(terms.TimeOf(term), 0).UTC()
		next := time.Date(at.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		if months {
			next = time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		}
		if y := at.Year(); y > 0 && y < 10000 {
			if months {
				list = append(list, at.Format("2006-01"))
			} else {
				list = append(list, at.Format("2006"))
			}
		}
		if from = terms.Time(next.Unix()); from <= term {
			return list // the last second that a term tells apart
		}
	}
}

// valuesAmong lists the values of a field among the media that match.
func (fs *FS) valuesAmong(ctx context.Context, field string, q *query.Query) ([]string, error) {
	set := make(map[string]bool)
	err := fs.Find(ctx, q, 0, func(m *remote.Media) bool {
		for _, v := range valuesOf(field, m) {
			set[v] = true
		}
		return true
	})
	values := make([]string, 0, len(set))
	for v := range set {
		values = append(values, v)
	}
	slices.Sort(values)
	return values, err
}

func valuesOf(field string, m *remote.Media) []string {
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	switch field {
	case "tag":
		return m.Tags
	case "type":
		return one(m.Type)
	case "class":
		return one(string(m.Class))
	case "favorite":
		return m.Favorites
	case "moderation":
		return one(strconv.Itoa(m.Moderation))
	}
	if m.Taken.IsZero() {
		return nil
	}
	if field == "year" {
		return one(m.Taken.Format("2006"))
	}
	return one(m.Taken.Format("2006-01"))
}

var _ vfs.MediaLibrary = (*FS)(nil)
