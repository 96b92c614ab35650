package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// A churned media has pages whose every word tells media, page and generation, so that a reader can
// tell a word of now from one of before and from one that belongs elsewhere.
type churned struct {
	number int
	// Generations by page: begun is raised before a page is written and done after it.
	begun, done [churnPages]atomic.Uint32
}

const churnPages = 384 // of 4 KiB: six blocks of the read cache

func (c *churned) fill(p []byte, page int, generation uint32) {
	for i := 0; i < len(p); i += 8 {
		binary.BigEndian.PutUint64(p[i:], uint64(generation)<<32|uint64(c.number)<<24|uint64(page)<<8|uint64(i>>3&0xff))
	}
}

// check tells what is wrong with a page that was read while its generation went from lo to hi at
// most. uniform: all of it must be of one.
func (c *churned) check(p []byte, page int, lo, hi uint32, uniform bool) error {
	first := binary.BigEndian.Uint64(p) >> 32
	for i := 0; i < len(p); i += 8 {
		w := binary.BigEndian.Uint64(p[i:])
		g := w >> 32
		switch {
		case uint32(w) != uint32(c.number)<<24|uint32(page)<<8|uint32(i>>3&0xff):
			return fmt.Errorf("word %d of media %d, page %d is %#x", i>>3, c.number, page, w)
		case g < uint64(lo) || g > uint64(hi):
			return fmt.Errorf(
				"media %d, page %d is of generation %d; %d was written before it was read, %d is the last begun",
				c.number, page, g, lo, hi,
			)
		case uniform && g != first:
			return fmt.Errorf("media %d, page %d is of generations %d and %d", c.number, page, first, g)
		}
	}
	return nil
}

// write writes a run of pages as their next generation.
func (c *churned) write(f vfs.File, page, n int) error {
	p := make([]byte, n<<12)
	for i := range n {
		g := c.begun[page+i].Add(1)
		c.fill(p[i<<12:(i+1)<<12], page+i, g)
	}
	m, err := f.Write(bg, p, int64(page)<<12)
	if err != nil || m < len(p) {
		return fmt.Errorf("write of %d pages at %d: %d bytes, %w", n, page, m, err)
	}
	for i := range n {
		c.done[page+i].Store(c.begun[page+i].Load())
	}
	return nil
}

// read reads a run of pages and looks at each. here: on the machine that writes, which shows what
// was written at once.
func (c *churned) read(f vfs.File, page, n int, here bool) error {
	var lo [churnPages]uint32
	for i := range n {
		if lo[i] = 1; here {
			lo[i] = c.done[page+i].Load()
		}
	}
	p := make([]byte, n<<12)
	m, err := f.Read(bg, p, int64(page)<<12)
	if err != nil || m < len(p) {
		return fmt.Errorf("read of %d pages at %d: %d bytes, %w", n, page, m, err)
	}
	for i := range n {
		hi := c.begun[page+i].Load()
		if err := c.check(p[i<<12:(i+1)<<12], page+i, lo[i], hi, !here || lo[i] == hi); err != nil {
			return err
		}
	}
	return nil
}

// Readers, writers, a cache that is too small, rewriting behind and another machine are at the same
// media: none of them is ever refused, and every word that is read is one that was written there
// and is not older than what was there before.
func TestChurn(t *testing.T) {
	const media, edits, reads = 3, 120, 250
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	tiny := func(o *engine.Options) {
		o.Cache.MaxBytes, o.Cache.Parallel, o.Cache.Memory, o.Cache.MaxOpen = 700<<10, 2, 1, 1
		o.WholeBelow, o.RewriteFrom, o.RewriteAfter = 1, 6, time.Millisecond
	}
	s := openMachine(t, line, t.TempDir(), tiny).with(t)
	defer s.Close()
	o := openMachine(t, b, t.TempDir(), tiny).with(t)
	defer o.Close()
	var all [media]*churned
	name := func(i int) string { return fmt.Sprint("media ", i) }
	for i := range all {
		all[i] = &churned{number: i}
		f := s.create(name(i), "")
		s.ok(all[i].write(f, 0, churnPages))
		s.close(f)
		waitFor(t, func() bool {
			a, err := o.Lookup(bg, vfs.Root, name(i))
			if err == nil {
				o.Forget(a.ID, 1)
			}
			return err == nil && a.Size == churnPages<<12
		})
	}
	var wg, work sync.WaitGroup
	var stop atomic.Bool
	open := func(s steps, i, flags int) (vfs.File, error) {
		a, err := s.Lookup(bg, vfs.Root, name(i))
		if err != nil {
			return nil, err
		}
		defer s.Forget(a.ID, 1)
		return s.Open(bg, me, a.ID, uint32(flags))
	}
	// Each does its rounds with a file that it opens anew from time to time.
	start := func(s steps, who string, i, flags int, seed uint64, rounds int, close func(vfs.File) error, do func(rnd *rand.Rand, f vfs.File) error) {
		work.Add(1)
		wg.Go(func() {
			defer work.Done()
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			var f vfs.File
			var err error
			for n := 0; n < rounds && err == nil && !stop.Load(); n++ {
				if f == nil {
					if f, err = open(s, i, flags); err != nil {
						break
					}
				}
				err = do(rnd, f)
				if err == nil && rnd.IntN(6) == 0 {
					err = close(f)
					f = nil
				}
			}
			if f != nil {
				err = errors.Join(err, close(f))
			}
			if err != nil {
				stop.Store(true)
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	release := func(f vfs.File) error { f.Release(); return nil }
	for i, c := range all {
		start(s, "the writer", i, os.O_RDWR, 1, edits, func(f vfs.File) error {
			defer f.Release()
			return f.Flush(bg, me)
		}, func(rnd *rand.Rand, f vfs.File) error {
			page := rnd.IntN(churnPages)
			if err := c.write(f, page, 1+rnd.IntN(min(20, churnPages-page))); err != nil {
				return err
			}
			if rnd.IntN(4) == 0 {
				return f.Fsync(bg)
			}
			return nil
		})
		for seed := range uint64(2) {
			for _, m := range []struct {
				steps
				here bool
			}{{s, true}, {o, false}} {
				start(
					m.steps,
					fmt.Sprintf("a reader, here: %v", m.here),
					i,
					os.O_RDONLY,
					2+seed,
					reads,
					release,
					func(rnd *rand.Rand, f vfs.File) error {
						page := rnd.IntN(churnPages)
						return c.read(f, page, 1+rnd.IntN(min(70, churnPages-page)), m.here)
					},
				)
			}
		}
	}
	wg.Add(1)
	go func() { // another program fills the spool's disk now and then
		defer wg.Done()
		done := make(chan struct{})
		go func() { work.Wait(); close(done) }()
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				s.MakeRoom()
			}
		}
	}()
	wg.Wait()
	s.ok(s.Flush(bg))
	if e := s.Status().Cache.Evictions + o.Status().Cache.Evictions; e == 0 {
		t.Error("nothing was evicted")
	}
	if line.Count(storetest.CopyPart, "content") == 0 {
		t.Error("nothing was made whole behind")
	}
	last := openMachine(t, b, t.TempDir()).with(t)
	defer last.Close()
	for i, c := range all {
		for _, m := range []steps{s, last} {
			f, err := open(m, i, os.O_RDONLY)
			m.ok(err)
			m.ok(c.read(f, 0, churnPages, true))
			f.Release()
		}
	}
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
