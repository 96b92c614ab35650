package operation

import (
	"bytes"
	"strings"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote/bucket/record"
)

// backupEndings are what programs append to the name of a backup: vim, emacs, rsync, cp and GLib;
// sed and others as people tell them; exiftool.
var backupEndings = []string{"~", ".bak", ".orig", ".old", "_original"}

// BackedUp is the name that a backup's name was made of; empty when it is none.
func BackedUp(name string) string {
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

// takeBack gives a fresh media under a name the identity of the one that was set aside from that
// name. n is the fresh one's node; the caller stores it. Nothing happens when that lies elsewhere
// by now, or has more names than the backup's.
func takeBack(tx *catalog.Tx, in *intent.Intent, n *record.Node, parent vfs.ID, name string) {
	b := tx.Node(in.Aside)
	if b == nil || !IsMedia(n) || !IsMedia(b) || len(b.MediaId) == 0 || bytes.Equal(b.MediaId, n.MediaId) ||
		tx.Links(in.Aside) != 1 {
		return
	}
	for nm := range tx.Names(in.Aside) {
		if nm.Folder != parent || BackedUp(nm.Name) != name {
			return
		}
	}
	fresh, media := n.MediaId, b.MediaId
	mergeSaid(tx, fresh, media)
	n.MediaId, n.Btime = media, b.Btime
	// a backup that is deleted at once is not worth the trash: its bytes are a version
	b.MediaId, b.Btime = fresh, in.Time
	tx.Store(record.NodeKey(in.Aside), b)
	tx.Store(record.MediaKey(fresh), &record.Media{CopiedFrom: media})
	if b.Head.GetSize() > 0 {
		addVersion(
			tx, media,
			&record.Version{Head: b.Head, Time: in.Time, Node: in.Aside, Mtime: b.Mtime, Reason: ReplacedByRename},
		)
	}
}
