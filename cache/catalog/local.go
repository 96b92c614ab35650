package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Local records: what only this machine knows. The outbox (outbox.go) and the pin (pin.go, a file
// of its own) may be the only copy of a change, so their encodings stay readable.
//
//	identity      JSON: library, client number, machine
//	applied       number of the applied commit, cost of the log since the checkpoint, size of that, the commit's hash, the
//	              checkpoint's number
//	sessions      under which this directory appends, 16 bytes each, oldest first
//	ids, ops      the counters' reserved upper bounds
//	index, postings   of the index (index.go)
//	loading       present while a checkpoint is being loaded: what is there is not a catalog. So is what
//	              there is without an applied commit
//	had           newest commit that was applied before a catalog was given up, until it is again
//	orphan/<node> a deleted node that is still referenced; with a name after it, one of its attributes (orphan.go)
//	outbox/<n>    operation n: its session (16 bytes), its intent
//	base/<n>      the commit on which operation n ran first (seen.go)
//	replaced/<key><n>  a record as it was before another machine's commit n; without a key:
//	              checkpoint n took the place of all

// counter hands out numbers; next is the next one, limit the first that is not reserved on disk
// yet.
type counter struct{ next, limit uint64 }

const reserved = 4096 // numbers reserved ahead: one sync for so many

// updateLocal changes local records in one transaction. It takes no lock.
func (c *Catalog) updateLocal(fn func(tx *Tx) error) error {
	tx := c.begin()
	if err := fn(tx); err != nil {
		tx.discard()
		return err
	}
	return tx.commit()
}

// inPieces writes full keys (nil: deletes) in as many transactions as they need: a crash leaves
// some of them written. It takes no lock.
func (c *Catalog) inPieces(fn func(set func(key, value []byte) error) error) error {
	wb := c.db.NewWriteBatch()
	defer wb.Cancel()
	err := fn(func(key, value []byte) error {
		if value == nil {
			return wb.Delete(key)
		}
		return wb.Set(key, value)
	})
	if err == nil {
		err = wb.Flush()
	}
	if err != nil {
		return local("write catalog", c.opt.Dir, err)
	}
	return nil
}

// loadLocal reads the local records at the start.
func (c *Catalog) loadLocal() error {
	if err := c.loadHash(); err != nil {
		return err
	}
	c.st.session = newSession()
	txn := c.db.NewTransaction(false)
	defer txn.Discard()
	tx := &Tx{c: c, txn: txn}
	if id, ok := c.readIdentity(tx); ok && c.opt.Library != "" && id.Library != c.opt.Library {
		return remote.E("open catalog", c.opt.Dir, remote.Invalid, fmt.Errorf("it belongs to library %s, the store holds library %s", id.Library, c.opt.Library)).
			WithHint("give this store a catalog directory of its own with --catalog-dir")
	}
	if b := tx.get(localKey("applied")); b != nil {
		c.decodeApplied(b)
	} else {
		for range tx.scan([]byte{classRecord}, []byte{classRecord}, false) {
			c.st.loading = errors.New("a checkpoint was being loaded when the last process ended")
			break
		}
	}
	c.st.ids.next = decodeNumber(tx.get(localKey("ids")))
	c.st.ops.next = max(decodeNumber(tx.get(localKey("ops"))), 1)
	c.st.ids.limit, c.st.ops.limit = c.st.ids.next, c.st.ops.next
	c.st.sessions = tx.get(localKey("sessions"))
	for k, v := range tx.scan([]byte{classUndo}, []byte{classUndo}, true) {
		c.st.undo[string(k[1:])] = undoOf(v)
	}
	if tx.get(localKey("loading")) != nil {
		c.st.loading = errors.New("a checkpoint was being loaded when the last process ended")
	}
	if c.opt.ReadOnly {
		return tx.err // the outbox waits for a mount that writes
	}
	prefix := localKey("outbox/")
	for k, v := range tx.scan(prefix, prefix, true) {
		if len(v) < 16 || len(k) != len(prefix)+8 {
			return remote.E("open catalog", c.opt.Dir, remote.Corrupt, errors.New("malformed entry in the outbox"))
		}
		c.st.pending = append(
			c.st.pending, &operation{number: binary.BigEndian.Uint64(k[len(prefix):]), session: v[:16], intent: v[16:]},
		)
	}
	c.loadBases(tx)
	p, err := c.pins.load()
	if err != nil {
		return err
	}
	if p != nil && p.seq > c.st.seq {
		c.st.pin = p
	}
	if tx.err != nil {
		return tx.err
	}
	// Nobody refers to an orphan of an earlier process.
	return c.inPieces(func(set func(key, value []byte) error) error {
		p := localKey("orphan/")
		for k := range tx.scan(p, p, false) {
			if err := set(append([]byte(nil), k...), nil); err != nil {
				return err
			}
		}
		return tx.err
	})
}

func (c *Catalog) decodeApplied(b []byte) {
	if len(b) < 24+32 {
		return
	}
	c.st.seq = binary.BigEndian.Uint64(b)
	c.st.ckpt = checkpointed{since: int64(binary.BigEndian.Uint64(b[8:])), size: int64(binary.BigEndian.Uint64(b[16:]))}
	c.st.hash = append([]byte(nil), b[24:56]...)
	if len(b) >= 64 { // earlier versions end here
		c.st.ckpt.seq = binary.BigEndian.Uint64(b[56:])
	}
}

func encodeApplied(seq uint64, k checkpointed, hash []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(k.since))
	b = binary.BigEndian.AppendUint64(b, uint64(k.size))
	if b = append(b, hash...); len(hash) < 32 {
		return b // before the first commit there is none
	}
	return binary.BigEndian.AppendUint64(b, k.seq)
}

func decodeNumber(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// reserve stores, synced, how far both counters may go. They move on together: operations that use
// ids of a new block have numbers from a new block, so that who reads an operation's number in the
// log knows whether this directory has given the ids it used (see judge). mu is held.
func (c *Catalog) reserve() error {
	ids, ops := c.st.ids.next+reserved, c.st.ops.limit+reserved
	err := c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("ids"), binary.BigEndian.AppendUint64(nil, ids))
		tx.raw(localKey("ops"), binary.BigEndian.AppendUint64(nil, ops))
		return nil
	})
	if err == nil {
		err = c.sync()
	}
	if err != nil {
		return err
	}
	c.st.ids.limit = ids
	c.st.ops.next, c.st.ops.limit = c.st.ops.limit, ops
	return nil
}

// take gives the next number of a counter. mu is held.
func (c *Catalog) take(n *counter) (uint64, error) {
	if n.next >= n.limit {
		if err := c.reserve(); err != nil {
			return 0, err
		}
	}
	n.next++
	return n.next - 1, nil
}

func (c *Catalog) nextOperation() (uint64, error) { return c.take(&c.st.ops) }

// NewID gives a node id that no other machine and no other node has.
func (c *Catalog) NewID() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.writable("make node id"); err != nil {
		return 0, err
	}
	n, err := c.take(&c.st.ids)
	if err != nil {
		return 0, err
	}
	if bits.Len64(n+1) > record.ClientShift {
		return 0, remote.E("make node id", "", remote.TooLarge, errors.New("this client has used up its numbers")).
			WithHint("mount with a new catalog directory")
	}
	return uint64(c.st.client)<<record.ClientShift | (n + 1), nil
}

func (c *Catalog) applied() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.st.seq
}

// now is the store's clock, or this machine's as long as the store has not told it.
func (c *Catalog) now() *record.Time {
	t := c.store.Now()
	if t.IsZero() {
		t = time.Now()
	}
	return &record.Time{Seconds: t.Unix(), Nanos: uint32(t.Nanosecond())}
}
