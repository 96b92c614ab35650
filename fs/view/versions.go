package view

import (
	"context"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// olderVersions is versions/: the folders of the tree, and for each media a folder of its name,
// with a file for each version that is kept, named <number> <date and time of the
// bytes>.<extension>. A version is a node of its own.
func (l *Library) olderVersions() spot {
	m := &mirrored{l: l, name: "versions"}
	m.item = func(id vfs.ID, kind uint32) spot {
		if kind != unix.S_IFREG {
			return nil
		}
		return &versions{l: l, id: id}
	}
	m.placed = func(s spot, in vfs.ID, name string) spot {
		return &versions{l, s.(*versions).id, strconv.FormatUint(in, 16) + "/" + name}
	}
	return &mirror{m, vfs.Root}
}

// versions is the folder of one media's versions. Who may read the media may look into it.
type versions struct {
	l  *Library
	id vfs.ID
	at string // folder and name of the media: each of its names has a folder of its own
}

func (f *versions) key() string { return "versions/of/" + strconv.FormatUint(f.id, 16) + "/" + f.at }

func (f *versions) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := f.l.MediaLibrary.GetAttr(ctx, f.id)
	read := a.Mode & 0o444
	return virtual(a, unix.S_IFDIR|read|read>>2, 0), err
}

func (f *versions) rights() (vfs.ID, func(uint32) uint32) {
	return f.id, func(perm uint32) uint32 { return perm&mayRead | perm&mayRead>>2 }
}

func (f *versions) entries(ctx context.Context) ([]entry, error) {
	all, err := f.l.Versions(ctx, f.id)
	if err != nil {
		return nil, err
	}
	m, err := f.l.Media(ctx, f.id)
	if err != nil {
		return nil, err
	}
	_, ext := split(m.Name)
	var es []entry
	for _, v := range all {
		name := strconv.FormatUint(v.Number, 10) + " " + v.Mtime.Std().
			In(f.l.opt.Location).
			Format("2006-01-02 15.04.05") +
			ext
		es = append(es, entry{name: name, spot: &version{f.l, f.id, m.ID, v}})
	}
	return es, nil
}

func (f *versions) lookup(ctx context.Context, _ *asker, name string) (entry, error) {
	if n, _, ok := strings.Cut(name, " "); !ok || n == "" || n[0] < '0' || n[0] > '9' {
		return entry{}, missing(name)
	}
	return find(name, func() ([]entry, error) { return f.entries(ctx) })
}

func (f *versions) list(ctx context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) { return f.entries(ctx) })
}

// A version is an older state of a media. The media's id is in its key: the node may come to carry
// another media.
type version struct {
	l     *Library
	id    vfs.ID
	media string
	v     vfs.Version
}

func (f *version) key() string {
	return "version/" + f.media + "/" + strconv.FormatUint(f.v.Number, 10)
}

// there fails with NotExist when the version is not kept any more.
func (f *version) there(ctx context.Context) error {
	m, err := f.l.Media(ctx, f.id)
	if err != nil {
		return err
	}
	all, err := f.l.Versions(ctx, f.id)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.Number == f.v.Number && m.ID == f.media {
			return nil
		}
	}
	return remote.E("open version", f.key(), remote.NotExist, nil)
}

func (f *version) attr(ctx context.Context) (vfs.Attr, error) {
	if err := f.there(ctx); err != nil {
		return vfs.Attr{}, err
	}
	a, err := f.l.MediaLibrary.GetAttr(ctx, f.id)
	a = virtual(a, unix.S_IFREG|a.Mode&0o444, f.v.Size)
	a.Blocks, a.Mtime, a.Ctime = f.v.Blocks, f.v.Mtime, f.v.Time
	return a, err
}

func (f *version) rights() (vfs.ID, func(uint32) uint32) { return f.id, readOnlyRights }

func (f *version) open(ctx context.Context, _ *asker) (vfs.File, error) {
	if err := f.there(ctx); err != nil {
		return nil, err
	}
	return f.l.OpenVersion(ctx, f.id, f.v.Number)
}
