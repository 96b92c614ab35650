package catalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An operation is one change by this client, from its first run until its commit is in the log.
//
//	        Update                 batch               in the log
//	run ──────────────► pending ───────────► pinned ───────────────► gone
//	                      ▲ │ another's commit  │
//	                      └─┴── undo, run again ┘
type operation struct {
	number  uint64
	base    uint64 // the commit on which it ran first: what its user saw
	session []byte
	intent  []byte
	run     func(*Tx) error    // nil: Options.Run with the intent
	frees   bool               // it frees room on this machine's disk
	changes map[string]*change // what its newest run wrote, by full key
	order   []string
	reports []string   // what its newest run told of what it met
	asked   time.Time  // when somebody asked for it, as its newest run says; zero: not known
	done    chan error // capacity 1; nil when nobody waits

	// Of those that were deferred (defer.go).
	deferred bool
	failed   func(tx *Tx, why error) error // nil: nobody is to be told
	since    time.Time                     // when it came into the outbox; zero: in an earlier process
}

// finish answers the caller, once.
func (op *operation) finish(err error) {
	if op.done != nil {
		op.done <- err
		op.done = nil
	}
}

// Update runs an operation and returns when its commit is in the log.
//
// run makes its writes through the Tx and may be called again on a newer state; intent is what
// Options.Run needs to do the same in a later process. An error of run is returned as it is and
// nothing happens; so does a run that writes nothing. When the log cannot be reached in time the
// error is Unavailable (Quota or NoSpace when that is why), when ctx ends it is Interrupted: the
// operation then stays in the outbox, visible on this machine, and still happens, also after a
// crash.
func (c *Catalog) Update(ctx context.Context, intent []byte, run func(*Tx) error) error {
	return c.update(ctx, &operation{intent: intent, run: run})
}

// UpdateToFree is Update of an operation after which this machine's disk has more room: it is still
// made when there is too little for others.
func (c *Catalog) UpdateToFree(ctx context.Context, intent []byte, run func(*Tx) error) error {
	return c.update(ctx, &operation{intent: intent, run: run, frees: true})
}

func (c *Catalog) update(ctx context.Context, op *operation) error {
	intent := op.intent
	if len(intent) > record.MaxCommitBytes {
		return remote.E("update catalog", "", remote.TooLarge, fmt.Errorf("an intent of %d bytes", len(intent)))
	}
	done := make(chan error, 1)
	op.done = done
	if number, _, err := c.submit(op); number == 0 {
		return err
	}
	return c.wait(ctx, op, done)
}

// wait waits for an operation in the outbox, whose done is given, as Update promises.
func (c *Catalog) wait(ctx context.Context, op *operation, done chan error) error {
	timeout := time.NewTimer(c.appendTimeout())
	defer timeout.Stop()
	var why error
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		why = remote.E("update catalog", "", remote.KindOf(ctx.Err()), context.Cause(ctx))
	case <-timeout.C:
		c.status.mu.Lock()
		last, kind := c.status.s.Error, remote.Unavailable
		if k := c.status.kind; k == remote.Quota || k == remote.NoSpace {
			kind = k // the program can do something about it
		}
		c.status.mu.Unlock()
		if last != "" {
			last = ": " + last
		}
		why = remote.E("update catalog", "", kind, fmt.Errorf("the log was not reached for %s%s", c.appendTimeout(), last)).
			WithHint("the change is kept and is made when the store answers again")
	}
	// From now on nobody waits: the operation runs late if it has to run again.
	c.mu.Lock()
	defer c.unlock()
	if op.done == nil {
		return <-done
	}
	op.done, op.run = nil, nil
	return why
}

// submit runs op for the first time and puts it into the outbox, unless it wrote nothing.
func (c *Catalog) submit(op *operation) (number uint64, deferred bool, err error) {
	c.mu.Lock()
	defer c.unlock()
	if err := c.writable("update catalog"); err != nil {
		return 0, false, err
	}
	if err := c.ballast.room(op.frees); err != nil {
		return 0, false, err
	}
	next, err := c.nextOperation()
	if err != nil {
		return 0, false, err
	}
	op.session, op.base = c.st.session, c.st.seq
	if err := c.execute(op, next); err != nil || op.number == 0 {
		return 0, false, err
	}
	c.queue(op)
	return op.number, op.deferred, nil
}

// maxUndo is how many bytes of former values are written in the operation's own transaction: with
// the largest operation it fits. The attributes of a node that is deleted may be many times as
// much.
const maxUndo = 256 << 10

// execute runs op on the present state in one transaction with its undo records and its entry in
// the outbox. mu is held.
func (c *Catalog) execute(op *operation, number uint64) error {
	tx := c.begin()
	tx.late, tx.base = op.run == nil, op.base
	run := op.run
	if run == nil {
		run = func(tx *Tx) error { return c.opt.Run(tx, op.intent) }
	}
	err := run(tx)
	op.asked = tx.asked
	if err != nil {
		tx.discard()
		return err
	}
	tx.flushUsage()
	if tx.err == nil && len(tx.keys) > 0 &&
		(len(tx.replicated()) > record.MaxCommitWrites || tx.cost > record.MaxCommitBytes-(16<<10)) {
		tx.err = remote.E(
			"update catalog", "", remote.TooLarge,
			fmt.Errorf("one operation writes %d records of %d bytes", len(tx.keys), tx.cost),
		)
	}
	if tx.err != nil || len(tx.keys) == 0 && op.number == 0 {
		tx.discard()
		return tx.err
	}
	added := make([]string, 0, len(tx.order))
	size := 0
	for _, k := range tx.order {
		if _, ok := c.st.undo[k]; !ok {
			added = append(added, k)
			size += len(tx.changes[k].old)
		}
	}
	write := func(set func(key, value []byte) error) error {
		for _, k := range added {
			if err := set(full(classUndo, []byte(k)), undoValue(tx.changes[k].old)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.keepOrphans(tx, op.number == 0); err != nil {
		tx.discard()
		return err
	}
	if size > maxUndo {
		// Before the operation, and on their own: until it is written, an undo record holds what
		// its key holds anyway.
		if err := c.inPieces(write); err != nil {
			tx.discard()
			return err
		}
		for _, k := range added {
			c.st.undo[k] = tx.changes[k].old
		}
		added = nil
	} else if err := write(tx.put); err != nil {
		tx.discard()
		return err
	}
	if op.number == 0 {
		tx.raw(baseKey(number), binary.BigEndian.AppendUint64(nil, op.base))
	}
	tx.raw(outboxKey(number), append(append(make([]byte, 0, 16+len(op.intent)), op.session...), op.intent...))
	if err := tx.commit(); err != nil {
		return err
	}
	if c.opt.Orphaned != nil {
		for id := range tx.orphans {
			c.opt.Orphaned(id, true, 0, "")
		}
	}
	for _, k := range added {
		c.st.undo[k] = tx.changes[k].old
	}
	op.number, op.changes, op.order, op.reports = number, tx.changes, tx.order, tx.reports
	return nil
}

// replicated lists the changed keys that go into the log, in the order of their first change.
func (tx *Tx) replicated() []string { return replicatedKeys(tx.order) }

func replicatedKeys(order []string) []string {
	var keys []string
	for _, k := range order {
		if k[0] == classRecord && (k[1] < 'A' || k[1] > 'Z') {
			keys = append(keys, k)
		}
	}
	return keys
}

// undoAll takes the catalog back to the state at the applied commit. The outbox keeps its intents.
// It runs in pieces, and goes on after a crash: each piece restores keys and drops their undo
// records. mu is held.
func (c *Catalog) undoAll() error {
	for _, op := range c.st.pending {
		op.changes, op.order = nil, nil // also if a piece fails: what they wrote does not show any more
	}
	if err := c.dropRestored(); err != nil {
		return err
	}
	for len(c.st.undo) > 0 {
		tx := c.begin()
		var piece []string
		size := 0
		for k, v := range c.st.undo {
			if k[0] == classRecord {
				tx.reindex([]byte(k[1:]), tx.get([]byte(k)), v)
			}
			tx.raw([]byte(k), v)
			tx.raw(full(classUndo, []byte(k)), nil)
			piece = append(piece, k)
			if size += 2*len(k) + len(v); len(piece) == 1000 || size > 256<<10 {
				break
			}
		}
		if err := tx.commit(); err != nil {
			return err
		}
		for _, k := range piece {
			delete(c.st.undo, k)
		}
		c.step("undo")
	}
	return nil
}

// rerun runs the intents of the outbox again, in order, on a state where none of them shows. An
// operation that fails now is answered with its error when somebody waits, and else dropped and
// reported: Options.Run is written so that this happens only when nothing is left to save. An
// intent that Options.Run does not know (Unsupported) stops it: a newer version wrote it, and will
// carry it out. touched gets the keys they write. mu is held.
func (c *Catalog) rerun(touched map[string]bool) error {
	kept := c.st.pending[:0]
	var failed error
	for i, op := range c.st.pending {
		err := c.execute(op, op.number)
		if err != nil && (isLocalFailure(err) || op.since.IsZero() && errors.Is(err, remote.Unsupported)) {
			// The disk, or an intent of a newer version, not the operation: keep what is left for
			// the next try.
			kept = append(kept, c.st.pending[i:]...)
			failed = err
			break
		}
		if err != nil {
			if derr := c.drop(op, err); derr != nil {
				kept = append(kept, c.st.pending[i:]...)
				failed = derr
				break
			}
			continue
		}
		for _, k := range op.order {
			if touched != nil {
				touched[k] = true
			}
		}
		kept = append(kept, op)
		c.step("rerun")
	}
	clear(c.st.pending[len(kept):])
	c.st.pending = kept
	c.forgetReplaced()
	c.drain.Broadcast()
	return failed
}

func isLocalFailure(err error) bool {
	k := remote.KindOf(err)
	return k == remote.NoSpace || k == remote.Other || k == remote.Corrupt || k == remote.Unavailable
}

// Sync makes the operations in the outbox survive a loss of power here. It costs nothing while all
// are in the log.
func (c *Catalog) Sync() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.st.closed || len(c.st.pending) == 0 {
		return c.readable("sync catalog")
	}
	return c.sync()
}

func localKey(name string) []byte { return full(classLocal, []byte(name)) }

func outboxKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(localKey("outbox/"), number)
}

// undoValue encodes the value of a key before: one byte that says whether it was there, then it.
func undoValue(old []byte) []byte {
	if old == nil {
		return []byte{0}
	}
	return append([]byte{1}, old...)
}

func undoOf(value []byte) []byte {
	if len(value) == 0 || value[0] == 0 {
		return nil
	}
	return append([]byte{}, value[1:]...)
}
