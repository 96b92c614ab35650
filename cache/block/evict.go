package block

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// freeAge is how long an answer about free space is believed; in between it is estimated from what
// the cache itself writes and frees.
const freeAge = time.Second

// reserve makes room for n bytes on disk and takes them, evicting what was not used for longest. It
// is refused when all that is left is pinned or in use. What it took must be given back or turned
// into blocks (kept).
func (c *Cache) reserve(n int64) bool {
	for {
		c.askFree()
		c.lock()
		if c.mu.bytes+n <= c.maxBytes.Load() && c.mu.free-n >= c.opt.MinFree {
			c.mu.bytes += n
			c.mu.free -= n
			c.unlock()
			return true
		}
		s := c.victim()
		if s == nil {
			c.unlock()
			return false
		}
		c.evict(s)
	}
}

// SetMaxBytes changes Options.MaxBytes, which must be positive. What is too much by then is
// evicted, as far as it is not in use.
func (c *Cache) SetMaxBytes(n int64) {
	c.maxBytes.Store(n)
	if c.dir != nil {
		c.shrink()
	}
}

// shrink evicts until the limits are kept, as far as that is possible.
func (c *Cache) shrink() {
	if c.reserve(0) {
		return
	}
	c.opt.Log.WithField("limit", c.maxBytes.Load()).WithField("min-free", c.opt.MinFree).
		Debug("the block cache cannot shrink to its limits: what is left is pinned or in use")
}

// askFree learns the free space of the file system when the last answer is old.
func (c *Cache) askFree() {
	c.lock()
	fresh := time.Since(c.mu.checked) < freeAge
	if !fresh {
		c.mu.checked = time.Now()
	}
	c.unlock()
	if fresh {
		return
	}
	free, _, err := c.opt.statfs(c.dir.f)
	if fewInodes(c.dir.f) {
		free = min(free, c.opt.MinFree) // nothing comes in for which nothing has left
	}
	c.lock()
	if err == nil {
		c.mu.free = free
	}
	c.unlock()
}

// fewInodes tells whether the cache's disk has less than 512 inodes left, or a quarter of few: each
// content takes two of them, and what is written beside the cache needs some as well.
func fewInodes(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Files > 0 && st.Ffree < min(512, st.Files/4)
}

// victim chooses the segment that was not used for longest. Pinned ones are not in the list. Needs
// mu.
func (c *Cache) victim() *segment {
	for el := c.mu.segments.Back(); el != nil; el = el.Prev() {
		if s := el.Value.(*segment); s.users == 0 && !s.emptying {
			return s
		}
	}
	return nil
}

// evict frees a segment that nobody uses. It is called with mu locked and returns with it unlocked.
func (c *Cache) evict(s *segment) {
	d, e := s.d, s.d.e
	space := s.space()
	c.mu.stats.Evictions++
	if d.bytes-space <= sidecarSpace {
		c.detach(e)
		c.unlock()
		c.opt.Step("evict")
		c.unlink(e)
		c.opt.Step("evicted")
		return
	}
	s.have, s.known = 0, 0
	c.delist(s)
	d.bytes -= space
	c.mu.bytes -= space
	c.mu.free += space
	c.mu.dirty[e] = struct{}{}
	s.emptying = true
	c.use(d, nil)
	c.unlock()
	c.opt.Step("evict")
	f, err := c.file(d)
	if err == nil {
		err = punch(f, s)
	}
	c.opt.Step("evicted")
	c.lock()
	s.emptying = false
	c.release(d, nil)
	c.unlock()
	if err != nil {
		// Without holes (or without the file) the space comes back only with the whole of it.
		c.lose(d)
	}
}
