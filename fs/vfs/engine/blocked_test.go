package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The objects of a log, to be damaged and mended.
type logOf struct {
	t *testing.T
	b object.Bucket
}

// key is that of the commit so many after the last; 0: of the last.
func (l logOf) key(after int) string {
	l.t.Helper()
	page, _, err := l.b.List(bg, "log/0/", "", 0)
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("log/0/%020d", len(page)+after)
}

func (l logOf) get(key string) []byte {
	l.t.Helper()
	r, _, err := l.b.Get(bg, key, object.GetOptions{Length: -1})
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l logOf) put(key string, b []byte) {
	l.t.Helper()
	if _, err := l.b.Put(bg, key, bytes.NewReader(b), int64(len(b)), object.PutOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

func isBlocked(m *machine) func() bool {
	return func() bool { return m.Status().Catalog.Blocked != nil }
}

// While the log cannot be read on, everything is read and nothing changed. A file that is open for
// writing keeps its bytes, which are uploaded when the log is mended.
func TestBlockedLog(t *testing.T) {
	b := mem.New(mem.Options{})
	bad := storetest.New(b)
	s := openMachine(t, bad, t.TempDir(), func(o *engine.Options) { o.Trash = time.Hour }).with(t)
	defer s.Close()
	s.write("f", "what f holds")
	s.ok(s.SetXattr(bg, me, s.stat("f").ID, "user.a", []byte("a"), 0))
	folder, err := s.Mkdir(bg, me, vfs.Root, "folder", 0o755)
	s.ok(err)
	open := s.create("open", "")
	_, err = open.Write(bg, []byte("begun, "), 0)
	s.ok(err)
	log := logOf{t, b}
	key := log.key(1)
	log.put(key, []byte("not a commit"))
	waitFor(t, isBlocked(s.machine))
	bad.Reset()

	if got := s.read("f"); got != "what f holds" {
		t.Errorf("it reads %q", got)
	}
	f, mode, size := s.stat("f").ID, uint32(0o600), int64(3)
	for what, change := range map[string]func() error{
		"open":        func() error { _, err := s.Open(bg, me, f, 1); return err },
		"open, cut":   func() error { _, err := s.Open(bg, me, f, 0o1001); return err },
		"create":      func() error { _, _, err := s.Create(bg, me, vfs.Root, "new", 0o644, 1); return err },
		"no name":     func() error { _, _, err := s.Tmpfile(bg, me, vfs.Root, 0o644, 2); return err },
		"mkdir":       func() error { _, err := s.Mkdir(bg, me, vfs.Root, "new", 0o755); return err },
		"mknod":       func() error { _, err := s.Mknod(bg, me, vfs.Root, "new", 0o10644, 0); return err },
		"symlink":     func() error { _, err := s.Symlink(bg, me, vfs.Root, "new", []byte("f")); return err },
		"link":        func() error { _, err := s.Link(bg, me, f, vfs.Root, "new"); return err },
		"rename":      func() error { return s.Rename(bg, me, vfs.Root, "f", folder.ID, "f", 0) },
		"unlink":      func() error { return s.Unlink(bg, me, vfs.Root, "f") },
		"rmdir":       func() error { return s.Rmdir(bg, me, vfs.Root, "folder") },
		"chmod":       func() error { _, err := s.SetAttr(bg, me, f, nil, vfs.AttrChange{Mode: &mode}); return err },
		"truncate":    func() error { _, err := s.SetAttr(bg, me, f, nil, vfs.AttrChange{Size: &size}); return err },
		"setxattr":    func() error { return s.SetXattr(bg, me, f, "user.a", []byte("b"), 0) },
		"removexattr": func() error { return s.RemoveXattr(bg, me, f, "user.a") },
		"trash":       func() error { _, err := s.TrashName(bg, me, vfs.Root, "f"); return err },
	} {
		err := change()
		if !errors.Is(err, remote.ReadOnly) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = open.Write(bg, []byte("gone on"), 7)
	s.ok(err)
	cut := int64(13)
	_, err = s.SetAttr(bg, me, s.stat("open").ID, open, vfs.AttrChange{Size: &cut})
	s.ok(err)
	if err := open.Flush(bg, me); !errors.Is(err, remote.ReadOnly) || !strings.Contains(err.Error(), key) {
		t.Errorf("close: %v", err)
	}
	open.Release()
	if got := s.read("open"); got != "begun, gone o" || s.Status().Pending.Files != 1 {
		t.Errorf("it reads %q, pending %+v", got, s.Status().Pending)
	}
	if err := s.Flush(bg); !errors.Is(err, remote.ReadOnly) {
		t.Errorf("flush: %v", err)
	}
	if n := bad.Count(storetest.Put, ""); n != 0 {
		t.Errorf("%d objects were put", n)
	}

	s.ok(b.Delete(bg, key))
	waitFor(t, func() bool { return s.Status().Pending.Files == 0 })
	s.write("new", "writable again")
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	for name, want := range map[string]string{"f": "what f holds", "open": "begun, gone o", "new": "writable again"} {
		if got := o.read(name); got != want {
			t.Errorf("another machine reads %q in %s", got, name)
		}
	}
}

// What an earlier process left waits until the log can be read: judged by an old catalog, bytes
// would take the place of newer ones, or come back from the dead. Then it is taken up below the
// kernel's eyes.
func TestSpoolBelowABlockedLog(t *testing.T) {
	b, d := mem.New(mem.Options{}), t.TempDir()
	opt := func(o *engine.Options) { o.Background, o.Catalog.Machine = true, []byte(d) }
	made(t, b, "f", "first")
	made(t, b, "g", "first")
	bad := storetest.New(b)
	bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	s := openMachine(t, bad, d, opt).with(t)
	s.write("f", "of the train")
	s.write("g", "of the train too")
	s.ok(s.Close())
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	o.write("f", "of home")
	log := logOf{t, b}
	key := log.key(0) // the head of f
	good := log.get(key)
	o.write("other", "later")
	log.put(key, nil)

	s = openMachine(t, b, d, opt).with(t)
	defer s.Close()
	if s.Status().Catalog.Blocked == nil {
		t.Fatal("it is not blocked")
	}
	s.stat("g")
	if p := s.Status().Pending; p.Files != 2 || p.Bytes == 0 {
		t.Errorf("pending %+v", p)
	}
	if f, g := s.read("f"), s.read("g"); f != "first" || g != "first" {
		t.Errorf("f reads %q, g %q", f, g)
	}
	if _, err := s.Open(bg, me, s.stat("g").ID, 1); !errors.Is(err, remote.ReadOnly) {
		t.Errorf("open: %v", err)
	}
	log.put(key, good)
	waitFor(t, func() bool { return s.Status().Catalog.Blocked == nil && s.Status().Pending.Files == 0 })
	s.ok(s.Flush(bg))
	if f, g := s.read("f"), s.read("g"); f != "of home" || g != "of the train too" {
		t.Errorf("after it was mended f reads %q, g %q", f, g)
	}
	_, n := s.node("f")
	if all := s.kept(b, n.MediaId); !strings.Contains(strings.Join(all, ";"), "of the train") {
		t.Errorf("the versions of f are %q", all)
	}
	s.write("h", "writable")
	waitFor(t, func() bool { _, err := o.Lookup(bg, vfs.Root, "h"); return err == nil })
	if g := o.read("g"); g != "of the train too" {
		t.Errorf("another machine reads %q in g", g)
	}
}
