package catalog

import (
	"bytes"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"

	"mediafs/remote"
)

// A bulk writes the records of a checkpoint, and what is derived from them, into a catalog from
// which they were dropped. Replicated records come in order. Nothing of it counts before end.
type bulk interface {
	set(key, value []byte) error
	end() error
	cancel() // after end: nothing
}

// bulk drops what is there and begins. In a directory that has not joined, and so knows nothing
// that the store does not, everything goes into new tables of Badger's without passing its logs and
// its levels, which takes a third of the time. Else the local records, which may be the only copy
// of a change, must stay: then it is written in transactions. mu is held and the loading mark is
// set.
func (c *Catalog) bulk() (bulk, error) {
	kept, ok, err := c.expendable()
	if err != nil {
		return nil, err
	}
	if ok {
		return c.newTables(kept)
	}
	if err := c.db.DropPrefix([]byte{classRecord}, []byte{classDerived}, []byte{classUndo}); err != nil {
		return nil, local("load checkpoint", c.opt.Dir, err)
	}
	return transactions{c, c.db.NewWriteBatch()}, nil
}

// transactions is a bulk of many transactions.
type transactions struct {
	c  *Catalog
	wb *badger.WriteBatch
}

func (t transactions) set(key, value []byte) error { return t.wb.Set(key, value) }
func (t transactions) end() error                  { return t.wb.Flush() }
func (t transactions) cancel()                     { t.wb.Cancel() }

// maxExpendable is far more local records than a directory has that has not joined.
const maxExpendable = 100

// expendable gives the local records if the directory could be made anew: it has no identity, no
// applied commit and nothing in the outbox.
func (c *Catalog) expendable() (kept []remote.Record, ok bool, err error) {
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	if tx.get(localKey("identity")) != nil || tx.get(localKey("applied")) != nil || len(c.st.pending) > 0 ||
		c.st.pin != nil {
		return nil, false, tx.err
	}
	for k, v := range tx.scan([]byte{classLocal}, []byte{classLocal}, true) {
		if len(kept) == maxExpendable {
			return nil, false, nil
		}
		kept = append(kept, remote.Record{Key: bytes.Clone(k), Value: v})
	}
	return kept, tx.err == nil, tx.err
}

// tables is a bulk that makes tables. A crash in the middle leaves a directory without applied
// commit, whose records count for nothing (see loadLocal).
type tables struct {
	c       *Catalog
	sw      *badger.StreamWriter
	buf     *z.Buffer // what goes to sw next
	derived *sorter   // comes in any order
	kept    []remote.Record
	last    []byte // the last record's key
	ended   bool
}

const (
	tableBuffer  = 256 << 10 // bytes given to Badger at once
	sorterMemory = 8 << 20
)

func (c *Catalog) newTables(kept []remote.Record) (bulk, error) {
	t := &tables{
		c:       c,
		sw:      c.db.NewStreamWriter(),
		buf:     z.NewBuffer(2*tableBuffer, "load"),
		derived: newSorter(c.opt.Dir, sorterMemory),
		kept:    kept,
	}
	if err := t.sw.Prepare(); err != nil { // drops everything
		t.cancel()
		return nil, local("load checkpoint", c.opt.Dir, err)
	}
	return t, nil
}

func (t *tables) set(key, value []byte) error {
	if key[0] == classDerived {
		return t.derived.add(key, value)
	}
	if bytes.Compare(t.last, key) >= 0 {
		return remote.E(
			"load checkpoint", fmt.Sprintf("%q", key[1:]), remote.Corrupt, fmt.Errorf("it comes after %q", t.last[1:]),
		)
	}
	t.last = append(t.last[:0], key...)
	return t.put(key, value)
}

// put gives a pair to the stream of its class, each of which ascends.
func (t *tables) put(key, value []byte) error {
	badger.KVToBuffer(&pb.KV{Key: key, Value: value, Version: 1, StreamId: uint32(key[0])}, t.buf)
	if t.buf.LenNoPadding() < tableBuffer {
		return nil
	}
	return t.flush()
}

func (t *tables) flush() error {
	err := t.sw.Write(t.buf)
	t.buf.Reset()
	return err
}

// done ends the stream of a class: what it holds in memory becomes its last table.
func (t *tables) done(class byte) {
	if len(t.last) > 0 {
		badger.KVToBuffer(&pb.KV{StreamId: uint32(class), StreamDone: true}, t.buf)
	}
}

func (t *tables) end() error {
	t.done(classRecord)
	err := t.derived.each(t.put)
	if err != nil {
		return err
	}
	for _, r := range t.kept {
		if err := t.put(r.Key, r.Value); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	t.ended = true
	err = t.sw.Flush()
	t.free()
	return err
}

func (t *tables) cancel() {
	if !t.ended {
		t.ended = true
		t.sw.Cancel()
		t.free()
	}
}

func (t *tables) free() {
	if t.buf != nil {
		t.buf.Release() //nolint:errcheck // memory
		t.buf = nil
	}
	t.derived.close() //nolint:errcheck // a file without a name, which was read
}
