package view

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

const (
	reg    = unix.S_IFREG | 0o644
	folded = unix.S_IFDIR | 0o755
)

func TestTop(t *testing.T) {
	r := newRig(t)
	r.lists(
		bob, ".media", "by-date", "by-type", "favorites", "hidden", "info", "latest", "moderation", "search",
		"status.json", "tags", "trash", "uploads", "versions", "zip",
	)
	a := r.must(bob, ".media")
	if !inView(a.ID) || a.Nlink != 1 || a.Mode != unix.S_IFDIR|0o555 || !a.Volatile || a.ID&(record.ViewBit>>1) != 0 {
		t.Errorf("%+v", a)
	}
	ctx, c := as(0), caller(0)
	_, err := r.l.Mkdir(ctx, c, a.ID, "mine", 0o755)
	r.kind("mkdir", err, remote.Permission)
	_, err = r.l.Mkdir(ctx, c, a.ID, "tags", 0o755)
	r.kind("mkdir of what is there", err, remote.Exist)
	_, _, err = r.l.Create(ctx, c, a.ID, "f", 0o644, unix.O_RDWR)
	r.kind("create", err, remote.Permission)
	_, err = r.l.Symlink(ctx, c, a.ID, "s", []byte("x"))
	r.kind("symlink", err, remote.Permission)
	_, err = r.l.Mknod(ctx, c, a.ID, "s", unix.S_IFIFO, 0)
	r.kind("mknod", err, remote.Permission)
	r.kind("unlink", r.l.Unlink(ctx, c, a.ID, "status.json"), remote.Permission)
	r.kind("rmdir", r.l.Rmdir(ctx, c, a.ID, "tags"), remote.Permission)
	r.kind("rename", r.l.Rename(ctx, c, a.ID, "tags", a.ID, "x", 0), remote.Permission)
	r.kind("rmdir of all", r.l.Rmdir(ctx, c, vfs.Root, ".media"), remote.Permission)
	r.kind("rename of all", r.l.Rename(ctx, c, vfs.Root, ".media", vfs.Root, "x", 0), remote.Permission)
	r.kind("rename onto all", r.l.Rename(ctx, c, vfs.Root, "x", vfs.Root, ".media", 0), remote.Permission)
	_, err = r.l.SetAttr(ctx, c, a.ID, nil, vfs.AttrChange{Mode: new(uint32)})
	r.kind("chmod", err, remote.Permission)
	r.kind("set attribute", r.l.SetXattr(ctx, c, a.ID, "user.x", nil, 0), remote.Unsupported)
	_, err = r.l.GetXattr(ctx, a.ID, "user.x")
	r.kind("get attribute", err, remote.NoAttribute)
	_, err = r.l.Open(ctx, c, a.ID, unix.O_RDONLY)
	r.kind("open of a folder", err, remote.IsDir)
	_, err = r.l.GetAttr(ctx, record.ViewBit|5)
	r.kind("a node that nobody looked up", err, remote.NotExist)
	missing, err := r.at(bob, ".media/none")
	r.kind("a name that is not there", err, remote.NotExist)
	_ = missing
	b, err := r.l.Lookup(as(bob), a.ID, "none")
	if err == nil || !b.Volatile {
		t.Errorf("the kernel would keep that a name is not there: %+v, %v", b, err)
	}
	_, err = r.l.Lookup(as(bob), a.ID, strings.Repeat("n", 256))
	r.kind("a long name", err, remote.TooLong)
}

// Ids of droppings have the next bit set too, and are not ours.
func TestPassing(t *testing.T) {
	for id, want := range map[vfs.ID]bool{vfs.Root: false, 1<<40 | 5: false, 1 << 62: true, 1<<62 | 5: true, 3 << 61: false, 3<<61 | 5: false, 1 << 63: false, 1<<63 | 1<<62: false, 1 << 61: false} {
		if inView(id) != want {
			t.Errorf("%x: %v", id, !want)
		}
	}
	r := newRig(t)
	id := r.f.add("/a", reg, "x")
	a, err := r.l.Lookup(as(bob), vfs.Root, "a")
	if err != nil || a.ID != id || a.Volatile {
		t.Errorf("%+v, %v", a, err)
	}
	r.l.Forget(a.ID, 1)
}

func TestSearch(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	first := r.f.add("/a.jpg", reg, "1")
	second := r.f.add("/d/a.jpg", reg, "22")
	odd := fmt.Sprintf("a (%x).jpg", first)
	third := r.f.add("/"+odd, reg, "")
	r.lists(bob, ".media/search/a", "a.jpg", suffixed("a.jpg", second), suffixed(odd, third))
	if a := r.must(bob, ".media/search/a/a.jpg"); a.ID != first || !a.Volatile {
		t.Errorf("%+v", a)
	}
	// The spelling with the number is always accepted, of what is in the view alone.
	if a := r.must(bob, ".media/search/a/"+suffixed("a.jpg", first)); a.ID != first {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{suffixed("b.jpg", first), suffixed("a.jpg", first+50), suffixed("a.jpg", 1<<62|first), "b.jpg", ".directory"} {
		_, err := r.at(bob, ".media/search/a/"+name)
		r.kind(name, err, remote.NotExist)
	}
	_, err := r.at(bob, ".media/search/.Trash")
	r.kind("a name with a dot", err, remote.NotExist)
	_, err = r.at(bob, ".media/search/nofield:x")
	r.kind("no query", err, remote.Invalid)
	r.lists(bob, ".media/search")
	long := strings.Repeat("q", 255)
	r.lists(bob, ".media/search/"+long)
}

func TestOddNames(t *testing.T) {
	r := newRig(t)
	var want []string
	for _, name := range []string{"line\nbreak", `quote"back\slash`, "percent%41", "\xff\xfe", strings.Repeat("n", 255), " ", "...", "(brackets) and", "-minus"} {
		id := r.f.add("/"+name, reg, "")
		r.f.set(id, func(n *fakeNode) { n.media.Tags = []string{"odd"} })
		want = append(want, name)
	}
	r.lists(bob, ".media/tags/odd", want...)
	r.lists(bob, ".media/search/q", `quote"back\slash`)
}

func TestTags(t *testing.T) {
	r := newRig(t)
	ctx, c := as(0), caller(0)
	x := r.f.add("/x.jpg", reg, "x")
	y := r.f.add("/y.jpg", reg, "y")
	beach := r.f.add("/beach", reg, "")
	r.f.set(x, func(n *fakeNode) { n.media.Tags = []string{"sun", "beach"} })
	r.f.set(y, func(n *fakeNode) { n.media.Tags = []string{"sun", ".", "..", "a/b", "", "nul\x00"} })
	r.f.set(beach, func(n *fakeNode) { n.media.Tags = []string{"sun"} })
	r.lists(bob, ".media/tags", "beach", "sun")
	r.lists(bob, ".media/tags/sun", "beach", "x.jpg", "y.jpg", suffixed("beach", beach))
	r.lists(bob, ".media/tags/sun/beach", "x.jpg")
	r.lists(bob, ".media/tags/beach/sun", "x.jpg")
	_, err := r.at(bob, ".media/tags/none")
	r.kind("no tag", err, remote.NotExist)
	_, err = r.at(bob, ".media/tags/sun/sun")
	r.kind("a tag twice", err, remote.NotExist)

	sun := r.must(0, ".media/tags/sun")
	tags := r.must(0, ".media/tags")
	// A link gives the tags of the path.
	a, err := r.l.Mkdir(ctx, c, tags.ID, "new", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	r.hold(a)
	r.lists(bob, ".media/tags", "beach", "new", "sun")
	_, err = r.l.Link(ctx, c, y, a.ID, "other.jpg")
	r.kind("a link under another name", err, remote.Invalid)
	_, err = r.l.Link(ctx, c, y, tags.ID, "y.jpg")
	r.kind("a link into tags", err, remote.Permission)
	r.link(0, y, ".media/tags/new", "y.jpg")
	r.lists(bob, ".media/tags/new", "sun", "y.jpg")
	// Nothing of the empty folder is left when its media goes.
	r.kind("untag", r.l.Unlink(ctx, c, a.ID, "y.jpg"), 0)
	r.lists(bob, ".media/tags", "beach", "sun")
	// A move replaces the last tag.
	b := r.must(0, ".media/tags/beach")
	r.kind("move", r.l.Rename(ctx, c, sun.ID, "y.jpg", b.ID, "y.jpg", 0), 0)
	r.lists(bob, ".media/tags/beach", "sun", "x.jpg", "y.jpg")
	r.lists(bob, ".media/tags/sun", "beach", "x.jpg", suffixed("beach", beach))
	r.kind("out of a tag", r.l.Rename(ctx, c, sun.ID, "x.jpg", vfs.Root, "z.jpg", 0), remote.Permission)
	r.kind("from the tree", r.l.Rename(ctx, c, vfs.Root, "x.jpg", sun.ID, "x.jpg", 0), remote.Permission)
	r.kind("under another name", r.l.Rename(ctx, c, sun.ID, "x.jpg", sun.ID, "other.jpg", 0), remote.Invalid)
	r.kind("exchange", r.l.Rename(ctx, c, sun.ID, "x.jpg", b.ID, "y.jpg", vfs.RenameExchange), remote.Invalid)
	// Renaming a folder renames the tag.
	r.kind("rename onto a tag", r.l.Rename(ctx, c, tags.ID, "beach", tags.ID, "sun", 0), remote.Exist)
	r.kind("rename to no tag", r.l.Rename(ctx, c, tags.ID, "beach", tags.ID, "a,b", 0), remote.Invalid)
	r.kind("rename elsewhere", r.l.Rename(ctx, c, tags.ID, "beach", sun.ID, "sand", 0), remote.Permission)
	r.kind("rename", r.l.Rename(ctx, c, tags.ID, "beach", tags.ID, "sand", 0), 0)
	r.lists(bob, ".media/tags/sand", "sun", "x.jpg", "y.jpg")
	r.lists(bob, ".media/tags", "sand", "sun")
	r.l.opt.RenameTag = 1
	r.kind("rename of too many", r.l.Rename(ctx, c, tags.ID, "sand", tags.ID, "shore", 0), remote.TooLarge)
	r.kind("rmdir of a tag in use", r.l.Rmdir(ctx, c, tags.ID, "sand"), remote.NotEmpty)
	_, err = r.l.Mkdir(ctx, c, tags.ID, "a,b", 0o755)
	r.kind("mkdir of no tag", err, remote.Invalid)
	_, err = r.l.Mkdir(ctx, c, tags.ID, "sand", 0o755)
	r.kind("mkdir of a tag", err, remote.Exist)
	e, err := r.l.Mkdir(ctx, c, sun.ID, "empty", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	r.hold(e)
	in, err := r.l.Mkdir(ctx, c, e.ID, "in", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	r.hold(in)
	r.kind("rmdir with one in it", r.l.Rmdir(ctx, c, sun.ID, "empty"), remote.NotEmpty)
	r.kind("rmdir", r.l.Rmdir(ctx, c, e.ID, "in"), 0)
	r.kind("rmdir", r.l.Rmdir(ctx, c, sun.ID, "empty"), 0)
	r.kind("rmdir again", r.l.Rmdir(ctx, c, sun.ID, "empty"), remote.NotExist)
	r.kind("unlink of a folder", r.l.Unlink(ctx, c, tags.ID, "sand"), remote.IsDir)
	if n := r.l.tags.n; n != 0 || len(r.l.tags.below) != 0 {
		t.Errorf("%d empty tags are left", n)
	}
}

// link makes a link and holds the reference.
func (r *rig) link(uid uint32, id vfs.ID, dir, name string) {
	r.t.Helper()
	a, err := r.l.Link(as(uid), caller(uid), id, r.must(uid, dir).ID, name)
	if err != nil || a.ID != id || !a.Volatile {
		r.t.Fatalf("link into %s: %+v, %v", dir, a, err)
	}
	r.hold(a)
}

func TestStates(t *testing.T) {
	r := newRig(t)
	ctx, c := as(0), caller(0)
	x := r.f.add("/x.jpg", reg, "x")
	r.f.set(x, func(n *fakeNode) { n.media.Type, n.media.Year, n.media.Month = "image/jpeg", 2024, 5 })
	r.f.nodes[x].media.Taken = r.l.opt.Now().AddDate(2024-r.l.opt.Now().Year(), 5-int(r.l.opt.Now().Month()), 0)
	y := r.f.add("/y.txt", reg, "y")
	r.lists(bob, ".media/by-type", "image")
	r.lists(bob, ".media/by-type/image", "jpeg")
	r.lists(bob, ".media/by-type/image/jpeg", "x.jpg")
	r.lists(bob, ".media/by-date", "2024")
	r.lists(bob, ".media/by-date/2024", "05")
	r.lists(bob, ".media/latest", "x.jpg", "y.txt")
	if got := r.list(bob, ".media/latest"); got[0] != "y.txt" {
		t.Errorf("the newest is not first: %q", got)
	}
	r.l.opt.Latest = 1
	r.lists(bob, ".media/latest", "y.txt")

	r.lists(bob, ".media/hidden")
	r.link(0, x, ".media/hidden", "x.jpg")
	r.lists(bob, ".media/hidden", "x.jpg")
	r.lists(bob, ".media/latest", "y.txt")
	r.kind("show", r.l.Unlink(ctx, c, r.must(0, ".media/hidden").ID, "x.jpg"), 0)
	r.lists(bob, ".media/hidden")

	r.lists(bob, ".media/moderation", "-1", "0", "1", "2", "3")
	zero, one := r.must(0, ".media/moderation/0").ID, r.must(0, ".media/moderation/1").ID
	r.lists(bob, ".media/moderation/0", "x.jpg", "y.txt")
	r.kind("moderate", r.l.Rename(ctx, c, zero, "x.jpg", one, "x.jpg", 0), 0)
	r.kind("moderate, by another", r.l.Rename(as(bob), caller(bob), zero, "y.txt", one, "y.txt", 0), remote.Permission)
	r.lists(bob, ".media/moderation/1", "x.jpg")
	r.kind("out", r.l.Rename(ctx, c, one, "x.jpg", vfs.Root, "q", 0), remote.Permission)
	r.kind("rm", r.l.Unlink(ctx, c, one, "x.jpg"), remote.Permission)

	r.lists(bob, ".media/favorites", "bob")
	r.link(bob, y, ".media/favorites/bob", "y.txt")
	r.lists(ann, ".media/favorites", "ann", "bob")
	r.lists(ann, ".media/favorites/bob", "y.txt")
	_, err := r.l.Link(as(ann), caller(ann), x, r.must(ann, ".media/favorites/bob").ID, "x.jpg")
	r.kind("another's favourite", err, remote.Permission)
	r.kind(
		"another's favourite", r.l.Unlink(as(ann), caller(ann), r.must(ann, ".media/favorites/bob").ID, "y.txt"),
		remote.Permission,
	)
	r.kind("unfavour", r.l.Unlink(as(bob), caller(bob), r.must(bob, ".media/favorites/bob").ID, "y.txt"), 0)
	r.lists(bob, ".media/favorites/bob")
	for _, name := range []string{"nobody", "..x/", strings.Repeat("u", 70)} {
		_, err = r.at(bob, ".media/favorites/"+strings.Trim(name, "/"))
		r.kind(name, err, remote.NotExist)
	}
}

func TestInfo(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	id := r.f.add("/d/f.jpg", reg, "abc")
	r.f.set(id, func(n *fakeNode) { n.attr.Mode, n.attr.UID, n.media.Title = unix.S_IFREG|0o751, bob, "A title" })
	r.f.add("/d/f.jpg.json", folded, "")
	r.f.add("/d/link", unix.S_IFLNK|0o777, "f.jpg")
	clash := r.f.add("/id", folded, "")
	long := strings.Repeat("n", 253)
	longID := r.f.add("/"+long, reg, "")
	item := strings.Repeat("n", 236) + fmt.Sprintf(" (%x).json", longID)
	r.lists(0, ".media/info", "d", "id", suffixed("id", clash), item)
	r.lists(0, ".media/info/d", "f.jpg.json", fmt.Sprintf("f.jpg (%x).json", id))
	r.lists(0, ".media/info/id")
	p := fmt.Sprintf(".media/info/d/f.jpg (%x).json", id)
	a := r.must(0, p)
	if a.Mode != unix.S_IFREG|0o440 || a.UID != bob || a.Nlink != 1 || !inView(a.ID) {
		t.Errorf("%+v", a)
	}
	text, err := r.read(0, p)
	if err != nil || int64(len(text)) != a.Size {
		t.Errorf("%d bytes, stat says %d, %v", len(text), a.Size, err)
	}
	var m remote.Media
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.Title != "A title" || m.Size != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if b := r.must(0, fmt.Sprintf(".media/info/id/%032x.json", id)); b.ID != a.ID {
		t.Errorf("one record has two numbers: %x, %x", a.ID, b.ID)
	}
	for _, name := range []string{"x.json", ".json", "%00.json", strings.Repeat("f", 32)} {
		_, err := r.at(0, ".media/info/id/"+name)
		r.kind(name, err, remote.NotExist)
	}
	_, err = r.l.Open(as(0), caller(0), a.ID, unix.O_WRONLY)
	r.kind("write", err, remote.Permission)

	// An open file keeps its text, and stat tells its size, whatever changes.
	f, err := r.l.Open(as(0), caller(0), a.ID, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := f.(interface{ Direct() bool }); !ok || !d.Direct() {
		t.Error("the kernel would keep pages of it")
	}
	r.f.set(id, func(n *fakeNode) { n.media.Title = "Another title, which is longer" })
	b := make([]byte, 1<<16)
	if n, err := f.Read(as(0), b, 0); err != nil || string(b[:n]) != text {
		t.Errorf("the text changed while it was open: %s", b[:n])
	}
	if a := r.must(0, p); a.Size != int64(len(text)) {
		t.Errorf("the size changed while it was open: %d", a.Size)
	}
	f.Release()
	if a := r.must(0, p); a.Size == int64(len(text)) {
		t.Error("the size is of the old text")
	}
}

func TestVersions(t *testing.T) {
	r := newRig(t)
	id := r.f.add("/f.jpg", reg, "now")
	r.f.set(id, func(n *fakeNode) {
		n.attr.Mode = unix.S_IFREG | 0o640
		n.versions = []vfs.Version{
			{Number: 3, Size: 5, Mtime: vfs.Time{Sec: 1714557600}},
			{Number: 4, Size: 6, Mtime: vfs.Time{Sec: 1714557661}},
		}
		n.old = map[uint64][]byte{3: []byte("first"), 4: []byte("second")}
	})
	r.lists(0, ".media/versions", "f.jpg")
	r.lists(0, ".media/versions/f.jpg", "3 2024-05-01 10.00.00.jpg", "4 2024-05-01 10.01.01.jpg")
	if a := r.must(0, ".media/versions/f.jpg"); a.Mode != unix.S_IFDIR|0o550 {
		t.Errorf("%o", a.Mode)
	}
	a, b := r.must(0, ".media/versions/f.jpg/3 2024-05-01 10.00.00.jpg"), r.must(
		0, ".media/versions/f.jpg/4 2024-05-01 10.01.01.jpg",
	)
	if a.ID == b.ID || a.Size != 5 || a.Mtime.Sec != 1714557600 || a.Mode != unix.S_IFREG|0o440 || a.ID == id {
		t.Errorf("%+v, %+v", a, b)
	}
	if s, err := r.read(0, ".media/versions/f.jpg/4 2024-05-01 10.01.01.jpg"); err != nil || s != "second" {
		t.Errorf("%q, %v", s, err)
	}
	r.f.set(id, func(n *fakeNode) { n.versions = n.versions[1:] })
	_, err := r.l.Open(as(0), caller(0), a.ID, unix.O_RDONLY)
	r.kind("a version that is gone", err, remote.NotExist)
	_, err = r.at(0, ".media/versions/f.jpg/3 2024-05-01 10.00.00.jpg")
	r.kind("a version that is gone", err, remote.NotExist)
}

func TestUploads(t *testing.T) {
	r := newRig(t)
	x, y := r.f.add("/x.jpg", reg, "0123456789"), r.f.add("/y", reg, "")
	gone := r.f.add("/z", reg, "")
	r.f.set(gone, func(n *fakeNode) { n.attr.UID = bob })
	r.f.uploads = []vfs.UploadState{
		{Node: x, Path: "/x.jpg", Size: 10, Sent: 3, Running: true},
		{Node: y, Path: "/y", Error: "no room"},
		{Node: gone},
	}
	deleted := uploadName("deleted", gone)
	r.lists(ann, ".media/uploads", "x.jpg.json", "y.json")
	r.lists(bob, ".media/uploads", "x.jpg.json", "y.json", deleted)
	var u upload
	text, err := r.read(0, ".media/uploads/x.jpg.json")
	if err == nil {
		err = json.Unmarshal([]byte(text), &u)
	}
	if err != nil || u != (upload{Node: x, Path: "/x.jpg", Size: 10, Sent: 3, Percent: 30, Running: true}) {
		t.Errorf("%+v, %v", u, err)
	}
	dir := r.must(0, ".media/uploads").ID
	r.kind("cancel another's", r.l.Unlink(as(ann), caller(ann), dir, "x.jpg.json"), remote.Permission)
	r.kind("cancel", r.l.Unlink(as(0), caller(0), dir, "x.jpg.json"), 0)
	if !slices.Equal(r.f.canceled, []vfs.ID{x}) {
		t.Errorf("%x", r.f.canceled)
	}
	r.lists(ann, ".media/uploads", "y.json")
	if s, err := r.read(ann, ".media/status.json"); err != nil || !json.Valid([]byte(s)) {
		t.Errorf("%s, %v", s, err)
	}
}

// With one hash for everything, numbers still differ, and stay as long as they are referred to.
func TestCollisions(t *testing.T) {
	r := newRig(t)
	r.l.nodes.hash = func(_ string, try int) uint64 { return uint64(try) }
	ids := make(map[vfs.ID]bool)
	for _, p := range []string{".media", ".media/tags", ".media/search", ".media/zip"} {
		a := r.must(0, p)
		if ids[a.ID] || !inView(a.ID) {
			t.Errorf("%s: %x", p, a.ID)
		}
		ids[a.ID] = true
		if b := r.must(0, p); b.ID != a.ID {
			t.Errorf("%s: %x, then %x", p, a.ID, b.ID)
		}
	}
}

func TestStableNumbers(t *testing.T) {
	a, b := newRig(t).must(0, ".media/tags"), newRig(t).must(0, ".media/tags")
	if a.ID != b.ID {
		t.Errorf("with one salt: %x and %x", a.ID, b.ID)
	}
}

// A listing that is taken up in its middle by a new handle shows the rest under the same names.
func TestSeek(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.f.add(fmt.Sprintf("/d%d", i), folded, "")
		r.f.add(fmt.Sprintf("/d%d/same.jpg", i), reg, "")
	}
	want := r.list(0, ".media/search/same")
	if len(want) != 20 || want[0] != "same.jpg" || slices.Contains(want[1:], "same.jpg") {
		t.Fatalf("%q", want)
	}
	dir := r.must(0, ".media/search/same").ID
	d, err := r.l.OpenDir(as(0), dir)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []uint64
	read := func(d vfs.Dir, from uint64) (names []string) {
		if err := d.Read(as(0), from, false, func(g []vfs.DirEntry) bool {
			if g[0].Cookie > 2 {
				names = append(names, g[0].Name)
				cookies = append(cookies, g[0].Cookie)
			}
			return true
		}); err != nil {
			t.Error(err)
		}
		return names
	}
	read(d, 0)
	for i := range 19 {
		again, err := r.l.OpenDir(as(0), dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(again, cookies[i]); !slices.Equal(got, want[i+1:]) {
			t.Errorf("from %d: %q", i, got)
		}
		if got := read(d, cookies[i]); !slices.Equal(got, want[i+1:]) {
			t.Errorf("again from %d: %q", i, got)
		}
		again.Release()
	}
	d.Release()
}

// Many at once list, look up and change.
func TestConcurrent(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		id := r.f.add(fmt.Sprintf("/f%d.jpg", i), unix.S_IFREG|0o666, "data")
		r.f.set(id, func(n *fakeNode) { n.media.Tags = []string{"a"} })
	}
	var wg sync.WaitGroup
	for w := range 6 {
		uid := []uint32{0, ann, bob}[w%3]
		wg.Go(func() {
			for i := range 15 {
				switch w % 3 {
				case 0:
					for _, p := range []string{".media/tags/a", ".media/search/jpg", ".media/zip", ".media/trash", fmt.Sprint(".Trash-", uid, "/info")} {
						a, err := r.at(uid, p)
						if err != nil {
							continue
						}
						d, err := r.l.OpenDir(as(uid), a.ID)
						if err != nil {
							continue
						}
						_ = d.Read(as(uid), 0, true, func(g []vfs.DirEntry) bool {
							for _, e := range g {
								if e.Attr.ID != 0 {
									r.hold(e.Attr)
								}
							}
							return true
						})
						d.Release()
					}
				case 1:
					name := fmt.Sprintf("f%d.jpg", i%10)
					a, err := r.at(uid, ".media/tags/a")
					if err != nil {
						continue
					}
					_ = r.l.Unlink(as(uid), caller(uid), a.ID, name)
					if x, err := r.at(uid, name); err == nil {
						if x, err = r.l.Link(as(uid), caller(uid), x.ID, a.ID, name); err == nil {
							r.hold(x)
						}
					}
				case 2:
					name := fmt.Sprintf("f%d.jpg", i%10)
					files, err := r.at(uid, fmt.Sprint(".Trash-", uid, "/files"))
					if err != nil {
						t.Error(err)
						return
					}
					if r.f.has(name) && r.l.Rename(as(uid), caller(uid), vfs.Root, name, files.ID, name, 0) == nil {
						r.kind("restore", r.l.Rename(as(uid), caller(uid), files.ID, name, vfs.Root, name, 0), 0)
					}
				}
			}
		})
	}
	wg.Wait()
}

func (f *fake) has(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.nodes[vfs.Root].children[name]
	return ok
}
