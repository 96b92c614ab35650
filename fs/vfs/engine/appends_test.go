package engine_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// add appends to a file as a shell's >> does: it is opened, written to and closed.
func (s steps) add(id vfs.ID, data string) {
	s.t.Helper()
	f, err := s.Open(bg, me, id, uint32(os.O_WRONLY|os.O_APPEND))
	s.ok(err)
	s.put(f, data, 0)
	s.close(f)
}

// puts counts the requests that make contents.
func puts(line *storetest.Faulty) int {
	return line.Count(storetest.Put, "content") + line.Count(storetest.Complete, "content")
}

// n appends that are uploaded each on its own send at most four times their bytes and make one
// object each, whatever they are appended to, and fetch nothing where they are made.
func TestAppendsEachClosed(t *testing.T) {
	short := testing.Short() || raceEnabled
	for _, c := range []struct {
		size, n, base int
	}{{25, 2000, 0}, {25, 300, 900_000}, {4 << 10, 500, 10}, {100 << 10, 150, 2 << 20}} {
		t.Run(fmt.Sprintf("%d times %d bytes to %d", c.n, c.size, c.base), func(t *testing.T) {
			n := c.n
			if short {
				n = min(n, 150)
			}
			b := mem.New(mem.Options{})
			m := &meter{Bucket: b}
			line := storetest.New(m)
			s := openMachine(t, line, t.TempDir()).with(t)
			defer func() { s.ok(s.Close()) }()
			var want strings.Builder
			want.WriteString(noise(1, c.base))
			s.write("log", want.String())
			id := s.stat("log").ID
			m.sent.Store(0)
			m.got.Store(0)
			objects := puts(line)
			for i := range n {
				data := noise(uint64(i+2), c.size)
				s.add(id, data)
				want.WriteString(data)
			}
			if sent := m.sent.Load(); sent > int64(4*n*c.size) {
				t.Errorf("%d bytes were sent, %.1f times what was appended", sent, float64(sent)/float64(n*c.size))
			}
			if got := m.got.Load(); got > 0 {
				t.Errorf("%d bytes were fetched", got)
			}
			if objects = puts(line) - objects; objects > n {
				t.Errorf("%d objects were made by %d appends", objects, n)
			}
			if _, nd := s.node("log"); len(nd.Head.Extents) > record.MaxExtents {
				t.Errorf("%d extents", len(nd.Head.Extents))
			}
			other := openMachine(t, b, t.TempDir()).with(t)
			defer func() { other.ok(other.Close()) }()
			if s.read("log") != want.String() || other.read("log") != want.String() {
				t.Error("it reads otherwise")
			}
		})
	}
}

// Two machines that append in turn fetch for each other no more than what is merged.
func TestAppendsOfTwoMachines(t *testing.T) {
	const n, size = 200, 300
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	first, second := openMachine(t, m, t.TempDir()).with(t), openMachine(t, m, t.TempDir()).with(t)
	defer func() { first.ok(first.Close()); second.ok(second.Close()) }()
	first.write("log", "")
	id := first.stat("log").ID
	want := ""
	for i := range n {
		s := []steps{first, second}[i%2]
		waitFor(t, func() bool { _, nd := s.node("log"); return nd != nil && int(nd.Head.GetSize()) == len(want) })
		data := noise(uint64(i), size)
		s.add(id, data)
		want += data
	}
	if sent, got := m.sent.Load(), m.got.Load(); sent > 4*n*size || got > 4*n*size {
		t.Errorf("%d bytes were sent and %d fetched for %d", sent, got, n*size)
	}
	third := openMachine(t, b, t.TempDir()).with(t)
	defer func() { third.ok(third.Close()) }()
	if third.read("log") != want {
		t.Error("it reads otherwise")
	}
}

// What is appended to a small media that is not on this disk, or cut off its end, fetches nothing
// of it; the rest of it reads as it did, also when the process dies in between.
func TestAppendToAColdSmallMedia(t *testing.T) {
	const size = 800_000
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	first := openMachine(t, b, t.TempDir()).with(t)
	want := noise(1, size)
	first.write("f", want)
	first.ok(first.Close())

	line := storetest.New(m)
	d := t.TempDir()
	s := openMachine(t, line, d).with(t)
	at, err := s.Lookup(bg, vfs.Root, "f")
	s.ok(err)
	cut := int64(size - 5)
	_, err = s.SetAttr(bg, me, at.ID, nil, vfs.AttrChange{Size: &cut})
	s.ok(err)
	want = want[:cut]
	long := cut + 100
	_, err = s.SetAttr(bg, me, at.ID, nil, vfs.AttrChange{Size: &long})
	s.ok(err)
	want += strings.Repeat("\x00", 100)
	s.add(at.ID, "a line\n")
	want += "a line\n"
	if sent, got := m.sent.Load(), m.got.Load(); sent > 7 || got > 0 {
		t.Errorf("%d bytes were sent and %d fetched", sent, got)
	}
	f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
	s.ok(err)
	s.put(f, "the last line\n", int64(len(want)))
	want += "the last line\n"
	if s.readFile(f) != want {
		t.Error("it reads otherwise while it is open")
	}
	dead := copyDir(t, d)
	line.SetDown(true)
	f.Release()
	s.ok(s.Close())

	again := openMachine(t, m, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	again.ok(again.Flush(bg))
	if again.read("f") != want {
		t.Error("it reads otherwise after the process died")
	}
	again.ok(again.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer func() { other.ok(other.Close()) }()
	if other.read("f") != want {
		t.Error("it reads otherwise on another machine")
	}
}

// Much that is appended to a small media goes up while it is written, with the media: it is one
// content then.
func TestMuchIsAppendedToASmallMedia(t *testing.T) {
	const chunk = 128 << 10 // of an upload of unknown size
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	s := openMachine(t, line, t.TempDir(), func(o *engine.Options) { o.StreamFrom = chunk }).with(t)
	defer func() { s.ok(s.Close()) }()
	want := noise(1, 5000)
	s.write("f", want)
	f, err := s.Open(bg, me, s.stat("f").ID, uint32(os.O_WRONLY|os.O_APPEND))
	s.ok(err)
	for i := range 20 {
		data := noise(uint64(i), 50_000)
		s.put(f, data, 0)
		want += data
	}
	waitFor(t, func() bool { return line.Count(storetest.PutPart, "content") >= 5 })
	s.close(f)
	if _, nd := s.node("f"); len(nd.Head.Extents) != 1 {
		t.Errorf("%d extents", len(nd.Head.Extents))
	}
	other := openMachine(t, b, t.TempDir()).with(t)
	defer func() { other.ok(other.Close()) }()
	if s.read("f") != want || other.read("f") != want {
		t.Error("it reads otherwise")
	}
}
