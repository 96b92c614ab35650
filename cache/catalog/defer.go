package catalog

import (
	"context"
	"fmt"
	"time"

	"mediafs/remote"
)

// A deferred operation is one that its caller does not wait for: it shows on this machine at once,
// and goes to the log with the next operation that somebody waits for, or by itself after
// Options.DeferDelay. The outbox keeps its order, so that nothing overtakes it and it overtakes
// nothing; what a row of changes makes is then one commit and not one each. From its first run on
// it is late, as every operation whose caller has been answered: what another machine commits
// before it is not what its user saw (seen.go).

// maxDeferred is how long the intent of a deferred operation is at most, in bytes. Together with
// the number of those that wait it bounds the outbox.
const maxDeferred = 16 << 10

// Defer runs an operation and returns when it shows on this machine and is in the outbox, where a
// kill of the process leaves it, and a loss of power after Sync. run and intent are as for Update.
// An error of the first run is returned and nothing happens. number is what Await waits for; 0: the
// operation wrote nothing, or the log has not kept up (more than DeferDelay behind, not reached, or
// a very long intent), and Defer has waited for it as Update does.
//
// failed is called when the operation runs again and cannot be made any more, with the error, in
// the transaction that takes it out of the outbox. What it returns is counted and listed in the
// status as any late change that is not made; nil: all is well, what was meant has been done
// otherwise. It is called under the catalog's lock and may be called again after a failure of the
// disk. In a later process nobody is called.
func (c *Catalog) Defer(
	ctx context.Context, intent []byte, run func(*Tx) error, failed func(tx *Tx, why error) error,
) (number uint64, err error) {
	op := &operation{
		intent:   intent,
		run:      run,
		failed:   failed,
		deferred: len(intent) <= maxDeferred,
		done:     make(chan error, 1),
	}
	done := op.done
	number, deferred, err := c.submit(op) // from here on op is the catalog's
	if number == 0 || deferred {
		return number, err
	}
	return 0, c.wait(ctx, op, done)
}

// behind reports whether the log does not keep up with the outbox: then who changes something
// waits, so that the outbox stays short and an outage shows. mu is held.
func (c *Catalog) behind() bool {
	switch n := len(c.st.pending); {
	case c.opt.DeferDelay < 0 || n >= 2*maxBatch || c.st.fatal != nil:
		return true
	case n == 0:
		return c.unreached()
	}
	first := c.st.pending[0]
	return first.since.IsZero() || time.Since(first.since) > max(2*c.opt.DeferDelay, time.Second) || c.unreached()
}

// unreached reports whether the last request to the log has failed or has had no answer for long.
func (c *Catalog) unreached() bool {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	return c.status.s.Error != ""
}

// queue puts an operation that has run into the outbox, and notes when it is to go to the log. mu
// is held.
func (c *Catalog) queue(op *operation) {
	op.deferred = op.deferred && !c.behind()
	op.since = time.Now()
	c.st.pending = append(c.st.pending, op)
	if !op.deferred {
		c.hasten(op.number)
		return
	}
	op.run, op.done = nil, nil // nobody waits: it is late from now on
	c.wakeUp()
}

// hasten has the outbox go to the log up to an operation, now. mu is held.
func (c *Catalog) hasten(number uint64) {
	c.st.hurry = max(c.st.hurry, number)
	c.wakeUp()
}

func (c *Catalog) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// owes reports whether something is to be appended now, or else after how long; 0: nothing is.
func (c *Catalog) owes() (now bool, in time.Duration) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch {
	case c.st.fatal != nil || c.st.loading != nil || c.st.blocked != nil:
		return false, 0
	case c.st.pin != nil:
		return true, 0
	case len(c.st.pending) == 0:
		return false, 0
	}
	first := c.st.pending[0]
	if !first.deferred || first.changes == nil || first.number <= c.st.hurry || len(c.st.pending) >= maxBatch {
		return true, 0
	}
	in = c.opt.DeferDelay - time.Since(first.since) // the first was there first
	return in <= 0, in
}

// Await returns when an operation that was deferred, and all before it, are in the log, or were
// dropped because they could not be made any more. It hastens them. The error is Unavailable or
// Interrupted when ctx ends before: the operation stays in the outbox.
func (c *Catalog) Await(ctx context.Context, number uint64) error {
	return c.flush(ctx, func() uint64 { return number })
}

// Flush is Await for all operations that are in the outbox now.
func (c *Catalog) Flush(ctx context.Context) error {
	return c.flush(ctx, func() uint64 {
		if n := len(c.st.pending); n > 0 {
			return c.st.pending[n-1].number
		}
		return 0
	})
}

// flush waits for the operations up to the one that last tells under the lock.
func (c *Catalog) flush(ctx context.Context, last func() uint64) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.drain.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	end := last()
	if len(c.st.pending) > 0 && c.st.pending[0].number <= end {
		c.hasten(end)
	}
	for len(c.st.pending) > 0 && c.st.pending[0].number <= end {
		if c.st.closed {
			return remote.E("flush catalog", "", remote.Unavailable, errClosed)
		}
		if c.st.fatal != nil {
			return c.st.fatal
		}
		if c.st.blocked != nil {
			return c.blockedError(
				fmt.Sprintf("flush catalog: %d changes are kept here", len(c.st.pending)), remote.Corrupt,
			)
		}
		if err := ctx.Err(); err != nil {
			return remote.E(
				"flush catalog", "", remote.KindOf(err),
				fmt.Errorf("%d changes are not in the store yet: %w", len(c.st.pending), err),
			)
		}
		c.drain.Wait()
	}
	return nil
}

// drop takes an operation that cannot be made any more out of the outbox, and tells who deferred
// it, or people, about it. mu is held.
func (c *Catalog) drop(op *operation, why error) error {
	left := why
	err := c.updateLocal(func(tx *Tx) error {
		tx.raw(outboxKey(op.number), nil)
		tx.raw(baseKey(op.number), nil)
		if op.failed != nil {
			left = op.failed(tx, why)
		}
		return tx.err
	})
	if err != nil {
		return err
	}
	if op.done == nil && left != nil {
		c.status.set(func(s *Status) { s.Dropped++ })
		c.tell(op, "not made: "+left.Error())
	}
	op.finish(why)
	return nil
}
