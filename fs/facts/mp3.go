package facts

import (
	"bytes"
	"encoding/binary"
	"io"
)

// An mp3Frame is the header of a frame of MPEG audio.
type mp3Frame struct {
	layer    int // 1 to 3
	bitRate  int // bits a second
	rate     int // samples a second
	channels int
	samples  int // in the frame
	length   int // bytes with the header
	side     int // bytes after the header before an encoder's own header
}

var mp3BitRates = [2][3][15]int{ // kbit/s, by version (1; 2 and 2.5), layer, index
	{
		{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	},
	{
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	},
}

func parseMP3(b []byte) (mp3Frame, bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return mp3Frame{}, false
	}
	version, layer := b[1]>>3&3, 4-int(b[1]>>1&3) // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
	bits, rate := b[2]>>4, b[2]>>2&3
	if version == 1 || layer == 4 || bits == 0 || bits == 15 || rate == 3 {
		return mp3Frame{}, false
	}
	f := mp3Frame{layer: layer, channels: 2}
	low := version != 3
	table := 0
	if low {
		table = 1
	}
	f.bitRate = 1000 * mp3BitRates[table][layer-1][bits]
	f.rate = [3]int{44100, 48000, 32000}[rate]
	switch version {
	case 2:
		f.rate /= 2
	case 0:
		f.rate /= 4
	}
	if b[3]>>6 == 3 {
		f.channels = 1
	}
	padding := int(b[2] >> 1 & 1)
	switch {
	case layer == 1:
		f.samples = 384
		f.length = (12*f.bitRate/f.rate + padding) * 4
	case layer == 3 && low:
		f.samples = 576
		f.length = 72*f.bitRate/f.rate + padding
	default:
		f.samples = 1152
		f.length = 144*f.bitRate/f.rate + padding
	}
	switch {
	case !low && f.channels == 2:
		f.side = 32
	case !low || f.channels == 2:
		f.side = 17
	default:
		f.side = 9
	}
	return f, true
}

// mp3 reads the tags before and behind, and the first frame. The length is what the encoder
// counted, or, where it did not, that of frames that are all like the first.
func (x *extraction) mp3() error {
	at, end := int64(0), x.w.size
	for range 4 { // several tags in a row occur
		if b, err := x.w.upTo(at, 3); err != nil || string(b) != "ID3" {
			break
		}
		var n int64
		x.attempt("the ID3 tag", func() (err error) { n, err = x.id3v2(at); return err })
		if n <= 0 {
			break
		}
		at += n
	}
	if tail, err := x.w.upTo(max(0, end-128), 128); err == nil && len(tail) == 128 && string(tail[:3]) == "TAG" {
		x.id3v1(tail)
		end -= 128
	}
	b, err := x.w.upTo(at, 16<<10)
	if err != nil {
		return err
	}
	for i := 0; i+4 <= len(b); i++ {
		f, ok := parseMP3(b[i:])
		if !ok {
			continue
		}
		if next, inside := i+f.length, i+f.length+4 <= len(b); inside && at+int64(next) < end {
			// The bits of a header occur by chance as well; a second one behind it does not.
			if g, ok := parseMP3(b[next:]); !ok || g.rate != f.rate || g.layer != f.layer {
				continue
			}
		}
		x.mp3Length(f, b[i:], max(0, end-at-int64(i)))
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (x *extraction) mp3Length(f mp3Frame, b []byte, sound int64) {
	facts := &x.facts
	facts.AudioCodec = [4]string{"", "mp1", "mp2", "mp3"}[f.layer]
	facts.SampleRate, facts.Channels, facts.BitRate = f.rate, f.channels, int64(f.bitRate)
	var frames, length uint32
	constant := false // the encoder says that all frames are of one bit rate
	if h := b[min(len(b), 4+f.side):]; len(h) >= 16 &&
		(bytes.HasPrefix(h, []byte("Xing")) || bytes.HasPrefix(h, []byte("Info"))) {
		constant = h[0] == 'I'
		flags, h := binary.BigEndian.Uint32(h[4:]), h[8:]
		if flags&1 != 0 {
			frames, h = binary.BigEndian.Uint32(h), h[4:]
		}
		if flags&2 != 0 && len(h) >= 4 {
			length = binary.BigEndian.Uint32(h)
		}
	} else if h := b[min(len(b), 36):]; len(h) >= 18 &&
		bytes.HasPrefix(h, []byte("VBRI")) {
		length, frames = binary.BigEndian.Uint32(h[10:]), binary.BigEndian.Uint32(h[14:])
	}
	if frames == 0 {
		facts.Duration = float64(sound) * 8 / float64(f.bitRate)
		return
	}
	facts.Duration = float64(frames) * float64(f.samples) / float64(f.rate)
	if length == 0 || int64(length) > sound {
		length = uint32(min(sound, 1<<32-1))
	}
	if !constant {
		facts.BitRate = int64(float64(length) * 8 / facts.Duration)
	}
}
