package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// meter counts the bytes of contents and their side objects that pass.
type meter struct {
	object.Bucket
	sent, got atomic.Int64
}

func (m *meter) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	if strings.HasPrefix(key, "content/") {
		m.sent.Add(size)
	}
	return m.Bucket.Put(ctx, key, body, size, opt)
}

func (m *meter) PutPart(
	ctx context.Context, key, id string, number int, body io.ReadSeeker, size int64,
) (object.Part, error) {
	m.sent.Add(size)
	return m.Bucket.PutPart(ctx, key, id, number, body, size)
}

func (m *meter) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	r, info, err := m.Bucket.Get(ctx, key, opt)
	if err == nil && strings.HasPrefix(key, "content/") {
		r = &counting{r, &m.got}
	}
	return r, info, err
}

type counting struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// noise makes bytes that are nowhere the same.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return string(b)
}

// An edit of a large media sends what changed, and fetches nothing that it does not need.
func TestEditsSendWhatChanged(t *testing.T) {
	const size = 5 << 20
	b := mem.New(mem.Options{})
	first := openMachine(t, b, t.TempDir()).with(t)
	want := []byte(noise(1, size))
	first.write("f", string(want))
	first.ok(first.Close())

	m := &meter{Bucket: b}
	s := openMachine(t, m, t.TempDir()).with(t)
	defer func() { s.ok(s.Close()) }()
	at, err := s.Lookup(bg, vfs.Root, "f")
	s.ok(err)
	open := func(flags int) vfs.File {
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR|flags))
		s.ok(err)
		return f
	}
	resize := func(n int64) {
		_, err := s.SetAttr(bg, me, at.ID, nil, vfs.AttrChange{Size: &n})
		s.ok(err)
	}
	punch := uint32(vfs.AllocatePunchHole | vfs.AllocateKeepSize)
	for _, step := range []struct {
		name      string
		sent, got int64
		do        func()
		want      func()
		extents   int
	}{
		{name: "edit in the middle", sent: 100_000, extents: 3,
			do:   func() { f := open(0); s.put(f, noise(2, 100_000), 2_000_000); s.close(f) },
			want: func() { copy(want[2_000_000:], noise(2, 100_000)) }},
		{name: "append", sent: 50, extents: 4,
			do:   func() { f := open(os.O_APPEND); s.put(f, noise(3, 50), 0); s.close(f) },
			want: func() { want = append(want, noise(3, 50)...) }},
		{name: "append more", sent: 50, extents: 5,
			do:   func() { f := open(os.O_APPEND); s.put(f, noise(4, 50), 0); s.close(f) },
			want: func() { want = append(want, noise(4, 50)...) }},
		{name: "punch", sent: 0, extents: 6,
			do:   func() { f := open(0); s.ok(f.Allocate(bg, punch, 500_000, 300_000)); s.close(f) },
			want: func() { clear(want[500_000:800_000]) }},
		{name: "cut", sent: 0, extents: 4,
			do:   func() { resize(4_000_000) },
			want: func() { want = want[:4_000_000] }},
		{name: "cut and extended", sent: 0, extents: 4,
			do:   func() { resize(3_500_000); resize(4_500_000) },
			want: func() { want = append(want[:3_500_000:3_500_000], make([]byte, 1_000_000)...) }},
		{name: "written beyond the end", sent: 4096, extents: 5,
			do:   func() { f := open(0); s.put(f, noise(5, 10), 5_000_000); s.close(f) },
			want: func() { want = append(append(want, make([]byte, 500_000)...), noise(5, 10)...) }},
		{name: "written twice in one opening, synced between", sent: 20_000, extents: 8,
			do: func() {
				f := open(0)
				s.put(f, noise(6, 10_000), 1_000_000)
				s.ok(f.Fsync(bg))
				s.put(f, noise(7, 10_000), 1_010_000)
				s.close(f)
			},
			want: func() { copy(want[1_000_000:], noise(6, 10_000)); copy(want[1_010_000:], noise(7, 10_000)) }},
		{name: "cut below what is kept in parts", sent: 1000, got: 600_000, extents: 1,
			do:   func() { resize(1000) },
			want: func() { want = want[:1000] }},
	} {
		t.Run(step.name, func(t *testing.T) {
			m.sent.Store(0)
			m.got.Store(0)
			step.do()
			step.want()
			if sent, got := m.sent.Load(), m.got.Load(); sent > step.sent || got > step.got {
				t.Errorf("sent %d bytes and fetched %d, at most %d and %d are needed", sent, got, step.sent, step.got)
			}
			_, n := s.node("f")
			if len(n.Head.Extents) > step.extents {
				t.Errorf("%d extents: %v", len(n.Head.Extents), n.Head.Extents)
			}
			if got := s.read("f"); got != string(want) {
				t.Errorf("this machine reads something else (%d bytes of %d)", len(got), len(want))
			}
			other := openMachine(t, b, t.TempDir()).with(t)
			if got := other.read("f"); got != string(want) {
				t.Errorf("another machine reads something else (%d bytes of %d)", len(got), len(want))
			}
			other.ok(other.Close())
		})
	}
}

// A file that is appended to for ever stays readable, and does not get more expensive to append to.
func TestManyAppends(t *testing.T) {
	const size, lines = 2 << 20, 300
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	s := openMachine(t, m, t.TempDir()).with(t)
	defer s.Close()
	want := noise(1, size)
	s.write("log", want)
	m.sent.Store(0)
	id := s.stat("log").ID
	for i := range lines {
		f, err := s.Open(bg, me, id, uint32(os.O_WRONLY|os.O_APPEND))
		s.ok(err)
		line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", 1000))
		s.put(f, line, 0)
		s.close(f)
		want += line
	}
	if _, n := s.node("log"); len(n.Head.Extents) > record.MaxExtents {
		t.Errorf("%d extents", len(n.Head.Extents))
	}
	if sent := m.sent.Load(); sent > int64(4*(len(want)-size)) {
		t.Errorf("%d bytes were sent for %d lines", sent, lines)
	}
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if other.read("log") != want {
		t.Error("it reads otherwise")
	}
}

// Random edits, uploads, changes of machine and deaths of the process: what was written is there.
func TestRandomEdits(t *testing.T) {
	seeds := uint64(6)
	if raceEnabled {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { t.Parallel(); randomEdits(t, seed) })
	}
}

func randomEdits(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := mem.New(mem.Options{})
	small := func(o *engine.Options) { o.WholeBelow, o.StreamFrom = 1, 64<<10 }
	d := t.TempDir()
	machine := []byte(d)
	line := storetest.New(b)
	start := func() steps {
		line = storetest.New(b)
		return openMachine(t, line, d, small, func(o *engine.Options) { o.Catalog.Machine = machine }).with(t)
	}
	s := start()
	var want []byte
	s.write("f", "")
	var f vfs.File
	reopen := func() {
		at, err := s.Lookup(bg, vfs.Root, "f")
		s.ok(err)
		f, err = s.Open(bg, me, at.ID, uint32(os.O_RDWR))
		s.ok(err)
		s.Forget(at.ID, 1)
	}
	reopen()
	for i := range 150 {
		off := rnd.IntN(len(want) + 50_000)
		n := 1 + rnd.IntN(30_000)
		switch op := rnd.IntN(20); {
		case op < 8:
			p := noise(seed*1000+uint64(i), n)
			s.put(f, p, int64(off))
			if off+n > len(want) {
				want = append(want, make([]byte, off+n-len(want))...)
			}
			copy(want[off:], p)
		case op < 10:
			if len(want) > 300_000 {
				off /= 4
			}
			size := int64(off)
			_, err := s.SetAttr(bg, me, s.stat("f").ID, f, vfs.AttrChange{Size: &size})
			s.ok(err)
			want = append(want[:min(off, len(want)):min(off, len(want))], make([]byte, max(off-len(want), 0))...)
		case op < 12:
			mode := []uint32{vfs.AllocatePunchHole | vfs.AllocateKeepSize, vfs.AllocateZeroRange | vfs.AllocateKeepSize, vfs.AllocateZeroRange, 0}[rnd.IntN(4)]
			s.ok(f.Allocate(bg, mode, int64(off), int64(n)))
			if mode&vfs.AllocateKeepSize == 0 && off+n > len(want) {
				want = append(want, make([]byte, off+n-len(want))...)
			}
			if mode != 0 && off < len(want) {
				clear(want[off:min(off+n, len(want))])
			}
		case op < 15:
			s.ok(f.Fsync(bg))
		case op < 16:
			s.close(f)
			reopen()
		case op < 17: // the process dies
			dead := copyDir(t, d)
			line.SetDown(true)
			f.Release()
			s.ok(s.Close())
			d = dead
			s = start()
			reopen()
		case op < 18: // another machine goes on
			s.close(f)
			s.ok(s.Flush(bg)) // what an earlier process left
			s.ok(s.Close())
			d = t.TempDir()
			machine = []byte(d)
			s = start()
			reopen()
		default:
			p := make([]byte, n)
			got, err := f.Read(bg, p, int64(off))
			s.ok(err)
			if !bytes.Equal(p[:got], want[min(off, len(want)):min(off+n, len(want))]) {
				t.Fatalf("step %d: %d bytes from %d are wrong", i, n, off)
			}
			continue
		}
		if got := s.readFile(f); got != string(want) {
			d := 0
			for d < len(got) && d < len(want) && got[d] == want[d] {
				d++
			}
			t.Fatalf("step %d: it holds %d bytes of %d, and others from %d on", i, len(got), len(want), d)
		}
	}
	s.close(f)
	s.ok(s.Flush(bg))
	s.ok(s.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if other.read("f") != string(want) {
		t.Error("another machine reads something else")
	}
	s = other
	s.ok(s.View(func(tx *catalog.Tx) error {
		for k := range tx.Records([]byte{record.KeyNode}) {
			n := new(record.Node)
			if tx.Load(k, n) && len(n.Head.GetExtents()) > record.MaxExtents {
				t.Errorf("%d extents", len(n.Head.Extents))
			}
		}
		return tx.Err()
	}))
}

// Chunks of a new file go up while it is written, once each unless they are written to again; the
// close has the rest alone to send.
func TestStreaming(t *testing.T) {
	const chunk = 128 << 10 // of an upload of unknown size
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	line := storetest.New(m)
	s := openMachine(t, line, t.TempDir(), func(o *engine.Options) { o.StreamFrom = chunk }).with(t)
	defer s.Close()
	want := []byte(noise(1, 10*chunk+1000))
	f := s.create("film", "")
	for off := 0; off < len(want); off += 50_000 {
		s.put(f, string(want[off:min(off+50_000, len(want))]), int64(off))
	}
	waitFor(t, func() bool { return line.Count(storetest.PutPart, "content") == 10 })
	// As cameras and muxers do, the header is written last.
	copy(want, "header")
	s.put(f, "header", 0)
	s.close(f)
	if sent := m.sent.Load(); sent > int64(len(want))+chunk+1000 {
		t.Errorf("%d bytes were sent of %d", sent, len(want))
	}
	if n := line.Count(storetest.Create, "content"); n != 1 {
		t.Errorf("%d uploads", n)
	}
	if s.read("film") != string(want) {
		t.Error("it reads otherwise here")
	}
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if other.read("film") != string(want) {
		t.Error("it reads otherwise on another machine")
	}
}

// An upload that a crash interrupted goes on where it was; what was written to since it was sent is
// sent again.
func TestResumedUpload(t *testing.T) {
	const chunk = 128 << 10
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed %v", closed), func(t *testing.T) {
			b := mem.New(mem.Options{})
			m := &meter{Bucket: b}
			line := storetest.New(m)
			d := t.TempDir()
			from := int64(chunk)
			if closed {
				from = 1 << 40
			}
			s := openMachine(
				t, line, d, func(o *engine.Options) { o.StreamFrom, o.UploadTimeout = from, 100*time.Millisecond },
			).with(t)
			want := []byte(noise(1, 10*chunk+1000))
			f := s.create("film", "")
			for off := 0; off < len(want); off += 50_000 {
				s.put(f, string(want[off:min(off+50_000, len(want))]), int64(off))
			}
			if closed {
				line.Fail(storetest.Fault{Op: storetest.Complete, Times: -1})
				if f.Flush(bg, me) == nil {
					t.Fatal("close succeeded without a store")
				}
			} else {
				waitFor(t, func() bool { return line.Count(storetest.PutPart, "content") == 10 })
				copy(want, "header")
				s.put(f, "header", 0)
			}
			dead := copyDir(t, d)
			line.SetDown(true)
			f.Release()
			s.ok(s.Close())

			m.sent.Store(0)
			again := openMachine(t, m, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
			defer again.Close()
			again.ok(again.Flush(bg))
			if sent := m.sent.Load(); sent > 2*chunk {
				t.Errorf("%d bytes were sent again", sent)
			}
			if again.read("film") != string(want) {
				t.Error("it reads otherwise")
			}
			other := openMachine(t, b, t.TempDir()).with(t)
			defer other.Close()
			if other.read("film") != string(want) {
				t.Error("it reads otherwise on another machine")
			}
		})
	}
}

// Bytes of a deleted file that is still open are nowhere but in the spool: they stay when other
// files need room.
func TestRoomLeavesOpenDeletedFiles(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), func(o *engine.Options) { o.WholeBelow = 1 }).with(t)
	defer s.Close()
	f := s.create("f", noise(1, 50_000))
	s.ok(f.Fsync(bg))
	kept := s.create("kept", noise(2, 50_000))
	s.ok(kept.Fsync(bg))
	s.unlink("f")
	s.put(f, "only here", 100)
	s.ok(f.Fsync(bg))
	s.MakeRoom()
	if got := s.readFile(f); got != noise(1, 50_000)[:100]+"only here"+noise(1, 50_000)[109:] {
		t.Error("the deleted file lost its bytes")
	}
	s.put(kept, "written on", 100)
	if got := s.readFile(kept); got != noise(2, 50_000)[:100]+"written on"+noise(2, 50_000)[110:] {
		t.Error("the file that left its bytes to the store holds something else")
	}
	if st := s.SpoolBytes(); st > 60_000 {
		t.Errorf("%d bytes are in the spool", st)
	}
	s.close(kept)
	f.Release()
}
