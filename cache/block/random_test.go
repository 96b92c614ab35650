package block

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// TestRandomReads lets readers, adoptions, evictions, a flaky store and a flaky disk run at once,
// over several restarts, and compares every byte that is read.
func TestRandomReads(t *testing.T) {
	seed := rand.Uint64()
	if testing.Verbose() {
		t.Logf("seed %d", seed)
	}
	s := newFake()
	var contents []Content
	for i := range 12 {
		size := []int64{1, 5000, BlockSize, BlockSize + 1, 1 << 20, 3<<20 + 77, 40 << 20}[i%7]
		ct := s.add(fmt.Sprint("content", i), uint64(i), size)
		switch sums := ct.Sums; i % 3 {
		case 1:
			ct.Sums, ct.LoadSums = nil, func(context.Context) ([]uint32, error) { return sums, nil }
		case 2:
			ct.Sums = nil
		}
		contents = append(contents, ct)
	}
	var calls atomic.Uint64
	s.open = func(id remote.ContentID, off, n int64) error {
		if calls.Add(1)%11 == 0 {
			return remote.E("get object", id.ID, remote.Unavailable, nil)
		}
		return nil
	}
	s.body = func(off int64, r io.Reader) io.Reader {
		if calls.Load()%13 == 0 {
			return io.MultiReader(io.LimitReader(r, 300<<10), broken{})
		}
		return r
	}
	o := options(t, s)
	o.MaxBytes, o.Memory, o.MaxOpen, o.Parallel = 20<<20, 8<<20, 2, 4
	o.Patience, o.Backoff, o.Flush, o.Pause = time.Minute, 100*time.Microsecond, 2*time.Millisecond, time.Millisecond
	var writes atomic.Uint64
	o.writeAt = func(f *os.File, p []byte, off int64) error {
		if writes.Add(1)%29 == 0 {
			f.WriteAt(p[:len(p)/3], off)
			return unix.ENOSPC
		}
		_, err := f.WriteAt(p, off)
		return err
	}
	for round := range uint64(3) {
		c := open(t, o)
		var wg sync.WaitGroup
		for i := range uint64(8) {
			wg.Go(func() { randomReader(t, c, s, contents, rand.New(rand.NewPCG(seed, round*100+i))) })
		}
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, round*100+99))
			for range 20 {
				ct := contents[rnd.IntN(len(contents))]
				switch rnd.IntN(3) {
				case 0:
					c.Forget(ct.ID)
				case 1:
					if ct.Size > 4<<20 {
						continue
					}
					if err := c.Adopt(ct, spool(t, s, ct, t.TempDir())); err != nil {
						t.Errorf("adopt: %v", err)
					}
				}
				c.Unpin(ct.ID)
			}
		})
		wg.Wait()
		c.verifyAccounts(t)
		c.Close()
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, remote.E("read object", "", remote.Unavailable, io.ErrUnexpectedEOF)
}

func randomReader(t *testing.T, c *Cache, s *fakeStore, contents []Content, rnd *rand.Rand) {
	for range 12 {
		ct := contents[rnd.IntN(len(contents))]
		src := s.contents[ct.ID.ID]
		r := c.NewReader(ct)
		off, step := rnd.Int64N(ct.Size+10), rnd.Int64N(200<<10)+1
		for range 12 {
			got, want := make([]byte, step), make([]byte, step)
			wn, werr := src.ReadAt(want, off)
			ctx, cancel := context.WithCancel(context.Background())
			quit := rnd.IntN(10) == 0
			if quit {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
			}
			n, err := r.ReadAt(ctx, got, off)
			cancel()
			if !bytes.Equal(got[:n], want[:n]) {
				t.Errorf("%s: wrong bytes in %d at %d", ct.ID.ID, n, off)
			}
			if !quit && (n != wn || err != werr) {
				t.Errorf("%s: read %d at %d: %d, %v; want %d, %v", ct.ID.ID, step, off, n, err, wn, werr)
			}
			if off += int64(n); rnd.IntN(4) == 0 {
				off = rnd.Int64N(ct.Size + 10)
			}
		}
		r.Close()
	}
}

// verifyAccounts waits until the cache is idle and checks that its counters are what they count.
func (c *Cache) verifyAccounts(t *testing.T) {
	t.Helper()
	quiet(t, c)
	// A request whose last block is settled gives its buffer back a moment later.
	wait(t, "buffers given back", func() bool {
		c.lock()
		defer c.unlock()
		kept := int64(0)
		for _, e := range c.mu.entries {
			for _, r := range e.recent {
				kept += int64(len(r.buf.b))
			}
		}
		return kept == c.mu.buffers
	})
	c.lock()
	defer c.unlock()
	var bytes, pinned, buffers int64
	listed := 0
	for _, e := range c.mu.entries {
		for _, r := range e.recent {
			buffers += int64(len(r.buf.b))
			if r.buf.refs != 1 {
				t.Errorf("%s: block %d has %d references", e.id.ID, r.block, r.buf.refs)
			}
		}
		if e.readers != 0 {
			t.Errorf("%s: %d readers", e.id.ID, e.readers)
		}
		d := e.disk
		if d == nil {
			continue
		}
		bytes += d.bytes
		if e.pinned {
			pinned += d.bytes
		}
		for i := range d.segments {
			s := &d.segments[i]
			if s.users != 0 || s.emptying || s.known&^s.have != 0 || (s.used != nil) != (s.have != 0 && !e.pinned) {
				t.Errorf("%s: segment %d: %+v", e.id.ID, i, s)
			}
			if s.used != nil {
				listed++
			}
		}
		if was := d.bytes; d.count() != was && was != sidecarSpace {
			t.Errorf("%s: %d bytes counted, %d there", e.id.ID, was, d.bytes)
		}
	}
	if bytes != c.mu.bytes || pinned != c.mu.pinned || buffers != c.mu.buffers || listed != c.mu.segments.Len() ||
		c.mu.windows != 0 {
		t.Errorf("bytes %d of %d, pinned %d of %d, buffers %d of %d, segments %d of %d, windows %d", bytes, c.mu.bytes,
			pinned, c.mu.pinned, buffers, c.mu.buffers, listed, c.mu.segments.Len(), c.mu.windows)
	}
}
