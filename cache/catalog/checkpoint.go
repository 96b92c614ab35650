package catalog

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"mediafs/remote"
)

// A checkpoint is due when the log after the newest one costs its readers more than a quarter of
// what that one did, and more than CheckpointBytes. A commit costs its bytes, and CommitCost at
// least. So a fresh machine reads at most 1,024 small commits, or, of a library whose checkpoint
// has more than 64 MiB, commits for about a quarter of what it reads anyway; and who writes
// checkpoints writes at most four times what the log costs: at most 64 KiB of records,
// uncompressed, for each small commit, less what did not change since the checkpoint before.

// checkpointed is what is known of the newest checkpoint. The zero value: there is none.
type checkpointed struct {
	seq   uint64 // its commit; 0 also when an earlier version did not note it
	size  int64  // of its records, in bytes
	since int64  // what the log after it costs, in bytes
}

// after is the state after one more commit.
func (k checkpointed) after(cost int64) checkpointed {
	k.since += cost
	return k
}

// adopt is the state when the newest checkpoint is another machine's, after commit seq, and commits
// up to applied were counted. How much of what was counted came after it is taken in proportion.
func (k checkpointed) adopt(seq uint64, size int64, applied uint64, least int64) checkpointed {
	if seq <= k.seq {
		return k
	}
	left := uint64(0)
	if applied > seq {
		left = applied - seq
	}
	since := int64(float64(k.since) * float64(left) / float64(max(applied-min(k.seq, applied), 1)))
	return checkpointed{seq: seq, size: size, since: min(k.since, max(since, int64(left)*least))}
}

func (o *Options) commitCost(size int64) int64 { return max(size, o.CommitCost) }

// due reports whether a checkpoint is due. mu is held.
func (c *Catalog) due() bool { return c.st.ckpt.since > max(c.opt.CheckpointBytes, c.st.ckpt.size/4) }

// Checkpoint writes the replicated catalog as it is at the applied commit, unless the store has a
// newer one. Operations of the outbox are not in it. It runs beside everything else, on a snapshot.
func (c *Catalog) Checkpoint(ctx context.Context) error { return c.checkpoint(ctx, false) }

// checkpoint is Checkpoint; ifDue writes nothing when another machine did so meanwhile and the log
// after its checkpoint makes none due.
func (c *Catalog) checkpoint(ctx context.Context, ifDue bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)() // Close waits for who reads a snapshot
	known, err := c.store.OpenCheckpoint(ctx)
	if err != nil && !errors.Is(err, remote.NotExist) &&
		!errors.Is(err, remote.Corrupt) { // of those a new one is the way out
		return err
	}
	bad := c.damaged.Load()
	adopts := err == nil && (bad == nil || known.Seq() > bad.seq) // the log since a damaged one is not all that is read
	c.snap.RLock()
	defer c.snap.RUnlock()
	c.mu.Lock()
	werr := c.writable("write checkpoint")
	if adopts {
		c.st.ckpt = c.st.ckpt.adopt(known.Seq(), known.Bytes(), c.st.seq, c.opt.CommitCost)
	}
	if werr != nil || ifDue && !c.due() || err == nil && known.Seq() >= c.st.seq {
		c.mu.Unlock()
		return werr
	}
	seq, hash, before := c.st.seq, c.st.hash, c.st.ckpt
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
	c.step("checkpoint")
	if _, err := c.store.WriteCheckpoint(ctx, seq, hash, snapshot(txn, undo, &size)); err != nil {
		return err
	}
	c.step("checkpoint written")
	c.status.set(func(s *Status) { s.Checkpoint = seq })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.st.ckpt.seq <= seq { // no newer one was loaded meanwhile
		c.st.ckpt = checkpointed{seq: seq, size: size, since: max(c.st.ckpt.since-before.since, 0)}
	}
	return nil
}

type undone struct {
	key   string // full
	value []byte // nil: absent
}

// snapshot yields the replicated records of a transaction with undo records laid over them,
// ascending.
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

// A checkpointer writes checkpoints in the background, one at a time. Whoever notices that one is
// due writes it: the author of the last commit at once, others after a random time, so that mostly
// one machine does the work; two that write at the same time share the parts. One that fails is
// tried again after a pause that grows.
type checkpointer struct {
	running atomic.Bool
	wg      sync.WaitGroup
	fails   int       // in a row; this and the next belong to who has set running
	after   time.Time // earliest time of the next
	turn    time.Time // when it is this machine's turn; zero while none is due
}

func (k *checkpointer) wait() { k.wg.Wait() }

// start begins a checkpoint when one is due; own tells that the last commit is this machine's.
func (k *checkpointer) start(c *Catalog, own bool) {
	c.mu.RLock()
	due := c.writable("write checkpoint") == nil && c.due()
	c.mu.RUnlock()
	if !k.running.CompareAndSwap(false, true) {
		return
	}
	now := time.Now()
	switch {
	case !due:
		k.turn = time.Time{}
	case own:
		k.turn = now
	case k.turn.IsZero():
		k.turn = now.Add(rand.N(c.opt.CheckpointDelay))
	}
	if !due || now.Before(k.turn) || now.Before(k.after) {
		k.running.Store(false)
		return
	}
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		defer k.running.Store(false)
		err := c.checkpoint(c.ctx, true)
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
