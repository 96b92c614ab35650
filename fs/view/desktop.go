package view

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// The names of a desktop's trash.
const (
	desktopPrefix = ".Trash-"
	infoEnding    = ".trashinfo"
)

// Bounds of what desktop programs write into info/.
const (
	maxNotes = 1000     // of one user; the oldest go
	maxNote  = 64 << 10 // bytes
)

// desktopName reads the user out of the name of a desktop's trash.
func desktopName(name string) (uid uint32, ok bool) {
	digits, ok := strings.CutPrefix(name, desktopPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && strconv.FormatUint(n, 10) == digits
}

// IsDesktopTrash tells whether a name at the root is that of a desktop's trash.
func IsDesktopTrash(name string) bool {
	_, ok := desktopName(name)
	return ok
}

// desktops are the descriptions that programs have written of what they are about to delete.
type desktops struct {
	mu     sync.Mutex
	serial uint64
	notes  map[uint32][]*note // by user, oldest first
}

func (d *desktops) find(uid uint32, name string) *note {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.notes[uid] {
		if n.name == name {
			return n
		}
	}
	return nil
}

func (d *desktops) remove(uid uint32, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.notes[uid], func(n *note) bool { return n.name == name })
	if i < 0 {
		return
	}
	if d.notes[uid] = slices.Delete(d.notes[uid], i, i+1); len(d.notes[uid]) == 0 {
		delete(d.notes, uid)
	}
}

// desktopTrash is .Trash-<uid>: the trash as desktop programs know it, for what this user deleted.
// It is there for each user, belongs to him, and nobody else may look into it.
//
// A program that deletes makes info/<name>.trashinfo, then renames the file to files/<name>. The
// first is kept in memory until the second comes; then info/ shows a text made of the entry.
// Restoring renames out of files/, and deleting for good removes from it, or renames into
// expunged/.
func (l *Library) desktopTrash(uid uint32) *desktop { return &desktop{l, uid} }

type desktop struct {
	l   *Library
	uid uint32
}

func (f *desktop) key() string { return fmt.Sprint("desktop/", f.uid) }

func (f *desktop) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := f.l.folderAttr(ctx, 0o700)
	a.UID = f.uid
	return a, err
}

func (f *desktop) entries() ([]entry, error) {
	return []entry{
		{name: "expunged", spot: &expunged{*f}},
		{name: "files", spot: &desktopFiles{*f}},
		{name: "info", spot: &desktopInfo{*f}},
	}, nil
}

func (f *desktop) lookup(_ context.Context, _ *asker, name string) (entry, error) {
	return find(name, f.entries)
}

func (f *desktop) list(_ context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, f.entries)
}

func (f *desktop) change(ch vfs.AttrChange) error { return onlyMode(f.key(), ch) }

// onlyMode accepts what programs set on folders of the trash to be sure that it is theirs.
func onlyMode(key string, ch vfs.AttrChange) error {
	if ch.Size != nil || ch.UID != nil || ch.GID != nil {
		return refused("set attributes", key, "")
	}
	return nil
}

// expunged is where a program moves what it is about to delete for good: that is done at once, and
// the folder stays empty.
type expunged struct{ desktop }

func (f *expunged) key() string { return f.desktop.key() + "/expunged" }

func (f *expunged) lookup(_ context.Context, _ *asker, name string) (entry, error) {
	return entry{}, missing(name)
}

func (f *expunged) list(context.Context, *asker, *listing, uint64, func(entry) bool) error {
	return nil
}

// desktopFiles is files/.
type desktopFiles struct{ desktop }

func (f *desktopFiles) key() string { return f.desktop.key() + "/files" }

func (f *desktop) bin() bin { return bin{f.l, audience{desktop: true, uid: f.uid}} }

func (f *desktopFiles) lookup(ctx context.Context, _ *asker, name string) (entry, error) {
	return f.bin().lookup(ctx, name)
}

func (f *desktopFiles) list(ctx context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return f.bin().list(ctx, s, after, emit)
}

// take deletes in the name of the user whose trash it is, also when root does it.
func (f *desktopFiles) take(ctx context.Context, who *asker, parent vfs.ID, name, newName string) error {
	if len(newName) > f.bin().to.limit() {
		return remote.E("move to the trash", quoted(newName), remote.TooLong, nil).
			WithHint("its .trashinfo needs room in the name")
	}
	as := *who
	as.caller.UID = f.uid
	if err := f.bin().take(ctx, &as, parent, name, newName); err != nil {
		return err
	}
	f.l.desktop.remove(f.uid, newName+infoEnding)
	return nil
}

func (f *desktopFiles) give(ctx context.Context, who *asker, name string, to place, _ uint32) error {
	return f.bin().give(ctx, who, name, to)
}

func (f *desktopFiles) unlink(ctx context.Context, who *asker, name string) error {
	return f.bin().purge(ctx, who, name, false)
}

func (f *desktopFiles) rmdir(ctx context.Context, who *asker, name string) error {
	return f.bin().purge(ctx, who, name, true)
}

// desktopInfo is info/.
type desktopInfo struct{ desktop }

func (f *desktopInfo) key() string { return f.desktop.key() + "/info" }

// text is the description of an entry.
func (f *desktopInfo) text(e vfs.TrashEntry) *sheet {
	s := &sheet{name: fmt.Sprintf("%s/%x", f.key(), e.Entry)}
	s.about = func(ctx context.Context) (vfs.Attr, error) {
		a, err := f.l.folderAttr(ctx, 0)
		a.UID, a.Mode = f.uid, 0o400
		a.Mtime, a.Ctime = e.Deleted, e.Deleted
		return a, err
	}
	s.text = func(context.Context) ([]byte, error) {
		return fmt.Appendf(nil, "[Trash Info]\nPath=%s\nDeletionDate=%s\n", escaped(strings.TrimPrefix(e.Path, "/")),
			e.Deleted.Std().In(f.l.opt.Location).Format("2006-01-02T15:04:05")), nil
	}
	return s
}

// escaped writes a path as in a URL: all bytes but '/', letters, digits and "-._~" as percent signs
// and digits.
func escaped(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (f *desktopInfo) lookup(ctx context.Context, _ *asker, name string) (entry, error) {
	if n := f.l.desktop.find(f.uid, name); n != nil {
		return entry{name: name, spot: n}, nil
	}
	of, ok := strings.CutSuffix(name, infoEnding)
	if !ok {
		return entry{}, missing(name)
	}
	e, err := f.bin().find(ctx, of)
	if err != nil {
		return entry{}, missing(name)
	}
	return entry{name: name, spot: f.text(e)}, nil
}

func (f *desktopInfo) list(ctx context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) {
		t, err := f.bin().shown(ctx)
		if err != nil {
			return nil, err
		}
		var es []entry
		written := make(map[string]bool)
		f.l.desktop.mu.Lock()
		for _, n := range f.l.desktop.notes[f.uid] {
			written[n.name] = true
			es = append(es, entry{name: n.name, spot: n})
		}
		f.l.desktop.mu.Unlock()
		for i, e := range t.entries {
			if name := t.names[i] + infoEnding; !written[name] && t.of.has(e.Entry) {
				es = append(es, entry{name: name, spot: f.text(e)})
			}
		}
		return es, nil
	})
}

// create makes a description, or the temporary file that is renamed to one.
func (f *desktopInfo) create(ctx context.Context, who *asker, name string, flags uint32) (spot, vfs.File, error) {
	if !strings.Contains(name, infoEnding) || !entryName(name) {
		return nil, nil, refused("create", name, "only descriptions of deleted files are made here")
	}
	if _, err := f.lookup(ctx, who, name); err == nil {
		return nil, nil, remote.E("create", quoted(name), remote.Exist, nil)
	}
	d := &f.l.desktop
	d.mu.Lock()
	d.serial++
	n := &note{l: f.l, uid: f.uid, serial: d.serial, name: name, mtime: vfs.TimeOf(f.l.opt.Now())}
	if d.notes == nil {
		d.notes = make(map[uint32][]*note)
	}
	if len(d.notes[f.uid]) >= maxNotes {
		d.notes[f.uid] = d.notes[f.uid][1:]
	}
	d.notes[f.uid] = append(d.notes[f.uid], n)
	d.mu.Unlock()
	file, err := n.openFor(flags)
	return n, file, err
}

// unlink removes a description that was written. That of an entry follows the entry: removing it
// succeeds and has no effect.
func (f *desktopInfo) unlink(_ context.Context, _ *asker, name string) error {
	f.l.desktop.remove(f.uid, name)
	return nil
}

// give renames a description within the folder, in the place of one that was written.
func (f *desktopInfo) give(ctx context.Context, who *asker, name string, to place, flags uint32) error {
	t, ok := to.view.(*desktopInfo)
	if !ok || t.uid != f.uid || !strings.Contains(to.name, infoEnding) {
		return refused("rename", name, "")
	}
	if flags&vfs.RenameNoReplace != 0 {
		if _, err := f.lookup(ctx, who, to.name); err == nil {
			return remote.E("rename", quoted(to.name), remote.Exist, nil)
		}
	}
	n := f.l.desktop.find(f.uid, name)
	if n == nil {
		return refused("rename", name, "it follows from what is in the trash")
	}
	if name == to.name {
		return nil
	}
	f.l.desktop.remove(f.uid, to.name)
	f.l.desktop.mu.Lock()
	n.name = to.name
	f.l.desktop.mu.Unlock()
	return nil
}

// A note is a description that a program has written. It lives in memory until the entry is there,
// or it is removed.
type note struct {
	l      *Library
	uid    uint32
	serial uint64
	name   string // guarded by desktops.mu

	mu    sync.Mutex // guards what is below
	text  []byte
	mtime vfs.Time
}

func (n *note) key() string { return fmt.Sprint("note/", n.serial) }

func (n *note) attr(ctx context.Context) (vfs.Attr, error) {
	a, err := n.l.folderAttr(ctx, 0)
	n.mu.Lock()
	defer n.mu.Unlock()
	a = virtual(a, unix.S_IFREG|0o600, int64(len(n.text)))
	a.UID, a.Mtime, a.Ctime = n.uid, n.mtime, n.mtime
	return a, err
}

func (n *note) change(ch vfs.AttrChange) error {
	if ch.Size == nil {
		return onlyMode(n.key(), ch)
	}
	return n.resize(*ch.Size)
}

func (n *note) resize(size int64) error {
	if size < 0 || size > maxNote {
		return remote.E("write", n.key(), remote.TooLarge, nil)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if grow := int(size) - len(n.text); grow > 0 {
		n.text = append(n.text, make([]byte, grow)...)
	}
	n.text = n.text[:size]
	n.mtime = vfs.TimeOf(n.l.opt.Now())
	return nil
}

func (n *note) openFor(flags uint32) (vfs.File, error) {
	if flags&unix.O_TRUNC != 0 {
		if err := n.resize(0); err != nil {
			return nil, err
		}
	}
	return &noteFile{readOnly{n.key()}, n, flags&unix.O_APPEND != 0}, nil
}

// A noteFile is an open note.
type noteFile struct {
	readOnly
	n       *note
	appends bool
}

func (f *noteFile) Direct() bool { return true }
func (f *noteFile) Release()     {}

func (f *noteFile) Read(_ context.Context, p []byte, off int64) (int, error) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if off >= int64(len(f.n.text)) {
		return 0, nil
	}
	return copy(p, f.n.text[off:]), nil
}

func (f *noteFile) Write(_ context.Context, p []byte, off int64) (int, error) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if f.appends {
		off = int64(len(f.n.text))
	}
	if off < 0 || off > maxNote || int64(len(p)) > maxNote-off {
		return 0, remote.E("write", f.name, remote.TooLarge, nil)
	}
	if grow := int(off) + len(p) - len(f.n.text); grow > 0 {
		f.n.text = append(f.n.text, make([]byte, grow)...)
	}
	f.n.mtime = vfs.TimeOf(f.n.l.opt.Now())
	return copy(f.n.text[off:], p), nil
}

// Allocate accepts a promise of room, which programs ask for before they write, and grows the file
// when that is asked for.
func (f *noteFile) Allocate(_ context.Context, mode uint32, off, n int64) error {
	if mode&^vfs.AllocateKeepSize != 0 || off < 0 || n <= 0 || off > maxNote || n > maxNote-off {
		return remote.E("allocate", f.name, remote.Unsupported, nil)
	}
	f.n.mu.Lock()
	size := int64(len(f.n.text))
	f.n.mu.Unlock()
	if mode == 0 && off+n > size {
		return f.n.resize(off + n)
	}
	return nil
}

func (f *noteFile) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	f.n.mu.Lock()
	size := int64(len(f.n.text))
	f.n.mu.Unlock()
	return seekWhole(f.name, off, size, whence)
}
