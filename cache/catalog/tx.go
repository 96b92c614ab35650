package catalog

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Classes of keys in Badger.
const (
	classRecord  = 'R'
	classDerived = 'D'
	classLocal   = 'L'
	classUndo    = 'U'
)

// A Tx is one look at the catalog, or one change of it: all of it happens or nothing. It is used by
// one goroutine and not after its function returned. Slices it returns belong to the caller.
type Tx struct {
	c       *Catalog
	txn     *badger.Txn
	update  bool
	late    bool     // an intent that runs again without its caller
	base    uint64   // the commit on which the operation ran first
	reports []string // what a late operation tells
	asked   time.Time
	// applying tells that a commit of the log is written: its orphans were made before
	applying bool
	orphans  map[uint64][]byte // nodes that the operation deletes and that are referenced here, with their last records
	changes  map[string]*change
	order    []string // full keys in the order of their first change
	usage    usageDelta
	err      error
	keys     [][]byte // replicated keys changed; for announcements
	cost     int      // bytes of replicated writes
	index    *reindexer
	cursors  []*badger.Iterator // closed with the transaction
}

type change struct {
	old, new []byte // nil: absent
}

// View calls fn with the catalog as it is, operations in the outbox included.
func (c *Catalog) View(fn func(tx *Tx) error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.readable("read catalog"); err != nil {
		return err
	}
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

// begin starts a change. mu is held exclusively until commit or discard.
func (c *Catalog) begin() *Tx {
	return &Tx{c: c, txn: c.db.NewTransaction(true), update: true, changes: make(map[string]*change)}
}

func (tx *Tx) discard() {
	for _, it := range tx.cursors {
		it.Close()
	}
	tx.index.close()
	tx.txn.Discard()
}

// commit makes the change happen in Badger: atomic, and on disk after a crash of this process.
func (tx *Tx) commit() error {
	defer tx.discard()
	tx.flushUsage()
	if tx.err != nil {
		return tx.err
	}
	owed, err := tx.flushIndex()
	if err != nil {
		return err
	}
	if err := tx.txn.Commit(); err != nil {
		return remote.E("write catalog", tx.c.opt.Dir, localKind(err), err)
	}
	if owed {
		tx.c.oweJournal()
	}
	return nil
}

// Err is the first error that the transaction met; iterators end early on one.
func (tx *Tx) Err() error { return tx.err }

// Late tells that the operation runs again after its caller was answered or is gone: what it meant
// must be saved, not refused.
func (tx *Tx) Late() bool { return tx.late }

// Writes is the number of replicated writes so far; a commit takes record.MaxCommitWrites.
func (tx *Tx) Writes() int { return len(tx.keys) }

func (tx *Tx) fail(op string, err error) {
	if tx.err == nil && err != nil {
		tx.err = remote.E(op, tx.c.opt.Dir, localKind(err), err)
	}
}

// get reads a full key; nil when it is absent.
func (tx *Tx) get(full []byte) []byte {
	item, err := tx.txn.Get(full)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		tx.fail("read catalog", err)
		return nil
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		tx.fail("read catalog", err)
		return nil
	}
	if v == nil {
		v = []byte{}
	}
	return v
}

// set writes a full key (nil: deletes it) and remembers what was there.
func (tx *Tx) set(full []byte, value []byte) {
	k := string(full)
	ch := tx.changes[k]
	if ch == nil {
		ch = &change{old: tx.get(full)}
		tx.changes[k] = ch
		tx.order = append(tx.order, k)
	}
	ch.new = value
	tx.raw(full, value)
}

// raw writes a full key and remembers nothing.
func (tx *Tx) raw(full []byte, value []byte) { _ = tx.put(full, value) }

// put is raw for who wants the error at once; it is the transaction's as well.
func (tx *Tx) put(full, value []byte) error {
	var err error
	if value == nil {
		err = tx.txn.Delete(full)
	} else {
		err = tx.txn.Set(full, value)
	}
	tx.fail("write catalog", err)
	return tx.err
}

func full(class byte, key []byte) []byte {
	f := make([]byte, 1, 1+len(key))
	f[0] = class
	return append(f, key...)
}

// Get reads a replicated record or counter; nil when it is absent.
func (tx *Tx) Get(key []byte) []byte { return tx.get(full(classRecord, key)) }

// Put writes a replicated record and what is derived from it.
func (tx *Tx) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	tx.write(key, value)
}

// Delete deletes a replicated record and what is derived from it.
func (tx *Tx) Delete(key []byte) { tx.write(key, nil) }

func (tx *Tx) write(key, value []byte) {
	if !tx.update {
		panic("catalog: write in a view")
	}
	if len(value) > record.MaxRecord || len(key) > record.MaxKey {
		if tx.err == nil {
			tx.err = remote.E(
				"write record", fmt.Sprintf("%q", key), remote.TooLarge,
				fmt.Errorf("%d bytes, at most %d", len(value), record.MaxRecord),
			)
		}
		return
	}
	f := full(classRecord, key)
	old := tx.get(f)
	tx.set(f, value)
	tx.cost += len(key) + len(value)
	tx.keys = append(tx.keys, key)
	tx.derive(key, old, value)
	tx.reindex(key, old, value)
}

// scan yields full keys with a prefix from a start on, ascending. The key is valid until the next
// step; the value is a copy.
func (tx *Tx) scan(prefix, from []byte, values bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		opt := badger.DefaultIteratorOptions
		opt.Prefix = prefix
		opt.PrefetchValues = false
		it := tx.txn.NewIterator(opt)
		defer it.Close()
		for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
			var v []byte
			if values {
				var err error
				if v, err = it.Item().ValueCopy(nil); err != nil {
					tx.fail("read catalog", err)
					return
				}
			}
			if !yield(it.Item().Key(), v) {
				return
			}
		}
	}
}

// Records yields the replicated records whose keys begin with prefix, ascending, with copies of
// keys and values. Look at Err after it.
func (tx *Tx) Records(prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		p := full(classRecord, prefix)
		for k, v := range tx.scan(p, p, true) {
			if !yield(append([]byte(nil), k[1:]...), v) {
				return
			}
		}
	}
}

// RecordsFrom is Records from a key on that has the prefix.
func (tx *Tx) RecordsFrom(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for k, v := range tx.scan(full(classRecord, prefix), full(classRecord, from), true) {
			if !yield(append([]byte(nil), k[1:]...), v) {
				return
			}
		}
	}
}

// Last returns the last replicated record whose key begins with prefix; nil when there is none.
func (tx *Tx) Last(prefix []byte) (key, value []byte) {
	opt := badger.DefaultIteratorOptions
	opt.Reverse = true
	opt.PrefetchValues = false
	p := full(classRecord, prefix)
	it := tx.txn.NewIterator(opt)
	defer it.Close()
	// The greatest key with the prefix is below the prefix followed by more 0xff than any key has
	// bytes.
	seek := append([]byte(nil), p...)
	for len(seek) < len(p)+32 {
		seek = append(seek, 0xff)
	}
	it.Seek(seek)
	if !it.ValidForPrefix(p) {
		return nil, nil
	}
	v, err := it.Item().ValueCopy(nil)
	if err != nil {
		tx.fail("read catalog", err)
		return nil, nil
	}
	return it.Item().KeyCopy(nil)[1:], v
}

// load reads a record into m; ok is false when it is absent or the transaction failed.
func (tx *Tx) load(key []byte, m proto.Message) (ok bool) {
	return tx.decode(key, tx.Get(key), m)
}

func (tx *Tx) decode(key, value []byte, m proto.Message) (ok bool) {
	if value == nil {
		return false
	}
	if err := proto.Unmarshal(value, m); err != nil {
		if tx.err == nil {
			tx.err = remote.E("read record", fmt.Sprintf("%q", key), remote.Corrupt, err)
		}
		return false
	}
	return true
}

// Store writes m as the record of key.
func (tx *Tx) Store(key []byte, m proto.Message) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		tx.fail("write record", err)
		return
	}
	tx.Put(key, b)
}

// Dentry reads a name in a folder; nil when there is none.
func (tx *Tx) Dentry(folder uint64, name string) *record.Dentry {
	d := new(record.Dentry)
	if tx.load(record.DentryKey(folder, name), d) {
		return d
	}
	return nil
}

// Content reads what is known of a content; nil when nothing is.
func (tx *Tx) Content(id []byte) *record.Content {
	m := new(record.Content)
	if tx.load(record.ContentKey(id), m) {
		return m
	}
	return nil
}

// Load reads any record into m and tells whether it is there.
func (tx *Tx) Load(key []byte, m proto.Message) bool { return tx.load(key, m) }

// Counts reads what a folder holds.
func (tx *Tx) Counts(folder uint64) (n record.Counts) {
	record.DecodeCounters(tx.Get(record.CountsKey(folder)), &n.Children, &n.Folders)
	return n
}

// Links reads the number of names of a node.
func (tx *Tx) Links(node uint64) (n uint64) {
	record.DecodeCounters(tx.Get(record.LinksKey(node)), &n)
	return n
}

// Usage reads what the library holds.
func (tx *Tx) Usage() (u record.Usage) {
	record.DecodeCounters(tx.Get(record.UsageKey()), &u.Nodes, &u.Live, &u.Versions, &u.Contents)
	return u
}

func featureNote(value []byte) string {
	var f record.Feature
	if proto.Unmarshal(value, &f) == nil && f.Note != "" {
		return fmt.Sprintf(" (%s)", f.Note)
	}
	return ""
}
