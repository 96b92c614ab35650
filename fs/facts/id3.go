package facts

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"strings"
)

// id3v2 reads the tag at off and returns its length. A tag is as long as it says, which is less
// than 256 MiB; of that nothing is read but frames' headers, texts, and the first picture.
func (x *extraction) id3v2(off int64) (int64, error) {
	h, err := x.w.bytes(off, 10)
	if err != nil {
		return 0, err
	}
	if string(h[:3]) != "ID3" {
		return 0, errDamaged
	}
	r := &id3Reader{x: x, version: h[3], unsync: h[5]&0x80 != 0, tags: tagMap{}}
	length := 10 + synchsafe(h[6:])
	if h[5]&0x10 != 0 { // a footer
		length += 10
	}
	if r.version < 2 || r.version > 4 {
		return length, errDamaged
	}
	at, end := off+10, min(off+10+synchsafe(h[6:]), x.w.size)
	if h[5]&0x40 != 0 && r.version > 2 {
		b, err := x.w.bytes(at, 4)
		if err != nil {
			return length, err
		}
		if r.version == 4 {
			at += synchsafe(b)
		} else {
			at += 4 + int64(binary.BigEndian.Uint32(b))
		}
	}
	err = r.frames(at, end)
	r.merge()
	return length, err
}

// synchsafe reads a number of four times seven bits.
func synchsafe(b []byte) int64 {
	return int64(b[0]&0x7f)<<21 | int64(b[1]&0x7f)<<14 | int64(b[2]&0x7f)<<7 | int64(b[3]&0x7f)
}

type id3Reader struct {
	x       *extraction
	version byte
	unsync  bool
	tags    tagMap
	rating  int
}

func (r *id3Reader) frames(at, end int64) error {
	head := int64(10)
	if r.version == 2 {
		head = 6
	}
	for range 10_000 {
		if at+head > end {
			return nil
		}
		h, err := r.x.w.bytes(at, head)
		if err != nil {
			return err
		}
		if h[0] == 0 {
			return nil // padding
		}
		at += head
		var id string
		var n int64
		var flags byte
		switch r.version {
		case 2:
			id, n = id3Names[string(h[:3])], int64(h[3])<<16|int64(h[4])<<8|int64(h[5])
		case 3:
			id, n, flags = string(h[:4]), int64(binary.BigEndian.Uint32(h[4:])), h[9]>>4
		case 4:
			id, n, flags = string(h[:4]), synchsafe(h[4:]), h[9]
			if h[4]|h[5]|h[6]|h[7] >= 0x80 { // iTunes writes plain numbers
				n = int64(binary.BigEndian.Uint32(h[4:]))
			}
		}
		if n > end-at {
			return io.ErrUnexpectedEOF
		}
		packed := flags&0x0c != 0 // compressed or encrypted, in either version's bits
		if !packed && (n <= maxTag || id == "APIC" && n <= int64(r.x.limits.Picture)+maxTag && r.x.doc.Picture == nil) {
			b, err := r.x.w.bytes(at, n)
			if err != nil {
				return err
			}
			if r.version == 4 && flags&1 != 0 && len(b) >= 4 {
				b = b[4:] // its length once more
			}
			if r.unsync || r.version == 4 && flags&2 != 0 {
				b = bytes.ReplaceAll(b, []byte{0xff, 0}, []byte{0xff})
			}
			r.frame(id, b)
		}
		at += n
	}
	return errDamaged
}

// frame keeps one frame.
func (r *id3Reader) frame(id string, b []byte) {
	switch {
	case len(b) < 2 || id == "":
	case id == "APIC":
		r.apic(b)
	case id == "TXXX" || id == "WXXX":
		key, rest := id3Text(b[0], b[1:])
		value, _ := id3Text(b[0], rest)
		r.tags.add("TXXX:"+key, value)
	case id == "COMM" || id == "USLT":
		if len(b) < 5 {
			return
		}
		what, rest := id3Text(b[0], b[4:])
		value, _ := id3Text(b[0], rest)
		if what != "" {
			id += ":" + what // such as iTunNORM, which is no comment of anybody
		}
		r.tags.add(id, value)
	case id == "POPM":
		if i := bytes.IndexByte(b, 0); i >= 0 && i+1 < len(b) {
			r.rating = int(b[i+1])
			r.tags.add(id, r.rating)
		}
	case id[0] == 'T':
		var values []string
		for rest := b[1:]; len(rest) > 0 && len(values) < 100; {
			var v string
			if v, rest = id3Text(b[0], rest); v != "" {
				values = append(values, v)
			}
		}
		r.tags.add(id, strings.Join(values, "; "))
	}
}

// id3Text reads one text of an encoding, up to its end or NUL, and returns what is behind it.
func id3Text(encoding byte, b []byte) (string, []byte) {
	if encoding == 1 || encoding == 2 {
		for i := 0; i+1 < len(b); i += 2 {
			if b[i] == 0 && b[i+1] == 0 {
				return decodeUTF16(b[:i], encoding == 2), b[i+2:]
			}
		}
		return decodeUTF16(b, encoding == 2), nil
	}
	text, rest, _ := bytes.Cut(b, []byte{0})
	return latin1(text), rest
}

// apic keeps a picture: the encoding of its description, its type, its kind, the description, its
// bytes.
func (r *id3Reader) apic(b []byte) {
	encoding, b := b[0], b[1:]
	if r.version == 2 {
		if len(b) < 4 {
			return
		}
		b = b[3:] // the type as three letters
	} else {
		_, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return
		}
		b = rest
	}
	if len(b) < 2 {
		return
	}
	_, b = id3Text(encoding, b[1:])
	r.x.picture(b)
}

func (r *id3Reader) merge() {
	if len(r.tags) == 0 {
		return
	}
	if r.x.doc.Tags == nil {
		r.x.doc.Tags = r.tags
	}
	f, t := &r.x.facts, r.tags
	setText(&f.Title, t.text("TIT2"))
	setText(&f.Creator, t.text("TPE1"))
	setText(&f.Album, t.text("TALB"))
	setText(&f.AlbumArtist, t.text("TPE2"))
	setText(&f.Composer, t.text("TCOM"))
	setText(&f.Genre, genreOf(t.text("TCON")))
	setText(&f.Copyright, t.text("TCOP"))
	setText(&f.Comment, t.text("COMM", "TXXX:comment", "TXXX:Comment", "TXXX:COMMENT"))
	setInt(&f.Year, number(t.text("TDRC", "TYER", "TDRL", "TDOR")))
	if f.Track == 0 {
		f.Track, f.Tracks = pair(t.text("TRCK"))
	}
	if f.Disc == 0 {
		f.Disc, f.Discs = pair(t.text("TPOS"))
	}
	if r.rating > 0 { // 1 to 255
		setInt(&f.Rating, max(1, int(math.Round(float64(r.rating)*10/255))))
	}
}

// genreOf resolves numbers, alone or in brackets, as old tags have them.
func genreOf(s string) string {
	inner := s
	if strings.HasPrefix(s, "(") {
		var rest string
		inner, rest, _ = strings.Cut(s[1:], ")")
		if rest != "" {
			return rest
		}
	}
	if inner == "" || strings.Trim(inner, "0123456789") != "" {
		return s
	}
	if n := number(inner); n < len(genres) {
		return genres[n]
	}
	return s
}

// id3v1 reads the 128 bytes at the end, for what nothing else said.
func (x *extraction) id3v1(b []byte) {
	f := &x.facts
	field := func(from, to int) string {
		text, _, _ := bytes.Cut(b[from:to], []byte{0})
		return latin1(text)
	}
	setText(&f.Title, field(3, 33))
	setText(&f.Creator, field(33, 63))
	setText(&f.Album, field(63, 93))
	setInt(&f.Year, number(field(93, 97)))
	setText(&f.Comment, field(97, 127))
	if b[125] == 0 && b[126] != 0 {
		setInt(&f.Track, int(b[126]))
	}
	if int(b[127]) < len(genres) {
		setText(&f.Genre, genres[b[127]])
	}
}

// id3Names are the names of version 2.2 in those of its successors.
var id3Names = map[string]string{
	"TT2": "TIT2",
	"TP1": "TPE1",
	"TP2": "TPE2",
	"TAL": "TALB",
	"TCM": "TCOM",
	"TCO": "TCON",
	"TCR": "TCOP",
	"TRK": "TRCK",
	"TPA": "TPOS",
	"TYE": "TYER",
	"COM": "COMM",
	"PIC": "APIC",
	"POP": "POPM",
	"TXX": "TXXX",
	"ULT": "USLT",
	"TT1": "TIT1",
	"TT3": "TIT3",
	"TEN": "TENC",
	"TSS": "TSSE",
	"TBP": "TBPM",
}

// genres are those of ID3v1 by number, with the usual additions up to 79.
var genres = strings.Split(
	"Blues,Classic Rock,Country,Dance,Disco,Funk,Grunge,Hip-Hop,Jazz,Metal,New Age,Oldies,Other,Pop,R&B,Rap,Reggae,Rock,Techno,"+
		"Industrial,Alternative,Ska,Death Metal,Pranks,Soundtrack,Euro-Techno,Ambient,Trip-Hop,Vocal,Jazz+Funk,Fusion,Trance,Classical,Instrumental,Acid,House,"+
		"Game,Sound Clip,Gospel,Noise,Alternative Rock,Bass,Soul,Punk,Space,Meditative,Instrumental Pop,Instrumental Rock,Ethnic,Gothic,Darkwave,"+
		"Techno-Industrial,Electronic,Pop-Folk,Eurodance,Dream,Southern Rock,Comedy,Cult,Gangsta,Top 40,Christian Rap,Pop/Funk,Jungle,Native American,Cabaret,"+
		"New Wave,Psychedelic,Rave,Showtunes,Trailer,Lo-Fi,Tribal,Acid Punk,Acid Jazz,Polka,Retro,Musical,Rock & Roll,Hard Rock",
	",",
)
