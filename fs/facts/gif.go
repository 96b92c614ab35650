package facts

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxGIF is how far a GIF is read to count its frames: nothing but a walk over all of it tells
// them.
const maxGIF = 16 << 20

func (x *extraction) gif() error {
	h, err := x.w.bytes(0, 13)
	if err != nil {
		return err
	}
	f := &x.facts
	f.Width, f.Height = int(binary.LittleEndian.Uint16(h[6:])), int(binary.LittleEndian.Uint16(h[8:]))
	at := int64(13) + palette(h[10])
	frames, hundredths := 0, 0
	tags := tagMap{}
	for at < maxGIF {
		b, err := x.w.upTo(at, 19)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return io.ErrUnexpectedEOF
		}
		b = append(b, make([]byte, 19-len(b))...)
		switch b[0] {
		case 0x21: // an extension
			at += 2
			switch {
			case b[1] == 0xf9 && b[2] == 4:
				hundredths += int(binary.LittleEndian.Uint16(b[4:]))
			case b[1] == 0xff && b[2] == 11 && string(b[3:14]) == "NETSCAPE2.0" && b[14] == 3:
				tags.add("Loops", int(binary.LittleEndian.Uint16(b[16:]))) // 0: for ever
			case b[1] == 0xfe:
				if c, err := x.w.upTo(at+1, int64(b[2])); err == nil {
					tags.add("Comment", latin1(c))
				}
			}
		case 0x2c: // a picture
			frames++
			at += 10 + palette(b[9]) + 1
		case 0x3b: // the end
			if frames > 1 {
				f.Frames, f.Duration = frames, float64(hundredths)/100
			}
			setText(&f.Comment, tags.text("Comment"))
			x.doc.Tags = tags
			return nil
		default:
			return errDamaged
		}
		for { // the data, in blocks of up to 255 bytes
			var n [1]byte
			if _, err := x.w.ReadAt(n[:], at); err != nil {
				return err
			}
			at += 1 + int64(n[0])
			if n[0] == 0 {
				break
			}
		}
	}
	return errors.New("too long to count its frames")
}

// palette is the length of the colour table that a byte of flags speaks of.
func palette(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}
