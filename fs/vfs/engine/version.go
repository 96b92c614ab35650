package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

var versionReasons = map[uint32]string{
	operation.ReplacedByEdit:   "edit",
	operation.ReplacedByRename: "rename",
	operation.LateBytes:        "late",
	operation.ReplacedByOlder:  "restore",
}

func versionNumber(key []byte) uint64 {
	if len(key) != 1+record.MediaIDSize+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[1+record.MediaIDSize:])
}

// Versions lists the kept versions of a media, oldest first.
func (fs *FS) Versions(_ context.Context, id vfs.ID) (vs []vfs.Version, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "list versions", id)
		}
		if len(n.MediaId) == 0 {
			return remote.E("list versions", fmt.Sprint(id), remote.Unsupported, errors.New("only media have versions"))
		}
		for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
			var v record.Version
			if !tx.Load(k, &v) || versionNumber(k) == 0 {
				continue
			}
			out := vfs.Version{
				Number: versionNumber(k),
				Size:   int64(v.Head.GetSize()),
				Mtime:  operation.Unstamp(v.Mtime),
				Time:   operation.Unstamp(v.Time),
				Reason: versionReasons[v.Reason],
			}
			for _, e := range v.Head.GetExtents() {
				out.Blocks += int64(e.Length+511) / 512
			}
			vs = append(vs, out)
		}
		return tx.Err()
	})
	return vs, err
}

// A versionFile is a version that is being read. It stays readable when the version is dropped
// meanwhile: contents outlive their last reference by days.
type versionFile struct {
	head    *record.Head
	layout  layout
	readers readers
}

// OpenVersion opens a version for reading.
func (fs *FS) OpenVersion(_ context.Context, id vfs.ID, number uint64) (vfs.File, error) {
	f := &versionFile{readers: readers{cache: fs.cache}}
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "open version", id)
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

func (f *versionFile) Write(context.Context, []byte, int64) (int, error) {
	return 0, errVersion("write")
}
func (f *versionFile) Allocate(context.Context, uint32, int64, int64) error {
	return errVersion("allocate")
}
func (f *versionFile) CopyRange(context.Context, vfs.File, int64, int64, int64) (int64, error) {
	return 0, errVersion("copy")
}
func (f *versionFile) Flush(context.Context, vfs.Caller) error { return nil }
func (f *versionFile) Fsync(context.Context) error             { return nil }
func (f *versionFile) Release()                                { f.readers.close() }

// Seek finds data and holes by the version's extents.
func (f *versionFile) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	segs, size := headSegments(f.head)
	return seek(segs, size, off, whence)
}

func errVersion(op string) error {
	return remote.E(op, "", remote.Permission, errors.New("a version is not changed")).
		WithHint("mediafs versions restore makes it the head")
}

// RestoreVersion makes a version the head again; the present head is kept as one.
func (fs *FS) RestoreVersion(ctx context.Context, c vfs.Caller, id vfs.ID, number uint64) error {
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
			in.Value = []byte(operation.TargetOf(v.Head))
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
