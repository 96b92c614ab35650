package check

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// A library is one in memory whose log these tests write by hand: its commits say what they like.
type library struct {
	t     *testing.T
	mem   *mem.Bucket
	bad   *storetest.Faulty // what store goes through
	store *bucket.Store
	ahead atomic.Int64 // of the store's clock, in ns
	seq   uint64
	hash  []byte
	boot  atomic.Int64
}

const day = 24 * time.Hour

func newLibrary(t *testing.T) *library {
	l := &library{t: t}
	l.mem = mem.New(mem.Options{Now: l.now})
	l.bad = storetest.New(l.mem)
	var err error
	l.store, err = bucket.Create(t.Context(), l.bad, l.bucketOptions())
	l.ok(err)
	t.Cleanup(func() { l.store.Close() })
	return l
}

func (l *library) bucketOptions() bucket.Options {
	return bucket.Options{FirstPause: time.Microsecond, MaxPause: 50 * time.Microsecond, PartSize: 4 << 10,
		Boot: func() time.Duration { return time.Duration(l.boot.Load()) }}
}

func (l *library) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

// passes lets time go by in the store.
func (l *library) passes(d time.Duration) {
	l.ahead.Add(int64(d))
	l.boot.Add(int64(d))
}

func (l *library) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// writes of a commit: key → value, nil deletes.
type writes map[string][]byte

func (w writes) set(key []byte, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	w[string(key)] = b
}

func (w writes) name(folder uint64, name string, node uint64, kind uint32) {
	w.set(record.DentryKey(folder, name), &record.Dentry{Node: node, Kind: kind})
}

func (l *library) commit(w writes) {
	l.t.Helper()
	c := &record.Commit{Previous: l.hash, Time: &record.Time{Seconds: l.now().Unix()}}
	for _, k := range slices.Sorted(maps.Keys(w)) {
		c.Writes = append(c.Writes, &record.Write{Key: []byte(k), Value: w[k], Delete: w[k] == nil})
	}
	body, err := record.EncodeCommit(c)
	l.ok(err)
	l.ok(l.store.Append(l.t.Context(), l.seq+1, body))
	l.seq, l.hash = l.seq+1, record.Hash(body)
}

// content uploads bytes under an id made of one letter, and gives its record. With side, the block
// checksums go into a side object.
func (l *library) content(letter byte, data []byte, side bool) (id []byte, rec *record.Content) {
	l.t.Helper()
	id = bytes.Repeat([]byte{letter}, 16)
	var list []byte
	for off := 0; off < len(data); off += blockSize {
		list = binary.BigEndian.AppendUint32(list, crc32.Checksum(data[off:min(off+blockSize, len(data))], castagnoli))
	}
	rec = &record.Content{Size: uint64(len(data)), Crc32: crc32.ChecksumIEEE(data), HasCrc32: true}
	up, err := l.store.StartUpload(l.t.Context(), remote.UploadSpec{ID: contentID(id).String(), Size: int64(len(data))})
	l.ok(err)
	l.ok(up.PutChunk(l.t.Context(), 0, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))))
	rid, err := up.Commit(l.t.Context(), 1, int64(len(data)))
	l.ok(err)
	if rec.BlockSums = list; side {
		l.ok(l.store.PutSide(l.t.Context(), rid, bucket.SuffixSum, list))
		sum := sha256.Sum256(list)
		rec.BlockSums, rec.SideSum = nil, sum[:]
	}
	return id, rec
}

func whole(id []byte, c *record.Content) *record.Head {
	return &record.Head{Size: c.Size, Extents: []*record.Extent{{Length: c.Size, Content: id}}}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// Node ids, media ids and content ids of furnish.
const (
	dcim    = 2
	photo   = 3 // /link.jpg, and /DCIM/a.jpg: content A, version 1 is content C
	film    = 4 // /DCIM/film.mov: content B, with a side object
	binned  = 5 // in the trash: content D
	import_ = 6 // /import.tif: in place
	soft    = 7 // /soft
)

var photoMedia = bytes.Repeat([]byte{0x33}, 16)

func at(letter byte) string {
	return "content/" + contentID(bytes.Repeat([]byte{letter}, 16)).String()[:2] + "/" + contentID(
		bytes.Repeat([]byte{letter}, 16),
	).String()
}

// furnish puts one of each thing into the library, in two commits.
func (l *library) furnish() {
	l.t.Helper()
	now := &record.Time{Seconds: l.now().Unix()}
	a, ra := l.content('A', pattern(600<<10), false)
	b, rb := l.content('B', pattern(300<<10), true)
	c, rc := l.content('C', []byte("an older photo"), false)
	d, rd := l.content('D', []byte("deleted"), false)
	info, err := l.mem.Put(
		l.t.Context(), "old/scan.tif", strings.NewReader("imported in place"), 17, object.PutOptions{},
	)
	l.ok(err)
	e := bytes.Repeat([]byte{'E'}, 16)
	re := &record.Content{
		Size:     17,
		Crc32:    crc32.ChecksumIEEE([]byte("imported in place")),
		HasCrc32: true,
		External: &record.External{Key: "old/scan.tif", Etag: info.ETag},
	}

	w := writes{}
	w.set(record.NodeKey(record.Root), &record.Node{Mode: 0o40755})
	w.set(record.NodeKey(dcim), &record.Node{Mode: 0o40755})
	w.name(record.Root, "DCIM", dcim, kindFolder)
	l.commit(w)

	w = writes{}
	for id, rec := range map[string]*record.Content{string(a): ra, string(b): rb, string(c): rc, string(d): rd, string(e): re} {
		w.set(record.ContentKey([]byte(id)), rec)
	}
	w.set(record.NodeKey(photo), &record.Node{Mode: 0o100644, Head: whole(a, ra), MediaId: photoMedia})
	w.set(record.VersionKey(photoMedia, 1), &record.Version{Head: whole(c, rc), Time: now, Node: photo})
	w.set(record.MediaKey(photoMedia), &record.Media{Edited: now})
	w.set(record.XattrKey(photo, "user.x"), &record.Xattr{Value: []byte("1")})
	w.name(dcim, "a.jpg", photo, kindMedia)
	w.name(record.Root, "link.jpg", photo, kindMedia)
	w.set(
		record.NodeKey(film), &record.Node{Mode: 0o100644, Head: whole(b, rb), MediaId: bytes.Repeat([]byte{0x44}, 16)},
	)
	w.name(dcim, "film.mov", film, kindMedia)
	w.set(
		record.NodeKey(binned),
		&record.Node{Mode: 0o100644, Head: whole(d, rd), MediaId: bytes.Repeat([]byte{0x55}, 16)},
	)
	w.set(record.TrashKey(100), &record.TrashEntry{Node: binned, Parent: dcim, Name: []byte("gone.jpg"), Deleted: now})
	w.set(
		record.NodeKey(import_),
		&record.Node{Mode: 0o100644, Head: whole(e, re), MediaId: bytes.Repeat([]byte{0x66}, 16)},
	)
	w.name(record.Root, "import.tif", import_, kindMedia)
	w.set(record.NodeKey(soft), &record.Node{Mode: 0o120777, Target: []byte("DCIM/a.jpg")})
	w.name(record.Root, "soft", soft, kindSymlink)
	l.commit(w)
}

// checkpoint writes the checkpoint after the newest commit, as a mount would; change may alter its
// records, nil leaves one out.
func (l *library) checkpoint(change ...func(key, value []byte) []byte) {
	l.t.Helper()
	l.checkpointOf(func(yield func(remote.Record) bool, k, v []byte) bool {
		for _, f := range change {
			v = f(k, v)
		}
		return v == nil || yield(remote.Record{Key: k, Value: v})
	})
}

// checkpointOf writes what each yields for the records of the library.
func (l *library) checkpointOf(each func(yield func(remote.Record) bool, k, v []byte) bool) {
	l.t.Helper()
	r, err := newReplica(Options{Store: l.store, TempDir: l.t.TempDir(), Pause: time.Millisecond})
	l.ok(err)
	defer r.close()
	l.ok(r.catchUp(l.t.Context()))
	l.ok(r.cat.View(func(tx *catalog.Tx) error {
		_, err := l.store.WriteCheckpoint(l.t.Context(), l.seq, l.hash, func(yield func(remote.Record, error) bool) {
			for k, v := range tx.Records(nil) {
				if !each(func(r remote.Record) bool { return yield(r, nil) }, k, v) {
					return
				}
			}
		})
		return err
	}))
}

func (l *library) delete(keys ...string) {
	l.t.Helper()
	for _, k := range keys {
		_, err := l.mem.Head(l.t.Context(), k)
		l.ok(err)
	}
	l.ok(l.mem.Delete(l.t.Context(), keys...))
}

// replace gives an object other bytes.
func (l *library) replace(key string, change func(b []byte) []byte) {
	l.t.Helper()
	b := change(l.get(key))
	_, err := l.mem.Put(l.t.Context(), key, bytes.NewReader(b), int64(len(b)), object.PutOptions{})
	l.ok(err)
}

func (l *library) get(key string) []byte {
	l.t.Helper()
	r, _, err := l.mem.Get(l.t.Context(), key, object.GetOptions{Length: -1})
	l.ok(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	l.ok(err)
	return b
}

// everything is the whole bucket: key → bytes.
func (l *library) everything() map[string]string {
	l.t.Helper()
	all := map[string]string{}
	for _, i := range l.list("") {
		all[i.Key] = string(l.get(i.Key))
	}
	return all
}

func (l *library) list(prefix string) []object.Info {
	l.t.Helper()
	page, more, err := l.mem.List(l.t.Context(), prefix, "", 100000)
	l.ok(err)
	if more {
		l.t.Fatal("more objects than expected")
	}
	return page
}

// only gives the one key with a prefix.
func (l *library) only(prefix string) string {
	l.t.Helper()
	page := l.list(prefix)
	if len(page) != 1 {
		l.t.Fatalf("%d objects under %s", len(page), prefix)
	}
	return page[0].Key
}

func flip(at int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[at] ^= 1
		return b
	}
}

func (l *library) options(change ...func(*Options)) Options {
	l.t.Helper()
	// As another machine: what this one knows of the log from writing it does not help.
	s, err := bucket.Open(
		l.t.Context(), l.bad, func() bucket.Options { o := l.bucketOptions(); o.ReadOnly = true; return o }(),
	)
	l.ok(err)
	o := Options{Store: s, TempDir: l.t.TempDir(), Pause: time.Millisecond, RangeSize: 1}
	for _, f := range change {
		f(&o)
	}
	return o
}

func (l *library) check(change ...func(*Options)) Report {
	l.t.Helper()
	o := l.options(change...)
	r, err := Check(l.t.Context(), o)
	l.ok(err)
	l.nothingLeft(o.TempDir)
	return r
}

func withData(o *Options) { o.Data = true }

func (l *library) nothingLeft(dir string) {
	l.t.Helper()
	if left := glob(l.t, dir); len(left) != 0 {
		l.t.Errorf("left in the temporary directory: %v", left)
	}
}

// addRecord writes the checkpoint of the newest commit with one record more than the library has.
func (l *library) addRecord(more remote.Record) {
	l.t.Helper()
	last := []byte(nil)
	l.checkpointOf(func(yield func(remote.Record) bool, k, v []byte) bool {
		if bytes.Compare(last, more.Key) < 0 && bytes.Compare(more.Key, k) < 0 && !yield(more) {
			return false
		}
		last = k
		return yield(remote.Record{Key: k, Value: v})
	})
}
