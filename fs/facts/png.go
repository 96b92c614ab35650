package facts

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"strings"
)

// maxText bounds one text of a PNG after it was inflated.
const maxInflated = 1 << 20

// png walks the chunks: the size, the texts, EXIF. Of the picture's own chunks a few are stepped
// over; when there are more, the rest of what is told stands at the end and is looked for there, so
// that the picture need not be read.
func (x *extraction) png() error {
	p := &pngReader{x: x, texts: tagMap{}}
	err := p.walk(8)
	x.attempt("the XMP", p.xmp)
	x.attempt("the EXIF", p.exif)
	p.merge()
	return err
}

type pngReader struct {
	x        *extraction
	texts    tagMap
	packet   []byte
	exifAt   int64
	exifSize int64
	parts    int // IDAT chunks
}

func (p *pngReader) walk(at int64) error {
	const enough = 16
	for range 10_000 {
		head, err := p.x.w.bytes(at, 8)
		if err != nil {
			return err
		}
		n, kind := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		if n > 1<<31-1 {
			return errDamaged
		}
		if kind == "IEND" {
			return nil
		}
		if err := p.chunk(kind, at+8, n); err != nil {
			return err
		}
		at += 12 + n
		if kind == "IDAT" {
			if p.parts++; p.parts == enough {
				if tail := p.tail(at); tail > at {
					at = tail
				}
			}
		}
	}
	return errDamaged
}

// tail finds a chunk in the last block from which chunks follow one another to the end; 0 when
// there is none.
func (p *pngReader) tail(from int64) int64 {
	start := max(from, p.x.w.size-blockSize/2)
	b, err := p.x.w.upTo(start, blockSize/2)
	if err != nil {
		return 0
	}
	for i := 4; i+4 <= len(b); i++ {
		switch string(b[i : i+4]) {
		case "tEXt", "zTXt", "iTXt", "eXIf", "IEND":
		default:
			continue
		}
		for at := i - 4; ; {
			if at+12 > len(b) {
				break
			}
			n := int(binary.BigEndian.Uint32(b[at:]))
			if n > len(b) {
				break
			}
			if string(b[at+4:at+8]) == "IEND" {
				return start + int64(i-4)
			}
			at += 12 + n
		}
	}
	return 0
}

func (p *pngReader) chunk(kind string, off, n int64) error {
	x := p.x
	switch kind {
	case "IHDR":
		b, err := x.w.bytes(off, 8)
		if err != nil {
			return err
		}
		x.facts.Width, x.facts.Height = int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
	case "acTL":
		frames, err := x.w.be32(off)
		if err != nil {
			return err
		}
		x.facts.Frames = int(frames)
	case "eXIf":
		p.exifAt, p.exifSize = off, n
	case "tEXt", "zTXt", "iTXt":
		if n > maxInflated {
			return nil
		}
		b, err := x.w.bytes(off, n)
		if err != nil {
			return err
		}
		p.text(kind, b)
	}
	return nil
}

// text keeps one text chunk: key, and what it says.
func (p *pngReader) text(kind string, b []byte) {
	k, b, ok := bytes.Cut(b, []byte{0})
	if !ok || len(k) > 79 {
		return
	}
	key, value := latin1(k), ""
	switch kind {
	case "tEXt":
		value = latin1(b)
	case "zTXt":
		if len(b) < 1 || b[0] != 0 {
			return
		}
		value = latin1(inflate(b[1:]))
	case "iTXt":
		if len(b) < 2 {
			return
		}
		packed := b[0] == 1
		_, b, ok = bytes.Cut(b[2:], []byte{0}) // language
		if ok {
			_, b, ok = bytes.Cut(b, []byte{0}) // the key in that language
		}
		if !ok {
			return
		}
		if packed {
			b = inflate(b)
		}
		value = string(b)
	}
	switch {
	case key == "XML:com.adobe.xmp":
		p.packet = []byte(value)
	case strings.HasPrefix(key, "Raw profile"): // ImageMagick's way, in hexadecimal
	case value != "":
		p.texts.add(key, value)
	}
}

func inflate(b []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(z, maxInflated))
	return out
}

func (p *pngReader) xmp() error {
	if p.packet == nil {
		return nil
	}
	return p.x.xmp(p.packet)
}

func (p *pngReader) exif() error {
	if p.exifSize == 0 {
		return nil
	}
	return p.x.exif(p.exifAt, p.exifSize)
}

func (p *pngReader) merge() {
	if len(p.texts) == 0 {
		return
	}
	f := &p.x.facts
	p.x.doc.Tags = p.texts
	setText(&f.Title, p.texts.text("Title"))
	setText(&f.Description, p.texts.text("Description"))
	setText(&f.Creator, p.texts.text("Author"))
	setText(&f.Copyright, p.texts.text("Copyright"))
	setText(&f.Software, p.texts.text("Software"))
	setText(&f.Comment, p.texts.text("Comment"))
	made := p.texts.text("Creation Time", "create-date")
	if t, zone, ok := parseTime(made); ok {
		p.x.took(t, zone)
	} else if t, ok := parseMailTime(made); ok {
		p.x.took(t, true)
	}
}
