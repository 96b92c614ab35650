package engine_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// With uploads behind, a close returns without the store; what it confirmed is the head after a
// loss of power and the death of the process, as a new media and as an edit of an old one.
func TestBackground(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	d := t.TempDir()
	behind := func(o *engine.Options) { o.Background, o.WholeBelow = true, 1000 }
	s := openMachine(t, line, d, behind).with(t)
	old := noise(1, 50_000)
	s.write("edited", old)
	s.ok(s.Flush(bg))
	id := s.stat("edited").ID
	line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	s.write("new", "bytes")
	set := vfs.Time{Sec: 77, Nsec: 7}
	_, err := s.SetAttr(bg, me, s.stat("new").ID, nil, vfs.AttrChange{Mtime: &set})
	s.ok(err)
	f, err := s.Open(bg, me, id, uint32(os.O_RDWR))
	s.ok(err)
	s.put(f, "EDIT", 20_000)
	s.close(f)
	if p := s.Status().Pending; p.Files != 2 {
		t.Errorf("pending %+v", p)
	}
	g, err := s.Open(bg, me, id, uint32(os.O_RDWR))
	s.ok(err)
	synced := make(chan error, 1)
	go func() { synced <- g.Fsync(bg) }()
	select {
	case err := <-synced:
		t.Errorf("fsync returned without the store: %v", err)
	case <-time.After(30 * time.Millisecond):
	}

	dead := copyDir(t, d)
	line.SetDown(true)
	g.Release()
	s.ok(s.Close())
	<-synced
	metas, err := filepath.Glob(filepath.Join(dead, "spool", "*.json"))
	s.ok(err)
	for _, m := range metas {
		j, err := os.ReadFile(m)
		s.ok(err)
		s.ok(os.WriteFile(m, regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(j, []byte(`"boot":"another"`)), 0o600))
	}
	again := openMachine(
		t, b, dead, behind, func(o *engine.Options) { o.Catalog.Machine, o.Catalog.BootID = []byte(d), "another" },
	).with(t)
	again.ok(again.Flush(bg))
	again.ok(again.Close())
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	if other.read("new") != "bytes" || other.read("edited") != old[:20_000]+"EDIT"+old[20_004:] {
		t.Errorf("new %q, edited %d bytes", other.read("new"), len(other.read("edited")))
	}
	if m := other.stat("new").Mtime; m != set {
		t.Errorf("mtime %v", m)
	}
}
