package check

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// A survey reads the whole catalog as it is after one commit, in the order of the keys, and holds
// of it what checks need of everything at once: 16 bytes a node, 24 a folder, 40 a content and 32 a
// media with versions. Names stay on disk.
type survey struct {
	ctx    context.Context
	tx     *catalog.Tx
	find   *finder
	report *Report
	meter  *meter

	nodes    []node                     // ascending by id, as all of these
	folders  []folder                   //
	contents []content                  //
	media    []edited                   //
	pending  []pending                  // findings whose places are not known yet
	sides    map[contentID]int          // name of an external content's side objects → its place in contents
	imported map[[sha256.Size]byte]bool // hashes of the keys of external contents
	usage    record.Usage

	dangling map[uint64]bool // nodes that names lead to and that are not there
	strays   map[uint64]bool // folders that names lie in and that are none
}

type node struct {
	id    uint64
	names uint32
	kind  uint8 // type bits of its mode >> 12
	trash bool
	noted bool // its counter of names was looked at
}

type folder struct {
	id, parent     uint64 // parent of its first name; 0: none
	names, folders uint32 // in it
}

type mediaID [16]byte

// edited is a media of which there are versions or what people said.
type edited struct {
	id       mediaID
	versions int32
	node     uint64 // that holds it; 0: none does
}

type contentID [16]byte

func (id contentID) String() string { return hex.EncodeToString(id[:]) }

// content is what is needed of every content while objects are listed.
type content struct {
	id     contentID
	size   uint64 // as it is read
	stored uint64 // of its object
	flags  contentFlags
}

type contentFlags uint8

const (
	used     contentFlags = 1 << iota // a head or version refers to it
	sums                              // there is a side object with its block checksums
	external                          // the object was imported in place
	inline                            // there is no object
	foreign                           // a coding, cipher or place of a later format
	present                           // its object was listed
	sumsHere                          // its block checksums were listed
	doubted                           // something was wrong with it
)

func (c *content) is(f contentFlags) bool { return c.flags&f != 0 }

// remoteID is how the store knows the content; c is its record.
func (id contentID) remoteID(c *record.Content) remote.ContentID {
	if c.External != nil {
		return remote.ContentID{ID: "key:" + c.External.Key, Validator: c.External.Etag}
	}
	return remote.ContentID{ID: id.String()}
}

// A pending place is looked up when the whole catalog was read.
type pending struct {
	finding int
	node    uint64 // 0: the one that holds media
	media   mediaID
	version uint64
}

func newSurvey(ctx context.Context, tx *catalog.Tx, find *finder, m *meter) *survey {
	return &survey{
		ctx:    ctx,
		tx:     tx,
		find:   find,
		report: find.report,
		meter:  m,
		dangling: make(
			map[uint64]bool,
		),
		strays:   make(map[uint64]bool),
		sides:    make(map[contentID]int),
		imported: make(map[[sha256.Size]byte]bool),
	}
}

// run reads everything. Its error is one of reading; what is wrong with the records are findings.
func (s *survey) run() error {
	s.meter.phase("reading the catalog", int64(s.tx.Usage().Nodes), false)
	for _, step := range []func() error{s.readContents, s.readVersions, s.readMedia, s.readNodes, s.readTrash, s.readNames, s.checkTree, s.checkCounters, s.checkOwners, s.checkFacts} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.placePending()
}

// records calls fn for all records of a letter, and looks now and then whether the work was called
// off.
func (s *survey) records(letter byte, fn func(key, value []byte) error) error {
	n := 0
	for k, v := range s.tx.Records([]byte{letter}) {
		if n++; n%1024 == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return s.tx.Err()
}

// decode reads a record, whose key must have size bytes (0: any).
func (s *survey) decode(key, value []byte, size int, m proto.Message) bool {
	var why string
	if err := proto.Unmarshal(value, m); err != nil {
		why = err.Error()
	} else if size != 0 && len(key) != size {
		why = fmt.Sprintf("its key has %d bytes, not %d", len(key), size)
	} else {
		return true
	}
	s.find.add(BadRecord, Place{}, fmt.Sprintf("record %q", key), "%s", why)
	return false
}

// at adds a finding whose place is a node's, or that of a version of it.
func (s *survey) at(c Class, node, version uint64, what, why string, args ...any) {
	if i := s.find.add(c, Place{}, what, why, args...); i >= 0 {
		s.pending = append(s.pending, pending{finding: i, node: node, version: version})
	}
}

func (s *survey) readContents() error {
	return s.records(record.KeyContent, func(key, value []byte) error {
		var c record.Content
		if !s.decode(key, value, 1+len(contentID{}), &c) {
			return nil
		}
		e := content{id: contentID(key[1:]), size: c.Size, stored: cmp.Or(c.Stored, c.Size)}
		s.usage.Contents += c.Size
		for _, f := range []struct {
			flag contentFlags
			set  bool
		}{
			{sums, len(c.SideSum) > 0}, {external, c.External != nil}, {inline, c.Inline != nil},
			{foreign, c.Codec != 0 || c.Cipher != nil || c.Location != ""},
		} {
			if f.set {
				e.flags |= f.flag
			}
		}
		if e.is(external) {
			s.imported[sha256.Sum256([]byte(c.External.Key))] = true
			if name, ok := sideName(e.id.remoteID(&c)); ok {
				s.sides[name] = len(s.contents)
			}
		}
		s.contents = append(s.contents, e)
		if e.is(foreign) {
			s.find.add(UnknownCoding, Place{}, "content "+e.id.String(), "codec %d, location %q", c.Codec, c.Location)
		}
		return nil
	})
}

// sideName is what the side objects of an external content are named after.
func sideName(id remote.ContentID) (name contentID, ok bool) {
	key, err := bucket.SideKey(id, bucket.SuffixSum)
	if err != nil {
		return name, false
	}
	return parseID(strings.TrimSuffix(path.Base(key), bucket.SuffixSum))
}

func parseID(s string) (id contentID, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return contentID(b), true
}

func (s *survey) content(id []byte) *content {
	if len(id) != len(contentID{}) {
		return nil
	}
	i, ok := slices.BinarySearchFunc(
		s.contents, id, func(c content, id []byte) int { return bytes.Compare(c.id[:], id) },
	)
	if !ok {
		return nil
	}
	return &s.contents[i]
}

// head marks what a head refers to and says what is wrong with it: unknown are contents without a
// record, malformed is the first other fault.
func (s *survey) head(h *record.Head) (unknown []string, malformed string) {
	bad := func(format string, args ...any) {
		if malformed == "" {
			malformed = fmt.Sprintf(format, args...)
		}
	}
	if n := len(h.GetExtents()); n > record.MaxExtents {
		bad("it has %d extents, at most %d are allowed", n, record.MaxExtents)
	}
	end := uint64(0)
	for i, e := range h.GetExtents() {
		switch {
		case e.Offset < end:
			bad("extent %d begins at %d, before %d, where the one before it ends", i, e.Offset, end)
		case e.Offset > h.Size || e.Length > h.Size-e.Offset:
			bad("extent %d has %d bytes at %d, past the size of %d", i, e.Length, e.Offset, h.Size)
		}
		end = e.Offset + e.Length
		c := s.content(e.Content)
		if c == nil {
			unknown = append(unknown, fmt.Sprintf("content %x", e.Content))
			continue
		}
		c.flags |= used
		if e.ContentOffset > c.size || e.Length > c.size-e.ContentOffset {
			bad(
				"extent %d has %d bytes from %d of content %s, which has %d", i, e.Length, e.ContentOffset, c.id,
				c.size,
			)
		}
	}
	return unknown, malformed
}

func (s *survey) readVersions() error {
	return s.records(record.KeyVersion, func(key, value []byte) error {
		var v record.Version
		if !s.decode(key, value, 1+len(mediaID{})+8, &v) {
			return nil
		}
		id, n := mediaID(key[1:17]), beUint64(key[17:])
		s.usage.Versions += v.Head.GetSize()
		s.report.Versions.add(int64(v.Head.GetSize()))
		if last := len(s.media) - 1; last < 0 || s.media[last].id != id {
			s.media = append(s.media, edited{id: id})
		}
		s.media[len(s.media)-1].versions++
		at := func(c Class, what, why string) {
			if i := s.find.add(c, Place{}, what, "%s", why); i >= 0 {
				s.pending = append(s.pending, pending{finding: i, media: id, version: n})
			}
		}
		unknown, malformed := s.head(v.Head)
		for _, u := range unknown {
			at(UnknownContent, u, "the catalog does not know it")
		}
		if malformed != "" {
			at(BadHead, fmt.Sprintf("version %d of media %x", n, id), malformed)
		}
		return nil
	})
}

func search(media []edited, id mediaID) *edited {
	i, ok := slices.BinarySearchFunc(media, id, func(e edited, id mediaID) int { return bytes.Compare(e.id[:], id[:]) })
	if !ok {
		return nil
	}
	return &media[i]
}

func (s *survey) readNodes() error {
	return s.records(record.KeyNode, func(key, value []byte) error {
		var n record.Node
		if !s.decode(key, value, 9, &n) {
			return nil
		}
		id := beUint64(key[1:])
		kind := uint8(n.Mode >> 12 & 0xf)
		s.meter.add(1)
		s.nodes = append(s.nodes, node{id: id, kind: kind})
		s.usage.Nodes++
		s.usage.Live += n.Head.GetSize()
		what := fmt.Sprintf("node %d", id)
		if id == 0 || id&(record.ViewBit|1<<63) != 0 {
			s.at(BadRecord, id, 0, what, "this number is never stored")
		}
		switch kind {
		case kindFolder:
			s.folders = append(s.folders, folder{id: id})
			s.report.Folders++
		case kindMedia:
			s.report.Media.add(int64(n.Head.GetSize()))
			if len(n.MediaId) == len(mediaID{}) {
				if m := search(s.media, mediaID(n.MediaId)); m != nil {
					m.node = id
				}
			}
		case kindFifo, kindCharDevice, kindBlockDevice, kindSymlink, kindSocket:
		default:
			s.at(BadRecord, id, 0, what, "its mode %#o has a type that does not exist", n.Mode)
		}
		unknown, malformed := s.head(n.Head)
		for _, u := range unknown {
			s.at(UnknownContent, id, 0, u, "the catalog does not know it")
		}
		if malformed != "" {
			s.at(BadHead, id, 0, what, "%s", malformed)
		}
		return nil
	})
}

// The type bits of modes, as Linux has them, shifted right by 12.
const (
	kindFifo        = 1
	kindCharDevice  = 2
	kindFolder      = 4
	kindBlockDevice = 6
	kindMedia       = 8
	kindSymlink     = 10
	kindSocket      = 12
)

func (s *survey) node(id uint64) *node {
	i, ok := slices.BinarySearchFunc(s.nodes, id, func(n node, id uint64) int { return cmp.Compare(n.id, id) })
	if !ok {
		return nil
	}
	return &s.nodes[i]
}

func (s *survey) folder(id uint64) *folder {
	i, ok := slices.BinarySearchFunc(s.folders, id, func(f folder, id uint64) int { return cmp.Compare(f.id, id) })
	if !ok {
		return nil
	}
	return &s.folders[i]
}
