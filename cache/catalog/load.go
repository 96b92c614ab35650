package catalog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A download is the library as the store has it: the newest checkpoint and the log after it, whole and checked, in a file of the
// catalog directory. Nothing of the catalog is given up before the download is there: a store that fails in the middle costs a retry,
// and who reads never sees a part. The file has no name, so that nothing is left of it when the process ends.
//
// The file is a sequence of pieces: length of key, length of value, CRC-32C of key and value (4 bytes each, big endian), key, value. A commit is
// a piece without a key.
type download struct {
	f       *os.File
	seq     uint64 // of the checkpoint; 0: the store has none, and the log begins at 1
	hash    []byte
	bytes   int64 // of the checkpoint
	records int
	commits int
	last    uint64 // newest commit
}

const pieceHeader = 12

func (d *download) checkpointed() checkpointed { return checkpointed{seq: d.seq, size: d.bytes} }

// load replaces the replicated catalog by what the store has now; the outbox stays. loaded is false when the catalog is already what the newest
// checkpoint says, so that loading it again would change nothing.
func (c *Catalog) load(ctx context.Context) (loaded bool, err error) {
	d, err := c.fetch(ctx)
	if err != nil || d == nil {
		return false, err
	}
	defer d.f.Close()
	if err := c.replace(ctx, d); err != nil {
		return false, err
	}
	if c.mounted && c.opt.Reloaded != nil {
		c.opt.Reloaded()
	}
	return true, nil
}

const lost = "the store has lost objects of the library; restore them, or ask for help before anything is written"

// fetch downloads the newest checkpoint and the log after it; nil when the catalog is what that checkpoint says. One that vanishes while it is read may have been deleted for a
// newer one. If there is no newer one, objects are missing.
func (c *Catalog) fetch(ctx context.Context) (*download, error) {
	d, seq, err := c.fetchOnce(ctx)
	if !errors.Is(err, remote.Stale) {
		return d, err
	}
	select {
	case <-ctx.Done():
		return nil, err
	case <-time.After(c.opt.RetryInterval):
	}
	d, again, err := c.fetchOnce(ctx)
	if errors.Is(err, remote.Stale) && again == seq {
		err = remote.E("load checkpoint", fmt.Sprint(seq), remote.Corrupt, errors.New(err.Error())).WithHint(lost)
	}
	return d, err
}

// fetchOnce tries it once and tells the number of the checkpoint.
func (c *Catalog) fetchOnce(ctx context.Context) (*download, uint64, error) {
	c.mu.RLock()
	have, hash, loading := c.st.seq, c.st.hash, c.st.loading != nil
	c.mu.RUnlock()
	d := &download{}
	ck, err := c.store.OpenCheckpoint(ctx)
	switch {
	case err == nil:
		d.seq, d.hash, d.bytes = ck.Seq(), ck.Hash(), ck.Bytes()
	case !errors.Is(err, remote.NotExist):
		return nil, 0, err
	case have > 0 && !loading:
		return nil, 0, remote.E("load catalog", "", remote.Corrupt, errors.New("there is no checkpoint to start again from")).WithHint(lost)
	}
	if !loading && have == d.seq && slices.Equal(hash, d.hash) {
		return nil, d.seq, nil
	}
	d.last = d.seq
	name := filepath.Join(c.opt.Dir, "download")
	if d.f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, d.seq, local("load checkpoint", name, err)
	}
	if err = os.Remove(name); err != nil {
		err = local("load checkpoint", name, err)
	} else {
		err = c.fill(ctx, d, ck)
	}
	if err == nil && d.last < have {
		err = remote.E("load checkpoint", fmt.Sprint(d.seq), remote.Corrupt, fmt.Errorf("the log ends at commit %d, this machine has had commit %d", d.last, have)).WithHint(lost)
	}
	if err != nil {
		d.f.Close()
		return nil, d.seq, err
	}
	return d, d.seq, nil
}

// fill writes the records of a checkpoint (nil: there is none) and the commits after it into the download, and checks all that replace relies on.
func (c *Catalog) fill(ctx context.Context, d *download, ck remote.Checkpoint) error {
	w := bufio.NewWriterSize(d.f, 256<<10)
	put := func(key, value []byte) error {
		var h [pieceHeader]byte
		binary.BigEndian.PutUint32(h[0:], uint32(len(key)))
		binary.BigEndian.PutUint32(h[4:], uint32(len(value)))
		binary.BigEndian.PutUint32(h[8:], crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
		if err := errors.Join(second(w.Write(h[:])), second(w.Write(key)), second(w.Write(value))); err != nil {
			return local("load checkpoint", c.opt.Dir, err)
		}
		return nil
	}
	if ck != nil {
		for r, err := range ck.Records(ctx) {
			if err != nil {
				return err
			}
			if err := c.checkRecord(r); err != nil {
				return err
			}
			if err := put(r.Key, r.Value); err != nil {
				return err
			}
			d.records++
		}
	}
	c.step("downloaded")
	hash := d.hash
	for e, err := range c.store.Read(ctx, d.seq+1) {
		if err != nil {
			return err
		}
		l, err := c.decode(e)
		if err != nil {
			return err
		}
		if err := l.follows(d.last, hash); err != nil {
			return err
		}
		if err := put(nil, e.Body); err != nil {
			return err
		}
		d.last, hash = e.Seq, l.hash
		d.commits++
	}
	if err := w.Flush(); err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	return nil
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

// pieces reads a download from its start: the records, then the commits with an empty key.
func (d *download) pieces(each func(n int, key, value []byte) error) error {
	st, err := d.f.Stat()
	if err == nil {
		_, err = d.f.Seek(0, io.SeekStart)
	}
	left := int64(0)
	if err == nil {
		left = st.Size()
	}
	r := bufio.NewReaderSize(d.f, 256<<10)
	for n := 0; err == nil && n < d.records+d.commits; n++ {
		var h [pieceHeader]byte
		if _, err = io.ReadFull(r, h[:]); err != nil {
			break
		}
		k, v := int64(binary.BigEndian.Uint32(h[0:])), int64(binary.BigEndian.Uint32(h[4:]))
		left -= pieceHeader + k + v
		if left < 0 {
			err = errors.New("its lengths are wrong")
			break
		}
		b := make([]byte, k+v)
		if _, err = io.ReadFull(r, b); err != nil {
			break
		}
		if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(h[8:]) {
			err = errors.New("its checksum is wrong")
			break
		}
		if err := each(n, b[:k:k], b[k:]); err != nil {
			return err
		}
	}
	if err != nil {
		return remote.E("read downloaded checkpoint", d.f.Name(), remote.Other, err).WithHint("look at the disk of the catalog directory")
	}
	return nil
}

// replace puts a download in the place of the replicated catalog. Who reads waits and then sees all of it, with the outbox on top. It is marked on disk while it runs: after
// a crash or a failure of the disk there is no catalog to read until a load worked.
func (c *Catalog) replace(ctx context.Context, d *download) error {
	if err := c.ballast.room(); err != nil {
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
		tx.resetIndex(d.records == 0)
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

// install drops what is there and writes the download. mu is held and the loading mark is set. Undo records are dropped with what they belong
// to: the outbox runs again on the new state.
func (c *Catalog) install(ctx context.Context, d *download) error {
	if err := c.db.DropPrefix([]byte{classRecord}, []byte{classDerived}, []byte{classUndo}); err != nil {
		return local("load checkpoint", c.opt.Dir, err)
	}
	clear(c.st.undo)
	for _, op := range c.st.pending {
		op.changes, op.order = nil, nil
	}
	c.step("loading")
	wb := c.db.NewWriteBatch()
	defer wb.Cancel()
	set := func(key, value []byte) error { return wb.Set(key, value) }
	err := d.pieces(func(n int, key, value []byte) error {
		if n%1000 == 0 && (ctx.Err() != nil || c.ctx.Err() != nil) {
			return remote.E("load checkpoint", fmt.Sprint(d.seq), remote.Unavailable, errors.Join(context.Cause(ctx), context.Cause(c.ctx)))
		}
		if n == d.records {
			if err := c.installed(wb.Flush(), d); err != nil {
				return err
			}
		}
		if n >= d.records {
			l, err := c.decode(remote.LogEntry{Seq: c.st.seq + 1, Body: value})
			if err != nil {
				return err
			}
			return c.applyCommit(l, nil)
		}
		if err := c.installRecord(set, key, value); err != nil {
			return local("load checkpoint", c.opt.Dir, err)
		}
		return nil
	})
	if err == nil && d.commits == 0 {
		err = c.installed(wb.Flush(), d)
	}
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

// installRecord writes a record of a checkpoint with what is derived from it besides the counters, which are in the checkpoint.
func (c *Catalog) installRecord(set func(key, value []byte) error, key, value []byte) error {
	if err := set(full(classRecord, key), value); err != nil || key[0] != record.KeyDentry {
		return err
	}
	var d record.Dentry
	if err := proto.Unmarshal(value, &d); err != nil {
		return err
	}
	folder, name, _ := record.NumberOf(key)
	return errors.Join(set(c.listingKey(folder, string(name)), listingValue(&d)), set(parentKey(d.Node, folder, string(name)), []byte{}))
}

// installed ends the records of a download: the catalog is what it was after the checkpoint's commit, and a crash leaves it there.
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
