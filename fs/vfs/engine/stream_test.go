package engine_test

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

const streamChunk = 128 << 10 // of an upload of unknown size in these tests

// No chunk begins between the note that its bytes are about to change and the change itself.
func TestStreamBeginsBetweenTouchAndWrite(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	var hold atomic.Bool
	var armed atomic.Bool
	gate := make(chan struct{})
	puts := func() int { return line.Count(storetest.PutPart, "content") }
	step := func(p string) {
		switch {
		case p == "chunk" && hold.Load():
			<-gate
		case p == "spool write" && armed.CompareAndSwap(true, false):
			// The slow line gets on: what was waiting is sent now.
			hold.Store(false)
			close(gate)
			for i := 0; puts() < 9 && i < 5000; i++ {
				time.Sleep(time.Millisecond)
			}
		}
	}
	s := openMachine(t, line, t.TempDir(), func(o *engine.Options) { o.StreamFrom, o.Step = streamChunk, step }).with(t)
	want := []byte(noise(1, 10*streamChunk+1000))
	hold.Store(true)
	f := s.create("film", "")
	for off := 0; off < len(want); off += 50_000 {
		s.put(f, string(want[off:min(off+50_000, len(want))]), int64(off))
	}
	// Four chunks are on their way, one waits; chunk 8 has not begun.
	armed.Store(true)
	copy(want[8*streamChunk+10:], "REWRITTEN")
	s.put(f, "REWRITTEN", 8*streamChunk+10)
	s.close(f)
	s.ok(s.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if got := other.read("film"); got != string(want) {
		i := strings.Index(got, "REWRITTEN")
		t.Errorf("confirmed by close, and another machine reads the old bytes (rewritten at %d); no error", i)
	}
}

// No chunk begins between a truncation's look at how far the stream is and the cut.
func TestStreamBeginsBetweenReachesAndCut(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	var hold, armed atomic.Bool
	gate := make(chan struct{})
	puts := func() int { return line.Count(storetest.PutPart, "content") }
	step := func(p string) {
		if p == "chunk" && hold.Load() {
			<-gate
		}
	}
	now := func() time.Time {
		if armed.CompareAndSwap(true, false) {
			hold.Store(false)
			close(gate)
			for i := 0; puts() < 7 && i < 5000; i++ {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
		}
		return time.Now()
	}
	s := openMachine(
		t, line, t.TempDir(), func(o *engine.Options) { o.StreamFrom, o.Step, o.Now = streamChunk, step, now },
	).with(t)
	want := []byte(noise(1, 8*streamChunk))
	hold.Store(true)
	f := s.create("film", "")
	for off := 0; off < len(want); off += 50_000 {
		s.put(f, string(want[off:min(off+50_000, len(want))]), int64(off))
	}
	size := int64(6*streamChunk - 100)
	armed.Store(true)
	_, err := s.SetAttr(bg, me, s.stat("film").ID, f, vfs.AttrChange{Size: &size})
	s.ok(err)
	// On from a little behind: the gap of 150 bytes is zeros.
	tail := noise(2, streamChunk)
	s.put(f, tail, 6*streamChunk+50)
	want = append(append(want[:size:size], make([]byte, 150)...), tail...)
	s.close(f)
	s.ok(s.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	at := other.stat("film")
	r, err := other.Open(bg, me, at.ID, uint32(os.O_RDONLY))
	other.ok(err)
	defer r.Release()
	got := make([]byte, len(want)+10)
	n, err := r.Read(bg, got, 0)
	if err != nil || string(got[:n]) != string(want) {
		t.Errorf(
			"confirmed by close, and another machine reads %d bytes of %d, equal %v: %v", n, len(want),
			string(got[:n]) == string(want), err,
		)
	}
}
