// Package index says under which terms a library's media are found: the postings of each record,
// and the keys under which a catalog keeps them.
//
// A posting is a kind of term, a term and a node, and the record it comes from, its source. A
// record alone owns its postings: they are a function of the record's value, and a change of the
// record changes them from those of the old value to those of the new, whatever else changes and in
// which order. What is said of a media id (people's words, what is attached) is posted for every
// node that has this media id, which the map of media ids to nodes tells; the map's entries belong
// to the nodes' records. One kind follows from two records: Pending from a node and its facts.
//
// What is posted, and what it costs. A media that was just made has a posting for each word of its
// name, one each for when it came, its size and that its facts are pending, and its entry in the
// map: eight or nine for IMG_1234.jpg. Words of comments that people wrote are a kind of their own:
// a plain word does not find a media by what others said about it. Not posted is what nobody would
// look for alone (pixels, exposure, bit rates), what changes all the time (mtime), and folders'
// names: whoever asks for those looks at the media themselves.
//
// The keys, below a letter that the catalog gives them:
//
//	i <kind> <term> <node> <source>   nothing; a text ends with a zero byte, other terms have the width of their kind
//	m <media id> <node>               nothing
//
// The package does no I/O. It never fails: a record that it cannot read has no postings.
package index

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/terms"
)

// Version is the version of all that this package posts. Whoever has postings of another version
// makes them anew.
const Version = 1

// Letters of the two sorts of keys.
const (
	PostingLetter = 'i'
	MediaLetter   = 'm'
)

// A Posting is a term of a kind, without the node it is posted for.
type Posting struct {
	Kind terms.Kind
	Term string
}

// A Source is the record that a posting comes from, as it stands in the key.
type Source string

// The sources, but for names and comments.
const (
	FromNode     Source = "n"
	FromFacts    Source = "i"
	FromMedia    Source = "m"
	FromFavorite Source = "f" // its user is the term; what is not of a name too long for that comes after
	FromPending  Source = "q"
)

// FromName is the source of a name in a folder. A node may have many names: six bytes of a hash
// tell them apart.
func FromName(folder uint64, name string) Source {
	d := xxhash.New()
	d.Write(binary.BigEndian.AppendUint64(nil, folder))
	d.WriteString(name)
	return Source(append([]byte{'e'}, d.Sum(nil)[:6]...))
}

// FromComment is the source of a comment, by what tells it from the media's others.
func FromComment(which []byte) Source { return Source("c" + string(which)) }

// Key is the key of a posting without the letter of its sort and what the catalog puts before it.
func Key(dst []byte, p Posting, node uint64, source Source) []byte {
	dst = Prefix(dst, p.Kind, p.Term)
	dst = binary.BigEndian.AppendUint64(dst, node)
	return append(dst, source...)
}

// Prefix is what the keys of all postings of one term begin with.
func Prefix(dst []byte, kind terms.Kind, term string) []byte {
	dst = append(append(dst, byte(kind)), term...)
	if kind.Width() == 0 {
		dst = append(dst, 0)
	}
	return dst
}

// Parse splits the key of a posting; ok is false for what is none.
func Parse(key []byte) (kind terms.Kind, term []byte, node uint64, ok bool) {
	if len(key) < 1 {
		return 0, nil, 0, false
	}
	kind, key = terms.Kind(key[0]), key[1:]
	n := kind.Width()
	if n == 0 {
		if n = slices.Index(key, 0); n < 0 {
			return 0, nil, 0, false
		}
		term, key = key[:n], key[n+1:]
	} else if len(key) < n {
		return 0, nil, 0, false
	} else {
		term, key = key[:n], key[n:]
	}
	if len(key) < 8 {
		return 0, nil, 0, false
	}
	return kind, term, binary.BigEndian.Uint64(key), true
}

// postings is a list that is being made.
type postings []Posting

func (p *postings) add(kind terms.Kind, term string) { *p = append(*p, Posting{kind, term}) }

// text adds a text as it is written, if there is one.
func (p *postings) text(kind terms.Kind, s string) {
	if s = terms.Text(s); s != "" {
		p.add(kind, s)
	}
}

// words adds the words of texts.
func (p *postings) words(kind terms.Kind, limit int, texts ...string) {
	for _, s := range texts {
		for _, w := range terms.Words(s, limit) {
			p.add(kind, w)
		}
	}
}

// list is the finished list: sorted, each posting once.
func (p postings) list() []Posting {
	slices.SortFunc(p, func(a, b Posting) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Term, b.Term))
	})
	return slices.Compact(p)
}

const (
	typeBits    = 0o170000
	regular     = 0o100000
	regularKind = 8 // of a dentry
)

// Media returns the media id of a node that is a media; nil for another node.
func Media(n *record.Node) []byte {
	if n.GetMode()&typeBits != regular || len(n.GetMediaId()) != record.MediaIDSize {
		return nil
	}
	return n.MediaId
}

// OfName are the postings of a name, for the node that it names.
func OfName(name string, d *record.Dentry) []Posting {
	if d.GetKind() != regularKind {
		return nil
	}
	var p postings
	p.words(terms.Word, terms.MaxWords, name)
	return p.list()
}

// OfNode are the postings of a node's own record.
func OfNode(n *record.Node) []Posting {
	if n.GetMode()&typeBits != regular {
		return nil
	}
	p := make(postings, 0, 2)
	p.add(terms.Added, terms.Time(n.GetBtime().GetSeconds()))
	if size := n.GetHead().GetSize(); size > 0 {
		p.add(terms.Size, terms.Magnitude(size))
	}
	return p
}

// OfPending are the postings of a media whose facts (nil: none) are not those of its bytes.
func OfPending(n *record.Node, f *record.Facts) []Posting {
	if n.GetMode()&typeBits != regular || f != nil && string(f.Head) == string(HeadSum(n.Head)) {
		return nil
	}
	return []Posting{{terms.Pending, ""}}
}

// HeadSum tells of which bytes facts are: record.Facts.head.
func HeadSum(h *record.Head) []byte {
	b, err := proto.MarshalOptions{
		Deterministic: true,
	}.Marshal(
		&record.Head{Size: h.GetSize(), Extents: h.GetExtents()},
	)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

// OfFacts are the postings of what a node's bytes say.
func OfFacts(f *record.Facts) []Posting {
	if f == nil {
		return nil
	}
	var p postings
	p.words(
		terms.Word, terms.MaxWords, f.Title, f.Creator, f.Album, f.AlbumArtist, f.Composer, f.Genre, f.Make, f.Model,
		f.Lens, f.City, f.Country, f.Label,
	)
	p.words(terms.Word, terms.LongWords, f.Description, f.Comment)
	p.tags(f.Keywords)
	p.text(terms.Type, f.Type)
	if slices.Contains(remote.Classes(), remote.Class(f.Class)) {
		p.text(terms.Class, f.Class)
	} else {
		p.add(terms.Class, terms.AnyClass)
	}
	p.text(terms.Camera, f.Model)
	p.text(terms.Creator, f.Creator)
	p.text(terms.Album, f.Album)
	p.text(terms.Genre, f.Genre)
	p.taken(f.Taken)
	p.place(f.Place)
	if f.Year != 0 {
		p.add(terms.Year, terms.Small(int64(f.Year)))
	}
	if f.Rating != 0 {
		p.add(terms.Rating, terms.Small(int64(min(f.Rating, remote.MaxRating))))
	}
	if f.Duration > 0 {
		p.add(terms.Duration, terms.Seconds(f.Duration))
	}
	return p.list()
}

// OfMedia are the postings of what people and services say of a media.
func OfMedia(m *record.Media) []Posting {
	if m == nil {
		return nil
	}
	var p postings
	p.words(terms.Word, terms.MaxWords, m.Title, m.Creator, m.OriginalName)
	p.words(terms.Word, terms.LongWords, m.Description)
	p.tags(m.Tags.GetTag())
	p.text(terms.Type, m.Type)
	if m.Type != "" {
		p.add(terms.Class, terms.AnyClass)
	}
	p.text(terms.Creator, m.Creator)
	p.text(terms.Language, m.Language)
	p.text(terms.Privacy, m.Privacy)
	p.taken(m.Taken)
	p.place(m.Place)
	if m.Rating != nil && *m.Rating != 0 {
		p.add(terms.Rating, terms.Small(int64(min(*m.Rating, remote.MaxRating))))
	}
	if m.Status != nil {
		p.add(terms.Status, terms.Small(int64(*m.Status)))
	}
	if m.Moderation != nil {
		p.add(terms.Moderation, terms.Small(int64(*m.Moderation)))
	}
	if m.Hidden {
		p.add(terms.Hidden, "")
	}
	return p.list()
}

// OfAttached are the postings of something that is attached to a media, and their source. value
// nil: none.
func OfAttached(kind byte, which, value []byte) ([]Posting, Source) {
	if value == nil {
		return nil, ""
	}
	var p postings
	switch kind {
	case record.AttachedFavorite:
		p.text(terms.Favorite, string(which))
		user := string(which)
		return p, FromFavorite + Source(user[len(terms.Text(user)):])
	case record.AttachedComment:
		c := new(record.Comment)
		if proto.Unmarshal(value, c) == nil {
			p.words(terms.Comment, terms.LongWords, c.Text)
		}
		return p.list(), FromComment(which)
	}
	return nil, ""
}

func (p *postings) tags(tags []string) {
	for _, t := range tags {
		p.words(terms.Word, terms.MaxWords, t)
		p.text(terms.Tag, t)
	}
}

func (p *postings) taken(d *record.Date) {
	if d.GetTime() == nil {
		return
	}
	p.add(terms.Taken, terms.Time(d.Time.Seconds+60*int64(d.GetZone())))
}

func (p *postings) place(l *record.Place) {
	if l == nil {
		return
	}
	p.add(terms.Cell, terms.Place(float64(l.Latitude)/1e7, float64(l.Longitude)/1e7))
}
