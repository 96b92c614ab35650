package vfs

import (
	"encoding/binary"
	"time"

	"mediafs/cache/catalog"
	"mediafs/remote/bucket/record"
)

// Reasons of a version.
const (
	replacedByEdit   = 1
	replacedByRename = 2
	lateBytes        = 3
)

// maxVersions is how many versions a media keeps at most, so that it can be deleted in one commit; the oldest go first.
const maxVersions = 50

// Retained tells which versions of a media are kept, given when each stopped being the head, ascending: all of the last hour, the last one of
// each hour for a day, the last one of each day (UTC) for 30 days, at most 50.
func Retained(times []Time, now Time) []bool {
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
	var times []Time
	for k := range tx.Records(record.VersionPrefix(media)) {
		var old record.Version
		if tx.Load(k, &old) && old.Node == v.Node && sameBytes(old.Head, v.Head) {
			return // the same bytes once more: an upload whose answer came too late was repeated
		}
		keys, times = append(keys, k), append(times, unstamp(old.Time))
	}
	keep := Retained(append(times, unstamp(v.Time)), unstamp(v.Time))
	for i, k := range keys {
		if !keep[i] {
			tx.Delete(k)
		}
	}
	tx.Store(record.VersionKey(media, n), v)
}
