package engine_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// A media that edits left in many parts becomes one content again, of the parts that the store has;
// its times and versions stay, and holes do.
func TestRewrite(t *testing.T) {
	const size, edits = 6 << 20, 12
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	line := storetest.New(m)
	s := openMachine(
		t, line, t.TempDir(), func(o *engine.Options) { o.RewriteFrom, o.RewriteAfter = edits, 20*time.Millisecond },
	).with(t)
	defer s.Close()
	want := []byte(noise(1, size))
	s.write("film", string(want))
	at := s.stat("film")
	edit := func(n int) {
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
		s.ok(err)
		for i := range n {
			off := 100_000 + i*500_000
			p := noise(uint64(i+2), 120_000)
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
	line := storetest.New(mem.New(mem.Options{}))
	s := openMachine(
		t, line, t.TempDir(), func(o *engine.Options) { o.RewriteFrom, o.RewriteAfter = 4, 20*time.Millisecond },
	).with(t)
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
	edit(noise(1, 60_000), 1<<19)
	edit(noise(3, 60_000), 1<<20)
	waitFor(t, func() bool { return line.Count(storetest.Complete, "content") > 0 })
	edit(noise(2, 60_000), 3<<19)
	close(release)
	waitFor(t, func() bool { _, n := s.node("film"); return len(n.Head.Extents) == 1 })
	if s.read("film") != want {
		t.Error("it reads otherwise")
	}
}

// A media is made whole neither with bytes that this machine would have to fetch nor when more
// would be sent than was written: on a store that copies parts a small edit is not worth a chunk on
// each side of it, and on a local disk, where copying is reading and writing, not worth the whole
// media.
func TestRewriteThatCostsMoreThanWasWritten(t *testing.T) {
	const size = 4 << 20
	edits := func(t *testing.T, s steps, n int) {
		f, err := s.Open(bg, me, s.stat("film").ID, uint32(os.O_RDWR))
		s.ok(err)
		for i := range 8 {
			s.put(f, noise(uint64(i+2), n), int64(100_000+i*500_000))
		}
		s.close(f)
	}
	soon := func(o *engine.Options) { o.RewriteFrom, o.RewriteAfter = 4, time.Millisecond }
	stays := func(t *testing.T, s steps, line *storetest.Faulty) {
		t.Helper()
		waitFor(t, s.RewriteIdle)
		if _, n := s.node("film"); len(n.Head.Extents) != 17 {
			t.Errorf("%d extents", len(n.Head.Extents))
		}
		if n := line.Count(storetest.CopyPart, "content"); n > 0 {
			t.Errorf("%d chunks were copied", n)
		}
	}
	disk, err := dir.Open(t.TempDir(), dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]object.Bucket{"small edits": mem.New(mem.Options{}), "local disk": disk} {
		t.Run(name, func(t *testing.T) {
			line := storetest.New(b)
			s := openMachine(t, line, t.TempDir(), soon).with(t)
			defer s.Close()
			s.write("film", noise(1, size))
			edits(t, s, 5000)
			stays(t, s, line)
		})
	}
	t.Run("cold", func(t *testing.T) {
		m := &meter{Bucket: mem.New(mem.Options{})}
		first := openMachine(t, m, t.TempDir()).with(t)
		first.write("film", noise(1, size))
		first.ok(first.Close())
		line := storetest.New(m)
		s := openMachine(t, line, t.TempDir(), soon, func(o *engine.Options) { o.RewriteFetch = 256 << 10 }).with(t)
		defer s.Close()
		_, err := s.Lookup(bg, vfs.Root, "film")
		s.ok(err)
		m.got.Store(0)
		edits(t, s, 400_000)
		stays(t, s, line)
		if got := m.got.Load(); got > 0 {
			t.Errorf("%d bytes were fetched", got)
		}
	})
}
