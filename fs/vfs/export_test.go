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

// MakeRoom does what a full disk makes it do.
func (fs *FS) MakeRoom() { fs.makeRoom(nil) }

// SpoolBytes is what the files in the spool take on the disk.
func (fs *FS) SpoolBytes() (n int64) {
	for _, ino := range fs.all() {
		if ino.w != nil {
			if st, err := ino.w.file.Stat(); err == nil {
				n += st.Blocks * 512
			}
		}
		fs.release(ino)
	}
	return n
}
