package block

import (
	"container/list"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// segmentBlocks is the unit of eviction: 64 blocks, 16 MiB, one word of the bitmap. Small contents
// go as a whole, large ones in pieces, so that a film larger than the cache does not push itself
// out while it is played.
const segmentBlocks = 64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Data is one data file: some of a content's blocks, at their own offsets. When an entry's data is
// given up, it is detached from it and dead: who has it in use reads on in the unlinked file, and
// nothing new is written to it. All fields are guarded by Cache.mu.
type data struct {
	e        *entry
	f        *os.File // nil while closed
	made     bool     // the file exists under its name, as far as we know
	dead     bool
	users    int           // reads, writes and punches in progress
	idle     *list.Element // in Cache.mu.idle
	bytes    int64         // on disk, counted against the limit
	noted    time.Time     // when the sidecar was written, or will be soon
	segments []segment
}

// A segment is 64 neighbouring blocks of a data file.
type segment struct {
	d        *data
	index    int
	have     uint64 // blocks that are in the file
	known    uint64 // those that were verified since the file was opened: they are read without a look at the checksum
	users    int    // reads and writes in progress
	emptying bool   // being evicted: nothing is written
	used     *list.Element
}

func newData(e *entry) *data {
	d := &data{e: e, segments: make([]segment, segmentsOf(e.size))}
	for i := range d.segments {
		d.segments[i].d, d.segments[i].index = d, i
	}
	return d
}

func (d *data) segment(block int64) *segment { return &d.segments[block/segmentBlocks] }

func bit(block int64) uint64 { return 1 << uint(block%segmentBlocks) }

// noteAge is how old a sidecar of a content in use may grow. Its time is how a restart knows what
// was used last.
const noteAge = time.Hour

// spaceOf is what n bytes of a file cost on disk: whole pages.
func spaceOf(n int) int64 { return (int64(n) + 4095) &^ 4095 }

// sidecarSpace is what a content costs on disk beside its blocks: an inode and a page for the
// sidecar.
const sidecarSpace = 4096

// space is what the blocks of s cost on disk.
func (s *segment) space() int64 {
	n := int64(bits.OnesCount64(s.have)) * BlockSize
	if last := blocksOf(s.d.e.size) - 1; last/segmentBlocks == int64(s.index) && s.have&bit(last) != 0 {
		n += spaceOf(s.d.e.length(last)) - BlockSize
	}
	return n
}

// count sets bytes after the bitmap was filled, and returns it.
func (d *data) count() int64 {
	d.bytes = 0
	for i := range d.segments {
		d.bytes += d.segments[i].space()
	}
	if d.bytes > 0 {
		d.bytes += sidecarSpace
	}
	return d.bytes
}

// use keeps d's file open and, with s, its blocks where they are, until release. Needs mu.
func (c *Cache) use(d *data, s *segment) {
	d.users++
	if d.idle != nil {
		c.mu.idle.Remove(d.idle)
		d.idle = nil
	}
	if s != nil {
		s.users++
		if now := time.Now(); !d.dead && now.Sub(d.noted) > noteAge {
			d.noted = now
			c.mu.dirty[d.e] = struct{}{}
		}
		if s.used != nil {
			c.mu.segments.MoveToFront(s.used)
		}
	}
}

// release ends a use. Files that nobody uses stay open, up to a limit. Needs mu.
func (c *Cache) release(d *data, s *segment) {
	if s != nil {
		s.users--
	}
	d.users--
	if d.users > 0 || d.f == nil {
		return
	}
	if d.dead || c.mu.closed {
		c.shut(d)
		return
	}
	d.idle = c.mu.idle.PushFront(d)
	if c.mu.idle.Len() > c.opt.MaxOpen {
		c.shut(c.mu.idle.Back().Value.(*data))
	}
}

// shut closes d's file, after mu is free. What was verified through it must be again: under its
// name may be something else when it is opened next. Needs mu.
func (c *Cache) shut(d *data) {
	if d.idle != nil {
		c.mu.idle.Remove(d.idle)
		d.idle = nil
	}
	if d.f == nil {
		return
	}
	c.mu.shut = append(c.mu.shut, d.f)
	d.f = nil
	for i := range d.segments {
		d.segments[i].known = 0
	}
}

// shutIdle closes the files that nobody uses, and tells whether there were any.
func (c *Cache) shutIdle() bool {
	c.lock()
	defer c.unlock()
	any := c.mu.idle.Len() > 0
	for el := c.mu.idle.Front(); el != nil; el = c.mu.idle.Front() {
		c.shut(el.Value.(*data))
	}
	return any
}

// enlist makes d's segments candidates for eviction. Needs mu.
func (c *Cache) enlist(d *data) {
	for i := range d.segments {
		if s := &d.segments[i]; s.have != 0 && s.used == nil {
			s.used = c.mu.segments.PushFront(s)
		}
	}
}

// delist is the opposite of enlist, for one segment. Needs mu.
func (c *Cache) delist(s *segment) {
	if s.used != nil {
		c.mu.segments.Remove(s.used)
		s.used = nil
	}
}

// detach gives up what e has on disk, if anything; unlink must be called after it when it did.
// Needs mu.
func (c *Cache) detach(e *entry) bool {
	d := e.disk
	if d == nil {
		return false
	}
	e.leaving++
	if e.pinned {
		e.pinned = false
		c.mu.pinned -= d.bytes
	}
	c.mu.bytes -= d.bytes
	c.mu.free += d.bytes
	d.dead, d.bytes, e.disk = true, 0, nil
	for i := range d.segments {
		c.delist(&d.segments[i])
	}
	delete(c.mu.dirty, e)
	if d.users == 0 {
		c.shut(d)
	}
	return true
}

// unlink removes the names of an entry that has nothing on disk any more, and the entry when nobody
// needs it. A data file that was made meanwhile has replaced the old one, and stays. It is called
// once for each detach.
func (c *Cache) unlink(e *entry) {
	e.path.Lock()
	defer e.path.Unlock()
	c.lock()
	made := e.disk != nil && e.disk.made
	if !made && !c.isScanned() {
		c.mu.removed[e.name] = true // the scan may have read its sidecar already
	}
	c.unlock()
	if !made {
		c.dir.remove(e.name + dataSuffix)
		c.dir.remove(e.name + mapSuffix)
	}
	c.lock()
	e.leaving--
	c.tidy(e)
	c.unlock()
}

var errDead = errors.New("cache file was given up")

// file returns d's open file. The caller uses d.
func (c *Cache) file(d *data) (*os.File, error) {
	c.lock()
	f := d.f
	c.unlock()
	if f != nil {
		return f, nil
	}
	d.e.path.Lock()
	defer d.e.path.Unlock()
	c.lock()
	f, dead, made := d.f, d.dead, d.made
	c.unlock()
	if f != nil {
		return f, nil
	}
	if dead {
		return nil, errDead
	}
	f, err := c.openData(d.e, made)
	if err != nil {
		return nil, err
	}
	c.lock()
	d.f, d.made = f, true
	c.unlock()
	return f, nil
}

// openData opens a data file, or makes an empty one of the content's size. An old one that is not
// what it was is an error.
func (c *Cache) openData(e *entry, made bool) (*os.File, error) {
	name := e.name + dataSuffix
	if !made {
		// A new inode each time: the old one may still be read by who had it in use.
		c.dir.remove(name)
		if fewInodes(c.dir.f) {
			return nil, &fs.PathError{Op: "create", Path: name, Err: unix.ENOSPC}
		}
		f, err := c.dir.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return nil, err
		}
		if err := f.Truncate(e.size); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	f, err := c.dir.open(name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() != e.size {
		err = fmt.Errorf("%s has %d bytes instead of %d", name, st.Size(), e.size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readData reads from d's file, which the caller uses, at an offset where blocks are present.
func (c *Cache) readData(d *data, p []byte, off int64) error {
	f, err := c.file(d)
	if err != nil {
		return err
	}
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // somebody cut the file
	}
	return err
}

// lose gives up all that e has on disk in d, because the file is not what it was. It may be called
// again for the same d.
func (c *Cache) lose(d *data) {
	c.lock()
	mine := d.e.disk == d && c.detach(d.e)
	c.unlock()
	if mine {
		c.unlink(d.e)
	}
}

// keep writes a verified block to disk and reports whether it is there. It is not when the disk is
// full or broken or the limit is reached by what may not be evicted; a read never fails for that.
func (c *Cache) keep(e *entry, block int64, buf *buffer) bool {
	if c.dir == nil {
		return false
	}
	need := spaceOf(len(buf.b))
	c.lock()
	if time.Now().Before(c.mu.off) || e.source == sumsOwn && e.sums == nil {
		c.unlock()
		return false
	}
	if e.disk == nil {
		e.disk = newData(e)
	}
	d := e.disk
	s := d.segment(block)
	if s.emptying || s.have&bit(block) != 0 {
		have := s.known&bit(block) != 0
		c.unlock()
		return have
	}
	if d.bytes == 0 {
		need += sidecarSpace
	}
	c.use(d, s)
	c.unlock()

	room := c.reserve(need)
	var err error
	if room {
		var f *os.File
		if f, err = c.file(d); err == nil {
			err = c.opt.writeAt(f, buf.b, block*BlockSize)
		}
	}
	return c.kept(d, s, block, buf, need, room, err)
}

// kept notes the outcome of writing a block for which need bytes were reserved.
func (c *Cache) kept(d *data, s *segment, block int64, buf *buffer, need int64, room bool, err error) bool {
	e := d.e
	c.lock()
	ok := room && err == nil && !d.dead && s.have&bit(block) == 0
	if room {
		c.mu.bytes -= need
	}
	if ok {
		before := d.bytes
		s.have |= bit(block)
		s.known |= bit(block)
		if d.bytes == 0 {
			d.bytes = sidecarSpace
		}
		d.bytes += spaceOf(len(buf.b))
		c.mu.bytes += d.bytes - before
		if e.pinned {
			c.mu.pinned += d.bytes - before
		} else if s.used == nil {
			s.used = c.mu.segments.PushFront(s)
		}
		if e.source == sumsOwn {
			e.sums[block] = buf.sum
		}
		c.mu.dirty[e] = struct{}{}
	}
	if err != nil && !errors.Is(err, errDead) {
		c.mu.off = time.Now().Add(c.opt.Pause)
	}
	c.release(d, s)
	empty := e.disk == d && d.bytes == 0 && d.users == 0
	if empty {
		c.detach(e)
	}
	c.unlock()
	if empty {
		c.unlink(e)
	}
	if err != nil && !errors.Is(err, errDead) {
		c.opt.Log.WithError(err).WithField("content", e.id.ID).WithField("pause", c.opt.Pause).
			Warn("the cache disk takes no blocks; reads go on without it")
	}
	return ok
}

// punch frees the space of a segment's blocks.
func punch(f *os.File, s *segment) error {
	off := int64(s.index) * segmentBlocks * BlockSize
	n := min(segmentBlocks*BlockSize, s.d.e.size-off)
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
