package catalog

import (
	"bytes"
	"encoding/binary"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"mediafs/cache/catalog/index"
	"mediafs/remote/terms"
)

// Asking the index works in a View only: in a transaction that writes, what that changes does not show. What is
// found must be looked at: a posting may come from a value that another record overrides, and from a media in the trash. Nothing is missing once the
// index is ready.

// IndexReady tells how far the index is: of about total records, done are indexed. While it is not ready, searches miss media.
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

// Terms yields the terms of a kind that begin with prefix, ascending, each once. It costs a seek a term, however many media the term has. Look at Err after it.
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

// Postings yields the nodes of the terms of a kind from one term to another, both included: by term, and of each term by node, ascending, no pair twice. A node that has
// several of the terms comes several times. Look at Err after it.
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

// A Cursor goes through the nodes of one term, descending: the newest of each machine first. It is good until its View ends.
type Cursor struct {
	it     *badger.Iterator
	prefix []byte
}

// Cursor opens one. It costs an iterator of the database, which is kept until the View ends.
func (tx *Tx) Cursor(kind terms.Kind, term string) *Cursor {
	prefix := index.Prefix([]byte{classDerived, index.PostingLetter}, kind, term)
	opt := keysUnder(prefix)
	opt.Reverse = true
	c := &Cursor{it: tx.txn.NewIterator(opt), prefix: prefix}
	tx.cursors = append(tx.cursors, c.it)
	return c
}

// Seek finds the greatest node that is not above at; ok is false when there is none. Nodes may be sought in any order; descending is fastest.
func (c *Cursor) Seek(at uint64) (node uint64, ok bool) {
	key := binary.BigEndian.AppendUint64(bytes.Clone(c.prefix), at)
	for i := 0; i < 16; i++ {
		key = append(key, 0xff) // behind every source
	}
	c.it.Seek(key)
	if !c.it.ValidForPrefix(c.prefix) || len(c.it.Item().Key()) < len(c.prefix)+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(c.it.Item().Key()[len(c.prefix):]), true
}

// MediaNodes yields the nodes that carry a media id, ascending: one but for copies that somebody else's program made. Look at Err after it.
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
