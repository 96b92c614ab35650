package engine_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// unnamed makes a media without a name and leaves it open; its reference stays.
func (s steps) unnamed(data string, flags int) (vfs.ID, vfs.File) {
	s.t.Helper()
	a, f, err := s.Tmpfile(bg, me, vfs.Root, 0o640, uint32(os.O_RDWR|flags))
	s.ok(err)
	if a.Nlink != 0 || a.Mode != 0o100640 || a.UID != me.UID {
		s.t.Errorf("a media without a name is %+v", a)
	}
	if data != "" {
		s.put(f, data, 0)
	}
	return a.ID, f
}

// What is written to a media without a name goes nowhere, whatever is closed and synced, and ends
// with its last reference; one that gets a name is in the store with all it has when the name is
// there, in one commit.
func TestUnnamed(t *testing.T) {
	for _, background := range []bool{false, true} {
		b := mem.New(mem.Options{})
		line := storetest.New(b)
		s := openMachine(
			t, line, t.TempDir(), func(o *engine.Options) { o.Background, o.StreamFrom = background, 100<<10 },
		).with(t)
		defer s.Close()
		other := openMachine(t, b, t.TempDir()).with(t)
		defer other.Close()
		data := noise(1, 3<<20)

		id, f := s.unnamed(data, 0)
		s.ok(f.Flush(bg, me))
		s.ok(f.Fsync(bg))
		s.ok(s.Flush(bg))
		f.Release()
		s.Forget(id, 1)
		id, f = s.unnamed(data, os.O_EXCL)
		if _, err := s.Link(bg, me, id, vfs.Root, "exclusive"); !errors.Is(err, remote.NotExist) {
			t.Errorf("a link of one that was opened with O_EXCL: %v", err)
		}
		s.close(f)
		s.Forget(id, 1)
		waitFor(t, func() bool { return s.SpoolBytes() == 0 })
		if n := sentTo(line); n > 0 || len(s.names()) > 0 {
			t.Errorf("%d contents were sent, there is %q", n, s.names())
		}
		waitFor(t, func() bool { _, err := s.GetAttr(bg, id); return errors.Is(err, remote.NotExist) })

		id, f = s.unnamed(data, 0)
		s.ok(s.SetXattr(bg, me, id, "user.plain", []byte("kept"), 0))
		s.ok(s.SetXattr(bg, me, id, "user.xdg.tags", []byte("sea,sun"), 0))
		mode, old := uint32(0o600), vfs.Time{Sec: 1e9}
		_, err := s.SetAttr(bg, me, id, nil, vfs.AttrChange{Mode: &mode, Mtime: &old})
		s.ok(err)
		s.ok(f.Fsync(bg))
		s.write("taken", "x")
		if _, err := s.Link(bg, me, id, vfs.Root, "taken"); !errors.Is(err, remote.Exist) {
			t.Errorf("a link to a name that is taken: %v", err)
		}
		s.ok(s.Flush(bg))
		before := s.Status().Catalog.Applied
		a, err := s.Link(bg, me, id, vfs.Root, "named")
		s.ok(err)
		if a.Nlink != 1 || a.ID != id || a.Size != int64(len(data)) {
			t.Errorf("named, it is %+v", a)
		}
		if after := s.Status().Catalog.Applied; after != before+1 {
			t.Errorf("a name took %d commits", after-before)
		}
		waitFor(t, func() bool { return len(other.names()) == 2 })
		other.sees("named", data)
		if a := other.stat("named"); a.Mtime != old || a.Mode&0o777 != mode {
			t.Errorf("elsewhere it is %+v", a)
		}
		if got := other.told("named", "user.plain") + other.told("named", "user.xdg.tags"); got != "keptsea,sun" {
			t.Errorf("its attributes are %q", got)
		}
		if m := other.whole("named"); len(m.Tags) != 2 {
			t.Errorf("its tags are %q", m.Tags)
		}
		sent := sentTo(line)
		s.ok(f.Flush(bg, me))
		s.ok(s.Flush(bg))
		if n := sentTo(line) - sent; n > 0 {
			t.Errorf("its close sent %d contents once more", n)
		}
		s.put(f, " and more", int64(len(data)))
		s.close(f)
		s.ok(s.Flush(bg))
		waitFor(t, func() bool { return other.stat("named").Size > int64(len(data)) })
		other.sees("named", data+" and more")
		s.Forget(id, 2)

		// One without bytes, which loses its name at once and goes on without.
		id, f = s.unnamed("", 0)
		_, err = s.Link(bg, me, id, vfs.Root, "empty")
		s.ok(err)
		s.unlink("empty")
		s.put(f, "scratch", 0)
		if got := s.readFile(f); got != "scratch" {
			t.Errorf("it has %q", got)
		}
		if _, err := s.Link(bg, me, id, vfs.Root, "again"); !errors.Is(err, remote.NotExist) {
			t.Errorf("a link of one that lost its name: %v", err)
		}
		s.close(f)
		s.Forget(id, 2)
		waitFor(t, func() bool { return s.SpoolBytes() == 0 })
	}
}

// Killed before it had a name, a media leaves nothing; once it has one, it has all of its bytes,
// wherever it was killed in between.
func TestUnnamedWhenKilled(t *testing.T) {
	data := noise(2, 2<<20)
	for _, point := range []string{"written", "link unnamed", "linked unnamed", "closed"} {
		t.Run(point, func(t *testing.T) {
			b, d := mem.New(mem.Options{}), t.TempDir()
			line := storetest.New(b)
			named := point == "linked unnamed" || point == "closed"
			dead := ""
			at := func(p string) {
				if p == point && dead == "" {
					dead = copyDir(t, d)
					line.SetDown(!named) // what that process does after its death does not happen
				}
			}
			machine := func(o *engine.Options) { o.Catalog.Machine = []byte(d) }
			s := openMachine(t, line, d, machine, func(o *engine.Options) {
				o.Step, o.UploadTimeout, o.Catalog.AppendTimeout = at, 300*time.Millisecond, 300*time.Millisecond
			}).with(t)
			id, f := s.unnamed(data, 0)
			s.ok(f.Fsync(bg))
			at("written")
			if _, err := s.Link(bg, me, id, vfs.Root, "named"); named {
				s.ok(err)
				s.close(f)
			}
			at("closed")
			f.Release()
			s.ok(s.Close())
			s = openMachine(t, b, dead, machine).with(t)
			defer s.Close()
			s.ok(s.Flush(bg))
			if !named {
				if n := s.names(); len(n) > 0 || s.SpoolBytes() > 0 {
					t.Errorf("the library has %q, the spool %d bytes", n, s.SpoolBytes())
				}
				return
			}
			s.sees("named", data)
		})
	}
}

// While the store is away a name cannot be given, and the media stays without; when it comes back
// it can.
func TestUnnamedWithoutStore(t *testing.T) {
	line := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, line, t.TempDir()).with(t)
	defer s.Close()
	limit := 300 * time.Millisecond // as a remount sets it
	s.Adjust(engine.Adjustment{UploadTimeout: &limit})
	id, f := s.unnamed("bytes", 0)
	line.SetDown(true)
	patience, cancel := context.WithTimeout(bg, 2*time.Minute)
	defer cancel()
	if _, err := s.Link(patience, me, id, vfs.Root, "named"); err == nil {
		t.Error("a link without a store")
	}
	if patience.Err() != nil {
		t.Error("the limit that was set last does not count")
	}
	if n := s.names(); len(n) > 0 {
		t.Errorf("there is %q", n)
	}
	line.SetDown(false)
	_, err := s.Link(bg, me, id, vfs.Root, "named")
	s.ok(err)
	s.close(f)
	s.sees("named", "bytes")
	s.Forget(id, 2)

	// The bytes are in the store and the log is away: the name comes later.
	id, f = s.unnamed("later", 0)
	heal := line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Times: -1})
	if _, err := s.Link(bg, me, id, vfs.Root, "late"); err == nil {
		t.Error("a link without a log")
	}
	s.sees("late", "later")
	heal()
	s.close(f)
	s.ok(s.Flush(bg))
	s.Forget(id, 1)
	s.sees("late", "later")
}

// A rename that leaves a whiteout makes it in the same commit, whatever the new name was.
func TestRenameWhiteout(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), trashing).with(t)
	defer s.Close()
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	s.write("a", "one")
	s.write("b", "two")
	s.mkdir(vfs.Root, "d")
	for _, c := range []struct {
		from, to string
		flags    uint32
		kind     remote.Kind
	}{
		{"a", "b", vfs.RenameWhiteout | vfs.RenameNoReplace, remote.Exist},
		{"a", "b", vfs.RenameWhiteout | vfs.RenameExchange, remote.Invalid},
		{"none", "b", vfs.RenameWhiteout, remote.NotExist},
		{"a", "b", vfs.RenameWhiteout, 0},
		{"d", "e", vfs.RenameWhiteout | vfs.RenameNoReplace, 0},
	} {
		before := s.Status().Catalog.Applied
		err := s.Rename(bg, me, vfs.Root, c.from, vfs.Root, c.to, c.flags)
		if c.kind != 0 {
			if !errors.Is(err, c.kind) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		s.ok(err)
		if n := s.Status().Catalog.Applied - before; n != 1 {
			t.Errorf("%+v took %d commits", c, n)
		}
		if a := s.stat(c.from); a.Mode != 0o020000 || a.Rdev != 0 || a.Nlink != 1 || a.UID != me.UID {
			t.Errorf("the whiteout is %+v", a)
		}
	}
	waitFor(t, func() bool { return len(other.names()) == 4 })
	other.sees("b", "one")
	s.unlink("a")
	s.ok(s.Rename(bg, me, vfs.Root, "b", vfs.Root, "a", 0))
	s.sees("a", "one")
}

// A node is found by its number as long as it is in the tree, by any machine, and never another
// one.
func TestLookupByNumber(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), trashing).with(t)
	defer s.Close()
	d := s.mkdir(vfs.Root, "d")
	a, f, err := s.Create(bg, me, d, "f", 0o644, uint32(os.O_RDWR))
	s.ok(err)
	s.put(f, "bytes", 0)
	s.close(f)
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	by := func(m steps, id vfs.ID, name string, want vfs.ID) {
		t.Helper()
		got, err := m.Lookup(bg, id, name)
		switch {
		case want == 0 && !errors.Is(err, remote.Stale):
			t.Errorf("%q of %d is %d, %v", name, id, got.ID, err)
		case want != 0 && (err != nil || got.ID != want):
			t.Errorf("%q of %d is %d, %v, want %d", name, id, got.ID, err, want)
		}
		if err == nil {
			m.Forget(got.ID, 1)
		}
	}
	for _, m := range []steps{s, other} {
		by(m, vfs.Root, ".", vfs.Root)
		by(m, vfs.Root, "..", vfs.Root)
		by(m, d, ".", d)
		by(m, d, "..", vfs.Root)
		by(m, a.ID, ".", a.ID)
		by(m, a.ID, "..", d)
		by(m, a.ID+1, ".", 0)
		by(m, record.ViewBit|5, ".", 0)
		by(m, 0, "..", 0)
	}
	g, err := s.Open(bg, me, a.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.ok(s.Unlink(bg, me, d, "f"))
	by(s, a.ID, ".", 0) // open, and in no folder
	g.Release()
	s.Forget(a.ID, 1)
	by(s, a.ID, ".", 0)
	waitFor(t, func() bool { _, err := other.Lookup(bg, a.ID, "."); return errors.Is(err, remote.Stale) })

	// In the trash a folder, and what is in it, is not in the tree; restored, it is what it was.
	inner := s.mkdir(d, "inner")
	_, err = s.TrashName(bg, me, vfs.Root, "d")
	s.ok(err)
	by(s, d, ".", 0)
	by(s, inner, ".", 0)
	by(s, inner, "..", 0)
}

// sentTo counts what was sent of contents.
func sentTo(line *storetest.Faulty) int {
	return line.Count(storetest.Put, "content") + line.Count(storetest.PutPart, "content")
}

// What a caller does whom the kernel does not tell counts for the owner in the trash, and for
// nobody else.
func TestCallerWhomNobodyKnows(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), trashing).with(t)
	defer s.Close()
	nobody := vfs.Caller{UID: vfs.NoID, GID: vfs.NoID}
	s.write("a", "bytes")
	id := s.stat("a").ID
	for name, value := range map[string]string{"user.media.favorite": "yes", "user.media.vote": "1", "user.media.comment": "well"} {
		if err := s.SetXattr(bg, nobody, id, name, []byte(value), 0); !errors.Is(err, remote.Permission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.ok(s.SetXattr(bg, nobody, id, "user.xdg.tags", []byte("sea"), 0)) // the kernel lets writers of the file
	_, err := s.TrashName(bg, nobody, vfs.Root, "a")
	s.ok(err)
	all := s.binned()
	if len(all) != 1 || all[0].UID != me.UID {
		t.Errorf("in the trash is %+v", all)
	}
}
