// Package block is the read cache: the bytes of contents, which never change, in blocks of 256 KiB.
// Blocks are fetched from a store when they are read (or a little before, for a sequential reader),
// verified, and kept on local disk within a limit.
//
// What it promises: ReadAt returns the bytes of the content or an error, whatever the disk, the
// network or a crash did to a block. What it never does: write to the store, hold the only copy of
// anything but a pinned content, or fail a read because its own disk is full, broken or being
// cleaned up. Its directory may be deleted at any time while nobody has it open.
//
// Where things are: a Reader (reader.go, ahead.go) claims blocks from memory, disk or a flight; a
// run (fetch.go) obtains some neighbouring blocks and publishes each in its flight; data files and
// their sidecars are in data.go and sidecar.go; upkeep.go scans the directory after a start and
// writes sidecars; evict.go makes room.
//
// Locks: entry.path, then Cache.mu, then slots.mu. Cache.mu guards every field of entries, data
// files, flights, runs, streams and buffers that is not said to be constant; nothing is read,
// written or waited for under it.
package block

import (
	"container/list"
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/remote"
)

// BlockSize is the unit of caching and of checksums, in bytes. The last block of a content may be
// shorter.
const BlockSize = 256 << 10

// Content is what the cache must know of a content to read and verify it.
type Content struct {
	ID   remote.ContentID
	Size int64 // bytes

	// Sums has the crc32c (Castagnoli) of each block, ceil(Size/BlockSize) of them; nil when they
	// are in a side object or when there are none. The cache keeps the slice and never changes it.
	Sums []uint32

	// LoadSums fetches and verifies the side object with the sums. nil when Sums is set, or when
	// nobody computed sums (external contents): then only the length of what the store sends is
	// checked.
	LoadSums func(ctx context.Context) ([]uint32, error)
}

// Options say how a cache works. Store is needed, all else has a default.
type Options struct {
	Store remote.Store
	Dir   string // where blocks are kept; made if missing. Empty, or a local store: nothing is kept on disk

	MaxBytes int64 // disk space for blocks; 0 is 10 GiB
	// the cache shrinks, and takes nothing more, below this much free space; 0 is min(512 MiB, 10 %
	// of the file system)
	MinFree  int64
	Memory   int64 // bytes of all buffers together; 0 is 64 MiB; at least two blocks for each parallel GET
	Parallel int   // GETs at the same time, of all readers together; 0 is 8
	MaxOpen  int   // data files kept open while nobody reads them; 0 is 128, or an eighth of what this process may open

	Patience time.Duration // how long a block is tried again while the store is unavailable; 0 is 30 s
	Backoff  time.Duration // pause before the first retry, doubled up to 5 s; 0 is 200 ms
	Stall    time.Duration // a GET without a byte for this long is given up and tried again; 0 is 30 s
	Tries    int           // how often a block that fails its checksum is fetched before the error is Corrupt; 0 is 3
	Pause    time.Duration // how long nothing is written to disk after a write failed; 0 is 1 minute
	// how often what is on disk is noted in sidecars; a crash forgets the blocks of this long; 0 is
	// 10 s
	Flush time.Duration

	Log *logrus.Entry // nil logs nothing

	// Step is called at named points of evicting, for tests that stop the world there.
	Step func(point string)

	// Replaced by tests to make the disk fail.
	writeAt func(f *os.File, p []byte, off int64) error
	statfs  func(f *os.File) (free, total int64, err error)
}

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	set(&o.MaxBytes, 10<<30)
	set(&o.Memory, 64<<20)
	set(&o.Parallel, 8)
	set(&o.MaxOpen, min(128, openLimit()/8))
	set(&o.Patience, 30*time.Second)
	set(&o.Backoff, 200*time.Millisecond)
	set(&o.Stall, 30*time.Second)
	set(&o.Tries, 3)
	set(&o.Pause, time.Minute)
	set(&o.Flush, 10*time.Second)
	// Each GET and each verification from disk fills a block; less memory could not hold those.
	o.Memory = max(o.Memory, int64(o.Parallel)*2*BlockSize)
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.writeAt == nil {
		o.writeAt = func(f *os.File, p []byte, off int64) error {
			_, err := f.WriteAt(p, off)
			return err
		}
	}
	if o.statfs == nil {
		o.statfs = freeSpace
	}
	return o
}

func set[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Stats are counters since Open, and sizes now.
type Stats struct {
	Bytes    int64 // on disk, as far as the directory has been scanned
	Pinned   int64 // of those, bytes that may not be evicted
	Contents int   // contents with bytes on disk
	Memory   int64 // bytes of all buffers in use

	Hits      int64 // blocks that were on disk or in memory when they were asked for
	Misses    int64 // blocks that had to be waited for
	Requests  int64 // ranges asked of the store, retries included
	Fetched   int64 // bytes that the store sent
	Evictions int64 // segments of up to 16 MiB that made room for others
	Damaged   int64 // blocks on disk or from the store that failed their checksum
}

// Cache is the read cache of one store. All methods may be called concurrently.
type Cache struct {
	opt   Options
	local bool    // the store is a local disk
	dir   *folder // nil: nothing is kept on disk

	maxBytes atomic.Int64 // opt.MaxBytes, until SetMaxBytes

	ctx  context.Context // ends at Close, and with it every run
	stop context.CancelFunc
	wg   sync.WaitGroup // runs, loads of sums, upkeep

	fetches *slots // GETs
	checks  *slots // blocks being verified from disk

	scanned chan struct{} // closed when the whole directory is known

	mu struct {
		sync.Mutex
		closed  bool
		entries map[string]*entry
		dirty   map[*entry]struct{} // sidecars to be written
		shut    []*os.File          // files to be closed once the lock is free

		unpinned map[string]bool // names that were unpinned before the scan was over
		removed  map[string]bool // names whose files were removed before the scan was over

		segments list.List // *segment on disk and not pinned, the one used last in front
		idle     list.List // *data with an open file and no user, the one used last in front
		bytes    int64     // on disk, with what is being written
		pinned   int64
		free     int64     // free space of the file system, estimated from checked on
		checked  time.Time // when free was asked for
		off      time.Time // nothing is written to disk before this

		recent  list.List // *recentBlock: verified blocks that are not on disk, the one used last in front
		buffers int64     // bytes of all buffers
		windows int64     // bytes of read-ahead granted beyond each stream's first window

		stats Stats
	}
}

// Open opens a cache on opt.Dir, for this process alone: Busy when another one has it. What is
// found there is looked through behind; a content that is read meanwhile is found at once.
func Open(opt Options) (*Cache, error) {
	if opt.Store == nil {
		return nil, remote.E("open block cache", opt.Dir, remote.Invalid, nil).WithHint("no store given")
	}
	c := &Cache{opt: opt.withDefaults(), local: opt.Store.Facts().Local, scanned: make(chan struct{})}
	c.maxBytes.Store(c.opt.MaxBytes)
	c.fetches, c.checks = newSlots(c.opt.Parallel), newSlots(c.opt.Parallel)
	c.mu.entries = make(map[string]*entry)
	c.mu.dirty = make(map[*entry]struct{})
	c.mu.unpinned, c.mu.removed = make(map[string]bool), make(map[string]bool)
	c.ctx, c.stop = context.WithCancel(context.Background())
	if c.local || opt.Dir == "" {
		close(c.scanned)
		return c, nil
	}
	dir, err := openFolder(opt.Dir)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.dir, dir.spare = dir, c.shutIdle
	if err := c.openDisk(); err != nil {
		c.stop()
		dir.close()
		return nil, err
	}
	return c, nil
}

// openDisk learns the limits of the file system, lists the directory and starts the upkeep.
func (c *Cache) openDisk() error {
	free, total, err := c.opt.statfs(c.dir.f)
	if err != nil {
		return remote.E("ask for free space of", c.opt.Dir, remote.Other, err)
	}
	if c.opt.MinFree <= 0 {
		c.opt.MinFree = min(512<<20, total/10)
	}
	c.mu.free, c.mu.checked = free, time.Now()
	names, err := c.dir.names()
	if err != nil {
		return remote.E("list block cache", c.opt.Dir, remote.Other, err)
	}
	c.wg.Add(1)
	go c.upkeep(names)
	return nil
}

// Close ends all fetches, whose readers get an error, notes what is on disk and lets go of the
// directory. Readers may be closed after it.
func (c *Cache) Close() error {
	c.lock()
	if c.mu.closed {
		c.unlock()
		return nil
	}
	c.mu.closed = true
	c.unlock()
	c.stop()
	c.wg.Wait()
	if c.dir == nil {
		return nil
	}
	c.flush()
	c.shutIdle()
	return c.dir.close()
}

// Stats returns counters and sizes.
func (c *Cache) Stats() Stats {
	c.lock()
	defer c.unlock()
	s := c.mu.stats
	s.Bytes, s.Pinned, s.Memory = c.mu.bytes, c.mu.pinned, c.mu.buffers
	for _, e := range c.mu.entries {
		if e.disk != nil && e.disk.bytes > 0 {
			s.Contents++
		}
	}
	return s
}

func (c *Cache) lock() { c.mu.Lock() }

// unlock unlocks mu and then closes the files that were given up under it.
func (c *Cache) unlock() {
	shut := c.mu.shut
	c.mu.shut = nil
	c.mu.Unlock()
	for _, f := range shut {
		// Nothing depends on its answer: what was lost is found by its checksum.
		_ = f.Close()
	}
}
