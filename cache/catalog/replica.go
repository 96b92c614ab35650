package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// How much of the log is read ahead before it is applied under the lock.
const (
	readCommits = 256
	readBytes   = 32 << 20
)

// catchUp applies every commit that the store has and this catalog has not. When the log no longer continues what
// was applied, it starts again from the newest checkpoint.
func (c *Catalog) catchUp(ctx context.Context) error {
	if seq, loading := c.applied(), c.isLoading(); loading || seq == 0 {
		switch err := c.loadCheckpoint(ctx); {
		case errors.Is(err, remote.NotExist) && !loading: // a young library: its log starts at 1
		case errors.Is(err, remote.NotExist):
			return remote.E("load catalog", "", remote.Corrupt, errors.New("the store has no checkpoint")).
				WithHint("the catalog directory was being rebuilt; move it away and mount again")
		case err != nil:
			return err
		}
	}
	for restarts := 0; ; restarts++ {
		err := c.readLog(ctx)
		if !errors.Is(err, remote.Stale) {
			return err
		}
		if restarts == 3 {
			return err
		}
		c.log.WithError(err).Warn("the log does not continue what this machine has; starting again from the newest checkpoint")
		if err := c.reload(ctx); err != nil {
			return err
		}
	}
}

func (c *Catalog) isLoading() bool {
	loading := false
	_ = c.View(func(tx *Tx) error {
		loading = tx.get(localKey("loading")) != nil
		return nil
	})
	return loading
}

// readLog applies what comes after the applied commit, in batches.
func (c *Catalog) readLog(ctx context.Context) error {
	var batch []remote.LogEntry
	size := 0
	apply := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := c.apply(batch)
		batch, size = nil, 0
		return err
	}
	for e, err := range c.store.Read(ctx, c.applied()+1) {
		if err != nil {
			return errors.Join(err, apply())
		}
		batch = append(batch, e)
		if size += len(e.Body); len(batch) == readCommits || size > readBytes {
			if err := apply(); err != nil {
				return err
			}
		}
	}
	if err := apply(); err != nil {
		return err
	}
	c.reached(c.applied())
	return nil
}

// apply applies commits of the log in order: the operations of the outbox are undone, the commits applied, and what
// is still in the outbox runs again on the new state.
func (c *Catalog) apply(batch []remote.LogEntry) error {
	touched := make(map[string]bool)
	err := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.st.closed {
			return remote.E("apply log", "", remote.Unavailable, errClosed)
		}
		for k := range c.st.undo {
			touched[k] = true
		}
		if err := c.undoAll(); err != nil {
			return err
		}
		var failed error
		for _, e := range batch {
			if failed = c.applyCommit(e, touched); failed != nil {
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

// applyCommit applies one commit in one transaction together with its number. No operation of the outbox shows. mu is held.
func (c *Catalog) applyCommit(e remote.LogEntry, touched map[string]bool) error {
	if e.Seq != c.st.seq+1 {
		return remote.E("apply commit", fmt.Sprint(e.Seq), remote.Stale, fmt.Errorf("commit %d was expected", c.st.seq+1))
	}
	commit, err := record.DecodeCommit(e.Body)
	if err != nil {
		return remote.E("apply commit", fmt.Sprint(e.Seq), remote.Corrupt, err)
	}
	if !bytes.Equal(commit.Previous, c.st.hash) {
		return remote.E("apply commit", fmt.Sprint(e.Seq), remote.Stale, errors.New("its predecessor is not the commit that was applied here"))
	}
	for _, w := range commit.Writes {
		if w.Key[0] == record.KeyFeature && !w.Delete {
			if err := c.checkFeature(w.Key, w.Value); err != nil {
				c.st.fatal = err
				return err
			}
		}
	}
	tx := c.begin()
	for _, w := range commit.Writes {
		if w.Delete {
			tx.Delete(w.Key)
		} else {
			tx.Put(w.Key, w.Value)
		}
	}
	drop := 0
	if commit.Author != 0 {
		cl := full(classRecord, record.ClientKey(commit.Author))
		merged, err := mergeClient(tx.get(cl), commit)
		if err != nil {
			tx.discard()
			return err
		}
		tx.raw(cl, merged)
		if commit.Author == c.ownNumber(tx) {
			drop = c.settled(commit)
			for _, op := range c.st.pending[:drop] {
				tx.raw(outboxKey(op.number), nil)
			}
		}
	}
	hash := record.Hash(e.Body)
	since := c.st.sinceCkpt + int64(len(e.Body))
	tx.flushUsage()
	tx.raw(localKey("applied"), encodeApplied(e.Seq, since, c.st.sizeCkpt, hash))
	if err := tx.commit(); err != nil {
		return err
	}
	for k := range tx.changes {
		touched[k] = true
	}
	if c.st.pin != nil && c.st.pin.seq <= e.Seq {
		c.st.pin = nil
	}
	c.st.seq, c.st.hash, c.st.sinceCkpt = e.Seq, hash, since
	for _, op := range c.st.pending[:drop] {
		op.finish(nil)
	}
	if drop > 0 {
		c.st.pending = append([]*operation(nil), c.st.pending[drop:]...)
		c.drain.Broadcast()
	}
	return nil
}

// ownNumber is this directory's client number, also while it is still opening.
func (c *Catalog) ownNumber(tx *Tx) uint32 {
	if c.st.client != 0 {
		return c.st.client
	}
	id, ok := c.readIdentity(tx)
	if !ok || !bytes.Equal(id.Machine, c.opt.Machine) {
		return 0
	}
	return id.Client
}

// settled counts the operations at the head of the outbox that a commit of ours contains. A commit by our number with a session
// that is not ours means that the catalog directory lives twice: writing on would give two nodes one number.
func (c *Catalog) settled(commit *record.Commit) int {
	n := 0
	for n < len(c.st.pending) && bytes.Equal(c.st.pending[n].session, commit.Session) && c.st.pending[n].number <= commit.LastOperation {
		n++
	}
	if n == 0 && c.st.client != 0 && !bytes.Equal(commit.Session, c.st.session) {
		c.st.fatal = remote.E("apply commit", "", remote.Conflict, fmt.Errorf("another process writes as client %d: the catalog directory was copied", commit.Author)).
			WithHint("unmount here and mount with a new catalog directory")
		c.log.Error(c.st.fatal.Error())
	}
	return n
}

// reload throws the replicated catalog away and starts again from the newest checkpoint; the outbox stays.
func (c *Catalog) reload(ctx context.Context) error {
	if err := c.loadCheckpoint(ctx); err != nil {
		if errors.Is(err, remote.NotExist) {
			return remote.E("load catalog", "", remote.Corrupt, errors.New("the log was trimmed and there is no checkpoint")).
				WithHint("the store has lost objects of the library; restore them, or ask for help before anything is written")
		}
		return err
	}
	if err := c.readLog(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.st.client == 0 && !c.opt.ReadOnly {
		return nil
	}
	return c.rerun(nil)
}

// loadCheckpoint replaces the replicated catalog by the newest checkpoint. Nobody reads meanwhile. A crash in the middle is
// marked, and the load is done again.
func (c *Catalog) loadCheckpoint(ctx context.Context) error {
	for {
		ck, err := c.store.OpenCheckpoint(ctx)
		if err != nil {
			return err
		}
		c.snap.Lock()
		c.mu.Lock()
		err = c.fill(ctx, ck)
		c.mu.Unlock()
		c.snap.Unlock()
		if !errors.Is(err, remote.Stale) {
			return err
		}
	}
}

func (c *Catalog) fill(ctx context.Context, ck remote.Checkpoint) error {
	if err := c.undoAll(); err != nil {
		return err
	}
	err := c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("loading"), []byte{1})
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.db.DropPrefix([]byte{classRecord}, []byte{classDerived}); err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	c.step("loading")
	wb := c.db.NewWriteBatch()
	defer wb.Cancel()
	for r, err := range ck.Records(ctx) {
		if err != nil {
			return err
		}
		if len(r.Key) == 0 {
			return remote.E("load checkpoint", fmt.Sprint(ck.Seq()), remote.Corrupt, errors.New("a record without a key"))
		}
		if err := wb.Set(full(classRecord, r.Key), r.Value); err != nil {
			return local("load checkpoint", c.opt.Dir, err)
		}
		if r.Key[0] != record.KeyDentry {
			continue
		}
		folder, name, ok := record.NumberOf(r.Key)
		var d record.Dentry
		if err := proto.Unmarshal(r.Value, &d); err != nil || !ok {
			return remote.E("load checkpoint", fmt.Sprint(ck.Seq()), remote.Corrupt, fmt.Errorf("malformed name %q", r.Key))
		}
		err := errors.Join(wb.Set(c.listingKey(folder, string(name)), listingValue(&d)),
			wb.Set(parentKey(d.Node, folder, string(name)), []byte{}))
		if err != nil {
			return local("load checkpoint", c.opt.Dir, err)
		}
	}
	if err := wb.Flush(); err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	err = c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("applied"), encodeApplied(ck.Seq(), 0, ck.Bytes(), ck.Hash()))
		tx.raw(localKey("loading"), nil)
		return nil
	})
	if err != nil {
		return err
	}
	c.st.seq, c.st.hash, c.st.sinceCkpt, c.st.sizeCkpt = ck.Seq(), ck.Hash(), 0, ck.Bytes()
	if c.st.pin != nil && c.st.pin.seq <= ck.Seq() {
		c.st.pin = nil
	}
	// What the checkpoint already contains of the outbox is done.
	if c.opt.ReadOnly {
		return nil
	}
	c.status.set(func(s *Status) { s.Checkpoint = ck.Seq() })
	return c.settleFromClient()
}

// settleFromClient drops the operations that the replicated record of this client says are in the log.
func (c *Catalog) settleFromClient() error {
	tx := c.begin()
	var cl record.Client
	if !tx.load(record.ClientKey(c.ownNumber(tx)), &cl) {
		tx.discard()
		return tx.err
	}
	n := 0
	for n < len(c.st.pending) && bytes.Equal(c.st.pending[n].session, cl.Session) && c.st.pending[n].number <= cl.LastOperation {
		tx.raw(outboxKey(c.st.pending[n].number), nil)
		n++
	}
	if err := tx.commit(); err != nil {
		return err
	}
	for _, op := range c.st.pending[:n] {
		op.finish(nil)
	}
	c.st.pending = append([]*operation(nil), c.st.pending[n:]...)
	c.drain.Broadcast()
	return nil
}

// A checkpointer writes checkpoints behind, one at a time.
type checkpointer struct {
	running atomic.Bool
	wg      sync.WaitGroup
}

func (k *checkpointer) wait() { k.wg.Wait() }

// start begins a checkpoint when one is due.
func (k *checkpointer) start(c *Catalog) {
	c.mu.RLock()
	due := !c.opt.ReadOnly && c.st.sinceCkpt > max(c.opt.CheckpointBytes, c.st.sizeCkpt/4)
	c.mu.RUnlock()
	if !due || !k.running.CompareAndSwap(false, true) {
		return
	}
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		defer k.running.Store(false)
		if err := c.Checkpoint(c.ctx); err != nil && c.ctx.Err() == nil {
			c.log.WithError(err).Warn("a checkpoint could not be written; it will be tried again")
		}
	}()
}
