package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"mediafs/remote"
)

// partsAhead is how many parts are fetched at the same time while a checkpoint is loaded: it bounds
// the memory, each part being 4 MiB uncompressed as a rule and 16 MiB at most.
const partsAhead = 3

// OpenCheckpoint opens the newest checkpoint; see remote.Log. It is a LIST and a GET.
func (s *Store) OpenCheckpoint(ctx context.Context) (remote.Checkpoint, error) {
	return s.OpenCheckpointBefore(ctx, math.MaxUint64)
}

// OpenCheckpointBefore opens the newest checkpoint of those before commit seq; see remote.Log.
func (s *Store) OpenCheckpointBefore(ctx context.Context, seq uint64) (remote.Checkpoint, error) {
	const op = "open checkpoint"
	m, ok, damaged, err := s.readNewest(ctx, seq)
	if err != nil {
		return nil, during(op, manifestPrefix, err)
	}
	if !ok {
		return nil, remote.E(op, manifestPrefix, remote.NotExist, errors.New("there is no checkpoint yet"))
	}
	return &checkpoint{s: s, m: m, damaged: damaged}, nil
}

// manifestNumbers are those of all checkpoints, ascending.
func (s *Store) manifestNumbers(ctx context.Context) (all []uint64, err error) {
	for after := ""; ; {
		page, more, err := s.list(ctx, manifestPrefix, after, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, numbers(manifestPrefix, page)...)
		if !more || len(page) == 0 {
			return all, nil
		}
		after = page[len(page)-1].Key
	}
}

// newestManifest is the number of the newest checkpoint. Old manifests are few, since they are
// deleted, so the listing is one page.
func (s *Store) newestManifest(ctx context.Context) (seq uint64, ok bool, err error) {
	all, err := s.manifestNumbers(ctx)
	if err != nil || len(all) == 0 {
		return 0, false, err
	}
	return all[len(all)-1], true, nil
}

// readNewest reads the newest manifest before commit below that can be read. One that is deleted
// between the listing and the reading has a newer one by then. One that is damaged leaves the one
// before it, and damaged says what it is: the log after that one is there as well, as it is after
// the older of the two newest.
func (s *Store) readNewest(ctx context.Context, below uint64) (m manifest, ok bool, damaged, err error) {
	for range s.opt.Attempts {
		all, err := s.manifestNumbers(ctx)
		if err != nil {
			return m, false, nil, err
		}
		if i, _ := slices.BinarySearch(all, below); i < len(all) {
			all = all[:i]
		}
		if len(all) == 0 {
			return m, false, nil, nil
		}
		if m, damaged, err = s.readLast(ctx, all); !errors.Is(err, remote.NotExist) {
			return m, err == nil, damaged, err
		}
	}
	return m, false, nil, remote.E(
		"read manifest", manifestPrefix, remote.Unavailable,
		errors.New("each one that was listed was gone when it was read"),
	)
}

// readLast reads the last of some manifests that is not damaged. NotExist: one of them is gone.
// When all are damaged the error is that of the last.
func (s *Store) readLast(ctx context.Context, numbers []uint64) (m manifest, damaged, err error) {
	for _, seq := range slices.Backward(numbers) {
		key := manifestKey(seq)
		obj, _, err := s.get(ctx, key, maxManifest)
		if err == nil {
			m, err = decodeManifest(s.lib, seq, obj)
		}
		if err == nil || !errors.Is(err, remote.Corrupt) {
			return m, damaged, during("read manifest", key, err)
		}
		if damaged == nil {
			damaged = during("read manifest", key, err)
		}
	}
	return manifest{}, nil, damaged
}

// checkpoint is one that is there; it holds its manifest only.
type checkpoint struct {
	s    *Store
	m    manifest
	keep keeping

	damaged error // why a newer one cannot be opened
}

var (
	_ remote.Keeper     = (*checkpoint)(nil)
	_ remote.Substitute = (*checkpoint)(nil)
)

func (c *checkpoint) Seq() uint64  { return c.m.Seq }
func (c *checkpoint) Hash() []byte { return bytes.Clone(c.m.Hash) }
func (c *checkpoint) Bytes() int64 { return c.m.Bytes }

// InsteadOf is of remote.Substitute.
func (c *checkpoint) InsteadOf() error { return c.damaged }

// Records yields all records; see remote.Checkpoint. Every checksum is verified before a record of
// its part is yielded.
func (c *checkpoint) Records(ctx context.Context) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		for recs, err := range ahead(ctx, len(c.m.Parts), window{calls: partsAhead}, c.load) {
			if err != nil {
				yield(remote.Record{}, err)
				return
			}
			for _, rec := range recs {
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// load gives part i, kept or fetched, and checked. With the manifest's order of the parts, the
// order within each makes that of all.
func (c *checkpoint) load(ctx context.Context, i int) ([]remote.Record, error) {
	const op = "load checkpoint"
	p := c.m.Parts[i]
	obj, err := c.keep.read(p)
	if err != nil {
		return nil, err
	}
	if obj != nil {
		if recs, err := c.decode(p, obj); err == nil {
			return recs, nil
		}
	}
	if c.keep.only {
		return nil, remote.E(
			op, p.Key, remote.Unavailable, errors.New("what was downloaded of it cannot be read any more"),
		)
	}
	if obj, err = c.fetch(ctx, p); err != nil {
		return nil, err
	}
	recs, err := c.decode(p, obj)
	if err != nil {
		c.s.damaged.Store(p.Key, true)
		return nil, during(op, p.Key, err)
	}
	return recs, c.keep.write(p, obj)
}

// fetch gets a part.
func (c *checkpoint) fetch(ctx context.Context, p partEntry) ([]byte, error) {
	const op = "load checkpoint"
	obj, _, err := c.s.get(ctx, p.Key, p.Size)
	if errors.Is(err, remote.NotExist) {
		return nil, remote.E(op, p.Key, remote.Stale, fmt.Errorf("the checkpoint after commit %d was deleted", c.m.Seq)).
			WithHint("open the newest checkpoint")
	}
	if err == nil && int64(len(obj)) != p.Size {
		err = corrupt("it has %d bytes, the manifest says %d", len(obj), p.Size)
	}
	return obj, during(op, p.Key, err)
}

// decode checks all of a part and gives its records.
func (c *checkpoint) decode(p partEntry, obj []byte) ([]remote.Record, error) {
	hash, err := p.hash()
	if err != nil {
		return nil, err
	}
	recs, err := decodePart(c.s.lib, hash, obj)
	if err == nil &&
		(int64(len(recs)) != p.Records || !bytes.Equal(recs[0].Key, p.First) || !bytes.Equal(recs[len(recs)-1].Key, p.Last)) {
		err = corrupt("its records are not those that the manifest says")
	}
	return recs, err
}
