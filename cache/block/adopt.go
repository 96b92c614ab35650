package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Adopt makes the complete local file at path the cache entry of ct: by a rename on the same file
// system, else by a copy, for which there must be room within MaxBytes and MinFree (else NoSpace).
// It is pinned until Unpin, also over a restart and a power loss. Nobody may write to the file any
// more; who has it open reads on. On an error the file is left where it is. Without sums in ct, the
// file is read once to compute them. With no cache on disk, Adopt just removes the file.
func (c *Cache) Adopt(ct Content, path string) error {
	if err := c.enter(); err != nil {
		return remote.E("adopt into cache", path, remote.Unavailable, err)
	}
	defer c.wg.Done()
	if c.dir == nil || ct.Size == 0 {
		if err := os.Remove(path); err != nil {
			return remote.E("adopt into cache", path, remote.KindOfOwn(err), err)
		}
		return nil
	}
	<-c.scanned // the scan removes data files that nobody owns
	r := c.NewReader(ct)
	defer r.Close()
	if err := c.ready(r.e, ct); err != nil {
		return err
	}
	sums, err := c.checkFile(ct, path)
	if err != nil {
		return err
	}
	giveBack, err := c.roomForCopy(path, ct.Size)
	if err != nil {
		return err
	}
	err = c.moveIn(r.e, path, ct, sums)
	giveBack()
	if err != nil {
		return remote.E("adopt into cache", path, remote.KindOfOwn(err), err)
	}
	c.shrink()
	return nil
}

// checkFile makes sure that the file at path can be ct, and computes the sums of an external
// content.
func (c *Cache) checkFile(ct Content, path string) ([]uint32, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, remote.E("adopt into cache", path, remote.KindOfOwn(err), err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, remote.E("adopt into cache", path, remote.KindOfOwn(err), err)
	}
	if !st.Mode().IsRegular() || st.Size() != ct.Size {
		return nil, remote.E("adopt into cache", path, remote.Invalid,
			fmt.Errorf("it is %v with %d bytes, not a file with %d", st.Mode().Type(), st.Size(), ct.Size))
	}
	if ct.Sums != nil {
		return ct.Sums, nil
	}
	sums := make([]uint32, 0, blocksOf(ct.Size))
	buf := c.newBuffer(BlockSize)
	defer func() {
		c.lock()
		c.drop(buf)
		c.unlock()
	}()
	for off := int64(0); off < ct.Size; off += BlockSize {
		b := buf.b[:min(BlockSize, ct.Size-off)]
		if _, err := io.ReadFull(f, b); err != nil {
			return nil, remote.E("read", path, remote.KindOfOwn(err), err)
		}
		sums = append(sums, crc32.Checksum(b, castagnoli))
	}
	return sums, nil
}

// roomForCopy takes the room that adopting the file at path needs while it lies there and in the
// cache: none when it can be renamed.
func (c *Cache) roomForCopy(path string, size int64) (giveBack func(), err error) {
	var from, to unix.Stat_t
	if err := errors.Join(unix.Lstat(path, &from), unix.Fstat(int(c.dir.f.Fd()), &to)); err != nil {
		return nil, remote.E("adopt into cache", path, remote.KindOfOwn(err), err)
	}
	full := func(format string, a ...any) (func(), error) {
		return nil, remote.E("adopt into cache", path, remote.NoSpace, fmt.Errorf(format, a...))
	}
	need := size + sidecarSpace
	switch {
	case from.Dev == to.Dev:
		return func() {}, nil
	case need > c.maxBytes.Load(): // nothing else is to go for what cannot stay
		return full("%d bytes, the cache has at most %d", size, c.maxBytes.Load())
	case !c.reserve(need):
		return full("the cache disk has no room for %d bytes", size)
	}
	return func() {
		c.lock()
		defer c.unlock()
		c.mu.bytes -= need
		c.mu.free += need
	}, nil
}

// moveIn moves the file in and makes it e's data. The sidecar goes first: without its data file it
// means nothing, while a data file without it would be thrown away after a crash.
func (c *Cache) moveIn(e *entry, path string, ct Content, sums []uint32) error {
	d := newData(e)
	d.made = true
	for i := range d.segments {
		d.segments[i].have = math.MaxUint64
	}
	if tail := blocksOf(e.size) % segmentBlocks; tail != 0 {
		d.segments[len(d.segments)-1].have = 1<<uint(tail) - 1
	}
	d.count()
	side := sidecar{id: e.id, size: e.size, pinned: true, source: sumsGiven}
	switch {
	case ct.Sums != nil:
	case ct.LoadSums != nil:
		side.source, side.sums = sumsLoaded, sums
	default:
		side.source, side.sums = sumsOwn, sums
	}
	for i := range d.segments {
		side.present = append(side.present, d.segments[i].have)
	}

	e.path.Lock()
	defer e.path.Unlock()
	if err := c.dir.replace(e.name+mapSuffix, side.encode(), true); err != nil {
		return err
	}
	if err := c.moveFile(path, e.name+dataSuffix); err != nil {
		c.disown(e)
		return err
	}
	c.lock()
	if c.detach(e) {
		e.leaving-- // its names are d's now
	}
	e.disk = d
	e.source = side.source
	e.sums = sums
	c.mu.bytes += d.bytes
	c.mu.free -= d.bytes
	delete(c.mu.unpinned, e.name)
	c.pin(e)
	c.mu.dirty[e] = struct{}{}
	c.unlock()
	return nil
}

// disown takes back a sidecar that tells of a file which was not moved in. e.path is held.
func (c *Cache) disown(e *entry) {
	c.lock()
	old := e.disk
	if old != nil {
		c.mu.dirty[e] = struct{}{} // it is written anew for what is there
	}
	c.unlock()
	if old == nil {
		c.dir.remove(e.name + mapSuffix)
	}
}

// moveFile renames the file at path to name in the cache, or copies it from another file system,
// and syncs that.
func (c *Cache) moveFile(path, name string) error {
	err := c.dir.take(path, name)
	switch {
	case errors.Is(err, unix.EXDEV):
		return c.copyFile(path, name)
	case err != nil:
		return err
	}
	return c.dir.f.Sync()
}

// copyFile makes name in the cache a synced copy of the file at path, and removes that.
func (c *Cache) copyFile(path, name string) error {
	from, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	tmp := name + tempSuffix
	c.dir.remove(tmp)
	to, err := c.dir.open(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Sync()
	}
	err = errors.Join(err, to.Close())
	if err == nil {
		err = c.dir.rename(tmp, name)
	}
	if err == nil {
		err = c.dir.f.Sync()
	}
	if err != nil {
		c.dir.remove(tmp)
		return err
	}
	// The copy serves from here on; a leftover at path harms nobody.
	_ = os.Remove(path)
	return nil
}

// Unpin says that the commit that refers to an adopted content has been seen: it may be evicted
// now.
func (c *Cache) Unpin(id remote.ContentID) {
	name := nameOf(id)
	c.lock()
	defer c.unlock()
	if !c.isScanned() {
		c.mu.unpinned[name] = true
	}
	if e := c.mu.entries[name]; e != nil {
		c.unpin(e)
	}
}

// Pinned lists the contents that were adopted and not unpinned, also by an earlier process.
func (c *Cache) Pinned() []remote.ContentID {
	<-c.scanned
	c.lock()
	defer c.unlock()
	var ids []remote.ContentID
	for _, e := range c.mu.entries {
		if e.pinned {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// Forget drops what the cache has of a content, pinned or not. Reads in progress go on. What is
// just being fetched or looked for may stay: it is right, and will be evicted.
func (c *Cache) Forget(id remote.ContentID) {
	if c.enter() != nil {
		return
	}
	defer c.wg.Done()
	c.lock()
	e := c.entry(id, 0)
	if c.dir != nil && !e.loaded && e.loading == nil {
		// Nobody has looked for its files. Now nobody needs to; they are removed unseen.
		e.loaded = true
		e.leaving++
		c.unlock()
		c.unlink(e)
		return
	}
	for _, r := range e.recent {
		c.forgetRecent(r)
	}
	gone := c.detach(e)
	c.tidy(e)
	c.unlock()
	if gone {
		c.unlink(e)
	}
}
