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
	// racers is how many puts of one key compete in a probe. Two can miss a store that checks and then writes.
	racers = 8
	// cleanLimit is how long the probe's object may take to be deleted after the probe's context has ended.
	cleanLimit = 10 * time.Second
)

const probeHint = "use a store that supports If-None-Match on PUT with strong consistency, or mount read-only"

// Probe finds out whether the store keeps its word on put-if-absent, on which the log rests: of eight puts at the same
// time one must win, and its bytes must be what is then read and listed. It takes about a dozen requests; the
// caller keeps the result, for it does not change as long as the endpoint stays the same.
//
// Unsupported: the store must not be written to. Any other error says nothing about it.
func (s *Store) Probe(ctx context.Context) error {
	const op = "probe put-if-absent"
	key := probePrefix + randomHex(16)
	if err := s.writable(op, key); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
		defer cancel()
		_ = s.bucket.Delete(ctx, key) // what is left over is ignored by everyone and costs 65 bytes
	}()

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
				_, err := s.bucket.Put(ctx, key, bytes.NewReader(bodies[i]), int64(len(bodies[i])), object.PutOptions{IfAbsent: true})
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
	page, _, err := s.list(ctx, key, "", 1)
	if err != nil {
		return during(op, key, err)
	}
	if len(page) != 1 || page[0].Key != key {
		return no("an object that was just put is not listed")
	}
	return nil
}
