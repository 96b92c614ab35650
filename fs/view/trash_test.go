package view

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

func (r *rig) rename(uid uint32, from, to string) error {
	r.t.Helper()
	cut := func(p string) (vfs.ID, string) {
		i := strings.LastIndex(p, "/")
		if i < 0 {
			return vfs.Root, p
		}
		return r.must(uid, p[:i]).ID, p[i+1:]
	}
	a, name := cut(from)
	b, newName := cut(to)
	return r.l.Rename(as(uid), caller(uid), a, name, b, newName, 0)
}

func TestTrash(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	r.f.add("/d/sub", folded, "")
	r.f.add("/d/sub/deep.jpg", reg, "deep")
	r.f.add("/d/one.jpg", reg, "one")
	r.f.add("/d/link", unix.S_IFLNK|0o777, "one.jpg")
	r.f.add("/other", folded, "")
	a, b := r.f.add("/a.jpg", reg, "a"), r.f.add("/other/a.jpg", reg, "other a")
	r.lists(0, ".media/trash")
	r.kind("delete", r.rename(0, "a.jpg", ".media/trash/a.jpg"), 0)
	r.kind("delete", r.rename(0, "other/a.jpg", ".media/trash/a.jpg"), 0)
	entries := r.f.numbers()
	second := suffixed("a.jpg", entries[1])
	r.lists(0, ".media/trash", "a.jpg", second)
	if x, y := r.must(0, ".media/trash/a.jpg"), r.must(0, ".media/trash/"+second); x.ID != a || y.ID != b {
		t.Errorf("%x, %x", x.ID, y.ID)
	}
	if x := r.must(0, ".media/trash/"+suffixed("a.jpg", entries[0])); x.ID != a {
		t.Errorf("%x", x.ID)
	}
	// Another name is kept for this mount.
	r.kind("delete as", r.rename(0, "d", ".media/trash/folder"), 0)
	r.lists(0, ".media/trash", "a.jpg", second, "folder")
	r.lists(0, ".media/trash/folder", "sub", "one.jpg", "link")
	r.lists(0, ".media/trash/folder/sub", "deep.jpg")
	if x := r.must(0, ".media/trash/folder"); !inView(x.ID) || x.Nlink != 1 {
		t.Errorf("%+v", x)
	}
	link := r.must(0, ".media/trash/folder/link")
	if target, err := r.l.Readlink(as(0), link.ID); err != nil || string(target) != "one.jpg" ||
		link.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("%q, %v", target, err)
	}
	r.lists(bob, ".media/trash")

	trash := r.must(0, ".media/trash").ID
	folder := r.must(0, ".media/trash/folder").ID
	r.kind("within", r.rename(0, ".media/trash/a.jpg", ".media/trash/b.jpg"), remote.Permission)
	r.kind("onto a name", r.rename(0, ".media/trash/a.jpg", "other"), remote.Exist)
	r.kind("restore", r.rename(0, ".media/trash/a.jpg", "back.jpg"), 0)
	if x := r.must(0, "back.jpg"); x.ID != a {
		t.Errorf("%x", x.ID)
	}
	r.lists(0, ".media/trash", "a.jpg", "folder")
	r.kind("rmdir of a full folder", r.l.Rmdir(as(0), caller(0), trash, "folder"), remote.NotEmpty)
	r.kind("rm of a folder", r.l.Unlink(as(0), caller(0), trash, "folder"), remote.IsDir)
	r.kind("rmdir of a file", r.l.Rmdir(as(0), caller(0), trash, "a.jpg"), remote.NotDir)
	r.kind("out of a folder", r.rename(0, ".media/trash/folder/one.jpg", "one.jpg"), 0)
	r.must(0, "one.jpg")
	r.kind("out of a folder, onto a name", r.rename(0, ".media/trash/folder/sub/deep.jpg", "one.jpg"), remote.Exist)
	// One of two names: the other stays.
	r.f.mu.Lock()
	r.f.name(
		r.f.walk("/other"), "second name",
		r.f.nodes[r.f.nodes[r.f.trash[r.f.last()].Node].children["sub"]].children["deep.jpg"],
	)
	r.f.mu.Unlock()
	// rm -r: what is in it, then itself.
	sub := r.must(0, ".media/trash/folder/sub").ID
	r.kind("rmdir of a full folder", r.l.Rmdir(as(0), caller(0), folder, "sub"), remote.NotEmpty)
	r.kind("rm", r.l.Unlink(as(0), caller(0), sub, "deep.jpg"), 0)
	r.kind("rmdir", r.l.Rmdir(as(0), caller(0), folder, "sub"), 0)
	r.kind("rm", r.l.Unlink(as(0), caller(0), folder, "link"), 0)
	r.kind("rmdir", r.l.Rmdir(as(0), caller(0), trash, "folder"), 0)
	r.kind("rm", r.l.Unlink(as(0), caller(0), trash, "a.jpg"), 0)
	r.lists(0, ".media/trash")
	if s, err := r.read(0, "other/second name"); err != nil || s != "deep" {
		t.Errorf("%q, %v", s, err)
	}
	if len(r.f.trash) != 0 || r.f.nodes[b] != nil {
		t.Errorf("left: %v", r.f.trash)
	}
	_, err := r.l.GetAttr(as(0), folder)
	r.kind("a folder that was purged", err, remote.NotExist)
}

// last is the newest entry of the trash; the lock is taken already.
func (f *fake) last() (n uint64) {
	for e := range f.trash {
		n = max(n, e)
	}
	return n
}

func (f *fake) numbers() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []uint64
	for n := range f.trash {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// What is deleted behind our back shows once the list is old.
func TestTrashGetsOld(t *testing.T) {
	r := newRig(t)
	now := time.Unix(2e9, 0)
	r.l.opt.Now = func() time.Time { return now }
	r.f.add("/a", reg, "")
	r.lists(0, ".media/trash")
	if _, err := r.f.TrashName(as(0), caller(0), vfs.Root, "a"); err != nil {
		t.Fatal(err)
	}
	r.lists(0, ".media/trash")
	now = now.Add(r.l.opt.TrashAge)
	r.lists(0, ".media/trash", "a")
	r.f.add("/b", reg, "")
	r.kind("rm", r.l.Unlink(as(0), caller(0), vfs.Root, "b"), 0)
	if r.l.trash.generation.Load() == 0 {
		t.Error("a deletion through the library leaves the list as it was")
	}
}

// create makes a file as open(O_CREAT|O_EXCL) does.
func (r *rig) create(uid uint32, dir, name string) vfs.File {
	r.t.Helper()
	d := r.must(uid, dir)
	if _, err := r.l.Lookup(as(uid), d.ID, name); remote.KindOf(err) != remote.NotExist {
		r.t.Fatalf("%s is there: %v", name, err)
	}
	a, f, err := r.l.Create(as(uid), caller(uid), d.ID, name, unix.S_IFREG|0o600, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.hold(a)
	return f
}

// setContents writes a file as GLib does: a temporary one beside it, which is renamed.
func (r *rig) setContents(uid uint32, dir, name, text string) {
	r.t.Helper()
	temp := name + ".A1B2C3"
	f := r.create(uid, dir, temp)
	old := r.must(uid, dir+"/"+name)
	mode := old.Mode & 0o7777
	if _, err := r.l.SetAttr(
		as(uid), caller(uid), r.must(uid, dir+"/"+temp).ID, f, vfs.AttrChange{Mode: &mode},
	); err != nil {
		r.t.Error(err)
	}
	_ = f.Allocate(as(uid), 0, 0, int64(max(1, len(text))))
	if n, err := f.Write(as(uid), []byte(text), 0); n != len(text) || err != nil {
		r.t.Error(n, err)
	}
	if err := f.Fsync(as(uid)); err != nil {
		r.t.Error(err)
	}
	if err := f.Flush(as(uid), caller(uid)); err != nil {
		r.t.Error(err)
	}
	f.Release()
	r.kind("rename of the temporary file", r.rename(uid, dir+"/"+temp, dir+"/"+name), 0)
}

// gioTrash does what g_file_trash does, system call by system call.
func (r *rig) gioTrash(uid uint32, p string) (chosen string) {
	r.t.Helper()
	trash := fmt.Sprint(".Trash-", uid)
	_, err := r.at(uid, ".Trash")
	r.kind("lstat of .Trash", err, remote.NotExist)
	if a := r.must(uid, trash); a.Mode != unix.S_IFDIR|0o700 || a.UID != uid {
		r.t.Fatalf("%+v", a)
	}
	for _, name := range []string{"info", "files"} {
		_, err := r.l.Mkdir(as(uid), caller(uid), r.must(uid, trash).ID, name, 0o700)
		r.kind("mkdir", err, remote.Exist)
	}
	base := p[strings.LastIndex(p, "/")+1:]
	name := base
	for i := 2; ; i++ {
		if _, err := r.at(uid, trash+"/info/"+name+".trashinfo"); err != nil {
			break
		}
		stem, ext, _ := strings.Cut(base, ".")
		name = fmt.Sprintf("%s.%d.%s", stem, i, ext)
	}
	r.create(uid, trash+"/info", name+".trashinfo").Release()
	r.setContents(uid, trash+"/info", name+".trashinfo", "")
	text := "[Trash Info]\nPath=" + escaped(p) + "\nDeletionDate=2024-05-01T10:00:00\n"
	r.setContents(uid, trash+"/info", name+".trashinfo", text)
	if got, err := r.read(uid, trash+"/info/"+name+".trashinfo"); err != nil || got != text {
		r.t.Errorf("%q, %v", got, err)
	}
	r.kind("rename into files", r.rename(uid, p, trash+"/files/"+name), 0)
	return name
}

func TestDesktopTrash(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	x := r.f.add("/d/100% ä\n.jpg", reg, "x")
	r.f.add("/d/f.jpg", reg, "f")
	second := r.f.add("/f.jpg", reg, "g")
	own := r.f.add("/folder", folded, "")
	r.f.set(own, func(n *fakeNode) { n.attr.UID = ann })
	r.f.add("/folder/in.jpg", reg, "")
	for _, uid := range []uint32{0, ann} {
		r.lists(uid, fmt.Sprint(".Trash-", uid), "expunged", "files", "info")
	}
	if _, err := r.at(bob, ".Trash-1001"); remote.KindOf(err) != remote.NotExist {
		t.Errorf("another's trash: %v", err)
	}
	a, err := r.l.Lookup(as(bob), vfs.Root, ".Trash-1001")
	if err == nil || !a.Volatile {
		t.Error("the kernel would keep for everybody that the trash is not there")
	}
	r.must(0, ".Trash-1001")

	if name := r.gioTrash(ann, "d/100% ä\n.jpg"); name != "100% ä\n.jpg" {
		t.Errorf("%q", name)
	}
	r.gioTrash(ann, "d/f.jpg")
	chosen := r.gioTrash(ann, "f.jpg")
	if chosen != "f.2.jpg" {
		t.Errorf("%q", chosen)
	}
	r.gioTrash(ann, "folder")
	files := []string{"100% ä\n.jpg", "f.jpg", "f.2.jpg", "folder"}
	r.lists(ann, ".Trash-1001/files", files...)
	var infos []string
	for _, n := range files {
		infos = append(infos, n+".trashinfo")
	}
	r.lists(ann, ".Trash-1001/info", infos...)
	r.lists(bob, ".Trash-1002/files")
	r.lists(0, ".Trash-0/files")
	r.lists(0, ".media/trash", files...)
	r.lists(ann, ".Trash-1001/files/folder", "in.jpg")

	when := r.f.trash[r.f.numbers()[0]].Deleted.Std().UTC().Format("2006-01-02T15:04:05")
	text, err := r.read(ann, ".Trash-1001/info/100% ä\n.jpg.trashinfo")
	if want := "[Trash Info]\nPath=d/100%25%20%C3%A4%0A.jpg\nDeletionDate=" + when + "\n"; err != nil || text != want {
		t.Errorf("%q, %v", text, err)
	}
	if i := r.must(ann, ".Trash-1001/info/f.jpg.trashinfo"); i.Mode&0o077 != 0 || i.UID != ann {
		t.Errorf("%o of %d", i.Mode, i.UID)
	}

	// Restoring: out of files, then the description, which is gone by then.
	r.kind("restore", r.rename(ann, ".Trash-1001/files/100% ä\n.jpg", "d/100% ä\n.jpg"), 0)
	if b := r.must(ann, "d/100% ä\n.jpg"); b.ID != x {
		t.Errorf("%x", b.ID)
	}
	info := r.must(ann, ".Trash-1001/info").ID
	r.kind(
		"the description afterwards", r.l.Unlink(as(ann), caller(ann), info, "100% ä\n.jpg.trashinfo"), remote.NotExist,
	)
	// Deleting for good: through expunged, or directly.
	r.kind("expunge", r.rename(ann, ".Trash-1001/files/folder", ".Trash-1001/expunged/12345"), 0)
	r.lists(ann, ".Trash-1001/expunged")
	if a := r.must(ann, ".Trash-1001/expunged"); a.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("%o", a.Mode)
	}
	mode := uint32(0o700)
	_, err = r.l.SetAttr(as(ann), caller(ann), r.must(ann, ".Trash-1001/expunged").ID, nil, vfs.AttrChange{Mode: &mode})
	r.kind("chmod of expunged", err, 0)
	r.kind("the description first", r.l.Unlink(as(ann), caller(ann), info, "f.2.jpg.trashinfo"), 0)
	r.kind("rm", r.l.Unlink(as(ann), caller(ann), r.must(ann, ".Trash-1001/files").ID, "f.2.jpg"), 0)
	if r.f.nodes[second] != nil {
		t.Error("it is still there")
	}
	r.lists(ann, ".Trash-1001/files", "f.jpg")
	r.lists(ann, ".Trash-1001/info", "f.jpg.trashinfo")
	r.kind("into expunged", r.rename(ann, "d", ".Trash-1001/expunged/d"), remote.Permission)

	// After a remount the name is the original one.
	r.f.add("/f.jpg", reg, "again")
	if name := r.gioTrash(ann, "f.jpg"); name != "f.2.jpg" {
		t.Errorf("%q", name)
	}
	n := r.f.numbers()
	r.l.trash.chosen = nil
	r.l.trash.changed()
	r.lists(ann, ".Trash-1001/files", "f.jpg", suffixed("f.jpg", n[1]))
	r.lists(ann, ".Trash-1001/info", "f.jpg.trashinfo", suffixed("f.jpg", n[1])+".trashinfo")
	if len(r.l.desktop.notes) != 0 {
		t.Errorf("descriptions are left: %v", r.l.desktop.notes)
	}
}

func TestDesktopNotes(t *testing.T) {
	r := newRig(t)
	ctx, c := as(ann), caller(ann)
	info := r.must(ann, ".Trash-1001/info").ID
	for _, name := range []string{"f.jpg", ".", "x"} {
		_, _, err := r.l.Create(ctx, c, info, name, 0o600, unix.O_RDWR)
		r.kind("create "+name, err, remote.Permission)
	}
	f := r.create(ann, ".Trash-1001/info", "f.trashinfo")
	_, _, err := r.l.Create(ctx, c, info, "f.trashinfo", 0o600, unix.O_RDWR|unix.O_EXCL)
	r.kind("create again", err, remote.Exist)
	if n, err := f.Write(ctx, []byte("0123456789"), 0); n != 10 || err != nil {
		t.Error(n, err)
	}
	_, err = f.Write(ctx, make([]byte, 10), maxNote)
	r.kind("too much", err, remote.TooLarge)
	size := int64(4)
	a, err := r.l.SetAttr(ctx, c, r.must(ann, ".Trash-1001/info/f.trashinfo").ID, f, vfs.AttrChange{Size: &size})
	if err != nil || a.Size != 4 {
		t.Errorf("%+v, %v", a, err)
	}
	size = maxNote + 1
	_, err = r.l.SetAttr(ctx, c, a.ID, f, vfs.AttrChange{Size: &size})
	r.kind("too large", err, remote.TooLarge)
	g, err := r.l.Open(ctx, c, a.ID, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write(ctx, []byte("ab"), 0); err != nil {
		t.Error(err)
	}
	if s, err := r.read(ann, ".Trash-1001/info/f.trashinfo"); s != "0123ab" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	g.Release()
	f.Release()
	if g, err = r.l.Open(ctx, c, a.ID, unix.O_RDWR|unix.O_TRUNC); err != nil {
		t.Fatal(err)
	}
	g.Release()
	if a := r.must(ann, ".Trash-1001/info/f.trashinfo"); a.Size != 0 {
		t.Errorf("%d", a.Size)
	}
	// A deletion that fails takes its description away.
	r.kind("delete what is not there", r.rename(ann, "none", ".Trash-1001/files/f"), remote.NotExist)
	r.kind("unlink", r.l.Unlink(ctx, c, info, "f.trashinfo"), 0)
	r.lists(ann, ".Trash-1001/info")
	// A name without room for its description is refused, whoever comes with it.
	r.f.add("/long", reg, "")
	r.kind("a long name", r.rename(ann, "long", ".Trash-1001/files/"+strings.Repeat("n", 250)), remote.TooLong)
	for i := range maxNotes + 5 {
		r.create(ann, ".Trash-1001/info", fmt.Sprint(i, ".trashinfo")).Release()
	}
	if n := len(r.l.desktop.notes[ann]); n != maxNotes {
		t.Errorf("%d descriptions", n)
	}
	for _, op := range []func() error{
		func() error { _, err := r.l.Mkdir(as(bob), caller(bob), vfs.Root, ".Trash-1001", 0o700); return err },
		func() error { return r.l.Rmdir(ctx, c, vfs.Root, ".Trash-1001") },
		func() error { return r.rename(ann, "long", ".Trash-7") },
	} {
		r.kind("a name of the trash", op(), remote.Permission)
	}
	_, err = r.l.Mkdir(ctx, c, vfs.Root, ".Trash-1001", 0o700)
	r.kind("mkdir of one's own trash", err, remote.Exist)
}
