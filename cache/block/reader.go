package block

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"mediafs/remote"
)

// A Reader reads one content for one file handle: it knows where the handle reads, to read ahead of
// it. It costs no request and no disk access to make one. All methods may be called concurrently.
type Reader struct {
	c  *Cache
	e  *entry
	ct Content

	// Guarded by Cache.mu.
	closed  bool
	settled bool // the entry is ready for ct
	streams [streamsPerReader]stream
	clock   int // reads so far
}

// NewReader returns a reader of ct, which must be closed.
func (c *Cache) NewReader(ct Content) *Reader {
	c.lock()
	defer c.unlock()
	e := c.entry(ct.ID, ct.Size)
	e.readers++
	return &Reader{c: c, e: e, ct: ct}
}

// Close cancels what is being read ahead. Reads in progress end as if it had not been called.
func (r *Reader) Close() {
	c := r.c
	c.lock()
	defer c.unlock()
	if r.closed {
		return
	}
	r.closed = true
	for i := range r.streams {
		c.dropStream(&r.streams[i])
	}
	r.e.readers--
	c.tidy(r.e)
}

// enter lets a call begin, which Close of the cache then waits for; the caller calls wg.Done.
func (c *Cache) enter() error {
	c.lock()
	defer c.unlock()
	if c.mu.closed {
		return os.ErrClosed
	}
	c.wg.Add(1)
	return nil
}

// ReadAt reads len(p) bytes from offset off, less with io.EOF at the end of the content. A read of
// blocks that are cached makes no request; others cost one GET for each row of missing blocks. It
// ends early when ctx does. The bytes are verified where there are checksums.
//
// Errors: Corrupt (the store's bytes are wrong, also after several tries), NotExist, Stale,
// Permission (the store says so), Unavailable, Throttled (for Options.Patience), Interrupted (ctx),
// Invalid.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := r.readAt(ctx, p, off)
	if err == nil || err == io.EOF {
		return n, err
	}
	var known *remote.Error
	switch {
	case errors.As(err, &known):
		return n, err
	case errors.Is(err, os.ErrClosed):
		return n, remote.E("read content", r.ct.ID.ID, remote.Unavailable, err).
			WithHint("the reader or the mount is closed")
	}
	return n, remote.E("read content", r.ct.ID.ID, remote.KindOf(err), err)
}

func (r *Reader) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	c := r.c
	if off < 0 {
		return 0, remote.E("read content", r.ct.ID.ID, remote.Invalid, errors.New("negative offset"))
	}
	if err := c.enter(); err != nil {
		return 0, err
	}
	defer c.wg.Done()
	c.lock()
	closed, settled := r.closed, r.settled
	c.unlock()
	if closed {
		return 0, os.ErrClosed
	}
	if !settled {
		if err := c.ready(r.e, r.ct); err != nil {
			return 0, err
		}
		c.lock()
		r.settled = true
		c.unlock()
	}
	if off >= r.ct.Size {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), r.ct.Size-off))
	begin, again := time.Now(), false
	for n := 0; n < want; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, own, err := r.read(ctx, p[n:want], off+int64(n))
		n += m
		if err != nil {
			// A flight of somebody else may have waited for the store for long already: this read
			// has its own time.
			passing := remote.KindOf(err) == remote.Unavailable && ctx.Err() == nil
			if own || again || !passing || time.Since(begin) > c.opt.Patience {
				return n, err
			}
			again = true
		}
	}
	if want < len(p) {
		return want, io.EOF
	}
	return want, nil
}

// A piece is one block that a read has laid its hands on: in flight, in memory or on disk. It must
// be given back.
type piece struct {
	block int64
	f     *flight
	own   bool // f was started for this read
	buf   *buffer
	d     *data // with its segment of the block
}

// read reads up to maxRun blocks. own says that an error is of a fetch that was started for this
// read. It may read less than p without an error.
func (r *Reader) read(ctx context.Context, p []byte, off int64) (n int, own bool, err error) {
	c, e := r.c, r.e
	first := off / BlockSize
	last := min((off+int64(len(p))-1)/BlockSize, first+maxRun-1)
	p = p[:min(int64(len(p)), (last+1)*BlockSize-off)]
	var few [2]piece
	c.lock()
	pieces := c.claim(e, first, last, few[:0])
	r.advance(off, int64(len(p)))
	c.unlock()
	for i := range pieces {
		at := off + int64(n)
		m := min(len(p)-n, int((pieces[i].block+1)*BlockSize-at))
		err := c.copyPiece(ctx, &pieces[i], p[n:n+m], at)
		if err == nil {
			n += m
			continue
		}
		c.lock()
		for _, rest := range pieces[i+1:] {
			c.giveBack(&rest)
		}
		c.unlock()
		if err == errAgain {
			return n, false, nil
		}
		return n, pieces[i].own, err
	}
	return n, false, nil
}

// errAgain: the block is not where it was; it must be claimed again.
var errAgain = errors.New("block is gone from disk")

// copyPiece copies from a piece, waiting for it until ctx ends, and gives it back.
func (c *Cache) copyPiece(ctx context.Context, pc *piece, p []byte, off int64) error {
	in := off - pc.block*BlockSize
	var err error
	switch {
	case pc.d != nil:
		if err = c.readData(pc.d, p, off); err != nil {
			c.lose(pc.d)
			err = errAgain
		}
	case pc.buf != nil:
		copy(p, pc.buf.b[in:])
	default:
		select {
		case <-pc.f.done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			if err = pc.f.err; err == nil {
				copy(p, pc.f.buf.b[in:])
			}
		}
	}
	c.lock()
	c.giveBack(pc)
	c.unlock()
	return err
}

// giveBack ends the use of a piece. Needs mu.
func (c *Cache) giveBack(pc *piece) {
	switch {
	case pc.d != nil:
		c.release(pc.d, pc.d.segment(pc.block))
	case pc.buf != nil:
		c.drop(pc.buf)
	default:
		c.leave(pc.f)
	}
}

// claim lays hands on blocks first to last, starting runs for those that nobody has. Needs mu.
func (c *Cache) claim(e *entry, first, last int64, pieces []piece) []piece {
	var current *run
	flush := func() {
		if current != nil {
			c.start(current)
			current = nil
		}
	}
	for b := first; b <= last; b++ {
		pc := piece{block: b}
		f, onDisk, known := e.flights[b], false, false
		if e.disk != nil {
			s := e.disk.segment(b)
			onDisk, known = s.have&bit(b) != 0, s.known&bit(b) != 0
		}
		recent := e.recent[b]
		switch {
		case f != nil && f.over: // landed, and about to be kept
			pc.buf = f.buf
			pc.buf.refs++
			c.mu.stats.Hits++
		case f != nil:
			pc.f = f
			c.join(f)
			c.mu.stats.Misses++
		case recent != nil:
			pc.buf = recent.buf
			pc.buf.refs++
			c.mu.recent.MoveToFront(recent.el)
			c.mu.stats.Hits++
		case known:
			pc.d = e.disk
			c.use(pc.d, pc.d.segment(b))
			c.mu.stats.Hits++
		default:
			if current != nil && current.disk != onDisk {
				flush()
			}
			if current == nil {
				current = c.newRun(e, b, onDisk)
			}
			pc.f, pc.own = current.add(b), true
			c.join(pc.f)
			if onDisk {
				c.mu.stats.Hits++
			} else {
				c.mu.stats.Misses++
			}
		}
		if !pc.own {
			flush()
		}
		pieces = append(pieces, pc)
	}
	flush()
	return pieces
}
