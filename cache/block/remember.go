package block

// Remember keeps the bytes of a content of one block in memory for a while: those that were just uploaded are mostly the next to be read. It
// does nothing when they are not ct's size, or when the cache has them already.
func (c *Cache) Remember(ct Content, b []byte) {
	if c.enter() != nil {
		return
	}
	defer c.wg.Done()
	if int64(len(b)) != ct.Size || ct.Size == 0 || ct.Size > BlockSize {
		return
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
