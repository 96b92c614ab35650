package engine

import (
	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
)

// Status tells how the library stands, from memory.
func (fs *FS) Status() vfs.Status {
	c := fs.cat.Status()
	return vfs.Status{
		Catalog:  catalogStatus(c),
		Cache:    vfs.CacheStatus(fs.cache.Stats()),
		Pending:  fs.pending(),
		Used:     fs.used(c.Usage),
		Troubles: fs.troubles.all(fs.opt.Now()),
	}
}

func catalogStatus(c catalog.Status) vfs.CatalogStatus {
	return vfs.CatalogStatus{
		Client:     c.Client,
		Applied:    c.Applied,
		Newest:     c.Newest,
		Outbox:     c.Outbox,
		Reached:    c.Reached,
		Error:      c.Error,
		ErrorTime:  c.ErrorTime,
		Fatal:      c.Fatal,
		Blocked:    (*vfs.Blocked)(c.Blocked),
		Loading:    c.Loading,
		Dropped:    c.Dropped,
		Kept:       c.Kept,
		Conflicts:  c.Conflicts,
		Checkpoint: c.Checkpoint,
		Indexed:    c.Indexed,
		ToIndex:    c.ToIndex,
		Usage:      vfs.Usage(c.Usage),
	}
}

func (fs *FS) pending() (p vfs.Pending) {
	if !fs.taken.Load() {
		p = fs.left
	}
	for _, ino := range fs.all() {
		ino.mu.Lock()
		if ino.dirty {
			p.Files++
			p.Bytes += ino.unsent
			if ino.lastErr != nil {
				p.Error = ino.lastErr.Error()
			}
		}
		ino.mu.Unlock()
		fs.release(ino)
	}
	return p
}
