package engine_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
)

var (
	bg = context.Background()
	me = vfs.Caller{UID: 1000, GID: 100}
)

// clock is a time that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *clock) use(o *engine.Options)   { o.Now = c.now }

// The steps of these tests work in the root folder and fail the test.
type steps struct {
	*machine
	t testing.TB
}

func (m *machine) with(t testing.TB) steps { return steps{m, t} }

func (s steps) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// create makes a file and leaves it open with its bytes unsent.
func (s steps) create(name, data string) vfs.File {
	s.t.Helper()
	a, f, err := s.Create(bg, me, vfs.Root, name, 0o644, uint32(os.O_RDWR))
	s.ok(err)
	s.Forget(a.ID, 1)
	s.put(f, data, 0)
	return f
}

func (s steps) put(f vfs.File, data string, off int64) {
	s.t.Helper()
	if n, err := f.Write(bg, []byte(data), off); err != nil || n != len(data) {
		s.t.Fatalf("write: %d, %v", n, err)
	}
}

// write makes or replaces a file, as close leaves it.
func (s steps) write(name, data string) {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	if errors.Is(err, remote.NotExist) {
		f := s.create(name, data)
		s.close(f)
		return
	}
	s.ok(err)
	f, err := s.Open(bg, me, a.ID, uint32(os.O_WRONLY|os.O_TRUNC))
	s.ok(err)
	s.put(f, data, 0)
	s.close(f)
	s.Forget(a.ID, 1)
}

func (s steps) close(f vfs.File) {
	s.t.Helper()
	s.ok(f.Flush(bg, me))
	f.Release()
}

func (s steps) stat(name string) vfs.Attr {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	s.ok(err)
	s.Forget(a.ID, 1)
	return a
}

func (s steps) read(name string) string {
	s.t.Helper()
	a, err := s.Lookup(bg, vfs.Root, name)
	s.ok(err)
	defer s.Forget(a.ID, 1)
	f, err := s.Open(bg, me, a.ID, uint32(os.O_RDONLY))
	s.ok(err)
	defer f.Release()
	return s.readFile(f)
}

func (s steps) readFile(f vfs.File) string {
	s.t.Helper()
	var all []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(bg, buf, int64(len(all)))
		s.ok(err)
		if n == 0 {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func (s steps) rename(from, to string) {
	s.t.Helper()
	s.ok(s.Rename(bg, me, vfs.Root, from, vfs.Root, to, 0))
}

func (s steps) unlink(name string) {
	s.t.Helper()
	s.ok(s.Unlink(bg, me, vfs.Root, name))
}

func (s steps) node(name string) (vfs.ID, *record.Node) {
	s.t.Helper()
	var id vfs.ID
	var n *record.Node
	s.ok(s.View(func(tx *catalog.Tx) error {
		if d := tx.Dentry(vfs.Root, name); d != nil {
			id, n = d.Node, tx.Node(d.Node)
		}
		return nil
	}))
	return id, n
}

// versions gives the kept versions of a media and what they hold.
func (s steps) versions(media []byte) (vs []*record.Version) {
	s.t.Helper()
	s.ok(s.View(func(tx *catalog.Tx) error {
		for k := range tx.Records(record.VersionPrefix(media)) {
			v := new(record.Version)
			tx.Load(k, v)
			vs = append(vs, v)
		}
		return tx.Err()
	}))
	return vs
}

func (s steps) trash() (es []*record.TrashEntry) {
	s.t.Helper()
	s.ok(s.View(func(tx *catalog.Tx) error {
		for k := range tx.Records([]byte{record.KeyTrash}) {
			e := new(record.TrashEntry)
			tx.Load(k, e)
			es = append(es, e)
		}
		return tx.Err()
	}))
	return es
}

func (s steps) bytesOf(b object.Bucket, h *record.Head) string {
	s.t.Helper()
	var out bytes.Buffer
	for _, e := range h.Extents {
		id := hex.EncodeToString(e.Content)
		r, _, err := b.Get(
			bg, "content/"+id[:2]+"/"+id, object.GetOptions{Offset: int64(e.ContentOffset), Length: int64(e.Length)},
		)
		s.ok(err)
		_, err = io.Copy(&out, r)
		s.ok(err)
		r.Close()
	}
	return out.String()
}
