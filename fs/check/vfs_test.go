package check

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/facts"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
)

// sayings reads something out of any bytes.
type sayings struct{}

func (sayings) Extract(context.Context, facts.Source) (remote.MediaFacts, *remote.FactsDocument, error) {
	return remote.MediaFacts{
			Type:  "image/jpeg",
			Width: 3,
		}, &remote.FactsDocument{
			EXIF: map[string]any{"Make": "x"},
		}, nil
}

// A library that the file system made is sound, while it is in use and after.
func TestLibraryOfTheFileSystem(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := mem.New(mem.Options{})
	store, err := bucket.Create(ctx, b, bucket.Options{ChunkSize: 1 << 20})
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(err)
	dir := t.TempDir()
	early := time.Now().Add(-time.Hour) // a media that is deleted young is not put into the trash
	var late atomic.Bool
	lib, err := engine.Open(ctx, engine.Options{
		Store:    store,
		Catalog:  catalog.Options{Dir: filepath.Join(dir, "catalog"), Machine: []byte("m")},
		Cache:    block.Options{Dir: filepath.Join(dir, "cache")},
		SpoolDir: filepath.Join(dir, "spool"),
		Trash:    24 * time.Hour,
		Now: func() time.Time {
			if late.Load() {
				return time.Now()
			}
			return early
		},
		Host:       "testhost",
		Facts:      sayings{},
		FactsDelay: time.Millisecond,
	})
	ok(err)
	me := vfs.Caller{UID: 1000, GID: 100}
	write := func(parent vfs.ID, name string, data []byte) {
		t.Helper()
		_, f, err := lib.Create(ctx, me, parent, name, 0o644, uint32(os.O_RDWR))
		ok(err)
		_, err = f.Write(ctx, data, 0)
		ok(err)
		ok(f.Flush(ctx, me))
		f.Release()
	}
	folder, err := lib.Mkdir(ctx, me, vfs.Root, "DCIM", 0o755)
	ok(err)
	for _, name := range []string{"a.jpg", "b.jpg", "c.jpg"} {
		write(folder.ID, name, []byte("photo "+name))
	}
	// its checksums are beside it
	write(vfs.Root, "film.mov", bytes.Repeat([]byte("frame"), (record.MaxInlineSums+1)*blockSize/5))
	a, err := lib.Lookup(ctx, folder.ID, "a.jpg")
	ok(err)
	_, err = lib.Link(ctx, me, a.ID, vfs.Root, "hard.jpg")
	ok(err)
	_, err = lib.Symlink(ctx, me, vfs.Root, "soft", []byte("DCIM"))
	ok(err)
	ok(lib.SetXattr(ctx, me, a.ID, "user.x", []byte("1"), 0))
	late.Store(true)
	ok(lib.Rename(ctx, me, folder.ID, "b.jpg", folder.ID, "d.jpg", 0))
	ok(lib.Unlink(ctx, me, folder.ID, "c.jpg"))
	f, err := lib.Open(ctx, me, a.ID, uint32(os.O_WRONLY|os.O_TRUNC))
	ok(err)
	_, err = f.Write(ctx, []byte("edited"), 0)
	ok(err)
	ok(f.Flush(ctx, me))
	f.Release()

	check := func(when string) {
		t.Helper()
		r, err := Check(ctx, Options{Store: store, Data: true, TempDir: t.TempDir()})
		ok(err)
		if len(r.Findings) != 0 || r.Trash != 1 || r.Versions.Count != 1 || r.Media.Count != 4 ||
			r.Contents.Count < 5 ||
			r.Read != r.Contents {
			t.Errorf("%s: %+v", when, r)
		}
	}
	check("in use")

	// What was said of media, what their bytes say, and a folder in the trash are sound as well.
	comment, err := media.AttachComment(remote.Comment{User: "ana", Text: "nice"})
	ok(err)
	ok(
		lib.EditMedia(
			ctx,
			me,
			a.ID,
			vfs.MediaChange{
				Edits:    []media.Edit{{Field: "title", Do: media.Set, Value: "A title"}},
				Attached: []media.Attachment{comment},
			},
		),
	)
	for !lib.FactsIdle() {
		time.Sleep(time.Millisecond)
	}
	if m, err := lib.Media(ctx, a.ID); err != nil || m.Facts == nil || m.Counts.Comments != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	r, err := Check(ctx, Options{Store: store, Data: true, TempDir: t.TempDir()})
	ok(err)
	if len(r.Findings) != 0 || r.Media.Count != 4 {
		t.Errorf("with facts and comments: %+v", r)
	}
	old, err := lib.Mkdir(ctx, me, folder.ID, "old", 0o755)
	ok(err)
	write(old.ID, "in it", []byte("deleted with its folder"))
	_, err = lib.TrashName(ctx, me, folder.ID, "old")
	ok(err)
	r, err = Check(ctx, Options{Store: store, Data: true, TempDir: t.TempDir()})
	ok(err)
	if len(r.Findings) != 0 || r.Trash != 2 || r.Media.Count != 5 {
		t.Errorf("with a folder in the trash: %+v", r)
	}
	var entries []uint64
	ok(lib.TrashEntries(ctx, func(e vfs.TrashEntry) bool { entries = append(entries, e.Entry); return true }))
	for _, e := range entries {
		ok(lib.Purge(ctx, me, e))
	}
	r, err = Check(ctx, Options{Store: store, Data: true, TempDir: t.TempDir()})
	ok(err)
	if len(r.Findings) != 0 || r.Trash != 0 || r.Media.Count != 3 {
		t.Errorf("with an empty trash: %+v", r)
	}
	ok(lib.Flush(ctx))
	ok(lib.Close())
	if r, err = Check(ctx, Options{Store: store, Data: true, TempDir: t.TempDir()}); err != nil ||
		len(r.Findings) != 0 {
		t.Errorf("closed: %+v, %v", r, err)
	}
}
