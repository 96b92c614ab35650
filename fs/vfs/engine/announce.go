package engine

import (
	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote/bucket/record"
)

// Announce sets who is told of changes. It is called once, after the kernel is connected.
func (fs *FS) Announce(a vfs.Announcer) {
	fs.mu.Lock()
	fs.announcer = a
	fs.mu.Unlock()
}

func (fs *FS) announceKey(key []byte) {
	if key[0] == record.KeySetting {
		if fs.opened.Load() { // else Open reads them itself
			fs.readSettings()
		}
		return
	}
	id, rest, ok := record.NumberOf(key)
	if !ok {
		return
	}
	fs.mu.Lock()
	a := fs.announcer
	ino := fs.inodes[id]
	if ino != nil {
		ino.holds++
	}
	fs.mu.Unlock()
	if ino == nil {
		return // the kernel knows nothing of it
	}
	defer fs.release(ino)
	if a == nil {
		return
	}
	switch key[0] {
	case record.KeyDentry:
		a.Entry(id, string(rest))
	case record.KeyNode:
		a.Node(id, fs.pagesStale(ino))
	}
}

// announceNode and announceName tell the kernel of a change that did not come from it.
func (fs *FS) announceNode(id vfs.ID) { fs.announceKey(record.NodeKey(id)) }

func (fs *FS) announceName(folder vfs.ID, name string) {
	fs.announceKey(record.DentryKey(folder, name))
}

// announcePages has the kernel drop what it keeps of a media's bytes.
func (fs *FS) announcePages(id vfs.ID) {
	fs.mu.Lock()
	a := fs.announcer
	fs.mu.Unlock()
	if a != nil {
		a.Node(id, true)
	}
}

// Reloaded is told that anything may have changed; it is the catalog's Options.Reloaded. What the
// kernel knows of names ends by itself, with its timeout.
func (fs *FS) Reloaded() {
	fs.mu.Lock()
	a := fs.announcer
	fs.mu.Unlock()
	for _, ino := range fs.all() {
		if a != nil {
			a.Node(ino.id, fs.pagesStale(ino))
		}
		fs.release(ino)
	}
}

// pagesStale tells whether the kernel's pages of an inode are no longer what the media holds, and
// notes that they are being dropped.
func (fs *FS) pagesStale(ino *inode) bool {
	head := ""
	err := fs.cat.View(func(tx *catalog.Tx) error {
		if n := tx.Node(ino.id); n != nil {
			head = operation.HeadID(n.Head)
		}
		return nil
	})
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if err != nil || ino.local || ino.pages == head {
		return false
	}
	ino.pages = ""
	return true
}

// Changed is told which replicated keys changed other than by this kernel's own calls; it is the
// catalog's Options.Changed.
func (fs *FS) Changed(keys [][]byte) {
	for _, k := range keys {
		fs.announceKey(k)
	}
}
