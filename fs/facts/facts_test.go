package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
)

const testMedia = "../../testdata/media"

func readMedia(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testMedia, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sourceOf(b []byte, name string) Source {
	return Source{ReaderAt: bytes.NewReader(b), Size: int64(len(b)), Name: name}
}

// an extractor is Extract, in process or through a Worker.
type extractor func(context.Context, Source) (remote.MediaFacts, *remote.FactsDocument, error)

func inProcess(ctx context.Context, src Source) (remote.MediaFacts, *remote.FactsDocument, error) {
	return Extract(ctx, src, Limits{})
}

func ptr[T any](v T) *T { return &v }

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// known is what testdata/media/README.md says of each file.
var known = map[string]remote.MediaFacts{
	"photo.jpg": {
		Type:        "image/jpeg",
		Class:       remote.ClassImage,
		Width:       640,
		Height:      480,
		Orientation: 6,
		Make:        "Canon",
		Model:       "Canon EOS R6",
		Lens:        "RF24-105mm F4 L IS USM",
		Serial:      "012345678901",
		Software:    "mediafs",
		Taken:       at("2023-07-14T18:30:45.123+01:00"),
		TakenZone:   true,
		Exposure:    1.0 / 250,
		Aperture:    5.6,
		ISO:         200,
		FocalLength: 50,
		Bias:        ptr(-1.0 / 3),
		Flash:       ptr(16),
		Place:       &remote.Place{Latitude: 38.7139, Longitude: -9.1394, Altitude: ptr(42.5)},
		Direction:   ptr(271.5),
		Document:    true,
		PictureType: "image/jpeg",
		PictureSize: 3066,
	},
	"captioned.jpg": {
		Type:        "image/jpeg",
		Class:       remote.ClassImage,
		Width:       480,
		Height:      320,
		Title:       "Café am Meer",
		Description: "Zwei Tische, ein Hund.",
		Keywords:    []string{"sea", "café", "犬"},
		Creator:     "Ana Sousa",
		Copyright:   "(c) 2022 Ana Sousa",
		City:        "Ericeira",
		Country:     "Portugal",
		Taken:       at("2022-05-01T10:20:30+01:00"),
		TakenZone:   true,
		Rating:      8,
		Label:       "Red",
		Document:    true,
	},
	"plain.jpg": {Type: "image/jpeg", Class: remote.ClassImage, Width: 320, Height: 240},
	"drawing.png": {
		Type:     "image/png",
		Class:    remote.ClassImage,
		Width:    300,
		Height:   200,
		Title:    "A drawing",
		Creator:  "Ana Sousa",
		Taken:    at("2021-03-04T05:06:07Z"),
		Document: true,
	},
	"picture.webp": {
		Type:     "image/webp",
		Class:    remote.ClassImage,
		Width:    320,
		Height:   180,
		Make:     "Google",
		Model:    "Pixel 7",
		Taken:    at("2023-01-02T03:04:05Z"),
		Document: true,
	},
	"animated.gif": {
		Type:     "image/gif",
		Class:    remote.ClassImage,
		Width:    160,
		Height:   120,
		Frames:   5,
		Duration: 1,
		Document: true,
	},
	"film-end.mp4": {
		Type:        "video/mp4",
		Class:       remote.ClassVideo,
		Width:       320,
		Height:      180,
		Orientation: 1,
		Taken:       at("2023-07-14T17:30:45Z"),
		TakenZone:   true,
		Duration:    2,
		BitRate:     160116,
		VideoCodec:  "h264",
		AudioCodec:  "aac",
		FrameRate:   25,
		SampleRate:  44100,
		Channels:    2,
		Title:       "Two seconds",
		Creator:     "Ana Sousa",
		Document:    true,
	},
	"film-front.mp4": {
		Type:        "video/mp4",
		Class:       remote.ClassVideo,
		Width:       320,
		Height:      180,
		Orientation: 6,
		Taken:       at("2023-07-14T17:30:45Z"),
		TakenZone:   true,
		Duration:    2,
		BitRate:     160116,
		VideoCodec:  "h264",
		AudioCodec:  "aac",
		FrameRate:   25,
		SampleRate:  44100,
		Channels:    2,
		Title:       "Two seconds",
		Creator:     "Ana Sousa",
		Document:    true,
	},
	"film.mov": {
		Type:        "video/quicktime",
		Class:       remote.ClassVideo,
		Width:       320,
		Height:      180,
		Orientation: 1,
		Taken:       at("2023-07-14T17:30:45Z"),
		TakenZone:   true,
		Duration:    2,
		BitRate:     152736,
		VideoCodec:  "h264",
		AudioCodec:  "aac",
		FrameRate:   25,
		SampleRate:  44100,
		Channels:    1,
		Title:       "Two seconds",
		Creator:     "Ana Sousa",
		Place:       &remote.Place{Latitude: 38.7139, Longitude: -9.1394},
		Document:    true,
	},
	"film.mkv": {
		Type:       "video/x-matroska",
		Class:      remote.ClassVideo,
		Width:      320,
		Height:     180,
		Taken:      at("2023-07-14T17:30:45Z"),
		TakenZone:  true,
		Software:   "Lavf",
		Duration:   2.023,
		BitRate:    152771,
		VideoCodec: "h264",
		AudioCodec: "aac",
		FrameRate:  25,
		SampleRate: 44100,
		Channels:   2,
		Title:      "Two seconds",
		Creator:    "Ana Sousa",
		Document:   true,
	},
	"song.mp3": song(remote.MediaFacts{
		Type:        "audio/mpeg",
		Duration:    3.0302,
		BitRate:     64000,
		AudioCodec:  "mp3",
		Channels:    2,
		PictureType: "image/jpeg",
		PictureSize: 5558,
	}),
	"song.flac": song(remote.MediaFacts{
		Type:        "audio/flac",
		Duration:    3,
		BitRate:     97506,
		AudioCodec:  "flac",
		Channels:    1,
		PictureType: "image/jpeg",
		PictureSize: 5558,
	}),
	"song.ogg": song(
		remote.MediaFacts{Type: "audio/ogg", Duration: 3, BitRate: 22453, AudioCodec: "vorbis", Channels: 1},
	),
	"song.m4a": song(remote.MediaFacts{Type: "audio/mp4", Duration: 3, BitRate: 53418, AudioCodec: "aac", Channels: 1}),
	"tone.wav": {
		Type:       "audio/wav",
		Class:      remote.ClassAudio,
		Duration:   1,
		BitRate:    128000,
		AudioCodec: "pcm_s16le",
		SampleRate: 8000,
		Channels:   1,
	},
	"document.pdf": {
		Type:        "application/pdf",
		Class:       remote.ClassDocument,
		Pages:       2,
		Title:       "A short document",
		Creator:     "Ana Sousa",
		Description: "Test data",
		Keywords:    []string{"two", "pages"},
		Software:    "GPL Ghostscript 10.00.0",
		Document:    true,
	},
}

// song adds what all the songs say.
func song(f remote.MediaFacts) remote.MediaFacts {
	f.Class, f.SampleRate, f.Document = remote.ClassAudio, 44100, true
	f.Title, f.Creator, f.Album, f.AlbumArtist, f.Composer = "Ode to a Sine", "The Oscillators", "Pure Tones", "Various", "J. Fourier"
	f.Track, f.Tracks, f.Disc, f.Discs, f.Year, f.Genre, f.Comment = 3, 12, 1, 2, 2019, "Ambient", "Größe: klein"
	return f
}

// knownDocument has, by file, section and key, what documents must say beside.
var knownDocument = map[string]map[string]any{
	"photo.jpg": {
		"exif.ModifyDate":         "2023:07:15 09:00:00",
		"exif.OffsetTime":         "+01:00",
		"exif.GPSDateStamp":       "2023:07:14",
		"exif.GPSTimeStamp":       "17:30:45",
		"exif.GPSImgDirectionRef": "T",
	},
	"captioned.jpg": {
		"iptc.City":             "Ericeira",
		"iptc.Keywords":         []any{"sea", "café", "犬"},
		"xmp.xmp:Rating":        "4",
		"xmp.photoshop:Country": "Portugal",
	},
	"drawing.png":  {"tags.Creation Time": "2021:03:04 05:06:07"},
	"animated.gif": {"tags.Loops": 0.0},
	"film.mov":     {"tags.©xyz": "+38.7139-009.1394/"},
	"film.mkv":     {"tags.ARTIST": "Ana Sousa"},
	"song.mp3":     {"tags.TXXX:comment": "Größe: klein"},
	"document.pdf": {
		"tags.CreationDate": "2020-01-02T03:04:05Z",
		"tags.ModDate":      "2020-01-02T03:04:05Z",
		"tags.PDFVersion":   "1.7",
		"tags.PageSizes":    []any{"595 x 842 pt", "595 x 420 pt"},
	},
}

// checkKnown holds an extractor to every file.
func checkKnown(t *testing.T, extract extractor) {
	for name, want := range known {
		t.Run(name, func(t *testing.T) {
			b := readMedia(t, name)
			got, doc, err := extract(t.Context(), sourceOf(b, name))
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != Version || got.Read.IsZero() {
				t.Errorf("version %d, read %v", got.Version, got.Read)
			}
			compareFacts(t, got, want)
			compareDocument(t, got, doc, knownDocument[name])
		})
	}
}

// compareFacts compares with numbers rounded to what people would call the same.
func compareFacts(t *testing.T, got, want remote.MediaFacts) {
	t.Helper()
	if !got.Taken.Equal(want.Taken) {
		t.Errorf("taken %v, want %v", got.Taken, want.Taken)
	}
	_, g := got.Taken.Zone()
	if _, w := want.Taken.Zone(); g != w {
		t.Errorf("taken in zone %d, want %d", g, w)
	}
	got.Taken, want.Taken = time.Time{}, time.Time{}
	got.Version, got.Read = 0, time.Time{}
	round := func(f *remote.MediaFacts) {
		for _, p := range []*float64{&f.Exposure, &f.Aperture, &f.Duration, f.Bias} {
			if p != nil {
				*p = math.Round(*p*1e4) / 1e4
			}
		}
		if f.Place != nil {
			f.Place.Latitude, f.Place.Longitude = math.Round(
				f.Place.Latitude*1e6,
			)/1e6, math.Round(
				f.Place.Longitude*1e6,
			)/1e6
		}
	}
	want.Bias = clone(want.Bias)
	round(&got)
	round(&want)
	g1, _ := json.MarshalIndent(got, "", " ")
	w1, _ := json.MarshalIndent(want, "", " ")
	if !bytes.Equal(g1, w1) {
		t.Errorf("facts:\n%s\nwant:\n%s", g1, w1)
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return ptr(*p)
}

func compareDocument(t *testing.T, f remote.MediaFacts, doc *remote.FactsDocument, want map[string]any) {
	t.Helper()
	if f.Document != (doc != nil) {
		t.Fatalf("Document is %v, the document %v", f.Document, doc)
	}
	if doc == nil {
		return
	}
	if len(doc.Picture) != f.PictureSize {
		t.Errorf("a picture of %d bytes, said to be %d", len(doc.Picture), f.PictureSize)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		EXIF, IPTC, XMP, Tags map[string]any
		Streams               []any
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if doc.Tags != nil && !reflect.DeepEqual(back.Tags, doc.Tags) {
		t.Errorf("tags change on their way through JSON: %v, were %v", back.Tags, doc.Tags)
	}
	for path, w := range want {
		section, key, _ := strings.Cut(path, ".")
		got := map[string]map[string]any{"exif": back.EXIF, "iptc": back.IPTC, "xmp": back.XMP, "tags": back.Tags}[section][key]
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s is %#v, want %#v", path, got, w)
		}
	}
}

func TestKnownFacts(t *testing.T) { checkKnown(t, inProcess) }

func TestEveryTestMediaIsKnown(t *testing.T) {
	files, err := os.ReadDir(testMedia)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := known[f.Name()]; !ok && f.Name() != "README.md" {
			t.Errorf("%s has no facts in this test", f.Name())
		}
	}
}

// counted counts what is asked of a source.
type counted struct {
	r        io.ReaderAt
	requests int
	bytes    int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.requests++
	n, err := c.r.ReadAt(p, off)
	c.bytes += int64(n)
	return n, err
}

// sparse is a media of zeros with pieces of it known.
type sparse struct {
	size   int64
	pieces map[int64][]byte
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	n := int(min(int64(len(p)), s.size-off))
	for at, piece := range s.pieces {
		from, to := max(at, off), min(at+int64(len(piece)), off+int64(n))
		if from < to {
			copy(p[from-off:to-off], piece[from-at:])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestFewSmallReads(t *testing.T) {
	check := func(name string, r io.ReaderAt, size int64, requests int, bytes int64) remote.MediaFacts {
		t.Helper()
		c := &counted{r: r}
		f, _, err := inProcess(t.Context(), Source{ReaderAt: c, Size: size, Name: name})
		if err != nil || f.Error != "" {
			t.Fatal(name, err, f.Error)
		}
		t.Logf("%s, %d bytes: %d requests, %d bytes", name, size, c.requests, c.bytes)
		if c.requests > requests || c.bytes > bytes {
			t.Errorf("%s: %d requests for %d bytes, want at most %d for %d", name, c.requests, c.bytes, requests, bytes)
		}
		return f
	}
	for name := range known {
		b := readMedia(t, name)
		check(name, bytes.NewReader(b), int64(len(b)), 1, int64(len(b)))
	}

	// A film of a GiB whose index is at its end, as a camera writes it.
	film := readMedia(t, "film-end.mp4")
	i := bytes.Index(film, []byte("mdat")) - 4
	moov := bytes.Index(film, []byte("moov")) - 4
	const gib = 1 << 30
	// a long box: its size in 64 bits
	front := append(bytes.Clone(film[:i]), 0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0x40, 0, 0, 0)
	end := int64(i) + gib
	f := check(
		"film of a GiB", sparse{end + int64(len(film)-moov), map[int64][]byte{0: front, end: film[moov:]}},
		end+int64(len(film)-moov), 2, 2*blockSize,
	)
	if f.Duration != 2 || f.VideoCodec != "h264" || f.Width != 320 {
		t.Errorf("film of a GiB: %+v", f)
	}

	photo := readMedia(t, "photo.jpg")
	f = check("photo of 10 MB", sparse{10 << 20, map[int64][]byte{0: photo}}, 10<<20, 1, blockSize)
	if f.Model != "Canon EOS R6" {
		t.Errorf("photo of 10 MB: %+v", f)
	}
	mp3 := readMedia(t, "song.mp3")
	check("song of 50 MB", sparse{50 << 20, map[int64][]byte{0: mp3}}, 50<<20, 2, 2*blockSize)
}
