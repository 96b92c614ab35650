package catalog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A download is the library as the store has it: the newest checkpoint, whose parts are kept in a
// folder of the catalog directory, and the log after it, checked, in a file there. Where there is a
// catalog, nothing of it is given up before the download is there: a store that fails in the middle
// costs a retry, and who reads never sees a part. What is kept is looked at by its checksums alone,
// so that a load that is broken off, by whatever, goes on where it was.
//
// The file has no name, so that nothing is left of it when the process ends. It is a sequence of
// commits: length, CRC-32C (4 bytes each, big endian), body.
type download struct {
	ck      remote.Checkpoint // nil: the store has none, and the log begins at 1
	seq     uint64            // of the checkpoint
	hash    []byte
	bytes   int64    // of the checkpoint
	f       *os.File // nil: the log is read afterwards
	commits int
	last    uint64 // newest commit that can be read
	stop    error  // why the log cannot be read on after it; nil: it is the newest
}

const pieceHeader = 8

func (d *download) checkpointed() checkpointed { return checkpointed{seq: d.seq, size: d.bytes} }

// checkpoint is the one that was downloaded; nil for none.
func (d *download) checkpoint() remote.Checkpoint {
	if d == nil {
		return nil
	}
	return d.ck
}

func (d *download) close() {
	if d.f != nil {
		d.f.Close()
	}
}

// kept is the folder with parts of a checkpoint that is being loaded.
func (c *Catalog) kept() string { return filepath.Join(c.opt.Dir, "checkpoint") }

// load replaces the replicated catalog by what the store has now; the outbox stays. loaded is false
// when the catalog is already what the newest checkpoint says, so that loading it again would
// change nothing.
//
// While the directory is opened and has no catalog, that is the checkpoint alone, as it comes:
// nobody can read yet, and the log after it is applied like any other, so that it need not be read
// again.
func (c *Catalog) load(ctx context.Context) (loaded bool, err error) {
	c.mu.RLock()
	first := !c.mounted && (c.st.seq == 0 || c.st.loading != nil)
	c.mu.RUnlock()
	d, err := c.fetch(ctx, first)
	if err != nil || d == nil {
		return false, err
	}
	defer d.close()
	if !first {
		c.mu.RLock()
		gains := d.last > c.st.seq || c.st.loading != nil && d.last == c.st.seq
		c.mu.RUnlock()
		if d.stop != nil && !gains {
			return false, remote.E("load checkpoint", fmt.Sprint(d.seq), remote.Corrupt, errors.New(d.stop.Error())).
				WithHint(lost)
		}
		if err := c.replace(ctx, d); err != nil {
			return false, err
		}
	}
	if err := c.forgetKept(); err != nil {
		return false, err
	}
	if c.mounted && c.opt.Reloaded != nil {
		c.opt.Reloaded()
	}
	return true, nil
}

// forgetKept ends what a load has kept.
func (c *Catalog) forgetKept() error {
	if err := os.RemoveAll(c.kept()); err != nil {
		return local("load checkpoint", c.kept(), err)
	}
	return nil
}

const lost = "the store has lost objects of the library; restore them, or ask for help before anything is written"

// fetch downloads the newest checkpoint and the log after it, or, at first, puts the checkpoint in
// place; nil when the catalog is what that checkpoint says. One that vanishes while it is read may
// have been deleted for a newer one. If there is no newer one, objects are missing. Where objects
// of it are missing or damaged, the one before it will do, and in the end the log, if it is there
// from its beginning.
func (c *Catalog) fetch(ctx context.Context, first bool) (*download, error) {
	var damage *badCheckpoint // the newest
	for below := newest; ; {
		d, seq, err := c.fetchTwice(ctx, first, below)
		if s, ok := d.checkpoint().(remote.Substitute); ok && err == nil && damage == nil && s.InsteadOf() != nil {
			damage = &badCheckpoint{error: s.InsteadOf()}
		}
		var bad badCheckpoint
		switch {
		case err == nil && damage != nil:
			c.damaged.Store(damage)
			c.log.WithError(damage).
				Errorf("the newest checkpoint cannot be read; the library is read from the one after commit %d and the log", seq)
			return d, nil
		case !errors.As(err, &bad):
			if err == nil && d != nil {
				c.damaged.Store(nil)
			}
			return d, err
		case below == 0: // and nothing is left to try
			return nil, damage
		}
		if damage == nil {
			damage = &badCheckpoint{bad.error, seq}
		}
		below = seq
	}
}

// newest is above the number of every checkpoint.
const newest uint64 = math.MaxUint64

// A badCheckpoint is why a checkpoint cannot be loaded that others may stand in for.
type badCheckpoint struct {
	error
	seq uint64 // its commit; 0: not known
}

func (b badCheckpoint) Unwrap() error { return b.error }

// fetchTwice tries one of the checkpoints before commit below, 0: the log alone. It tells the
// number of the one that it tried.
func (c *Catalog) fetchTwice(ctx context.Context, first bool, below uint64) (*download, uint64, error) {
	d, seq, err := c.fetchOnce(ctx, first, below)
	if d != nil && errors.Is(d.stop, remote.Stale) { // the log may have been trimmed after a newer checkpoint
		err = d.stop
		d.close()
	}
	if !errors.Is(err, remote.Stale) {
		return d, seq, err
	}
	select {
	case <-ctx.Done():
		return nil, seq, err
	case <-time.After(c.opt.RetryInterval):
	}
	d, again, err := c.fetchOnce(ctx, first, below)
	if errors.Is(err, remote.Stale) && again == seq {
		err = badCheckpoint{
			remote.E("load checkpoint", fmt.Sprint(seq), remote.Corrupt, errors.New(err.Error())).WithHint(lost), seq,
		}
	}
	return d, again, err
}

// openBefore fills in the checkpoint of a download: the newest before commit below. None is left
// when the log is to be read from its beginning, where it must be there.
func (c *Catalog) openBefore(ctx context.Context, d *download, below uint64) error {
	err := error(remote.E("load catalog", "", remote.NotExist, nil))
	if below > 0 {
		d.ck, err = c.store.OpenCheckpointBefore(ctx, below)
	}
	switch {
	case err == nil:
		d.seq, d.hash, d.bytes = d.ck.Seq(), d.ck.Hash(), d.ck.Bytes()
		return nil
	case errors.Is(err, remote.Corrupt):
		return badCheckpoint{error: err}
	case !errors.Is(err, remote.NotExist):
		return err
	}
	d.ck = nil
	if below == newest {
		return nil
	}
	oldest, err := c.store.Horizon(ctx)
	if err == nil && oldest > 1 {
		err = badCheckpoint{
			error: remote.E("load catalog", "", remote.Corrupt, fmt.Errorf("the log begins at commit %d", oldest)),
		}
	}
	return err
}

// fetchOnce tries it once.
func (c *Catalog) fetchOnce(ctx context.Context, first bool, below uint64) (*download, uint64, error) {
	c.mu.RLock()
	have, hash, loading := c.st.seq, c.st.hash, c.st.loading != nil
	c.mu.RUnlock()
	d := &download{}
	if err := c.openBefore(ctx, d, below); err != nil {
		return nil, 0, err
	}
	if d.ck == nil && below == newest && have > 0 && !loading {
		return nil, 0, remote.E("load catalog", "", remote.Corrupt, errors.New("there is no checkpoint to start again from")).
			WithHint(lost)
	}
	if !loading && have == d.seq && slices.Equal(hash, d.hash) {
		return nil, d.seq, nil
	}
	d.last = d.seq
	if first {
		if err := d.keep(c.kept(), false); err != nil {
			return nil, d.seq, err
		}
		return d, d.seq, c.replace(ctx, d)
	}
	name := filepath.Join(c.opt.Dir, "download")
	var err error
	if d.f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, d.seq, local("load checkpoint", name, err)
	}
	if err = os.Remove(name); err != nil {
		err = local("load checkpoint", name, err)
	} else {
		err = c.fill(ctx, d)
	}
	if err == nil && d.stop == nil && d.last < have {
		err = c.lostCommits(d.last, have)
	}
	if err != nil {
		d.close()
		return nil, d.seq, err
	}
	return d, d.seq, nil
}

// lostCommits is the error of a store that has not all that this directory has had from it.
func (c *Catalog) lostCommits(last, had uint64) error {
	return remote.E("load checkpoint", c.opt.Dir, remote.Corrupt, fmt.Errorf("the log ends at commit %d, this machine has had commit %d", last, had)).
		WithHint(lost)
}

// keep makes the checkpoint's download resumable; with only, nothing is fetched any more.
func (d *download) keep(dir string, only bool) error {
	if k, ok := d.ck.(remote.Keeper); ok {
		return k.Keep(dir, only)
	}
	return nil
}

// fill brings the records of the checkpoint to this machine and the commits after it into the file,
// and checks all that replace relies on.
func (c *Catalog) fill(ctx context.Context, d *download) error {
	if d.ck != nil {
		if err := d.keep(c.kept(), false); err != nil {
			return err
		}
		for r, err := range d.ck.Records(ctx) {
			if err == nil {
				err = c.checkRecord(r)
			}
			if err != nil {
				return damaged(err)
			}
		}
		if err := d.keep(c.kept(), true); err != nil {
			return err
		}
	}
	c.step("downloaded")
	w := bufio.NewWriterSize(d.f, 256<<10)
	hash := d.hash
	for e, err := range c.store.Read(ctx, d.seq+1) {
		var l logged
		if err == nil {
			l, err = c.decode(e)
		}
		if err == nil {
			err = l.follows(d.last, hash)
		}
		if blocking(err) {
			d.stop = err // what comes before it is good
			break
		}
		if err != nil {
			return err
		}
		h := binary.BigEndian.AppendUint32(nil, uint32(len(e.Body)))
		h = binary.BigEndian.AppendUint32(h, crc32.Checksum(e.Body, castagnoli))
		if err := errors.Join(second(w.Write(h)), second(w.Write(e.Body))); err != nil {
			return local("load checkpoint", c.opt.Dir, err)
		}
		d.last, hash = e.Seq, l.hash
		d.commits++
	}
	if err := w.Flush(); err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	return nil
}

// damaged marks an error of reading a checkpoint for which another one may stand in.
func damaged(err error) error {
	if errors.Is(err, remote.Corrupt) {
		return badCheckpoint{error: err}
	}
	return err
}

func (c *Catalog) checkRecord(r remote.Record) error {
	bad := func(why error) error {
		return remote.E("load checkpoint", fmt.Sprintf("%q", r.Key), remote.Corrupt, why)
	}
	if len(r.Key) == 0 {
		return bad(errors.New("a record without a key"))
	}
	switch r.Key[0] {
	case record.KeyFeature:
		return c.checkFeature(r.Key, r.Value)
	case record.KeyDentry:
		var d record.Dentry
		if err := proto.Unmarshal(r.Value, &d); err != nil {
			return bad(err)
		}
		if _, _, ok := record.NumberOf(r.Key); !ok {
			return bad(errors.New("malformed name"))
		}
	}
	return nil
}

// log reads the commits of a download.
func (d *download) log(each func(body []byte) error) error {
	if d.f == nil {
		return nil
	}
	st, err := d.f.Stat()
	if err == nil {
		_, err = d.f.Seek(0, io.SeekStart)
	}
	left := int64(0)
	if err == nil {
		left = st.Size()
	}
	r := bufio.NewReaderSize(d.f, 256<<10)
	for n := 0; err == nil && n < d.commits; n++ {
		var h [pieceHeader]byte
		if _, err = io.ReadFull(r, h[:]); err != nil {
			break
		}
		size := int64(binary.BigEndian.Uint32(h[0:]))
		if left -= pieceHeader + size; left < 0 {
			err = errors.New("its lengths are wrong")
			break
		}
		b := make([]byte, size)
		if _, err = io.ReadFull(r, b); err != nil {
			break
		}
		if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(h[4:]) {
			err = errors.New("its checksum is wrong")
			break
		}
		if err := each(b); err != nil {
			return err
		}
	}
	if err != nil {
		return remote.E("read downloaded log", d.f.Name(), remote.Other, err).
			WithHint("look at the disk of the catalog directory")
	}
	return nil
}

// replace puts a download in the place of the replicated catalog. Who reads waits and then sees all
// of it, with the outbox on top. It is marked on disk while it runs: after a crash or a failure of
// the disk there is no catalog to read until a load worked.
func (c *Catalog) replace(ctx context.Context, d *download) error {
	if err := c.ballast.room(false); err != nil {
		return err
	}
	c.snap.Lock()
	defer c.snap.Unlock()
	c.mu.Lock()
	defer c.unlock()
	if c.st.closed {
		return remote.E("load checkpoint", "", remote.Unavailable, errClosed)
	}
	if c.st.loading == nil { // what was dropped by a load that failed is not to be undone or kept
		if err := c.undoAll(); err != nil {
			return err
		}
		if err := c.keepReferenced(); err != nil {
			return err
		}
	}
	err := c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("loading"), []byte{1})
		c.replaceAll(tx, d.seq)
		tx.resetIndex(d.ck == nil)
		if had := max(c.st.seq, decodeNumber(tx.get(localKey("had")))); had > 0 && d.f == nil {
			tx.raw(localKey("had"), binary.BigEndian.AppendUint64(nil, had))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.st.loading = errors.New("a checkpoint is being loaded")
	c.publish()
	if err := c.install(ctx, d); err != nil {
		c.st.loading = errors.New(err.Error())
		return err
	}
	c.st.loading = nil
	c.wakeBuilder()
	return nil
}

// install drops what is there and writes the download. mu is held and the loading mark is set. Undo
// records are dropped with what they belong to: the outbox runs again on the new state.
func (c *Catalog) install(ctx context.Context, d *download) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	clear(c.st.undo)
	for _, op := range c.st.pending {
		op.changes, op.order = nil, nil
	}
	c.step("loading")
	if err := c.installRecords(ctx, d); err != nil {
		return err
	}
	err := d.log(func(body []byte) error {
		if ctx.Err() != nil {
			return remote.E("load checkpoint", fmt.Sprint(d.seq), remote.Unavailable, context.Cause(ctx))
		}
		l, err := c.decode(remote.LogEntry{Seq: c.st.seq + 1, Body: body})
		if err != nil {
			return err
		}
		return c.applyCommit(l, nil)
	})
	if err != nil {
		return err
	}
	if c.opt.ReadOnly || c.st.client == 0 {
		c.endPin()
		return c.dropRestored() // opening: the outbox runs after joining
	}
	c.status.set(func(s *Status) { s.Checkpoint = max(s.Checkpoint, d.seq) })
	if err := c.judge(); err != nil {
		return err
	}
	c.endPin()
	if err := c.rerun(nil); err != nil {
		return err
	}
	return c.dropRestored()
}

// installRecords writes the checkpoint.
func (c *Catalog) installRecords(ctx context.Context, d *download) error {
	w, err := c.bulk()
	if err != nil {
		return err
	}
	defer w.cancel()
	p := Progress{AllBytes: d.bytes}
	if d.ck != nil {
		n := 0
		for r, err := range d.ck.Records(ctx) {
			if err != nil {
				return damaged(err)
			}
			if n++; n%1000 == 0 {
				c.progress(p)
				if err := c.ballast.room(false); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return remote.E("load checkpoint", fmt.Sprint(d.seq), remote.Unavailable, context.Cause(ctx))
				}
			}
			p.Bytes += int64(len(r.Key) + len(r.Value))
			if err := c.checkRecord(r); err != nil {
				return damaged(err)
			}
			if err := c.installRecord(w.set, r.Key, r.Value); err != nil {
				return local("load checkpoint", c.opt.Dir, err)
			}
		}
		c.progress(p)
	}
	c.step("records")
	err = w.end()
	c.step("tables")
	return c.installed(err, d)
}

// hadAll fails when the log, read to its end, lacks commits that this directory had before it gave
// up its catalog.
func (c *Catalog) hadAll() error {
	c.mu.RLock()
	applied := c.st.seq
	c.mu.RUnlock()
	key := localKey("had")
	return c.updateLocal(func(tx *Tx) error {
		had := decodeNumber(tx.get(key))
		if had > applied {
			return c.lostCommits(applied, had)
		}
		if had > 0 {
			tx.raw(key, nil)
		}
		return tx.err
	})
}

// installRecord writes a record of a checkpoint with what is derived from it besides the counters,
// which are in the checkpoint.
func (c *Catalog) installRecord(set func(key, value []byte) error, key, value []byte) error {
	if err := set(full(classRecord, key), value); err != nil || key[0] != record.KeyDentry {
		return err
	}
	var d record.Dentry
	if err := proto.Unmarshal(value, &d); err != nil {
		return err
	}
	folder, name, _ := record.NumberOf(key)
	return errors.Join(
		set(c.listingKey(folder, string(name)), listingValue(&d)),
		set(parentKey(d.Node, folder, string(name)), []byte{}),
	)
}

// installed ends the records of a download: the catalog is what it was after the checkpoint's
// commit, and a crash leaves it there.
func (c *Catalog) installed(err error, d *download) error {
	if err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	err = c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("applied"), encodeApplied(d.seq, d.checkpointed(), d.hash))
		tx.raw(localKey("loading"), nil)
		return nil
	})
	if err != nil {
		return err
	}
	c.st.seq, c.st.hash, c.st.ckpt = d.seq, d.hash, d.checkpointed()
	return nil
}
