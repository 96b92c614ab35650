package engine_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// hurried gives reads from the store up soon.
func hurried(o *engine.Options) {
	o.Cache.Patience, o.Cache.Backoff = 30*time.Millisecond, time.Millisecond
}

// A read of what is not here fails in time while the store is away, and works again when it is
// back.
func TestColdReadWithoutStore(t *testing.T) {
	const size = 3 << 20
	b := mem.New(mem.Options{})
	data := noise(1, size)
	made(t, b, "film", data)
	for _, c := range []struct {
		name string
		away func(line *storetest.Faulty) (back func())
	}{
		{"away before", func(line *storetest.Faulty) func() {
			line.SetDown(true)
			return func() { line.SetDown(false) }
		}},
		{"away after some bytes", func(line *storetest.Faulty) func() {
			return line.Fail(storetest.Fault{Action: storetest.Cut, Prefix: "content/", At: 1000, Times: -1})
		}},
		{"throttled", func(line *storetest.Faulty) func() {
			return line.Fail(storetest.Fault{Op: storetest.Get, Prefix: "content/", Times: -1, Err: remote.E("get", "x", remote.Throttled, nil)})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := storetest.New(b)
			s := openMachine(t, line, t.TempDir(), hurried).with(t)
			defer s.Close()
			f := s.open("film", os.O_RDONLY)
			defer f.Release()
			back := c.away(line)
			for _, off := range []int64{0, 1 << 20, size - 10} {
				answer := make(chan error, 1)
				p := make([]byte, 8192)
				go func() {
					_, err := f.Read(bg, p, off)
					answer <- err
				}()
				err := result(t, "a read", answer)
				if k := remote.KindOf(err); k != remote.Unavailable && k != remote.Throttled {
					t.Errorf("at %d: %v", off, err)
				}
			}
			back()
			if s.readFile(f) != data {
				t.Error("it reads otherwise when the store is back")
			}
		})
	}
}

// Whatever goes wrong at any point of an upload: close says so or succeeds, the bytes stay, and
// they are whole in the store, once, when that answers again.
func TestUploadMeetsFaults(t *testing.T) {
	const chunk, size = 64 << 10, 10*64<<10 + 1000
	content := func(ft storetest.Fault) storetest.Fault {
		ft.Prefix = "content/"
		return ft
	}
	commits := func(ft storetest.Fault) storetest.Fault {
		ft.Op, ft.Prefix = storetest.Put, "log/"
		return ft
	}
	lost := remote.E("put", "x", remote.Unavailable, nil)
	downAt := func(op storetest.Op, prefix string, nth int) func(*storetest.Faulty, <-chan struct{}) {
		return func(line *storetest.Faulty, _ <-chan struct{}) {
			var mu sync.Mutex
			line.Hook(func(c storetest.Call) error {
				if c.Op != op || !strings.HasPrefix(c.Key, prefix) {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				if nth--; nth == 0 {
					line.SetDown(true)
				}
				return nil
			})
		}
	}
	fails := func(fts ...storetest.Fault) func(*storetest.Faulty, <-chan struct{}) {
		return func(line *storetest.Faulty, release <-chan struct{}) {
			for _, ft := range fts {
				if ft.Action == storetest.Hold {
					ft.Release = release
				}
				line.Fail(ft)
			}
		}
	}
	for _, c := range []struct {
		name  string
		fault func(line *storetest.Faulty, release <-chan struct{})
	}{
		{"away in the middle of the chunks", downAt(storetest.PutPart, "content/", 4)},
		{"away at the completion", downAt(storetest.Complete, "content/", 1)},
		{"away when the upload begins", downAt(storetest.Create, "content/", 1)},
		{"away at the commit", downAt(storetest.Put, "log/", 1)},
		{"answers to chunks are lost", fails(content(storetest.Fault{Op: storetest.PutPart, Nth: 3, Times: 20, Action: storetest.FailAfter}))},
		{"the answer to the completion is lost", fails(content(storetest.Fault{Op: storetest.Complete, Action: storetest.FailAfter}))},
		{"all answers to the completion are lost", fails(content(storetest.Fault{Op: storetest.Complete, Times: 20, Action: storetest.FailAfter}))},
		{"answers to the commit are lost", fails(commits(storetest.Fault{Times: 20, Action: storetest.FailAfter}))},
		{"chunks come late", fails(content(storetest.Fault{Op: storetest.PutPart, Nth: 2, Times: 12, Action: storetest.Hold, Err: lost}))},
		{"the completion comes late", fails(content(storetest.Fault{Op: storetest.Complete, Times: 6, Action: storetest.Hold, Err: lost}))},
		{"commits come late", fails(commits(storetest.Fault{Times: 6, Action: storetest.Hold, Err: lost}))},
	} {
		for _, streams := range []bool{false, true} {
			for _, rewritten := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, streams %v, rewritten %v", c.name, streams, rewritten), func(t *testing.T) {
					b := mem.New(mem.Options{})
					line := storetest.New(b)
					made(t, b, "film", "")
					s := openMachine(t, line, t.TempDir(), func(o *engine.Options) {
						o.UploadTimeout, o.Catalog.AppendTimeout = 60*time.Millisecond, 40*time.Millisecond
						o.WholeBelow = 1 // what was sent first is kept
						if streams {
							o.StreamFrom = chunk
						}
					}).with(t)
					defer s.Close()
					want := []byte(noise(1, size))
					f := s.open("film", os.O_RDWR)
					gate := make(chan struct{})
					letGo := sync.OnceFunc(func() { close(gate) })
					defer letGo()
					c.fault(line, gate)
					for off := 0; off < size; off += 50_000 {
						s.put(f, string(want[off:min(off+50_000, size)]), int64(off))
					}
					if rewritten { // as muxers do, the header comes last; its chunk may be on its way
						for i := 0; i < 50 && streams && line.Count(storetest.PutPart, "content") == 0; i++ {
							time.Sleep(time.Millisecond)
						}
						copy(want, "header")
						s.put(f, "header", 0)
					}
					closes := func() {
						if err := f.Flush(bg, me); err != nil && !errors.Is(err, remote.Unavailable) {
							t.Errorf("close: %v", err)
						}
						if got := s.readFile(f); got != string(want) {
							t.Error("it reads otherwise here")
						}
					}
					closes()
					if rewritten { // what is still on its way is old now
						copy(want[chunk+100:], noise(2, 3*chunk))
						for {
							n, err := f.Write(bg, want[chunk+100:4*chunk+100], chunk+100)
							if err == nil && n == 3*chunk {
								break
							}
							if !errors.Is(err, remote.Unavailable) { // an upload behind is at it
								t.Fatalf("write: %d, %v", n, err)
							}
						}
						closes()
					}
					line.Hook(nil)
					line.SetDown(false)
					letGo()
					f.Release()
					waitFor(t, func() bool { return s.Flush(bg) == nil && s.Status().Pending.Files == 0 })
					line.Settle() // what was late has come
					if got := s.read("film"); got != string(want) {
						t.Error("it reads otherwise here in the end")
					}
					_, n := s.node("film")
					if vs := s.versions(n.MediaId); len(vs) != 0 {
						t.Errorf("%d versions", len(vs))
					}
					o := openMachine(t, b, t.TempDir()).with(t)
					defer o.Close()
					if got := o.read("film"); got != string(want) {
						t.Error("another machine reads something else")
					}
					s.ok(s.Flush(bg))
				})
			}
		}
	}
}

func keyOf(content []byte) string {
	id := hex.EncodeToString(content)
	return "content/" + id[:2] + "/" + id
}

func bytesAt(t *testing.T, b object.Bucket, key string) []byte {
	t.Helper()
	r, _, err := b.Get(bg, key, object.GetOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// become gives an object other bytes, behind everybody's back; nil: none.
func become(t *testing.T, b object.Bucket, key string, data []byte) {
	t.Helper()
	var err error
	if data == nil {
		err = b.Delete(bg, key)
	} else {
		_, err = b.Put(bg, key, bytes.NewReader(data), int64(len(data)), object.PutOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// scan reads a media page by page: the pages that are right, and the errors of the others. Bytes
// that are neither fail the test.
func (s steps) scan(f vfs.File, want []byte) (right int, errs []error) {
	s.t.Helper()
	const page = 64 << 10
	p := make([]byte, page)
	for off := 0; off < len(want); off += page {
		n, err := f.Read(bg, p, int64(off))
		switch {
		case err != nil:
			errs = append(errs, err)
		case !bytes.Equal(p[:n], want[off:min(off+page, len(want))]):
			s.t.Errorf("%d bytes at %d are others than were written", n, off)
		default:
			right++
		}
	}
	return right, errs
}

// A damaged object is told by an error that names it and never read as if it were right; what is
// not damaged of it is read, and edits that need none of it work.
func TestDamagedObjects(t *testing.T) {
	const small, large = 2 << 20, 17 << 20
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b[len(b)/3] ^= 4; return b }
	gone := func([]byte) []byte { return nil }
	longer := func(b []byte) []byte { return append([]byte(noise(5, 1000)), b...) }
	for _, c := range []struct {
		name   string
		size   int
		sum    bool // it is the checksums that are damaged
		damage func(b []byte) []byte
		kind   remote.Kind
		some   bool // some of it is still read
	}{
		{"cut", small, false, cut, remote.Corrupt, true},
		{"a bit", small, false, flip, remote.Corrupt, true},
		{"another", small, false, longer, remote.Corrupt, false},
		{"gone", small, false, gone, remote.Corrupt, false},
		{"a bit of a large one", large, false, flip, remote.Corrupt, true},
		{"checksums gone", large, true, gone, remote.Corrupt, false},
		{"a bit of the checksums", large, true, flip, remote.Corrupt, false},
		{"checksums cut", large, true, cut, remote.Corrupt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := mem.New(mem.Options{})
			want := []byte(noise(1, c.size))
			made(t, b, "film", string(want))
			m := &meter{Bucket: b}
			s := openMachine(t, m, t.TempDir(), hurried).with(t)
			defer s.Close()
			_, n := s.node("film")
			base := n.Head.Extents[0].Content
			key := keyOf(base)
			if c.sum {
				key += ".sum"
			}
			sound := bytesAt(t, b, key)
			become(t, b, key, c.damage(bytes.Clone(sound)))
			check := func(s steps, f vfs.File, own int) {
				t.Helper()
				right, errs := s.scan(f, want)
				if len(errs) == 0 || !c.some && right > own || c.some && right <= own {
					t.Errorf("%d pages are right, %d of them its own; %d errors", right, own, len(errs))
				}
				for _, err := range errs {
					if remote.KindOf(err) != c.kind || !strings.Contains(err.Error(), hex.EncodeToString(base)) {
						t.Errorf("it is told as %v", err)
						break
					}
				}
			}
			f := s.open("film", os.O_RDWR)
			check(s, f, 0)

			// An edit that needs nothing of it: four pages, of which it has each byte.
			m.sent.Store(0)
			at := c.size - 9*(64<<10)
			copy(want[at:], noise(2, 4*(64<<10)))
			s.put(f, string(want[at:at+4*(64<<10)]), int64(at))
			check(s, f, 4)
			s.ok(f.Flush(bg, me))
			check(s, f, 4)
			f.Release()
			if sent := m.sent.Load(); sent != 4*(64<<10) {
				t.Errorf("%d bytes were sent", sent)
			}
			_, n = s.node("film")
			if len(n.Head.Extents) != 3 || !bytes.Equal(n.Head.Extents[0].Content, base) ||
				!bytes.Equal(n.Head.Extents[2].Content, base) {
				t.Errorf("extents %v", n.Head.Extents)
			}
			o := openMachine(t, b, t.TempDir(), hurried).with(t)
			defer o.Close()
			g := o.open("film", os.O_RDONLY)
			defer g.Release()
			check(o, g, 4)

			// A backup brings it back.
			become(t, b, key, sound)
			if s.read("film") != string(want) || o.read("film") != string(want) {
				t.Error("it reads otherwise when the object is back")
			}
		})
	}
}

// An answer that was damaged on its way is asked for again, and nobody notices; nor does the edit
// that is written meanwhile.
func TestDamagedAnswers(t *testing.T) {
	for _, size := range []int{2 << 20, 17 << 20} {
		b := mem.New(mem.Options{})
		want := noise(1, size)
		made(t, b, "film", want)
		line := storetest.New(b)
		s := openMachine(t, line, t.TempDir(), func(o *engine.Options) { o.Cache.Backoff = time.Millisecond }).with(t)
		for _, ft := range []storetest.Fault{
			{Action: storetest.Alter, At: 70_000},
			{Action: storetest.Cut, At: 70_000, Nth: 2},
			{Action: storetest.Alter, At: 5, Nth: 4},
		} {
			ft.Prefix = "content/"
			line.Fail(ft)
		}
		f := s.open("film", os.O_RDWR)
		s.put(f, "edit", 300_000)
		want = want[:300_000] + "edit" + want[300_004:]
		if s.readFile(f) != want {
			t.Error("it reads otherwise")
		}
		s.ok(f.Fsync(bg))
		f.Release()
		if d := s.Status().Cache.Damaged; d == 0 {
			t.Error("nothing was damaged")
		}
		s.ok(s.Close())
	}
}
