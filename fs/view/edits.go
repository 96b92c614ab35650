package view

import (
	"context"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// edit changes what people say of a media, for a caller who may write to it.
func (l *Library) edit(ctx context.Context, who *asker, op string, id vfs.ID, name string, edits ...media.Edit) error {
	if err := who.writes(ctx, op, id, name); err != nil {
		return err
	}
	return l.EditMedia(ctx, who.caller, id, vfs.MediaChange{Edits: edits})
}

// hidden is hidden/: the media that are hidden. A link into it hides, and removing the entry shows
// it again.
type hidden struct{ l *Library }

func (f *hidden) key() string { return "hidden" }

func (f *hidden) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

func (f *hidden) set() (*set, error) {
	return f.l.newSet(term("hidden", "yes"), func(m *remote.Media) bool { return m.Hidden })
}

func (f *hidden) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	s, err := f.set()
	if err != nil {
		return entry{}, err
	}
	return s.lookup(ctx, who, name)
}

func (f *hidden) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	set, err := f.set()
	if err != nil {
		return err
	}
	return s.media(ctx, who, set, after, emit)
}

func (f *hidden) link(ctx context.Context, who *asker, id vfs.ID, name string) error {
	return f.l.edit(ctx, who, "hide", id, name, media.Edit{Field: "hidden", Do: media.Set, Value: "yes"})
}

func (f *hidden) unlink(ctx context.Context, who *asker, name string) error {
	e, err := f.lookup(ctx, who, name)
	if err != nil {
		return err
	}
	return f.l.edit(ctx, who, "show again", e.media, name, media.Edit{Field: "hidden", Do: media.Clear})
}
