package bucket

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

const (
	// stepwise is how many commits Read fetches one after the other before it asks for a list: a
	// follower is mostly none or one behind, and a request each is then the cheapest.
	stepwise = 4
	// commitsAhead and bytesAhead bound how many commits are fetched at the same time when many are
	// missing: enough small ones for a store that answers after a tenth of a second, and as few
	// large ones as fill the line.
	commitsAhead = 64
	bytesAhead   = 8 << 20
)

// Read yields the commits from first on; see remote.Log. When there is nothing new it is one
// request when commit first-1 was seen a short while ago, otherwise a LIST, which sees it again,
// and one more.
//
// A listing is not of one moment: beside appends it may show commit n+1 and not n. So it only says
// how far there is something to read. That a commit is missing, and where the log ends, is what a
// request for that very commit says.
func (s *Store) Read(ctx context.Context, first uint64) iter.Seq2[remote.LogEntry, error] {
	return func(yield func(remote.LogEntry, error) bool) {
		if first == 0 || first == math.MaxUint64 {
			yield(
				remote.LogEntry{},
				remote.E("read log", logKey(first), remote.Invalid, errors.New("commits are numbered from 1")),
			)
			return
		}
		r := reader{s: s, next: first, yield: yield}
		for {
			if r.steps(ctx); r.over {
				return
			}
			if r.listed(ctx); r.over {
				return
			}
		}
	}
}

// A reader is one Read on its way.
type reader struct {
	s      *Store
	next   uint64
	yield  func(remote.LogEntry, error) bool
	looked bool // a listing was read to its end
	over   bool // it reached the end, yielded an error, or its receiver has enough
}

// give yields commit next, or the error that ends the reading.
func (r *reader) give(e remote.LogEntry, err error) {
	if !r.yield(e, err) || err != nil {
		r.over = true
	}
	r.next++
}

func (r *reader) fail(key string, err error) { r.give(remote.LogEntry{}, during("read log", key, err)) }

// fetch reads commit seq; NotExist is its own.
func (r *reader) fetch(ctx context.Context, seq uint64, sent time.Duration) (remote.LogEntry, error) {
	e, err := r.s.readCommit(ctx, seq, sent)
	return e, during("read log", logKey(seq), err)
}

// steps reads a few commits one after the other. It is over at the end of the log; otherwise a
// listing must tell more.
func (r *reader) steps(ctx context.Context) {
	for range stepwise {
		sent := r.s.opt.Boot()
		if !r.s.seen.fresh(r.next-1, sent) {
			return
		}
		e, err := r.fetch(ctx, r.next, sent)
		if errors.Is(err, remote.NotExist) {
			// It is the end, and not a hole, when nothing was trimmed meanwhile. Where there was an
			// object that could not be read, others may have built on it: a listing must show that
			// they have not.
			r.over = r.s.seen.fresh(r.next-1, r.s.opt.Boot()) && (r.looked || r.s.unreadable.Load() != r.next)
			if r.over && r.looked {
				r.s.unreadable.CompareAndSwap(r.next, 0)
			}
			return
		}
		if r.give(e, err); r.over {
			return
		}
	}
}

// listed reads from next on up to the last commit that a listing shows, and makes sure that there
// is no hole before or between them.
func (r *reader) listed(ctx context.Context) {
	s := r.s
	after := ""
	if r.next > 1 {
		after = logKey(r.next - 2)
	}
	for before := r.next > 1; ; before = false {
		sent := s.opt.Boot()
		page, more, err := s.list(ctx, logPrefix, after, 0)
		if err != nil {
			r.fail(logPrefix, err)
			return
		}
		nums := numbers(logPrefix, page)
		if before && (len(nums) == 0 || nums[0] != r.next-1) {
			switch _, there, err := s.exists(ctx, logKey(r.next-1)); {
			case err != nil:
				r.fail(logKey(r.next-1), err)
				return
			case !there:
				r.give(remote.LogEntry{}, trimmed(r.next-1, "it is gone from the log"))
				return
			}
		}
		last := r.next - 1
		if len(nums) > 0 {
			last = max(last, nums[len(nums)-1])
		}
		more = more && len(page) > 0
		if !more {
			if err := s.noteEnd(ctx, last, sent); err != nil {
				r.fail(logPrefix, err)
				return
			}
		}
		sizes := make(map[uint64]int64, len(nums))
		for _, i := range page {
			if n, ours := numberIn(logPrefix, i.Key); ours {
				sizes[n] = i.Size
			}
		}
		r.looked = r.looked || !more
		if r.upTo(ctx, last, sizes); r.over || !more {
			return
		}
		after = page[len(page)-1].Key
	}
}

// upTo reads up to commit last, which was listed, several at a time; sizes are those of the listed
// commits as they are stored. What is missing before it was trimmed, or lost.
func (r *reader) upTo(ctx context.Context, last uint64, sizes map[uint64]int64) {
	first := r.next
	// Compressed, they are a quarter or less.
	w := window{calls: commitsAhead, bytes: bytesAhead, size: func(i int) int64 { return 4 * sizes[first+uint64(i)] }}
	// it may be anything in an object that is not ours: the first commit that is missing ends this
	n := int(min(last-first+1, math.MaxInt))
	for e, err := range ahead(ctx, n, w, func(ctx context.Context, i int) (remote.LogEntry, error) {
		seq := first + uint64(i)
		e, err := r.fetch(ctx, seq, r.s.opt.Boot())
		if errors.Is(err, remote.NotExist) {
			r.s.unreadable.Store(seq) // no end of the log, whatever was seen before it
			err = trimmed(seq, "it is missing, and the log goes on after it, up to "+logKey(last))
		}
		return e, err
	}) {
		if r.give(e, err); r.over {
			return
		}
	}
}

// noteEnd records what the end of a listing proves: last is the newest commit. With last 0 the log
// is empty, and there must be no checkpoint.
func (s *Store) noteEnd(ctx context.Context, last uint64, sent time.Duration) error {
	if last == 0 {
		there, err := s.predecessor(ctx, 1)
		if err != nil {
			return err
		}
		if !there {
			return trimmed(1, "the log is empty and there is a checkpoint")
		}
	}
	s.seen.note(last, sent)
	return nil
}

// readCommit fetches and checks one commit; sent is when. It retries.
func (s *Store) readCommit(ctx context.Context, seq uint64, sent time.Duration) (remote.LogEntry, error) {
	obj, info, err := s.get(ctx, logKey(seq), maxCommitRead+headerSize)
	var body []byte
	if err == nil {
		body, err = decodeCommit(s.lib, seq, obj)
	}
	if err != nil {
		if errors.Is(err, remote.Corrupt) {
			s.unreadable.Store(seq)
		}
		return remote.LogEntry{}, err
	}
	if young(info) {
		s.seen.note(seq, sent)
	}
	e := remote.LogEntry{Seq: seq, Body: body, Time: info.Modified}
	if e.Time.IsZero() {
		e.Time = info.Date
	}
	return e, nil
}

// trimmed is the error of a reader that must start again.
func trimmed(seq uint64, why string) error {
	return remote.E("read log", logKey(seq), remote.Stale, errors.New(why)).
		WithHint("start again from the newest checkpoint")
}

// numbers are those in the keys of a page; keys that are not ours are passed over.
func numbers(prefix string, page []object.Info) []uint64 {
	ns := make([]uint64, 0, len(page))
	for _, i := range page {
		if n, ok := numberIn(prefix, i.Key); ok {
			ns = append(ns, n)
		}
	}
	return ns
}

// Horizon is the oldest number in the log; see remote.Log. It is two or three requests.
//
// A commit that was written into the trimmed past, and whose author died before deleting it, stands
// apart from the log. So the log begins after the last hole of the first page. A hole is one when
// the commit above it is asked for and not there.
func (s *Store) Horizon(ctx context.Context) (uint64, error) {
	const op = "find the horizon of the log"
	page, _, err := s.list(ctx, logPrefix, "", 0)
	if err != nil {
		return 0, during(op, logPrefix, err)
	}
	if nums := numbers(logPrefix, page); len(nums) > 0 {
		listed := nums[:len(nums)-1]
		at := nums[len(nums)-1]
		for ; at > 1; at-- {
			if n := len(listed); n > 0 && listed[n-1] == at-1 {
				listed = listed[:n-1]
				continue
			}
			_, there, err := s.exists(ctx, logKey(at-1))
			if err != nil {
				return 0, during(op, logKey(at-1), err)
			}
			if !there {
				break
			}
		}
		return at, nil
	}
	newest, ok, err := s.newestManifest(ctx)
	if err != nil {
		return 0, during(op, manifestPrefix, err)
	}
	if !ok {
		return 1, nil
	}
	return newest + 1, nil
}
