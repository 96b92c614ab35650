package view

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// years is by-date/: a folder for each year, in it one for each month, by when a media was taken.
// Media of which that is not known, or only the year, are in none.
type years struct{ l *Library }

func (f *years) key() string { return "by-date" }

func (f *years) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

// month gives the set of a month as 2024-05.
func (l *Library) month(month string) (*set, error) {
	return l.newSet("taken:"+month, func(m *remote.Media) bool {
		return m.Year != 0 && monthName(m.Year, m.Month) == month
	})
}

func monthName(year, month int) string {
	y, m := strconv.Itoa(year), strconv.Itoa(month)
	return strings.Repeat("0", max(0, 4-len(y))) + y + "-" + strings.Repeat("0", max(0, 2-len(m))) + m
}

// months lists the months of which the caller is shown media, as 2024-05.
func (l *Library) months(ctx context.Context, who *asker) ([]string, error) {
	all, err := l.values(ctx, who, "month", nil, l.month)
	return slices.DeleteFunc(all, func(m string) bool {
		y, mm, ok := strings.Cut(m, "-")
		return !ok || !entryName(y) || !entryName(mm)
	}), err
}

// lookup asks for one media, and not for all months: each name below is looked up through its
// folders.
func (f *years) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	if n, err := strconv.Atoi(name); err != nil || monthName(n, 0) != name+"-00" || len(name) != 4 {
		return entry{}, missing(name)
	}
	s, err := f.l.newSet("taken:"+name, func(m *remote.Media) bool {
		return m.Year != 0 && m.Month != 0 && strings.HasPrefix(monthName(m.Year, m.Month), name+"-")
	})
	if err != nil {
		return entry{}, missing(name)
	}
	return s.shows(ctx, who, entry{name: name, spot: &year{f.l, name}})
}

func (f *years) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}

func (f *years) entries(ctx context.Context, who *asker) ([]entry, error) {
	months, err := f.l.months(ctx, who)
	var es []entry
	for _, m := range months {
		y, _, _ := strings.Cut(m, "-")
		if len(es) == 0 || es[len(es)-1].name != y {
			es = append(es, entry{name: y, spot: &year{f.l, y}})
		}
	}
	return es, err
}

// year is by-date/<year>/.
type year struct {
	l    *Library
	name string
}

func (f *year) key() string { return "by-date/" + f.name }

func (f *year) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *year) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	if n, err := strconv.Atoi(name); err != nil || n < 1 || n > 12 || monthName(0, n) != "0000-"+name {
		return entry{}, missing(name)
	}
	s, err := f.l.month(f.name + "-" + name)
	if err != nil {
		return entry{}, missing(name)
	}
	return s.shows(ctx, who, entry{name: name, spot: &shelf{l: f.l, name: "by-date/" + f.name + "/" + name, set: s}})
}

func (f *year) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx, who) })
}

func (f *year) entries(ctx context.Context, who *asker) ([]entry, error) {
	months, err := f.l.months(ctx, who)
	var es []entry
	for _, m := range months {
		y, mm, _ := strings.Cut(m, "-")
		if y != f.name {
			continue
		}
		s, err := f.l.month(m)
		if err != nil {
			continue // a value that the language cannot say
		}
		es = append(es, entry{name: mm, spot: &shelf{l: f.l, name: "by-date/" + y + "/" + mm, set: s}})
	}
	return es, err
}

// find picks the entry with a name.
func find(name string, get func() ([]entry, error)) (entry, error) {
	es, err := get()
	if err != nil {
		return entry{}, err
	}
	for _, e := range es {
		if e.name == name {
			return e, nil
		}
	}
	return entry{}, missing(name)
}
