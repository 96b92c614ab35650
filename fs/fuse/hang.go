package fuse

import (
	"runtime"
	"strings"
	"sync"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// A roll has the requests that the library is at, so that somebody can see that one never ends.
type roll struct {
	mu   sync.Mutex
	open map[*request]struct{}
}

func (l *roll) enter(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[*request]struct{})
	}
	l.open[r] = struct{}{}
}

func (l *roll) leave(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, r)
}

// oldest is the request that waits longest for its answer, nil when none waits. A read waits from
// moved on when that is later: it may take as long as it likes while bytes come from the store.
func (l *roll) oldest(moved time.Time) (oldest *request, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.open {
		begun := r.begun
		if r.opcode == opRead && moved.After(begun) {
			begun = moved
		}
		if oldest == nil || begun.Before(since) {
			oldest, since = r, begun
		}
	}
	return oldest, since
}

func (s *Server) hangTimeout() time.Duration { return time.Duration(s.hang.Load()) }

// SetHangTimeout changes Options.HangTimeout, for a mount that has one.
func (s *Server) SetHangTimeout(d time.Duration) { s.hang.Store(int64(d)) }

// opRead is FUSE_READ, which go-fuse has no public name for.
const opRead = 15

// watch looks for a request that is not answered for longer than the server's limit. When there is
// one, something in the library is stuck: all goroutines are written into the log and the
// connection is broken, so that callers get an error instead of waiting for ever.
func (s *Server) watch(received func() int64) {
	tick := time.NewTicker(max(s.hangTimeout()/8, time.Millisecond))
	defer tick.Stop()
	var (
		moved time.Time
		last  int64
	)
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		if received != nil {
			if n := received(); n != last {
				last, moved = n, time.Now()
			}
		}
		limit := s.hangTimeout()
		r, since := s.fs.requests.oldest(moved)
		if r == nil || time.Since(since) < limit {
			continue
		}
		log := s.fs.log.WithField("operation", r.opcode).WithField("node", r.node).WithField("process", r.tid)
		log.Errorf("a request has had no answer for %s: the mount is cut off", limit)
		for _, g := range Goroutines() {
			s.fs.log.Error(g)
		}
		close(s.hung)
		if err := s.Abort(); err != nil {
			log.WithError(err).Error("callers wait until this process ends")
		}
		return
	}
}

// Hung is closed when a request was not answered for Options.HangTimeout, before the connection is
// broken. Done may never be closed then, and the mount should be left behind together with the
// process.
func (s *Server) Hung() <-chan struct{} { return s.hung }

// goroutinesLimit bounds what is written of them, in bytes: thousands fit.
const goroutinesLimit = 4 << 20

// Goroutines describes all goroutines of this process, for the log of one that hangs: where each is
// and what it waits for. Arguments are numbers and addresses in it, never text.
func Goroutines() []string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= goroutinesLimit {
			return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
		}
		buf = make([]byte, 2*len(buf))
	}
}

func (s *fileSystem) begin(cancel <-chan struct{}, h *gofuse.InHeader) *request {
	r := &request{cancel: cancel, tid: h.Pid, caller: caller(h), dying: s.dying, watchers: &s.watchers,
		requests: &s.requests, begun: time.Now(), opcode: h.Opcode, node: h.NodeId}
	s.requests.enter(r)
	return r
}
