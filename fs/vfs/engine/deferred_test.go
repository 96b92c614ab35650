package engine_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// companionable are the options of a machine whose deferred changes wait for ever for others.
func companionable(o *engine.Options) { o.Catalog.DeferDelay, o.FactsDelay = time.Hour, time.Hour }

// A copier does to a machine what a program that copies does, in the order of its calls.
type copier struct {
	steps
	n int
}

var copiedTime = vfs.Time{Sec: 1_000_000_000, Nsec: 123}

func (c *copier) set(id vfs.ID, f vfs.File, ch vfs.AttrChange) {
	c.t.Helper()
	_, err := c.SetAttr(bg, me, id, f, ch)
	c.ok(err)
}

func (c *copier) times(id vfs.ID, f vfs.File) {
	c.t.Helper()
	c.set(id, f, vfs.AttrChange{Atime: &copiedTime, Mtime: &copiedTime})
}

func (c *copier) owner(id vfs.ID, f vfs.File) {
	c.t.Helper()
	uid, gid := uint32(1001), uint32(101)
	c.set(id, f, vfs.AttrChange{UID: &uid, GID: &gid})
}

func (c *copier) mode(id vfs.ID, f vfs.File, mode uint32) {
	c.t.Helper()
	c.set(id, f, vfs.AttrChange{Mode: &mode})
}

func (c *copier) next() string {
	c.n++
	return fmt.Sprintf("file%d", c.n)
}

// open makes a file as open(O_CREAT|O_EXCL) does. The kernel goes on to know it.
func (c *copier) open(name, data string) (vfs.ID, vfs.File) {
	c.t.Helper()
	a, f, err := c.Create(bg, me, vfs.Root, name, 0o600, uint32(os.O_WRONLY))
	c.ok(err)
	if data != "" {
		c.put(f, data, 0)
	}
	return a.ID, f
}

func (c *copier) commits() uint64 { return c.settled().Applied }

// settled is the catalog's status when all that was answered shows in it.
func (c *copier) settled() vfs.CatalogStatus {
	c.t.Helper()
	c.ok(c.View(func(*catalog.Tx) error { return nil }))
	return c.Status().Catalog
}

// What programs do to copy a file costs a commit for each change of names and one for the head,
// with all attributes that are set before and after it.
func TestCommitsOfACopy(t *testing.T) {
	list := []byte(
		"\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff",
	)
	const files = 5
	for _, prog := range []struct {
		name  string
		each  uint64 // commits a file
		final uint64 // and for what is left when all are done
		do    func(c *copier)
	}{
		{"tar -x", 2, 0, func(c *copier) {
			id, f := c.open(c.next(), "bytes")
			c.times(id, f)
			c.owner(id, f)
			c.mode(id, f, 0o640)
			c.close(f)
		}},
		{"tar -x of empty files", 2, 0, func(c *copier) {
			id, f := c.open(c.next(), "")
			c.times(id, f)
			c.owner(id, f)
			c.mode(id, f, 0o640)
			c.close(f)
		}},
		{"cp -a", 2, 0, func(c *copier) {
			id, f := c.open(c.next(), "bytes")
			c.times(id, f)
			c.owner(id, f)
			c.ok(c.SetXattr(bg, me, id, "user.kept", []byte("x"), 0))
			c.ok(c.SetXattr(bg, me, id, "user.xdg.tags", []byte("a,b"), 0))
			c.ok(c.SetXattr(bg, me, id, "system.posix_acl_access", list, 0))
			c.close(f)
		}},
		{"unzip", 2, 1, func(c *copier) {
			id, f := c.open(c.next(), "bytes")
			c.mode(id, f, 0o640)
			c.close(f)
			c.times(id, nil)
		}},
		{"rsync -a", 3, 0, func(c *copier) { // its rename is waited for as well
			name := c.next()
			id, f := c.open("."+name+".x1Y2z3", "bytes")
			c.mode(id, f, 0o600)
			c.close(f)
			c.owner(id, nil)
			c.times(id, nil)
			c.mode(id, nil, 0o640)
			c.rename("."+name+".x1Y2z3", name)
		}},
		{"cp -a of symlinks", 1, 1, func(c *copier) {
			a, err := c.Symlink(bg, me, vfs.Root, c.next(), []byte("target"))
			c.ok(err)
			c.owner(a.ID, nil)
			c.times(a.ID, nil)
		}},
		{"cp -a of folders", 1, 1, func(c *copier) {
			a, err := c.Mkdir(bg, me, vfs.Root, c.next(), 0o700)
			c.ok(err)
			c.times(a.ID, nil)
			c.owner(a.ID, nil)
			c.mode(a.ID, nil, 0o750)
			c.ok(c.SetXattr(bg, me, a.ID, "user.kept", []byte("x"), 0))
			c.ok(c.RemoveXattr(bg, me, a.ID, "user.kept"))
		}},
	} {
		t.Run(prog.name, func(t *testing.T) {
			t.Parallel()
			b := mem.New(mem.Options{})
			c := &copier{steps: openMachine(t, b, t.TempDir(), companionable).with(t)}
			defer c.Close()
			before := c.commits()
			for range files {
				prog.do(c)
			}
			if n := c.commits() - before; n > prog.each*files {
				t.Errorf("%d commits for %d files, want %d a file", n, files, prog.each)
			}
			c.ok(c.Flush(bg))
			if n := c.commits() - before; n > prog.each*files+prog.final {
				t.Errorf("%d commits when all is there, want %d a file", n, prog.each)
			}
			fresh := openMachine(t, b, t.TempDir()).with(t)
			defer fresh.Close()
			for i := range files {
				name := fmt.Sprintf("file%d", i+1)
				got, want := fresh.stat(name), c.stat(name)
				got.Blocks, want.Blocks = 0, 0
				if got != want {
					t.Errorf("%s on another machine: %+v, want %+v", name, got, want)
				}
				if got.Mtime != copiedTime {
					t.Errorf("%s: mtime %v", name, got.Mtime)
				}
			}
		})
	}
}

// What close, fsync and a fsync of the folder confirm is in the store: each of them for itself.
func TestDeferredAttributesAreConfirmed(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func(c *copier, f vfs.File) error
	}{
		{"close", func(_ *copier, f vfs.File) error { return f.Flush(bg, me) }},
		{"fsync", func(_ *copier, f vfs.File) error { return f.Fsync(bg) }},
		{"fsync through another descriptor", func(c *copier, _ vfs.File) error {
			g, err := c.Open(bg, me, c.stat("f").ID, uint32(os.O_RDONLY))
			c.ok(err)
			defer g.Release()
			return g.Fsync(bg)
		}},
		{"fsync of the folder", func(c *copier, _ vfs.File) error {
			d, err := c.OpenDir(bg, vfs.Root)
			c.ok(err)
			defer d.Release()
			return d.Fsync(bg)
		}},
		{"flush", func(c *copier, _ vfs.File) error { return c.Flush(bg) }},
		{"another name", func(c *copier, _ vfs.File) error {
			_, err := c.Mkdir(bg, me, vfs.Root, "d", 0o755)
			return err
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			b := mem.New(mem.Options{})
			c := &copier{steps: openMachine(t, b, t.TempDir(), companionable).with(t)}
			defer c.Close()
			id, f := c.open("f", "")
			defer f.Release()
			before := c.commits()
			c.mode(id, f, 0o640)
			c.times(id, f)
			c.ok(c.SetXattr(bg, me, id, "user.a", []byte("1"), 0))
			if n := c.commits() - before; n != 0 {
				t.Fatalf("%d commits before anybody waits", n)
			}
			c.ok(how.do(c, f))
			if n := c.commits() - before; n != 1 {
				t.Errorf("%d commits", n)
			}
			fresh := tree{openMachine(t, b, t.TempDir()).with(t)}
			defer fresh.Close()
			wantMode(t, fresh, "f", 0o640)
			wantXattr(t, fresh, "f", "user.a", "1")
			if m := fresh.stat("f").Mtime; m != copiedTime {
				t.Errorf("mtime %v", m)
			}
		})
	}
}

// Changes of one node are in the log in the order in which they were made, whoever waits for which.
func TestOrderOfDeferredChanges(t *testing.T) {
	b := mem.New(mem.Options{})
	c := &copier{steps: openMachine(t, b, t.TempDir(), companionable).with(t)}
	defer c.Close()
	id, f := c.open("f", "old")
	c.mode(id, f, 0o640)
	c.mode(id, f, 0o604)
	c.rename("f", "g")
	c.ok(c.SetXattr(bg, me, id, "user.a", []byte("1"), 0))
	c.ok(c.SetXattr(bg, me, id, "user.a", []byte("2"), 0))
	c.ok(c.RemoveXattr(bg, me, id, "user.a"))
	c.ok(c.SetXattr(bg, me, id, "user.a", []byte("3"), 0))
	c.times(id, f)
	c.put(f, "new", 0) // sets the time once more
	c.close(f)
	c.times(id, nil)
	c.mode(id, nil, 0o600)
	c.unlink("g")
	c.write("g", "another")
	c.ok(c.Flush(bg))
	fresh := tree{openMachine(t, b, t.TempDir()).with(t)}
	defer fresh.Close()
	if got := fresh.read("g"); got != "another" {
		t.Errorf("g is %q", got)
	}
	if c.stat("g").Mode != fresh.stat("g").Mode || fresh.stat("g").Mtime == copiedTime {
		t.Errorf("%+v", fresh.stat("g"))
	}
}

// A close by a process that did not open waits for nothing; that of the one that did confirms.
func TestDeferredAndAnotherProcess(t *testing.T) {
	c := &copier{steps: openMachine(t, mem.New(mem.Options{}), t.TempDir(), companionable, processes).with(t)}
	defer c.Close()
	opener, other := vfs.Caller{PID: 7}, vfs.Caller{PID: 8}
	a, f, err := c.Create(bg, opener, vfs.Root, "f", 0o644, uint32(os.O_WRONLY))
	c.ok(err)
	c.mode(a.ID, f, 0o600)
	c.ok(f.Flush(bg, other))
	if n := c.settled().Outbox; n != 1 {
		t.Errorf("after a child's close: %d in the outbox", n)
	}
	c.ok(f.Flush(bg, opener))
	if n := c.settled().Outbox; n != 0 {
		t.Errorf("after the close: %d in the outbox", n)
	}
	f.Release()
}

// Another machine has set something else since: that stays, as what came last, and the status says
// so.
func TestDeferredMeetsAnotherMachine(t *testing.T) {
	b := mem.New(mem.Options{})
	quiet := func(o *engine.Options) { o.Catalog.PollInterval = time.Hour }
	c := &copier{steps: openMachine(t, b, t.TempDir(), companionable, quiet).with(t)}
	defer c.Close()
	c.write("f", "bytes")
	other := tree{openMachine(t, b, t.TempDir()).with(t)}
	defer other.Close()
	id := c.stat("f").ID
	f, err := c.Open(bg, me, id, uint32(os.O_RDWR))
	c.ok(err)
	defer f.Release()
	c.mode(id, f, 0o600)
	c.ok(c.SetXattr(bg, me, id, "user.a", []byte("mine"), 0))
	c.ok(c.SetXattr(bg, me, id, "user.b", []byte("mine"), 0))
	c.put(f, "BYTES", 0)
	other.ok(chmod("f", 0o640)(other))
	other.ok(setx("f", "user.a", "theirs")(other))
	c.ok(f.Flush(bg, me))
	if s := c.settled(); s.Dropped != 2 || len(s.Conflicts) != 2 || s.Outbox != 0 {
		t.Errorf("status %+v", s)
	}
	for _, s := range []tree{{c.steps}, {openMachine(t, b, t.TempDir()).with(t)}} {
		wantMode(t, s, "f", 0o640)
		wantXattr(t, s, "f", "user.a", "theirs")
		wantXattr(t, s, "f", "user.b", "mine")
		if got := s.read("f"); got != "BYTES" {
			t.Errorf("it holds %q", got)
		}
		if s.FS != c.FS {
			s.Close()
		}
	}
}

// A change that cannot be made, which its call could not know, is an error of the close that would
// have confirmed it, once, and in the status.
func TestDeferredThatFails(t *testing.T) {
	b := mem.New(mem.Options{})
	c := &copier{
		steps: openMachine(
			t, b, t.TempDir(), companionable, func(o *engine.Options) { o.Catalog.PollInterval = time.Hour },
		).with(t),
	}
	defer c.Close()
	c.write("f", "bytes")
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	id := c.stat("f").ID
	f, err := c.Open(bg, me, id, uint32(os.O_RDWR))
	c.ok(err)
	defer f.Release()
	c.ok(c.SetXattr(bg, me, id, "user.one-too-many", []byte("1"), 0))
	c.put(f, "BYTES", 0)
	for i := range 254 {
		other.ok(other.SetXattr(bg, me, id, fmt.Sprintf("user.%d", i), []byte("x"), 0))
	}
	if err := f.Flush(bg, me); !errors.Is(err, remote.Other) || !strings.Contains(err.Error(), "user.one-too-many") {
		t.Errorf("close: %v", err)
	}
	c.ok(f.Flush(bg, me))
	c.ok(f.Fsync(bg))
	if s := c.settled(); s.Dropped != 1 || len(s.Conflicts) != 1 || s.Outbox != 0 {
		t.Errorf("status %+v", s)
	}
	if got := c.read("f"); got != "BYTES" {
		t.Errorf("it holds %q", got)
	}
}

// Another machine deletes a file whose attributes wait: who has it open sees them on, and no change
// is reported as lost.
func TestDeferredOfWhatIsDeletedElsewhere(t *testing.T) {
	b := mem.New(mem.Options{})
	c := &copier{steps: openMachine(t, b, t.TempDir(), companionable).with(t)}
	defer c.Close()
	c.write("f", "bytes")
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	id := c.stat("f").ID
	f, err := c.Open(bg, me, id, uint32(os.O_RDWR))
	c.ok(err)
	defer f.Release()
	c.ok(c.SetXattr(bg, me, id, "user.gone", []byte("1"), 0))
	c.ok(c.Flush(bg))
	c.mode(id, f, 0o600)
	c.ok(c.SetXattr(bg, me, id, "user.a", []byte("1"), 0))
	c.ok(c.RemoveXattr(bg, me, id, "user.gone"))
	other.unlink("f")
	waitFor(t, func() bool { a, err := c.GetAttr(bg, id); return err == nil && a.Nlink == 0 })
	wait := func(what string) {
		t.Helper()
		a, err := c.GetAttr(bg, id)
		c.ok(err)
		if a.Mode&0o7777 != 0o600 {
			t.Errorf("%s: mode %o", what, a.Mode)
		}
		if v, err := c.GetXattr(bg, id, "user.a"); err != nil || string(v) != "1" {
			t.Errorf("%s: user.a is %q, %v", what, v, err)
		}
		if _, err := c.GetXattr(bg, id, "user.gone"); !errors.Is(err, remote.NoAttribute) {
			t.Errorf("%s: user.gone: %v", what, err)
		}
	}
	wait("deleted")
	c.ok(f.Flush(bg, me))
	wait("closed")
	if s := c.settled(); s.Dropped != 0 || s.Outbox != 0 {
		t.Errorf("status %+v", s)
	}
}

// The process ends with changes that were deferred: the next makes them.
func TestDeferredAfterAKill(t *testing.T) {
	b := mem.New(mem.Options{})
	dir := t.TempDir()
	c := &copier{steps: openMachine(t, b, dir, companionable).with(t)}
	id, f := c.open("f", "bytes")
	c.times(id, f)
	c.mode(id, f, 0o640)
	dead := copyDir(t, dir)
	f.Release()
	c.ok(c.Close())
	again := tree{openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(dir) }).with(t)}
	again.ok(again.Flush(bg))
	again.ok(again.Close())
	fresh := tree{openMachine(t, b, t.TempDir()).with(t)}
	defer fresh.Close()
	wantMode(t, fresh, "f", 0o640)
	if fresh.read("f") != "bytes" || fresh.stat("f").Mtime != copiedTime {
		t.Errorf("%q, %+v", fresh.read("f"), fresh.stat("f"))
	}
}

// While the store is away a close says so also when it has only attributes, and they are set when
// it is back.
func TestDeferredWithoutStore(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	c := &copier{
		steps: openMachine(
			t, line, t.TempDir(), impatient, companionable,
			func(o *engine.Options) { o.Catalog.PollInterval = time.Hour },
		).with(t),
	}
	defer c.Close()
	id, f := c.open("f", "")
	line.SetDown(true)
	c.mode(id, f, 0o640)
	if err := f.Flush(bg, me); !errors.Is(err, remote.Unavailable) {
		t.Errorf("close: %v", err)
	}
	line.SetDown(false)
	c.ok(f.Flush(bg, me))
	f.Release()
	fresh := tree{openMachine(t, b, t.TempDir()).with(t)}
	defer fresh.Close()
	wantMode(t, fresh, "f", 0o640)
}

// What is not being written and was not made lately waits for its commit, and so does what takes
// the right away to run a file as somebody else, and what depends on what there is.
func TestNotDeferred(t *testing.T) {
	b := mem.New(mem.Options{})
	made(t, b, "old", "bytes")
	c := &copier{steps: openMachine(t, b, t.TempDir(), companionable).with(t)}
	defer c.Close()
	one := func(what string, do func()) {
		t.Helper()
		before := c.commits()
		do()
		if n := c.commits() - before; n != 1 {
			t.Errorf("%s: %d commits", what, n)
		}
	}
	old := c.stat("old").ID
	one("an old file", func() { c.mode(old, nil, 0o600) })
	id, f := c.open("new", "")
	defer f.Release()
	c.mode(id, f, 0o4755)
	one("take set-user-id away", func() { c.mode(id, f, 0o755) })
	one("XATTR_CREATE", func() { c.ok(c.SetXattr(bg, me, id, "user.a", nil, vfs.XattrCreate)) })
	one("XATTR_REPLACE", func() { c.ok(c.SetXattr(bg, me, id, "user.a", nil, vfs.XattrReplace)) })
}
