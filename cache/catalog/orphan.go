package catalog

import (
	"fmt"
	"iter"
	"maps"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An orphan is a node that was deleted, here or by another machine, while it is looked up or open
// here: as on a local disk it goes on with its attributes, which programs read and change through
// their descriptors, until nobody refers to it. It is kept in local records, which no log and no
// other machine ever sees, and ends with the process.
//
// Orphans are no part of what is undone: an operation that deletes a node and runs again finds the
// orphan as programs have changed it since, and keeps it. An orphan's records beside a node that is
// in the library after all mean nothing; they are not read, and dropped before the next undo.

// orphanKey is the key of an orphan's node and the prefix of its attributes, whose names follow it.
func orphanKey(id uint64) []byte {
	return full(classLocal, append([]byte("orphan/"), record.NodeKey(id)[1:]...))
}

func orphanXattrKey(id uint64, name string) []byte { return append(orphanKey(id), name...) }

const orphanKeySize = 1 + len("orphan/") + 8

// Node reads a node: of the tree, of the trash, or an orphan. nil when there is none.
func (tx *Tx) Node(id uint64) *record.Node {
	n := new(record.Node)
	if tx.load(record.NodeKey(id), n) {
		return n
	}
	if tx.decode(nil, tx.get(orphanKey(id)), n) {
		return n
	}
	return nil
}

// Orphan tells that a node is no longer in the library and lives only here, while it is referenced.
func (tx *Tx) Orphan(id uint64) bool {
	return tx.Get(record.NodeKey(id)) == nil && tx.get(orphanKey(id)) != nil
}

// Xattr reads an extended attribute of a node, also of an orphan; nil when it is not set.
func (tx *Tx) Xattr(node uint64, name string) *record.Xattr {
	x := new(record.Xattr)
	if tx.Orphan(node) {
		if name != "" && tx.decode(nil, tx.get(orphanXattrKey(node, name)), x) {
			return x
		}
		return nil
	}
	if tx.load(record.XattrKey(node, name), x) {
		return x
	}
	return nil
}

// Xattrs yields the extended attributes of a node, also of an orphan, ordered by name. Look at Err
// after it.
func (tx *Tx) Xattrs(node uint64) iter.Seq2[string, *record.Xattr] {
	prefix := full(classRecord, record.XattrKey(node, ""))
	if tx.Orphan(node) {
		prefix = orphanKey(node)
	}
	return func(yield func(string, *record.Xattr) bool) {
		for k, v := range tx.scan(prefix, prefix, true) {
			name := string(k[len(prefix):])
			if name == "" {
				continue // the orphan itself
			}
			x := new(record.Xattr)
			if !tx.decode(k, v, x) || !yield(name, x) {
				return
			}
		}
	}
}

// orphaned notes that a node was deleted whose record was node. Those that a commit of the log
// deletes were kept before it (makeOrphans).
func (tx *Tx) orphaned(id uint64, node []byte) {
	if tx.applying || tx.c.opt.Referenced == nil || !tx.c.opt.Referenced(id) {
		return
	}
	if tx.orphans == nil {
		tx.orphans = make(map[uint64][]byte)
	}
	tx.orphans[id] = node
}

// adopted notes that a node came. If it was an orphan it is none any more; an undo makes it one
// again.
func (tx *Tx) adopted(id uint64) {
	delete(tx.orphans, id)
	if tx.get(orphanKey(id)) == nil {
		return
	}
	var keys [][]byte
	for k := range tx.scan(orphanKey(id), orphanKey(id), false) {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		tx.set(k, nil)
	}
}

// keepOrphans writes the orphans that an operation makes, with the attributes that it deleted with
// their nodes. anew tells that it runs for the first time: else an orphan that is there counts.
// Many bytes go in transactions of their own, as undo records do: until the operation is written
// they are not read. mu is held.
func (c *Catalog) keepOrphans(tx *Tx, anew bool) error {
	type pair struct{ key, value []byte }
	var pairs []pair
	size := 0
	add := func(key, value []byte) {
		pairs = append(pairs, pair{key, value})
		size += len(key) + len(value)
	}
	for id, node := range tx.orphans {
		if tx.get(orphanKey(id)) != nil {
			if !anew {
				continue
			}
			for k := range tx.scan(orphanKey(id), orphanKey(id), false) {
				add(append([]byte(nil), k...), nil)
			}
		}
		add(orphanKey(id), node)
		prefix := string(full(classRecord, record.XattrKey(id, "")))
		for _, k := range tx.order {
			if len(k) > len(prefix) && k[:len(prefix)] == prefix && tx.changes[k].old != nil {
				add(orphanXattrKey(id, k[len(prefix):]), tx.changes[k].old)
			}
		}
	}
	write := func(set func(key, value []byte) error) error {
		for _, p := range pairs {
			if err := set(p.key, p.value); err != nil {
				return err
			}
		}
		return tx.err
	}
	if size > maxUndo {
		return c.inPieces(write)
	}
	return write(tx.put)
}

// makeOrphans keeps the nodes that a commit deletes and that are referenced here. It does so in
// transactions of its own, before the commit's: all of them may be more than one takes. mu is held.
func (c *Catalog) makeOrphans(commit *record.Commit) error {
	if c.opt.Referenced == nil {
		return nil
	}
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	return c.inPieces(func(set func(key, value []byte) error) error {
		for _, w := range commit.Writes {
			id, _, ok := record.NumberOf(w.Key)
			if !ok || !w.Delete || w.Key[0] != record.KeyNode || !c.opt.Referenced(id) {
				continue
			}
			if err := tx.copyOrphan(id, set); err != nil {
				return err
			}
		}
		return tx.err
	})
}

// keepReferenced makes orphans of all nodes that are referenced here, before the records go. mu is
// held.
func (c *Catalog) keepReferenced() error {
	if c.opt.Referenced == nil {
		return nil
	}
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	return c.inPieces(func(set func(key, value []byte) error) error {
		prefix := []byte{classRecord, record.KeyNode}
		for k := range tx.scan(prefix, prefix, false) {
			id, _, ok := record.NumberOf(k[1:])
			if !ok || !c.opt.Referenced(id) {
				continue
			}
			if err := tx.copyOrphan(id, set); err != nil {
				return err
			}
		}
		return tx.err
	})
}

// copyOrphan makes an orphan of a node that is still there, with its attributes, unless it is one
// that was deleted here and is only undone for the moment.
func (tx *Tx) copyOrphan(id uint64, set func(key, value []byte) error) error {
	node := tx.Get(record.NodeKey(id))
	if node == nil || tx.get(orphanKey(id)) != nil {
		return nil
	}
	if err := set(orphanKey(id), node); err != nil {
		return err
	}
	prefix := full(classRecord, record.XattrKey(id, ""))
	for k, v := range tx.scan(prefix, prefix, true) {
		if len(k) == len(prefix) {
			continue // no name: no operation makes such a record
		}
		if err := set(orphanXattrKey(id, string(k[len(prefix):])), v); err != nil {
			return err
		}
	}
	if tx.c.opt.Orphaned != nil {
		var last Name
		for last = range tx.Names(id) {
			break
		}
		tx.c.opt.Orphaned(id, false, last.Folder, last.Name)
	}
	return nil
}

// dropRestored ends the orphans whose nodes are in the library after all. mu is held.
func (c *Catalog) dropRestored() error {
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	return c.inPieces(func(set func(key, value []byte) error) error {
		prefix := localKey("orphan/")
		for k := range tx.scan(prefix, prefix, false) {
			if len(k) >= orphanKeySize &&
				tx.get(append([]byte{classRecord, record.KeyNode}, k[len(prefix):orphanKeySize]...)) == nil {
				continue
			}
			if err := set(append([]byte(nil), k...), nil); err != nil {
				return err
			}
		}
		return tx.err
	})
}

// MakeOrphan makes a node that lives only here from its beginning, and as long as
// Options.Referenced says so: one without a name. id is of NewID.
func (c *Catalog) MakeOrphan(id uint64, n *record.Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.writable("make node"); err != nil {
		return err
	}
	return c.updateLocal(func(tx *Tx) error {
		tx.raw(orphanKey(id), tx.encode(n))
		return tx.err
	})
}

// DropOrphan ends an orphan: nobody refers to the node any more.
func (c *Catalog) DropOrphan(id uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.st.closed {
		return nil
	}
	return c.updateLocal(func(tx *Tx) error {
		var keys [][]byte
		for k := range tx.scan(orphanKey(id), orphanKey(id), false) {
			keys = append(keys, append([]byte(nil), k...))
		}
		for _, k := range keys {
			tx.raw(k, nil)
		}
		return tx.err
	})
}

// ChangeOrphan changes a node that lives only here; NotExist when it does not.
func (c *Catalog) ChangeOrphan(id uint64, fn func(n *record.Node)) error {
	return c.changeOrphan(func(tx *Tx) error { return tx.ChangeOrphan(id, fn) })
}

// ChangeOrphanXattrs changes the extended attributes of a node that lives only here, and the node
// with them: fn edits both in place, and nothing happens when it fails. NotExist when the node does
// not live only here.
func (c *Catalog) ChangeOrphanXattrs(id uint64, fn func(n *record.Node, xattrs map[string]*record.Xattr) error) error {
	return c.changeOrphan(func(tx *Tx) error { return tx.ChangeOrphanXattrs(id, fn) })
}

func (c *Catalog) changeOrphan(fn func(tx *Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.readable("change node"); err != nil {
		return err
	}
	return c.updateLocal(fn)
}

// ChangeOrphan is Catalog.ChangeOrphan in the transaction that drops an operation (see Defer).
func (tx *Tx) ChangeOrphan(id uint64, fn func(n *record.Node)) error {
	return tx.changeOrphan(id, func(n *record.Node) error {
		fn(n)
		return nil
	})
}

// ChangeOrphanXattrs is Catalog.ChangeOrphanXattrs in the transaction that drops an operation.
func (tx *Tx) ChangeOrphanXattrs(id uint64, fn func(n *record.Node, xattrs map[string]*record.Xattr) error) error {
	return tx.changeOrphan(id, func(n *record.Node) error {
		xattrs := maps.Collect(tx.Xattrs(id))
		before := make(map[string][]byte)
		for name, x := range xattrs {
			before[name] = tx.encode(x)
		}
		if err := fn(n, xattrs); err != nil {
			return err
		}
		for name := range before {
			if xattrs[name] == nil {
				tx.raw(orphanXattrKey(id, name), nil)
			}
		}
		for name, x := range xattrs {
			if b := tx.encode(x); before[name] == nil || string(b) != string(before[name]) {
				tx.raw(orphanXattrKey(id, name), b)
			}
		}
		return tx.err
	})
}

func (tx *Tx) changeOrphan(id uint64, fn func(n *record.Node) error) error {
	n := new(record.Node)
	if !tx.Orphan(id) || !tx.decode(nil, tx.get(orphanKey(id)), n) {
		return remote.E("change node", fmt.Sprint(id), remote.NotExist, tx.err)
	}
	if err := fn(n); err != nil {
		return err
	}
	tx.raw(orphanKey(id), tx.encode(n))
	return tx.err
}

// encode gives a record's bytes, never nil: nil deletes.
func (tx *Tx) encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	tx.fail("write record", err)
	if b == nil {
		b = []byte{}
	}
	return b
}
