package facts

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// maxTag bounds one text among the tags of a film or sound.
const maxTag = 64 << 10

// udta has user data: QuickTime's texts, whose kinds begin with a copyright sign, or a metadata
// box.
func (r *filmReader) udta(kind string, off, end int64) error {
	switch {
	case kind == "meta":
		return r.meta(off, end)
	case kind[0] == 0xa9:
		b, err := r.x.w.upTo(off, min(end-off, maxTag))
		if err != nil {
			return err
		}
		if len(b) < 4 {
			return nil
		}
		n := int(binary.BigEndian.Uint16(b))
		text := b[4:]
		r.tags.add(itemName(kind), latin1(text[:min(n, len(text))]))
	case kind == "loci": // 3GPP: names, then 16.16 longitude, latitude, altitude
		b, err := r.x.w.upTo(off+6, min(end-off-6, 1024))
		if err != nil {
			return err
		}
		i := strings.IndexByte(string(b), 0)
		if i < 0 || len(b) < i+14 {
			return nil
		}
		fixed := func(at int) float64 { return float64(int32(binary.BigEndian.Uint32(b[at:]))) / 65536 }
		r.tags.add("loci", fmt.Sprintf("%+09.5f%+010.5f%+.2f/", fixed(i+6), fixed(i+2), fixed(i+10)))
	case kind == "XMP_":
		if p, err := r.x.w.bytes(off, end-off); err == nil && len(p) <= maxXMP {
			r.x.attempt("the XMP", func() error { return r.x.xmp(p) })
		}
	}
	return nil
}

// meta has items by kind (iTunes) or by number of a key (QuickTime). In MP4 a word of flags comes
// first, in QuickTime none.
func (r *filmReader) meta(off, end int64) error {
	if b, err := r.x.w.upTo(off, 8); err == nil && len(b) == 8 && string(b[4:8]) != "hdlr" {
		off += 4
	}
	return r.walk(off, end, func(kind string, off, end int64) error {
		switch kind {
		case "keys":
			return r.readKeys(off, end)
		case "ilst":
			return r.walk(off, end, r.item)
		}
		return nil
	})
}

func (r *filmReader) readKeys(off, end int64) error {
	r.keys = nil
	return r.walk(off+8, end, func(_ string, off, end int64) error {
		b, err := r.x.w.upTo(off, min(end-off, 256))
		if err == nil && len(r.keys) < maxTags {
			r.keys = append(r.keys, string(b))
		}
		return err
	})
}

func (r *filmReader) item(kind string, off, end int64) error {
	name := itemName(kind)
	if n := int(binary.BigEndian.Uint32([]byte(kind))); n >= 1 && n <= len(r.keys) {
		name = r.keys[n-1]
	}
	return r.walk(off, end, func(kind string, off, end int64) error {
		switch kind {
		case "name": // of a free one
			if b, err := r.x.w.upTo(off+4, min(end-off-4, 256)); err == nil {
				name = string(b)
			}
		case "data":
			return r.data(name, off, end)
		}
		return nil
	})
}

// data is the value of an item: a type, a locale, and bytes.
func (r *filmReader) data(name string, off, end int64) error {
	kind, err := r.x.w.be32(off)
	if err != nil {
		return err
	}
	off += 8
	if name == "covr" || name == "com.apple.quicktime.artwork" {
		if end-off > int64(r.x.limits.Picture) || end < off {
			return nil
		}
		p, err := r.x.w.bytes(off, end-off)
		if err != nil {
			return err
		}
		r.x.picture(p)
		return nil
	}
	b, err := r.x.w.upTo(off, min(end-off, maxTag))
	if err != nil && err != io.EOF {
		return err
	}
	switch {
	case (name == "trkn" || name == "disk") && len(b) >= 6:
		r.tags.add(name, fmt.Sprintf("%d/%d", binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:])))
	case name == "gnre" && len(b) == 2:
		if n := int(binary.BigEndian.Uint16(b)); n >= 1 && n <= len(genres) {
			r.tags.add(name, genres[n-1])
		}
	case kind&0xffffff == 1:
		r.tags.add(name, string(b))
	case kind&0xffffff == 2:
		r.tags.add(name, decodeUTF16(b, true))
	case (kind&0xffffff == 21 || kind&0xffffff == 0) && len(b) > 0 && len(b) <= 4: // an integer
		n := int64(int8(b[0]))
		for _, c := range b[1:] {
			n = n<<8 | int64(c)
		}
		r.tags.add(name, n)
	}
	return nil
}

// itemName writes kinds in UTF-8: they are in Mac OS Roman, of which only the copyright sign
// occurs.
func itemName(kind string) string {
	return latin1([]byte(kind))
}

func (r *filmReader) mergeTags(sound bool) {
	const apple = "com.apple.quicktime."
	f, t := &r.x.facts, r.tags
	get := func(names ...string) string { return t.text(names...) }
	setText(&f.Title, get("©nam", apple+"title", apple+"displayname", "title"))
	setText(&f.Description, get("desc", "ldes", "©des", apple+"description", "description"))
	setText(&f.Creator, get("©ART", apple+"artist", apple+"author", "©aut", "artist"))
	setText(&f.Copyright, get("cprt", "©cpy", apple+"copyright"))
	setText(&f.Album, get("©alb", apple+"album"))
	setText(&f.AlbumArtist, get("aART"))
	setText(&f.Composer, get("©wrt", "©com", apple+"composer"))
	setText(&f.Genre, get("©gen", "gnre", apple+"genre"))
	setText(&f.Comment, get("©cmt", apple+"comment"))
	setText(&f.Make, get("©mak", apple+"make"))
	setText(&f.Model, get("©mod", apple+"model"))
	setText(&f.Lens, get(apple+"camera.lens_model"))
	setText(&f.Software, get("©swr", "©too", apple+"software"))
	if f.Place == nil {
		f.Place = parseISO6709(get(apple+"location.ISO6709", "©xyz", "loci"))
	}
	if len(f.Keywords) == 0 {
		f.Keywords = keywords(get("keyw", apple+"keywords"))
	}
	if f.Track == 0 {
		f.Track, f.Tracks = pair(get("trkn"))
	}
	if f.Disc == 0 {
		f.Disc, f.Discs = pair(get("disk"))
	}
	day := get("©day", apple+"year")
	if sound || f.Album != "" {
		setInt(&f.Year, number(day))
	}
	if made, zone, ok := parseTime(get(apple+"creationdate", "©day")); ok && !sound && zone {
		f.Taken, f.TakenZone = made, zone
	}
}
