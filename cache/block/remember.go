package block

import "hash/crc32"

// Remember keeps the bytes of a content of one block in memory for a while: those that were just
// uploaded are mostly the next to be read. It does nothing when they are not ct's size or have not
// its checksum, or when the cache has them already.
func (c *Cache) Remember(ct Content, b []byte) {
	if c.enter() != nil {
		return
	}
	defer c.wg.Done()
	if int64(len(b)) != ct.Size || ct.Size == 0 || ct.Size > BlockSize {
		return
	}
	if len(ct.Sums) == 1 && crc32.Checksum(b, castagnoli) != ct.Sums[0] {
		return // what is in memory is not looked at again
	}
	r := c.NewReader(ct)
	defer r.Close()
	if c.ready(r.e, ct) != nil {
		return
	}
	buf := c.newBuffer(len(b))
	copy(buf.b, b)
	c.lock()
	defer c.unlock()
	if r.e.disk == nil && r.e.flights[0] == nil {
		c.remember(r.e, 0, buf)
	}
	c.drop(buf)
}
