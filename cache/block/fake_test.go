package block

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
)

// A fakeStore has contents in memory, or makes them up, and fails as it is told.
type fakeStore struct {
	mu       sync.Mutex
	contents map[string]fakeContent
	local    bool
	requests int
	asked    int64           // bytes of the ranges asked for
	sent     map[int64]int64 // bytes sent, by block, of all contents
	ranges   [][2]int64

	open func(id remote.ContentID, off, n int64) error         // fails an OpenContent
	body func(off int64, r io.Reader) io.Reader                // spoils a body
	hold func(ctx context.Context, off int64, got int64) error // called before bytes are handed out
}

type fakeContent interface {
	io.ReaderAt
	Size() int64
}

// synthetic is a content of any size that takes no memory: a pattern that repeats after a prime
// number of bytes, so that no two neighbouring blocks are alike.
type synthetic struct {
	seed uint64
	size int64
}

var pattern = func() []byte {
	b := make([]byte, 262147)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

func (s synthetic) Size() int64 { return s.size }

func (s synthetic) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-off))
	for i := 0; i < n; {
		i += copy(p[i:n], pattern[(off+int64(i)+int64(s.seed)*4099)%int64(len(pattern)):])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func newFake() *fakeStore {
	return &fakeStore{contents: make(map[string]fakeContent), sent: make(map[int64]int64)}
}

// add makes a content and returns it with its sums.
func (s *fakeStore) add(id string, seed uint64, size int64) Content {
	src := synthetic{seed: seed, size: size}
	s.mu.Lock()
	s.contents[id] = src
	s.mu.Unlock()
	return Content{ID: remote.ContentID{ID: id}, Size: size, Sums: sumsOf(src)}
}

func sumsOf(src fakeContent) []uint32 {
	sums := []uint32{}
	buf := make([]byte, BlockSize)
	for off := int64(0); off < src.Size(); off += BlockSize {
		n, _ := src.ReadAt(buf, off)
		sums = append(sums, crc32.Checksum(buf[:n], castagnoli))
	}
	return sums
}

func (s *fakeStore) Facts() remote.Facts {
	return remote.Facts{Kind: "fake", Local: s.local, Ranges: true}
}

func (s *fakeStore) OpenContent(ctx context.Context, id remote.ContentID, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.asked += n
	s.ranges = append(s.ranges, [2]int64{off, n})
	if s.open != nil {
		if err := s.open(id, off, n); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	src := s.contents[id.ID]
	if src == nil {
		return nil, remote.E("open content", id.ID, remote.NotExist, nil)
	}
	var r io.Reader = &fakeBody{ctx: ctx, s: s, src: src, off: off, end: off + n}
	if s.body != nil {
		r = s.body(off, r)
	}
	return io.NopCloser(r), nil
}

func (s *fakeStore) StartUpload(context.Context, remote.UploadSpec) (remote.Upload, error) {
	return nil, remote.E("start upload", "", remote.Unsupported, nil)
}

func (s *fakeStore) Close() error { return nil }

func (s *fakeStore) counts() (requests int, asked int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests, s.asked
}

func (s *fakeStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

type fakeBody struct {
	ctx      context.Context
	s        *fakeStore
	src      fakeContent
	off, end int64
	got      int64
}

func (b *fakeBody) Read(p []byte) (int, error) {
	b.s.mu.Lock()
	hold := b.s.hold
	b.s.mu.Unlock()
	if hold != nil {
		if err := hold(b.ctx, b.off, b.got); err != nil {
			return 0, err
		}
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.off >= b.end {
		return 0, io.EOF
	}
	n, err := b.src.ReadAt(p[:min(int64(len(p)), b.end-b.off, 64<<10)], b.off)
	b.s.mu.Lock()
	b.s.sent[b.off/BlockSize] += int64(n)
	b.s.mu.Unlock()
	b.off += int64(n)
	b.got += int64(n)
	return n, err
}

// flipped damages one byte of the block at off.
type flipped struct {
	r  io.Reader
	at int64 // bytes until the damaged one
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.at >= 0 && f.at < int64(n) {
		p[f.at] ^= 0x40
	}
	f.at -= int64(n)
	return n, err
}

// options returns options that never wait long, on a directory of the test's own.
func options(t *testing.T, s *fakeStore) Options {
	t.Helper()
	return Options{
		Store: s, Dir: t.TempDir(), MinFree: 1,
		Patience: 300 * time.Millisecond, Backoff: time.Millisecond, Stall: 20 * time.Second,
		Pause: time.Hour, Flush: time.Hour,
	}
}

func open(t *testing.T, o Options) *Cache {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// check reads n bytes at off and compares them with what they must be.
func check(t *testing.T, r *Reader, src io.ReaderAt, off, n int64) {
	t.Helper()
	want := make([]byte, n)
	wn, werr := src.ReadAt(want, off)
	got := make([]byte, n)
	gn, gerr := r.ReadAt(context.Background(), got, off)
	if gn != wn || !errors.Is(gerr, werr) {
		t.Fatalf("read %d at %d: %d, %v; want %d, %v", n, off, gn, gerr, wn, werr)
	}
	if !bytes.Equal(got[:gn], want[:wn]) {
		t.Fatalf("read %d at %d: wrong bytes", n, off)
	}
}

// wait waits until what ok says is so; the limit is only there to end a test that hangs.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for i := 0; i < 15000; i++ {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never came: %s", what)
}

// quiet waits until nothing is fetched, written or evicted.
func quiet(t *testing.T, c *Cache) {
	t.Helper()
	wait(t, "no flights", func() bool {
		c.lock()
		defer c.unlock()
		for _, e := range c.mu.entries {
			if len(e.flights) > 0 || e.leaving > 0 || e.disk != nil && e.disk.users > 0 {
				return false
			}
		}
		return true
	})
}

// TestMain fails when a test left a goroutine of this package running.
func TestMain(m *testing.M) {
	code := m.Run()
	for i := 0; code == 0; i++ {
		buf := make([]byte, 1<<20)
		all := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(all, "block.(*Cache)") {
			break
		}
		if i == 5000 {
			os.Stderr.WriteString("goroutines left behind:\n" + all)
			code = 1
		}
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}
