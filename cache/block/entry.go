package block

import (
	"context"
	"fmt"
	"sync"
	"time"

	"mediafs/remote"
)

// An entry is one content that somebody reads, or of which something is in the cache.
type entry struct {
	name string // of its files, without suffix
	id   remote.ContentID

	// path is held while names of this entry in the directory are opened, made, replaced or
	// removed. It is taken before Cache.mu.
	path sync.Mutex

	// The rest is guarded by Cache.mu.
	size    int64
	readers int
	pinned  bool
	loaded  bool          // the sidecar has been looked for
	loading chan struct{} // closed when the sidecar that is being read has been looked at; nil while nobody does

	source sumSource
	sums   []uint32 // by block; nil while not known
	load   func(ctx context.Context) ([]uint32, error)
	asking *sumLoad // the side object is being fetched

	disk    *data // nil: nothing on disk
	leaving int   // detached data whose names are still to be removed: until then no other entry may have them
	flights map[int64]*flight
	recent  map[int64]*recentBlock
}

// entry returns the entry of id, made if there is none. Needs mu.
func (c *Cache) entry(id remote.ContentID, size int64) *entry {
	name := nameOf(id)
	e := c.mu.entries[name]
	if e == nil {
		e = &entry{name: name, id: id, size: size, loaded: c.dir == nil, flights: make(map[int64]*flight)}
		c.mu.entries[name] = e
	}
	if e.id != id {
		e.id = id // until now it was swept, and only its name known
	}
	if e.readers == 0 && e.disk == nil && len(e.flights) == 0 && len(e.recent) == 0 {
		e.size = size
	}
	return e
}

// tidy forgets an entry that has nothing and nobody. It may be called for one that is forgotten
// already, and has a successor. Needs mu.
func (c *Cache) tidy(e *entry) {
	idle := e.readers == 0 && len(e.flights) == 0 && e.loading == nil && e.asking == nil
	if idle && e.disk == nil && e.leaving == 0 && len(e.recent) == 0 && c.mu.entries[e.name] == e {
		delete(c.mu.entries, e.name)
	}
}

// length returns the bytes of a block.
func (e *entry) length(block int64) int {
	return int(min(BlockSize, e.size-block*BlockSize))
}

// What is said of a content's size may be wrong, or a lie: it decides how much memory is taken for
// it.
const (
	// maxContent is the largest object that there is in S3, in bytes. Its tables take 18 MiB,
	// besides 80 MiB of checksums.
	maxContent = 5 << 40
	// maxUnsummed is how large a content may be of which nobody has computed checksums, to be kept
	// on disk, in bytes: there we need our own.
	maxUnsummed = 64 << 30
)

// ready makes e usable for ct: its sidecar has been read, its sums are known to be there or not. An
// entry that was cached as something else loses what is on disk.
func (c *Cache) ready(e *entry, ct Content) error {
	if ct.Size < 0 || ct.Size > maxContent {
		return remote.E("read content", e.id.ID, remote.Corrupt, fmt.Errorf("a size of %d bytes", ct.Size))
	}
	c.lock()
	for !e.loaded {
		if wait := e.loading; wait != nil {
			c.unlock()
			<-wait
			c.lock()
			continue
		}
		e.loading = make(chan struct{})
		c.unlock()
		side, when, err := c.readSidecar(e.name)
		c.lock()
		if side != nil && side.id == e.id {
			c.install(e, side, when)
		}
		e.loaded = err == nil
		close(e.loading)
		e.loading = nil
		if err != nil {
			c.unlock()
			return remote.E("read content", e.id.ID, remote.Other, err).
				WithHint("raise the number of files that the daemon may have open (LimitNOFILE, ulimit -n)")
		}
	}
	err, stale := c.settle(e, ct)
	c.unlock()
	if stale {
		c.unlink(e)
	}
	return err
}

// install takes over what a sidecar says. Needs mu.
func (c *Cache) install(e *entry, side *sidecar, when time.Time) {
	if side.size != e.size {
		return // another content under the same name: the data file is made anew when it is needed
	}
	e.source, e.sums = side.source, side.sums
	d := newData(e)
	d.made = true
	d.noted = when
	for i, bits := range side.present {
		d.segments[i].have = bits
	}
	e.disk = d
	c.mu.bytes += d.count()
	if side.pinned && !c.mu.unpinned[e.name] {
		c.pin(e)
		return
	}
	c.enlist(d)
	if side.pinned {
		c.mu.dirty[e] = struct{}{}
	}
}

// settle makes e's sums agree with ct. stale says that what was on disk cannot be verified and was
// given up: unlink must be called. Needs mu.
func (c *Cache) settle(e *entry, ct Content) (err error, stale bool) {
	if e.size != ct.Size {
		if e.readers > 1 || len(e.flights) > 0 {
			return remote.E("read content", e.id.ID, remote.Invalid,
				fmt.Errorf("size %d, but it is being read as one of %d", ct.Size, e.size)), false
		}
		for _, r := range e.recent {
			defer c.forgetRecent(r)
		}
		stale = c.detach(e)
		e.size, e.source, e.sums = ct.Size, sumsUnknown, nil
	}
	switch {
	case ct.Sums != nil:
		if int64(len(ct.Sums)) != blocksOf(ct.Size) {
			return remote.E("read content", e.id.ID, remote.Invalid,
				fmt.Errorf("%d checksums for %d bytes", len(ct.Sums), ct.Size)), stale
		}
		e.source, e.sums = sumsGiven, ct.Sums
	case ct.LoadSums != nil:
		e.load = ct.LoadSums
		if e.source == sumsOwn {
			e.source, e.sums = sumsUnknown, nil
		}
	case e.sums == nil:
		stale = c.detach(e) || stale
		e.source = sumsOwn
		if e.size <= maxUnsummed {
			e.sums = make([]uint32, blocksOf(e.size))
		}
	}
	return nil, stale
}

// pin keeps e's blocks from being evicted. Needs mu.
func (c *Cache) pin(e *entry) {
	if e.pinned || e.disk == nil {
		return
	}
	e.pinned = true
	c.mu.pinned += e.disk.bytes
	for i := range e.disk.segments {
		c.delist(&e.disk.segments[i])
	}
}

// unpin lets e's blocks be evicted again. Needs mu.
func (c *Cache) unpin(e *entry) {
	if !e.pinned {
		return
	}
	e.pinned = false
	c.mu.pinned -= e.disk.bytes
	c.enlist(e.disk)
	c.mu.dirty[e] = struct{}{}
}
