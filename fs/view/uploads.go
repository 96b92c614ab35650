package view

import (
	"context"
	"encoding/json"
	"path"
	"strconv"
	"strings"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// uploads is uploads/: a text for each media that is on its way to the store, running or stopped,
// with how far it is. Removing it gives the upload up.
type uploads struct{ l *Library }

func (f *uploads) key() string { return "uploads" }

func (f *uploads) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

// An upload is what the text of one says.
type upload struct {
	Node    uint64  `json:"node"`
	Path    string  `json:"path,omitempty"`
	Size    int64   `json:"size"` // bytes
	Sent    int64   `json:"sent"` // bytes
	Percent float64 `json:"percent"`
	Running bool    `json:"running"`
	Error   string  `json:"error,omitempty"`
}

const uploadEnding = ".json"

// entries are the uploads of media that the caller can reach, and of deleted ones that are his.
func (f *uploads) entries(ctx context.Context, who *asker) ([]entry, []vfs.ID, error) {
	all, err := f.l.Uploads(ctx)
	if err != nil {
		return nil, nil, err
	}
	var es []entry
	var ids []vfs.ID
	names := make(map[string]bool)
	for _, u := range all {
		base := path.Base(u.Path)
		if u.Path == "" {
			a, err := f.l.MediaLibrary.GetAttr(ctx, u.Node)
			if err != nil || !who.owns(&a) {
				continue
			}
			base = "deleted"
		} else if !who.lists(ctx, path.Dir(u.Path)) {
			continue
		}
		name := cut(base, uploadEnding)
		if _, like := suffix(name); like || u.Path == "" || names[name] {
			name = uploadName(base, u.Node)
		}
		names[name] = true
		es, ids = append(es, entry{name: name, spot: f.l.progress(u.Node)}), append(ids, u.Node)
	}
	return es, ids, nil
}

func uploadName(base string, id vfs.ID) string {
	return cut(base, " ("+strconv.FormatUint(id, 16)+")"+uploadEnding)
}

// progress is the text of an upload. Once that has ended it is gone.
func (l *Library) progress(id vfs.ID) *sheet {
	return &sheet{
		l:     l,
		name:  "upload/" + strconv.FormatUint(id, 16),
		about: l.readable(id),
		of:    id,
		text: func(ctx context.Context) ([]byte, error) {
			all, err := l.Uploads(ctx)
			if err != nil {
				return nil, err
			}
			for _, u := range all {
				if u.Node != id {
					continue
				}
				t := upload{
					Node:    u.Node,
					Path:    u.Path,
					Size:    u.Size,
					Sent:    u.Sent,
					Percent: 100,
					Running: u.Running,
					Error:   u.Error,
				}
				if u.Size > 0 {
					t.Percent = float64(min(u.Sent, u.Size)*1000/u.Size) / 10
				}
				b, err := json.MarshalIndent(t, "", "  ")
				if err != nil {
					return nil, remote.E("tell of upload", u.Path, remote.Other, err)
				}
				return append(b, '\n'), nil
			}
			return nil, remote.E("tell of upload", strconv.FormatUint(id, 16), remote.NotExist, nil)
		},
	}
}

func (f *uploads) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	e, _, err := f.pick(ctx, who, name)
	return e, err
}

func (f *uploads) pick(ctx context.Context, who *asker, name string) (entry, vfs.ID, error) {
	es, ids, err := f.entries(ctx, who)
	if err != nil {
		return entry{}, 0, err
	}
	for i, e := range es {
		if e.name == name || uploadName(strings.TrimSuffix(e.name, uploadEnding), ids[i]) == name {
			return e, ids[i], nil
		}
	}
	return entry{}, 0, missing(name)
}

func (f *uploads) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) {
		es, _, err := f.entries(ctx, who)
		return es, err
	})
}

// unlink gives an upload up: what of the media is not in the store is lost.
func (f *uploads) unlink(ctx context.Context, who *asker, name string) error {
	_, id, err := f.pick(ctx, who, name)
	if err != nil {
		return err
	}
	if err := who.writes(ctx, "cancel upload", id, name); err != nil {
		return err
	}
	return f.l.CancelUpload(ctx, id)
}
