package block

import (
	"context"
	"fmt"
	"os"

	"mediafs/remote"
)

// A sumLoad is the side object with a content's checksums on its way, for all who want it. It is
// not cancelled when they go: it is short, and the next reader will need it.
type sumLoad struct {
	done chan struct{}
	err  error
}

// ask begins to load e's checksums unless they are known, on their way or do not exist.
func (c *Cache) ask(e *entry) *sumLoad {
	c.lock()
	defer c.unlock()
	if e.sums != nil || e.load == nil {
		return nil
	}
	if e.asking == nil {
		l := &sumLoad{done: make(chan struct{})}
		if c.mu.closed {
			l.err = os.ErrClosed
			close(l.done)
			return l
		}
		e.asking = l
		c.wg.Add(1)
		go c.loadSums(e, l, e.load)
	}
	return e.asking
}

// table returns the checksums that e's blocks must have when they come from the store, or nil when
// there are none. From disk, nil never comes: there, our own sums count.
func (c *Cache) table(ctx context.Context, e *entry) ([]uint32, error) {
	for {
		l := c.ask(e)
		if l == nil {
			c.lock()
			defer c.unlock()
			if e.source == sumsOwn {
				return nil, nil
			}
			return e.sums, nil
		}
		select {
		case <-l.done:
			if l.err != nil {
				return nil, l.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// loadSums is the goroutine of a sumLoad.
func (c *Cache) loadSums(e *entry, l *sumLoad, load func(context.Context) ([]uint32, error)) {
	defer c.wg.Done()
	p := c.newPause()
	var sums []uint32
	var err error
	for {
		sums, err = load(c.ctx)
		kind := remote.KindOf(err)
		if err == nil || (kind != remote.Unavailable && kind != remote.Throttled) || !p.wait(c.ctx, c.opt.Patience) {
			break
		}
	}
	if want := blocksOf(e.size); err == nil && int64(len(sums)) != want {
		err = remote.E(
			"read checksums of content", e.id.ID, remote.Corrupt,
			fmt.Errorf("%d of them for %d blocks", len(sums), want),
		)
	}
	c.lock()
	defer c.unlock()
	if err == nil {
		e.sums, e.source = sums, sumsLoaded
		if e.disk != nil {
			c.mu.dirty[e] = struct{}{}
		}
	}
	l.err = err
	e.asking = nil
	close(l.done)
	c.tidy(e)
}
