package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

const (
	// racers is how many puts of one key compete in a probe. Two can miss a store that checks and
	// then writes.
	racers = 8
	// cleanLimit is how long the probe's object may take to be deleted after the probe's context
	// has ended.
	cleanLimit = 10 * time.Second
)

const probeHint = "use a store that supports If-None-Match on PUT with strong consistency, or mount read-only"

// Habits are what the last probe found out of the store, or what SetHabits was given.
func (s *Store) Habits() object.Habits { return s.habits }

// SetHabits has the store keep to what an earlier probe found out of it. It must not run while
// others use the store.
func (s *Store) SetHabits(h object.Habits) {
	s.habits = h
	if l, ok := s.bucket.(object.Learner); ok {
		l.SetHabits(h)
	}
}

// Probe finds out whether the store keeps its word, and keeps to what was found out of it.
//
//   - On put-if-absent, on which the log rests: of eight puts at the same time one must win, and
//     its bytes must be what is then read and listed.
//   - On checksums: which it takes with what is put, and what its answers prove (object.Learner).
//   - On bytes: an upload of two parts, and one that has a part of the other copied, must come back
//     as they were sent, whole and in ranges, and be listed with their size. In a bucket that moves
//     about three times its smallest part, 5 MiB with S3.
//
// It takes about forty requests and must not run while others use the store. The caller keeps
// Habits, and that it was done, for neither changes as long as the endpoint stays the same.
//
// Unsupported, Corrupt: the store must not be written to. Any other error says nothing about it.
func (s *Store) Probe(ctx context.Context) error {
	t := &trial{s: s}
	if err := s.writable("probe", probePrefix); err != nil {
		return err
	}
	defer t.clean(ctx)
	if err := t.race(ctx); err != nil {
		return err
	}
	if l, ok := s.bucket.(object.Learner); ok {
		err := s.retry(ctx, func() (err error) {
			s.habits, err = l.Learn(ctx, t.newKey)
			return err
		})
		if err != nil {
			return during("probe checksums", "", err)
		}
	}
	return t.bytes(ctx)
}

// A trial is one probe.
type trial struct {
	s    *Store
	keys []string // that were given out
}

func (t *trial) newKey() string {
	key := probePrefix + randomHex(16)
	t.keys = append(t.keys, key)
	return key
}

// clean deletes what the probe made. What is left over is ignored by everyone.
func (t *trial) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	if t.s.bucket.Delete(ctx, t.keys...) == nil {
		return
	}
	for _, key := range t.keys { // not every store deletes several at once
		_ = t.s.bucket.Delete(ctx, key)
	}
}

// race has several puts of one new key compete.
func (t *trial) race(ctx context.Context) error {
	const op = "probe put-if-absent"
	s, key := t.s, t.newKey()
	var (
		bodies [racers][]byte
		errs   [racers]error
		ready  = make(chan struct{})
		all    sync.WaitGroup
	)
	for i := range racers {
		bodies[i] = seal(s.lib, kindProbe, uint64(i), []byte{byte(i)})
		all.Go(func() {
			<-ready
			errs[i] = s.retry(ctx, func() error {
				_, err := s.bucket.Put(
					ctx, key, bytes.NewReader(bodies[i]), int64(len(bodies[i])), object.PutOptions{IfAbsent: true},
				)
				return err
			})
		})
	}
	close(ready)
	all.Wait()

	no := func(format string, args ...any) error {
		return remote.E(op, key, remote.Unsupported, fmt.Errorf(format, args...)).WithHint(probeHint)
	}
	winner, winners := 0, 0
	for i, err := range errs {
		switch remote.KindOf(err) {
		case remote.Exist:
		case remote.Unsupported, remote.Invalid:
			return no("the store refuses a put that must not replace: %w", err)
		default:
			if err != nil {
				return during(op, key, err)
			}
			winner = i
			winners++
		}
	}
	if winners != 1 {
		return no("%d of %d puts of one new key succeeded, exactly 1 must", winners, racers)
	}
	got, _, err := s.get(ctx, key, headerSize+1)
	if errors.Is(err, remote.NotExist) || (err == nil && !bytes.Equal(got, bodies[winner])) {
		return no("what is read after a put is not what was put")
	}
	if err != nil {
		return during(op, key, err)
	}
	page, err := t.list(ctx, key)
	if err != nil {
		return during(op, key, err)
	}
	if len(page) != 1 || page[0].Key != key {
		return no("an object that was put, and can be read, is not listed")
	}
	if n := int64(len(bodies[winner])); page[0].Size != n {
		return no("an object of %d bytes is listed with %d", n, page[0].Size)
	}
	return nil
}

// list lists one object that is there. One listing proves nothing: it may be made beside others'
// puts and have a hole. So what it lacks is listed again, as often as a request that fails is sent.
func (t *trial) list(ctx context.Context, key string) (page []object.Info, err error) {
	for n := 1; ; n++ {
		page, _, err = t.s.list(ctx, key, "", 1)
		if err != nil || len(page) > 0 && page[0].Key == key || n >= t.s.opt.Attempts || t.s.pause(ctx, n) != nil {
			return page, err
		}
	}
}
