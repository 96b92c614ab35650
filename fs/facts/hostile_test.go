package facts

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
)

// TestTruncated cuts each media at every fiftieth of it. What its first bytes say stays said.
func TestTruncated(t *testing.T) {
	for name, want := range known {
		b := readMedia(t, name)
		for i := range 50 {
			n := len(b) * i / 50
			f, doc, err := inProcess(t.Context(), sourceOf(b[:n], name))
			if err != nil {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
			checkModel(t, f, doc)
			if i > 0 && f.Type != want.Type {
				t.Errorf("%s cut to %d bytes is %s", name, n, f.Type)
			}
		}
	}
}

// TestFlipped changes bytes at random, most of them where the headers are.
func TestFlipped(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name := range known {
		b := readMedia(t, name)
		for range 200 {
			c := bytes.Clone(b)
			for range 1 + rnd.IntN(8) {
				i := rnd.IntN(len(c))
				if rnd.IntN(2) == 0 {
					i = rnd.IntN(min(len(c), 1024))
				}
				c[i] = byte(rnd.Uint32())
			}
			f, doc, err := inProcess(t.Context(), sourceOf(c, name))
			if err != nil {
				t.Fatal(name, err)
			}
			checkModel(t, f, doc)
		}
	}
}

func box(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)), kind...), body...)
}

func chunk(kind string, body []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func deflated(n int) []byte {
	var out bytes.Buffer
	z, _ := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	letters := bytes.Repeat([]byte("a"), 1<<20)
	for range n >> 20 {
		_, _ = z.Write(letters)
	}
	_ = z.Close()
	return out.Bytes()
}

func app1(body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2)), body...)
}

// bombs are small files, by a name that says what they are made of, that ask for much.
var bombs = sync.OnceValue(makeBombs)

func makeBombs() map[string][]byte {
	big := deflated(32 << 20)
	ftyp := box("ftyp", []byte("isom\x00\x00\x00\x00isom"))
	png := []byte("\x89PNG\r\n\x1a\n")
	ihdr := chunk("IHDR", []byte{0, 0, 1, 0, 0, 0, 1, 0, 8, 2, 0, 0, 0})
	le := binary.LittleEndian

	nested := func(kind string, n int) []byte { // 10^6 boxes one in another, all of them cut off
		var b []byte
		for i := range n {
			b = append(binary.BigEndian.AppendUint32(b, uint32(8*(n-i))), kind...)
		}
		return b
	}
	ifdLoop := func() []byte {
		b := append([]byte("Exif\x00\x00II*\x00"), 8, 0, 0, 0)
		entry := func(tag, typ uint16, count, value uint32) {
			b = le.AppendUint32(le.AppendUint32(le.AppendUint16(le.AppendUint16(b, tag), typ), count), value)
		}
		b = append(b, 4, 0)
		entry(0x8769, 4, 1, 8)       // EXIF's directory is the first one again
		entry(0x014a, 4, 60000, 8)   // as many directories below
		entry(0x010e, 2, 1<<32-1, 8) // a text of 4 GiB
		entry(0x0112, 3, 1, 200)     // an absurd orientation
		return le.AppendUint32(b, 8) // and the next one is this one
	}
	xmp := func(body string) []byte {
		return app1([]byte("http://ns.adobe.com/xap/1.0/\x00" + body))
	}
	jpeg := func(segments ...[]byte) []byte {
		return append(append([]byte{0xff, 0xd8}, bytes.Join(segments, nil)...), 0xff, 0xda, 0, 2, 0, 0xff, 0xd9)
	}
	heif := func() []byte { // entries whose ends lie before their beginnings
		infe := append([]byte{0, 0, 0, 1, 'i', 'n', 'f', 'e'}, binary.BigEndian.AppendUint64(nil, math.MaxUint64-15)...)
		iinf := box("iinf", []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, infe, infe)
		return append(box("ftyp", []byte("heic\x00\x00\x00\x00heic")), box("meta", []byte{0, 0, 0, 0}, iinf)...)
	}
	objects := "%PDF-1.7\n1 0 obj << /Pages 2 0 R >> endobj\n2 0 obj << /Count 99999999999 /Kids [2 0 R 2 0 R 2 0 R 2 0 R 2 0 R 2 0 R 2 0 R 2 0 R] >> endobj\n"
	pdf := func(table string) []byte {
		return fmt.Appendf(nil, "%s%s\nstartxref\n%d\n%%%%EOF", objects, table, len(objects))
	}
	offset2 := strings.Index(objects, "2 0 obj")
	loop := fmt.Sprintf(
		"xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n%010d 00000 n \ntrailer << /Root 1 0 R /Prev %d /Size 4000000000 >>",
		offset2, len(objects),
	)
	flateIndex := append(
		fmt.Appendf(
			nil,
			"%s3 0 obj << /Type /XRef /W [8 8 8] /Size 1073741824 /Root 1 0 R /Filter /FlateDecode /Length %d >> stream\n",
			objects, len(big),
		),
		big...)
	flateIndex = fmt.Appendf(flateIndex, "\nendstream\nstartxref\n%d\n%%%%EOF", len(objects))
	id3 := func(frames []byte) []byte {
		return append([]byte("ID3\x03\x00\x00\x7f\x7f\x7f\x7f"), frames...)
	}
	ebml := []byte("\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska")
	stsd := func(n int) []byte { return bytes.Repeat(box("stsd", make([]byte, 8)), n) }

	return map[string][]byte{
		"huge box.mp4":     append(bytes.Clone(ftyp), "\x00\x00\x00\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff"...),
		"backward box.mp4": append(bytes.Clone(ftyp), "\x00\x00\x00\x01moov\xff\xff\xff\xff\xff\xff\xff\xf0"...),
		"tiny box.mp4":     append(bytes.Clone(ftyp), 0, 0, 0, 2, 'm', 'o', 'o', 'v'),
		"nested boxes.mp4": append(bytes.Clone(ftyp), nested("moov", 1_000_000)...),
		"nested media.mp4": append(bytes.Clone(ftyp), box("moov", box("trak", nested("mdia", 1_000_000)))...),
		"many boxes.mp4":   append(bytes.Clone(ftyp), box("moov", bytes.Repeat(box("free"), 1_000_000))...),
		"many tracks.mp4":  append(bytes.Clone(ftyp), box("moov", bytes.Repeat(box("trak", stsd(2)), 20_000))...),
		"huge counts.mp4": append(
			bytes.Clone(ftyp),
			box(
				"moov",
				box(
					"trak",
					box(
						"mdia",
						box(
							"minf",
							box(
								"stbl", box("stsz", bytes.Repeat([]byte{0xff}, 12)),
								box("stsd", bytes.Repeat([]byte{0xff}, 16)),
							),
						),
					),
				),
			)...),
		"huge tags.mp4": append(
			bytes.Clone(ftyp),
			box(
				"moov",
				box(
					"udta",
					box(
						"meta",
						make([]byte, 4),
						box("hdlr", make([]byte, 24)),
						[]byte(
							"\xff\xff\xff\xffilst\xff\xff\xff\xffcovr\xff\xff\xff\xffdata\x00\x00\x00\x0d\x00\x00\x00\x00",
						),
					),
				),
			)...),
		"entries backward.heic": heif(),
		"ifd loop.jpg":          jpeg(app1(ifdLoop())),
		"ifd loop.tif":          ifdLoop()[6:],
		"deep.jpg":              jpeg(xmp("<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + strings.Repeat("<a>", 20_000))),
		"entities.jpg": jpeg(
			xmp(
				"<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;&b;'>]><x:xmpmeta xmlns:x='adobe:ns:meta/'><a>&c;</a>",
			),
		),
		"attributes.jpg": jpeg(
			xmp(
				"<r:RDF xmlns:r='" + nsRDF + "'><r:Description xmlns:q='http://q/' " + strings.Repeat(
					"q:a='1' ", 7000,
				) + "/>",
			),
		),
		"segments.jpg": jpeg(bytes.Repeat([]byte{0xff, 0xe1, 0, 2}, 1_000_000)),
		"ztxt.png": slices.Concat(
			png, ihdr, chunk("zTXt", append([]byte("Title\x00\x00"), big...)), chunk("IEND", nil),
		),
		"itxt.png": slices.Concat(
			png, ihdr, chunk("iTXt", append([]byte("XML:com.adobe.xmp\x00\x01\x00\x00\x00"), big...)),
			chunk("IEND", nil),
		),
		"iccp.png":           slices.Concat(png, ihdr, chunk("iCCP", append([]byte("icc\x00\x00"), big...)), chunk("IEND", nil)),
		"chunks.png":         slices.Concat(png, ihdr, bytes.Repeat(chunk("tEXt", []byte("k\x00v")), 200_000)),
		"negative chunk.png": slices.Concat(png, ihdr, []byte("\xff\xff\xff\xfctEXt")),
		"blocks.gif": append(
			[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02"),
			bytes.Repeat([]byte{1, 0xff}, 1<<20)...),
		"chunks.webp": append(
			[]byte("RIFF\xff\xff\xff\xffWEBPVP8X\x0a\x00\x00\x00\xff\x00\x00\x00\xff\xff\xff\xff\xff\xff"),
			bytes.Repeat([]byte("ANMF\x00\x00\x00\x00"), 200_000)...),
		"info.wav": append(
			[]byte("RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xffINFO"),
			bytes.Repeat([]byte("INAM\x00\x00\x00\x00"), 200_000)...),
		"huge tag.mp3": id3([]byte("TIT2\x7f\xff\xff\xff\x00\x00\x01")),
		"frames.mp3":   id3(bytes.Repeat([]byte("TXXX\x00\x00\x00\x04\x00\x00\x00k\x00v"), 200_000)),
		"vorbis counts.flac": []byte(
			"fLaC\x00\x00\x00\x22" + strings.Repeat(
				"\xff", 34,
			) + "\x04\x00\x00\x0c\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x86\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		),
		"empty segments.ogg": bytes.Repeat(
			append([]byte("OggS\x00\x00aaaaaaaaaaaaaaaaaaaa\xff"), make([]byte, 255)...), 5000,
		),
		"unknown sizes.mkv": append(bytes.Clone(ebml), bytes.Repeat([]byte("\x18\x53\x80\x67\xff"), 200_000)...),
		"nested unknown.mkv": append(
			append(bytes.Clone(ebml), "\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"...),
			bytes.Repeat([]byte("\x16\x54\xae\x6b\xff\xae\xff"), 200_000)...),
		"seeks.mkv": append(
			append(bytes.Clone(ebml), "\x18\x53\x80\x67\xff\x11\x4d\x9b\x74\xff"...),
			bytes.Repeat([]byte("\x4d\xbb\x8b\x53\xab\x84\x11\x4d\x9b\x74\x53\xac\x81\x00"), 100_000)...),
		"loop.pdf":   pdf(loop),
		"table.pdf":  pdf("xref\n" + strings.Repeat("0 0\n", 200_000)),
		"index.pdf":  flateIndex,
		"nested.pdf": pdf("xref\n0 0\ntrailer " + strings.Repeat("[", 200_000)),
		"dicts.pdf":  pdf("xref\n0 0\ntrailer " + strings.Repeat("<</a", 50_000)),
	}
}

// TestBombs: files that ask for much get little, in little time.
func TestBombs(t *testing.T) {
	for name, b := range bombs() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			f, doc, err := inProcess(t.Context(), sourceOf(b, name))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			checkModel(t, f, doc)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d bytes: %v, %d MiB allocated: %s %s", len(b), took, allocated, f.Type, f.Error)
			if allocated > 64 {
				t.Errorf("%d MiB were allocated for %d bytes", allocated, len(b))
			}
		})
	}
}

// TestAbsurdNumbers: what cannot be is not there, and is no error.
func TestAbsurdNumbers(t *testing.T) {
	inf := math.Inf(1)
	f := remote.MediaFacts{
		Type:        "image/x",
		Width:       1 << 31,
		Height:      -5,
		Orientation: 9,
		Taken:       time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		TakenZone:   true,
		Place:       &remote.Place{Latitude: 200},
		Direction:   ptr(math.NaN()),
		Exposure:    inf,
		Aperture:    math.NaN(),
		ISO:         -1,
		FocalLength: -3,
		Bias:        &inf,
		Flash:       ptr(-1),
		Duration:    -1,
		BitRate:     -1,
		FrameRate:   inf,
		SampleRate:  -8,
		Channels:    1 << 30,
		Year:        10000,
		Track:       -1,
		Pages:       -2,
		Rating:      11,
		Frames:      -1,
		Title:       "a\x00b\xff\x1b[31m\u202e",
		Class:       "nonsense",
		PictureType: "text/html",
	}
	doc := &remote.FactsDocument{
		Tags: map[string]any{
			"nan":  math.NaN(),
			"inf":  inf,
			"long": strings.Repeat("é", 1<<20),
			"nul":  "a\x00b",
			"deep": []any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{1.0}}}}}}}},
		},
		EXIF:    map[string]any{},
		Picture: make([]byte, 9<<20),
	}
	doc = tidy(&f, doc, Limits{}.withDefaults())
	checkModel(t, f, doc)
	compareFacts(
		t, f, remote.MediaFacts{Type: "image/x", Class: remote.ClassData, Title: "ab\uFFFD[31m", Document: true},
	)
	if len(doc.Tags) != 2 || doc.Tags["nul"] != "ab" || len(doc.Tags["long"].(string)) != 32<<10 ||
		doc.Picture != nil ||
		doc.EXIF != nil {
		t.Errorf("document %v", doc)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	tags := map[string]any{}
	for i := range 100 {
		tags[fmt.Sprintf("long %d", i)] = strings.Repeat("x", 30<<10)
		tags[fmt.Sprintf("short %d", i)] = "y"
	}
	f := remote.MediaFacts{Type: "image/jpeg", Class: remote.ClassImage}
	doc := tidy(&f, &remote.FactsDocument{XMP: tags}, Limits{}.withDefaults())
	checkModel(t, f, doc)
	if n := len(doc.XMP); n < 108 || n > 109 { // all that is short, and as many of the others as have room
		t.Errorf("%d tags stayed", n)
	}
}
