package block

// Has reports whether [off, off+n) of a content is on this disk or in memory, so that reading it
// now asks the store for no bytes of it. It makes no request. What it says may be over a moment
// later: blocks are evicted.
func (c *Cache) Has(ct Content, off, n int64) bool {
	if n <= 0 {
		return true
	}
	if off < 0 || n > ct.Size-off || c.enter() != nil {
		return false
	}
	defer c.wg.Done()
	r := c.NewReader(ct)
	defer r.Close()
	if c.ready(r.e, ct) != nil {
		return false
	}
	c.lock()
	defer c.unlock()
	for b := off / BlockSize; b <= (off+n-1)/BlockSize; b++ {
		onDisk := r.e.disk != nil && r.e.disk.segment(b).have&bit(b) != 0
		if !onDisk && r.e.recent[b] == nil {
			return false
		}
	}
	return true
}
