package catalog

import (
	"context"
	"errors"
	"time"

	"mediafs/remote"
)

// A log is blocked where it cannot be read on: the next object is no commit, it follows another
// commit than the one that is applied, or commits are missing. That takes nothing away of what is
// known: the catalog stays at the last commit that could be read, and takes no operations. It looks
// again and again, and goes on by itself once the object is what it was, or is gone and was
// nobody's, or a checkpoint does without it. Nothing is appended meanwhile, since nobody knows
// where the log ends, and the outbox stays as it is.

// A Blocked tells why the log cannot be read on.
type Blocked struct {
	Commit uint64 `json:"commit"` // the last one that could be read
	Why    string `json:"why"`    // names the object
	Advice string `json:"advice"` // what people can do
}

const (
	// blockedTries is how often in a row reading must fail: nothing rests on one answer of a store.
	blockedTries = 3
	// blockedPause is the longest pause between two looks at a blocked log, in RetryIntervals.
	blockedPause = 16
)

const (
	restoreAdvice = "mediafs check says what is damaged; restore the object from a backup or an earlier version of it"
	blockedAdvice = restoreAdvice + ", or delete it if it is none of the library's: no other machine has read it. " +
		"The mount becomes writable by itself then"
)

// blocking reports whether an error of following the log is one that waiting does not mend.
func blocking(err error) bool {
	return errors.Is(err, remote.Corrupt) || errors.Is(err, remote.Stale)
}

// Blocked is why nothing is written for now, an error of kind ReadOnly with a hint; nil: the log
// can be read to its end, as far as is known. It never blocks without Options.StayReadable while
// Open runs, and may at any time after.
func (c *Catalog) Blocked() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.st.blocked == nil {
		return nil
	}
	return c.blockedError("change the library", remote.ReadOnly)
}

// Unblocked is closed while the log is not blocked.
func (c *Catalog) Unblocked() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.unblocked
}

// blockedError is the error of what cannot be done while the log is blocked. mu is held.
func (c *Catalog) blockedError(op string, kind remote.Kind) error {
	return remote.E(op, "", kind, errors.New("it is read-only until its log can be read on: "+c.st.blocked.Why)).
		WithHint(c.st.blocked.Advice)
}

// block ends writing until the log can be read on. Callers that wait for an operation are answered;
// it stays in the outbox. mu is held.
func (c *Catalog) block(err error) {
	first := c.st.blocked == nil
	why := err.Error()
	if bad := c.damaged.Load(); bad != nil { // it may be why there is a log to be read at all
		why = bad.Error() + "; " + why
	}
	c.st.blocked = &Blocked{Commit: c.st.seq, Why: why, Advice: blockedAdvice}
	if !first {
		return
	}
	c.unblocked = make(chan struct{})
	c.log.WithError(err).
		Errorf("the log of the library cannot be read on after commit %d: it is read-only until that is mended (%s)", c.st.seq, blockedAdvice)
	for _, op := range c.st.pending {
		if op.done != nil {
			op.finish(
				remote.E("update catalog", "", remote.Unavailable, errors.New("the log cannot be read on: "+err.Error())).
					WithHint("the change is kept, and made when that is mended"),
			)
			op.run = nil
		}
	}
	c.drain.Broadcast()
}

// judgeFailure blocks the log when reading it has failed often enough, and counts how often in a
// row.
func (c *Catalog) judgeFailure(before int, err error) (unread int) {
	if !blocking(err) {
		return 0
	}
	if before++; before >= blockedTries {
		c.mu.Lock()
		c.block(err)
		c.unlock()
	}
	return before
}

// catchUpAtStart brings the catalog up to the store's state. With Options.StayReadable a log that
// cannot be read on leaves it at the last commit that can be, blocked.
func (c *Catalog) catchUpAtStart(ctx context.Context) error {
	for unread := 0; ; {
		err := c.catchUp(ctx)
		if err == nil {
			err = c.hadAll()
		}
		if err == nil {
			return nil
		}
		c.mu.RLock()
		known := c.st.loading == nil && c.st.seq > 0
		c.mu.RUnlock()
		if !blocking(err) || !c.opt.StayReadable {
			return err
		}
		if !known {
			return remote.E("open catalog", "", remote.KindOf(err), err).
				WithHint("nothing of the library can be read; " + restoreAdvice)
		}
		if unread = c.judgeFailure(unread, err); unread >= blockedTries {
			c.failed(err)
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(c.opt.RetryInterval):
		}
	}
}

// mended takes up writing again after the log was read to its end.
func (c *Catalog) mended(ctx context.Context) error {
	c.mu.RLock()
	blocked, joined := c.st.blocked != nil, c.st.client != 0 || c.opt.ReadOnly
	c.mu.RUnlock()
	if !blocked {
		return nil
	}
	err := c.hadAll()
	if err == nil {
		err = c.checkFeatures()
	}
	if err == nil && !joined {
		err = c.enter(ctx)
	}
	if err == nil && c.opt.Mended != nil {
		err = c.opt.Mended()
	}
	c.mu.Lock()
	defer c.unlock()
	switch remote.KindOf(err) {
	case remote.Unavailable, remote.Throttled, remote.Interrupted:
		return err // it is tried again
	}
	if err != nil {
		c.block(err) // another reason now
		return err
	}
	c.st.blocked = nil
	close(c.unblocked)
	c.log.Info("the log of the library can be read on: it is writable again")
	return nil
}

// enter joins the library and runs the outbox of earlier processes on its state.
func (c *Catalog) enter(ctx context.Context) error {
	if err := c.join(ctx); err != nil {
		return err
	}
	touched := make(map[string]bool)
	c.mu.Lock()
	err := c.rerun(touched)
	c.unlock()
	if c.mounted {
		c.announce(touched)
	}
	return err
}

// checkpointAhead reports whether there is a checkpoint after the applied commit.
func (c *Catalog) checkpointAhead(ctx context.Context) bool {
	ck, err := c.store.OpenCheckpoint(ctx)
	return err == nil && ck.Seq() > c.applied()
}
