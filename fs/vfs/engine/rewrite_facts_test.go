package engine_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
)

// A media that is made whole again has the same bytes, and the same facts.
func TestFactsOutliveRewrite(t *testing.T) {
	r := &teller{}
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), r.use, func(o *engine.Options) {
		o.WholeBelow, o.RewriteFrom, o.RewriteAfter = 1, 3, 500*time.Millisecond
	}).with(t)
	defer s.Close()
	s.write("a", strings.Repeat("x", 100<<10))
	for i := range 5 { // so much that it is worth being sent once more
		f, err := s.Open(bg, me, s.stat("a").ID, uint32(os.O_RDWR))
		s.ok(err)
		s.put(f, noise(uint64(i), 20<<10), int64(20<<10*i))
		s.close(f)
	}
	waitFor(t, func() bool { return s.whole("a").Facts != nil })
	waitFor(t, func() bool { _, n := s.node("a"); return len(n.Head.Extents) == 1 })
	waitFor(t, s.FactsIdle)
	if m := s.whole("a"); m.Facts == nil || m.SHA256 == "" {
		t.Errorf("facts %+v", m.Facts)
	}
}
