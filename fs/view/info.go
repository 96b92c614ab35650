package view

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// infos is info/: for each media of the tree <name>.json, all that is known of it, and
// info/id/<media id>.json the same by its id.
func (l *Library) infos() spot {
	m := &mirrored{l: l, name: "info", ending: ".json", first: []entry{{name: "id", spot: &byID{l}}}}
	m.item = func(id vfs.ID, kind uint32) spot {
		if kind != unix.S_IFREG {
			return nil
		}
		return l.record(id)
	}
	return &mirror{m, vfs.Root}
}

// record is the whole record of a media as a text: the media, and the document of its facts.
func (l *Library) record(id vfs.ID) *sheet {
	return &sheet{
		l:     l,
		name:  "record/" + strconv.FormatUint(id, 16),
		about: l.readable(id),
		of:    id,
		text: func(ctx context.Context) ([]byte, error) {
			m, err := l.Media(ctx, id)
			if err != nil {
				return nil, err
			}
			l.asking(ctx).withoutNames(ctx, m)
			doc, err := l.Document(ctx, id)
			if err != nil && remote.KindOf(err) != remote.NotExist {
				return nil, err
			}
			b, err := json.MarshalIndent(struct {
				*remote.Media
				Document *remote.FactsDocument `json:"document,omitempty"`
			}{m, doc}, "", "  ")
			if err != nil {
				return nil, remote.E("tell of media", m.ID, remote.Corrupt, err)
			}
			return append(b, '\n'), nil
		},
	}
}

// byID is info/id/. It lists nothing.
type byID struct{ l *Library }

func (f *byID) key() string { return "info/id" }

func (f *byID) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *byID) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	id, ok := strings.CutSuffix(name, ".json")
	if !ok || id == "" {
		return entry{}, missing(name)
	}
	n, err := f.l.MediaNode(ctx, id)
	if err != nil {
		if k := remote.KindOf(err); k == remote.Invalid {
			err = missing(name)
		}
		return entry{}, err
	}
	paths, err := f.l.Paths(ctx, n)
	if err != nil {
		return entry{}, err
	}
	if _, ok := who.reached(ctx, paths); !ok {
		return entry{}, missing(name)
	}
	return entry{name: name, spot: f.l.record(n)}, nil
}

func (f *byID) list(context.Context, *asker, *listing, uint64, func(entry) bool) error { return nil }
