package catalog

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"mediafs/remote"
)

// Checkpoint writes the replicated catalog as it is at the applied commit, unless the store has a newer one. Operations of the outbox
// are not in it. It runs beside everything else, on a snapshot.
func (c *Catalog) Checkpoint(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)() // Close waits for who reads a snapshot
	known, err := c.store.OpenCheckpoint(ctx)
	if err != nil && !errors.Is(err, remote.NotExist) {
		return err
	}
	c.snap.RLock()
	defer c.snap.RUnlock()
	c.mu.Lock()
	if err := c.writable("write checkpoint"); err != nil {
		c.mu.Unlock()
		return err
	}
	seq, hash, since := c.st.seq, c.st.hash, c.st.sinceCkpt
	txn := c.db.NewTransaction(false)
	undo := make([]undone, 0, len(c.st.undo))
	for k, v := range c.st.undo {
		if k[0] == classRecord {
			undo = append(undo, undone{k, v})
		}
	}
	c.mu.Unlock()
	defer txn.Discard()
	sort.Slice(undo, func(i, j int) bool { return undo[i].key < undo[j].key })

	size := int64(0)
	if err == nil && known.Seq() >= seq {
		size = known.Bytes()
	} else {
		c.step("checkpoint")
		if _, err := c.store.WriteCheckpoint(ctx, seq, hash, snapshot(txn, undo, &size)); err != nil {
			return err
		}
		c.step("checkpoint written")
		c.status.set(func(s *Status) { s.Checkpoint = seq })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.st.sinceCkpt, c.st.sizeCkpt = max(c.st.sinceCkpt-since, 0), size
	return nil
}

type undone struct {
	key   string // full
	value []byte // nil: absent
}

// snapshot yields the replicated records of a transaction with undo records laid over them, ascending.
func snapshot(txn *badger.Txn, undo []undone, size *int64) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		*size = 0
		emit := func(key, value []byte) bool {
			*size += int64(len(key) + len(value))
			return yield(remote.Record{Key: key, Value: value}, nil)
		}
		opt := badger.DefaultIteratorOptions
		opt.Prefix = []byte{classRecord}
		it := txn.NewIterator(opt)
		defer it.Close()
		i := 0
		before := func(k []byte) bool { // emits what the undo records add before k
			for ; i < len(undo) && (k == nil || undo[i].key < string(k)); i++ {
				if undo[i].value != nil && !emit([]byte(undo[i].key[1:]), slices.Clone(undo[i].value)) {
					return false
				}
			}
			return true
		}
		for it.Rewind(); it.ValidForPrefix(opt.Prefix); it.Next() {
			k := it.Item().KeyCopy(nil)
			if !before(k) {
				return
			}
			if i < len(undo) && undo[i].key == string(k) {
				v := undo[i].value
				i++
				if v != nil && !emit(k[1:], bytes.Clone(v)) {
					return
				}
				continue
			}
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				yield(remote.Record{}, remote.E("read catalog", "", localKind(err), err))
				return
			}
			if !emit(k[1:], v) {
				return
			}
		}
		before(nil)
	}
}

// A checkpointer writes checkpoints behind, one at a time. One that fails is tried again after a pause that grows.
type checkpointer struct {
	running atomic.Bool
	wg      sync.WaitGroup
	fails   int       // in a row; this and the next belong to who has set running
	after   time.Time // earliest time of the next
}

func (k *checkpointer) wait() { k.wg.Wait() }

// start begins a checkpoint when one is due.
func (k *checkpointer) start(c *Catalog) {
	c.mu.RLock()
	due := c.writable("write checkpoint") == nil && c.st.sinceCkpt > max(c.opt.CheckpointBytes, c.st.sizeCkpt/4)
	c.mu.RUnlock()
	if !due || !k.running.CompareAndSwap(false, true) {
		return
	}
	if time.Now().Before(k.after) {
		k.running.Store(false)
		return
	}
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		defer k.running.Store(false)
		err := c.Checkpoint(c.ctx)
		if err == nil {
			k.fails = 0
			return
		}
		k.after = time.Now().Add(c.backoff(k.fails))
		k.fails++
		if c.ctx.Err() == nil {
			c.log.WithError(err).Warn("a checkpoint could not be written; it will be tried again")
		}
	}()
}
