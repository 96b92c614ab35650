package view

import (
	"context"
	"strconv"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// moderation is moderation/: a folder for each state. Moving a media from one to another sets it,
// for the media's owner and root.
type moderation struct{ l *Library }

// states are the names of the folders: 0 is what nobody looked at, -1 what was denied.
var states = []string{"-1", "0", "1", "2", "3"}

func (f *moderation) key() string { return "moderation" }

func (f *moderation) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *moderation) lookup(_ context.Context, _ *asker, name string) (entry, error) {
	return find(name, f.entries)
}

func (f *moderation) list(_ context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, f.entries)
}

func (f *moderation) entries() ([]entry, error) {
	var es []entry
	for _, name := range states {
		es = append(es, entry{name: name, spot: &moderated{f.l, name}})
	}
	return es, nil
}

// moderated is moderation/<state>/.
type moderated struct {
	l     *Library
	state string
}

func (f *moderated) key() string { return "moderation/" + f.state }

func (f *moderated) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

func (f *moderated) set() (*set, error) {
	return f.l.newSet(
		term("moderation", f.state), func(m *remote.Media) bool { return strconv.Itoa(m.Moderation) == f.state },
	)
}

func (f *moderated) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	s, err := f.set()
	if err != nil {
		return entry{}, err
	}
	return s.lookup(ctx, who, name)
}

func (f *moderated) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	set, err := f.set()
	if err != nil {
		return err
	}
	return s.media(ctx, who, set, after, emit)
}

func (f *moderated) link(ctx context.Context, who *asker, id vfs.ID, name string) error {
	a, err := f.l.MediaLibrary.GetAttr(ctx, id)
	if err != nil {
		return err
	}
	if !who.owns(&a) {
		return remote.E("moderate", quoted(name), remote.Permission, nil).
			WithHint("only the owner of the file and root may")
	}
	return f.l.EditMedia(
		ctx, who.caller, id, vfs.MediaChange{Edits: []media.Edit{{Field: "moderation", Do: media.Set, Value: f.state}}},
	)
}

func (f *moderated) give(ctx context.Context, who *asker, name string, to place, _ uint32) error {
	t, ok := to.view.(*moderated)
	if !ok {
		return refused("rename", name, "a media is moved between the folders of moderation only")
	}
	e, err := f.lookup(ctx, who, name)
	if err != nil {
		return err
	}
	if err := f.l.named(ctx, who, "rename", e.media, to.name); err != nil {
		return err
	}
	return t.link(ctx, who, e.media, name)
}
