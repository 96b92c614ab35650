package facts

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bep/imagemeta"

	"mediafs/remote"
)

// A filmReader reads the boxes of MP4, QuickTime and their kin: of the index only headers, whose
// places follow from one another. Boxes are visited where the formats have them and nowhere else,
// so that depth is bounded by this file; their number is by maxBoxes.
type filmReader struct {
	x     *extraction
	boxes int
	movie float64 // seconds, as the whole says
	longest,
	fragments float64 // seconds of the longest track; of all fragments, in units of scale
	scale  uint32
	made   time.Time
	tracks []*track
	keys   []string // names of the items of a metadata box
	tags   tagMap
	found  bool // the index
}

// A track is one stream of a film.
type track struct {
	kind          string // "vide", "soun", or what else the handler says
	codec         string
	width, height int
	orientation   int
	rate          int
	channels      int
	scale         uint32
	duration      uint64 // in units of scale
	samples       uint32
}

const maxBoxes = 50_000

// errEnough ends a walk over boxes or elements before their end: what follows is not wanted.
var errEnough = errors.New("enough")

func (x *extraction) film() error {
	r := &filmReader{x: x, tags: tagMap{}}
	err := r.walk(0, x.w.size, r.top)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if !r.found && err == nil {
		err = io.ErrUnexpectedEOF
	}
	r.finish()
	return err
}

// walk calls f for each box from off to end. A box that says it is longer than what it lies in is
// cut; f decides by errors alone.
func (r *filmReader) walk(off, end int64, f func(kind string, off, end int64) error) error {
	for off+8 <= end {
		if r.boxes++; r.boxes > maxBoxes {
			return errDamaged
		}
		h, err := r.x.w.upTo(off, 16)
		if err != nil {
			return err
		}
		n, head := int64(binary.BigEndian.Uint32(h)), int64(8)
		switch {
		case n == 1 && len(h) == 16:
			n, head = int64(binary.BigEndian.Uint64(h[8:])), 16
		case n == 0:
			n = end - off
		}
		if n < head {
			return errDamaged
		}
		stop := end
		if n < end-off {
			stop = off + n
		}
		if err := f(string(h[4:8]), off+head, stop); err != nil {
			return err
		}
		if n > end-off {
			return io.ErrUnexpectedEOF
		}
		off += n
	}
	return nil
}

var (
	uuidXMP   = "be7acfcb97a942e89c71999491e3afac"
	uuidCanon = "85c0b687820f11e08111f4ce462b6a48" // of a CR3: EXIF, in three pieces
)

func (r *filmReader) top(kind string, off, end int64) error {
	switch kind {
	case "moov":
		r.found = true
		return r.walk(off, end, r.moov)
	case "sidx":
		return r.sidx(off)
	case "uuid":
		return r.uuid(off, end)
	case "moof":
		if r.found {
			return errEnough // fragments to the end: what they hold in all is said before
		}
	}
	return nil
}

func (r *filmReader) uuid(off, end int64) error {
	id, err := r.x.w.upTo(off, 16)
	if err != nil {
		return err
	}
	switch hex.EncodeToString(id) {
	case uuidXMP:
		if p, err := r.x.w.bytes(off+16, end-off-16); err == nil && len(p) <= maxXMP {
			r.x.attempt("the XMP", func() error { return r.x.xmp(p) })
		}
	case uuidCanon:
		return r.walk(off+16, end, func(kind string, off, end int64) error {
			if kind == "CMT1" || kind == "CMT2" || kind == "CMT4" {
				r.x.attempt("the EXIF", func() error {
					return r.x.describedBy(imagemeta.TIFF, r.x.w.section(off, end-off), imagemeta.EXIF)
				})
			}
			return nil
		})
	}
	return nil
}

func (r *filmReader) moov(kind string, off, end int64) error {
	switch kind {
	case "mvhd":
		made, scale, duration, err := r.header(off)
		if err != nil {
			return err
		}
		if scale > 0 && duration != math.MaxUint32 && duration != math.MaxUint64 {
			r.movie = float64(duration) / float64(scale)
		}
		r.made, r.scale = made, scale
	case "trak":
		if len(r.tracks) >= 64 {
			return nil
		}
		t := &track{}
		r.tracks = append(r.tracks, t)
		return r.walk(off, end, func(kind string, off, end int64) error { return r.trak(t, kind, off, end) })
	case "mvex":
		return r.walk(off, end, func(kind string, off, end int64) error {
			if kind == "mehd" {
				r.fragments = r.mehd(off)
			}
			return nil
		})
	case "udta":
		return r.walk(off, end, r.udta)
	case "meta":
		return r.meta(off, end)
	case "uuid":
		return r.uuid(off, end)
	}
	return nil
}

// header reads what the headers of movie and media begin with: when it was made, units a second,
// length in them.
func (r *filmReader) header(off int64) (made time.Time, scale uint32, duration uint64, err error) {
	b, err := r.x.w.upTo(off, 32)
	if err != nil || len(b) < 20 {
		return time.Time{}, 0, 0, io.ErrUnexpectedEOF
	}
	var seconds uint64
	if b[0] == 1 {
		if len(b) < 32 {
			return time.Time{}, 0, 0, io.ErrUnexpectedEOF
		}
		seconds, scale, duration = binary.BigEndian.Uint64(
			b[4:],
		), binary.BigEndian.Uint32(
			b[20:],
		), binary.BigEndian.Uint64(
			b[24:],
		)
	} else {
		seconds, scale, duration = uint64(
			binary.BigEndian.Uint32(b[4:]),
		), binary.BigEndian.Uint32(
			b[12:],
		), uint64(
			binary.BigEndian.Uint32(b[16:]),
		)
	}
	const from1904 = 2082844800 // seconds until 1970
	switch {
	case seconds > from1904 && seconds < 1<<34:
		made = time.Unix(int64(seconds)-from1904, 0).UTC()
	case seconds > 1e9 && seconds < from1904: // writers that count from 1970 all the same
		made = time.Unix(int64(seconds), 0).UTC()
	}
	return made, scale, duration, nil
}

// mehd is the length of all fragments, which the header before does not count.
func (r *filmReader) mehd(off int64) float64 {
	b, err := r.x.w.upTo(off, 12)
	if err != nil || len(b) < 8 {
		return 0
	}
	n := uint64(binary.BigEndian.Uint32(b[4:]))
	if b[0] == 1 && len(b) == 12 {
		n = binary.BigEndian.Uint64(b[4:])
	}
	return float64(n)
}

// sidx adds up the segments of an index of fragments.
func (r *filmReader) sidx(off int64) error {
	b, err := r.x.w.upTo(off, 32+12*4096)
	if err != nil {
		return err
	}
	at := 20
	if len(b) > 0 && b[0] == 1 {
		at = 28
	}
	if len(b) < at+4 {
		return nil
	}
	scale, count := binary.BigEndian.Uint32(b[8:]), int(binary.BigEndian.Uint16(b[at+2:]))
	sum := 0.0
	for i := range min(count, 4096) {
		if e := at + 4 + 12*i; e+12 <= len(b) {
			sum += float64(binary.BigEndian.Uint32(b[e+4:]))
		}
	}
	if scale > 0 {
		r.longest = max(r.longest, sum/float64(scale))
	}
	return nil
}

func (r *filmReader) trak(t *track, kind string, off, end int64) error {
	inside := func(kind string, off, end int64) error { return r.trak(t, kind, off, end) }
	switch kind {
	case "mdia", "minf", "stbl":
		return r.walk(off, end, inside)
	case "tkhd":
		b, err := r.x.w.upTo(off, 96)
		if err != nil {
			return err
		}
		at := 40
		if len(b) > 0 && b[0] == 1 {
			at = 52
		}
		if len(b) >= at+36 {
			t.orientation = turn(b[at:])
		}
	case "mdhd":
		_, scale, duration, err := r.header(off)
		if err != nil {
			return err
		}
		if duration != math.MaxUint32 && duration != math.MaxUint64 {
			t.scale, t.duration = scale, duration
		}
	case "hdlr":
		b, err := r.x.w.bytes(off+8, 4)
		if err != nil {
			return err
		}
		if t.kind == "" { // QuickTime has a second one, of the data
			t.kind = string(b)
		}
	case "stsd":
		return r.stsd(t, off, end)
	case "stsz", "stz2":
		n, err := r.x.w.be32(off + 8)
		if err != nil {
			return err
		}
		t.samples = n
	case "udta":
		if t.kind != "soun" { // a track's name is of no use, but some phones put the place there
			return r.walk(off, end, r.udta)
		}
	}
	return nil
}

// turn is the EXIF orientation of a matrix of 16.16 numbers: quarter turns; all others show as they
// are.
func turn(b []byte) int {
	const one = 1 << 16
	m := [4]int32{
		int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:])),
		int32(binary.BigEndian.Uint32(b[12:])), int32(binary.BigEndian.Uint32(b[16:])),
	}
	switch m {
	case [4]int32{one, 0, 0, one}:
		return 1
	case [4]int32{0, one, -one, 0}:
		return 6
	case [4]int32{-one, 0, 0, -one}:
		return 3
	case [4]int32{0, -one, one, 0}:
		return 8
	}
	return 0
}

// stsd describes the samples; the first description counts.
func (r *filmReader) stsd(t *track, off, end int64) error {
	b, err := r.x.w.upTo(off+8, min(1024, end-off-8))
	if err != nil {
		return err
	}
	if len(b) < 16 {
		return io.ErrUnexpectedEOF
	}
	name := string(b[4:8])
	switch t.kind {
	case "vide":
		t.codec = filmCodecs[name]
		if len(b) >= 36 {
			t.width, t.height = int(binary.BigEndian.Uint16(b[32:])), int(binary.BigEndian.Uint16(b[34:]))
		}
	case "soun":
		t.codec = filmCodecs[name]
		if len(b) < 36 {
			return nil
		}
		t.channels, t.rate = int(binary.BigEndian.Uint16(b[24:])), int(binary.BigEndian.Uint16(b[32:]))
		if version := binary.BigEndian.Uint16(b[16:]); version == 2 && len(b) >= 64 { // QuickTime's, for high rates
			t.rate = int(math.Float64frombits(binary.BigEndian.Uint64(b[40:])))
			t.channels = int(binary.BigEndian.Uint32(b[48:]))
		}
		switch name {
		case "mp4a":
			if i := strings.Index(string(b), "esds"); i >= 0 {
				codec, channels := elementary(b[i+4:])
				if codec != "" {
					t.codec = codec
				}
				if channels > 0 { // the box before it says 2 whatever there is
					t.channels = channels
				}
			}
		case "sowt":
			t.codec = "pcm_s16le"
		case "twos":
			t.codec = "pcm_s16be"
		}
	}
	return nil
}

// elementary reads the descriptors of an elementary stream: what it is, and the channels of AAC.
func elementary(b []byte) (codec string, channels int) {
	b = b[min(len(b), 4):] // version and flags
	for len(b) >= 2 {
		tag := b[0]
		n := 0
		for i := 1; ; i++ {
			if i >= len(b) || i > 4 {
				return codec, channels
			}
			n = n<<7 | int(b[i]&0x7f)
			if b[i]&0x80 == 0 {
				b = b[i+1:]
				break
			}
		}
		switch tag {
		case 3: // of the stream: what is inside follows three bytes, if no flag says more
			if len(b) < 3 || b[2]&0xe0 != 0 {
				return codec, channels
			}
			b = b[3:]
		case 4: // of its decoder
			if len(b) < 13 {
				return codec, channels
			}
			codec, b = objectTypes[b[0]], b[13:]
		case 5: // for the decoder
			if codec == "aac" && len(b) >= 2 && b[0]>>3 != 31 && (b[0]&7)<<1|b[1]>>7 != 15 {
				channels = [16]int{0, 1, 2, 3, 4, 5, 6, 8}[b[1]>>3&15]
			}
			return codec, channels
		default:
			b = b[min(n, len(b)):]
		}
	}
	return codec, channels
}

// objectTypes are MPEG-4's numbers of codecs.
var objectTypes = map[byte]string{
	0x40: "aac",
	0x66: "aac",
	0x67: "aac",
	0x68: "aac",
	0x69: "mp3",
	0x6b: "mp3",
	0xa5: "ac3",
	0xa6: "eac3",
	0xa9: "dts",
	0xad: "opus",
}

// filmCodecs are ffprobe's names of the four letters by which films say how they are coded.
var filmCodecs = map[string]string{
	"avc1": "h264",
	"avc3": "h264",
	"dva1": "h264",
	"dvav": "h264",
	"hvc1": "hevc",
	"hev1": "hevc",
	"dvh1": "hevc",
	"dvhe": "hevc",
	"vvc1": "vvc",
	"av01": "av1",
	"vp08": "vp8",
	"vp09": "vp9",
	"mp4v": "mpeg4",
	"s263": "h263",
	"h263": "h263",
	"jpeg": "mjpeg",
	"mjpa": "mjpeg",
	"mjp2": "jpeg2000",
	"apch": "prores",
	"apcn": "prores",
	"apcs": "prores",
	"apco": "prores",
	"ap4h": "prores",
	"ap4x": "prores",
	"AVdn": "dnxhd",
	"AVdh": "dnxhd",
	"dvc ": "dvvideo",
	"dvcp": "dvvideo",
	"dvpp": "dvvideo",
	"rle ": "qtrle",
	"SVQ1": "svq1",
	"SVQ3": "svq3",
	"cvid": "cinepak",
	"png ": "png",
	"mp4a": "aac",
	".mp3": "mp3",
	"ac-3": "ac3",
	"ec-3": "eac3",
	"alac": "alac",
	"Opus": "opus",
	"fLaC": "flac",
	"samr": "amr_nb",
	"sawb": "amr_wb",
	"lpcm": "pcm_s16le",
	"in24": "pcm_s24be",
	"in32": "pcm_s32be",
	"fl32": "pcm_f32be",
	"ulaw": "pcm_mulaw",
	"alaw": "pcm_alaw",
	"ima4": "adpcm_ima_qt",
	"dtsc": "dts",
}

func (r *filmReader) finish() {
	f := &r.x.facts
	scaled := func(t *track) float64 {
		if t.scale == 0 {
			return 0
		}
		return float64(t.duration) / float64(t.scale)
	}
	var streams []any
	for _, t := range r.tracks {
		r.longest = max(r.longest, scaled(t))
		s := map[string]any{"kind": t.kind, "codec": t.codec, "duration": scaled(t)}
		switch t.kind {
		case "vide":
			if t.codec != "" || f.VideoCodec == "" {
				setText(&f.VideoCodec, t.codec)
			}
			if f.Width == 0 {
				f.Width, f.Height, f.Orientation = t.width, t.height, t.orientation
			}
			if d := scaled(t); d > 0 {
				setFloat(&f.FrameRate, math.Round(float64(t.samples)/d*1000)/1000)
			}
			s["width"], s["height"] = t.width, t.height
		case "soun":
			setText(&f.AudioCodec, t.codec)
			setInt(&f.SampleRate, t.rate)
			setInt(&f.Channels, t.channels)
			s["sample_rate"], s["channels"] = t.rate, t.channels
		default:
			continue
		}
		streams = append(streams, s)
	}
	r.x.doc.Streams = streams
	if f.Type == "image/x-canon-cr3" {
		f.VideoCodec, f.FrameRate, r.movie, r.longest, r.fragments = "", 0, 0, 0, 0
		return
	}
	f.Duration = r.movie
	if f.Duration == 0 && r.scale > 0 {
		f.Duration = r.fragments / float64(r.scale)
	}
	if f.Duration == 0 {
		f.Duration = r.longest
	}
	if f.Duration > 0 {
		f.BitRate = int64(float64(r.x.w.size) * 8 / f.Duration)
	}
	sound := f.VideoCodec == "" && f.Width == 0 && f.AudioCodec != ""
	if sound && f.Type == "video/mp4" {
		f.Type, f.Class = "audio/mp4", remote.ClassAudio
	}
	if len(r.tags) > 0 {
		r.x.doc.Tags = r.tags
		r.mergeTags(sound)
	}
	if !sound && !r.made.IsZero() {
		r.x.took(r.made, true)
	}
}

// parseISO6709 reads "+38.7139-009.1394+042.500/".
func parseISO6709(s string) *remote.Place {
	var n []float64
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	s, _, _ = strings.Cut(s, "CRS")
	for s != "" && len(n) < 3 && (s[0] == '+' || s[0] == '-') {
		end := strings.IndexAny(s[1:], "+-")
		if end < 0 {
			end = len(s) - 1
		}
		part := s[:end+1]
		f, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return nil
		}
		// More digits than degrees have: minutes, and seconds, follow them.
		whole, degrees := len(strings.SplitN(part[1:], ".", 2)[0]), 2+min(len(n), 1)
		if len(n) < 2 && whole > degrees {
			f = sexagesimal(f, whole-degrees)
		}
		n = append(n, f)
		s = s[end+1:]
	}
	if len(n) < 2 {
		return nil
	}
	p := &remote.Place{Latitude: n[0], Longitude: n[1]}
	if len(n) == 3 {
		p.Altitude = &n[2]
	}
	return p
}

// sexagesimal makes degrees of DDMM.m (two digits more than degrees have) and DDMMSS.s (four).
func sexagesimal(f float64, more int) float64 {
	sign := math.Copysign(1, f)
	f = math.Abs(f)
	switch more {
	case 2:
		d := math.Floor(f / 100)
		return sign * (d + (f-100*d)/60)
	case 4:
		d := math.Floor(f / 10000)
		m := math.Floor((f - 10000*d) / 100)
		return sign * (d + m/60 + (f-10000*d-100*m)/3600)
	}
	return math.NaN()
}
