package vfs

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote/bucket/record"
)

// Many programs save by setting the old file aside: they rename it, or link it, to the name of a backup, and put a new file in its place. vim and
// emacs do so, exiftool unless told otherwise, rsync and cp with --backup, sed -i.bak, and GLib when it makes a backup. The media is what has the name
// that people know: the new file takes over its identity and the old bytes as a version, and the backup becomes a new media, a copy.
//
// What was set aside is remembered by this process alone, and not for long. When it is forgotten the backup keeps the identity, as after any rename.

// asideTime is how long after a file was set aside one of its name replaces it: programs do both in one go.
const asideTime = time.Minute

// maxAside is how many are remembered.
const maxAside = 256

// backupEndings are what programs append to the name of a backup: vim, emacs, rsync, cp and GLib; sed and others as people tell them; exiftool.
var backupEndings = []string{"~", ".bak", ".orig", ".old", "_original"}

// backedUp is the name that a backup's name was made of; empty when it is none.
func backedUp(name string) string {
	for _, e := range backupEndings {
		if of, ok := strings.CutSuffix(name, e); ok {
			if i := strings.LastIndex(of, ".~"); e == "~" && i > 0 && strings.Trim(of[i+2:], "0123456789") == "" {
				return of[:i] // cp --backup=numbered: name.~1~
			}
			return of
		}
	}
	return ""
}

type place struct {
	parent ID
	name   string
}

// asides remember which names lately lost a media to a backup's name.
type asides struct {
	mu    sync.Mutex
	of    map[place]aside
	order []place
}

type aside struct {
	node ID
	at   time.Time
}

func (a *asides) put(parent ID, name string, node ID, now time.Time) {
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
func (a *asides) get(parent ID, name string, now time.Time) ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.of[place{parent, name}]
	if d := now.Sub(s.at); !ok || d > asideTime || d < 0 {
		return 0
	}
	return s.node
}

// drop forgets what was set aside from a name: it has been replaced.
func (a *asides) drop(parent ID, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := place{parent, name}
	if _, ok := a.of[p]; ok {
		delete(a.of, p)
		a.order = slices.DeleteFunc(a.order, func(o place) bool { return o == p })
	}
}

// setAside notes that a node got the name of a backup, by a rename or a link in one folder.
func (fs *FS) setAside(parent ID, name, backup string, node ID) {
	if name != "" && name == backedUp(backup) && node != 0 {
		fs.asides.put(parent, name, node, fs.opt.Now())
	}
}

// takeBack gives a fresh media under a name the identity of the one that was set aside from that name. n is the fresh one's node; the caller stores it.
// Nothing happens when that lies elsewhere by now, or has more names than the backup's.
func takeBack(tx *catalog.Tx, in *intent.Intent, n *record.Node, parent ID, name string) {
	b := tx.Node(in.Aside)
	if b == nil || !isMedia(n) || !isMedia(b) || len(b.MediaId) == 0 || bytes.Equal(b.MediaId, n.MediaId) || tx.Links(in.Aside) != 1 {
		return
	}
	for nm := range tx.Names(in.Aside) {
		if nm.Folder != parent || backedUp(nm.Name) != name {
			return
		}
	}
	fresh, media := n.MediaId, b.MediaId
	mergeSaid(tx, fresh, media)
	n.MediaId, n.Btime = media, b.Btime
	b.MediaId, b.Btime = fresh, in.Time // a backup that is deleted at once is not worth the trash: its bytes are a version
	tx.Store(record.NodeKey(in.Aside), b)
	tx.Store(record.MediaKey(fresh), &record.Media{CopiedFrom: media})
	if b.Head.GetSize() > 0 {
		addVersion(tx, media, &record.Version{Head: b.Head, Time: in.Time, Node: in.Aside, Mtime: b.Mtime, Reason: replacedByRename})
	}
}
