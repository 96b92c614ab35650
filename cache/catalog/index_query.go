package catalog

import (
	"bytes"
	"encoding/binary"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"mediafs/cache/catalog/index"
	"mediafs/remote/bucket/record"
	"mediafs/remote/terms"
)

// Asking the index works in a View only: in a transaction that writes, what that changes does not
// show. What is found must be looked at: a posting may come from a value that another record
// overrides, and from a media in the trash. Nothing is missing once the index is ready.

// IndexReady tells how far the index is: of about total records, done are indexed. While it is not
// ready, searches miss media.
func (c *Catalog) IndexReady() (done, total uint64, ready bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.indexReady()
}

// IndexReady is Catalog.IndexReady at this look.
func (tx *Tx) IndexReady() (done, total uint64, ready bool) { return tx.c.indexReady() }

func (c *Catalog) indexReady() (done, total uint64, ready bool) {
	s := c.st.index
	return s.done, max(s.done, s.total), s.ready && !s.owed && !c.opt.NoIndex
}

func keysUnder(prefix []byte) badger.IteratorOptions {
	opt := badger.DefaultIteratorOptions
	opt.Prefix = prefix
	opt.PrefetchValues = false
	return opt
}

func postingPrefix(kind terms.Kind) []byte {
	return append(make([]byte, 0, 64), classDerived, index.PostingLetter, byte(kind))
}

// Terms yields the terms of a kind that begin with prefix, ascending, each once. It costs a seek a
// term, however many media the term has. Look at Err after it.
func (tx *Tx) Terms(kind terms.Kind, prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		within := append(postingPrefix(kind), prefix...)
		it := tx.txn.NewIterator(keysUnder(within))
		defer it.Close()
		for it.Seek(within); it.ValidForPrefix(within); {
			_, term, _, ok := index.Parse(it.Item().Key()[2:])
			if !ok {
				it.Next()
				continue
			}
			t := string(term)
			if !yield(t) {
				return
			}
			// Behind all nodes of this term: node ids have no more than 63 bits.
			it.Seek(append(index.Prefix([]byte{classDerived, index.PostingLetter}, kind, t), 0xff))
		}
	}
}

// Postings yields the nodes of the terms of a kind from one term to another, both included: by
// term, and of each term by node, ascending, no pair twice. A node that has several of the terms
// comes several times. Look at Err after it.
func (tx *Tx) Postings(kind terms.Kind, from, to string) iter.Seq2[string, uint64] {
	return tx.postings(kind, from, to, false)
}

// PostingsDown is Postings backwards: the greatest term and node first.
func (tx *Tx) PostingsDown(kind terms.Kind, from, to string) iter.Seq2[string, uint64] {
	return tx.postings(kind, from, to, true)
}

func (tx *Tx) postings(kind terms.Kind, from, to string, down bool) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		first := index.Prefix([]byte{classDerived, index.PostingLetter}, kind, from)
		last := index.Prefix([]byte{classDerived, index.PostingLetter}, kind, to)
		opt := keysUnder(common(first, last))
		opt.Reverse = down
		it := tx.txn.NewIterator(opt)
		defer it.Close()
		if down {
			it.Seek(append(bytes.Clone(last), 0xff)) // above every node of it
		} else {
			it.Seek(first)
		}
		var term []byte
		node, any := uint64(0), false
		for ; it.Valid(); it.Next() {
			k := it.Item().Key()
			if down && bytes.Compare(k, first) < 0 || !down && bytes.Compare(k, last) > 0 && !bytes.HasPrefix(k, last) {
				return
			}
			_, t, n, ok := index.Parse(k[2:])
			if !ok || any && n == node && bytes.Equal(t, term) {
				continue
			}
			term, node, any = append(term[:0], t...), n, true
			if !yield(string(t), n) {
				return
			}
		}
	}
}

func common(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// A cursor goes through the nodes of one term.
type cursor struct {
	it     *badger.Iterator
	prefix []byte
	asked  uint64 // for which node is the answer
	node   uint64
	ok     bool
	any    bool // there was a question
}

// Cursor gives a function that finds the least node of a term that is not below at; ok is false
// when there is none. Asked in ascending order it moves on; back it can go as well. It is good
// until the View ends, and keeps an iterator of the database open until then. Look at Err after it.
func (tx *Tx) Cursor(kind terms.Kind, term string) func(at uint64) (node uint64, ok bool) {
	prefix := index.Prefix([]byte{classDerived, index.PostingLetter}, kind, term)
	c := &cursor{it: tx.txn.NewIterator(keysUnder(prefix)), prefix: prefix}
	tx.cursors = append(tx.cursors, c.it)
	return c.seek
}

// near is how many steps are worth trying before a seek, which costs about as much as so many.
const near = 4

func (c *cursor) seek(at uint64) (node uint64, ok bool) {
	if c.any && c.asked <= at && (!c.ok || at <= c.node) {
		return c.node, c.ok
	}
	forward := c.any && c.asked <= at // and beyond the node where it stands
	c.asked, c.any = at, true
	for i := 0; forward && i < near && c.here(); i++ {
		if c.node >= at {
			return c.node, true
		}
		c.it.Next()
	}
	if !forward || !c.here() || c.node < at {
		c.it.Seek(binary.BigEndian.AppendUint64(bytes.Clone(c.prefix), at))
	}
	c.here()
	return c.node, c.ok
}

// here reads where the iterator stands.
func (c *cursor) here() bool {
	c.node, c.ok = 0, false
	for ; c.it.Valid(); c.it.Next() {
		if k := c.it.Item().Key(); len(k) >= len(c.prefix)+8 {
			c.node, c.ok = binary.BigEndian.Uint64(k[len(c.prefix):]), true
			break
		}
	}
	return c.ok
}

// Nodes yields the ids of all nodes from one on, ascending, folders and all. Look at Err after it.
func (tx *Tx) Nodes(from uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for k := range tx.scan([]byte{classRecord, record.KeyNode}, full(classRecord, record.NodeKey(from)), false) {
			if node, rest, ok := record.NumberOf(k[1:]); ok && len(rest) == 0 && !yield(node) {
				return
			}
		}
	}
}

// MediaNodes yields the nodes that carry a media id, ascending: one but for copies that somebody
// else's program made. Look at Err after it.
func (tx *Tx) MediaNodes(media []byte) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		prefix := append([]byte{classDerived, index.MediaLetter}, media...)
		for k := range tx.scan(prefix, prefix, false) {
			if node, ok := mediaNode(k); ok && !yield(node) {
				return
			}
		}
	}
}
