package check

import (
	"sync"
	"time"
)

// tellEvery is the least time between two calls of Options.Progress.
const tellEvery = 200 * time.Millisecond

// A meter counts the work and tells of it. It may be used by several goroutines.
type meter struct {
	tell func(Progress)

	mu   sync.Mutex
	now  Progress
	told time.Time
}

// phase begins another piece of work and tells of it at once.
func (m *meter) phase(name string, total int64, bytes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.told = Progress{Phase: name, Total: total, Bytes: bytes}, time.Time{}
	m.show()
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done += n
	m.show()
}

// show is called with mu held, so that one goroutine at a time tells.
func (m *meter) show() {
	if now := time.Now(); m.tell != nil && now.Sub(m.told) >= tellEvery {
		m.told = now
		m.tell(m.now)
	}
}
