package catalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog/index"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The operations of these tests: intents are words. "add K N" adds N to the number under setting K;
// "name F S N" gives node N the name S in folder F and fails when the name is taken, or late takes
// the next free one.
func runWord(tx *Tx, intent []byte) error {
	var k, s string
	var a, b uint64
	switch f := strings.Fields(string(intent)); f[0] {
	case "add":
		k = f[1]
		fmt.Sscan(f[2], &a)
		v := tx.Get(record.SettingKey(k))
		n := uint64(0)
		if v != nil {
			n = binary.BigEndian.Uint64(v)
		}
		tx.Put(record.SettingKey(k), binary.BigEndian.AppendUint64(nil, n+a))
	case "name":
		fmt.Sscan(f[1], &a)
		s = f[2]
		fmt.Sscan(f[3], &b)
		for tx.Dentry(a, s) != nil {
			if !tx.Late() {
				return remote.E("name", s, remote.Exist, nil)
			}
			s += "'"
		}
		tx.Store(record.NodeKey(b), &record.Node{Mode: 0o100644})
		tx.Store(record.DentryKey(a, s), &record.Dentry{Node: b, Kind: 8})
	case "unname":
		fmt.Sscan(f[1], &a)
		s = f[2]
		d := tx.Dentry(a, s)
		if d == nil {
			return remote.E("unname", s, remote.NotExist, nil)
		}
		tx.Delete(record.DentryKey(a, s))
		tx.Delete(record.NodeKey(d.Node))
	default:
		return remote.E("run", string(intent), remote.Invalid, nil)
	}
	return nil
}

// A world is one store and the machines on it.
type world struct {
	t     *testing.T
	mem   *mem.Bucket
	boot  atomic.Int64
	leaky bool                   // its catalogs are never closed: their goroutines stand still
	holes func(object.Info) bool // what listings leave out, for machines that are opened from now on
	older []string               // parts of a checkpoint that is not the newest
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, mem: mem.New(mem.Options{})}
	s, err := bucket.Create(t.Context(), w.mem, w.options())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	return w
}

func (w *world) options() bucket.Options {
	return bucket.Options{FirstPause: time.Microsecond, MaxPause: 50 * time.Microsecond, PartSize: 4 << 10,
		Boot: func() time.Duration { return time.Duration(w.boot.Load()) }}
}

type box struct {
	*Catalog
	t   *testing.T
	bad *storetest.Faulty
	dir string
}

func (w *world) open(dir string, change ...func(*Options)) *box {
	w.t.Helper()
	b, err := w.try(dir, change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) try(dir string, change ...func(*Options)) (*box, error) {
	w.t.Helper()
	bad := storetest.New(w.mem)
	bad.SetHoles(w.holes)
	s, err := bucket.Open(w.t.Context(), bad, w.options())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	c, err := Open(ctx, w.catalog(dir, append([]func(*Options){func(o *Options) { o.Store = s }}, change...)...))
	if err != nil {
		return nil, err
	}
	b := &box{Catalog: c, t: w.t, bad: bad, dir: dir}
	if !w.leaky {
		w.t.Cleanup(func() {
			b.indexed(w.t) // whatever the test did: the index is right
			c.Close()
		})
	}
	return b, nil
}

// store opens the library.
func (w *world) store(bad *storetest.Faulty) *bucket.Store {
	w.t.Helper()
	s, err := bucket.Open(w.t.Context(), bad, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// catalog is how a catalog is opened; Store is for change to say.
func (w *world) catalog(dir string, change ...func(*Options)) Options {
	log := logrus.New()
	log.SetOutput(io.Discard)
	opt := Options{
		Dir:            dir,
		Machine:        []byte("m"),
		Run:            runWord,
		PollInterval:   5 * time.Millisecond,
		RetryInterval:  time.Millisecond,
		AttemptTimeout: 20 * time.Millisecond,
		Log:            logrus.NewEntry(log),
		Init: func() []remote.Record {
			b, _ := proto.Marshal(&record.Node{Mode: 0o40755})
			return []remote.Record{{Key: record.NodeKey(record.Root), Value: b}}
		},
	}
	for _, f := range change {
		f(&opt)
	}
	if s, ok := opt.Store.(*bucket.Store); ok && opt.Library == "" {
		opt.Library = s.Facts().Library
	}
	return opt
}

func (b *box) word(format string, a ...any) error {
	intent := []byte(fmt.Sprintf(format, a...))
	return b.Update(b.t.Context(), intent, func(tx *Tx) error { return runWord(tx, intent) })
}

func (b *box) must(format string, a ...any) {
	b.t.Helper()
	if err := b.word(format, a...); err != nil {
		b.t.Fatalf(format+": %v", append(a, err)...)
	}
}

// abandon runs an operation whose caller is killed while the store is away.
func (b *box) abandon(intent string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	err := b.Update(ctx, []byte(intent), func(tx *Tx) error { return b.opt.Run(tx, []byte(intent)) })
	if !errors.Is(err, remote.Interrupted) {
		b.t.Fatalf("%s, abandoned: %v", intent, err)
	}
}

func (b *box) number(k string) (n uint64) {
	b.t.Helper()
	b.view(func(tx *Tx) {
		if v := tx.Get(record.SettingKey(k)); v != nil {
			n = binary.BigEndian.Uint64(v)
		}
	})
	return n
}

func (b *box) view(fn func(tx *Tx)) {
	b.t.Helper()
	if err := b.View(func(tx *Tx) error { fn(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// catches waits until this machine has applied what another has.
func (b *box) catches(seq uint64) {
	b.t.Helper()
	for i := 0; b.applied() < seq; i++ {
		if i > 20000 {
			b.t.Fatalf("commit %d was not applied: %+v", seq, b.Status())
		}
		time.Sleep(time.Millisecond)
	}
}

// dump is everything replicated and derived, for comparisons. Places in listings differ from
// machine to machine and are left out; so is the index, which may be behind.
func (b *box) dump() map[string]string {
	b.t.Helper()
	m := make(map[string]string)
	b.view(func(tx *Tx) {
		for _, class := range []byte{classRecord, classDerived} {
			for k, v := range tx.scan([]byte{class}, []byte{class}, true) {
				key := string(k)
				if class == classDerived && (k[1] == index.PostingLetter || k[1] == index.MediaLetter) {
					continue
				}
				if class == classDerived && k[1] == listingLetter {
					key = key[:10] + key[18:]
				}
				m[key] = string(v)
			}
		}
	})
	return m
}

func sameDump(t *testing.T, what string, a, b map[string]string) {
	t.Helper()
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			t.Errorf("%s: key %q: %q against %q (there: %v)", what, k, v, w, ok)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			t.Errorf("%s: key %q is there too much", what, k)
		}
	}
}

// image copies a catalog's directory as a crash of its process would leave it: everything written
// is there, nothing was closed.
func image(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if info.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copySparse(path, filepath.Join(to, rel))
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// copySparse copies a file without its holes, of which Badger's logs have tens of MiB.
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	for end := int64(0); ; {
		data, err := unix.Seek(int(src.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return dst.Truncate(st.Size())
		}
		if err != nil {
			return err
		}
		if end, err = unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, end-data)); err != nil {
			return err
		}
	}
}

// stopAt makes a Step that blocks for ever, once, at the nth passing of a point, and tells when it
// is there.
func stopAt(t *testing.T, point string, nth int) (step func(string), there chan struct{}) {
	there = make(chan struct{})
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	var mu sync.Mutex
	n := 0
	return func(p string) {
		if p != point {
			return
		}
		mu.Lock()
		n++
		hit := n == nth
		mu.Unlock()
		if hit {
			close(there)
			<-forever
		}
	}, there
}

// away is a log whose store cannot be reached.
type away struct{ remote.Log }

func (away) OpenCheckpointBefore(context.Context, uint64) (remote.Checkpoint, error) {
	return nil, remote.E("open checkpoint", "", remote.Unavailable, nil)
}
