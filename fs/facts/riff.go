package facts

import (
	"encoding/binary"
	"io"
)

// riffChunks calls f for the chunks from off to end, up to a number that no sound or picture has of
// them.
func (x *extraction) riffChunks(off, end int64, f func(id string, off, n int64) error) error {
	for range 20_000 {
		if off+8 > end {
			return nil
		}
		h, err := x.w.bytes(off, 8)
		if err != nil {
			return err
		}
		n := int64(binary.LittleEndian.Uint32(h[4:]))
		if err := f(string(h[:4]), off+8, n); err != nil {
			return err
		}
		off += 8 + n + n&1
	}
	return errDamaged
}

// wavCodecs are the codecs by their number in the format chunk; PCM is told by its bits.
var wavCodecs = map[uint16]string{
	2:      "adpcm_ms",
	6:      "pcm_alaw",
	7:      "pcm_mulaw",
	0x11:   "adpcm_ima_wav",
	0x50:   "mp2",
	0x55:   "mp3",
	0xff:   "aac",
	0x2000: "ac3",
}

func (x *extraction) wav() error {
	f := &x.facts
	var rate, sound int64 // bytes a second, bytes
	tags := tagMap{}
	err := x.riffChunks(12, x.w.size, func(id string, off, n int64) error {
		switch id {
		case "fmt ":
			b, err := x.w.bytes(off, min(n, 40))
			if err != nil {
				return err
			}
			if len(b) < 16 {
				return errDamaged
			}
			format, bits := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[14:])
			f.Channels, f.SampleRate = int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint32(b[4:]))
			rate = int64(binary.LittleEndian.Uint32(b[8:]))
			if format == 0xfffe && len(b) >= 26 { // extensible: the number is further on
				format = binary.LittleEndian.Uint16(b[24:])
			}
			f.AudioCodec = wavCodec(format, bits)
		case "data":
			sound = max(0, min(n, x.w.size-off)) // recorders that were cut off leave 0 or 2^32-1
			if n == 0 || n == 1<<32-1 {
				sound = x.w.size - off
				return io.EOF
			}
		case "LIST":
			if kind, err := x.w.upTo(off, 4); err == nil && string(kind) == "INFO" {
				return x.riffChunks(off+4, min(off+n, x.w.size), func(id string, off, n int64) error {
					if n > 32<<10 {
						return nil
					}
					b, err := x.w.upTo(off, n)
					tags.add(id, latin1(b))
					return err
				})
			}
		case "id3 ", "ID3 ":
			x.attempt("the ID3 tag", func() error { _, err := x.id3v2(off); return err })
		}
		return nil
	})
	if err == io.EOF && sound > 0 {
		err = nil
	}
	if rate > 0 {
		f.Duration = float64(sound) / float64(rate)
		f.BitRate = 8 * rate
	}
	if len(tags) > 0 {
		if x.doc.Tags == nil {
			x.doc.Tags = tags
		}
		setText(&f.Title, tags.text("INAM"))
		setText(&f.Creator, tags.text("IART"))
		setText(&f.Album, tags.text("IPRD"))
		setText(&f.Genre, tags.text("IGNR"))
		setText(&f.Comment, tags.text("ICMT"))
		setText(&f.Copyright, tags.text("ICOP"))
		setText(&f.Software, tags.text("ISFT"))
		setInt(&f.Year, number(tags.text("ICRD")))
		setInt(&f.Track, number(tags.text("ITRK", "IPRT")))
		if len(f.Keywords) == 0 {
			f.Keywords = keywords(tags.text("IKEY"))
		}
	}
	return err
}

func wavCodec(format, bits uint16) string {
	switch {
	case format == 1 && bits == 8:
		return "pcm_u8"
	case format == 1 && bits == 16:
		return "pcm_s16le"
	case format == 1 && bits == 24:
		return "pcm_s24le"
	case format == 1 && bits == 32:
		return "pcm_s32le"
	case format == 3 && bits == 32:
		return "pcm_f32le"
	case format == 3 && bits == 64:
		return "pcm_f64le"
	}
	return wavCodecs[format]
}
