package facts

import (
	"bytes"
	"encoding/binary"
	"image"
	_ "image/jpeg" // image.DecodeConfig
	"io"

	"github.com/bep/imagemeta"
)

// A JPEG's segments, and the others' headers, are read by a library that reads nothing else;
// sources it has for a format are all asked for.
const allSources = imagemeta.EXIF | imagemeta.IPTC | imagemeta.XMP | imagemeta.CONFIG

func (x *extraction) jpeg() error {
	err := x.described(imagemeta.JPEG, x.w.section(0, x.w.size))
	if x.facts.Width == 0 && x.w.failure == nil {
		// Frames of rarer sorts, and padding between segments.
		if c, _, e := image.DecodeConfig(x.w.section(0, min(x.w.size, 1<<20))); e == nil {
			x.facts.Width, x.facts.Height = c.Width, c.Height
		} else if err == nil {
			err = errDamaged
		}
	}
	return err
}

func (x *extraction) tiff() error { return x.described(imagemeta.TIFF, x.w.section(0, x.w.size)) }

// heif reads pictures coded as films are. Their turn is a step of decoding, and done in the size
// that is told here.
func (x *extraction) heif() error {
	err := x.described(imagemeta.HEIF, x.w.section(0, x.w.size))
	x.facts.Orientation = 1
	return err
}

func (x *extraction) raw() error {
	format := map[string]imagemeta.ImageFormat{
		"image/x-adobe-dng": imagemeta.DNG, "image/x-canon-cr2": imagemeta.CR2, "image/x-nikon-nef": imagemeta.NEF,
		"image/x-sony-arw": imagemeta.ARW, "image/x-pentax-pef": imagemeta.PEF,
	}[x.facts.Type]
	return x.described(format, x.w.section(0, x.w.size))
}

func (x *extraction) bmp() error {
	if len(x.head) < 26 {
		return io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(x.head[14:]) == 12 { // OS/2's header
		x.facts.Width, x.facts.Height = int(
			binary.LittleEndian.Uint16(x.head[18:]),
		), int(
			binary.LittleEndian.Uint16(x.head[20:]),
		)
		return nil
	}
	w, h := int32(binary.LittleEndian.Uint32(x.head[18:])), int32(binary.LittleEndian.Uint32(x.head[22:]))
	x.facts.Width, x.facts.Height = int(w), max(int(h), -int(h)) // negative: rows from the top
	return nil
}

// webp walks the chunks by itself, since the library takes chunks of odd lengths to be unpadded.
func (x *extraction) webp() error {
	if _, err := x.decode(
		imagemeta.Options{
			ImageFormat: imagemeta.WebP,
			R:           x.w.section(0, min(x.w.size, 1<<20)),
			Sources:     imagemeta.CONFIG,
		},
	); err != nil {
		return err
	}
	var exif [2]int64
	err := x.riffChunks(12, x.w.size, func(id string, off, n int64) error {
		switch id {
		case "EXIF":
			exif = [2]int64{off, n}
		case "XMP ":
			p, err := x.w.bytes(off, n)
			if err != nil {
				return err
			}
			return x.xmp(p)
		case "ANMF":
			x.facts.Frames++
			if b, err := x.w.bytes(off+12, 3); err == nil {
				x.facts.Duration += float64(int(b[0])|int(b[1])<<8|int(b[2])<<16) / 1000
			}
		}
		return nil
	})
	if exif[0] > 0 {
		x.attempt("the EXIF", func() error { return x.exif(exif[0], exif[1]) })
	}
	return err
}

// exif reads the n bytes from off on as what EXIF is: a TIFF file, maybe with "Exif" before it.
func (x *extraction) exif(off, n int64) error {
	if p, err := x.w.upTo(off, min(n, 6)); err == nil && bytes.Equal(p, []byte("Exif\x00\x00")) {
		off, n = off+6, n-6
	}
	return x.describedBy(imagemeta.TIFF, x.w.section(off, min(n, x.w.size-off)), imagemeta.EXIF)
}

// described reads all that a picture says of itself.
func (x *extraction) described(format imagemeta.ImageFormat, r io.ReadSeeker) error {
	return x.describedBy(format, r, allSources)
}

func (x *extraction) describedBy(format imagemeta.ImageFormat, r io.ReadSeeker, sources imagemeta.Source) error {
	exif, thumbnail := tagMap{}, tagMap{}
	iptc := tagMap{}
	var packets [][]byte
	wrong, err := x.decode(imagemeta.Options{
		ImageFormat: format, R: r, Sources: sources,
		ShouldHandleTag: func(imagemeta.TagInfo) bool { return true },
		HandleTag: func(t imagemeta.TagInfo) error {
			switch {
			case t.Source == imagemeta.IPTC:
				iptc.add(t.Tag, t.Value)
			case t.Source != imagemeta.EXIF:
			case len(t.Namespace) >= 4 && t.Namespace[:4] == "IFD1":
				thumbnail.add(t.Tag, t.Value)
			default:
				exif.add(t.Tag, t.Value)
			}
			return nil
		},
		HandleXMP: func(r io.Reader) error {
			p, err := io.ReadAll(io.LimitReader(r, maxXMP+1))
			if err == nil && len(p) <= maxXMP && len(packets) < 8 {
				packets = append(packets, p)
			}
			_, _ = io.Copy(io.Discard, r)
			return nil
		},
	})
	// The order matters: the first to say something is believed. Of the moment that is the camera;
	// of texts XMP, which people edit, then IPTC.
	x.mergeCamera(exif)
	for _, p := range packets {
		x.attempt("the XMP", func() error { return x.xmp(p) })
	}
	x.mergeIPTC(iptc)
	x.mergeCaptions(exif)
	x.thumbnail(thumbnail)
	if err == nil {
		err = wrong
	}
	return err
}

// decode runs the library. Warnings are no errors: it goes on after them.
func (x *extraction) decode(o imagemeta.Options) (wrong, err error) {
	result, err := imagemeta.Decode(o)
	if o.Sources.Has(imagemeta.CONFIG) && result.ImageConfig.Width > 0 {
		x.facts.Width, x.facts.Height = result.ImageConfig.Width, result.ImageConfig.Height
	}
	if imagemeta.IsInvalidFormat(err) {
		return err, nil
	}
	return nil, err
}

// thumbnail takes the small picture that cameras put beside EXIF.
func (x *extraction) thumbnail(t tagMap) {
	off, n := int64(t.number("ThumbnailOffset")), int64(t.number("ThumbnailLength"))
	if off <= 0 || n <= 0 || n > int64(x.limits.Picture) || x.doc.Picture != nil {
		return
	}
	if p, err := x.w.bytes(off, n); err == nil {
		x.picture(p)
	}
}

// picture keeps an embedded picture, the first one that is one. Its type is told by its bytes: what
// the tag says is often wrong.
func (x *extraction) picture(p []byte) {
	if x.doc.Picture != nil || len(p) == 0 || len(p) > x.limits.Picture {
		return
	}
	switch t := typeOf(p[:min(len(p), 4096)], ""); t {
	case "image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/avif", "image/heic":
		x.facts.PictureType, x.doc.Picture = t, bytes.Clone(p)
	}
}
