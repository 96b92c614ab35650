package block

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// upkeep is the goroutine of a cache on disk: it learns what earlier processes left, then keeps
// sidecars up to date and the free space as it should be.
func (c *Cache) upkeep(names []string) {
	defer c.wg.Done()
	c.scan(names)
	c.lock()
	close(c.scanned)
	clear(c.mu.unpinned)
	clear(c.mu.removed)
	c.unlock()
	t := time.NewTicker(c.opt.Flush)
	defer t.Stop()
	for {
		c.shrink()
		select {
		case <-t.C:
			c.flush()
		case <-c.ctx.Done():
			return
		}
	}
}

// isScanned reports whether the whole directory is known.
func (c *Cache) isScanned() bool {
	select {
	case <-c.scanned:
		return true
	default:
		return false
	}
}

// scan makes entries of what is in the directory and removes of it what is incomplete, damaged or
// unknown to us by its name but made like ours. Other files are left alone.
func (c *Cache) scan(names []string) {
	have := make(map[string]bool, len(names))
	for _, n := range names {
		have[n] = true
	}
	var found []*data
	for _, n := range names {
		if c.ctx.Err() != nil {
			break
		}
		base, suffix := n, ""
		if i := strings.IndexByte(n, '.'); i >= 0 {
			base, suffix = n[:i], n[i:]
		}
		if !isName(base) {
			continue
		}
		switch suffix {
		case mapSuffix:
			if !have[base+dataSuffix] {
				c.sweep(base, true, n)
			} else if d := c.adoptSidecar(base); d != nil {
				found = append(found, d)
			}
		case dataSuffix:
			if !have[base+mapSuffix] {
				c.sweep(base, true, n)
			}
		case mapSuffix + tempSuffix, dataSuffix + tempSuffix:
			c.sweep(base, false, n)
		}
	}
	// What was noted last was used last; what has been used by this process already is in front of
	// all.
	slices.SortFunc(found, func(a, b *data) int { return b.noted.Compare(a.noted) })
	c.lock()
	for _, d := range found {
		for i := range d.segments {
			if s := &d.segments[i]; s.have != 0 && s.used == nil && !d.dead && !d.e.pinned {
				s.used = c.mu.segments.PushBack(s)
			}
		}
	}
	c.unlock()
}

// adoptSidecar makes an entry of a content that an earlier process left, unless somebody has asked
// for it already.
func (c *Cache) adoptSidecar(base string) *data {
	side, when, err := c.readSidecar(base)
	if err != nil {
		return nil // whoever reads the content looks again
	}
	if side == nil {
		c.sweep(base, true, base+mapSuffix, base+dataSuffix)
		return nil
	}
	c.lock()
	defer c.unlock()
	if c.mu.entries[base] != nil || c.mu.removed[base] {
		return nil
	}
	e := c.entry(side.id, side.size)
	e.loaded = true
	c.install(e, side, when)
	d := e.disk
	for i := range d.segments {
		c.delist(&d.segments[i])
	}
	return d
}

// sweep removes files of a name that no entry uses. whole says that they are all that is there
// under this name: who asks for the content meanwhile makes new ones, which stay.
func (c *Cache) sweep(base string, whole bool, files ...string) {
	c.lock()
	if c.mu.entries[base] != nil {
		c.unlock()
		return // it has been asked for meanwhile, and looks after its files
	}
	e := &entry{name: base, loaded: whole, leaving: 1, flights: make(map[int64]*flight)}
	c.mu.entries[base] = e
	c.unlock()
	e.path.Lock()
	c.lock()
	made := e.disk != nil && e.disk.made
	c.unlock()
	if !whole || !made {
		for _, n := range files {
			c.dir.remove(n)
		}
	}
	e.path.Unlock()
	c.lock()
	e.leaving--
	c.tidy(e)
	c.unlock()
}

// readSidecar reads and decodes a sidecar; nil when there is none that is right. It fails only when
// that cannot be told now.
func (c *Cache) readSidecar(base string) (*sidecar, time.Time, error) {
	b, st, err := c.dir.read(base+mapSuffix, maxSidecar)
	if err != nil {
		if !scarce(err) {
			err = nil
		}
		return nil, time.Time{}, err
	}
	side, err := decodeSidecar(b)
	if err != nil || nameOf(side.id) != base {
		return nil, time.Time{}, nil
	}
	return side, st.ModTime(), nil
}

// flush writes the sidecars of what changed.
func (c *Cache) flush() {
	c.lock()
	dirty := make([]*entry, 0, len(c.mu.dirty))
	for e := range c.mu.dirty {
		dirty = append(dirty, e)
	}
	c.unlock()
	for _, e := range dirty {
		if c.note(e) {
			c.unlink(e)
		}
	}
}

// note writes an entry's sidecar. It reports that nothing is left on disk, and unlink must be
// called.
func (c *Cache) note(e *entry) (empty bool) {
	e.path.Lock()
	defer e.path.Unlock()
	c.lock()
	delete(c.mu.dirty, e)
	d := e.disk
	if d == nil {
		c.unlock()
		return false
	}
	side := sidecar{id: e.id, size: e.size, pinned: e.pinned, source: e.source}
	if e.source == sumsLoaded || e.source == sumsOwn {
		side.sums = slices.Clone(e.sums)
	}
	present := 0
	for i := range d.segments {
		present += bits.OnesCount64(d.segments[i].have)
		side.present = append(side.present, d.segments[i].have)
	}
	if present == 0 && d.users == 0 {
		c.detach(e)
		c.unlock()
		return true
	}
	f := d.f
	c.use(d, nil)
	c.unlock()
	var err error
	if f != nil {
		// What the disk did not take in the end is reported here, and only once; nothing is known
		// of any block then.
		err = unix.SyncFileRange(
			int(f.Fd()), 0, 0,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER,
		)
	}
	c.lock()
	if err == unix.EIO || err == unix.ENOSPC || err == unix.EDQUOT {
		for i := range d.segments {
			d.segments[i].known = 0
		}
	}
	c.release(d, nil)
	c.unlock()
	if present == 0 || side.source == sumsUnknown {
		return false
	}
	err = c.dir.replace(e.name+mapSuffix, side.encode(), false)
	if scarce(err) {
		c.lock()
		if e.disk == d {
			c.mu.dirty[e] = struct{}{} // with the next flush
		}
		c.unlock()
		return false
	}
	if err != nil {
		c.opt.Log.WithError(err).WithField("content", e.id.ID).
			Warn("a sidecar of the block cache was not written; what it would say is fetched again after a restart")
	}
	return false
}
