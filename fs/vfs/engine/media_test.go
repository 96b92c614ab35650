package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/facts"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
)

func (s steps) whole(name string) *remote.Media {
	s.t.Helper()
	m, err := s.Media(bg, s.stat(name).ID)
	s.ok(err)
	return m
}

func (s steps) say(name string, edits ...media.Edit) {
	s.t.Helper()
	s.ok(s.EditMedia(bg, me, s.stat(name).ID, vfs.MediaChange{Edits: edits}))
}

func (s steps) told(name, attr string) string {
	s.t.Helper()
	return s.toldTo(me, name, attr)
}

// toldTo is told for a user.
func (s steps) toldTo(c vfs.Caller, name, attr string) string {
	s.t.Helper()
	v, err := s.GetXattr(vfs.WithCaller(bg, c), s.stat(name).ID, attr)
	if errors.Is(err, remote.NoAttribute) {
		return "(none)"
	}
	s.ok(err)
	return string(v)
}

func tag(do media.Do, value string) media.Edit {
	return media.Edit{Field: "tags", Do: do, Value: value}
}

// What people say of a media is seen by every machine, in records and attributes, and survives
// edits of the bytes.
func TestEditMedia(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	s.write("a.jpg", "bytes")
	s.say(
		"a.jpg", media.Edit{Field: "title", Do: media.Set, Value: "Ein Titel"}, tag(media.Add, "sea"),
		tag(media.Add, "summer"),
	)
	id := s.stat("a.jpg").ID
	s.ok(s.SetXattr(bg, me, id, "user.baloo.rating", []byte("7"), 0))
	s.ok(s.SetXattr(bg, me, id, "user.media.favorite", []byte("yes"), 0))
	s.ok(s.SetXattr(bg, me, id, "user.plain", []byte("kept"), 0))
	s.write("a.jpg", "other bytes")
	waitFor(t, func() bool {
		a, err := other.Lookup(bg, vfs.Root, "a.jpg")
		if err != nil {
			return false
		}
		other.Forget(a.ID, 1)
		m, err := other.Media(bg, a.ID)
		return err == nil && m.Counts.Favorites == 1 && m.Size == 11
	})
	m := other.whole("a.jpg")
	if m.Title != "Ein Titel" || !slices.Equal(m.Tags, []string{"sea", "summer"}) || m.Rating != 7 ||
		m.Favorites[0] != engine.UserName(1000) {
		t.Errorf("%+v", m)
	}
	if !slices.Equal(m.Paths, []string{"/a.jpg"}) || m.Name != "a.jpg" {
		t.Errorf("paths %q", m.Paths)
	}
	for attr, want := range map[string]string{"user.media.title": "Ein Titel", "user.xdg.tags": "sea,summer", "user.media.rating": "7", "user.plain": "kept", "user.media.description": "(none)"} {
		if got := other.told("a.jpg", attr); got != want {
			t.Errorf("%s is %q, want %q", attr, got, want)
		}
	}
	names, err := s.ListXattr(bg, id)
	s.ok(err)
	slices.Sort(names)
	if want := []string{"user.baloo.rating", "user.media.title", "user.plain", "user.xdg.tags"}; !slices.Equal(
		names, want,
	) {
		t.Errorf("attributes %q, want %q", names, want)
	}
	if got, err := s.MediaNode(bg, m.ID); err != nil || got != id {
		t.Errorf("media %s is node %d, %v; want %d", m.ID, got, err, id)
	}
}

// A value that a field does not take is refused, and why can be read by who tried; nothing is
// changed.
func TestBadAttributes(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("a", "bytes")
	id := s.stat("a").ID
	before := s.stat("a")
	for attr, c := range map[string]struct {
		value string
		kind  remote.Kind
	}{
		"user.media.rating":     {"eleven", remote.Invalid},
		"user.baloo.rating":     {"11", remote.Invalid},
		"user.xdg.tags":         {"a/b", remote.Invalid},
		"user.media.nothing":    {"x", remote.Invalid},
		"user.media.sha256":     {"x", remote.Permission},
		"user.media.moderation": {"2", remote.Permission}, // not the owner
		"user.media.error":      {"x", remote.Permission},
	} {
		stranger := vfs.Caller{UID: 77}
		if err := s.SetXattr(bg, stranger, id, attr, []byte(c.value), 0); !errors.Is(err, c.kind) {
			t.Errorf("%s=%s: %v, want %v", attr, c.value, err, c.kind)
		}
		if why := s.told("a", "user.media.error"); why != "(none)" {
			t.Errorf("%s=%s: another user is told %q", attr, c.value, why)
		}
		if attr != "user.media.error" {
			if why := s.toldTo(stranger, "a", "user.media.error"); why == "(none)" {
				t.Errorf("%s=%s: nothing in user.media.error", attr, c.value)
			}
		}
	}
	if after := s.stat("a"); after != before {
		t.Errorf("%+v, then %+v", before, after)
	}
	s.ok(s.SetXattr(bg, me, id, "user.media.moderation", []byte("2"), 0))
	if why := s.told("a", "user.media.error"); why != "(none)" {
		t.Errorf("after what was right: %q", why)
	}
	if err := s.SetXattr(bg, me, id, "user.media.title", []byte("x"), vfs.XattrReplace); !errors.Is(
		err, remote.NoAttribute,
	) {
		t.Errorf("replace what is not set: %v", err)
	}
	s.ok(s.SetXattr(bg, me, id, "user.media.title", []byte("x"), vfs.XattrCreate))
	if err := s.SetXattr(bg, me, id, "user.media.title", []byte("y"), vfs.XattrCreate); !errors.Is(err, remote.Exist) {
		t.Errorf("create what is set: %v", err)
	}
	s.ok(s.RemoveXattr(bg, me, id, "user.media.title"))
	if err := s.RemoveXattr(bg, me, id, "user.media.title"); !errors.Is(err, remote.NoAttribute) {
		t.Errorf("remove what is not set: %v", err)
	}
	if _, err := s.Media(bg, vfs.Root); !errors.Is(err, remote.Unsupported) {
		t.Errorf("a folder as a media: %v", err)
	}
	s.ok(s.SetXattr(bg, me, vfs.Root, "user.xdg.tags", []byte("a,b"), 0)) // of a folder: just kept
}

// rsync -X and the like put attributes on their temporary file before they rename it over the old
// one: the media keeps who it is, and what is new wins.
func TestRenameOverWithCopiedAttributes(t *testing.T) {
	clk := &clock{}
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), clk.use, func(o *engine.Options) { o.Trash = time.Hour },
	).with(t)
	defer s.Close()
	s.write("photo", "old bytes")
	s.say(
		"photo", media.Edit{Field: "title", Do: media.Set, Value: "old title"},
		media.Edit{Field: "description", Do: media.Set, Value: "kept"},
	)
	was := s.whole("photo")
	clk.advance(time.Hour)
	s.write(".photo.tmp", "new bytes")
	s.say(".photo.tmp", tag(media.Set, "new,tags"), media.Edit{Field: "title", Do: media.Set, Value: "new title"})
	s.rename(".photo.tmp", "photo")
	m := s.whole("photo")
	if m.ID != was.ID || m.Title != "new title" || m.Description != "kept" ||
		!slices.Equal(m.Tags, []string{"new", "tags"}) {
		t.Errorf("was %s, is %+v", was.ID, m)
	}
	vs, err := s.Versions(bg, s.stat("photo").ID)
	s.ok(err)
	if len(vs) != 1 || vs[0].Size != 9 || vs[0].Reason != "rename" {
		t.Errorf("versions %+v", vs)
	}
	// A comment is of this very media: it keeps itself, and the other goes to the trash.
	s.write("commented", "mine")
	a, err := media.AttachComment(remote.Comment{User: "ana", Text: "nice"})
	s.ok(err)
	s.ok(s.EditMedia(bg, me, s.stat("commented").ID, vfs.MediaChange{Attached: []media.Attachment{a}}))
	own := s.whole("commented").ID
	s.rename("commented", "photo")
	if m := s.whole("photo"); m.ID != own || m.Counts.Comments != 1 {
		t.Errorf("%+v", m)
	}
	if got := s.binned(); len(got) != 1 || got[0].Name != "photo" {
		t.Errorf("trash %+v", got)
	}
}

func (s steps) binned() (all []vfs.TrashEntry) {
	s.t.Helper()
	s.ok(s.TrashEntries(bg, func(e vfs.TrashEntry) bool { all = append(all, e); return true }))
	return all
}

func (s steps) mkdir(parent vfs.ID, name string) vfs.ID {
	s.t.Helper()
	a, err := s.Mkdir(bg, me, parent, name, 0o755)
	s.ok(err)
	s.Forget(a.ID, 1)
	return a.ID
}

// A folder goes to the trash with all that is in it, comes back whole, or goes for good, in as many
// commits as that takes.
func TestFolderInTheTrash(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), func(o *engine.Options) { o.Trash = time.Hour }).with(t)
	defer s.Close()
	top := s.mkdir(vfs.Root, "top")
	sub := s.mkdir(top, "sub")
	for i := range 700 {
		a, err := s.Mknod(bg, me, sub, fmt.Sprintf("f%d", i), 0o100644, 0)
		s.ok(err)
		s.Forget(a.ID, 1)
	}
	s.write("kept", "by its other name")
	s.ok(drop(s.Link(bg, me, s.stat("kept").ID, sub, "second")))
	nodes := func() uint64 {
		st, err := s.StatFS(bg)
		s.ok(err)
		return st.Nodes
	}
	before := nodes()
	entry, err := s.TrashName(bg, me, vfs.Root, "top")
	s.ok(err)
	if got := s.binned(); len(got) != 1 || got[0].Entry != entry || got[0].Path != "/top" || got[0].UID != 1000 ||
		got[0].Node != top {
		t.Fatalf("trash %+v", got)
	}
	if _, err := s.Resolve(bg, "/top/sub/f3"); !errors.Is(err, remote.NotExist) {
		t.Errorf("in the trash, and found: %v", err)
	}
	if ps, err := s.Paths(bg, s.stat("kept").ID); err != nil || !slices.Equal(ps, []string{"/kept"}) {
		t.Errorf("paths %q, %v", ps, err)
	}
	s.ok(s.Restore(bg, me, entry, vfs.Root, "back"))
	if _, err := s.Resolve(bg, "/back/sub/f3"); err != nil || nodes() != before {
		t.Errorf("after restoring: %v, %d nodes of %d", err, nodes(), before)
	}
	if err := s.Restore(bg, me, entry, vfs.Root, "again"); !errors.Is(err, remote.NotExist) {
		t.Errorf("restored twice: %v", err)
	}
	if entry, err = s.TrashName(bg, me, vfs.Root, "back"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(bg, me, entry, sub, "inside itself"); !errors.Is(err, remote.Invalid) {
		t.Errorf("restored into itself: %v", err)
	}
	if err := s.Restore(bg, me, entry, vfs.Root, "kept"); !errors.Is(err, remote.Exist) {
		t.Errorf("restored over another: %v", err)
	}
	s.ok(s.Purge(bg, me, entry))
	if got := s.binned(); len(got) != 0 {
		t.Errorf("trash %+v", got)
	}
	if n := nodes(); n != 2 { // the root and "kept"
		t.Errorf("%d nodes are left", n)
	}
	if s.read("kept") != "by its other name" || s.stat("kept").Nlink != 1 {
		t.Errorf("%+v", s.stat("kept"))
	}
}

func drop(_ vfs.Attr, err error) error { return err }

// A media with more comments than one commit takes ends all the same, and nothing of it stays.
func TestMediaWithManyComments(t *testing.T) {
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), func(o *engine.Options) { o.TrashInterval = 10 * time.Millisecond },
	).with(t)
	defer s.Close()
	s.write("a", "bytes")
	id := s.stat("a").ID
	for i := range 13 {
		ch := vfs.MediaChange{}
		for j := range 60 {
			a, err := media.AttachComment(remote.Comment{User: "ana", Text: fmt.Sprint(i, j)})
			s.ok(err)
			ch.Attached = append(ch.Attached, a)
		}
		s.ok(s.EditMedia(bg, me, id, ch))
	}
	m := s.whole("a")
	if m.Counts.Comments != 780 || m.Comments[779].Number != 780 || m.Comments[779].Text != "12 59" {
		t.Fatalf("%d comments", m.Counts.Comments)
	}
	s.unlink("a")
	waitFor(t, func() bool {
		left := 0
		s.ok(s.View(func(tx *catalog.Tx) error {
			for _, letter := range []byte{record.KeyAttached, record.KeyEnded, record.KeyMedia} {
				for range tx.Records([]byte{letter}) {
					left++
				}
			}
			return tx.Err()
		}))
		return left == 0
	})
}

// A version becomes the head again, with its time, and what was the head is a version.
func TestRestoreVersion(t *testing.T) {
	clk := &clock{}
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), clk.use).with(t)
	defer s.Close()
	s.write("a", "first")
	first := s.stat("a")
	clk.advance(time.Hour)
	s.write("a", "the second")
	id := s.stat("a").ID
	vs, err := s.Versions(bg, id)
	s.ok(err)
	if len(vs) != 1 || vs[0].Size != 5 || vs[0].Mtime != first.Mtime {
		t.Fatalf("versions %+v", vs)
	}
	f, err := s.OpenVersion(bg, id, vs[0].Number)
	s.ok(err)
	if got := s.readFile(f); got != "first" {
		t.Errorf("the version reads %q", got)
	}
	if _, err := f.Write(bg, []byte("x"), 0); !errors.Is(err, remote.Permission) {
		t.Errorf("writing to a version: %v", err)
	}
	f.Release()
	// Bytes that are not sent yet are sent before, and kept.
	w := s.create("b", "")
	w.Release()
	open, err := s.Open(bg, me, id, uint32(os.O_RDWR))
	s.ok(err)
	s.put(open, "THE", 0)
	clk.advance(time.Hour)
	s.ok(s.RestoreVersion(bg, me, id, vs[0].Number))
	if s.read("a") != "first" || s.stat("a").Mtime != first.Mtime || s.readFile(open) != "first" {
		t.Errorf("reads %q, %+v", s.read("a"), s.stat("a"))
	}
	open.Release()
	vs, err = s.Versions(bg, id)
	s.ok(err)
	var kept []string
	for _, v := range vs {
		f, err := s.OpenVersion(bg, id, v.Number)
		s.ok(err)
		kept = append(kept, s.readFile(f))
		f.Release()
	}
	if !slices.Contains(kept, "THE second") || slices.Contains(kept, "first") {
		t.Errorf("versions %q", kept)
	}
	if err := s.RestoreVersion(bg, me, id, 99); !errors.Is(err, remote.NotExist) {
		t.Errorf("a version that never was: %v", err)
	}
}

// A cancelled upload leaves nothing in the store, its writer learns of it, and the media says that
// it is incomplete until bytes come.
func TestCancelUpload(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.StreamFrom = 64 << 10 }).with(t)
	defer s.Close()
	f := s.create("film", strings.Repeat("x", 500<<10))
	id := s.stat("film").ID
	waitFor(t, func() bool {
		us, err := s.Uploads(bg)
		s.ok(err)
		return len(us) == 1 && us[0].Node == id && us[0].Path == "/film" && us[0].Sent > 0 && us[0].Size == 500<<10
	})
	s.ok(s.CancelUpload(bg, id))
	if _, err := f.Write(bg, []byte("more"), 500<<10); err == nil {
		t.Error("its writer writes on")
	}
	if err := f.Flush(bg, me); err != nil {
		t.Errorf("close: %v", err)
	}
	f.Release()
	if m := s.whole("film"); m.Status != remote.StatusIncomplete || m.Ready || m.Size != 0 {
		t.Errorf("%+v", m)
	}
	if err := s.CancelUpload(bg, id); !errors.Is(err, remote.NotExist) {
		t.Errorf("cancelled twice: %v", err)
	}
	s.write("film", "again")
	if m := s.whole("film"); m.Status == remote.StatusIncomplete || m.Size != 5 {
		t.Errorf("%+v", m)
	}
	// One that had bytes falls back to them.
	g, err := s.Open(bg, me, id, uint32(os.O_RDWR))
	s.ok(err)
	s.put(g, "AGAIN", 0)
	s.ok(s.CancelUpload(bg, id))
	g.Release()
	if m := s.whole("film"); s.read("film") != "again" || m.Status == remote.StatusIncomplete {
		t.Errorf("%q, %+v", s.read("film"), m)
	}
	if us, err := s.Uploads(bg); err != nil || len(us) != 0 {
		t.Errorf("uploads %+v, %v", us, err)
	}
}

// teller reads facts as tests want them.
type teller struct {
	calls atomic.Int64
	fail  atomic.Int64 // so many calls fail
}

func (r *teller) Extract(_ context.Context, src facts.Source) (remote.MediaFacts, *remote.FactsDocument, error) {
	r.calls.Add(1)
	if r.fail.Add(-1) >= 0 {
		return remote.MediaFacts{}, nil, remote.E("extract", src.Name, remote.Unavailable, nil)
	}
	b := make([]byte, src.Size)
	if n, err := src.ReaderAt.ReadAt(b, 0); n < len(b) {
		return remote.MediaFacts{}, nil, err
	}
	f := remote.MediaFacts{
		Version:  facts.Version,
		Type:     "image/jpeg",
		Class:    remote.ClassImage,
		Width:    len(b),
		Title:    string(b),
		Document: true,
	}
	return f, &remote.FactsDocument{EXIF: map[string]any{"Bytes": string(b)}}, nil
}

func (r *teller) use(o *engine.Options) { o.Facts, o.FactsDelay = r, 50*time.Millisecond }

// Facts come behind the upload, for each head once, in one commit for many, and those of old bytes
// count for nothing.
func TestFactsFollowTheHead(t *testing.T) {
	b := mem.New(mem.Options{})
	r := &teller{}
	dir := t.TempDir()
	m := openMachine(t, b, dir, r.use)
	s := m.with(t)
	s.write("a", "first")
	idle := func(s steps) { t.Helper(); waitFor(t, s.FactsIdle) }
	idle(s)
	if m := s.whole(
		"a",
	); m.Facts == nil || m.Facts.Width != 5 || m.Title != "first" || m.SHA256 == "" ||
		m.MD5 != "8b04d5e3775d298e78455efc5ca404d5" {
		t.Fatalf("%+v, %+v", m, m.Facts)
	}
	d, err := s.Document(bg, s.stat("a").ID)
	s.ok(err)
	if d.EXIF["Bytes"] != "first" {
		t.Errorf("document %+v", d)
	}
	s.say("a", media.Edit{Field: "title", Do: media.Set, Value: "by hand"})
	r.fail.Store(2)
	s.write("a", "the second")
	if m := s.whole("a"); m.Facts != nil && m.Facts.Width == 5 || m.Title != "by hand" {
		t.Errorf("facts of old bytes: %+v, %+v", m, m.Facts)
	}
	idle(s)
	if m := s.whole("a"); m.Facts == nil || m.Facts.Width != 10 || m.Title != "by hand" {
		t.Errorf("%+v, %+v", m, m.Facts)
	}
	// Many at once are few operations.
	applied := s.Status().Catalog.Applied
	for i := range 40 {
		s.write("many"+strconv.Itoa(i), "x")
	}
	idle(s)
	t.Logf("%d commits for 40 files and their facts", s.Status().Catalog.Applied-applied)
	if n := s.Status().Catalog.Applied - applied; n > 40*2+20 {
		t.Errorf("%d commits", n)
	}
	// A media that is all hole has facts too.
	size := int64(1 << 20)
	hole := s.create("hole", "")
	if _, err := s.SetAttr(bg, me, s.stat("hole").ID, hole, vfs.AttrChange{Size: &size}); err != nil {
		t.Fatal(err)
	}
	s.close(hole)
	idle(s)
	if m := s.whole("hole"); m.Facts == nil || m.Facts.Width != 1<<20 {
		t.Errorf("of a hole: %+v", m.Facts)
	}
	calls := r.calls.Load()
	s.ok(s.Close())
	// What has facts is not read again; what has none is found at the next mount.
	plain := openMachine(t, b, dir).with(t)
	plain.write("late", "came without")
	s.ok(plain.Close())
	again := openMachine(t, b, dir, r.use).with(t)
	defer again.Close()
	idle(again)
	if m := again.whole("late"); m.Facts == nil || r.calls.Load() != calls+1 {
		t.Errorf("%+v after %d calls more", m.Facts, r.calls.Load()-calls)
	}
}

// An object that was there before is read where it lies; imported again it is the same, changed it
// is a new head; editing it writes elsewhere.
func TestImportExternal(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	put := func(data string) string {
		t.Helper()
		info, err := b.Put(bg, "photos/a.jpg", bytes.NewReader([]byte(data)), int64(len(data)), object.PutOptions{})
		s.ok(err)
		return info.ETag
	}
	etag := put("as it was")
	x := engine.External{
		Parent: vfs.Root,
		Name:   "a.jpg",
		Key:    "photos/a.jpg",
		ETag:   etag,
		Size:   9,
		Mtime:  vfs.Time{Sec: 1e9},
		Mode:   0o644,
	}
	run := func(x engine.External, want string) vfs.ID {
		t.Helper()
		what, id, err := s.Import(bg, me, x)
		s.ok(err)
		if what != want {
			t.Errorf("%s, want %s", what, want)
		}
		return id
	}
	id := run(x, operation.Imported)
	if s.read("a.jpg") != "as it was" || s.stat("a.jpg").Mtime.Sec != 1e9 || !s.whole("a.jpg").External {
		t.Errorf("%q, %+v", s.read("a.jpg"), s.stat("a.jpg"))
	}
	run(x, operation.Unchanged)
	x.ETag, x.Size = put("changed"), 7
	if got := run(x, operation.Updated); got != id || s.read("a.jpg") != "changed" {
		t.Errorf("node %d, then %d: %q", id, got, s.read("a.jpg"))
	}
	// An empty object that grows.
	grows := engine.External{Parent: vfs.Root, Name: "grows", Key: "photos/grows", ETag: "e0", Mode: 0o644}
	run(grows, operation.Imported)
	run(grows, operation.Unchanged)
	info, err := b.Put(bg, "photos/grows", strings.NewReader("grown"), 5, object.PutOptions{})
	s.ok(err)
	grows.ETag, grows.Size = info.ETag, 5
	run(grows, operation.Updated)
	run(grows, operation.Unchanged)
	if s.read("grows") != "grown" {
		t.Errorf("%q", s.read("grows"))
	}
	s.write("empty", "")
	if _, _, err := s.Import(
		bg, me, engine.External{Parent: vfs.Root, Name: "empty", Key: "photos/empty", ETag: "e"},
	); !errors.Is(err, remote.Exist) {
		t.Errorf("imported over an empty file of ours: %v", err)
	}
	s.write("a.jpg", "edited here")
	rc, _, err := b.Get(bg, "photos/a.jpg", object.GetOptions{Length: -1})
	s.ok(err)
	raw, err := io.ReadAll(rc)
	s.ok(err)
	if got := string(raw); got != "changed" || s.whole("a.jpg").External {
		t.Errorf("the object is %q", got)
	}
	if _, _, err := s.Import(bg, me, x); !errors.Is(err, remote.Exist) {
		t.Errorf("imported over an edit: %v", err)
	}
}

// The folder of views has another name when the library says so, on every machine.
func TestViewFolderSetting(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	s.write("taken", "x")
	if err := s.SetSetting(bg, me, operation.SettingViewFolder, "taken"); !errors.Is(err, remote.Exist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := s.SetSetting(bg, me, "volume", "11"); !errors.Is(err, remote.Invalid) {
		t.Errorf("no such setting: %v", err)
	}
	s.ok(s.SetSetting(bg, me, operation.SettingViewFolder, ".views"))
	waitFor(t, func() bool { return other.ViewFolder() == ".views" })
	if _, err := other.Mkdir(bg, me, vfs.Root, ".views", 0o755); !errors.Is(err, remote.Permission) {
		t.Errorf("mkdir: %v", err)
	}
	s.mkdir(vfs.Root, ".media")
}

// A copy that the file system makes says of what it is one.
func TestCopySaysOfWhat(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	for name, size := range map[string]int{"small": 100, "large": 3 << 20} {
		s.write(name, strings.Repeat("x", size))
		src, err := s.Open(bg, me, s.stat(name).ID, uint32(os.O_RDONLY))
		s.ok(err)
		dst := s.create("copy of "+name, "")
		for off := int64(0); off < int64(size); {
			n, err := dst.CopyRange(bg, src, off, off, int64(size)-off)
			s.ok(err)
			off += n
		}
		src.Release()
		s.close(dst)
		if m := s.whole(
			"copy of " + name,
		); m.CopiedFrom != s.whole(name).ID || m.ID == m.CopiedFrom ||
			m.Size != int64(size) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}
