package block

import (
	"container/list"
	"sync"
)

// A buffer holds one verified block, or one on its way to that. It is counted against
// Options.Memory until its last reference goes.
type buffer struct {
	b    []byte
	sum  uint32 // crc32c of b once it is filled
	refs int
}

// A recentBlock is a block that is in memory because it is not on disk: the store is local, the
// disk is full or broken.
type recentBlock struct {
	e     *entry
	block int64
	buf   *buffer
	el    *list.Element
}

// Full blocks are recycled, so that an idle daemon gives the memory back and a busy one makes no
// garbage.
var fullBlocks = sync.Pool{New: func() any {
	b := make([]byte, BlockSize)
	return &b
}}

// newBuffer returns a buffer of n bytes with one reference. It never waits: blocks in memory make
// room, and what cannot be dropped is bounded by the slots for GETs and verifications.
func (c *Cache) newBuffer(n int) *buffer {
	c.lock()
	c.mu.buffers += int64(n)
	c.trimRecent()
	c.unlock()
	buf := &buffer{refs: 1}
	if n == BlockSize {
		buf.b = *fullBlocks.Get().(*[]byte)
	} else {
		buf.b = make([]byte, n)
	}
	return buf
}

// drop gives back one reference. Needs mu.
func (c *Cache) drop(buf *buffer) {
	buf.refs--
	if buf.refs > 0 {
		return
	}
	b := buf.b
	buf.b = nil
	c.mu.buffers -= int64(len(b))
	if len(b) == BlockSize {
		fullBlocks.Put(&b)
	}
}

// A local store is read again as cheaply as memory; this much spares a block for each 4 KiB read.
const localMemory = 16 << 20

// remember keeps a block that is not on disk in memory for a while. Needs mu.
func (c *Cache) remember(e *entry, block int64, buf *buffer) {
	if e.recent[block] != nil {
		return
	}
	buf.refs++
	r := &recentBlock{e: e, block: block, buf: buf}
	r.el = c.mu.recent.PushFront(r)
	if e.recent == nil {
		e.recent = make(map[int64]*recentBlock)
	}
	e.recent[block] = r
	c.trimRecent()
}

// trimRecent drops blocks from memory, the longest unused first, until the limit is kept. Needs mu.
func (c *Cache) trimRecent() {
	limit := c.opt.Memory
	if c.local {
		limit = max(int64(c.opt.Parallel)*2*BlockSize, min(limit, localMemory))
	}
	for c.mu.buffers > limit && c.mu.recent.Len() > 0 {
		c.forgetRecent(c.mu.recent.Back().Value.(*recentBlock))
	}
}

// forgetRecent drops one block from memory. Needs mu.
func (c *Cache) forgetRecent(r *recentBlock) {
	c.mu.recent.Remove(r.el)
	delete(r.e.recent, r.block)
	c.drop(r.buf)
	c.tidy(r.e)
}
