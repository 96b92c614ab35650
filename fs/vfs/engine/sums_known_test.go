package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"mediafs/fs/facts"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// A glancer reads facts from the first 4 KiB.
type glancer struct{ teller }

func (r *glancer) Extract(ctx context.Context, src facts.Source) (remote.MediaFacts, *remote.FactsDocument, error) {
	src.Size = min(src.Size, 4<<10)
	f, _, err := r.teller.Extract(ctx, src)
	f.Title = ""
	return f, nil, err
}

func (r *glancer) glance(o *engine.Options) { r.use(o); o.Facts = r }

func sumOf(data string) string {
	s := sha256.Sum256([]byte(data))
	return hex.EncodeToString(s[:])
}

// Who edits a media of which most is not on his disk downloads nothing to hash it: the sums are not
// known then, and those of the head before are not shown. Bytes that are here are hashed: of a new
// file, of one that is still open, and of one that was edited where it had been read.
func TestSumsOfWhatIsHere(t *testing.T) {
	const size = 3 << 20
	m := &meter{Bucket: mem.New(mem.Options{})}
	r := &glancer{}
	first := openMachine(t, m, t.TempDir(), r.glance).with(t)
	want := noise(1, size)
	first.write("film", want)
	waitFor(t, first.FactsIdle)
	if got := first.whole("film").SHA256; got != sumOf(want) {
		t.Errorf("a new file has the sum %q", got)
	}
	first.ok(first.Close())

	s := openMachine(t, m, t.TempDir(), r.glance).with(t)
	defer func() { s.ok(s.Close()) }()
	at, err := s.Lookup(bg, vfs.Root, "film")
	s.ok(err)
	edit := func(off int, data string, wait bool) {
		t.Helper()
		f, err := s.Open(bg, me, at.ID, uint32(os.O_RDWR))
		s.ok(err)
		s.put(f, data, int64(off))
		s.ok(f.Fsync(bg))
		want = want[:off] + data + want[off+len(data):]
		if wait {
			waitFor(t, s.FactsIdle)
		}
		s.close(f)
		waitFor(t, s.FactsIdle)
	}
	m.got.Store(0)
	edit(1<<20, noise(2, 1<<20), false)
	if got := m.got.Load(); got > 512<<10 {
		t.Errorf("%d bytes were fetched after the edit", got)
	}
	w := s.whole("film")
	if w.Facts == nil || w.SHA256 != "" || w.MD5 != "" {
		t.Errorf("sums %q, %q of bytes that nobody has; facts %+v", w.SHA256, w.MD5, w.Facts)
	}

	if s.read("film") != want {
		t.Fatal("other bytes")
	}
	for i, open := range []bool{false, true} {
		m.got.Store(0)
		edit(0, strings.Repeat(fmt.Sprint(i), 9000), open)
		if got := s.whole("film").SHA256; got != sumOf(want) {
			t.Errorf("where all is here (still open: %v) the sum is %q", open, got)
		}
		if got := m.got.Load(); got > 0 {
			t.Errorf("%d bytes were fetched", got)
		}
	}
}
