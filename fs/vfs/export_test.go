package vfs

import "mediafs/cache/catalog"

// View looks into the library's catalog.
func (fs *FS) View(fn func(tx *catalog.Tx) error) error { return fs.cat.View(fn) }

// Empty empties the trash of what is past its time, now.
func (fs *FS) Empty() error { return fs.emptyTrash(fs.ctx) }

// References counts the inodes that are known.
func (fs *FS) References() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for id, ino := range fs.inodes {
		if id != Root && ino.lookups > 0 {
			n++
		}
	}
	return n
}
