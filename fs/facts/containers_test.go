package facts

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
)

// TestHEIF: the size is that of the decoded picture, which is turned already.
func TestHEIF(t *testing.T) {
	word := func(n ...uint16) []byte {
		var b []byte
		for _, v := range n {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	tiff := tiffOf(
		binary.BigEndian, map[uint16]string{0x010f: "Phone", 0x0110: "One"},
		map[uint16]string{0x9003: "2024:01:02 03:04:05", 0x9011: "+02:00"},
	)
	item := append([]byte{0, 0, 0, 6}, append([]byte("Exif\x00\x00"), tiff...)...)
	make1 := func(at uint16) []byte {
		return slices.Concat(box("ftyp", []byte("heic\x00\x00\x00\x00mif1heic")), box("meta", make([]byte, 4),
			box("pitm", make([]byte, 4), word(1)),
			box("iinf", make([]byte, 4), word(1), box("infe", []byte{2, 0, 0, 0}, word(2, 0), []byte("Exif\x00"))),
			box("iprp",
				box("ipco", box("ispe", make([]byte, 4), word(0, 4032, 0, 3024)), box("irot", []byte{3})),
				box("ipma", make([]byte, 4), word(0, 1, 1), []byte{2, 1, 2})),
			box("iloc", make([]byte, 4), []byte{0x44, 0}, word(1, 2, 0, 1, 0, at, 0, uint16(len(item))))))
	}
	b := append(make1(uint16(len(make1(0)))), item...)
	f := factsOf(t, b, "IMG_0001.HEIC")
	if f.Type != "image/heic" || f.Width != 3024 || f.Height != 4032 || f.Orientation != 1 || f.Model != "One" ||
		!f.Taken.Equal(at("2024-01-02T03:04:05+02:00")) ||
		f.Error != "" {
		t.Errorf("%+v", f)
	}
}

func TestRawPhoto(t *testing.T) {
	for _, name := range []string{"a.dng", "a.NEF", "a.arw", "a.pef", "a.tif"} {
		b := tiffOf(
			binary.LittleEndian, map[uint16]string{0x010f: "Maker", 0x0131: "Firmware 1.0"},
			map[uint16]string{0x9003: "2024:01:02 03:04:05", 0xa434: "A lens"},
		)
		f := factsOf(t, b, name)
		if f.Class != remote.ClassImage || f.Make != "Maker" || f.Lens != "A lens" || f.Software != "Firmware 1.0" ||
			!f.Taken.Equal(at("2024-01-02T03:04:05Z")) ||
			f.Error != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	// A CR3 has EXIF in three boxes.
	cr3 := slices.Concat(box("ftyp", []byte("crx \x00\x00\x00\x01crx isom")), box("moov", box(
		"uuid",
		[]byte("\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"),
		box("CMT1", tiffOf(binary.LittleEndian, map[uint16]string{0x010f: "Canon"}, nil)),
		box(
			"CMT2",
			tiffOf(binary.LittleEndian, map[uint16]string{0xa434: "RF lens", 0x9003: "2024:01:02 03:04:05"}, nil),
		),
	)))
	if f := factsOf(
		t, cr3, "a.cr3",
	); f.Type != "image/x-canon-cr3" || f.Make != "Canon" || f.Lens != "RF lens" || f.Taken.IsZero() || f.Duration != 0 ||
		f.Error != "" {
		t.Errorf("CR3: %+v", f)
	}
}

// TestWebPPadding: chunks of odd lengths have a byte behind them.
func TestWebPPadding(t *testing.T) {
	chunk := func(id string, b []byte) []byte {
		c := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(b))), b...)
		return append(c, make([]byte, len(b)&1)...)
	}
	tiff := tiffOf(
		binary.LittleEndian, map[uint16]string{0x010f: "Maker"}, map[uint16]string{0x9003: "2024:01:02 03:04:05"},
	)
	frame := append(make([]byte, 12), 100, 0, 0, 0)
	body := slices.Concat(
		[]byte("WEBP"), chunk("VP8X", []byte{0x2a, 0, 0, 0, 0x3f, 1, 0, 0xb3, 0, 0}), chunk("ICCP", []byte("odd")),
		chunk("ANMF", frame), chunk("ANMF", frame), chunk("EXIF", tiff),
	)
	f := factsOf(t, chunk("RIFF", body), "a.webp")
	if f.Width != 320 || f.Height != 180 || f.Make != "Maker" || f.Taken.IsZero() || f.Frames != 2 ||
		f.Duration != 0.2 ||
		f.Error != "" {
		t.Errorf("%+v", f)
	}
}

// TestITunes reads the items that a film's user data have, and of free ones the names.
func TestITunes(t *testing.T) {
	data := func(kind byte, value string) []byte {
		return box("data", []byte{0, 0, 0, kind, 0, 0, 0, 0}, []byte(value))
	}
	keys := box(
		"meta",
		box("hdlr", make([]byte, 24)),
		box(
			"keys", []byte{0, 0, 0, 0, 0, 0, 0, 2}, box("mdta", []byte("com.apple.quicktime.location.ISO6709")),
			box("mdta", []byte("com.apple.quicktime.creationdate")),
		),
		box(
			"ilst", box("\x00\x00\x00\x01", data(1, "+10.5000-020.2500+100.000/")),
			box("\x00\x00\x00\x02", data(1, "2024-05-06T07:08:09+0530")),
		),
	)
	items := box("udta", box("meta", make([]byte, 4), box("hdlr", make([]byte, 24)), box(
		"ilst",
		box("\xa9nam", data(1, "Näme")),
		box("trkn", data(0, "\x00\x00\x00\x04\x00\x09\x00\x00")),
		box("gnre", data(0, "\x00\x12")),
		box("keyw", data(1, "a, b")),
		box("covr", data(13, "\xff\xd8\xff\xe0"+strings.Repeat("x", 500))),
		box(
			"----", box("mean", []byte("\x00\x00\x00\x00com.apple")), box("name", []byte("\x00\x00\x00\x00LABEL")),
			data(1, "free"),
		),
	)))
	film := slices.Concat(box("ftyp", []byte("qt  \x00\x00\x00\x00qt  ")), box("moov", keys, items))
	f, doc, err := inProcess(t.Context(), sourceOf(film, "a.mov"))
	if err != nil || f.Error != "" {
		t.Fatal(err, f.Error)
	}
	checkModel(t, f, doc)
	if f.Title != "Näme" || f.Track != 4 || f.Tracks != 9 || f.Genre != "Rock" ||
		!slices.Equal(f.Keywords, []string{"a", "b"}) ||
		f.PictureSize != 504 ||
		f.PictureType != "image/jpeg" {
		t.Errorf("%+v", f)
	}
	if p := f.Place; p == nil || p.Latitude != 10.5 || p.Longitude != -20.25 || p.Altitude == nil ||
		*p.Altitude != 100 {
		t.Errorf("place %+v", p)
	}
	if _, off := f.Taken.Zone(); !f.Taken.Equal(at("2024-05-06T07:08:09+05:30")) || off != 19800 ||
		doc.Tags["LABEL"] != "free" {
		t.Errorf("taken %v, tags %v", f.Taken, doc.Tags)
	}
}
