package facts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"mediafs/remote"
)

// Elements of Matroska that are read, by their ids.
const (
	ebmlHeader      = 0x1a45dfa3
	mkSegment       = 0x18538067
	mkSeekHead      = 0x114d9b74
	mkSeek          = 0x4dbb
	mkSeekID        = 0x53ab
	mkSeekPosition  = 0x53ac
	mkInfo          = 0x1549a966
	mkScale         = 0x2ad7b1
	mkDuration      = 0x4489
	mkDate          = 0x4461
	mkTitle         = 0x7ba9
	mkWriter        = 0x5741
	mkTracks        = 0x1654ae6b
	mkTrack         = 0xae
	mkTrackType     = 0x83
	mkCodec         = 0x86
	mkFrameDuration = 0x23e383
	mkVideo         = 0xe0
	mkWidth         = 0xb0
	mkHeight        = 0xba
	mkAudio         = 0xe1
	mkRate          = 0xb5
	mkChannels      = 0x9f
	mkTags          = 0x1254c367
	mkTag           = 0x7373
	mkTargets       = 0x63c0
	mkTargetTrack   = 0x63c5
	mkSimpleTag     = 0x67c8
	mkTagName       = 0x45a3
	mkTagString     = 0x4487
	mkAttachments   = 0x1941a469
	mkAttached      = 0x61a7
	mkFileType      = 0x4660
	mkFileData      = 0x465c
	mkCluster       = 0x1f43b675
)

// A matroskaReader reads the parts of a segment that describe it. They are found by the list of
// places at its front, or before its first cluster.
type matroskaReader struct {
	x        *extraction
	elements int
	segment  int64 // where its data begin
	end      int64
	done     map[uint32]bool // parts that were read
	scale    uint64          // nanoseconds a unit
	duration float64         // in units
	made     time.Time
	tags     tagMap
	streams  []any
}

func (x *extraction) matroska() error {
	r := &matroskaReader{x: x, done: map[uint32]bool{}, scale: 1_000_000, tags: tagMap{}}
	err := r.walk(0, x.w.size, r.top)
	if errors.Is(err, errEnough) {
		err = nil
	}
	r.finish()
	return err
}

// walk calls f for the elements from off to end. Unknown lengths reach to the end.
func (r *matroskaReader) walk(off, end int64, f func(id uint32, off, end int64) error) error {
	for off < end {
		if r.elements++; r.elements > maxBoxes {
			return errDamaged
		}
		id, n, head, err := r.element(off)
		if err != nil {
			return err
		}
		off += head
		stop := end
		if n >= 0 && n < end-off {
			stop = off + n
		}
		if err := f(id, off, stop); err != nil {
			return err
		}
		if n > end-off {
			return io.ErrUnexpectedEOF
		}
		off = stop
	}
	return nil
}

// element reads an id and a length (-1: unknown), which are numbers whose first byte tells how many
// there are.
func (r *matroskaReader) element(off int64) (id uint32, n, head int64, err error) {
	b, err := r.x.w.upTo(off, 12)
	if err != nil {
		return 0, 0, 0, err
	}
	width := leading(b)
	if width > 4 || len(b) < width+1 {
		return 0, 0, 0, errDamaged
	}
	for _, c := range b[:width] {
		id = id<<8 | uint32(c)
	}
	b = b[width:]
	more := leading(b)
	if more > 8 || len(b) < more {
		return 0, 0, 0, errDamaged
	}
	v := uint64(b[0]) & (0xff >> more)
	unknown := v == 0xff>>more
	for _, c := range b[1:more] {
		v = v<<8 | uint64(c)
		unknown = unknown && c == 0xff
	}
	if unknown {
		return id, -1, int64(width + more), nil
	}
	return id, int64(v), int64(width + more), nil
}

// leading counts the bytes of a number; 9 for none.
func leading(b []byte) int {
	if len(b) == 0 {
		return 9
	}
	for i := range 8 {
		if b[0]&(0x80>>i) != 0 {
			return i + 1
		}
	}
	return 9
}

func (r *matroskaReader) top(id uint32, off, end int64) error {
	if id != mkSegment {
		return nil
	}
	r.segment, r.end = off, end
	if err := r.walk(off, end, r.part); err != nil {
		return err
	}
	return errEnough
}

func (r *matroskaReader) part(id uint32, off, end int64) error {
	switch id {
	case mkCluster:
		return errEnough // pictures and sound from here on
	case mkSeekHead:
		return r.walk(off, end, r.seek)
	case mkInfo, mkTracks, mkTags, mkAttachments:
		return r.describe(id, off, end)
	}
	return nil
}

// seek follows one line of the list of places, to parts that describe.
func (r *matroskaReader) seek(id uint32, off, end int64) error {
	if id != mkSeek {
		return nil
	}
	var what uint32
	place := int64(-1)
	err := r.walk(off, end, func(id uint32, off, end int64) error {
		switch id {
		case mkSeekID:
			what = uint32(r.unsigned(off, end))
		case mkSeekPosition:
			place = int64(r.unsigned(off, end))
		}
		return nil
	})
	if err != nil || place < 0 || place > r.end-r.segment {
		return err
	}
	switch what {
	case mkInfo, mkTracks, mkTags, mkAttachments:
	default:
		return nil
	}
	at := r.segment + place
	got, n, head, err := r.element(at)
	if err != nil || got != what || n < 0 {
		return nil // a wrong list is no harm: what it speaks of may be met on the way
	}
	return r.describe(what, at+head, min(at+head+n, r.end))
}

func (r *matroskaReader) describe(id uint32, off, end int64) error {
	if r.done[id] {
		return nil
	}
	r.done[id] = true
	f := &r.x.facts
	switch id {
	case mkInfo:
		return r.walk(off, end, func(id uint32, off, end int64) error {
			switch id {
			case mkScale:
				r.scale = r.unsigned(off, end)
			case mkDuration:
				r.duration = r.float(off, end)
			case mkDate:
				// Nanoseconds since the millennium.
				r.made = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.unsigned(off, end)))
			case mkTitle:
				setText(&f.Title, r.text(off, end))
			case mkWriter:
				setText(&f.Software, r.text(off, end))
			}
			return nil
		})
	case mkTracks:
		return r.walk(off, end, r.track)
	case mkTags:
		return r.walk(off, end, r.tag)
	case mkAttachments:
		return r.walk(off, end, r.attached)
	}
	return nil
}

func (r *matroskaReader) track(id uint32, off, end int64) error {
	if id != mkTrack || len(r.streams) >= 64 {
		return nil
	}
	var kind, frame uint64
	var codec string
	var width, height, channels int
	var rate float64
	err := r.walk(off, end, func(id uint32, off, end int64) error {
		switch id {
		case mkTrackType:
			kind = r.unsigned(off, end)
		case mkCodec:
			codec = matroskaCodec(r.text(off, end))
		case mkFrameDuration:
			frame = r.unsigned(off, end)
		case mkVideo, mkAudio:
			return r.walk(off, end, func(id uint32, off, end int64) error {
				switch id {
				case mkWidth:
					width = int(min(r.unsigned(off, end), 1<<30))
				case mkHeight:
					height = int(min(r.unsigned(off, end), 1<<30))
				case mkRate:
					rate = r.float(off, end)
				case mkChannels:
					channels = int(min(r.unsigned(off, end), 1<<30))
				}
				return nil
			})
		}
		return nil
	})
	f := &r.x.facts
	switch kind {
	case 1:
		if f.Width == 0 {
			f.Width, f.Height = width, height
			setText(&f.VideoCodec, codec)
			if frame > 0 {
				setFloat(&f.FrameRate, math.Round(1e12/float64(frame))/1000)
			}
		}
		r.streams = append(r.streams, map[string]any{"kind": "vide", "codec": codec, "width": width, "height": height})
	case 2:
		if f.AudioCodec == "" {
			f.AudioCodec = codec
			setInt(&f.Channels, max(channels, 1))
			setInt(&f.SampleRate, int(between(rate, 1, 1e7)))
		}
		r.streams = append(
			r.streams,
			map[string]any{"kind": "soun", "codec": codec, "sample_rate": rate, "channels": max(channels, 1)},
		)
	}
	return err
}

// tag reads the simple tags of the whole; those of one track are left.
func (r *matroskaReader) tag(id uint32, off, end int64) error {
	if id != mkTag {
		return nil
	}
	ofTrack := false
	found := tagMap{}
	err := r.walk(off, end, func(id uint32, off, end int64) error {
		switch id {
		case mkTargets:
			return r.walk(off, end, func(id uint32, off, end int64) error {
				ofTrack = ofTrack || id == mkTargetTrack && r.unsigned(off, end) != 0
				return nil
			})
		case mkSimpleTag:
			var name, text string
			err := r.walk(off, end, func(id uint32, off, end int64) error {
				switch id {
				case mkTagName:
					name = r.text(off, end)
				case mkTagString:
					text = r.text(off, end)
				}
				return nil
			})
			if name != "" && text != "" {
				found.add(strings.ToUpper(name), text)
			}
			return err
		}
		return nil
	})
	if !ofTrack {
		for k, v := range found {
			r.tags.add(k, v)
		}
	}
	return err
}

func (r *matroskaReader) attached(id uint32, off, end int64) error {
	if id != mkAttached || r.x.doc.Picture != nil {
		return nil
	}
	isPicture := false
	return r.walk(off, end, func(id uint32, off, end int64) error {
		switch id {
		case mkFileType:
			isPicture = strings.HasPrefix(r.text(off, end), "image/")
		case mkFileData:
			if isPicture && end-off <= int64(r.x.limits.Picture) {
				p, err := r.x.w.bytes(off, end-off)
				if err != nil {
					return err
				}
				r.x.picture(p)
			}
		}
		return nil
	})
}

func (r *matroskaReader) finish() {
	f := &r.x.facts
	f.Duration = r.duration * float64(r.scale) / 1e9
	if d := between(f.Duration, 1e-6, maxDuration); d > 0 {
		f.BitRate = int64(float64(r.x.w.size) * 8 / d)
	}
	if f.VideoCodec == "" && f.Width == 0 && f.AudioCodec != "" {
		f.Type, f.Class = strings.Replace(f.Type, "video/", "audio/", 1), remote.ClassAudio
	} else if !r.made.IsZero() {
		r.x.took(r.made, true)
	}
	r.x.doc.Streams = r.streams
	if len(r.tags) == 0 {
		return
	}
	r.x.doc.Tags = r.tags
	r.x.mergeVorbis(r.tags)
	if t, zone, ok := parseTime(r.tags.text("DATE_RECORDED", "CREATION_TIME")); ok && f.Class == remote.ClassVideo {
		r.x.took(t, zone)
	}
}

func (r *matroskaReader) unsigned(off, end int64) uint64 {
	b, err := r.x.w.bytes(off, min(end-off, 8))
	if err != nil {
		return 0
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *matroskaReader) float(off, end int64) float64 {
	b, err := r.x.w.bytes(off, min(end-off, 8))
	switch {
	case err == nil && len(b) == 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	case err == nil && len(b) == 8:
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *matroskaReader) text(off, end int64) string {
	b, err := r.x.w.upTo(off, min(end-off, maxTag))
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00")
}

// matroskaCodec gives ffprobe's name of a codec id.
func matroskaCodec(id string) string {
	if name, ok := matroskaCodecs[id]; ok {
		return name
	}
	for prefix, name := range matroskaFamilies {
		if strings.HasPrefix(id, prefix) {
			return name
		}
	}
	if len(id) > 32 {
		id = id[:32]
	}
	return strings.ToLower(fmt.Sprintf("%.32s", id))
}

var matroskaCodecs = map[string]string{
	"V_MPEG4/ISO/AVC":  "h264",
	"V_MPEGH/ISO/HEVC": "hevc",
	"V_MPEGI/ISO/VVC":  "vvc",
	"V_AV1":            "av1",
	"V_VP8":            "vp8",
	"V_VP9":            "vp9",
	"V_MPEG1":          "mpeg1video",
	"V_MPEG2":          "mpeg2video",
	"V_THEORA":         "theora",
	"V_MJPEG":          "mjpeg",
	"V_PRORES":         "prores",
	"V_FFV1":           "ffv1",
	"V_UNCOMPRESSED":   "rawvideo",
	"A_OPUS":           "opus",
	"A_VORBIS":         "vorbis",
	"A_FLAC":           "flac",
	"A_AC3":            "ac3",
	"A_EAC3":           "eac3",
	"A_TRUEHD":         "truehd",
	"A_MPEG/L3":        "mp3",
	"A_MPEG/L2":        "mp2",
	"A_PCM/INT/LIT":    "pcm_s16le",
	"A_PCM/INT/BIG":    "pcm_s16be",
	"A_PCM/FLOAT/IEEE": "pcm_f32le",
	"A_ALAC":           "alac",
	"A_TTA1":           "tta",
	"A_WAVPACK4":       "wavpack",
}

// matroskaFamilies are codecs whose ids go on with a profile.
var matroskaFamilies = map[string]string{"A_AAC": "aac", "A_DTS": "dts", "V_MPEG4/ISO/": "mpeg4", "A_AC3/": "ac3"}
