package operation

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Reasons of a version.
const (
	ReplacedByEdit   = 1
	ReplacedByRename = 2
	LateBytes        = 3
	ReplacedByOlder  = 4 // a version was made the head again
)

// maxVersions is how many versions a media keeps at most, so that it can be deleted in one commit;
// the oldest go first.
const maxVersions = 50

// Retained tells which versions of a media are kept, given when each stopped being the head,
// ascending: all of the last hour, the last one of each hour for a day, the last one of each day
// (UTC) for 30 days, at most 50.
func Retained(times []vfs.Time, now vfs.Time) []bool {
	keep := make([]bool, len(times))
	kept, slot := 0, int64(-1) // what the next older one would share: an hour or a day
	for i := len(times) - 1; i >= 0 && kept < maxVersions; i-- {
		at := times[i].Std()
		age, of := now.Std().Sub(at), int64(-1)
		switch {
		case age > 30*24*time.Hour:
			continue
		case age > 24*time.Hour:
			of = at.Unix() / (24 * 3600)
		case age > time.Hour:
			of = at.Unix()/3600 + 1<<40 // never a day's number
		}
		if of >= 0 && of == slot {
			continue
		}
		slot = of
		keep[i] = true
		kept++
	}
	return keep
}

// addVersion keeps a head, and lets go of those versions whose time is over.
func addVersion(tx *catalog.Tx, media []byte, v *record.Version) {
	n := uint64(1)
	if k, _ := tx.Last(record.VersionPrefix(media)); len(k) == 1+len(media)+8 {
		n = binary.BigEndian.Uint64(k[1+len(media):]) + 1
	}
	var keys [][]byte
	var times []vfs.Time
	for k := range tx.Records(record.VersionPrefix(media)) {
		var old record.Version
		if tx.Load(k, &old) && old.Node == v.Node && sameBytes(old.Head, v.Head) {
			return // the same bytes once more: an upload whose answer came too late was repeated
		}
		keys, times = append(keys, k), append(times, Unstamp(old.Time))
	}
	keep := Retained(append(times, Unstamp(v.Time)), Unstamp(v.Time))
	for i, k := range keys {
		if !keep[i] {
			tx.Delete(k)
		}
	}
	tx.Store(record.VersionKey(media, n), v)
}

func runRestoreVersion(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return Missing(tx, "restore version", in.Node)
	}
	if unseenHead(tx, in, in.Node) {
		return newerNode(tx, "restore version", in.Node)
	}
	key := record.VersionKey(n.MediaId, in.Number)
	var v record.Version
	found := len(n.MediaId) > 0 && tx.Load(key, &v)
	if len(in.Value) > 0 && (!found || TargetOf(v.Head) != string(in.Value)) {
		// Numbers are given where the versions come into being: by now it may have another.
		found = false
		for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
			v.Reset()
			if tx.Load(k, &v) && TargetOf(v.Head) == string(in.Value) {
				key, found = k, true
				break
			}
		}
	}
	if !found {
		return remote.E("restore version", fmt.Sprint(in.Number), remote.NotExist, tx.Err())
	}
	if n.Head.GetSize() > 0 {
		addVersion(
			tx, n.MediaId,
			&record.Version{Head: n.Head, Time: in.Time, Node: in.Node, Mtime: n.Mtime, Reason: ReplacedByOlder},
		)
	}
	if tx.Get(key) != nil {
		tx.Delete(key)
	}
	head := v.Head
	if head == nil {
		head = new(record.Head)
	}
	head.Time, head.Client = in.Time, in.Client
	n.Head, n.Ctime = head, in.Time
	if v.Mtime != nil {
		n.Mtime = v.Mtime
	}
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// LivesOn tells whether a media that was node's went over to another node by a rename. That leaves
// a version, of which the newest stays for as long as the media does, and a media that ends takes
// all its versions along.
func LivesOn(tx *catalog.Tx, media []byte, node vfs.ID) bool {
	if len(media) == 0 {
		return false
	}
	if n := tx.Node(node); n != nil && !tx.Orphan(node) && bytes.Equal(n.MediaId, media) {
		return false
	}
	k, _ := tx.Last(record.VersionPrefix(media))
	return k != nil
}
