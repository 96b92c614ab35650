package catalog

import (
	"bytes"
	"encoding/binary"
	"time"

	"mediafs/cache/catalog/index"
	"mediafs/remote/bucket/record"
)

// The builder makes the index of records that were there before it: in a catalog of a version
// without one, after a checkpoint was loaded, and when what is posted became another. It goes
// through the names, the facts and the nodes in the order of their keys, behind, some at a time
// under the lock; what is said of a media id is posted with the node that carries it. Its position
// is on disk with the postings up to it: after a crash it goes on there. Posting again what is
// posted changes nothing, so records that change before it reaches them need no notice.
//
// A load does not index in its own pass: its records come ordered by their letters, what is said of
// a media before the nodes that say whose it is, so that it would need a second pass while nobody
// can read. Behind, the library is there at once, and searches tell that they are not complete yet.

// A step of the builder ends with so many postings or records: about 5 ms under the lock.
const (
	buildChanges = 2000
	buildRecords = 2000
)

// built are the letters of the records that the builder goes through, in their order.
var built = []byte{record.KeyDentry, record.KeyFacts, record.KeyNode}

// indexState is how far the index is. Under mu.
type indexState struct {
	at    []byte // the greatest key up to which it is whole
	ready bool   // it is whole
	done  uint64 // records up to there
	total uint64 // records there are, about: each node has a name and, as a media, facts
	owed  bool   // the journal is not carried out yet
}

var indexKey = localKey("index")

func (s indexState) encode() []byte {
	b := []byte{index.Version, byte(count(s.ready))}
	b = binary.BigEndian.AppendUint64(b, s.done)
	return append(b, s.at...)
}

func decodeIndexState(b []byte) (s indexState, ok bool) {
	if len(b) < 10 || b[0] != index.Version {
		return indexState{}, false
	}
	return indexState{ready: b[1] == 1, done: binary.BigEndian.Uint64(b[2:]), at: b[10:]}, true
}

// openIndex reads how far the index is, and drops one of another version. Nobody else uses the
// catalog yet.
func (c *Catalog) openIndex() error {
	c.mu.Lock()
	defer c.unlock()
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	stored := tx.get(indexKey)
	if tx.err != nil {
		return tx.err
	}
	if c.opt.NoIndex {
		if stored == nil {
			return nil
		}
		return c.updateLocal(func(tx *Tx) error {
			tx.raw(indexKey, nil)
			return nil
		})
	}
	if s, ok := decodeIndexState(stored); ok {
		c.st.index = s
		return c.settleJournal()
	}
	empty := true
	for range tx.scan([]byte{classRecord}, []byte{classRecord}, false) {
		empty = false
		break
	}
	for _, letter := range []byte{index.PostingLetter, index.MediaLetter} {
		for range tx.scan([]byte{classDerived, letter}, []byte{classDerived, letter}, false) {
			if err := c.db.DropPrefix([]byte{classDerived, letter}); err != nil {
				return local("drop the index", c.opt.Dir, err)
			}
			break
		}
	}
	return c.updateLocal(func(tx *Tx) error {
		tx.resetIndex(empty)
		return tx.err
	})
}

// resetIndex says that nothing is indexed, or that there is nothing to index. mu is held.
func (tx *Tx) resetIndex(empty bool) {
	if tx.c.opt.NoIndex {
		return
	}
	tx.c.st.index = indexState{ready: empty}
	tx.raw(indexKey, tx.c.st.index.encode())
	tx.raw(localKey(journalMark), nil)
}

// build is the builder's goroutine.
func (c *Catalog) build() {
	defer c.done.Done()
	fails := 0
	for {
		began := time.Now()
		more, err := c.buildStep()
		// Who waits for the lock gets it between two steps. The pause leaves some of the machine to
		// others.
		pause := time.Since(began) / 4
		switch {
		case err != nil:
			if fails++; fails == 1 {
				c.log.WithError(err).Warn("the index of the library cannot be made; trying again")
			}
			pause = c.backoff(fails)
		case more:
			fails = 0
			c.step("indexed")
		default:
			fails = 0
			select {
			case <-c.ctx.Done():
				return
			case <-c.reindexed:
			}
			continue
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// wakeBuilder tells the builder that the index was reset.
func (c *Catalog) wakeBuilder() {
	select {
	case c.reindexed <- struct{}{}:
	default:
	}
}

// buildStep indexes some records; more is false when there is nothing to do.
func (c *Catalog) buildStep() (more bool, err error) {
	if err := c.ballast.room(false); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.unlock()
	if c.opt.NoIndex || c.st.closed || c.st.loading != nil || c.st.index.ready && !c.st.index.owed {
		return false, nil
	}
	if err := c.settleJournal(); err != nil {
		return false, err
	}
	tx := &Tx{c: c, txn: c.db.NewTransaction(false), index: newReindexer()}
	defer tx.discard()
	s := c.st.index
	s.total = 3 * tx.Usage().Nodes
	s.ready = tx.build(&s)
	if tx.err != nil {
		return false, tx.err
	}
	// The map of media ids first: a change of what is posted for a media id finds its nodes there,
	// also after a crash in the middle of this.
	err = c.inPieces(func(set func(key, value []byte) error) error {
		for _, mapped := range []bool{true, false} {
			for k := range tx.index.changes {
				if (k[1] == index.MediaLetter) != mapped {
					continue
				}
				if err := set([]byte(k), []byte{}); err != nil {
					return err
				}
			}
		}
		return set(indexKey, s.encode())
	})
	if err == nil {
		c.st.index = s
	}
	return !s.ready, err
}

// build notes the postings of the records after s.at, until they are enough for a step; whole tells
// that no records are left.
func (tx *Tx) build(s *indexState) (whole bool) {
	n := 0
	for _, letter := range built {
		if len(s.at) > 0 && letter < s.at[0] {
			continue
		}
		from := []byte{classRecord, letter}
		if len(s.at) > 0 && letter == s.at[0] {
			from = append(full(classRecord, s.at), 0)
		}
		for k, v := range tx.scan([]byte{classRecord, letter}, from, true) {
			if n == buildRecords || len(tx.index.changes) >= buildChanges {
				return false
			}
			n++
			s.done++
			s.at = bytes.Clone(k[1:])
			switch letter {
			case record.KeyDentry:
				tx.reindexName(s.at, nil, v)
			case record.KeyFacts:
				if node, rest, ok := record.NumberOf(s.at); ok && len(rest) == 0 {
					tx.repost(node, index.FromFacts, nil, index.OfFacts(read(v, new(record.Facts))))
				}
			case record.KeyNode:
				tx.reindexNode(s.at, nil, v)
			}
		}
	}
	return true
}
