package facts

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"strings"

	"mediafs/remote"
)

// vorbisComments reads the list of comments that FLAC, Vorbis, Opus and others share.
func (x *extraction) vorbisComments(b []byte) error {
	next := func() ([]byte, bool) {
		if len(b) < 4 {
			return nil, false
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, false
		}
		s := b[4 : 4+n]
		b = b[4+n:]
		return s, true
	}
	vendor, ok := next()
	if !ok || len(b) < 4 {
		return errDamaged
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	tags := tagMap{}
	for range count { // ends with the bytes, whatever the number
		c, ok := next()
		if !ok {
			x.mergeComments(tags)
			return io.ErrUnexpectedEOF
		}
		key, value, ok := strings.Cut(string(c), "=")
		if key = strings.ToUpper(key); !ok || len(key) > 100 {
			continue
		}
		if key == "METADATA_BLOCK_PICTURE" {
			if p, err := base64.StdEncoding.DecodeString(value); err == nil {
				x.flacPicture(p)
			}
			continue
		}
		switch old := tags[key].(type) {
		case nil:
			tags.add(key, value)
		case string:
			tags[key] = []string{old, value}
		case []string:
			if len(old) < remote.MaxTags {
				tags[key] = append(old, value)
			}
		}
	}
	if len(vendor) > 0 && len(vendor) < 256 {
		tags.add("VENDOR", string(vendor))
	}
	x.mergeComments(tags)
	return nil
}

func (x *extraction) mergeComments(tags tagMap) {
	if len(tags) > 0 {
		x.doc.Tags = tags
		x.mergeVorbis(tags)
	}
}

// mergeVorbis takes over tags with the names that Vorbis and Matroska have for them.
func (x *extraction) mergeVorbis(t tagMap) {
	f := &x.facts
	setText(&f.Title, t.text("TITLE"))
	setText(&f.Creator, t.text("ARTIST", "AUTHOR", "DIRECTOR"))
	setText(&f.Album, t.text("ALBUM"))
	setText(&f.AlbumArtist, t.text("ALBUMARTIST", "ALBUM_ARTIST", "ALBUM ARTIST"))
	setText(&f.Composer, t.text("COMPOSER"))
	setText(&f.Genre, t.text("GENRE"))
	setText(&f.Copyright, t.text("COPYRIGHT"))
	setText(&f.Comment, t.text("COMMENT"))
	if f.Class == remote.ClassAudio {
		setText(&f.Comment, t.text("DESCRIPTION")) // Vorbis's own name for one
	} else {
		setText(&f.Description, t.text("DESCRIPTION", "SYNOPSIS"))
	}
	if len(f.Keywords) == 0 {
		f.Keywords = keywords(t.text("KEYWORDS"))
	}
	if f.Album != "" || f.Class == remote.ClassAudio {
		setInt(&f.Year, number(t.text("DATE", "YEAR", "DATE_RELEASED")))
	}
	if f.Track == 0 {
		f.Track, f.Tracks = pair(t.text("TRACKNUMBER", "TRACK", "PART_NUMBER"))
		setInt(&f.Tracks, number(t.text("TRACKTOTAL", "TOTALTRACKS", "TOTAL_PARTS")))
	}
	if f.Disc == 0 {
		f.Disc, f.Discs = pair(t.text("DISCNUMBER", "DISC"))
		setInt(&f.Discs, number(t.text("DISCTOTAL", "TOTALDISCS")))
	}
	if r := t.float("FMPS_RATING"); r > 0 && r <= 1 {
		setInt(&f.Rating, int(math.Round(10*r)))
	} else if r := t.float("RATING"); r > 0 {
		switch {
		case r <= 5:
			setInt(&f.Rating, int(math.Round(2*r)))
		case r <= 100:
			setInt(&f.Rating, int(math.Round(r/10)))
		}
	}
	if p := parseISO6709(t.text("LOCATION")); p != nil && f.Place == nil {
		f.Place = p
	}
}

// flacPicture keeps the picture of a picture block: kind, type, description, sizes, bytes.
func (x *extraction) flacPicture(b []byte) {
	skip := func(n uint64) bool {
		if n > uint64(len(b)) {
			return false
		}
		b = b[n:]
		return true
	}
	long := func() uint64 {
		if len(b) < 4 {
			return math.MaxUint32
		}
		return uint64(binary.BigEndian.Uint32(b))
	}
	if !skip(4) || !skip(4+long()) || !skip(4+long()) || !skip(16) {
		return
	}
	if n := long(); n+4 <= uint64(len(b)) {
		x.picture(b[4 : 4+n])
	}
}

func (x *extraction) flac() error {
	at := int64(0)
	if bytes.HasPrefix(x.head, []byte("ID3")) { // some put one before it
		n, err := x.id3v2(0)
		if err != nil {
			return err
		}
		at = n
	}
	if b, err := x.w.bytes(at, 4); err != nil || string(b) != "fLaC" {
		return errDamaged
	}
	f := &x.facts
	f.AudioCodec = "flac"
	at += 4
	for range 1000 {
		h, err := x.w.bytes(at, 4)
		if err != nil {
			return err
		}
		n := int64(h[1])<<16 | int64(h[2])<<8 | int64(h[3])
		at += 4
		switch h[0] & 0x7f {
		case 0:
			b, err := x.w.bytes(at, 18)
			if err != nil {
				return err
			}
			f.SampleRate = int(b[10])<<12 | int(b[11])<<4 | int(b[12])>>4
			f.Channels = int(b[12]>>1&7) + 1
			samples := int64(b[13]&15)<<32 | int64(binary.BigEndian.Uint32(b[14:]))
			if f.SampleRate > 0 {
				f.Duration = float64(samples) / float64(f.SampleRate)
			}
		case 4:
			b, err := x.w.bytes(at, n)
			if err != nil {
				return err
			}
			x.attempt("the comments", func() error { return x.vorbisComments(b) })
		case 6:
			if n <= int64(x.limits.Picture)+64<<10 && x.doc.Picture == nil {
				b, err := x.w.bytes(at, n)
				if err != nil {
					return err
				}
				x.flacPicture(b)
			}
		}
		at += n
		if h[0]&0x80 != 0 {
			break
		}
	}
	if f.Duration > 0 {
		f.BitRate = int64(float64(max(0, x.w.size-at)) * 8 / f.Duration)
	}
	return nil
}

// ogg reads the first packets of the stream, and the last page for its length.
func (x *extraction) ogg() error {
	p := &oggReader{w: x.w}
	first, err := p.packet(0)
	if err != nil {
		return err
	}
	f := &x.facts
	var rate, skip int64
	strip := 0 // bytes before the comments of the second packet
	switch {
	case bytes.HasPrefix(first, []byte("\x01vorbis")) && len(first) >= 30:
		f.AudioCodec, f.Channels = "vorbis", int(first[11])
		f.SampleRate = int(binary.LittleEndian.Uint32(first[12:]))
		rate, strip = int64(f.SampleRate), 7
	case bytes.HasPrefix(first, []byte("OpusHead")) && len(first) >= 19:
		f.AudioCodec, f.Channels, f.SampleRate = "opus", int(first[9]), 48000 // what it is decoded to
		rate, skip, strip = 48000, int64(binary.LittleEndian.Uint16(first[10:])), 8
	case bytes.HasPrefix(first, []byte("\x7fFLAC")) && len(first) >= 35:
		f.AudioCodec = "flac"
		f.SampleRate = int(first[27])<<12 | int(first[28])<<4 | int(first[29])>>4
		f.Channels = int(first[29]>>1&7) + 1
		rate, strip = int64(f.SampleRate), 4
	case bytes.HasPrefix(first, []byte("Speex   ")) && len(first) >= 52:
		f.AudioCodec, f.SampleRate, f.Channels = "speex", int(
			binary.LittleEndian.Uint32(first[36:]),
		), int(
			binary.LittleEndian.Uint32(first[48:]),
		)
		rate = int64(f.SampleRate)
	case bytes.HasPrefix(first, []byte("\x80theora")) && len(first) >= 30:
		f.VideoCodec = "theora"
		f.Width = int(first[14])<<16 | int(first[15])<<8 | int(first[16])
		f.Height = int(first[17])<<16 | int(first[18])<<8 | int(first[19])
		if d := binary.BigEndian.Uint32(first[26:]); d > 0 {
			f.FrameRate = float64(binary.BigEndian.Uint32(first[22:])) / float64(d)
		}
		return nil // its sound is another stream between
	}
	if second, err := p.packet(p.serial); err == nil && strip > 0 && len(second) > strip {
		x.attempt("the comments", func() error { return x.vorbisComments(second[strip:]) })
	}
	if end, ok := p.last(); ok && rate > 0 && end > skip {
		f.Duration = float64(end-skip) / float64(rate)
		f.BitRate = int64(float64(x.w.size) * 8 / f.Duration)
	}
	return nil
}

// An oggReader puts packets together from pages.
type oggReader struct {
	w      *window
	at     int64
	serial uint32
	table  []byte // lengths of the page's segments that are not read yet
	began  bool
}

// packet returns the next packet of the stream, up to 16 MiB.
func (p *oggReader) packet(serial uint32) ([]byte, error) {
	var out []byte
	for range 100_000 {
		for len(p.table) == 0 {
			h, err := p.w.bytes(p.at, 27)
			if err != nil {
				return nil, err
			}
			if string(h[:4]) != "OggS" {
				return nil, errDamaged
			}
			table, err := p.w.bytes(p.at+27, int64(h[26]))
			if err != nil {
				return nil, err
			}
			p.at += 27 + int64(len(table))
			switch s := binary.LittleEndian.Uint32(h[14:]); {
			case !p.began:
				p.began, p.serial = true, s
				fallthrough
			case s == p.serial:
				p.table = table
			default:
				for _, n := range table {
					p.at += int64(n)
				}
			}
		}
		n := int64(p.table[0])
		p.table = p.table[1:]
		b, err := p.w.bytes(p.at, n)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
		p.at += n
		if n < 255 {
			return out, nil
		}
		if len(out) > 16<<20 {
			return nil, errDamaged
		}
	}
	return nil, errDamaged
}

// last is the position that the last page of the stream ends at, in samples.
func (p *oggReader) last() (int64, bool) {
	tail, err := p.w.upTo(max(0, p.w.size-blockSize), blockSize) // pages are shorter than that
	if err != nil {
		return 0, false
	}
	for {
		i := bytes.LastIndex(tail, []byte("OggS"))
		if i < 0 {
			return 0, false
		}
		if h := tail[i:]; len(h) >= 27 && binary.LittleEndian.Uint32(h[14:]) == p.serial {
			if g := int64(binary.LittleEndian.Uint64(h[6:])); g >= 0 {
				return g, true
			}
		}
		tail = tail[:i]
	}
}
