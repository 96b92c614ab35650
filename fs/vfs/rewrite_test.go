package vfs_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// A media that edits left in many parts becomes one content again, of the parts that the store has; its times and versions stay, and holes do.
func TestRewrite(t *testing.T) {
	const size, edits = 6 << 20, 12
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	line := storetest.New(m)
	s := openMachine(t, line, t.TempDir(), func(o *vfs.Options) { o.RewriteFrom, o.RewriteAfter = edits, 20*time.Millisecond }).with(t)
	defer s.Close()
	want := []byte(noise(1, size))
	s.write("film", string(want))
	at := s.stat("film")
	edit := func(n int) {
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
		s.ok(err)
		for i := range n {
			off := 100_000 + i*500_000
			p := noise(uint64(i+2), 7000)
			copy(want[off:], p)
			s.put(f, p, int64(off))
		}
		s.close(f)
	}
	extents := func() int { _, n := s.node("film"); return len(n.Head.Extents) }
	edit(edits - 1)
	m.sent.Store(0)
	waitFor(t, func() bool { return extents() == 1 })
	// Each edit is in a chunk of its own, which is sent: 64 KiB. The others are copied.
	if sent := m.sent.Load(); sent > (2*edits)*(64<<10) || line.Count(storetest.CopyPart, "content") == 0 {
		t.Errorf("%d bytes were sent, %d chunks copied", sent, line.Count(storetest.CopyPart, "content"))
	}
	_, n := s.node("film")
	before := s.stat("film")
	if len(s.versions(n.MediaId)) != 0 || before.Mtime.Std().Before(at.Mtime.Std()) {
		t.Errorf("versions %v, times %+v", s.versions(n.MediaId), before)
	}
	check := func() {
		t.Helper()
		other := openMachine(t, b, t.TempDir()).with(t)
		defer other.Close()
		if s.read("film") != string(want) || other.read("film") != string(want) {
			t.Error("it reads otherwise")
		}
	}
	check()

	// With a hole of half its size, two contents are what it can become.
	f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.ok(f.Allocate(bg, vfs.AllocatePunchHole|vfs.AllocateKeepSize, 3<<20, 2<<20))
	clear(want[3<<20 : 5<<20])
	s.close(f)
	edit(edits / 2)
	waitFor(t, func() bool { return extents() <= 2 })
	check()
}

// A media that is edited while it is made whole keeps the edit.
func TestRewriteMeetsAnEdit(t *testing.T) {
	b, err := dir.Open(t.TempDir(), dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.New(b)
	s := openMachine(t, line, t.TempDir(), func(o *vfs.Options) { o.RewriteFrom, o.RewriteAfter = 4, 20*time.Millisecond }).with(t)
	defer s.Close()
	want := strings.Repeat("0123456789abcdef", 1<<17)
	s.write("film", want)
	at := s.stat("film")
	edit := func(p string, offs ...int64) {
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
		s.ok(err)
		for _, off := range offs {
			s.put(f, p, off)
			want = want[:off] + p + want[off+int64(len(p)):]
		}
		s.close(f)
	}
	release := make(chan struct{})
	line.Fail(storetest.Fault{Op: storetest.Complete, Action: storetest.Hold, Release: release})
	edit("first", 500_000, 1_000_000)
	waitFor(t, func() bool { return line.Count(storetest.Complete, "content") > 0 })
	edit("second", 1_500_000)
	close(release)
	waitFor(t, func() bool { _, n := s.node("film"); return len(n.Head.Extents) == 1 })
	if s.read("film") != want {
		t.Error("it reads otherwise")
	}
}
