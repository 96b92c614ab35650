package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/remote"
	"mediafs/remote/object"
)

// partUploads is how many parts are compressed and put at the same time.
const partUploads = 3

// partYouth is the age below which a part that no manifest names may be named by a new one: it is
// put within CheckpointLimit, and no part of less than 2 days is deleted.
const partYouth = 24 * time.Hour

// WriteCheckpoint stores the checkpoint after commit seq; see remote.Log. Parts whose records did
// not change since the newest checkpoint are not uploaded again, unless they are gone, nor are
// those that another machine has put for a checkpoint of about now, or this one before it was
// broken off. It is a GET and two LISTs, a PUT for each changed part, and a PUT between two HEADs
// for the manifest.
//
// Stale: the checkpoint it builds on was deleted meanwhile, or it took longer than CheckpointLimit;
// start again. After any error, and after losing a race, parts may be left that no manifest names;
// they are garbage for whoever sweeps.
func (s *Store) WriteCheckpoint(
	ctx context.Context, seq uint64, hash []byte, records iter.Seq2[remote.Record, error],
) (int64, error) {
	const op = "write checkpoint"
	key := manifestKey(seq)
	if err := s.writable(op, key); err != nil {
		return 0, err
	}
	if seq == 0 || seq == math.MaxUint64 {
		return 0, remote.E(op, key, remote.Invalid, errors.New("commits are numbered from 1"))
	}
	began := s.opt.Boot()
	base, _, _, err := s.readNewest(ctx, math.MaxUint64)
	if errors.Is(err, remote.Corrupt) {
		base, err = manifest{}, nil // a new checkpoint is the way out: it reuses nothing
	}
	if err != nil {
		return 0, during(op, key, err)
	}
	if base.Seq == seq {
		return base.Bytes, nil
	}
	w := &checkpointWriter{s: s, base: map[string]partEntry{}, young: map[string]PartObject{}}
	if err := w.look(ctx, base.Parts); err != nil {
		return 0, during(op, key, err)
	}
	if err := w.putAll(ctx, records); err != nil {
		return 0, during(op, key, err)
	}
	m := manifest{Seq: seq, Hash: hash, Writer: s.writer}
	for _, p := range w.parts {
		m.Parts = append(m.Parts, *p)
		m.Records += p.Records
		m.Bytes += p.Bytes
	}
	if w.reused == 0 {
		base.Seq = 0
	}
	if err := s.putManifest(ctx, m, base.Seq, began); err != nil {
		return 0, during(op, key, err)
	}
	return m.Bytes, nil
}

// checkpointWriter turns records into parts.
type checkpointWriter struct {
	s      *Store
	base   map[string]partEntry  // parts of the base that are there, by hash
	young  map[string]PartObject // other parts that were put less than partYouth ago, by hash
	parts  []*partEntry          // in order; each upload fills in the size of its own
	reused int
}

// look finds out which parts of the base are there, whole by their size: the others are put anew,
// so that a lost one does not stay lost.
func (w *checkpointWriter) look(ctx context.Context, parts []partEntry) error {
	sizes := make(map[string]int64, len(parts))
	for o, err := range w.s.Parts(ctx) {
		if err != nil {
			return err
		}
		if _, damaged := w.s.damaged.Load(o.Key); damaged {
			continue // it is put anew
		}
		sizes[o.Key] = o.Size
		age := w.s.Now().Sub(o.Modified)
		if hash, ok := parsePartKey(
			o.Key,
		); ok && o.Size <= maxPart && !o.Modified.IsZero() && age < partYouth &&
			age > -partYouth {
			w.young[hash.String()] = o
		}
	}
	for _, p := range parts {
		if size, ok := sizes[p.Key]; ok && size == p.Size {
			w.base[p.Hash] = p
		} else if w.young[p.Hash].Key == p.Key {
			delete(w.young, p.Hash) // it is there, and not whole
		}
	}
	return nil
}

// putAll cuts records into parts and puts those that are new.
func (w *checkpointWriter) putAll(ctx context.Context, records iter.Seq2[remote.Record, error]) error {
	puts, ctx := errgroup.WithContext(ctx)
	puts.SetLimit(partUploads)
	err := w.cut(ctx, records, func(r *run) {
		hash := hashRecords(r.raw)
		if p, ok := w.base[hash.String()]; ok {
			w.parts = append(w.parts, &p)
			w.reused++
			return
		}
		p := &partEntry{
			Key:     partKey(hash, w.s.writer),
			Hash:    hash.String(),
			Records: int64(r.records),
			Bytes:   r.bytes,
			First:   r.first,
			Last:    r.last,
		}
		w.parts = append(w.parts, p)
		if o, ok := w.young[p.Hash]; ok {
			p.Key, p.Size = o.Key, o.Size
			return
		}
		puts.Go(func() error {
			obj := encodePart(w.s.lib, hash, r)
			p.Size = int64(len(obj))
			return during("put part", p.Key, w.s.put(ctx, p.Key, obj, object.PutOptions{}))
		})
	})
	if werr := puts.Wait(); werr != nil {
		err = werr // the reason why cut was stopped
	}
	return err
}

// cut checks the records and gives them to part in runs.
func (w *checkpointWriter) cut(ctx context.Context, records iter.Seq2[remote.Record, error], part func(*run)) error {
	c := cutter{target: w.s.opt.PartSize}
	r := &run{}
	var last []byte
	for rec, err := range records {
		if err == nil {
			err = checkRecord(rec, last)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		before := len(r.raw)
		r.add(rec)
		last = append(last[:0], rec.Key...)
		if c.ends(len(r.raw), len(r.raw)-before, rec.Key) {
			part(r)
			r = &run{}
		}
	}
	if r.records > 0 {
		part(r)
	}
	return nil
}

// put stores an object of ours. It retries, so that with IfAbsent an Exist may be of its own
// making.
func (s *Store) put(ctx context.Context, key string, obj []byte, opt object.PutOptions) error {
	return s.retry(ctx, func() error {
		info, err := s.bucket.Put(ctx, key, bytes.NewReader(obj), int64(len(obj)), opt)
		if err == nil {
			s.heard(info)
		}
		return err
	})
}

// putManifest makes the checkpoint exist. base is the checkpoint whose parts it names as well, 0
// for none: while that is there, nobody deletes them. It is looked for before, so that a manifest
// that cannot be loaded is hardly ever seen, and after, which is the proof: whoever sweeps deletes
// manifests first and then lists those that are left.
func (s *Store) putManifest(ctx context.Context, m manifest, base uint64, began time.Duration) error {
	key := manifestKey(m.Seq)
	obj, err := encodeManifest(s.lib, m)
	if err != nil {
		return err
	}
	if err := s.standsOn(ctx, base); err != nil {
		return err
	}
	err = s.retry(ctx, func() error {
		if d := s.opt.Boot() - began; d >= s.opt.CheckpointLimit {
			return remote.E(
				"put manifest",
				key,
				remote.Stale,
				fmt.Errorf("it took %s since the last checkpoint was read, at most %s are safe",
					d.Round(time.Second), s.opt.CheckpointLimit),
			)
		}
		_, err := s.bucket.Put(ctx, key, bytes.NewReader(obj), int64(len(obj)), object.PutOptions{IfAbsent: true})
		return err
	})
	if err != nil && !errors.Is(err, remote.Exist) {
		return err
	}
	stale := s.standsOn(ctx, base)
	if !errors.Is(stale, remote.Stale) {
		return stale
	}
	if there, _, err := s.get(ctx, key, maxManifest); err != nil || !bytes.Equal(there, obj) {
		if errors.Is(err, remote.NotExist) {
			return stale
		}
		return err // nil: it is another machine's, and its own affair
	}
	return errors.Join(s.retry(ctx, func() error { return s.bucket.Delete(ctx, key) }), stale)
}

// standsOn fails with Stale when checkpoint base was deleted.
func (s *Store) standsOn(ctx context.Context, base uint64) error {
	if base == 0 {
		return nil
	}
	_, ok, err := s.exists(ctx, manifestKey(base))
	if err == nil && !ok {
		err = remote.E(
			"look for the checkpoint it builds on", manifestKey(base), remote.Stale,
			errors.New("it was deleted meanwhile"),
		)
	}
	return err
}
