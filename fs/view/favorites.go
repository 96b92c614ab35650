package view

import (
	"context"
	"slices"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// favorites is favorites/: a folder for each user who likes something, and always one for the
// caller. A link into it says that the user likes the media, and removing the entry that he does
// not any more. Each user does that for himself, root for all.
type favorites struct{ l *Library }

func (f *favorites) key() string { return "favorites" }

func (f *favorites) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (l *Library) liked(user string) (*set, error) {
	return l.newSet(term("favorite", user), func(m *remote.Media) bool { return slices.Contains(m.Favorites, user) })
}

func (f *favorites) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	if media.CheckUser(name) != nil {
		return entry{}, missing(name)
	}
	e := entry{name: name, spot: &favorite{f.l, name}}
	if name == f.l.opt.UserName(who.caller.UID) {
		return e, nil
	}
	s, err := f.l.liked(name)
	if err != nil {
		return e, missing(name)
	}
	has, err := s.has(ctx, who)
	if err == nil && !has {
		err = missing(name)
	}
	return e, err
}

func (f *favorites) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) {
		users, err := f.l.values(ctx, who, "favorite", nil, f.l.liked)
		if own := f.l.opt.UserName(who.caller.UID); !who.own && !slices.Contains(users, own) {
			users = append(users, own)
		}
		var es []entry
		for _, u := range users {
			if media.CheckUser(u) == nil {
				es = append(es, entry{name: u, spot: &favorite{f.l, u}})
			}
		}
		return es, err
	})
}

// favorite is favorites/<user>/.
type favorite struct {
	l    *Library
	user string
}

func (f *favorite) key() string { return "favorites/" + f.user }

func (f *favorite) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o777) }

func (f *favorite) lookup(ctx context.Context, who *asker, name string) (entry, error) {
	s, err := f.l.liked(f.user)
	if err != nil {
		return entry{}, err
	}
	return s.lookup(ctx, who, name)
}

func (f *favorite) list(ctx context.Context, who *asker, s *listing, after uint64, emit func(entry) bool) error {
	set, err := f.l.liked(f.user)
	if err != nil {
		return err
	}
	return s.media(ctx, who, set, after, emit)
}

func (f *favorite) attach(ctx context.Context, who *asker, id vfs.ID, name string, a media.Attachment) error {
	if !who.root() && f.l.opt.UserName(who.caller.UID) != f.user {
		return remote.E("favor", quoted(name), remote.Permission, nil).WithHint("favourites are each user's own")
	}
	return f.l.EditMedia(ctx, who.caller, id, vfs.MediaChange{Attached: []media.Attachment{a}})
}

func (f *favorite) link(ctx context.Context, who *asker, id vfs.ID, name string) error {
	now := vfs.TimeOf(f.l.opt.Now())
	a, err := media.AttachFavorite(f.user, &record.Time{Seconds: now.Sec, Nanos: now.Nsec})
	if err != nil {
		return err
	}
	return f.attach(ctx, who, id, name, a)
}

func (f *favorite) unlink(ctx context.Context, who *asker, name string) error {
	e, err := f.lookup(ctx, who, name)
	if err != nil {
		return err
	}
	return f.attach(ctx, who, e.media, name, media.Detach(record.AttachedFavorite, []byte(f.user)))
}
