package bucket

import (
	"bytes"
	"context"
	"errors"
	"math"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Append writes commit seq; see remote.Log. Undisturbed it is one request.
//
// A refusal that cannot change by waiting (Permission, ReadOnly, Quota, TooLarge, Invalid) comes at
// once; if an earlier attempt of the same call is in doubt, it comes as the text of an Unavailable.
// Corrupt always comes at once, and leaves as much in doubt: an object that is no commit has the
// number, which may be ours.
func (s *Store) Append(ctx context.Context, seq uint64, body []byte) error {
	const op = "append commit"
	key := logKey(seq)
	if err := s.writable(op, key); err != nil {
		return err
	}
	if seq == 0 || seq == math.MaxUint64 {
		return remote.E(op, key, remote.Invalid, errors.New("commits are numbered from 1"))
	}
	obj, err := encodeCommit(s.lib, seq, body)
	if err != nil {
		return during(op, key, err)
	}
	doubt := false // a request of ours may have had its effect without our knowing
	for n := 1; ; n++ {
		out, err := s.tryAppend(ctx, seq, obj, body, &doubt)
		switch {
		case out == settled:
			return during(op, key, err)
		case out == later && s.pause(ctx, n) == nil:
			continue
		case out == later, doubt && !errors.Is(err, remote.Corrupt):
			// The cause is text only: nobody shall take a Conflict or Stale in its chain for the
			// answer.
			return remote.E(op, key, remote.Unavailable, errors.New(err.Error())).
				WithHint("the commit is kept and sent again")
		}
		return during(op, key, err)
	}
}

// An outcome says what an attempt to append came to.
type outcome int

const (
	settled outcome = iota // it is known what the log holds at that number; the error says it: nil, Conflict or Stale
	later                  // another attempt may settle it
	refused                // another attempt would fail in the same way
)

// unsettled is the outcome of an attempt that failed with err.
func unsettled(err error) outcome {
	if again(err) {
		return later
	}
	return refused
}

func (s *Store) tryAppend(ctx context.Context, seq uint64, obj, body []byte, doubt *bool) (outcome, error) {
	sent := s.opt.Boot()
	info, err := s.bucket.Put(
		ctx, logKey(seq), bytes.NewReader(obj), int64(len(obj)), object.PutOptions{IfAbsent: true},
	)
	answered := s.opt.Boot()
	switch {
	case err == nil:
		*doubt = true // until the log before it is known to stand
		s.heard(info)
		out, err := s.standing(ctx, seq, answered)
		if err == nil {
			s.seen.note(seq, sent)
		}
		return out, err
	case errors.Is(err, remote.Exist):
		return s.compare(ctx, seq, body, doubt)
	case remote.KindOf(err) == remote.Conflict:
		return later, err // another's request for this key is under way; ours had no effect
	case again(err), ctx.Err() != nil:
		*doubt = true
		return later, err
	case remote.KindOf(err) == remote.Other, errors.Is(err, remote.Corrupt):
		*doubt = true // something is there now
	}
	return refused, err
}

// compare settles an append whose number is taken: by an earlier attempt of ours, or by somebody
// else.
func (s *Store) compare(ctx context.Context, seq uint64, body []byte, doubt *bool) (outcome, error) {
	got, err := s.readCommit(ctx, seq, s.opt.Boot())
	switch {
	case errors.Is(err, remote.NotExist):
		return later, err // deleted since: it was void, or the log was trimmed; the next attempt finds out
	case err != nil:
		return unsettled(err), err
	case !bytes.Equal(got.Body, body):
		return settled, remote.E("", "", remote.Conflict, errors.New("another client's commit has this number"))
	}
	*doubt = true
	return s.standing(ctx, seq, s.opt.Boot())
}

// standing decides whether commit seq, which is ours and in the store, continues the log: the log
// must not have been trimmed past it before it came. If it was, the commit is void: it is deleted,
// and the outcome is a settled Stale.
//
// The commit before it was seen a short while before the answer: then nothing was trimmed there.
// Otherwise it is looked for now. That it is still there, after ours was written, proves the same,
// since the log is trimmed in ascending order.
func (s *Store) standing(ctx context.Context, seq uint64, answered time.Duration) (outcome, error) {
	if s.seen.fresh(seq-1, answered) {
		return settled, nil
	}
	there, err := s.predecessor(ctx, seq)
	if err != nil {
		return unsettled(err), err
	}
	if there {
		return settled, nil
	}
	// A successor means that others built on this number. Either it is the true commit, and the log
	// was trimmed just before it while we were in doubt: it must stay. Or it is void and lies right
	// below the oldest commit, where nobody reads it: it may stay.
	_, built, err := s.exists(ctx, logKey(seq+1))
	if err != nil {
		return unsettled(err), err
	}
	if !built {
		if err := s.retry(ctx, func() error { return s.bucket.Delete(ctx, logKey(seq)) }); err != nil {
			return unsettled(err), err
		}
	}
	return settled, remote.E("", "", remote.Stale, errors.New("the log before it was trimmed, the commit is void")).
		WithHint("start again from the newest checkpoint")
}

// predecessor asks the store whether the log stands right before seq. Before number 1 it does as
// long as there is no checkpoint.
func (s *Store) predecessor(ctx context.Context, seq uint64) (bool, error) {
	sent := s.opt.Boot()
	if seq == 1 {
		page, _, err := s.list(ctx, manifestPrefix, "", 1)
		return len(page) == 0, err
	}
	info, there, err := s.exists(ctx, logKey(seq-1))
	if there && young(info) {
		s.seen.note(seq-1, sent)
	}
	return there, err
}
