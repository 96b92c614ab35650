package engine_test

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// Save by rename: the new file takes over the identity of the one it replaces, whose bytes become a
// version.
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

// A media that has been around does not take over another's identity: the one it replaces goes to
// the trash.
func TestRenameOverOfAnOldMedia(t *testing.T) {
	var c clock
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), c.use, func(o *engine.Options) { o.Trash = time.Hour },
	).with(t)
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
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), c.use, func(o *engine.Options) { o.Trash = time.Hour },
	).with(t)
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
	if len(es) != 1 || es[0].Node != id || es[0].Parent != vfs.Root || string(es[0].Name) != "old" ||
		es[0].Uid != me.UID {
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

// Bytes written through a file that was meanwhile replaced by a rename are kept as a version of the
// media.
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

// The kernel is told what another machine changed, and pages of an old head are not kept at the
// next open.
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

// What is appended behind bytes that the kernel does not know of is in the wrong place of its
// pages: they go. Otherwise they stay.
func TestAppendElsewhereThanKernelThinks(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("f", "0123456789")
	an := &announced{data: map[vfs.ID]bool{}, entries: map[string]bool{}}
	s.Announce(an)
	f := s.open("f", os.O_WRONLY|os.O_APPEND)
	defer f.Release()
	told := func() bool {
		an.mu.Lock()
		defer an.mu.Unlock()
		return len(an.data) > 0
	}
	s.put(f, "abc", 10)
	if told() {
		t.Error("pages are dropped though they are right")
	}
	s.put(f, "def", 10)
	if !told() {
		t.Error("pages with bytes in the wrong place are kept")
	}
	s.ok(f.Fsync(bg))
	if got := s.read("f"); got != "0123456789abcdef" {
		t.Errorf("%q", got)
	}
}
