package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// tagged is tags/ or tags/<tag>/…: the media that have all tags of the path, and the further tags
// among them as folders, of which a folder wins where it has a media's name. tags/ itself has
// folders only.
//
// A link into it gives the tags, removing an entry takes the last tag of the path off, a move
// between two such folders replaces the last tag by those of the other, and renaming a folder
// renames its tag on all media that the caller can reach. mkdir makes a folder that nothing is in:
// it lives in memory until a media gets the tag, rmdir, or the end of the mount.
type tagged struct {
	l    *Library
	tags []string
}

func (f *tagged) key() string { return "tags/" + strings.Join(f.tags, "/") }

func (f *tagged) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

func (f *tagged) set() (*set, error) { return f.l.withTags(f.tags) }

func (f *tagged) below(tag string) *tagged {
	return &tagged{f.l, append(slices.Clip(f.tags), tag)}
}

// withTags gives the media that have all of some tags.
func (l *Library) withTags(tags []string) (*set, error) {
	var text strings.Builder
	for _, t := range tags {
		text.WriteString(term("tag", t) + " ")
	}
	return l.newSet(strings.TrimSpace(text.String()), func(m *remote.Media) bool {
		for _, t := range tags {
			if !slices.Contains(m.Tags, t) {
				return false
			}
		}
		return true
	})
}

// further are the tags that are folders here.
func (f *tagged) further(ctx context.Context, who *asker) ([]string, error) {
	here, err := f.set()
	if err != nil {
		return nil, err
	}
	q := here.q
	if len(f.tags) == 0 {
		q = nil
	}
	all, err := f.l.values(ctx, who, "tag", q, func(tag string) (*set, error) { return f.below(tag).set() })
	if err != nil {
		return nil, err
	}
	all = append(all, f.l.tags.in(f.key())...)
	slices.Sort(all)
	return slices.DeleteFunc(
		slices.Compact(all), func(t string) bool { return !entryName(t) || slices.Contains(f.tags, t) },
	), nil
}

// folder tells whether a tag is a folder here.
func (f *tagged) folder(ctx context.Context, who *asker, tag string) (bool, error) {
	if slices.Contains(f.tags, tag) || !entryName(tag) {
		return false, nil
	}
	if slices.Contains(f.l.tags.in(f.key()), tag) {
		return true, nil
	}
	set, err := f.below(tag).set()
	if err != nil {
		return false, nil // a text that is no tag
	}
	return set.has(ctx, who)
}

func (f *tagged) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	is, err := f.folder(ctx, who, name)
	switch {
	case err != nil:
		return entry{}, err
	case is:
		return entry{name: name, spot: f.below(name)}, nil
	case len(f.tags) == 0:
		return entry{}, missing(name)
	}
	s, err := f.set()
	if err != nil {
		return entry{}, err
	}
	return s.lookup(ctx, who, name)
}

func (f *tagged) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	more, err := s.before(after, emit, func() ([]entry, error) {
		tags, err := f.further(ctx, who)
		var es []entry
		for _, t := range tags {
			es = append(es, entry{name: t, spot: f.below(t)})
		}
		return es, err
	})
	if !more || len(f.tags) == 0 {
		return err
	}
	set, err := f.set()
	if err != nil {
		return err
	}
	return s.media(ctx, who, set, after, emit)
}

func (f *tagged) mkdir(_ context.Context, _ *asker, name string) (spot, error) {
	if err := media.CheckTag(name); err != nil {
		return nil, err
	}
	if !f.l.tags.add(f.key(), name) {
		return nil, remote.E("make tag", quoted(name), remote.NoSpace, fmt.Errorf("there are %d tags that no media has", maxEmptyTags)).
			WithHint("give them to media, or remove their folders")
	}
	return f.below(name), nil
}

func (f *tagged) rmdir(ctx context.Context, who *asker, name string) error {
	is, err := f.folder(ctx, who, name)
	if err != nil {
		return err
	}
	if !is {
		return remote.E("remove tag", quoted(name), remote.NotExist, nil)
	}
	set, err := f.below(name).set()
	if err != nil {
		return err
	}
	has, err := set.has(ctx, who)
	switch {
	case err != nil:
		return err
	case has || len(f.l.tags.in(f.below(name).key())) > 0:
		return remote.E("remove tag", quoted(name), remote.NotEmpty, nil).WithHint("take the tag off its media first")
	}
	f.l.tags.remove(f.key(), name)
	return nil
}

func (f *tagged) link(ctx context.Context, who *asker, id vfs.ID, name string) error {
	if len(f.tags) == 0 {
		return refused("tag", name, "link it into the folder of a tag")
	}
	var edits []media.Edit
	for _, t := range f.tags {
		edits = append(edits, media.Edit{Field: "tags", Do: media.Add, Value: t})
	}
	if err := f.l.edit(ctx, who, "tag", id, name, edits...); err != nil {
		return err
	}
	f.l.tags.used(f.tags)
	return nil
}

func (f *tagged) unlink(ctx context.Context, who *asker, name string) error {
	e, err := f.lookup(ctx, who, name)
	switch {
	case err != nil:
		return err
	case e.spot != nil:
		return remote.E("untag", quoted(name), remote.IsDir, nil)
	}
	return f.l.edit(
		ctx, who, "untag", e.media, name, media.Edit{Field: "tags", Do: media.Remove, Value: f.tags[len(f.tags)-1]},
	)
}

func (f *tagged) give(ctx context.Context, who *asker, name string, to place, _ uint32) error {
	t, ok := to.view.(*tagged)
	if !ok {
		return refused("rename", name, "the entry is a tag and not the file; take it from its folder")
	}
	e, err := f.lookup(ctx, who, name)
	if err != nil {
		return err
	}
	if e.spot != nil {
		if t.key() != f.key() {
			return refused("rename", name, "a tag is renamed where it is")
		}
		return f.rename(ctx, who, name, to.name)
	}
	if len(t.tags) == 0 {
		return refused("rename", name, "move it into the folder of a tag")
	}
	if err := f.l.named(ctx, who, "rename", e.media, to.name); err != nil {
		return err
	}
	last := f.tags[len(f.tags)-1]
	var edits []media.Edit
	if !slices.Contains(t.tags, last) {
		edits = append(edits, media.Edit{Field: "tags", Do: media.Remove, Value: last})
	}
	for _, tag := range t.tags {
		edits = append(edits, media.Edit{Field: "tags", Do: media.Add, Value: tag})
	}
	if err := f.l.edit(ctx, who, "tag", e.media, name, edits...); err != nil {
		return err
	}
	f.l.tags.used(t.tags)
	return nil
}

// rename gives another name to a tag of the media in this folder that the caller can reach. Each
// media is a change of its own: when one fails, those before have the new tag, and doing it again
// does the rest. Nothing is changed when the caller may not write to one of them, or when there are
// more than the options allow.
func (f *tagged) rename(ctx context.Context, who *asker, tag, to string) error {
	if err := media.CheckTag(to); err != nil {
		return err
	}
	if is, err := f.folder(ctx, who, to); err != nil || is {
		if err == nil {
			err = remote.E("rename tag", quoted(to), remote.Exist, nil)
		}
		return err
	}
	set, err := f.below(tag).set()
	if err != nil {
		return err
	}
	limit := f.l.opt.RenameTag
	var ids []vfs.ID
	var closed error
	err = set.find(ctx, who, 0, func(id vfs.ID, name string) bool {
		if closed = who.writes(ctx, "rename tag", id, name); closed != nil {
			return false
		}
		ids = append(ids, id)
		return len(ids) <= limit
	})
	if err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if len(ids) > limit {
		return remote.E("rename tag", quoted(tag), remote.TooLarge, fmt.Errorf("more than %d media have it", limit)).
			WithHint("move the media to the new tag in smaller groups")
	}
	for i, id := range ids {
		err := f.l.EditMedia(ctx, who.caller, id, vfs.MediaChange{Edits: []media.Edit{
			{Field: "tags", Do: media.Remove, Value: tag}, {Field: "tags", Do: media.Add, Value: to}}})
		if err != nil && remote.KindOf(err) != remote.NotExist {
			return remote.E("rename tag", quoted(tag), remote.KindOf(err), errors.Join(fmt.Errorf("%d of %d media are done", i, len(ids)), err)).
				WithHint("do it again for the rest")
		}
	}
	if f.l.tags.remove(f.key(), tag) && len(ids) == 0 {
		f.l.tags.add(f.key(), to)
	}
	return nil
}

// maxEmptyTags is how many tag folders that nothing is in are kept.
const maxEmptyTags = 10_000

// emptyTags are the tag folders that were made and that no media is in yet.
type emptyTags struct {
	mu    sync.Mutex
	below map[string][]string // key of a folder → tags
	n     int
}

func (t *emptyTags) in(folder string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.below[folder])
}

func (t *emptyTags) add(folder, tag string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case slices.Contains(t.below[folder], tag):
		return true
	case t.n >= maxEmptyTags:
		return false
	case t.below == nil:
		t.below = make(map[string][]string)
	}
	t.below[folder] = append(t.below[folder], tag)
	t.n++
	return true
}

func (t *emptyTags) remove(folder, tag string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.below[folder], tag)
	if i < 0 {
		return false
	}
	t.n--
	if t.below[folder] = slices.Delete(t.below[folder], i, i+1); len(t.below[folder]) == 0 {
		delete(t.below, folder)
	}
	return true
}

// used forgets the folders of a path of tags that a media has now.
func (t *emptyTags) used(tags []string) {
	for i, tag := range tags {
		t.remove("tags/"+strings.Join(tags[:i], "/"), tag)
	}
}
