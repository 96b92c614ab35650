package catalog

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// appendOnce sends the next batch of the outbox to the log and settles it. It returns an error when
// it should be tried again later.
func (c *Catalog) appendOnce(ctx context.Context) error {
	if err := c.ballast.room(true); err != nil {
		return err
	}
	c.mu.Lock()
	p, err := c.nextBatch()
	c.unlock()
	if err != nil || p == nil {
		return err
	}
	c.step("pinned")
	// The log tries until its context ends, and nothing but Close ends it: on a slow line a bound
	// would begin the same upload again and again.
	answered := c.watch(p.seq)
	err = c.store.Append(ctx, p.seq, p.body)
	answered()
	c.step("appended")
	switch remote.KindOf(err) {
	case remote.Conflict:
		c.dropPin()
		return c.catchUp(ctx)
	case remote.Stale:
		loaded, lerr := c.load(ctx)
		if lerr != nil {
			return lerr // the pin stays: the next try gets the same answer
		}
		c.dropPin()
		if !loaded {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	c.reached(p.seq)
	if !p.fresh {
		return c.catchUp(ctx)
	}
	c.step("confirm")
	c.mu.Lock()
	err = c.confirm(p)
	c.unlock()
	c.step("confirmed")
	return err
}

// watch lets status tell that an append has no answer after AttemptTimeout. answered ends that; a
// success then clears it.
func (c *Catalog) watch(seq uint64) (answered func()) {
	over := false // under the status's lock
	timer := time.AfterFunc(c.opt.AttemptTimeout, func() {
		c.status.set(func(s *Status) {
			if !over {
				c.status.kind = remote.Unavailable
				s.Error, s.ErrorTime = fmt.Sprintf(
					"append commit %d: no answer of the store for %s; it is tried on", seq, c.opt.AttemptTimeout,
				), time.Now()
			}
		})
	})
	return func() {
		timer.Stop()
		c.status.set(func(*Status) { over = true })
	}
}

// maxBatch is how many operations one commit takes: settling it deletes as many entries of the
// outbox in one transaction.
const maxBatch = 1000

// nextBatch pins the longest prefix of the outbox that fits into a commit; nil when there is
// nothing to send. mu is held.
func (c *Catalog) nextBatch() (*pin, error) {
	if err := c.writable("append"); err != nil {
		return nil, err
	}
	if c.st.pin != nil {
		return c.st.pin, nil
	}
	if len(c.st.pending) == 0 {
		return nil, nil
	}
	writes := make(map[string]*record.Write)
	var order []string
	size, n := 0, 0
	session := c.st.pending[0].session
	for _, op := range c.st.pending {
		if op.changes == nil || !bytes.Equal(op.session, session) {
			break
		}
		added, grown := 0, 0
		keys := replicatedKeys(op.order)
		for _, k := range keys {
			old := writes[k]
			if old == nil {
				added++
				grown += len(k)
			} else {
				grown -= len(old.Value)
			}
			grown += len(op.changes[k].new)
		}
		// Values that differ from batch to batch are counted at their largest: deletions and
		// replacements never overflow.
		if n == maxBatch || n > 0 && (len(order)+added > record.MaxCommitWrites || size+grown > record.MaxCommitBytes) {
			break
		}
		for _, k := range keys {
			v := op.changes[k].new
			if writes[k] == nil {
				order = append(order, k)
			}
			writes[k] = &record.Write{Key: []byte(k[1:]), Value: v, Delete: v == nil}
		}
		size += grown
		n++
	}
	if n == 0 {
		// An earlier try to run the outbox again broke off, for want of disk space say.
		if err := c.undoAll(); err != nil {
			return nil, err
		}
		return nil, c.rerun(nil)
	}
	p := &pin{seq: c.st.seq + 1, first: c.st.pending[0].number, last: c.st.pending[n-1].number, fresh: true}
	commit := &record.Commit{Author: c.st.client, Session: session, FirstOperation: p.first, LastOperation: p.last,
		Previous: c.st.hash, Time: c.now()}
	for _, k := range order {
		commit.Writes = append(commit.Writes, writes[k])
	}
	var err error
	if p.body, err = record.EncodeCommit(commit); err != nil {
		return nil, err
	}
	if err := c.vouch(session); err != nil {
		return nil, err
	}
	if err := c.pins.store(p); err != nil {
		return nil, err
	}
	c.st.pin = p
	return p, nil
}

// dropPin ends a pin whose number is occupied by somebody else, or lies before the newest
// checkpoint.
func (c *Catalog) dropPin() {
	c.mu.Lock()
	c.st.pin = nil
	c.mu.Unlock()
}

// confirm applies our own commit, whose writes already show: the applied number moves on, the undo
// records follow it and the operations leave the outbox, in one transaction. mu is held.
func (c *Catalog) confirm(p *pin) error {
	n := 0
	for n < len(c.st.pending) && c.st.pending[n].number <= p.last {
		n++
	}
	mine, rest := c.st.pending[:n], c.st.pending[n:]
	later := make(map[string]bool)
	for _, op := range rest {
		for _, k := range op.order {
			later[k] = true
		}
	}
	tx := c.begin()
	undo := make(map[string][]byte) // new undo values
	gone := make(map[string]bool)   // undo records that end
	for _, op := range mine {
		for _, k := range op.order {
			if later[k] {
				undo[k] = op.changes[k].new
			} else {
				gone[k] = true
			}
		}
		tx.raw(outboxKey(op.number), nil)
		tx.raw(baseKey(op.number), nil)
	}
	for k, v := range undo {
		tx.raw(full(classUndo, []byte(k)), undoValue(v))
	}
	for k := range gone {
		tx.raw(full(classUndo, []byte(k)), nil)
	}
	cl := full(classRecord, record.ClientKey(c.st.client))
	merged, err := mergeClient(tx.get(cl), &record.Commit{Session: mine[0].session, LastOperation: p.last})
	if err != nil {
		tx.discard()
		return err
	}
	tx.raw(cl, merged)
	hash := record.Hash(p.body)
	since := c.st.ckpt.after(c.opt.commitCost(int64(len(p.body))))
	tx.raw(localKey("applied"), encodeApplied(p.seq, since, hash))
	if err := tx.commit(); err != nil {
		return err
	}
	for k, v := range undo {
		c.st.undo[k] = v
	}
	for k := range gone {
		delete(c.st.undo, k)
	}
	c.st.pin = nil
	c.st.seq, c.st.hash, c.st.ckpt = p.seq, hash, since
	c.st.own = authored{mine[0].session, p.last}
	c.settle(len(mine))
	return nil
}

// follow is the catalog's goroutine: it appends what is in the outbox, reads the log when nothing
// happens, and starts checkpoints.
func (c *Catalog) follow() {
	defer c.done.Done()
	poll := time.NewTicker(c.opt.PollInterval)
	defer poll.Stop()
	var ckpt checkpointer
	defer ckpt.wait()
	fails := 0  // in a row
	unread := 0 // of them, in a row, those at which the log could not be read on
	for {
		work, in := c.owes()
		if !work {
			var due <-chan time.Time
			if in > 0 {
				due = time.After(in)
			}
			select {
			case <-c.ctx.Done():
				return
			case <-c.wake:
				continue
			case <-due:
				continue
			case <-poll.C:
			}
		}
		var err error
		if work && unread == 0 {
			err = c.appendOnce(c.ctx)
		} else {
			_ = c.ballast.room(false) // taken up also while nothing is written
			err = c.catchUp(c.ctx)
		}
		if err == nil {
			err = c.mended(c.ctx)
		}
		if c.ctx.Err() != nil {
			return
		}
		if err == nil {
			fails, unread = 0, 0
			ckpt.start(c, work)
			continue
		}
		c.failed(err)
		unread = c.judgeFailure(unread, err)
		pause := c.opt.RetryInterval
		switch remote.KindOf(err) {
		case remote.Unavailable, remote.Throttled: // the store owns the pauses between its requests
		default:
			pause = c.backoff(fails)
		}
		if unread > 0 {
			pause = min(pause, blockedPause*c.opt.RetryInterval)
		}
		if fails++; fails == 1 {
			c.log.WithError(err).Warn("the log of the library cannot be followed; trying again")
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// backoff is the pause after a failure that waiting may not mend, with so many failures before it:
// it grows to 128 times RetryInterval, about a minute.
func (c *Catalog) backoff(fails int) time.Duration {
	return c.opt.RetryInterval << min(fails, 7)
}
