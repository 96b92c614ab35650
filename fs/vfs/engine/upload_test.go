package engine_test

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// What was written and never closed when the process died goes to the store at the next mount, with
// its times.
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

	again := openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
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

// After a loss of power nobody knows what the disk kept of bytes that were never synced: they do
// not replace what the media holds.
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
	// The next process dies as well, in the middle of its uploads.
	same := func(o *engine.Options) { o.Catalog.Machine = []byte(d) }
	bad := storetest.New(b)
	bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	middle := openMachine(t, bad, dead, same).with(t)
	waitFor(t, func() bool {
		p := middle.Status().Pending
		return p.Files == 2 && p.Error != "" && bad.Count(storetest.Put, "content") >= 2
	})
	again := copyDir(t, dead)
	middle.ok(middle.Close())

	b2 := openMachine(t, b, again, same).with(t)
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
	_, n = b2.node("new")
	if vs := b2.versions(
		n.MediaId,
	); b2.read("new") != "" || len(vs) != 1 ||
		b2.bytesOf(b, vs[0].Head) != "never closed" {
		t.Errorf(
			"new holds %q and has %d versions, want nothing, and its doubtful bytes as one", b2.read("new"), len(vs),
		)
	}
}

func filesIn(dir string) (names []string) {
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return nil
	})
	return names
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	for range 20 {
		to, before := t.TempDir(), filesIn(from)
		err := os.CopyFS(to, os.DirFS(from))
		if err == nil && slices.Equal(filesIn(from), before) {
			return to
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a log that the database had no use for any more
			t.Fatal(err)
		}
	}
	t.Fatal("the folder changes faster than it can be copied")
	return ""
}

// A store that is away fails the close in time; the bytes stay, are read here, and go up when it is
// back.
func TestStoreAwayAtClose(t *testing.T) {
	bad := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, bad, t.TempDir(), func(o *engine.Options) { o.UploadTimeout = 50 * time.Millisecond }).with(t)
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

// Every request of an upload fails once, before and after its effect; the file is whole all the
// same.
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
	s := openMachine(t, bad, t.TempDir(), func(o *engine.Options) {
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
	// Programs that copy look for holes where there are fewer blocks than bytes.
	if a := s.stat("sparse"); a.Size != size || a.Blocks == 0 || a.Blocks*512 > 1<<20 {
		t.Errorf("while it is written: size %d, %d blocks", a.Size, a.Blocks)
	}
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
	// An edit lies over what is there.
	w, err := o.Open(bg, me, a.ID, uint32(os.O_WRONLY))
	o.ok(err)
	o.put(w, "edited", 1<<38)
	if a := o.stat("sparse"); a.Size != size || a.Blocks == 0 || a.Blocks*512 > 1<<20 {
		t.Errorf("while it is edited: size %d, %d blocks", a.Size, a.Blocks)
	}
	o.close(w)
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
