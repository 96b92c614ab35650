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
	// stepwise is how many commits Read fetches one after the other before it asks for a list: a follower is mostly none or
	// one behind, and a request each is then the cheapest.
	stepwise = 4
	// commitsAhead and bytesAhead bound how many commits are fetched at the same time when many are
	// missing: enough small ones for a store that answers after a tenth of a second, and as few
	// large ones as fill the line.
	commitsAhead = 64
	bytesAhead   = 8 << 20
)

// Read yields the commits from first on; see remote.Log. When there is nothing new it is one request: a GET when
// commit first-1 was seen a short while ago, otherwise a LIST, which sees it again.
func (s *Store) Read(ctx context.Context, first uint64) iter.Seq2[remote.LogEntry, error] {
	return func(yield func(remote.LogEntry, error) bool) {
		if first == 0 || first == math.MaxUint64 {
			yield(remote.LogEntry{}, remote.E("read log", logKey(first), remote.Invalid, errors.New("commits are numbered from 1")))
			return
		}
		next := first
		for range stepwise {
			sent := s.opt.Boot()
			if !s.seen.fresh(next-1, sent) {
				break
			}
			e, err := s.readCommit(ctx, next, sent)
			if errors.Is(err, remote.NotExist) {
				if s.seen.fresh(next-1, s.opt.Boot()) {
					return // it is the end, and not a hole: nothing was trimmed meanwhile
				}
				break
			}
			if !yield(e, during("read log", logKey(next), err)) || err != nil {
				return
			}
			next++
		}
		s.readListed(ctx, next, yield)
	}
}

// readListed yields the commits from next on that one listing shows, and makes sure that there is no hole before or
// between them.
func (s *Store) readListed(ctx context.Context, next uint64, yield func(remote.LogEntry, error) bool) {
	const op = "read log"
	fail := func(key string, err error) { yield(remote.LogEntry{}, during(op, key, err)) }
	after := ""
	if next > 1 {
		after = logKey(next - 2)
	}
	before := next > 1 // commit next-1 must be the first that is listed
	for {
		sent := s.opt.Boot()
		page, more, err := s.list(ctx, logPrefix, after, 0)
		if err != nil {
			fail(logPrefix, err)
			return
		}
		more = more && len(page) > 0
		nums := numbers(logPrefix, page)
		sizes := make([]int64, 0, len(nums)) // as they are stored; compressed, they are a quarter or less
		for _, i := range page {
			if _, ok := numberIn(logPrefix, i.Key); ok {
				sizes = append(sizes, i.Size)
			}
		}
		if before && len(nums) > 0 && nums[0] == next-1 {
			nums, sizes, before = nums[1:], sizes[1:], false
		}
		if before && (len(nums) > 0 || !more) {
			yield(remote.LogEntry{}, trimmed(next-1, "it is gone from the log"))
			return
		}
		for i, n := range nums {
			if n != next+uint64(i) {
				yield(remote.LogEntry{}, trimmed(next+uint64(i), "it is missing, and the log goes on after it"))
				return
			}
		}
		start := next
		if !more {
			if err := s.noteEnd(ctx, next+uint64(len(nums))-1, sent); err != nil {
				fail(logPrefix, err)
				return
			}
		}
		for e, err := range ahead(ctx, len(nums), window{calls: commitsAhead, bytes: bytesAhead, size: func(i int) int64 { return 4 * sizes[i] }}, func(ctx context.Context, i int) (remote.LogEntry, error) {
			seq := start + uint64(i)
			e, err := s.readCommit(ctx, seq, s.opt.Boot())
			if errors.Is(err, remote.NotExist) {
				return e, trimmed(seq, "it was deleted while the log was read")
			}
			return e, during(op, logKey(seq), err)
		}) {
			if !yield(e, err) || err != nil {
				return
			}
			next++
		}
		if !more {
			return
		}
		after = page[len(page)-1].Key
	}
}

// noteEnd records what the end of a listing proves: last is the newest commit. With last 0 the log is empty, and there must
// be no checkpoint.
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
	if err != nil {
		return remote.LogEntry{}, err
	}
	body, err := decodeCommit(s.lib, seq, obj)
	if err != nil {
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
	return remote.E("read log", logKey(seq), remote.Stale, errors.New(why)).WithHint("start again from the newest checkpoint")
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

// Horizon is the oldest number in the log; see remote.Log. It is one or two requests.
//
// A commit that was written into the trimmed past, and whose author died before deleting it, stands apart from the log. So
// the log begins after the last hole of the first page.
func (s *Store) Horizon(ctx context.Context) (uint64, error) {
	const op = "find the horizon of the log"
	page, _, err := s.list(ctx, logPrefix, "", 0)
	if err != nil {
		return 0, during(op, logPrefix, err)
	}
	nums := numbers(logPrefix, page)
	for i := len(nums) - 1; i > 0; i-- {
		if nums[i-1]+1 != nums[i] {
			return nums[i], nil
		}
	}
	if len(nums) > 0 {
		return nums[0], nil
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
