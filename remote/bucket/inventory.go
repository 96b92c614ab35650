package bucket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// What the bucket holds, for whoever checks a library or looks for what may be deleted. Nothing
// here writes, and nothing is remembered: a listing of n objects is about n/1000 requests, each of
// which is retried like any other.
//
// Listings are not taken at one moment: other machines add and delete meanwhile, and what comes
// while a listing is made may be missing in it although what came after it is there. So nothing is
// concluded from what a listing lacks: it is asked for, as LogObjects does, or with StatContent and
// StatPart.

// A ContentObject is an object under content/.
type ContentObject struct {
	Key string
	// ID.ID is empty: no content of ours, or (Side is set) beside an external content: see SideKey
	ID       remote.ContentID
	Side     string    // SuffixSum or SuffixFacts for a side object, empty for a content
	Size     int64     // of the object, in bytes
	Modified time.Time // store's clock
}

// An UnfinishedUpload is a multipart upload that was begun and neither completed nor aborted.
type UnfinishedUpload struct {
	Key       string
	ID        remote.ContentID // ID.ID is empty: not the key of an owned content
	Initiated time.Time        // store's clock
}

// A LogObject is a commit in the log, as it is listed.
type LogObject struct {
	Key      string
	Seq      uint64
	Size     int64     // of the object, in bytes
	Modified time.Time // store's clock
}

// A ManifestObject is a checkpoint's manifest.
type ManifestObject struct {
	Key      string
	Seq      uint64 // the commit whose state it is
	Size     int64  // of the object, in bytes
	Modified time.Time

	// Err is why it cannot be read (NotExist: it was deleted meanwhile); the fields below are then
	// empty.
	Err     error
	Hash    []byte // of commit Seq
	Records int64
	Bytes   int64         // of the records, uncompressed
	Parts   []PartOfRange // in the order of their keys
}

// A PartOfRange is a part as a manifest names it.
type PartOfRange struct {
	Key  string
	Size int64 // that the object must have, in bytes
}

// A PartObject is a part of checkpoints, as it is listed.
type PartObject struct {
	Key      string
	Size     int64
	Modified time.Time // store's clock
}

// An OtherObject is one that a library needs not: another program's, or what a probe left over.
type OtherObject struct {
	Key      string
	Probe    bool // a probe's: whoever made it has gone away
	Size     int64
	Modified time.Time // store's clock
}

// Contents yields every object under content/, ascending by key. After an error it stops.
func (s *Store) Contents(ctx context.Context) iter.Seq2[ContentObject, error] {
	return each(ctx, s, "list contents", contentPrefix, func(i object.Info) (ContentObject, bool) {
		id, side := parseContentKey(i.Key)
		return ContentObject{Key: i.Key, ID: id, Side: side, Size: i.Size, Modified: i.Modified}, true
	})
}

// StatContent asks for the size of a content, in bytes: one HEAD. NotExist: it is not in the store.
// Stale: it is an external content and no longer the object that was imported.
func (s *Store) StatContent(ctx context.Context, id remote.ContentID) (int64, error) {
	const op = "look for content"
	key, etag, err := locate(id)
	if err != nil {
		return 0, during(op, id.ID, err)
	}
	from, name, err := s.source(key)
	if err != nil {
		return 0, during(op, key, err)
	}
	var info object.Info
	err = s.retry(ctx, func() (err error) {
		info, err = from.Head(ctx, name)
		return err
	})
	if err != nil {
		return 0, during(op, key, err)
	}
	s.heard(info)
	switch {
	case etag != "" && info.ETag != etag:
		return 0, remote.E(
			op, key, remote.Stale, fmt.Errorf("%w: its etag is %s, imported was %s", replaced(), info.ETag, etag),
		)
	}
	return info.Size, nil
}

// Unfinished lists the uploads of contents that are under way or were abandoned. A server that
// lists uploads only key by key (MinIO) gives none, which is no error. Unsupported: the store lists
// none at all.
func (s *Store) Unfinished(ctx context.Context) ([]UnfinishedUpload, error) {
	var ups []object.MultipartUpload
	err := s.retry(ctx, func() (err error) {
		ups, err = s.bucket.ListMultiparts(ctx, contentPrefix)
		return err
	})
	if err != nil {
		return nil, during("list unfinished uploads", contentPrefix, err)
	}
	out := make([]UnfinishedUpload, 0, len(ups))
	for _, u := range ups {
		id, side := parseContentKey(u.Key)
		if side != "" {
			id = remote.ContentID{}
		}
		out = append(out, UnfinishedUpload{Key: u.Key, ID: id, Initiated: u.Initiated})
	}
	return out, nil
}

// LogObjects yields the commits of the log, ascending, without reading them. A gap is where Seq
// leaps. It is a listing, and what that passes over is asked for: the commits on both edges of a
// gap, and the one after the last, are not there. After an error it stops.
func (s *Store) LogObjects(ctx context.Context) iter.Seq2[LogObject, error] {
	const op = "list log"
	listed := each(ctx, s, op, logPrefix, func(i object.Info) (LogObject, bool) {
		n, ours := numberIn(logPrefix, i.Key)
		return LogObject{Key: i.Key, Seq: n, Size: i.Size, Modified: i.Modified}, ours
	})
	return func(yield func(LogObject, error) bool) {
		give := func(o LogObject, err error) bool { return yield(o, during(op, logPrefix, err)) && err == nil }
		last := uint64(0)
		for o, err := range listed {
			if err == nil && o.Seq > last+1 {
				var passed []LogObject
				passed, err = s.unlisted(ctx, last+1, o.Seq-1)
				for _, p := range passed {
					if !give(p, nil) {
						return
					}
				}
			}
			if !give(o, err) {
				return
			}
			last = o.Seq
		}
		for n := last + 1; n != 0; n++ {
			o, there, err := s.statCommit(ctx, n)
			if err == nil && !there || !give(o, err) {
				return
			}
		}
	}
}

// unlisted asks for the commits of a gap, from both its edges on until one is not there, and
// returns those that are.
func (s *Store) unlisted(ctx context.Context, from, to uint64) (there []LogObject, err error) {
	ask := func(n uint64) (ok bool) {
		var o LogObject
		if o, ok, err = s.statCommit(ctx, n); ok {
			there = append(there, o)
		}
		return ok && err == nil
	}
	for ; from <= to && ask(from); from++ {
	}
	low := len(there)
	for ; err == nil && from < to && ask(to); to-- {
	}
	slices.Reverse(there[low:])
	return there, err
}

func (s *Store) statCommit(ctx context.Context, seq uint64) (o LogObject, there bool, err error) {
	info, there, err := s.exists(ctx, logKey(seq))
	return LogObject{Key: logKey(seq), Seq: seq, Size: info.Size, Modified: info.Modified}, there, err
}

// Manifests yields the checkpoints, ascending, and reads each: one request more. One that cannot be
// read is yielded with its Err; an error beside it means that the store was not reached, and ends
// it.
func (s *Store) Manifests(ctx context.Context) iter.Seq2[ManifestObject, error] {
	const op = "list checkpoints"
	listed := each(ctx, s, op, manifestPrefix, func(i object.Info) (ManifestObject, bool) {
		n, ours := numberIn(manifestPrefix, i.Key)
		return ManifestObject{Key: i.Key, Seq: n, Size: i.Size, Modified: i.Modified}, ours
	})
	return func(yield func(ManifestObject, error) bool) {
		for o, err := range listed {
			if err == nil {
				o, err = s.readListedManifest(ctx, o)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

func (s *Store) readListedManifest(ctx context.Context, o ManifestObject) (ManifestObject, error) {
	var m manifest
	obj, _, err := s.get(ctx, o.Key, maxManifest)
	if err == nil {
		m, err = decodeManifest(s.lib, o.Seq, obj)
	}
	if err = during("read manifest", o.Key, err); err != nil {
		switch remote.KindOf(err) {
		case remote.Corrupt,
			remote.Unsupported,
			remote.NotExist,
			remote.Permission,
			remote.Archived,
			remote.Invalid,
			remote.Other:
			if err != nil {
				o.Err = err
				return o, nil
			}
		}
		return ManifestObject{}, err
	}
	o.Hash, o.Records, o.Bytes = m.Hash, m.Records, m.Bytes
	for _, p := range m.Parts {
		o.Parts = append(o.Parts, PartOfRange{Key: p.Key, Size: p.Size})
	}
	return o, nil
}

// Parts yields the parts of checkpoints, ascending by key, without reading them. After an error it
// stops.
func (s *Store) Parts(ctx context.Context) iter.Seq2[PartObject, error] {
	return each(ctx, s, "list checkpoint parts", partPrefix, func(i object.Info) (PartObject, bool) {
		_, ours := parsePartKey(i.Key)
		return PartObject{Key: i.Key, Size: i.Size, Modified: i.Modified}, ours
	})
}

// StatPart asks for the size of a part of checkpoints, in bytes: one HEAD.
func (s *Store) StatPart(ctx context.Context, key string) (size int64, there bool, err error) {
	const op = "look for checkpoint part"
	if _, ours := parsePartKey(key); !ours {
		return 0, false, remote.E(op, key, remote.Invalid, errors.New("no part has such a key"))
	}
	info, there, err := s.exists(ctx, key)
	return info.Size, there, during(op, key, err)
}

// Others yields the objects under the library's prefix that have no key of a library's, ascending,
// and what probes left over. It leaves out content/, where Contents yields everything, without
// listing it. After an error it stops.
func (s *Store) Others(ctx context.Context) iter.Seq2[OtherObject, error] {
	return func(yield func(OtherObject, error) bool) {
		skipped := false
		for after := ""; ; {
			page, more, err := s.list(ctx, "", after, 0)
			if err != nil {
				yield(OtherObject{}, during("list other objects", s.facts.URL, err))
				return
			}
			for _, i := range page {
				after = i.Key
				if strings.HasPrefix(i.Key, contentPrefix) && !skipped {
					after, more, skipped = contentPrefix+lastRune, true, true
					break
				}
				if ownKey(i.Key) {
					continue
				}
				if !yield(OtherObject{Key: i.Key, Probe: isProbeKey(i.Key), Size: i.Size, Modified: i.Modified}, nil) {
					return
				}
			}
			if !more || len(page) == 0 {
				return
			}
		}
	}
}

// lastRune comes after everything else that a key can go on with.
const lastRune = "\U0010ffff"

// each yields what pick makes of the objects whose keys begin with prefix; those that pick does not
// want are left out.
func each[T any](
	ctx context.Context, s *Store, op, prefix string, pick func(object.Info) (T, bool),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			page, more, err := s.list(ctx, prefix, after, 0)
			if err != nil {
				var none T
				yield(none, during(op, prefix, err))
				return
			}
			for _, i := range page {
				after = i.Key
				if v, ok := pick(i); ok && !yield(v, nil) {
					return
				}
			}
			if !more || len(page) == 0 {
				return
			}
		}
	}
}
