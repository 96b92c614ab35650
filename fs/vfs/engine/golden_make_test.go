package engine_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
)

// A maker makes a golden tree: machines mount a library in a directory, one after the other, at a
// time that moves only when it is told to.
type maker struct {
	t   *testing.T
	dir string // where the library is made
	at  atomic.Int64
}

func (m *maker) now() time.Time       { return time.Unix(0, m.at.Load()) }
func (m *maker) pass(d time.Duration) { m.at.Add(int64(d)) }

func (m *maker) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// makeTree makes a tree and puts it in the place of what is there.
func makeTree(t *testing.T, name string, furnish func(m *maker)) {
	m := &maker{t: t, dir: filepath.Join(t.TempDir(), "library")}
	m.at.Store(time.Date(2024, 2, 29, 11, 22, 33, 123456789, time.UTC).UnixNano())
	store, err := bucket.Create(bg, openTree(t, m.dir, m.now), bucket.Options{Note: "golden tree of format 0: " + name})
	m.ok(err)
	m.ok(store.Close())
	furnish(m)
	m.ok(os.RemoveAll(filepath.Join(m.dir, ".mediafs-tmp")))
	into := filepath.Join(goldenDir, name, "library")
	m.ok(os.RemoveAll(into))
	m.ok(os.CopyFS(into, os.DirFS(m.dir)))
}

// machine mounts the library as a machine of that name; end unmounts it.
func (m *maker) machine(host string) (s steps, end func()) {
	m.t.Helper()
	id := sha256.Sum256([]byte(host))
	mc, err := mountTree(m.t, m.dir, m.now, func(o *engine.Options) {
		o.Host, o.Catalog.Machine = host, id[:]
		o.UID, o.GID, o.Trash, o.WholeBelow = 1000, 100, 30*24*time.Hour, 1
	})
	m.ok(err)
	return mc.with(m.t), func() {
		m.t.Helper()
		m.ok(mc.Flush(bg))
		m.ok(mc.shut())
	}
}

// The hands of a machine work with node ids, where steps work in the root.
func (s steps) folder(parent vfs.ID, name string, mode uint32) vfs.ID {
	s.t.Helper()
	a, err := s.Mkdir(bg, me, parent, name, mode)
	s.ok(err)
	return s.let(a)
}

func (s steps) let(a vfs.Attr) vfs.ID {
	s.Forget(a.ID, 1)
	return a.ID
}

func (s steps) media(parent vfs.ID, name string, data string) vfs.ID {
	s.t.Helper()
	a, f, err := s.Create(bg, me, parent, name, 0o644, uint32(os.O_RDWR))
	s.ok(err)
	if data != "" {
		s.put(f, data, 0)
	}
	s.close(f)
	return s.let(a)
}

func (s steps) special(name string, mode, rdev uint32) {
	s.t.Helper()
	a, err := s.Mknod(bg, me, vfs.Root, name, mode, rdev)
	s.ok(err)
	s.let(a)
}

func (s steps) set(id vfs.ID, ch vfs.AttrChange) {
	s.t.Helper()
	_, err := s.SetAttr(bg, me, id, nil, ch)
	s.ok(err)
}

func (s steps) attribute(id vfs.ID, name, value string) {
	s.t.Helper()
	s.ok(s.SetXattr(bg, me, id, name, []byte(value), 0))
}

// edit opens a media, does something to it and closes it.
func (s steps) edit(id vfs.ID, flags int, do func(f vfs.File)) {
	s.t.Helper()
	f, err := s.Open(bg, me, id, uint32(os.O_RDWR|flags))
	s.ok(err)
	do(f)
	s.close(f)
}

// numbered is text that compresses well and is nowhere the same.
func numbered(what string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s %07d\n", what, i)
	}
	return b.String()[:n]
}

// furnishWhole makes the tree whose log begins with commit 1: everything that this version does on
// its own.
func furnishWhole(m *maker) {
	s, end := m.machine("alpha")
	dcim := s.folder(vfs.Root, "DCIM", 0o755)
	trip := s.folder(dcim, "100-trip", 0o2775)
	s.folder(dcim, "empty folder", 0o700)
	s.folder(vfs.Root, "tmp", 0o1777)
	deep := trip
	for _, n := range []string{"a", "b", "c"} {
		deep = s.folder(deep, n, 0o755)
	}
	s.media(deep, "deep.txt", "at the bottom\n")
	s.media(vfs.Root, "empty", "")
	small := s.media(dcim, "small.txt", "Hello, library.\n")
	m.pass(time.Second)
	film := s.media(trip, "film.bin", numbered("block", 256<<10+2000))
	a, err := s.Link(bg, me, small, vfs.Root, "small again.txt")
	s.ok(err)
	s.let(a)
	a, err = s.Link(bg, me, small, trip, "small too.txt")
	s.ok(err)
	s.let(a)

	m.pass(time.Minute)
	a, err = s.Symlink(bg, me, vfs.Root, "link", []byte("DCIM/100-trip/\xff no such thing"))
	s.ok(err)
	link := s.let(a)
	s.special("fifo", 0o010640, 0)
	s.special("socket", 0o140755, 0)
	s.special("null", 0o020666, 0x0103)
	s.special("disk", 0o060660, 0x1234_56ff)
	for _, n := range []string{"\xff\xfe\x80 not UTF-8", "line\nbreak", " blanks ", "Größe 犬", strings.Repeat("n", record.MaxName), strings.Repeat("\xe9", record.MaxName)} {
		s.media(vfs.Root, n, "named "+fmt.Sprintf("%q", n[:5]))
	}
	old, late := vfs.Time{Sec: -2_208_988_800, Nsec: 1}, vfs.Time{Sec: 4_294_967_296, Nsec: 999_999_999}
	mode, uid, gid := uint32(0o6755), uint32(0), uint32(4_294_967_294)
	s.set(s.media(vfs.Root, "before 1970", "old"), vfs.AttrChange{Mtime: &old, Atime: &late})
	s.set(s.media(vfs.Root, "after 2106", "new"), vfs.AttrChange{Mtime: &late, Ctime: &old})
	s.set(s.media(vfs.Root, "setuid", "#!/bin/true\n"), vfs.AttrChange{UID: &uid, GID: &gid})
	program, _ := s.node("setuid")
	s.set(program, vfs.AttrChange{Mode: &mode})
	s.set(link, vfs.AttrChange{Mtime: &old})
	s.attribute(film, "user.binary", "\x00\xff\x00binary")
	s.attribute(film, "user.empty", "")
	s.attribute(dcim, "user.of a folder", "1")
	s.attribute(link, "trusted.of a symlink", "2")
	s.attribute(film, "user.removed", "3")
	s.ok(s.RemoveXattr(bg, me, film, "user.removed"))

	m.pass(time.Minute)
	sparse := s.media(vfs.Root, "sparse", "")
	s.edit(sparse, 0, func(f vfs.File) { s.put(f, "in the middle", 1<<20); s.put(f, "near the end", 3<<20) })
	size := int64(4<<20 + 1)
	s.set(sparse, vfs.AttrChange{Size: &size})
	s.set(s.media(vfs.Root, "only a hole", ""), vfs.AttrChange{Size: &size})
	cut := s.media(vfs.Root, "cut to nothing", "and gone")
	size = 0
	s.set(cut, vfs.AttrChange{Size: &size})
	s.media(vfs.Root, "deleted at once", "nobody keeps this")
	s.unlink("deleted at once")
	s.folder(vfs.Root, "removed folder", 0o755)
	s.ok(s.Rmdir(bg, me, vfs.Root, "removed folder"))

	// A version by an edit, one by a rename, one of late bytes.
	story := s.media(vfs.Root, "story.txt", "first\n")
	m.pass(20 * time.Minute)
	s.edit(story, os.O_TRUNC, func(f vfs.File) { s.put(f, "second\n", 0) })
	late1, err := s.Open(bg, me, story, uint32(os.O_RDWR))
	s.ok(err)
	s.media(vfs.Root, "story.txt~", "third\n")
	s.rename("story.txt~", "story.txt")
	m.pass(time.Second)
	s.put(late1, "LATE", 0)
	s.close(late1)
	s.media(vfs.Root, "swap", "was there")
	s.ok(s.Rename(bg, me, vfs.Root, "swap", dcim, "small.txt", vfs.RenameExchange))
	end()

	m.pass(48 * time.Hour)
	s, end = m.machine("beta")
	at, err := s.Lookup(bg, trip, "film.bin")
	s.ok(err)
	s.edit(at.ID, 0, func(f vfs.File) {
		s.put(f, numbered("edit", 5000), 100_000)
		s.ok(f.Allocate(bg, vfs.AllocatePunchHole|vfs.AllocateKeepSize, 200_000, 20_000))
	})
	s.let(at)
	s.media(vfs.Root, "for the bin", "thrown away\n")
	m.pass(11 * time.Minute)
	id, _ := s.node("for the bin")
	s.edit(id, os.O_TRUNC, func(f vfs.File) { s.put(f, "thrown away later\n", 0) })
	s.attribute(id, "user.why", "blurred")
	m.pass(time.Minute)
	s.edit(id, os.O_APPEND, func(f vfs.File) { s.put(f, "with a line more\n", 0) })
	s.unlink("for the bin")
	s.rename(" blanks ", "line\nbreak") // too old to be its next version
	s.ok(s.Rename(bg, me, trip, "a", dcim, "moved", 0))
	end()

	m.pass(time.Hour)
	s, end = m.machine("alpha") // in another catalog directory: a client of its own
	s.media(vfs.Root, "by the third client", "3\n")
	end()
}

// later adds what a later version of the program might: fields with numbers that no message has.
func later[M proto.Message](m M, text string) M {
	b := protowire.AppendTag(m.ProtoReflect().GetUnknown(), 1000, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte(text))
	b = protowire.AppendTag(b, 536_870_911, protowire.Fixed64Type)
	m.ProtoReflect().SetUnknown(protowire.AppendFixed64(b, 0xfedc_ba98_7654_3210))
	return m
}

// A scribe writes commits by hand, as a client that no program of today is.
type scribe struct {
	*maker
	bucket object.Bucket
	store  *bucket.Store
	client uint32
	op     uint64
}

func (m *maker) scribe(client uint32) *scribe {
	m.t.Helper()
	b := openTree(m.t, m.dir, m.now)
	store, err := bucket.Open(bg, b, bucket.Options{PartSize: 1 << 10})
	m.ok(err)
	return &scribe{maker: m, bucket: b, store: store, client: client}
}

func (s *scribe) session() []byte {
	sum := sha256.Sum256(fmt.Append(nil, "session of client ", s.client))
	return sum[:16]
}

// tip is the newest commit and its hash.
func (s *scribe) tip() (seq uint64, hash []byte) {
	s.t.Helper()
	for e, err := range s.store.Read(bg, 1) {
		s.ok(err)
		seq, hash = e.Seq, record.Hash(e.Body)
	}
	return seq, hash
}

// A writing is one record of a commit: a message, bytes as they are, or nil to delete the key.
type writing struct {
	key  []byte
	what any
}

// commit appends the writes as some operations of the author.
func (s *scribe) commit(author uint32, operations uint64, ws ...writing) {
	s.t.Helper()
	seq, hash := s.tip()
	c := &record.Commit{Author: author, Session: s.session(), Previous: hash, Time: s.time()}
	if author != 0 {
		c.FirstOperation, c.LastOperation = s.op+1, s.op+operations
		s.op += operations
	}
	for _, w := range ws {
		r := later(&record.Write{Key: w.key}, "write")
		switch v := w.what.(type) {
		case nil:
			r.Delete = true
		case []byte:
			r.Value = v
		case proto.Message:
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(v)
			s.ok(err)
			r.Value = b
		}
		c.Writes = append(c.Writes, r)
	}
	body, err := record.EncodeCommit(later(c, "commit"))
	s.ok(err)
	s.ok(s.store.Append(bg, seq+1, body))
}

func (s *scribe) time() *record.Time {
	return &record.Time{Seconds: s.now().Unix(), Nanos: uint32(s.now().Nanosecond())}
}

// id is 16 bytes that name something.
func (s *scribe) id(of string) []byte {
	sum := md5.Sum([]byte(of))
	return sum[:]
}

// content describes bytes with all checksums.
func (s *scribe) content(data string) *record.Content {
	sha, five := sha256.Sum256([]byte(data)), md5.Sum([]byte(data))
	return &record.Content{
		Size:      uint64(len(data)),
		BlockSums: blockSum(data),
		Crc32:     crc32.ChecksumIEEE([]byte(data)),
		HasCrc32:  true,
		Sha256:    sha[:],
		Md5:       five[:],
		Type:      "text/plain",
		Time:      s.time(),
	}
}

// blockSum is the list of checksums of less than a block.
func blockSum(data string) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(data), crc32.MakeTable(crc32.Castagnoli)))
}

// object puts the bytes of a content, as they are.
func (s *scribe) object(key, data string) object.Info {
	s.t.Helper()
	i, err := s.bucket.Put(bg, key, strings.NewReader(data), int64(len(data)), object.PutOptions{})
	s.ok(err)
	return i
}

func contentKey(id []byte) string {
	h := hex.EncodeToString(id)
	return "content/" + h[:2] + "/" + h
}

// media is a node of that content, with its name in the root and the record of the content.
func (s *scribe) media(node uint64, name string, c *record.Content) []writing {
	t, id := s.time(), s.id("content of "+name)
	head := &record.Head{
		Size:    c.Size,
		Extents: []*record.Extent{{Length: c.Size, Content: id}},
		Time:    t,
		Client:  s.client,
	}
	return []writing{
		{record.ContentKey(id), c},
		{
			record.NodeKey(node),
			&record.Node{
				Mode:    0o100600,
				Uid:     7,
				Gid:     8,
				Atime:   t,
				Mtime:   t,
				Ctime:   t,
				Btime:   t,
				Head:    head,
				MediaId: s.id("media " + name),
			},
		},
		{record.DentryKey(record.Root, name), &record.Dentry{Node: node, Kind: 0o10}},
	}
}

// unknownKeys are records that only later versions know.
var unknownKeys = []struct{ key, value string }{
	{"z", ""},
	{"y\x00\xff\x00binary key", "\x00\x01binary value\xff"},
	{"j" + strings.Repeat("k", record.MaxKey-1), "the longest key"},
	{"\x80", "no letter"},
	{"0", "a digit"},
}

// furnishTrimmed makes the tree whose log begins after a checkpoint: with what this version does
// not write, but reads or passes on.
func furnishTrimmed(m *maker) {
	s, end := m.machine("gamma")
	s.folder(vfs.Root, "plain", 0o755)
	s.media(vfs.Root, "plain.txt", "as always\n")
	end()

	const ids = 2 << record.ClientShift
	h := m.scribe(2)
	joined := later(
		&record.Client{
			Session: h.session(),
			Machine: h.id("machine"),
			Host:    "a later version",
			Joined:  later(h.time(), "joined"),
		},
		"client",
	)
	h.commit(
		0,
		0,
		writing{record.ClientKey(2), joined},
		writing{record.SettingKey("retention"), later(&record.Setting{Value: []byte("\x00thirty days")}, "setting")},
		writing{
			record.FeatureKey(record.FeatureCompatible, "later"),
			later(&record.Feature{Note: "nothing depends on it"}, "feature"),
		},
	)

	var ws []writing
	add := func(w ...writing) { ws = append(ws, w...) }
	in := h.content("these bytes are in the catalog\n")
	in.Inline = []byte("these bytes are in the catalog\n")
	add(h.media(ids+1, "inline.txt", in)...)
	const summed = "checked by a list beside it\n"
	c := h.content(summed)
	sums := sha256.Sum256(blockSum(summed))
	c.BlockSums, c.SideSum = nil, sums[:]
	add(h.media(ids+2, "summed.txt", c)...)
	h.object(contentKey(h.id("content of summed.txt")), summed)
	side := remote.ContentID{ID: hex.EncodeToString(h.id("content of summed.txt"))}
	m.ok(h.store.PutSide(bg, side, bucket.SuffixSum, blockSum(summed)))
	m.ok(h.store.PutSide(bg, side, bucket.SuffixFacts, []byte("facts of a later version")))
	const scan = "scanned long before there was a library\n"
	c = h.content(scan)
	c.External = later(&record.External{Key: scanKey, Etag: h.object(scanKey, scan).ETag}, "external")
	add(h.media(ids+3, "imported.txt", c)...)
	for i, what := range []string{"coded", "ciphered", "elsewhere"} {
		c = h.content("nobody here can read this")
		switch what {
		case "coded":
			c.Codec, c.Stored = 7, 12
		case "ciphered":
			c.Cipher = later(&record.Cipher{Suite: 1, WrappedKey: []byte("wrapped"), KeyId: []byte("key")}, "cipher")
		case "elsewhere":
			c.Location = "s3://another/bucket"
		}
		add(h.media(ids+4+uint64(i), what, c)...)
	}
	for i, k := range unknownKeys {
		if i%2 == 0 {
			add(writing{[]byte(k.key), []byte(k.value)})
		}
	}
	add(writing{[]byte("w"), []byte("deleted later")})
	h.commit(2, 9, ws...)

	m.pass(time.Minute)
	h.addLater(ids + 10)
	s, end = m.machine("gamma") // client 3
	s.attribute(ids+1, "user.by this version", "1")
	s.ok(s.Checkpoint(bg))
	end()

	m.pass(24 * time.Hour)
	h.commit(2, 1, writing{[]byte("w"), nil}, writing{[]byte(unknownKeys[1].key), []byte(unknownKeys[1].value)},
		writing{record.SettingKey("of the second checkpoint"), &record.Setting{}})
	first, _ := h.tip()
	m.checkpoint(h)
	h.commit(2, 1, writing{[]byte(unknownKeys[3].key), []byte(unknownKeys[3].value)})
	s, end = m.machine("delta") // client 4
	s.media(vfs.Root, "after the checkpoint", "in the log alone\n")
	s.unlink("plain.txt") // to the trash
	end()
	m.pass(40 * 24 * time.Hour)
	m.trim(h, first)
	h.object("log/0/00000000000000000007.bak", "a copy that somebody made")
	m.ok(h.store.Close())
}

// scanKey is an object that is not the library's.
const scanKey = "scans/page 1.txt"

// addLater makes a media of which every record has fields of a later version.
func (s *scribe) addLater(node uint64) {
	s.t.Helper()
	now, then, media := s.time(), later(s.time(), "time"), s.id("media later.jpg")
	extent := func(name, data string) (*record.Extent, writing) {
		id := s.id(name)
		s.object(contentKey(id), data)
		return later(
			&record.Extent{Length: uint64(len(data)), Content: id},
			"extent of "+name,
		), writing{record.ContentKey(id), later(s.content(data), "content "+name)}
	}
	head := func(e *record.Extent) *record.Head {
		return later(
			&record.Head{Size: e.Length + 10, Extents: []*record.Extent{e}, Time: then, Client: s.client}, "head",
		)
	}
	e1, c1 := extent("now", "what it holds now\n")
	e2, c2 := extent("before", "what it held before\n")
	e3, c3 := extent("binned", "what was deleted\n")
	node1 := later(
		&record.Node{
			Mode:    0o100640,
			Uid:     1,
			Gid:     2,
			Atime:   now,
			Mtime:   now,
			Ctime:   now,
			Btime:   then,
			MediaId: media,
			Head:    head(e1),
		},
		"node",
	)
	node2 := later(
		&record.Node{
			Mode:    0o100640,
			Uid:     1,
			Gid:     2,
			Atime:   now,
			Mtime:   now,
			Ctime:   now,
			Btime:   now,
			MediaId: s.id("media binned"),
			Head:    head(e3),
		},
		"node in the trash",
	)
	s.commit(
		s.client,
		3,
		c1,
		c2,
		c3,
		writing{record.NodeKey(node), node1},
		writing{record.DentryKey(record.Root, laterName), later(&record.Dentry{Node: node, Kind: 0o10}, "name")},
		writing{record.XattrKey(node, "user.later"), later(&record.Xattr{Value: []byte("value")}, "attribute")},
		writing{
			record.VersionKey(media, 1),
			later(&record.Version{Head: head(e2), Time: then, Node: node, Mtime: now, Reason: 1}, "version"),
		},
		writing{record.MediaKey(media), later(&record.Media{Edited: now}, "media")},
		writing{record.NodeKey(node + 1), node2},
		writing{
			record.TrashKey(node + 2),
			later(
				&record.TrashEntry{
					Node:    node + 1,
					Parent:  record.Root,
					Name:    []byte("binned\xff"),
					Deleted: then,
					Uid:     9,
				},
				"trash",
			),
		},
	)
}

// laterName is the media of which every record has fields that are not known here.
const laterName = "later.jpg"

// checkpoint writes the checkpoint after the newest commit, in small parts.
func (m *maker) checkpoint(h *scribe) {
	m.t.Helper()
	ro, err := mountTree(m.t, m.dir, m.now, func(o *engine.Options) { o.ReadOnly = true })
	m.ok(err)
	seq, hash := h.tip()
	all := recordsOf(m.t, ro)
	_, err = h.store.WriteCheckpoint(bg, seq, hash, func(yield func(remote.Record, error) bool) {
		for _, k := range sortedKeys(all) {
			if !yield(remote.Record{Key: []byte(k), Value: all[k]}, nil) {
				return
			}
		}
	})
	m.ok(err)
	m.ok(ro.shut())
}

// trim does what trimming may: it deletes the log up to the older of the two checkpoints.
func (m *maker) trim(h *scribe, newest uint64) {
	m.t.Helper()
	page, _, err := h.bucket.List(bg, "checkpoint/manifest/", "", 0)
	m.ok(err)
	if len(page) != 2 || page[1].Key != fmt.Sprintf("checkpoint/manifest/%020d", newest) {
		m.t.Fatalf("checkpoints %v, want two, the newest after commit %d", page, newest)
	}
	logs, _, err := h.bucket.List(bg, "log/0/", "", 0)
	m.ok(err)
	for _, l := range logs {
		if bytes.Compare([]byte(filepath.Base(l.Key)), []byte(filepath.Base(page[0].Key))) <= 0 {
			m.ok(h.bucket.Delete(bg, l.Key))
		}
	}
}
