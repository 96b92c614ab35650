package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
)

// FuzzIntent runs what an outbox may hold after the disk lied, or another version wrote it, on a
// small library. Each is carried out or refused; none crashes or hangs.
func FuzzIntent(f *testing.F) {
	now := &record.Time{Seconds: 1e9}
	head := &record.Head{Size: 3, Extents: []*record.Extent{{Length: 3, Content: make([]byte, 16)}}}
	for kind := range intent.Kind_name {
		for _, in := range []*intent.Intent{
			{},
			{Node: 10, Parent: 1, Name: []byte("file"), NewParent: 11, NewName: []byte("new"), Time: now, SpareId: 99, Trash: true, Mode: 0o100644},
			{Node: 11, Parent: 1, Name: []byte("folder"), NewParent: 12, NewName: []byte("in itself"), Time: now, Flags: 2, Over: 12},
			{Node: 10, Parent: 12, Name: []byte("x"), NewParent: 1, NewName: []byte("file"), Time: now, MediaId: make([]byte, 16), Head: head, Restore: true,
				Change: &intent.Change{Mtime: now, Mode: proto.Uint32(1 << 31)}, Contents: []*intent.Content{{Id: []byte("short"), Content: &record.Content{Size: 1 << 63}}, {}}},
		} {
			in.Kind = intent.Kind(kind)
			b, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	store, err := bucket.Create(context.Background(), mem.New(mem.Options{}), bucket.Options{})
	if err != nil {
		f.Fatal(err)
	}
	cat, err := catalog.Open(
		context.Background(),
		catalog.Options{
			Dir:     filepath.Join(f.TempDir(), "catalog"),
			Store:   store,
			Machine: []byte("m"),
			Run:     engine.Rerun,
			Init:    func() []remote.Record { return engine.InitialRecords(0, 0, vfs.Time{}) },
		},
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { cat.Close() })
	media := binary.BigEndian.AppendUint64(make([]byte, 8), 10)
	err = cat.Update(context.Background(), nil, func(tx *catalog.Tx) error {
		for id, n := range map[uint64]*record.Node{10: {Mode: 0o100644, MediaId: media, Head: head, Btime: now}, 11: {Mode: 0o040755}, 12: {Mode: 0o040755}} {
			tx.Store(record.NodeKey(id), n)
		}
		tx.Store(record.DentryKey(1, "file"), &record.Dentry{Node: 10, Kind: 8})
		tx.Store(record.DentryKey(1, "folder"), &record.Dentry{Node: 11, Kind: 4})
		tx.Store(record.DentryKey(11, "inner"), &record.Dentry{Node: 12, Kind: 4})
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	undone := errors.New("only a try")
	f.Fuzz(func(t *testing.T, b []byte) {
		ran := false
		err := cat.Update(context.Background(), nil, func(tx *catalog.Tx) error {
			ran = true
			return errors.Join(engine.Rerun(tx, b), tx.Err(), undone)
		})
		if !ran || !errors.Is(err, undone) {
			t.Errorf("%x: %v", b, err)
		}
	})
}
