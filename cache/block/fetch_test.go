package block

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote"
)

func TestManyReadersShareOneFetchOfABlock(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 4<<20)
	c := open(t, options(t, s))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			r := c.NewReader(ct)
			defer r.Close()
			p := make([]byte, 64<<10)
			for n := int64(0); n < 16; n++ {
				// Each begins elsewhere, so that they meet in the middle of runs.
				off := (n + int64(i)) % 16 * BlockSize
				want := make([]byte, len(p))
				s.contents["film"].ReadAt(want, off)
				if _, err := r.ReadAt(context.Background(), p, off); err != nil || !bytes.Equal(p, want) {
					t.Errorf("read at %d: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
	if _, asked := s.counts(); asked != ct.Size {
		t.Errorf("asked for %d bytes of a content of %d", asked, ct.Size)
	}
}

func TestDamagedBlockIsFetchedAgain(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	s.body = func(off int64, r io.Reader) io.Reader {
		if s.requests == 1 {
			return &flipped{r: r, at: 2*BlockSize + 17}
		}
		return r
	}
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 0, 4*BlockSize)
	if n, asked := s.counts(); n != 2 || asked != 6*BlockSize {
		t.Errorf("%d requests for %d bytes; the second should begin at the damaged block", n, asked)
	}
	if st := c.Stats(); st.Damaged != 1 {
		t.Errorf("%d damaged blocks counted", st.Damaged)
	}
}

func TestBlockThatStaysWrongIsCorruptAlone(t *testing.T) {
	spoil := map[string]func(r io.Reader, at int64) io.Reader{
		"flipped": func(r io.Reader, at int64) io.Reader { return &flipped{r: r, at: at + 99} },
		"short":   func(r io.Reader, at int64) io.Reader { return io.LimitReader(r, max(at, 0)+99) },
	}
	for name, f := range spoil {
		t.Run(name, func(t *testing.T) {
			s := newFake()
			ct := s.add("film", 3, 2<<20)
			s.body = func(off int64, r io.Reader) io.Reader {
				if at := BlockSize - off; at > -BlockSize {
					return f(r, at)
				}
				return r
			}
			c := open(t, options(t, s))
			r := c.NewReader(ct)
			defer r.Close()
			p := make([]byte, 3*BlockSize)
			n, err := r.ReadAt(context.Background(), p, 0)
			if n != BlockSize || !errors.Is(err, remote.Corrupt) {
				t.Fatalf("%d, %v", n, err)
			}
			check(t, r, s.contents["film"], 2*BlockSize, BlockSize)
			quiet(t, c) // it reads ahead
			before, _ := s.counts()
			if _, err := r.ReadAt(context.Background(), p[:10], BlockSize); !errors.Is(err, remote.Corrupt) {
				t.Fatalf("read again: %v", err)
			}
			if n, _ := s.counts(); n-before != 3 {
				t.Errorf("%d tries instead of 3", n-before)
			}
		})
	}
}

func TestExternalContentIsCheckedForLength(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	ct.Sums = nil
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 100, 500)
	s.set(func() { s.body = func(off int64, r io.Reader) io.Reader { return io.LimitReader(r, 1000) } })
	if _, err := r.ReadAt(context.Background(), make([]byte, 10), 1<<20); !errors.Is(err, remote.Corrupt) {
		t.Fatal(err)
	}
}

func TestUnavailableStoreIsTriedAgain(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	fails := 3
	s.open = func(id remote.ContentID, off, n int64) error {
		if fails--; fails >= 0 {
			return remote.E("open content", id.ID, remote.Unavailable, errors.New("connection refused"))
		}
		return nil
	}
	// Then the connection breaks in each block, without a kind.
	s.hold = func(ctx context.Context, off, got int64) error {
		if got > BlockSize/2 {
			return errors.New("connection reset")
		}
		return nil
	}
	o := options(t, s)
	o.Patience = time.Minute
	c := open(t, o)
	r := c.NewReader(ct)
	defer r.Close()
	go func() {
		wait(t, "some tries", func() bool { n, _ := s.counts(); return n > 6 })
		s.set(func() { s.hold = nil })
	}()
	check(t, r, s.contents["film"], 0, 1<<20)
}

func TestErrorsOfTheStore(t *testing.T) {
	for _, k := range []struct {
		kind  remote.Kind
		again bool
	}{{remote.Unavailable, true}, {remote.Throttled, true}, {remote.NotExist, false}, {remote.Stale, false}, {remote.Permission, false}, {remote.Archived, false}, {remote.Invalid, false}} {
		s := newFake()
		ct := s.add("film", 3, 2<<20)
		o := options(t, s)
		o.Patience = 20 * time.Millisecond
		c := open(t, o)
		r := c.NewReader(ct)
		s.open = func(id remote.ContentID, off, n int64) error { return remote.E("get object", id.ID, k.kind, nil) }
		_, err := r.ReadAt(context.Background(), make([]byte, 10), 0)
		if remote.KindOf(err) != k.kind {
			t.Errorf("%v: got %v", k.kind, err)
		}
		if n, _ := s.counts(); (n > 1) != k.again {
			t.Errorf("%v: %d requests", k.kind, n)
		}
		// It is not remembered.
		s.set(func() { s.open = nil })
		check(t, r, s.contents["film"], 0, 10)
		r.Close()
	}
}

func TestStalledBodyIsGivenUp(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	var once atomic.Bool
	s.hold = func(ctx context.Context, off, got int64) error {
		if got > 0 && once.CompareAndSwap(false, true) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	o := options(t, s)
	o.Stall, o.Patience = 5*time.Millisecond, time.Minute
	c := open(t, o)
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 0, BlockSize)
}

// gate holds all bodies until it is opened, and counts those whose context ended instead.
type gate struct {
	ch        chan struct{}
	waiting   atomic.Int32
	cancelled atomic.Int32
}

func (g *gate) hold(ctx context.Context, off, got int64) error {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case <-g.ch:
		return nil
	case <-ctx.Done():
		g.cancelled.Add(1)
		return ctx.Err()
	}
}

func TestCancelledWaiterDoesNotFailOthers(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	g := &gate{ch: make(chan struct{})}
	s.hold = g.hold
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() {
		_, err := r.ReadAt(ctx, make([]byte, 2*BlockSize), 0)
		first <- err
	}()
	wait(t, "the GET", func() bool { return g.waiting.Load() == 1 })
	second := make(chan error)
	got := make([]byte, 1000)
	go func() {
		_, err := r.ReadAt(context.Background(), got, BlockSize+5)
		second <- err
	}()
	wait(t, "both wait", func() bool { return c.Stats().Misses == 3 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, remote.Interrupted) {
		t.Fatalf("cancelled read: %v", err)
	}
	close(g.ch)
	want := make([]byte, 1000)
	s.contents["film"].ReadAt(want, BlockSize+5)
	if err := <-second; err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the other read: %v", err)
	}
	if n, _ := s.counts(); n != 1 || g.cancelled.Load() != 0 {
		t.Errorf("%d requests, %d cancelled", n, g.cancelled.Load())
	}
}

func TestFetchThatNobodyWantsIsCancelled(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 2<<20)
	g := &gate{ch: make(chan struct{})}
	s.hold = g.hold
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := r.ReadAt(ctx, make([]byte, 100), 0)
		done <- err
	}()
	wait(t, "the GET", func() bool { return g.waiting.Load() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wait(t, "the GET is cancelled", func() bool { return g.cancelled.Load() == 1 })
	close(g.ch)
	check(t, r, s.contents["film"], 0, 100)
}

func TestReadAheadIsCancelled(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, c *Cache, r *Reader, s *fakeStore){
		"close": func(t *testing.T, c *Cache, r *Reader, s *fakeStore) { r.Close() },
		"seek": func(t *testing.T, c *Cache, r *Reader, s *fakeStore) {
			for i := range int64(streamPatience) {
				check(t, r, s.contents["film"], 100<<20+i*1000, 1000)
			}
		},
		"close of the cache": func(t *testing.T, c *Cache, r *Reader, s *fakeStore) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake()
			ct := s.add("film", 3, 128<<20)
			g := &gate{ch: make(chan struct{})}
			s.hold = func(ctx context.Context, off, got int64) error {
				if off >= 2*BlockSize && off < 64<<20 {
					return g.hold(ctx, off, got)
				}
				return nil
			}
			c := open(t, options(t, s))
			r := c.NewReader(ct)
			defer r.Close()
			check(t, r, s.contents["film"], 0, BlockSize)
			check(t, r, s.contents["film"], BlockSize, BlockSize)
			wait(t, "read-ahead", func() bool { return g.waiting.Load() > 0 })
			stop(t, c, r, s)
			wait(t, "read-ahead is cancelled", func() bool { return g.waiting.Load() == 0 && g.cancelled.Load() > 0 })
		})
	}
}

func TestTwoStreamsOfOneHandle(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 64<<20)
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	// Sound and picture in turn: both are read ahead, and nothing is fetched twice.
	const piece = 64 << 10
	for off := int64(0); off < 12<<20; off += piece {
		check(t, r, s.contents["film"], off, piece)
		check(t, r, s.contents["film"], 32<<20+off, piece)
	}
	quiet(t, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	for b, sent := range s.sent {
		if sent != BlockSize {
			t.Errorf("block %d: %d bytes sent", b, sent)
		}
	}
	if s.requests > 50 {
		t.Errorf("%d requests for 2 × 12 MiB: they were not read ahead", s.requests)
	}
}

func TestSumsInASideObject(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 20<<20)
	sums := ct.Sums
	ct.Sums = nil
	var calls atomic.Int32
	fail := remote.E("get", "film.sum", remote.Unavailable, nil)
	ct.LoadSums = func(ctx context.Context) ([]uint32, error) {
		switch calls.Add(1) {
		case 1, 2:
			return nil, fail
		}
		return sums, nil
	}
	s.body = func(off int64, r io.Reader) io.Reader {
		if s.requests == 1 {
			return &flipped{r: r, at: 3}
		}
		return r
	}
	c := open(t, options(t, s))
	var wg sync.WaitGroup
	for i := range int64(16) {
		wg.Go(func() {
			r := c.NewReader(ct)
			defer r.Close()
			p, want := make([]byte, 1000), make([]byte, 1000)
			_, err := r.ReadAt(context.Background(), p, i<<20)
			s.contents["film"].ReadAt(want, i<<20)
			if err != nil || !bytes.Equal(p, want) {
				t.Errorf("read: %v", err)
			}
		})
	}
	wg.Wait()
	if calls.Load() != 3 {
		t.Errorf("sums were asked for %d times", calls.Load())
	}

	short := s.add("short", 4, 1<<20)
	short.Sums, short.LoadSums = nil, func(context.Context) ([]uint32, error) { return sums[:1], nil }
	r := c.NewReader(short)
	defer r.Close()
	if _, err := r.ReadAt(context.Background(), make([]byte, 9), 0); !errors.Is(err, remote.Corrupt) {
		t.Errorf("sums of another length: %v", err)
	}
}

func TestLocalStoreIsNotCachedOnDisk(t *testing.T) {
	s := newFake()
	s.local = true
	ct := s.add("film", 3, 40<<20)
	o := options(t, s)
	c := open(t, o)
	r := c.NewReader(ct)
	defer r.Close()
	for off := int64(0); off < BlockSize; off += 4096 {
		check(t, r, s.contents["film"], off, 4096)
	}
	if n, _ := s.counts(); n != 1 {
		t.Errorf("%d opens for one block", n)
	}
	for off := int64(0); off < ct.Size; off += BlockSize {
		check(t, r, s.contents["film"], off, BlockSize)
	}
	if st := c.Stats(); st.Memory > localMemory || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
	names, err := os.ReadDir(o.Dir)
	if err != nil || len(names) != 0 {
		t.Errorf("on disk: %v, %v", names, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 128<<20)
	o := options(t, s)
	o.Dir, o.Memory, o.Parallel = "", 4<<20, 4
	c := open(t, o)
	var most atomic.Int64
	var wg sync.WaitGroup
	for i := range int64(12) {
		wg.Go(func() {
			r := c.NewReader(ct)
			defer r.Close()
			p, want := make([]byte, 128<<10), make([]byte, 128<<10)
			for off := i * 8 << 20; off < i*8<<20+3<<20; off += int64(len(p)) {
				_, err := r.ReadAt(context.Background(), p, off)
				s.contents["film"].ReadAt(want, off)
				if err != nil || !bytes.Equal(p, want) {
					t.Errorf("read at %d: %v", off, err)
				}
				most.Store(max(most.Load(), c.Stats().Memory))
			}
		})
	}
	wg.Wait()
	// A block that a reader is copying, and one in each GET, cannot be dropped.
	if most.Load() > 4<<20+(12+4)*BlockSize {
		t.Errorf("%d bytes of buffers", most.Load())
	}
}

func TestClosedCacheAndReader(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 1<<20)
	c := open(t, options(t, s))
	r, r2 := c.NewReader(ct), c.NewReader(ct)
	r2.Close()
	r2.Close()
	for _, x := range []*Reader{r2, r} {
		if _, err := x.ReadAt(context.Background(), make([]byte, 9), 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		c.Close()
	}
	r.Close()
	if err := c.Adopt(ct, "/nonexistent"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("adopt: %v", err)
	}
}

func TestInvalidReads(t *testing.T) {
	s := newFake()
	ct := s.add("film", 3, 1<<20)
	c := open(t, options(t, s))
	r := c.NewReader(ct)
	defer r.Close()
	if _, err := r.ReadAt(context.Background(), make([]byte, 9), -1); !errors.Is(err, remote.Invalid) {
		t.Errorf("negative offset: %v", err)
	}
	check(t, r, s.contents["film"], 0, 10)
	other := ct
	other.Size = 5
	other.Sums = ct.Sums[:1]
	wrong := c.NewReader(other)
	defer wrong.Close()
	if _, err := wrong.ReadAt(context.Background(), make([]byte, 9), 0); !errors.Is(err, remote.Invalid) {
		t.Errorf("two sizes of one content: %v", err)
	}
	few := ct
	few.Sums = ct.Sums[:2]
	r2 := c.NewReader(few)
	defer r2.Close()
	if _, err := r2.ReadAt(context.Background(), make([]byte, 9), 0); !errors.Is(err, remote.Invalid) {
		t.Errorf("too few sums: %v", err)
	}
	empty := c.NewReader(Content{ID: remote.ContentID{ID: "empty"}, Sums: []uint32{}})
	defer empty.Close()
	if n, err := empty.ReadAt(context.Background(), make([]byte, 9), 0); n != 0 || err != io.EOF {
		t.Errorf("empty content: %d, %v", n, err)
	}
}

func TestUrgentWaitersGoFirst(t *testing.T) {
	s := newSlots(1)
	if err := s.acquire(context.Background(), new(ticket)); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 3)
	var wg sync.WaitGroup
	queue := func(name string, urgent bool) *ticket {
		tk := new(ticket)
		tk.urgent.Store(urgent)
		s.mu.Lock()
		before := len(s.mu.queue)
		s.mu.Unlock()
		wg.Go(func() {
			if s.acquire(context.Background(), tk) == nil {
				order <- name
				s.release()
			}
		})
		wait(t, "queued", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.mu.queue) == before+1 })
		return tk
	}
	queue("ahead", false)
	late := queue("became urgent", false)
	queue("urgent", true)
	late.urgent.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.acquire(ctx, new(ticket)); err == nil {
		t.Error("acquired with a cancelled context")
	}
	s.release()
	wg.Wait()
	for _, want := range []string{"became urgent", "urgent", "ahead"} {
		if got := <-order; got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}
