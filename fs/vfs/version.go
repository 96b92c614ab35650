package vfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Reasons of a version.
const (
	replacedByEdit   = 1
	replacedByRename = 2
	lateBytes        = 3
	replacedByOlder  = 4 // a version was made the head again
)

var versionReasons = map[uint32]string{replacedByEdit: "edit", replacedByRename: "rename", lateBytes: "late", replacedByOlder: "restore"}

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

func versionNumber(key []byte) uint64 {
	if len(key) != 1+record.MediaIDSize+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[1+record.MediaIDSize:])
}

// Versions lists the kept versions of a media, oldest first.
func (fs *FS) Versions(_ context.Context, id ID) (vs []Version, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return missing(tx, "list versions", id)
		}
		if len(n.MediaId) == 0 {
			return remote.E("list versions", fmt.Sprint(id), remote.Unsupported, errors.New("only media have versions"))
		}
		for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
			var v record.Version
			if !tx.Load(k, &v) || versionNumber(k) == 0 {
				continue
			}
			out := Version{Number: versionNumber(k), Size: int64(v.Head.GetSize()), Mtime: unstamp(v.Mtime), Time: unstamp(v.Time), Reason: versionReasons[v.Reason]}
			for _, e := range v.Head.GetExtents() {
				out.Blocks += int64(e.Length+511) / 512
			}
			vs = append(vs, out)
		}
		return tx.Err()
	})
	return vs, err
}

// A versionFile is a version that is being read. It stays readable when the version is dropped meanwhile: contents outlive their last reference by days.
type versionFile struct {
	head    *record.Head
	layout  layout
	readers readers
}

// OpenVersion opens a version for reading.
func (fs *FS) OpenVersion(_ context.Context, id ID, number uint64) (File, error) {
	f := &versionFile{readers: readers{cache: fs.cache}}
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return missing(tx, "open version", id)
		}
		var v record.Version
		if !tx.Load(record.VersionKey(n.MediaId, number), &v) {
			return remote.E("open version", fmt.Sprint(number), remote.NotExist, tx.Err())
		}
		f.head = v.Head
		var err error
		f.layout, err = fs.layoutOf(tx, v.Head, 0, int64(v.Head.GetSize()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *versionFile) KeepCache() bool { return true } // a version never changes

func (f *versionFile) Read(ctx context.Context, p []byte, off int64) (int, error) {
	return f.layout.readAt(ctx, &f.readers, p, off)
}

func (f *versionFile) Write(context.Context, []byte, int64, bool) (int, error) {
	return 0, errVersion("write")
}
func (f *versionFile) Allocate(context.Context, uint32, int64, int64) error {
	return errVersion("allocate")
}
func (f *versionFile) CopyRange(context.Context, File, int64, int64, int64) (int64, error) {
	return 0, errVersion("copy")
}
func (f *versionFile) Flush(context.Context, Caller) error { return nil }
func (f *versionFile) Fsync(context.Context) error         { return nil }
func (f *versionFile) Release()                            { f.readers.close() }

// Seek finds data and holes by the version's extents.
func (f *versionFile) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	segs, size := headSegments(f.head)
	return seek(segs, size, off, whence)
}

func errVersion(op string) error {
	return remote.E(op, "", remote.Permission, errors.New("a version is not changed")).WithHint("mediafs versions restore makes it the head")
}

// RestoreVersion makes a version the head again; the present head is kept as one.
func (fs *FS) RestoreVersion(ctx context.Context, c Caller, id ID, number uint64) error {
	ino := fs.hold(id)
	defer fs.release(ino)
	if err := fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	if err := fs.uploadHeld(ctx, ino, false); err != nil {
		return err
	}
	if ino.isLocal() {
		return remote.E("restore version", fmt.Sprint(number), remote.Busy, errors.New("the media is being written"))
	}
	in := fs.newIntent(intent.Kind_RESTORE_VERSION, c)
	in.Node, in.Number = id, number
	err := fs.cat.View(func(tx *catalog.Tx) error {
		var v record.Version
		if n := tx.Node(id); n != nil && tx.Load(record.VersionKey(n.MediaId, number), &v) {
			in.Value = []byte(targetOf(v.Head))
		}
		return tx.Err()
	})
	if err == nil {
		_, err = fs.do(ctx, in)
	}
	if err != nil {
		return err
	}
	fs.announceNode(id)
	fs.facts.queue(id)
	return nil
}

func runRestoreVersion(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return missing(tx, "restore version", in.Node)
	}
	if unseenHead(tx, in, in.Node) {
		return newerNode(tx, "restore version", in.Node)
	}
	key := record.VersionKey(n.MediaId, in.Number)
	var v record.Version
	found := len(n.MediaId) > 0 && tx.Load(key, &v)
	if len(in.Value) > 0 && (!found || targetOf(v.Head) != string(in.Value)) {
		// Numbers are given where the versions come into being: by now it may have another.
		found = false
		for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
			v.Reset()
			if tx.Load(k, &v) && targetOf(v.Head) == string(in.Value) {
				key, found = k, true
				break
			}
		}
	}
	if !found {
		return remote.E("restore version", fmt.Sprint(in.Number), remote.NotExist, tx.Err())
	}
	if n.Head.GetSize() > 0 {
		addVersion(tx, n.MediaId, &record.Version{Head: n.Head, Time: in.Time, Node: in.Node, Mtime: n.Mtime, Reason: replacedByOlder})
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
