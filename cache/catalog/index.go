package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog/index"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// The index of media: derived records under which they are found (package index). Wherever a
// replicated record of the catalog gets another value, by an operation, by a commit or by an undo,
// reindex takes its postings from the old value's to the new one's, in the same transaction.
//
// Postings are no part of what is undone by value: where the index is not built yet they are not
// there, and putting back what was there would be wrong once it is. An undo sets records and
// reindexes them instead.
//
// At any time the postings are exactly those of the records that the builder has passed
// (index_build.go), and some of those of the others, and no more.
//
//	D i <kind> <term> <node> <source>  nothing
//	D m <media id> <node>              nothing
//	L index                            how far the builder is, and of which version
//	L postings/<n>                     journal: changes of postings that do not fit the transaction of the change they follow from
//	L postings                         present when the journal counts

// More than so many changes of postings of a transaction go through the journal. The largest commit
// takes 1.4 MB and 8,000 entries of a transaction that holds 1.8 MB and 19,000; what an operation
// of a program changes is far below.
const (
	maxInline      = 4000
	maxInlineBytes = 240 << 10
	journalPiece   = 256 << 10
)

// A reindexer is what one transaction knows of the index: the changes it makes, and a look at the
// catalog as it was before it, through iterators that a transaction that writes could not have
// several of.
type reindexer struct {
	changes     map[string]bool              // full key → set or deleted
	size        int                          // bytes of their keys
	mapped      map[string]map[uint64]bool   // media id → nodes that came to carry it (true) or ceased to
	attachments map[string]map[string][]byte // media id → key → value of what was attached or, nil, taken off

	before   *badger.Txn
	nodes    *badger.Iterator // D m
	attached *badger.Iterator // R a
}

func newReindexer() *reindexer {
	return &reindexer{
		changes:     make(map[string]bool),
		mapped:      make(map[string]map[uint64]bool),
		attachments: make(map[string]map[string][]byte),
	}
}

func (x *reindexer) close() {
	if x == nil || x.before == nil {
		return
	}
	for _, it := range []*badger.Iterator{x.nodes, x.attached} {
		if it != nil {
			it.Close()
		}
	}
	x.before.Discard()
	x.before = nil
}

func (x *reindexer) change(key []byte, set bool) {
	if _, ok := x.changes[string(key)]; !ok {
		x.size += len(key)
	}
	x.changes[string(key)] = set
}

// iterator opens *it over a prefix at the state before the transaction, once.
func (tx *Tx) iterator(it **badger.Iterator, prefix []byte) *badger.Iterator {
	if *it == nil {
		if tx.index.before == nil {
			tx.index.before = tx.c.db.NewTransaction(false)
		}
		opt := badger.DefaultIteratorOptions
		opt.Prefix = prefix
		opt.PrefetchValues = false
		*it = tx.index.before.NewIterator(opt)
	}
	return *it
}

// reindex changes the postings that follow from a replicated record, from those of its old value to
// those of its new one (nil: absent). What other records decide is read as it is in the transaction
// now, so that whichever of two records changes last settles what follows from both.
func (tx *Tx) reindex(key, old, value []byte) {
	if tx.c.opt.NoIndex || (old == nil) == (value == nil) && bytes.Equal(old, value) {
		return
	}
	switch key[0] {
	case record.KeyDentry, record.KeyNode, record.KeyFacts, record.KeyMedia, record.KeyAttached:
	default:
		return
	}
	if tx.index == nil {
		tx.index = newReindexer()
	}
	switch key[0] {
	case record.KeyDentry:
		tx.reindexName(key, old, value)
	case record.KeyNode:
		tx.reindexNode(key, old, value)
	case record.KeyFacts:
		if node, rest, ok := record.NumberOf(key); ok && len(rest) == 0 {
			was, is := read(old, new(record.Facts)), read(value, new(record.Facts))
			n := read(tx.Get(record.NodeKey(node)), new(record.Node))
			tx.repost(node, index.FromFacts, index.OfFacts(was), index.OfFacts(is))
			tx.repost(node, index.FromPending, index.OfPending(n, was), index.OfPending(n, is))
		}
	case record.KeyMedia:
		if media := key[1:]; len(media) == record.MediaIDSize {
			was, is := index.OfMedia(read(old, new(record.Media))), index.OfMedia(read(value, new(record.Media)))
			for _, node := range tx.nodesOf(media) {
				tx.repost(node, index.FromMedia, was, is)
			}
		}
	case record.KeyAttached:
		if media, kind, which, ok := splitAttached(key); ok {
			was, from := index.OfAttached(kind, which, old)
			is, to := index.OfAttached(kind, which, value)
			if len(was)+len(is) == 0 {
				return
			}
			note(tx.index.attachments, string(media), string(key), value)
			for _, node := range tx.nodesOf(media) {
				tx.repost(node, from, was, nil)
				tx.repost(node, to, nil, is)
			}
		}
	}
}

func note[K comparable, V any](m map[string]map[K]V, media string, k K, v V) {
	if m[media] == nil {
		m[media] = make(map[K]V)
	}
	m[media][k] = v
}

// read decodes a record; nil when it is absent or cannot be read.
func read[M proto.Message](value []byte, m M) (none M) {
	if value == nil || proto.Unmarshal(value, m) != nil {
		return none
	}
	return m
}

func splitAttached(key []byte) (media []byte, kind byte, which []byte, ok bool) {
	if len(key) < 2+record.MediaIDSize {
		return nil, 0, nil, false
	}
	return key[1 : 1+record.MediaIDSize], key[1+record.MediaIDSize], key[2+record.MediaIDSize:], true
}

func (tx *Tx) reindexName(key, old, value []byte) {
	folder, name, ok := record.NumberOf(key)
	if !ok {
		return
	}
	was, is := read(old, new(record.Dentry)), read(value, new(record.Dentry))
	if was != nil && is != nil && was.Node == is.Node && was.Kind == is.Kind {
		return
	}
	from := index.FromName(folder, string(name))
	tx.repost(was.GetNode(), from, index.OfName(string(name), was), nil)
	tx.repost(is.GetNode(), from, nil, index.OfName(string(name), is))
}

func (tx *Tx) reindexNode(key, old, value []byte) {
	node, rest, ok := record.NumberOf(key)
	if !ok || len(rest) > 0 {
		return
	}
	was, is := read(old, new(record.Node)), read(value, new(record.Node))
	tx.repost(node, index.FromNode, index.OfNode(was), index.OfNode(is))
	if was.GetMode() != is.GetMode() || !proto.Equal(was.GetHead(), is.GetHead()) {
		f := read(tx.Get(record.FactsKey(node)), new(record.Facts))
		tx.repost(node, index.FromPending, index.OfPending(was, f), index.OfPending(is, f))
	}
	if had, has := index.Media(was), index.Media(is); !bytes.Equal(had, has) {
		tx.remap(node, had, false)
		tx.remap(node, has, true)
	}
}

// remap posts for a node, or takes from it, all that follows from a media id that it carries.
func (tx *Tx) remap(node uint64, media []byte, set bool) {
	if media == nil {
		return
	}
	tx.index.change(mediaNodeKey(media, node), set)
	note(tx.index.mapped, string(media), node, set)
	post := func(source index.Source, list []index.Posting) {
		for _, p := range list {
			tx.index.change(postingKey(p, node, source), set)
		}
	}
	post(index.FromMedia, index.OfMedia(read(tx.Get(record.MediaKey(media)), new(record.Media))))
	for key, value := range tx.attachedTo(media) {
		_, kind, which, _ := splitAttached([]byte(key))
		list, source := index.OfAttached(kind, which, value)
		post(source, list)
	}
}

// repost changes what one source posts for a node. Both lists are sorted.
func (tx *Tx) repost(node uint64, source index.Source, was, is []index.Posting) {
	for _, p := range was {
		if !slices.Contains(is, p) {
			tx.index.change(postingKey(p, node, source), false)
		}
	}
	for _, p := range is {
		if !slices.Contains(was, p) {
			tx.index.change(postingKey(p, node, source), true)
		}
	}
}

// nodesOf lists the nodes that carry a media id, as the transaction has them now.
func (tx *Tx) nodesOf(media []byte) (nodes []uint64) {
	prefix := mediaNodeKey(media, 0)[:2+record.MediaIDSize]
	now := tx.index.mapped[string(media)]
	it := tx.iterator(&tx.index.nodes, []byte{classDerived, index.MediaLetter})
	for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
		node, ok := mediaNode(it.Item().Key())
		if _, changed := now[node]; ok && !changed {
			nodes = append(nodes, node)
		}
	}
	for node, set := range now {
		if set {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// attachedTo gives what is attached to a media as the transaction has it now, as far as it is
// posted.
func (tx *Tx) attachedTo(media []byte) map[string][]byte {
	var all map[string][]byte
	set := func(key string, value []byte) {
		if all == nil {
			all = make(map[string][]byte)
		}
		all[key] = value
	}
	prefix := full(classRecord, record.AttachedKey(media, 0))
	it := tx.iterator(&tx.index.attached, []byte{classRecord, record.KeyAttached})
	for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
		key := it.Item().Key()[1:]
		if _, kind, _, ok := splitAttached(
			key,
		); !ok ||
			kind != record.AttachedFavorite && kind != record.AttachedComment {
			continue
		}
		v, err := it.Item().ValueCopy(nil)
		if err != nil {
			tx.fail("read catalog", err)
			return nil
		}
		set(string(key), append([]byte{}, v...))
	}
	for key, value := range tx.index.attachments[string(media)] {
		if value == nil {
			delete(all, key)
		} else {
			set(key, value)
		}
	}
	return all
}

// flushIndex puts the changes of postings into the transaction, or into the journal when they are
// many; owed then tells that settleJournal must follow the commit. mu is held.
func (tx *Tx) flushIndex() (owed bool, err error) {
	x := tx.index
	if x == nil || len(x.changes) == 0 {
		return false, nil
	}
	if tx.c.st.index.owed {
		if err := tx.c.settleJournal(); err != nil {
			return false, err
		}
	}
	if len(x.changes) <= maxInline && x.size <= maxInlineBytes {
		for k, set := range x.changes {
			tx.raw([]byte(k), postingValue(set))
		}
		return false, tx.err
	}
	n := uint64(0)
	err = tx.c.inPieces(func(set func(key, value []byte) error) error {
		piece := make([]byte, 0, journalPiece+1024)
		for k, s := range x.changes {
			if piece = appendChange(piece, k, s); len(piece) > journalPiece {
				if err := set(journalKey(n), piece); err != nil {
					return err
				}
				piece = make([]byte, 0, journalPiece+1024) // the batch has the other
				n++
			}
		}
		n++
		return set(journalKey(n-1), piece)
	})
	if err != nil {
		return false, err
	}
	tx.raw(localKey(journalMark), binary.AppendUvarint(nil, n))
	return true, tx.err
}

// oweJournal carries out the journal of a change that has just been written. When that does not
// work, the disk being full say, the change stands all the same; the builder and the next change
// that needs the index try again. mu is held.
func (c *Catalog) oweJournal() {
	c.st.index.owed = true
	if err := c.settleJournal(); err != nil {
		c.log.WithError(err).Warn("the index of the library is behind; trying again")
		c.wakeBuilder()
	}
}

const journalMark = "postings"

func journalKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64(localKey(journalMark+"/"), n)
}

func appendChange(piece []byte, key string, set bool) []byte {
	piece = append(piece, byte(count(set)))
	piece = binary.AppendUvarint(piece, uint64(len(key)))
	return append(piece, key...)
}

// settleJournal carries out what the journal has, if it counts, and ends it. It may be repeated: a
// crash in the middle costs nothing but time. mu is held.
func (c *Catalog) settleJournal() error {
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	pieces, _ := binary.Uvarint(tx.get(localKey(journalMark)))
	c.st.index.owed = pieces > 0
	err := c.inPieces(func(set func(key, value []byte) error) error {
		for n := range pieces {
			piece := tx.get(journalKey(n))
			for len(piece) > 0 {
				s := piece[0]
				size, w := binary.Uvarint(piece[1:])
				if w <= 0 || size > uint64(len(piece)-1-w) {
					return remote.E("read journal of the index", fmt.Sprint(n), remote.Corrupt, errors.New("malformed"))
				}
				key := piece[1+w : 1+w+int(size)]
				if err := set(key, postingValue(s == 1)); err != nil {
					return err
				}
				piece = piece[1+w+int(size):]
			}
		}
		return tx.err
	})
	if err != nil {
		return err
	}
	c.step("postings")
	err = c.inPieces(func(set func(key, value []byte) error) error {
		if pieces > 0 {
			if err := set(localKey(journalMark), nil); err != nil {
				return err
			}
		}
		for k := range tx.scan(localKey(journalMark+"/"), localKey(journalMark+"/"), false) {
			if err := set(bytes.Clone(k), nil); err != nil {
				return err
			}
		}
		return tx.err
	})
	if err == nil {
		c.st.index.owed = false
	}
	return err
}

func postingValue(set bool) []byte {
	if set {
		return []byte{}
	}
	return nil
}

func postingKey(p index.Posting, node uint64, source index.Source) []byte {
	return index.Key(append(make([]byte, 0, 64), classDerived, index.PostingLetter), p, node, source)
}

func mediaNodeKey(media []byte, node uint64) []byte {
	k := append(make([]byte, 0, 2+record.MediaIDSize+8), classDerived, index.MediaLetter)
	return binary.BigEndian.AppendUint64(append(k, media...), node)
}

func mediaNode(key []byte) (node uint64, ok bool) {
	if len(key) != 2+record.MediaIDSize+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[2+record.MediaIDSize:]), true
}
