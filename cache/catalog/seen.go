package catalog

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"time"
)

// What the user of an operation saw. An operation that runs late meets what other machines have
// committed since it was asked for, and its user has seen none of that. So the outbox says of each
// operation on which commit it ran first, its base; and as long as the outbox is not empty, the
// records that other machines' commits replace are kept. Both together give the library as the user
// saw it, and what is newer. This machine's own operations are never taken for another's: what is
// compared is the library without the outbox.
//
// A checkpoint that takes the place of the catalog does not say what was replaced. Then every
// record counts as changed for the operations with an older base.

func baseKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(localKey("base/"), number)
}

const replacedPrefix = "replaced/"

// replacedKey is the key of the record of key before a commit; without a key it stands for all
// records.
func replacedKey(key []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(localKey(replacedPrefix), key...), seq)
}

// replaced are the commits of which records are kept; 0 and 0 when there are none.
type replaced struct{ first, last uint64 }

func (r *replaced) add(seq uint64) {
	if r.last == 0 || seq < r.first {
		r.first = seq
	}
	r.last = max(r.last, seq)
}

// loadBases reads what is known of what the outbox's users saw. An operation of a version that did
// not note its base counts as asked for now, or with the next one that has a base: the first in the
// outbox has the oldest. mu is held, or nobody else is there yet.
func (c *Catalog) loadBases(tx *Tx) {
	base := c.st.seq
	for _, op := range slices.Backward(c.st.pending) {
		if b := tx.get(baseKey(op.number)); len(b) == 8 {
			base = min(base, binary.BigEndian.Uint64(b))
		}
		op.base = base
	}
	prefix := localKey(replacedPrefix)
	for k := range tx.scan(prefix, prefix, false) {
		if len(k) >= len(prefix)+8 {
			c.st.replaced.add(binary.BigEndian.Uint64(k[len(k)-8:]))
		}
	}
}

// keepReplaced keeps the records that a commit of another machine replaces, for what is in the
// outbox. tx has the commit's writes. Many bytes go in transactions of their own, before that of
// the commit: until it is applied nobody looks at them, and applied again after a crash it writes
// the same. mu is held.
func (c *Catalog) keepReplaced(tx *Tx, l logged) error {
	if len(c.st.pending) == 0 || l.seq <= c.st.pending[0].base || c.vouched(l.commit.Session) {
		return nil
	}
	size := 0
	var keys, values [][]byte
	for _, w := range l.commit.Writes {
		ch := tx.changes[string(full(classRecord, w.Key))]
		if ch == nil || (ch.old == nil) == (ch.new == nil) && bytes.Equal(ch.old, ch.new) {
			continue
		}
		keys, values = append(keys, replacedKey(w.Key, l.seq)), append(values, undoValue(ch.old))
		size += len(w.Key) + len(ch.old)
	}
	if len(keys) == 0 {
		return nil
	}
	write := func(set func(key, value []byte) error) error {
		for i, k := range keys {
			if err := set(k, values[i]); err != nil {
				return err
			}
		}
		return nil
	}
	c.st.replaced.add(l.seq)
	if size > maxUndo {
		return c.inPieces(write)
	}
	return write(tx.put)
}

// replaceAll notes that a checkpoint takes the place of the catalog: operations that were asked for
// before it have seen nothing of it. mu is held.
func (c *Catalog) replaceAll(tx *Tx, seq uint64) {
	if len(c.st.pending) == 0 || seq <= c.st.pending[0].base {
		return
	}
	tx.raw(replacedKey(nil, seq), []byte{})
	c.st.replaced.add(seq)
}

// forgetReplaced drops the records of which every operation in the outbox has seen what replaced
// them. A failure leaves some: they are dropped with the next. mu is held.
func (c *Catalog) forgetReplaced() {
	seen := c.st.replaced.last
	if len(c.st.pending) > 0 {
		seen = c.st.pending[0].base
	}
	if c.st.replaced.last == 0 || seen < c.st.replaced.first {
		return
	}
	var left replaced
	err := c.inPieces(func(set func(key, value []byte) error) error {
		tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
		defer tx.discard()
		prefix := localKey(replacedPrefix)
		for k := range tx.scan(prefix, prefix, false) {
			if seq := binary.BigEndian.Uint64(k[len(k)-8:]); seq > seen {
				left.add(seq)
			} else if err := set(slices.Clone(k), nil); err != nil {
				return err
			}
		}
		return tx.err
	})
	if err != nil {
		c.log.WithError(err).Debug("what other machines have replaced is kept a while longer")
		return
	}
	c.st.replaced = left
}

// confirmed reads a record as the log has it, without the outbox and without what this transaction
// writes.
func (tx *Tx) confirmed(key []byte) []byte {
	f := full(classRecord, key)
	if v, ok := tx.c.st.undo[string(f)]; ok {
		return v
	}
	if ch := tx.changes[string(f)]; ch != nil {
		return ch.old
	}
	return tx.get(f)
}

// Unseen reports whether another machine has changed a record since the operation that runs late
// was asked for, and gives the record as its user saw it and as it is in the library without this
// machine's outbox; nil: absent. It is false in an operation that does not run late. When the
// catalog has been replaced by a checkpoint meanwhile, nobody knows what the user saw: was is nil,
// and every record that is there counts as changed.
func (tx *Tx) Unseen(key []byte) (was, is []byte, changed bool) {
	if !tx.late || tx.c.st.replaced.last <= tx.base {
		return nil, nil, false
	}
	was, at := tx.replacedSince(key)
	if all := tx.replacedAll(); at == 0 || all > 0 && all < at {
		if all == 0 {
			return nil, nil, false
		}
		is = tx.confirmed(key)
		return nil, is, is != nil
	}
	is = tx.confirmed(key)
	return was, is, (was == nil) != (is == nil) || !bytes.Equal(was, is)
}

// replacedSince finds the record that the first commit after the base has replaced, and the number
// of that commit; 0: none has.
func (tx *Tx) replacedSince(key []byte) (was []byte, at uint64) {
	prefix := append(localKey(replacedPrefix), key...)
	for k, v := range tx.scan(prefix, replacedKey(key, tx.base+1), true) {
		if len(k) == len(prefix)+8 {
			return undoOf(v), binary.BigEndian.Uint64(k[len(prefix):])
		}
	}
	return nil, 0
}

// replacedAll is the number of the first checkpoint after the base that took the place of the
// catalog; 0: none has.
func (tx *Tx) replacedAll() uint64 {
	prefix := localKey(replacedPrefix)
	for k := range tx.scan(prefix, prefix, false) {
		if len(k) > len(prefix)+8 {
			break
		}
		if seq := binary.BigEndian.Uint64(k[len(prefix):]); seq > tx.base {
			return seq
		}
	}
	return 0
}

// UnseenRecords yields the keys with a prefix that Unseen reports as changed, ascending. When the
// catalog has been replaced by a checkpoint, these are the keys of all records that are there. Look
// at Err after it.
func (tx *Tx) UnseenRecords(prefix []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !tx.late || tx.c.st.replaced.last <= tx.base {
			return
		}
		if tx.replacedAll() > 0 {
			for k := range tx.Records(prefix) {
				if _, _, changed := tx.Unseen(k); changed && !yield(k) {
					return
				}
			}
			return
		}
		area := localKey(replacedPrefix)
		from := append(slices.Clone(area), prefix...)
		var last []byte
		for k := range tx.scan(from, from, false) {
			if len(k) < len(from)+8 || binary.BigEndian.Uint64(k[len(k)-8:]) <= tx.base {
				continue
			}
			key := slices.Clone(k[len(area) : len(k)-8])
			if bytes.Equal(key, last) {
				continue
			}
			last = key
			if _, _, changed := tx.Unseen(key); changed && !yield(key) {
				return
			}
		}
	}
}

// Report tells people what became of an operation that met newer changes of another machine: what
// was kept, and where. It is logged and in the status when the operation is in the log.
func (tx *Tx) Report(text string) {
	tx.reports = append(tx.reports, text)
}

// maxConflicts is how many texts the status has.
const maxConflicts = 20

// Asked says when somebody asked for the operation, for what is told of it.
func (tx *Tx) Asked(at time.Time) { tx.asked = at }

// tell logs what became of a late operation and puts it into the status.
func (c *Catalog) tell(op *operation, text string) {
	if !op.asked.IsZero() {
		text = op.asked.Format(time.DateTime) + ": " + text
	}
	c.log.WithField("operation", op.number).Warn(text)
	c.status.set(func(s *Status) {
		s.Conflicts = append(slices.Clone(s.Conflicts), text)
		s.Conflicts = s.Conflicts[max(0, len(s.Conflicts)-maxConflicts):]
	})
}
