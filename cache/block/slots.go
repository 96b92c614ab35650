package block

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Slots bound how many of something run at once. Urgent waiters go before the others, each kind in
// order of arrival.
type slots struct {
	mu struct {
		sync.Mutex
		free  int
		queue []*ticket
	}
}

// A ticket is a place in the queue for a slot. It may become urgent while it waits.
type ticket struct {
	urgent atomic.Bool
	ready  chan struct{} // closed when the slot is the ticket's
}

func newSlots(n int) *slots {
	s := new(slots)
	s.mu.free = n
	return s
}

// acquire waits for a slot, with t's urgency, until ctx ends. t may be reused after release.
func (s *slots) acquire(ctx context.Context, t *ticket) error {
	s.mu.Lock()
	if s.mu.free > 0 {
		s.mu.free--
		s.mu.Unlock()
		return nil
	}
	t.ready = make(chan struct{})
	s.mu.queue = append(s.mu.queue, t)
	s.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.mu.queue, t)
	if i >= 0 {
		s.mu.queue = slices.Delete(s.mu.queue, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		s.release() // it was granted in the same moment
	}
	return context.Cause(ctx)
}

// release gives a slot back, or to the next in the queue.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.queue) == 0 {
		s.mu.free++
		return
	}
	i := max(0, slices.IndexFunc(s.mu.queue, func(t *ticket) bool { return t.urgent.Load() }))
	t := s.mu.queue[i]
	s.mu.queue = slices.Delete(s.mu.queue, i, i+1)
	close(t.ready)
}
