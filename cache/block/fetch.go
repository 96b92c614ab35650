package block

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"mediafs/remote"
)

// maxRun bounds the blocks of one GET, 4 MiB: long enough that its latency does not count, short
// enough that nobody waits long for a block at its end.
const maxRun = 16

// A run obtains neighbouring blocks of a content that nobody has: from the data file where they are
// but were not verified yet, else with one ranged GET (and more when that breaks). It lives as long
// as somebody wants one of its blocks: interest counts those who wait for flights that have not
// landed, plus one while a stream wants the run.
type run struct {
	e      *entry
	ctx    context.Context
	cancel context.CancelFunc
	first  int64 // block
	disk   bool  // the blocks are on disk and have to be verified
	ticket ticket

	// Guarded by Cache.mu.
	flights  []*flight // by block - first
	interest int
	stream   *stream // whose read-ahead this is; nil for blocks that are waited for
}

// A flight is one block on its way, for all who want it.
//
//	waiting --publish--> landed (buf)        who waits has a reference on buf
//	        --fail-----> failed (err)
//	        --nobody wants its run any more--> failed, and nobody sees it
type flight struct {
	run    *run
	block  int64
	done   chan struct{} // closed when landed or failed
	buf    *buffer
	err    error
	over   bool
	waiter int
}

// newRun makes a run of no blocks yet; start sets it off. Needs mu.
func (c *Cache) newRun(e *entry, first int64, disk bool) *run {
	r := &run{e: e, first: first, disk: disk}
	r.ctx, r.cancel = context.WithCancel(c.ctx)
	return r
}

// add puts the next block into r. Needs mu.
func (r *run) add(block int64) *flight {
	f := &flight{run: r, block: block, done: make(chan struct{})}
	r.flights = append(r.flights, f)
	r.e.flights[block] = f
	return f
}

// start sets r off. Needs mu.
func (c *Cache) start(r *run) {
	if c.mu.closed {
		r.cancel()
		c.failRest(r, os.ErrClosed)
		return
	}
	c.wg.Add(1)
	go c.obtain(r)
}

// join waits for f from now on. Needs mu.
func (c *Cache) join(f *flight) {
	f.waiter++
	f.run.interest++
	f.run.ticket.urgent.Store(true)
}

// leave ends a wait for f. Needs mu.
func (c *Cache) leave(f *flight) {
	if f.over {
		if f.buf != nil {
			c.drop(f.buf)
		}
		return
	}
	f.waiter--
	c.lessInterest(f.run)
}

// lessInterest takes one from r's interest and cancels r when it was the last. Needs mu.
func (c *Cache) lessInterest(r *run) {
	r.interest--
	if r.interest == 0 {
		r.cancel()
		c.failRest(r, context.Canceled)
	}
}

// failRest ends the flights of r that have not landed. Needs mu.
func (c *Cache) failRest(r *run, err error) {
	for _, f := range r.flights {
		c.fail(f, err)
	}
}

// fail ends one flight that has not landed. Needs mu.
func (c *Cache) fail(f *flight, err error) {
	if f.over {
		return
	}
	f.over, f.err = true, err
	f.run.interest -= f.waiter
	if f.run.e.flights[f.block] == f {
		delete(f.run.e.flights, f.block)
	}
	close(f.done)
}

// publish lands f with a verified block and keeps the block. It reports whether anybody still wants
// the rest of the run.
func (c *Cache) publish(f *flight, buf *buffer, onDisk bool) bool {
	r, e := f.run, f.run.e
	c.lock()
	if f.over {
		c.drop(buf)
		c.unlock()
		return false
	}
	f.over, f.buf = true, buf
	buf.refs += f.waiter
	r.interest -= f.waiter
	close(f.done)
	c.unlock()

	// Readers have it already; until it is kept, newcomers find it in the flight.
	kept := onDisk || c.keep(e, f.block, buf)

	c.lock()
	if !kept {
		c.remember(e, f.block, buf)
	}
	if e.flights[f.block] == f {
		delete(e.flights, f.block)
	}
	c.drop(buf)
	wanted := r.interest > 0
	if !wanted {
		r.cancel()
		c.failRest(r, context.Canceled)
	}
	c.unlock()
	return wanted
}

// obtain is the goroutine of a run.
func (c *Cache) obtain(r *run) {
	defer c.wg.Done()
	defer r.cancel()
	var err error
	if r.disk {
		err = c.verify(r)
	} else {
		err = c.fetch(r, r.flights)
	}
	if err != nil && c.ctx.Err() != nil {
		err = os.ErrClosed
	}
	c.lock()
	if err != nil {
		c.failRest(r, err)
	}
	c.ended(r, err)
	c.tidy(r.e)
	c.unlock()
}

// verify reads blocks that are on disk and were not looked at since the file was opened. What is
// not what it should be is fetched.
func (c *Cache) verify(r *run) error {
	if _, err := c.table(r.ctx, r.e); err != nil {
		return err
	}
	for i, f := range r.flights {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		buf, err := c.verifyBlock(r, f.block)
		if err != nil {
			return err
		}
		if buf == nil {
			if err := c.fetch(r, r.flights[i:i+1]); err != nil {
				return err
			}
			continue
		}
		c.publish(f, buf, true)
	}
	return nil
}

// verifyBlock reads a block from disk; nil when it is not there, damaged, or cannot be read now.
func (c *Cache) verifyBlock(r *run, block int64) (*buffer, error) {
	e := r.e
	if err := c.checks.acquire(r.ctx, &r.ticket); err != nil {
		return nil, err
	}
	defer c.checks.release()
	c.lock()
	d := e.disk
	if d == nil || d.segment(block).have&bit(block) == 0 {
		c.unlock()
		return nil, nil
	}
	s := d.segment(block)
	want := e.sums[block]
	c.use(d, s)
	c.unlock()
	buf := c.newBuffer(e.length(block))
	err := c.readData(d, buf.b, block*BlockSize)
	buf.sum = crc32.Checksum(buf.b, castagnoli)
	good := err == nil && buf.sum == want
	c.lock()
	if good {
		s.known |= bit(block) // of a file that was closed meanwhile nothing is known, but in use it is not closed
	} else {
		c.drop(buf)
		if err != errDead && !scarce(err) {
			c.mu.stats.Damaged++
		}
		if err == nil && s.have&bit(block) != 0 {
			c.lack(s, block)
		}
	}
	c.release(d, s)
	c.unlock()
	switch {
	case good:
		return buf, nil
	case scarce(err):
		return nil, nil
	case err != nil:
		c.lose(d)
	}
	c.opt.Log.WithError(err).WithField("content", e.id.ID).WithField("block", block).
		Info("a block in the cache was damaged or incomplete; it is fetched again")
	return nil, nil
}

// lack notes that a block of a live data file is not there. Needs mu.
func (c *Cache) lack(s *segment, block int64) {
	d := s.d
	space := spaceOf(d.e.length(block))
	s.have &^= bit(block)
	s.known &^= bit(block)
	if d.dead {
		return
	}
	d.bytes -= space
	c.mu.bytes -= space
	if d.e.pinned {
		c.mu.pinned -= space
	}
	if s.have == 0 {
		c.delist(s)
	}
	c.mu.dirty[d.e] = struct{}{}
}

// A pause spaces retries: doubling from Options.Backoff to 5 s, with a random quarter so that
// clients do not come back together, until Options.Patience has passed since the last success.
type pause struct {
	since time.Time
	next  time.Duration
}

func (c *Cache) newPause() pause { return pause{since: time.Now(), next: c.opt.Backoff} }

// wait reports whether another try is due, after waiting for it.
func (p *pause) wait(ctx context.Context, patience time.Duration) bool {
	d := p.next - time.Duration(rand.Int64N(int64(p.next)/4+1))
	if time.Since(p.since)+d > patience {
		return false
	}
	p.next = min(2*p.next, 5*time.Second)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch lands flights, neighbours in a row, from the store. It retries what may pass: an
// unavailable store for Options.Patience without a block, a damaged block Options.Tries times; then
// that block fails alone.
func (c *Cache) fetch(r *run, flights []*flight) error {
	p := c.newPause()
	bad := 0
	for len(flights) > 0 {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		n, err := c.get(r, flights)
		flights = flights[n:]
		if n > 0 {
			p, bad = c.newPause(), 0
		}
		if err == nil || len(flights) == 0 {
			continue
		}
		switch remote.KindOf(err) {
		case remote.Corrupt:
			if bad++; bad < c.opt.Tries {
				continue
			}
			c.lock()
			c.fail(flights[0], err)
			wanted := r.interest > 0
			c.unlock()
			if !wanted {
				return context.Canceled
			}
			flights, bad = flights[1:], 0
		case remote.Unavailable, remote.Throttled:
			if !p.wait(r.ctx, c.opt.Patience) {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

var errStalled = errors.New("no bytes arrived for too long")

// get asks the store once for the blocks of flights and lands those that come and are right. It
// returns how many.
func (c *Cache) get(r *run, flights []*flight) (landed int, err error) {
	e := r.e
	c.ask(e)
	if err := c.fetches.acquire(r.ctx, &r.ticket); err != nil {
		return 0, err
	}
	defer c.fetches.release()
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	stall := time.AfterFunc(c.opt.Stall, func() { cancel(errStalled) })
	defer stall.Stop()

	first, last := flights[0].block, flights[len(flights)-1].block
	off := first * BlockSize
	c.lock()
	c.mu.stats.Requests++
	c.unlock()
	body, err := c.opt.Store.OpenContent(ctx, e.id, off, last*BlockSize+int64(e.length(last))-off)
	if err != nil {
		return 0, fetchError(ctx, e, first, err, false)
	}
	defer body.Close()
	stall.Stop()
	table, err := c.table(r.ctx, e)
	if err != nil {
		return 0, err
	}
	in := &meter{r: body, stall: stall, limit: c.opt.Stall}
	for _, f := range flights {
		buf := c.newBuffer(e.length(f.block))
		n, err := io.ReadFull(in, buf.b)
		stall.Stop()
		if err == nil {
			buf.sum = crc32.Checksum(buf.b, castagnoli)
			if table != nil && buf.sum != table[f.block] {
				err = corrupt(e, f.block, fmt.Errorf("checksum %08x instead of %08x", buf.sum, table[f.block]))
			}
		} else if in.err == io.EOF {
			err = corrupt(e, f.block, fmt.Errorf("it ended after %d of %d bytes", n, len(buf.b)))
		} else {
			err = fetchError(ctx, e, f.block, in.err, true)
		}
		c.lock()
		c.mu.stats.Fetched += int64(n)
		if err != nil {
			if remote.KindOf(err) == remote.Corrupt {
				c.mu.stats.Damaged++
			}
			c.drop(buf)
		}
		c.unlock()
		if err != nil {
			return landed, err
		}
		landed++
		if !c.publish(f, buf, false) {
			return landed, nil
		}
	}
	return landed, nil
}

func corrupt(e *entry, block int64, err error) error {
	return remote.E(fmt.Sprintf("read block %d of content", block), e.id.ID, remote.Corrupt, err).
		WithHint("the object in the store is damaged; bring it back from a backup, or an older version of the media")
}

// fetchError says what a store's error was about. An error without a kind in the midst of a body,
// or one of our own time limit, is a broken connection.
func fetchError(ctx context.Context, e *entry, block int64, err error, inBody bool) error {
	kind := remote.KindOf(err)
	switch {
	case context.Cause(ctx) == errStalled:
		kind, err = remote.Unavailable, errStalled
	case kind == remote.Interrupted, inBody && kind == remote.Other:
		kind = remote.Unavailable
	}
	return remote.E(fmt.Sprintf("read block %d of content", block), e.id.ID, kind, err)
}

// A meter reads a body, remembers its last error and stops the clock between reads.
type meter struct {
	r     io.Reader
	err   error
	stall *time.Timer
	limit time.Duration
}

func (m *meter) Read(p []byte) (int, error) {
	m.stall.Reset(m.limit)
	n, err := m.r.Read(p)
	m.err = err
	return n, err
}
