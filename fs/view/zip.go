package view

import (
	"context"
	"errors"
	"path"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// archives is zip/: the folders of the tree, and for each media and each folder below the root
// <name>.zip, the archive of it and all that is below. Nothing of an archive is stored: where its
// bytes are follows from names and sizes, and they are made when they are read.
func (l *Library) archives() spot {
	m := &mirrored{l: l, name: "zip", ending: ".zip"}
	m.item = func(id vfs.ID, kind uint32) spot {
		if kind != unix.S_IFREG && kind != unix.S_IFDIR {
			return nil
		}
		return &archive{l: l, id: id}
	}
	return &mirror{m, vfs.Root}
}

// sizeAge is how long the size of an archive that nobody has open is believed for the root user. A
// look at it goes through all that is below its folder, and programs look several times before they
// open. Other users may have lost the right to know it since.
const sizeAge = time.Second

// An archive is a media or folder as a zip file. While it is open it is what was there at the first
// open, for all who have it open: the kernel keeps its pages. Names, sizes, times and modes are in
// memory; the bytes of media are read when they are asked for, and one that has changed since fails
// rather than giving an archive that is wrong.
type archive struct {
	l  *Library
	id vfs.ID

	opening sync.Mutex // held for an open, so that of several at once one goes through the folder

	mu     sync.Mutex // guards what is below
	opened int
	layout *zipLayout // while it is open
	size   int64      // of the layout, or when it was looked at
	at     time.Time  // when it was looked at
}

func (f *archive) key() string { return "archive/" + strconv.FormatUint(f.id, 16) }

func (f *archive) rights() (vfs.ID, func(uint32) uint32) { return f.id, readOnlyRights }

// attr gives the exact size. It tells how much a folder holds, so it is for who may read all that
// is in it: Permission for others, as at open. A wrong size would be no way out, since the kernel
// has one for all who look.
func (f *archive) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := f.quick(ctx)
	if err != nil {
		return a, err
	}
	who := f.l.asking(ctx)
	now := f.l.opt.Now()
	size, known := f.known(now)
	if !known || !who.root() {
		z, err := f.l.scan(ctx, who, f.id)
		if err != nil {
			return a, err
		}
		f.mu.Lock()
		if f.opened == 0 {
			f.size, f.at = z.size, now
		}
		size = f.size // of the archive that is open, if one is
		f.mu.Unlock()
	}
	return virtual(a, a.Mode, size), nil
}

// known gives the size when it need not be looked for.
func (f *archive) known(now time.Time) (size int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened > 0 || !f.at.IsZero() && now.Sub(f.at) < sizeAge && !now.Before(f.at) {
		return f.size, true
	}
	return 0, false
}

// quick gives the attributes for listings and lookups, without a size that is not known: what stat
// shows is asked for apart.
func (f *archive) quick(ctx context.Context) (vfs.Attr, error) {
	a, err := f.l.MediaLibrary.GetAttr(ctx, f.id)
	size, _ := f.known(f.l.opt.Now())
	return virtual(a, unix.S_IFREG|a.Mode&0o444, size), err
}

// open reads what there is. Permission names the first file or folder that the caller may not read.
func (f *archive) open(ctx context.Context, who *asker) (vfs.File, error) {
	f.opening.Lock()
	defer f.opening.Unlock()
	f.mu.Lock()
	z := f.layout
	if z != nil {
		f.opened++ // it stays as it is
	}
	f.mu.Unlock()
	file := &zipFile{readOnly: readOnly{f.key()}, archive: f, zip: z, caller: who.caller, keep: z != nil}
	if z != nil {
		if err := f.again(ctx, who, z); err != nil {
			file.Release()
			return nil, err
		}
		return file, nil
	}
	z, err := f.l.scan(ctx, who, f.id)
	if err != nil {
		return nil, err
	}
	file.zip = z
	f.mu.Lock()
	f.opened, f.layout, f.size = 1, z, z.size
	f.mu.Unlock()
	return file, nil
}

// again looks whether who opens an archive that others have open may read all that is in it, as
// things are now: a folder may have been closed since. What is not below the folder any more may
// lie where he cannot reach it.
func (f *archive) again(ctx context.Context, who *asker, z *zipLayout) error {
	now, err := f.l.scan(ctx, who, f.id)
	if err != nil {
		return err
	}
	there := make(map[vfs.ID]bool, len(now.members))
	for i := range now.members {
		there[now.members[i].id] = true
	}
	for i := range z.members {
		if m := &z.members[i]; !there[m.id] {
			return remote.E("archive", quoted(m.name), remote.Busy, errors.New("others have the archive open as it was before this went away")).
				WithHint("try again when they have closed it")
		}
	}
	return nil
}

// scan lays out the archive of a node.
func (l *Library) scan(ctx context.Context, who *asker, id vfs.ID) (*zipLayout, error) {
	paths, err := l.Paths(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, remote.E("archive", strconv.FormatUint(id, 16), remote.NotExist, nil)
	}
	a, err := l.MediaLibrary.GetAttr(ctx, id)
	if err != nil {
		return nil, err
	}
	// A media with several names goes by one that the caller can reach.
	name, ok := l.asking(ctx).reached(ctx, paths)
	if !ok {
		name = paths[0]
	}
	s := &zipScan{l: l, who: who, z: new(zipLayout)}
	if err := s.add(ctx, path.Base(name), a); err != nil {
		return nil, err
	}
	s.z.finish()
	return s.z, nil
}

// closed fails with Permission when a member is not for who opens the archive.
func (m *member) closed(ctx context.Context, who *asker) error {
	want := uint32(mayRead)
	switch m.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		want |= maySearch
	case unix.S_IFREG:
	default:
		return nil
	}
	if who.may(ctx, &vfs.Attr{ID: m.id, Mode: m.mode, UID: m.uid, GID: m.gid}, want) {
		return nil
	}
	return remote.E("archive", quoted(m.name), remote.Permission, nil).
		WithHint("an archive holds only what its reader may read")
}

// A zipScan goes through a folder for an archive.
type zipScan struct {
	l   *Library
	who *asker
	z   *zipLayout
}

func (s *zipScan) add(ctx context.Context, name string, a vfs.Attr) error {
	m := member{name: name, id: a.ID, mode: a.Mode, uid: a.UID, gid: a.GID, mtime: a.Mtime, ctime: a.Ctime}
	if err := m.closed(ctx, s.who); err != nil {
		return err
	}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		m.size = a.Size
	case unix.S_IFLNK:
		target, err := s.l.MediaLibrary.Readlink(ctx, a.ID)
		if err != nil {
			return err
		}
		m.target, m.size = target, int64(len(target))
	case unix.S_IFDIR:
		m.name += "/"
	default:
		return nil // nothing that an archive could hold
	}
	if len(m.name) > maxMemberName {
		return remote.E("archive", quoted(m.name[:100]+"…"), remote.TooLong, nil).
			WithHint("paths in an archive have at most 65535 bytes; archive a folder below")
	}
	if len(s.z.members) >= s.l.opt.ZipEntries {
		return remote.E("archive", quoted(s.z.members[0].name), remote.TooLarge, nil).
			WithHint("it would have more than " + strconv.Itoa(s.l.opt.ZipEntries) + " entries; archive the folders below")
	}
	s.z.members = append(s.z.members, m)
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return s.l.children(ctx, a.ID, 0, func(e vfs.DirEntry) (bool, error) {
		c, err := s.l.MediaLibrary.GetAttr(ctx, e.ID)
		if remote.KindOf(err) == remote.NotExist {
			return true, nil // it went meanwhile
		}
		if err != nil {
			return false, err
		}
		return true, s.add(ctx, m.name+e.Name, c)
	})
}
