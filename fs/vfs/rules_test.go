package vfs_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

var (
	bg = context.Background()
	me = vfs.Caller{UID: 1000, GID: 100}
)

// clock is a time that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *clock) use(o *vfs.Options)      { o.Now = c.now }

// The steps of these tests work in the root folder and fail the test.
type steps struct {
	*machine
	t testing.TB
}

func (m *machine) with(t testing.TB) steps { return steps{m, t} }

func (s steps) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// create makes a file and leaves it open with its bytes unsent.
func (s steps) create(name, data string) vfs.File {
	s.t.Helper()
	a, f, err := s.Create(bg, me, vfs.Root, name, 0o644, uint32(os.O_RDWR))
	s.ok(err)
	s.Forget(a.ID, 1)
	s.put(f, data, 0)
	return f
}

func (s steps) put(f vfs.File, data string, off int64) {
	s.t.Helper()
	if n, err := f.Write(bg, []byte(data), off, false); err != nil || n != len(data) {
		s.t.Fatalf("write: %d, %v", n, err)
	}
}

// write makes or replaces a file, as close leaves it.
func (s steps) write(name, data string) {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	if errors.Is(err, remote.NotExist) {
		f := s.create(name, data)
		s.close(f)
		return
	}
	s.ok(err)
	f, err := s.Open(bg, me, a.ID, uint32(os.O_WRONLY|os.O_TRUNC))
	s.ok(err)
	s.put(f, data, 0)
	s.close(f)
	s.Forget(a.ID, 1)
}

func (s steps) close(f vfs.File) {
	s.t.Helper()
	s.ok(f.Flush(bg, me))
	f.Release()
}

func (s steps) stat(name string) vfs.Attr {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	s.ok(err)
	s.Forget(a.ID, 1)
	return a
}

func (s steps) read(name string) string {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	s.ok(err)
	defer s.Forget(a.ID, 1)
	f, err := s.Open(bg, me, a.ID, uint32(os.O_RDONLY))
	s.ok(err)
	defer f.Release()
	return s.readFile(f)
}

func (s steps) readFile(f vfs.File) string {
	s.t.Helper()
	var all []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(bg, buf, int64(len(all)))
		s.ok(err)
		if n == 0 {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func (s steps) rename(from, to string) {
	s.t.Helper()
	s.ok(s.Rename(bg, me, vfs.Root, from, vfs.Root, to, 0))
}

func (s steps) unlink(name string) {
	s.t.Helper()
	s.ok(s.Unlink(bg, me, vfs.Root, name))
}

func (s steps) node(name string) (vfs.ID, *record.Node) {
	s.t.Helper()
	var id vfs.ID
	var n *record.Node
	s.ok(s.View(func(tx *catalog.Tx) error {
		if d := tx.Dentry(vfs.Root, name); d != nil {
			id, n = d.Node, tx.Node(d.Node)
		}
		return nil
	}))
	return id, n
}

// versions gives the kept versions of a media and what they hold.
func (s steps) versions(media []byte) (vs []*record.Version) {
	s.t.Helper()
	s.ok(s.View(func(tx *catalog.Tx) error {
		for k := range tx.Records(record.VersionPrefix(media)) {
			v := new(record.Version)
			tx.Load(k, v)
			vs = append(vs, v)
		}
		return tx.Err()
	}))
	return vs
}

func (s steps) trash() (es []*record.TrashEntry) {
	s.t.Helper()
	s.ok(s.View(func(tx *catalog.Tx) error {
		for k := range tx.Records([]byte{record.KeyTrash}) {
			e := new(record.TrashEntry)
			tx.Load(k, e)
			es = append(es, e)
		}
		return tx.Err()
	}))
	return es
}

func (s steps) bytesOf(b object.Bucket, h *record.Head) string {
	s.t.Helper()
	var out bytes.Buffer
	for _, e := range h.Extents {
		id := hex.EncodeToString(e.Content)
		r, _, err := b.Get(bg, "content/"+id[:2]+"/"+id, object.GetOptions{Offset: int64(e.ContentOffset), Length: int64(e.Length)})
		s.ok(err)
		_, err = io.Copy(&out, r)
		s.ok(err)
		r.Close()
	}
	return out.String()
}

// Save by rename: the new file takes over the identity of the one it replaces, whose bytes become a version.
func TestRenameOverKeepsIdentity(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	s.write("photo.jpg", "first")
	oldID, old := s.node("photo.jpg")
	s.write(".photo.jpg.tmp", "second")
	newID, _ := s.node(".photo.jpg.tmp")
	s.rename(".photo.jpg.tmp", "photo.jpg")
	id, n := s.node("photo.jpg")
	if id != newID || id == oldID || !bytes.Equal(n.MediaId, old.MediaId) {
		t.Errorf("node %d (the source is %d), media %x (was %x)", id, newID, n.MediaId, old.MediaId)
	}
	vs := s.versions(old.MediaId)
	if len(vs) != 1 || s.bytesOf(b, vs[0].Head) != "first" {
		t.Errorf("versions %v", vs)
	}
	if s.read("photo.jpg") != "second" || len(s.trash()) != 0 {
		t.Errorf("holds %q, trash %v", s.read("photo.jpg"), s.trash())
	}
}

// A media that has been around does not take over another's identity: the one it replaces goes to the trash.
func TestRenameOverOfAnOldMedia(t *testing.T) {
	var c clock
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), c.use, func(o *vfs.Options) { o.Trash = time.Hour }).with(t)
	defer s.Close()
	s.write("a", "a")
	s.write("b", "b")
	_, an := s.node("a")
	c.advance(25 * time.Hour)
	s.rename("a", "b")
	if _, n := s.node("b"); !bytes.Equal(n.MediaId, an.MediaId) {
		t.Error("the source lost its own identity")
	}
	if es := s.trash(); len(es) != 1 || string(es[0].Name) != "b" {
		t.Errorf("trash %v", es)
	}
	// A target with another name lives on.
	s.write("d", "d")
	d := s.stat("d")
	_, err := s.Link(bg, me, d.ID, vfs.Root, "d2")
	s.ok(err)
	s.Forget(d.ID, 1)
	s.write("e", "e")
	s.rename("e", "d")
	if s.read("d2") != "d" || s.stat("d2").ID != d.ID || s.stat("d2").Nlink != 1 {
		t.Error("the other name of the replaced node does not hold what it held")
	}
}

func TestTrash(t *testing.T) {
	var c clock
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), c.use, func(o *vfs.Options) { o.Trash = time.Hour }).with(t)
	defer s.Close()
	s.write("young", "x")
	s.unlink("young")
	if es := s.trash(); len(es) != 0 {
		t.Fatalf("a young file is in the trash: %v", es)
	}
	s.write("old", "kept")
	id, _ := s.node("old")
	c.advance(6 * time.Minute)
	s.unlink("old")
	es := s.trash()
	if len(es) != 1 || es[0].Node != id || es[0].Parent != vfs.Root || string(es[0].Name) != "old" || es[0].Uid != me.UID {
		t.Fatalf("trash %v", es)
	}
	c.advance(59 * time.Minute)
	s.ok(s.Empty())
	if len(s.trash()) != 1 {
		t.Fatal("emptied before its time")
	}
	c.advance(2 * time.Minute)
	s.ok(s.Empty())
	s.ok(s.View(func(tx *catalog.Tx) error {
		if tx.Node(id) != nil || tx.Usage().Nodes != 1 {
			t.Errorf("node %v, usage %+v", tx.Node(id), tx.Usage())
		}
		return nil
	}))
	if len(s.trash()) != 0 {
		t.Error("not emptied after its time")
	}
}

func TestVersionsOfEdits(t *testing.T) {
	var c clock
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), c.use).with(t)
	defer s.Close()
	s.write("f", "one-one-one")
	_, n := s.node("f")
	steps := []struct {
		what string
		do   func()
		want int
	}{
		{"an edit soon after", func() { s.write("f", "two-two-two") }, 0},
		{"an edit after ten minutes", func() { c.advance(11 * time.Minute); s.write("f", "three-three") }, 1},
		{"an edit that leaves less than half", func() { s.write("f", "4") }, 2},
		{"an edit by another machine", func() {
			o := openMachine(t, b, t.TempDir(), c.use).with(t)
			o.write("f", "5")
			o.ok(o.Close())
			waitFor(t, func() bool { return s.read("f") == "5" })
		}, 3},
	}
	for _, st := range steps {
		st.do()
		if vs := s.versions(n.MediaId); len(vs) != st.want {
			t.Errorf("after %s: %d versions, want %d", st.what, len(vs), st.want)
		}
	}
	want := []string{"two-two-two", "three-three", "4"}
	for i, v := range s.versions(n.MediaId) {
		if got := s.bytesOf(b, v.Head); got != want[i] {
			t.Errorf("version %d holds %q, want %q", i+1, got, want[i])
		}
	}
}

// waitFor waits until something is so, which it is soon or the test is broken.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	for i := 0; !so(); i++ {
		if i == 20000 {
			t.Fatal("it never came to be")
		}
		time.Sleep(time.Millisecond)
	}
}

// A file deleted on one machine stays readable where it is open, until it is closed.
func TestOpenFileDeletedElsewhere(t *testing.T) {
	b := mem.New(mem.Options{})
	a := openMachine(t, b, t.TempDir()).with(t)
	defer a.Close()
	a.write("f", "bytes")
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	at, err := o.Lookup(bg, vfs.Root, "f")
	o.ok(err)
	f, err := o.Open(bg, me, at.ID, uint32(os.O_RDONLY))
	o.ok(err)
	a.unlink("f")
	waitFor(t, func() bool {
		_, err := o.Lookup(bg, vfs.Root, "f")
		if err == nil {
			o.Forget(at.ID, 1)
		}
		return errors.Is(err, remote.NotExist)
	})
	if got := o.readFile(f); got != "bytes" {
		t.Errorf("reads %q", got)
	}
	if st, err := o.GetAttr(bg, at.ID); err != nil || st.Nlink != 0 || st.Size != 5 {
		t.Errorf("%+v, %v", st, err)
	}
	f.Release()
	o.Forget(at.ID, 1)
	if _, err := o.GetAttr(bg, at.ID); !errors.Is(err, remote.NotExist) {
		t.Errorf("after the last reference: %v", err)
	}
}

// Bytes written through a file that was meanwhile replaced by a rename are kept as a version of the media.
func TestLateBytesBecomeAVersion(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	s.write("f", "first")
	_, n := s.node("f")
	at, err := s.Lookup(bg, vfs.Root, "f")
	s.ok(err)
	f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.write("tmp", "second")
	s.rename("tmp", "f")
	s.put(f, "LATE", 0)
	if got := s.readFile(f); got != "LATEt" {
		t.Errorf("the open file reads %q", got)
	}
	s.close(f)
	s.Forget(at.ID, 1)
	var held []string
	for _, v := range s.versions(n.MediaId) {
		held = append(held, s.bytesOf(b, v.Head))
	}
	if len(held) != 2 || held[0] != "first" || held[1] != "LATEt" || s.read("f") != "second" {
		t.Errorf("versions %q, file %q", held, s.read("f"))
	}
}

// What was written and never closed when the process died goes to the store at the next mount, with its times.
func TestSpoolSurvives(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b) // is cut when the process dies
	d := t.TempDir()
	s := openMachine(t, line, d).with(t)
	s.write("edited", "0123456789")
	f := s.create("never-closed", "precious")
	g := s.create("timed", "bytes")
	at := s.stat("timed")
	set := vfs.Time{Sec: -5, Nsec: 7}
	_, err := s.SetAttr(bg, me, at.ID, g, vfs.AttrChange{Mtime: &set})
	s.ok(err)
	e := s.stat("edited")
	h, err := s.Open(bg, me, e.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.put(h, "XY", 4)
	dead := copyDir(t, d)
	line.SetDown(true)
	for _, f := range []vfs.File{f, g, h} {
		f.Release()
	}
	s.ok(s.Close())

	again := openMachine(t, b, dead, func(o *vfs.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	again.ok(again.Flush(bg))
	check := func(s steps) {
		t.Helper()
		for name, want := range map[string]string{"never-closed": "precious", "timed": "bytes", "edited": "0123XY6789"} {
			if got := s.read(name); got != want {
				t.Errorf("%s holds %q, want %q", name, got, want)
			}
		}
		if m := s.stat("timed").Mtime; m != set {
			t.Errorf("mtime %v, want %v", m, set)
		}
	}
	check(again)
	again.ok(again.Close())
	left, _ := filepath.Glob(filepath.Join(dead, "spool", "*"))
	if len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	check(other)
}

// After a loss of power nobody knows what the disk kept of bytes that were never synced: they do not replace what the media holds.
func TestSpoolAfterALossOfPower(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b) // is cut when the process dies
	d := t.TempDir()
	s := openMachine(t, line, d).with(t)
	s.write("edited", "confirmed")
	_, n := s.node("edited")
	f := s.create("new", "never closed")
	at, err := s.Lookup(bg, vfs.Root, "edited")
	s.ok(err)
	g, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.put(g, "UNSYNCED", 0)
	dead := copyDir(t, d)
	line.SetDown(true)
	f.Release()
	g.Release()
	s.ok(s.Close())
	metas, err := filepath.Glob(filepath.Join(dead, "spool", "*.json"))
	s.ok(err)
	for _, m := range metas {
		j, err := os.ReadFile(m)
		s.ok(err)
		j = regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(j, []byte(`"boot":"another"`))
		s.ok(os.WriteFile(m, j, 0o600))
	}
	b2 := openMachine(t, b, dead, func(o *vfs.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	defer b2.Close()
	b2.ok(b2.Flush(bg))
	if b2.read("edited") != "confirmed" {
		t.Errorf("edited holds %q", b2.read("edited"))
	}
	var kept []string
	for _, v := range b2.versions(n.MediaId) {
		kept = append(kept, b2.bytesOf(b, v.Head))
	}
	if !slices.Equal(kept, []string{"UNSYNCEDd"}) {
		t.Errorf("versions %q, want the bytes that were not synced", kept)
	}
	if b2.read("new") != "never closed" {
		t.Errorf("new holds %q", b2.read("new"))
	}
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A store that is away fails the close in time; the bytes stay, are read here, and go up when it is back.
func TestStoreAwayAtClose(t *testing.T) {
	bad := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, bad, t.TempDir(), func(o *vfs.Options) { o.UploadTimeout = 50 * time.Millisecond }).with(t)
	defer s.Close()
	f := s.create("f", "precious")
	bad.SetDown(true)
	if err := f.Flush(bg, me); !errors.Is(err, remote.Unavailable) {
		t.Fatalf("close without a store: %v", err)
	}
	f.Release()
	if s.read("f") != "precious" || s.Status().Pending.Files != 1 || s.Status().Pending.Error == "" {
		t.Errorf("reads %q, status %+v", s.read("f"), s.Status().Pending)
	}
	bad.SetDown(false)
	waitFor(t, func() bool { return s.Status().Pending.Files == 0 })
	o := openMachine(t, bad, t.TempDir()).with(t)
	defer o.Close()
	if o.read("f") != "precious" {
		t.Error("another machine reads something else")
	}
}

// Every request of an upload fails once, before and after its effect; the file is whole all the same.
func TestUploadFaults(t *testing.T) {
	data := make([]byte, 17<<20) // two chunks
	rand.NewChaCha8([32]byte{1}).Read(data)
	for _, op := range []storetest.Op{storetest.Create, storetest.PutPart, storetest.Complete, storetest.Put} {
		for _, action := range []storetest.Action{storetest.FailBefore, storetest.FailAfter} {
			bad := storetest.New(mem.New(mem.Options{}))
			s := openMachine(t, bad, t.TempDir()).with(t)
			bad.Fail(storetest.Fault{Op: op, Prefix: "content/", Action: action})
			s.write("big", string(data))
			s.write("small", "small")
			s.ok(s.Close())
			o := openMachine(t, bad, t.TempDir()).with(t)
			if o.read("big") != string(data) || o.read("small") != "small" {
				t.Errorf("%s, %v: the files differ", op, action)
			}
			o.ok(o.Close())
		}
	}
}

// A flush by a forked child does not upload: the opener's does, once for all that was written.
func TestFlushOfAnotherProcess(t *testing.T) {
	bad := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, bad, t.TempDir(), func(o *vfs.Options) {
		o.ThreadGroup = func(tid uint32) uint32 { return tid }
		o.FlushDelay = time.Hour
	}).with(t)
	defer s.Close()
	_, f, err := s.Create(bg, vfs.Caller{PID: 1}, vfs.Root, "log", 0o644, uint32(os.O_WRONLY|os.O_APPEND))
	s.ok(err)
	bad.Reset()
	for range 20 {
		s.put(f, "line\n", 0)
		s.ok(f.Flush(bg, vfs.Caller{PID: 2}))
	}
	if n := bad.Count(storetest.Put, "content"); n != 0 {
		t.Errorf("%d uploads by children", n)
	}
	s.ok(f.Flush(bg, vfs.Caller{PID: 1}))
	if n := bad.Count(storetest.Put, "content"); n != 1 {
		t.Errorf("%d uploads after the opener's close, want 1", n)
	}
	f.Release()
	if got := s.read("log"); len(got) != 100 {
		t.Errorf("%d bytes, want 100", len(got))
	}
}

// A time set while an upload is on its way stays.
func TestTimeSetDuringUpload(t *testing.T) {
	bad := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, bad, t.TempDir()).with(t)
	defer s.Close()
	f := s.create("f", "bytes")
	id := s.stat("f").ID
	release := make(chan struct{})
	bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Action: storetest.Hold, Release: release})
	done := make(chan error)
	go func() { done <- f.Fsync(bg) }()
	waitFor(t, func() bool { return bad.Count(storetest.Put, "content") > 0 })
	set := vfs.Time{Sec: 1234, Nsec: 5}
	changed := make(chan error)
	go func() {
		_, err := s.SetAttr(bg, me, id, nil, vfs.AttrChange{Mtime: &set})
		changed <- err
	}()
	waitFor(t, func() bool { return s.stat("f").Mtime == set })
	close(release)
	s.ok(<-done)
	s.ok(<-changed)
	f.Release()
	if m := s.stat("f").Mtime; m != set {
		t.Errorf("mtime %v, want %v", m, set)
	}
}

// A sparse terabyte costs what its data costs, and reads back with its holes.
func TestSparse(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	f := s.create("sparse", "head")
	s.put(f, "middle", 1<<39)
	size := int64(1 << 40)
	_, err := s.SetAttr(bg, me, s.stat("sparse").ID, f, vfs.AttrChange{Size: &size})
	s.ok(err)
	s.close(f)
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	a := o.stat("sparse")
	if a.Size != size || a.Blocks*512 > 1<<20 {
		t.Errorf("size %d, %d blocks", a.Size, a.Blocks)
	}
	r, err := o.Open(bg, me, a.ID, uint32(os.O_RDONLY))
	o.ok(err)
	defer r.Release()
	p := make([]byte, 8)
	if n, err := r.Read(bg, p, 1<<39-1); err != nil || n != 8 || string(p[:7]) != "\x00middle" {
		t.Errorf("reads %q, %v", p[:n], err)
	}
	if off, err := r.Seek(bg, 1<<20, 3); err != nil || off > 1<<39 || off < 1<<39-1<<20 {
		t.Errorf("the data after 1 MiB begins at %d, %v", off, err)
	}
}

// A file written in one go is one object with exactly its bytes.
func TestContentIsTheFile(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	for _, n := range []int{1, 262144, 262145, 1<<24 - 1, 1 << 24, 1<<24 + 1} {
		data := make([]byte, n)
		rand.NewChaCha8([32]byte{2}).Read(data)
		s.write("f", string(data))
		_, nd := s.node("f")
		if len(nd.Head.Extents) != 1 || s.bytesOf(b, nd.Head) != string(data) {
			t.Errorf("%d bytes: %d extents", n, len(nd.Head.Extents))
		}
		id := hex.EncodeToString(nd.Head.Extents[0].Content)
		if info, err := b.Head(bg, "content/"+id[:2]+"/"+id); err != nil || info.Size != int64(n) {
			t.Errorf("%d bytes: object %+v, %v", n, info, err)
		}
	}
}

// On a local directory the spool file becomes the object; writing on never changes what was stored.
func TestStoredBytesNeverChange(t *testing.T) {
	b, err := dir.Open(t.TempDir(), dir.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	f := s.create("f", "first bytes")
	s.ok(f.Fsync(bg))
	_, n := s.node("f")
	s.put(f, "SECOND", 0)
	if got := s.bytesOf(b, n.Head); got != "first bytes" {
		t.Errorf("the stored content became %q", got)
	}
	s.close(f)
	if s.read("f") != "SECONDbytes" {
		t.Errorf("reads %q", s.read("f"))
	}
}

type announced struct {
	mu      sync.Mutex
	data    map[vfs.ID]bool
	entries map[string]bool
}

func (a *announced) Node(id vfs.ID, data bool) {
	a.mu.Lock()
	a.data[id] = a.data[id] || data
	a.mu.Unlock()
}

func (a *announced) Entry(_ vfs.ID, name string) {
	a.mu.Lock()
	a.entries[name] = true
	a.mu.Unlock()
}

func (a *announced) said(id vfs.ID, name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.data[id] && a.entries[name]
}

// The kernel is told what another machine changed, and pages of an old head are not kept at the next open.
func TestChangesOfOthersAreAnnounced(t *testing.T) {
	b := mem.New(mem.Options{})
	s, o := openMachine(t, b, t.TempDir()).with(t), openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	defer o.Close()
	s.write("f", "first")
	an := &announced{data: map[vfs.ID]bool{}, entries: map[string]bool{}}
	s.Announce(an)
	at, err := s.Lookup(bg, vfs.Root, "f")
	s.ok(err)
	open := func() bool {
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDONLY))
		s.ok(err)
		defer f.Release()
		s.readFile(f)
		return f.KeepCache()
	}
	open()
	if !open() {
		t.Error("pages are dropped though nothing changed")
	}
	waitFor(t, func() bool {
		a, err := o.Lookup(bg, vfs.Root, "f")
		if err == nil {
			o.Forget(a.ID, 1)
		}
		return err == nil
	})
	o.write("f", "second")
	o.write("new", "x")
	waitFor(t, func() bool { return an.said(at.ID, "new") })
	if open() {
		t.Error("pages of the old head are kept")
	}
	s.Forget(at.ID, 1)
}
