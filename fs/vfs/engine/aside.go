package engine

import (
	"slices"
	"sync"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
)

// Many programs save by setting the old file aside: they rename it, or link it, to the name of a
// backup, and put a new file in its place. vim and emacs do so, exiftool unless told otherwise,
// rsync and cp with --backup, sed -i.bak, and GLib when it makes a backup. The media is what has
// the name that people know: the new file takes over its identity and the old bytes as a version,
// and the backup becomes a new media, a copy.
//
// What was set aside is remembered by this process alone, and not for long. When it is forgotten
// the backup keeps the identity, as after any rename.

// asideTime is how long after a file was set aside one of its name replaces it: programs do both in
// one go.
const asideTime = time.Minute

// maxAside is how many are remembered.
const maxAside = 256

type place struct {
	parent vfs.ID
	name   string
}

// asides remember which names lately lost a media to a backup's name.
type asides struct {
	mu    sync.Mutex
	of    map[place]aside
	order []place
}

type aside struct {
	node vfs.ID
	at   time.Time
}

func (a *asides) put(parent vfs.ID, name string, node vfs.ID, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[place]aside)
	}
	p := place{parent, name}
	if _, known := a.of[p]; !known {
		a.order = append(a.order, p)
	}
	a.of[p] = aside{node, now}
	if len(a.order) > maxAside {
		delete(a.of, a.order[0])
		a.order = slices.Delete(a.order, 0, 1)
	}
}

// get tells which node was set aside from a name; 0: none.
func (a *asides) get(parent vfs.ID, name string, now time.Time) vfs.ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.of[place{parent, name}]
	if d := now.Sub(s.at); !ok || d > asideTime || d < 0 {
		return 0
	}
	return s.node
}

// drop forgets what was set aside from a name: it has been replaced.
func (a *asides) drop(parent vfs.ID, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := place{parent, name}
	if _, ok := a.of[p]; ok {
		delete(a.of, p)
		a.order = slices.DeleteFunc(a.order, func(o place) bool { return o == p })
	}
}

// setAside notes that a node got the name of a backup, by a rename or a link in one folder.
func (fs *FS) setAside(parent vfs.ID, name, backup string, node vfs.ID) {
	if name != "" && name == operation.BackedUp(backup) && node != 0 {
		fs.asides.put(parent, name, node, fs.opt.Now())
	}
}
