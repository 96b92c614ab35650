package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// How much of the log is read ahead before it is applied under the lock. While the library is
// mounted somebody waits for the lock: then it is little. But the outbox runs again each time, so
// that a long one is worth a longer hold.
const (
	readCommits = 256
	readBytes   = 32 << 20

	mountedCommits = 16
	mountedWrites  = 5000 // about 50 ms
)

// enough tells whether a batch is to be applied before it grows.
func (c *Catalog) enough(commits, writes int, bytes int64) bool {
	if !c.mounted {
		return commits >= readCommits || bytes >= readBytes
	}
	outbox := c.Status().Outbox
	return commits >= min(mountedCommits+outbox, readCommits) || writes >= mountedWrites+5*outbox
}

// A logged is a commit of the log, decoded.
type logged struct {
	seq    uint64
	size   int64
	body   []byte
	hash   []byte
	commit *record.Commit
}

// decode reads a commit before any lock is taken. One that turns on a feature that this program
// does not know ends all writing.
func (c *Catalog) decode(e remote.LogEntry) (logged, error) {
	commit, err := record.DecodeCommit(e.Body)
	if err != nil {
		return logged{}, remote.E("read log", fmt.Sprint(e.Seq), remote.Corrupt, err)
	}
	for _, w := range commit.Writes {
		if w.Key[0] != record.KeyFeature || w.Delete {
			continue
		}
		if err := c.checkFeature(w.Key, w.Value); err != nil {
			return logged{}, err
		}
	}
	return logged{seq: e.Seq, size: int64(len(e.Body)), body: e.Body, hash: record.Hash(e.Body), commit: commit}, nil
}

// follows tells whether l is the commit after seq, whose hash is given.
func (l logged) follows(seq uint64, hash []byte) error {
	if l.seq != seq+1 {
		return remote.E("apply commit", fmt.Sprint(l.seq), remote.Stale, fmt.Errorf("commit %d was expected", seq+1))
	}
	if !bytes.Equal(l.commit.Previous, hash) {
		return remote.E(
			"apply commit", fmt.Sprint(l.seq), remote.Stale,
			fmt.Errorf("its predecessor is not commit %d as it is known here", seq),
		)
	}
	return nil
}

// catchUp applies every commit that the store has and this catalog has not. When the log no longer
// continues what was applied, it starts again from the newest checkpoint.
func (c *Catalog) catchUp(ctx context.Context) error {
	err := c.tryCatchUp(ctx)
	if errors.Is(err, remote.Unsupported) && c.mounted {
		c.mu.Lock()
		c.setFatal(err)
		c.unlock()
	}
	return err
}

func (c *Catalog) tryCatchUp(ctx context.Context) error {
	c.mu.RLock()
	begin := c.st.loading != nil || c.st.seq == 0
	c.mu.RUnlock()
	if begin {
		if _, err := c.load(ctx); err != nil {
			return err
		}
	}
	err := c.readLog(ctx)
	if errors.Is(err, remote.Corrupt) && c.checkpointAhead(ctx) { // which does without that commit
		err = remote.E("read log", "", remote.Stale, errors.New(err.Error()))
	}
	if !errors.Is(err, remote.Stale) {
		return err
	}
	c.log.WithError(err).
		Warn("the log does not continue what this machine has; starting again from the newest checkpoint")
	switch loaded, lerr := c.load(ctx); {
	case errors.Is(lerr, remote.Corrupt):
		return remote.E("read log", "", remote.Corrupt, fmt.Errorf("%v; %v", err, lerr)).WithHint(lost)
	case lerr != nil:
		return lerr
	case !loaded && begin:
		// a library without a checkpoint was never trimmed
		return remote.E("read log", "", remote.Corrupt, errors.New(err.Error())).WithHint(lost)
	case !loaded:
		return err // it does not continue the newest checkpoint either
	}
	return c.readLog(ctx)
}

// setFatal ends all writing: nothing is appended any more, and who waits is answered. What is in
// the outbox stays there. mu is held.
func (c *Catalog) setFatal(err error) {
	if c.st.fatal != nil {
		return
	}
	c.st.fatal = err
	c.log.Error(err.Error())
	for _, op := range c.st.pending {
		op.finish(err)
		op.run = nil
	}
	c.drain.Broadcast()
}

// readLog applies what comes after the applied commit, in batches.
func (c *Catalog) readLog(ctx context.Context) error {
	var batch []logged
	writes, size := 0, int64(0)
	progress := &logProgress{c: c, first: c.applied()}
	defer progress.end()
	apply := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := c.apply(batch)
		batch, writes, size = nil, 0, 0
		return err
	}
	for e, err := range c.store.Read(ctx, c.applied()+1) {
		if err != nil {
			return errors.Join(err, apply())
		}
		l, err := c.decode(e)
		if err != nil {
			return errors.Join(err, apply())
		}
		batch, writes, size = append(batch, l), writes+len(l.commit.Writes), size+l.size
		if c.enough(len(batch), writes, size) {
			if err := apply(); err != nil {
				return err
			}
			progress.read(ctx, c.applied())
		}
	}
	if err := apply(); err != nil {
		return err
	}
	c.reached(c.applied())
	return nil
}

// apply applies commits of the log in order: the operations of the outbox are undone, the commits
// applied, and what is still in the outbox runs again on the new state.
func (c *Catalog) apply(batch []logged) error {
	touched := make(map[string]bool)
	err := func() error {
		c.mu.Lock()
		defer c.unlock()
		if err := c.readable("apply log"); err != nil {
			return err
		}
		if err := c.ballast.room(len(c.st.pending) > 0); err != nil { // what waits for the log may be what frees room
			return err
		}
		for k := range c.st.undo {
			touched[k] = true
		}
		if err := c.undoAll(); err != nil {
			return err
		}
		var failed error
		for _, l := range batch {
			if failed = c.applyCommit(l, touched); failed != nil {
				break
			}
			c.step("applied")
		}
		if c.st.client == 0 && !c.opt.ReadOnly {
			return failed // still opening: the outbox runs after joining
		}
		if err := c.rerun(touched); err != nil {
			return err
		}
		return failed
	}()
	c.announce(touched)
	return err
}

func (c *Catalog) announce(touched map[string]bool) {
	if c.opt.Changed == nil || len(touched) == 0 {
		return
	}
	var keys [][]byte
	for k := range touched {
		if k[0] == classRecord && (k[1] < 'A' || k[1] > 'Z') {
			keys = append(keys, []byte(k[1:]))
		}
	}
	if len(keys) > 0 {
		c.opt.Changed(keys)
	}
}

// applyCommit applies one commit in one transaction together with its number. No operation of the
// outbox shows. touched gets the keys it changes, if it is not nil. mu is held.
func (c *Catalog) applyCommit(l logged, touched map[string]bool) error {
	if err := l.follows(c.st.seq, c.st.hash); err != nil {
		return err
	}
	commit := l.commit
	if err := c.makeOrphans(commit); err != nil {
		return err
	}
	tx := c.begin()
	tx.applying = true
	for _, w := range commit.Writes {
		if w.Delete {
			tx.Delete(w.Key)
		} else {
			tx.Put(w.Key, w.Value)
		}
	}
	if err := c.keepReplaced(tx, l); err != nil {
		tx.discard()
		return err
	}
	// A commit under our number is the batch that is pinned, or somebody else's. Where the log is
	// read anew, judge does this at the end.
	own := c.st.client != 0 && commit.Author == c.st.client && c.st.loading == nil
	ours := own && c.st.pin != nil && c.st.pin.seq == l.seq && bytes.Equal(c.st.pin.body, l.body)
	drop := 0
	if commit.Author != 0 {
		cl := full(classRecord, record.ClientKey(commit.Author))
		merged, err := mergeClient(tx.get(cl), commit)
		if err != nil {
			tx.discard()
			return err
		}
		tx.raw(cl, merged)
	}
	if ours {
		drop = c.contained(commit.Session, commit.LastOperation)
		for _, op := range c.st.pending[:drop] {
			tx.raw(outboxKey(op.number), nil)
			tx.raw(baseKey(op.number), nil)
		}
	}
	since := c.st.ckpt.after(c.opt.commitCost(l.size))
	tx.flushUsage()
	tx.raw(localKey("applied"), encodeApplied(l.seq, since, l.hash))
	if err := tx.commit(); err != nil {
		return err
	}
	if touched != nil {
		for k := range tx.changes {
			touched[k] = true
		}
	}
	c.st.seq, c.st.hash, c.st.ckpt = l.seq, l.hash, since
	if c.st.loading == nil {
		c.endPin()
	}
	switch {
	case ours:
		c.st.own = authored{commit.Session, commit.LastOperation}
		c.settle(drop)
	case own:
		c.setFatal(c.impostor())
	}
	return nil
}

// endPin ends a pin whose number is occupied. mu is held.
func (c *Catalog) endPin() {
	if c.st.pin != nil && c.st.pin.seq <= c.st.seq {
		c.st.pin = nil
	}
}
