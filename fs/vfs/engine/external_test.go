package engine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/fs/fuse"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// importInPlace makes a library of media in the root folder, one a name, that are objects of
// somebody else.
func importInPlace(t *testing.T, b object.Bucket, media map[string]object.Info) {
	t.Helper()
	ctx := context.Background()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := bucket.Create(ctx, b, bucket.Options{CreateInForeign: true})
	ok(err)
	now := &record.Time{Seconds: time.Now().Unix()}
	c := &record.Commit{Time: now}
	set := func(key []byte, m proto.Message) {
		v, err := proto.Marshal(m)
		ok(err)
		c.Writes = append(c.Writes, &record.Write{Key: key, Value: v})
	}
	set(record.NodeKey(record.Root), &record.Node{Mode: 0o40777, Mtime: now})
	node := uint64(100)
	for name, info := range media {
		node++
		id := bytes.Repeat([]byte{byte(node)}, 16)
		set(
			record.ContentKey(id),
			&record.Content{Size: uint64(info.Size), External: &record.External{Key: info.Key, Etag: info.ETag}},
		)
		set(
			record.NodeKey(node),
			&record.Node{
				Mode:    0o100644,
				MediaId: bytes.Repeat([]byte{byte(node), 1}, 8),
				Mtime:   now,
				Head: &record.Head{
					Size:    uint64(info.Size),
					Extents: []*record.Extent{{Length: uint64(info.Size), Content: id}},
				},
			},
		)
		set(record.DentryKey(record.Root, name), &record.Dentry{Node: node, Kind: 8})
	}
	body, err := record.EncodeCommit(c)
	ok(err)
	ok(store.Append(ctx, 1, body))
	ok(store.Close())
}

// Media that are other people's objects are read in place and edited beside it: nothing is ever
// written to them, and once they are changed nothing of them is read as if it were what was
// imported.
func TestExternalContents(t *testing.T) {
	const size, key = 3 << 20, "shoot/2019/film.mov"
	b := mem.New(mem.Options{})
	want := []byte(noise(1, size))
	info, err := b.Put(bg, key, bytes.NewReader(want), size, object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	importInPlace(t, b, map[string]object.Info{"edited": info, "kept": info, "cut": info})
	m := &meter{Bucket: b}
	line := storetest.New(m)
	s := openMachine(t, line, t.TempDir(), hurried, func(o *engine.Options) {
		o.RewriteFrom, o.RewriteAfter = 5, 20*time.Millisecond
	}).with(t)
	defer s.Close()
	if s.read("kept") != string(want) {
		t.Error("it reads otherwise")
	}
	f := s.open("kept", os.O_RDONLY)
	for _, r := range [][2]int{{0, 1}, {262_100, 100}, {1_000_000, 700_000}, {size - 5, 100}, {size, 10}} {
		p := make([]byte, r[1])
		n, err := f.Read(bg, p, int64(r[0]))
		if err != nil || string(p[:n]) != string(want[r[0]:min(r[0]+r[1], size)]) {
			t.Errorf("%d bytes at %d: %d, %v", r[1], r[0], n, err)
		}
	}
	f.Release()

	edited := bytes.Clone(want)
	edit := func(off, n int, seed uint64) {
		t.Helper()
		f := s.open("edited", os.O_RDWR)
		copy(edited[off:], noise(seed, n))
		s.put(f, noise(seed, n), int64(off))
		s.close(f)
	}
	edit(1_000_000, 50_000, 2)
	if sent := m.sent.Load(); sent != 50_000 {
		t.Errorf("%d bytes were sent of an edit of 50,000", sent)
	}
	_, n := s.node("edited")
	if es := n.Head.Extents; len(es) != 3 || !bytes.Equal(es[0].Content, es[2].Content) ||
		bytes.Equal(es[0].Content, es[1].Content) {
		t.Errorf("extents %v", es)
	}
	if s.read("edited") != string(edited) || s.read("kept") != string(want) {
		t.Error("after the edit they read otherwise")
	}
	size2 := int64(2_000_000)
	_, err = s.SetAttr(bg, me, s.stat("cut").ID, nil, vfs.AttrChange{Size: &size2})
	s.ok(err)

	// Made whole behind, it does not need the object any more, and leaves it alone.
	for i := range 5 { // more than is left of it: else it would not be worth sending that
		edit(i*610_000, 600_000, uint64(3+i))
	}
	waitFor(t, func() bool { _, n := s.node("edited"); return len(n.Head.Extents) == 1 })
	o := openMachine(t, b, t.TempDir(), hurried).with(t)
	defer o.Close()
	if s.read("edited") != string(edited) || o.read("edited") != string(edited) || o.read("kept") != string(want) ||
		o.read("cut") != string(want[:size2]) {
		t.Error("made whole it reads otherwise")
	}
	s.unlink("cut")
	s.ok(s.Flush(bg))

	// Somebody puts another object in its place: as long, and with most of its bytes.
	own := 0 // pieces of it that were written since
	for _, other := range [][]byte{append(bytes.Clone(want[:size-1]), ^want[size-1]), want[:size/2], nil} {
		for _, c := range line.Calls() {
			if strings.HasPrefix(c.Key, "shoot/") && c.Op != storetest.Get && c.Op != storetest.Head {
				t.Errorf("%s of somebody else's object", c.Op)
			}
		}
		become(t, b, key, other)
		late := openMachine(t, line, t.TempDir(), hurried).with(t)
		g := late.open("kept", os.O_RDWR)
		right, errs := late.scan(g, want)
		if right != own {
			t.Errorf("%d pieces were read, %d are not the object's", right, own)
		}
		kind, errno, text := remote.Stale, syscall.ESTALE, "the object was replaced in the bucket"
		if other == nil {
			kind, errno, text = remote.Other, syscall.EIO, "the object is gone from the bucket"
		}
		told := func(s string) bool { return strings.Contains(s, key) && strings.Contains(s, text) }
		for _, err := range errs {
			if remote.KindOf(err) != kind || fuse.Errno(err) != errno || !told(err.Error()) {
				t.Errorf("it is told as %v", err)
				break
			}
		}
		if e := late.told("kept", "user.media.error"); len(errs) == 0 || !told(e) {
			t.Errorf("%d errors; user.media.error is %q", len(errs), e)
		}
		// It can be written to all the same, and what is here of it is read.
		late.put(g, string(want[1<<20:1<<20+128<<10]), 1<<20)
		late.ok(g.Fsync(bg))
		own = 2
		if right, _ := late.scan(g, want); right != own {
			t.Errorf("%d pieces are right of an edit of two", right)
		}
		g.Release()
		if got := late.read("edited"); got != string(edited) {
			t.Error("what does not need it reads otherwise")
		}
		late.ok(late.Close())
	}
	if _, err := b.Head(bg, key); !errors.Is(err, remote.NotExist) {
		t.Errorf("somebody else's object came back: %v", err)
	}
}
