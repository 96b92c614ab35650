package vfs

// Room asks for room for n bytes in the spool, without waiting.
func (fs *FS) Room(n int64) error { return fs.spool.Room(n) }

// Cramped counts the media whose writers wait for room.
func (fs *FS) Cramped() (n int) {
	for _, ino := range fs.all() {
		ino.mu.Lock()
		if ino.cramped {
			n++
		}
		ino.mu.Unlock()
		fs.release(ino)
	}
	return n
}

// Uploading has everything that is queued uploaded now, and counts the uploads behind that have begun.
func (fs *FS) Uploading() int {
	u := fs.uploads
	u.mu.Lock()
	var waiting []*inode
	for ino := range u.waiting {
		waiting = append(waiting, ino)
	}
	running := u.running
	u.mu.Unlock()
	for _, ino := range waiting {
		u.queue(ino, 0)
	}
	return running
}
