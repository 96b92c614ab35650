package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// A page tells in words what a library holds, as tree.txt beside a golden tree does. What can be
// asked for through the file system is; the rest is read out of the catalog. Sizes of folders and
// what belongs to one machine are left out.
type page struct {
	strings.Builder
	t testing.TB
	m *machine
}

// treePage is the part of a page that is the same on every machine and stays so when another one
// joins.
func treePage(t testing.TB, m *machine) string {
	p := &page{t: t, m: m}
	a, err := m.GetAttr(bg, vfs.Root)
	p.ok(err)
	p.node("", a)
	p.trash()
	p.view(p.others)
	return p.String()
}

// logPage is the rest: the machines that have joined, the checkpoints and the commits.
func logPage(t testing.TB, m *machine) string {
	p := &page{t: t, m: m}
	p.view(p.clients)
	p.log()
	return p.String()
}

func (p *page) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) f(format string, a ...any) { fmt.Fprintf(p, format, a...) }

func (p *page) view(f func(tx *catalog.Tx)) {
	p.t.Helper()
	p.ok(p.m.View(func(tx *catalog.Tx) error {
		f(tx)
		return tx.Err()
	}))
}

func moment(t vfs.Time) string {
	return t.Std().UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func momentOf(t *record.Time) string {
	return moment(vfs.Time{Sec: t.GetSeconds(), Nsec: t.GetNanos()})
}

var typeNames = map[uint32]string{
	0o010000: "fifo",
	0o020000: "character device",
	0o040000: "folder",
	0o060000: "block device",
	0o100000: "media",
	0o120000: "symlink",
	0o140000: "socket",
}

// node tells of a node and of all that is below it.
func (p *page) node(path string, a vfs.Attr) {
	p.f("%q\n", path+strings.Repeat("/", 1-min(len(path), 1)))
	kind := typeNames[a.Mode&0o170000]
	p.f("  node %d: %s %04o, uid %d, gid %d, links %d", a.ID, kind, a.Mode&0o7777, a.UID, a.GID, a.Nlink)
	if strings.HasSuffix(kind, "device") {
		p.f(", device %#x", a.Rdev)
	}
	p.f(
		"\n  mtime %s, ctime %s, atime %s, btime %s\n", moment(a.Mtime), moment(a.Ctime), moment(a.Atime),
		moment(a.Btime),
	)
	switch kind {
	case "media":
		p.media(a)
	case "symlink":
		target, err := p.m.Readlink(bg, a.ID)
		p.ok(err)
		p.f("  target %q, %d bytes\n", target, a.Size)
	}
	p.attributes(a.ID)
	if kind != "folder" {
		return
	}
	for _, n := range p.names(a.ID) {
		a, err := p.m.Lookup(bg, a.ID, n)
		p.ok(err)
		p.node(path+"/"+n, a)
		p.m.Forget(a.ID, 1)
	}
}

func (p *page) attributes(id vfs.ID) {
	names, err := p.m.ListXattr(bg, id)
	p.ok(err)
	slices.Sort(names)
	for _, n := range names {
		v, err := p.m.GetXattr(bg, id, n)
		p.ok(err)
		p.f("  attribute %q, %d bytes: %x\n", n, len(v), v)
	}
}

func (p *page) names(folder vfs.ID) (names []string) {
	d, err := p.m.OpenDir(bg, folder)
	p.ok(err)
	defer d.Release()
	p.ok(d.Read(bg, 0, false, func(group []vfs.DirEntry) bool {
		for _, e := range group {
			if e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
		}
		return true
	}))
	slices.Sort(names)
	return names
}

func (p *page) media(a vfs.Attr) {
	f, err := p.m.Open(bg, me, a.ID, uint32(os.O_RDONLY))
	p.ok(err)
	defer f.Release()
	sum, size, err := digest(f)
	if err == nil && size != a.Size {
		p.t.Errorf("node %d has %d bytes, and its size is %d", a.ID, size, a.Size)
	}
	p.f("  size %d, %s\n", a.Size, orKind(sum, err))
	p.view(func(tx *catalog.Tx) {
		n := tx.Node(a.ID)
		p.extents(tx, n.Head)
		var facts record.Media
		if tx.Load(record.MediaKey(n.MediaId), &facts) {
			p.f("  edited by people %s\n", momentOf(facts.Edited))
		}
		p.versions(tx, n.MediaId)
	})
}

func orKind(sum string, err error) string {
	if err != nil {
		return "cannot be read: " + remote.KindOf(err).Error()
	}
	return "sha256 " + sum
}

// digest reads a file to its end, in steps that end in the middle of blocks.
func digest(f vfs.File) (sum string, size int64, err error) {
	h := sha256.New()
	buf := make([]byte, 100_000)
	for {
		n, err := f.Read(bg, buf, size)
		h.Write(buf[:n])
		size += int64(n)
		if n == 0 || err != nil {
			return hex.EncodeToString(h.Sum(nil)), size, err
		}
	}
}

func (p *page) extents(tx *catalog.Tx, h *record.Head) {
	for _, e := range h.GetExtents() {
		c := tx.Content(e.Content)
		p.f(
			"  extent at %d, %d bytes: content %x from %d of %d", e.Offset, e.Length, e.Content, e.ContentOffset,
			c.GetSize(),
		)
		for _, x := range []struct {
			there bool
			what  string
		}{
			{c.GetInline() != nil, "inline"}, {c.GetExternal() != nil, fmt.Sprintf("external %q", c.GetExternal().GetKey())},
			{c.GetSideSum() != nil, ".sum"}, {c.GetCodec() != 0, fmt.Sprintf("codec %d, %d bytes stored", c.GetCodec(), c.GetStored())},
			{c.GetCipher() != nil, fmt.Sprintf("cipher %d", c.GetCipher().GetSuite())}, {c.GetLocation() != "", fmt.Sprintf("at %q", c.GetLocation())},
			{c.GetSha256() != nil, fmt.Sprintf("sha256 %x", c.GetSha256())}, {c.GetMd5() != nil, fmt.Sprintf("md5 %x", c.GetMd5())},
			{c.GetHasCrc32(), fmt.Sprintf("crc32 %08x", c.GetCrc32())}, {c.GetType() != "", c.GetType()},
		} {
			if x.there {
				p.f(", %s", x.what)
			}
		}
		p.f("\n")
		if facts, err := p.m.store.GetSide(
			bg, remote.ContentID{ID: hex.EncodeToString(e.Content)}, bucket.SuffixFacts,
		); err == nil {
			p.f("    .facts %q\n", facts)
		}
	}
}

var reasons = map[uint32]string{1: "an edit", 2: "a rename over it", 3: "late bytes"}

func (p *page) versions(tx *catalog.Tx, media []byte) {
	for k := range tx.Records(record.VersionPrefix(media)) {
		v := new(record.Version)
		tx.Load(k, v)
		p.f(
			"  version %d, by %s at %s: of node %d, mtime %s, size %d, %s\n", binary.BigEndian.Uint64(k[17:]),
			reasons[v.Reason], momentOf(v.Time), v.Node, momentOf(v.Mtime), v.Head.GetSize(),
			orKind(p.kept(tx, v.Head)),
		)
	}
}

// kept reads a head that no media holds any more, straight from the store.
func (p *page) kept(tx *catalog.Tx, h *record.Head) (sum string, err error) {
	all := make([]byte, h.GetSize())
	for _, e := range h.GetExtents() {
		c := tx.Content(e.Content)
		into, from := all[e.Offset:e.Offset+e.Length], int64(e.ContentOffset)
		if c.GetInline() != nil {
			copy(into, c.Inline[from:])
			continue
		}
		r, err := p.m.store.OpenContent(bg, remote.ContentID{ID: hex.EncodeToString(e.Content)}, from, int64(e.Length))
		if err != nil {
			return "", err
		}
		_, err = io.ReadFull(r, into)
		r.Close()
		if err != nil {
			return "", err
		}
	}
	s := sha256.Sum256(all)
	return hex.EncodeToString(s[:]), nil
}

func (p *page) trash() {
	p.f("\nthe trash\n")
	type entry struct {
		id uint64
		*record.TrashEntry
	}
	var all []entry
	p.view(func(tx *catalog.Tx) {
		for k := range tx.Records([]byte{record.KeyTrash}) {
			e := new(record.TrashEntry)
			tx.Load(k, e)
			id, _, _ := record.NumberOf(k)
			all = append(all, entry{id, e})
		}
	})
	for _, e := range all {
		p.f(
			"%d: node %d, %q of folder %d, deleted %s by uid %d\n", e.id, e.Node, e.Name, e.Parent, momentOf(e.Deleted),
			e.Uid,
		)
		p.view(func(tx *catalog.Tx) {
			n := tx.Node(e.Node)
			p.f(
				"  %s %04o, mtime %s, size %d, %s\n", typeNames[n.Mode&0o170000], n.Mode&0o7777, momentOf(n.Mtime),
				n.Head.GetSize(), orKind(p.kept(tx, n.Head)),
			)
			p.versions(tx, n.MediaId)
		})
		p.attributes(e.Node)
	}
}

// others tells of settings, features, what is not known, and how many records there are.
func (p *page) others(tx *catalog.Tx) {
	count := map[byte]int{}
	p.f("\nsettings, features and unknown records\n")
	for k, v := range tx.Records(nil) {
		count[k[0]]++
		switch k[0] {
		case record.KeySetting:
			s := new(record.Setting)
			tx.Load(k, s)
			p.f("  setting %q: %x\n", k[1:], s.Value)
		case record.KeyFeature:
			f := new(record.Feature)
			tx.Load(k, f)
			p.f("  feature %q of class %c: %q\n", k[2:], k[1], f.Note)
		}
		if isUnknown(k) {
			p.f("  unknown record %s: %d bytes %s\n", short(k), len(v), short(v))
		}
	}
	p.f("\nunknown fields\n")
	unknown := unknownFields(tx)
	for _, at := range sortedKeys(unknown) {
		if at[0] != record.KeyClient {
			p.f("  %s: %s\n", at, unknown[at])
		}
	}
	u := tx.Usage()
	p.f(
		"\n%d nodes; bytes: %d of heads, %d of versions, %d of contents\nrecords by letter:", u.Nodes, u.Live,
		u.Versions, u.Contents,
	)
	for _, letter := range slices.Sorted(maps.Keys(count)) {
		if letter != record.KeyClient {
			p.f(" %+q %d", []byte{letter}, count[letter])
		}
	}
	p.f("\n")
}

// isUnknown tells whether a record is a later version's.
func isUnknown(key []byte) bool {
	return messages[key[0]] == nil && (key[0] < 'A' || key[0] > 'Z')
}

func short(b []byte) string {
	if len(b) > 64 {
		return fmt.Sprintf("%+q… sha256 %x", b[:16], sha256.Sum256(b))
	}
	return fmt.Sprintf("%+q", b)
}

func (p *page) clients(tx *catalog.Tx) {
	for k, v := range tx.Records([]byte{record.KeyClient}) {
		c := new(record.Client)
		tx.Load(k, c)
		p.f(
			"\nclient %d: host %q, machine %x, joined %s\n  session %x, last operation %d\n",
			binary.BigEndian.Uint32(k[1:]), c.Host, c.Machine, momentOf(c.Joined), c.Session, c.LastOperation,
		)
		unknown := fieldsOf("  unknown fields", v, new(record.Client))
		for _, at := range sortedKeys(unknown) {
			p.f("%s: %s\n", at, unknown[at])
		}
	}
}

func (p *page) log() {
	horizon, err := p.m.store.Horizon(bg)
	p.ok(err)
	p.f("\nlibrary %s, the log from commit %d on\n", p.m.store.Facts().Library, horizon)
	if c, err := p.m.store.OpenCheckpoint(bg); err == nil {
		p.f("checkpoint after commit %d, hash %x, %d bytes\n", c.Seq(), c.Hash(), c.Bytes())
	} else {
		p.f("no checkpoint: %v\n", remote.KindOf(err))
	}
	first := horizon
	if first > 1 {
		first++ // of a trimmed log the first commit only proves that the second is the next
	}
	for e, err := range p.m.store.Read(bg, first) {
		p.ok(err)
		p.commit(e)
	}
}

func (p *page) commit(e remote.LogEntry) {
	c, err := record.DecodeCommit(e.Body)
	p.ok(err)
	deletes := 0
	for _, w := range c.Writes {
		if w.Delete {
			deletes++
		}
	}
	p.f(
		"  %d: client %d, operations %d to %d, %s, %d writes of which %d delete, sha256 %x", e.Seq, c.Author,
		c.FirstOperation, c.LastOperation, momentOf(c.Time), len(c.Writes), deletes, record.Hash(e.Body)[:8],
	)
	for _, at := range sortedKeys(fieldsOf(", unknown fields", e.Body, new(record.Commit))) {
		p.f("%s", at)
	}
	p.f("\n")
}

// messages are those of the records that this format knows.
var messages = map[byte]func() proto.Message{
	record.KeyNode:    func() proto.Message { return new(record.Node) },
	record.KeyDentry:  func() proto.Message { return new(record.Dentry) },
	record.KeyXattr:   func() proto.Message { return new(record.Xattr) },
	record.KeyContent: func() proto.Message { return new(record.Content) },
	record.KeyVersion: func() proto.Message { return new(record.Version) },
	record.KeyTrash:   func() proto.Message { return new(record.TrashEntry) },
	record.KeyClient:  func() proto.Message { return new(record.Client) },
	record.KeySetting: func() proto.Message { return new(record.Setting) },
	record.KeyFeature: func() proto.Message { return new(record.Feature) },
	record.KeyMedia:   func() proto.Message { return new(record.Media) },
}

// unknownFields are the fields that no message here has, by record and place in it.
func unknownFields(tx *catalog.Tx) map[string]string {
	found := map[string]string{}
	for k, v := range tx.Records(nil) {
		if messages[k[0]] != nil {
			maps.Copy(found, fieldsOf(fmt.Sprintf("%c %+q", k[0], k[1:]), v, messages[k[0]]()))
		}
	}
	return found
}

func fieldsOf(at string, b []byte, m proto.Message) map[string]string {
	found := map[string]string{}
	if err := proto.Unmarshal(b, m); err != nil {
		found[at] = err.Error()
	}
	gather(at, m.ProtoReflect(), found)
	return found
}

func gather(at string, m protoreflect.Message, found map[string]string) {
	if b := m.GetUnknown(); len(b) > 0 {
		found[at] = hex.EncodeToString(b)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				gather(fmt.Sprintf("%s %s[%d]", at, f.Name(), i), v.List().Get(i).Message(), found)
			}
		default:
			gather(fmt.Sprintf("%s %s", at, f.Name()), v.Message(), found)
		}
		return true
	})
}

// firstDifference tells where two pages part, for people.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nand not\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(g), len(w))
}

// recordsOf are all records of a library, verbatim.
func recordsOf(t testing.TB, m *machine) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	m.with(t).ok(m.View(func(tx *catalog.Tx) error {
		for k, v := range tx.Records(nil) {
			all[string(k)] = bytes.Clone(v)
		}
		return tx.Err()
	}))
	return all
}
