package bucket

import (
	"sync"
	"time"

	"mediafs/remote/object"
)

// youth is the age below which a commit cannot be trimmed for days to come: no commit is deleted in
// the first 7 days.
const youth = 24 * time.Hour

// sightings remembers which commits were in the store, and when. It answers one question: can the
// log have been trimmed past this number without our noticing?
//
// A commit counts as seen when the answer proves that its successor, if it is not there, was never
// deleted. That is so for a commit that is younger than youth, and for the last one of a listing,
// since trimming leaves the newest commits alone. The bare sight of an old commit proves nothing:
// it and its successor may be deleted in the next second. Number 0 is seen when there is neither a
// checkpoint nor a log.
//
// Times are those at which the request was sent: the commit was there then or later.
type sightings struct {
	limit time.Duration
	mu    struct {
		sync.Mutex
		ring [1024]sighting // by number modulo its length: more than any reader is ahead of an appender
	}
}

type sighting struct {
	seq uint64
	at  time.Duration
	ok  bool
}

// note records that seq was seen by a request sent at time at.
func (s *sightings) note(seq uint64, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.mu.ring[seq%uint64(len(s.mu.ring))]
	if e.ok && (e.seq > seq || (e.seq == seq && e.at > at)) {
		return
	}
	*e = sighting{seq: seq, at: at, ok: true}
}

// fresh reports whether seq was seen less than the limit before now.
func (s *sightings) fresh(seq uint64, now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.mu.ring[seq%uint64(len(s.mu.ring))]
	return e.ok && e.seq == seq && now-e.at < s.limit
}

// young reports whether the store's own clock says that an object was made a short while ago.
func young(i object.Info) bool {
	return !i.Date.IsZero() && !i.Modified.IsZero() && i.Date.Sub(i.Modified) < youth
}

// storeClock is the store's clock as its newest answer told it. Its zero value has heard nothing.
type storeClock struct {
	mu struct {
		sync.Mutex
		date time.Time
		at   time.Duration // boot clock
	}
}

// heard records that the store said date in an answer that came at time at.
func (c *storeClock) heard(date time.Time, at time.Duration) {
	if date.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.date.IsZero() || at >= c.mu.at {
		c.mu.date, c.mu.at = date, at
	}
}

func (c *storeClock) now(boot time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.date.IsZero() {
		return time.Time{}
	}
	return c.mu.date.Add(boot - c.mu.at)
}
