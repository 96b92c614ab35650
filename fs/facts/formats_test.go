package facts

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
)

// facts reads what a test has made.
func factsOf(t *testing.T, b []byte, name string) remote.MediaFacts {
	t.Helper()
	f, doc, err := inProcess(t.Context(), sourceOf(b, name))
	if err != nil {
		t.Fatal(err)
	}
	checkModel(t, f, doc)
	return f
}

func TestTypesAndClasses(t *testing.T) {
	for _, c := range []struct {
		head, name, mediaType string
		class                 remote.Class
	}{
		{"", "empty", "application/x-empty", remote.ClassData},
		{"", "empty.go", "text/x-go", remote.ClassDevelopment},
		{"package main\n", "a.go", "text/x-go", remote.ClassDevelopment},
		{"package main\n", "a.jpg", "text/plain", remote.ClassDocument}, // the name cannot make a picture of a text
		{"# Title\n", "README.md", "text/markdown", remote.ClassDocument},
		{"a,b\n1,2\n", "a.csv", "text/csv", remote.ClassSpreadsheet},
		{`{"a": 1}`, "a.json", "application/json", remote.ClassData},
		{"all: x\n", "Makefile", "text/plain", remote.ClassDevelopment},
		{"PK\x03\x04\x14\x00\x00\x00\x00\x00", "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", remote.ClassDocument},
		{"PK\x03\x04\x14\x00\x00\x00\x00\x00", "a.pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", remote.ClassPresentation},
		{"PK\x03\x04\x14\x00\x00\x00\x00\x00", "a.ods", "application/vnd.oasis.opendocument.spreadsheet", remote.ClassSpreadsheet},
		{"PK\x03\x04\x14\x00\x00\x00\x00\x00", "a.jpg", "application/zip", remote.ClassArchive},
		{"\x1f\x8b\x08\x00\x00\x00", "a.tgz", "application/gzip", remote.ClassArchive},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", "a", "application/x-executable", remote.ClassApplication},
		{"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "IMG_1.HEIC", "image/heic", remote.ClassImage},
		{"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "a.avif", "image/avif", remote.ClassImage},
		{"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00crx isom", "a.CR3", "image/x-canon-cr3", remote.ClassImage},
		{"II*\x00\x10\x00\x00\x00CR\x02\x00", "a.tif", "image/x-canon-cr2", remote.ClassImage},
		{"II*\x00\x08\x00\x00\x00\x00\x00", "a.NEF", "image/x-nikon-nef", remote.ClassImage},
		{"II*\x00\x08\x00\x00\x00\x00\x00", "a.dng", "image/x-adobe-dng", remote.ClassImage},
		{"II*\x00\x08\x00\x00\x00\x00\x00", "a.jpg", "image/tiff", remote.ClassImage},
		{"FUJIFILMCCD-RAW 0201", "a.raf", "image/x-fuji-raf", remote.ClassImage},
		{strings.Repeat("G"+strings.Repeat("\xff", 187), 6), "a.ts", "video/mp2t", remote.ClassVideo},
		{"export const a: number = 1;\n", "a.ts", "text/x-typescript", remote.ClassDevelopment},
		{"\x00\x01\x02\x03", "a", "application/octet-stream", remote.ClassData},
		{"BEGIN:VCARD\nVERSION:3.0\n", "a.vcf", "text/vcard", remote.ClassData},
		{"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "a.svg", "image/svg+xml", remote.ClassImage},
	} {
		mediaType := typeOf([]byte(c.head), c.name)
		if class := classOf(mediaType, c.name); mediaType != c.mediaType || class != c.class {
			t.Errorf(
				"%q named %s is %s, %s; want %s, %s", c.head[:min(len(c.head), 24)], c.name, mediaType, class,
				c.mediaType, c.class,
			)
		}
	}
	for mediaType, class := range classes {
		if !slices.Contains(remote.Classes(), class) || !isType.MatchString(mediaType) {
			t.Errorf("%s is of class %s", mediaType, class)
		}
	}
	for _, table := range []map[string]string{rawTypes, zipTypes, oleTypes, textTypes, renamed} {
		for _, mediaType := range table {
			if !isType.MatchString(mediaType) {
				t.Errorf("%s is no media type", mediaType)
			}
		}
	}
}

// tiffOf makes a TIFF file of texts by their tags: those of the first directory, of EXIF's and of
// GPS's. Values are texts, or bytes ready to be put.
func tiffOf(order binary.AppendByteOrder, main, exif map[uint16]string) []byte {
	b := []byte("MM\x00*")
	if order.String() == "LittleEndian" {
		b = []byte("II*\x00")
	}
	b = order.AppendUint32(b, 8)
	directory := func(at int, entries map[uint16]string, pointer uint32) []byte {
		n := len(entries)
		if pointer > 0 {
			n++
		}
		d := order.AppendUint16(nil, uint16(n))
		data := at + 2 + 12*n + 4
		var rest []byte
		tags := make([]uint16, 0, n)
		for tag := range entries {
			tags = append(tags, tag)
		}
		slices.Sort(tags)
		for _, tag := range tags {
			v := append([]byte(entries[tag]), 0)
			d = order.AppendUint32(order.AppendUint16(order.AppendUint16(d, tag), 2), uint32(len(v)))
			if len(v) <= 4 {
				d = append(d, append(v, 0, 0, 0)[:4]...)
				continue
			}
			d = order.AppendUint32(d, uint32(data+len(rest)))
			rest = append(rest, v...)
		}
		if pointer > 0 {
			d = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(d, 0x8769), 4), 1), pointer)
		}
		return append(append(d, 0, 0, 0, 0), rest...)
	}
	first := directory(8, main, 1)
	first = directory(8, main, uint32(8+len(first)))
	b = append(b, first...)
	return append(b, directory(len(b), exif, 0)...)
}

func TestEXIFTimes(t *testing.T) {
	jpeg := func(tiff []byte) []byte {
		return append(
			append([]byte{0xff, 0xd8}, app1(append([]byte("Exif\x00\x00"), tiff...))...), 0xff, 0xda, 0, 2, 0, 0xff,
			0xd9,
		)
	}
	for _, c := range []struct {
		sub, zone string
		want      string
		known     bool
	}{
		{"5", "", "2023-07-14T18:30:45.5Z", false},
		{"05", "", "2023-07-14T18:30:45.05Z", false},
		{"005", "-03:30", "2023-07-14T18:30:45.005-03:30", true},
		{"50", "Z", "2023-07-14T18:30:45.5Z", true},
		{"   ", "+99:00", "2023-07-14T18:30:45Z", false},
		{"123456", "+13:00", "2023-07-14T18:30:45.123456+13:00", true},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			exif := map[uint16]string{0x9003: "2023:07:14 18:30:45", 0x9291: c.sub}
			if c.zone != "" {
				exif[0x9011] = c.zone
			}
			f := factsOf(t, jpeg(tiffOf(order, map[uint16]string{0x010f: "Maker"}, exif)), "a.jpg")
			if !f.Taken.Equal(at(c.want)) || f.TakenZone != c.known || f.Make != "Maker" {
				t.Errorf("%+v: %v, %v; make %q", c, f.Taken, f.TakenZone, f.Make)
			}
		}
	}
	x := &extraction{}
	x.mergeCamera(
		tagMap{"DateTimeOriginal": "2023:07:14 18:32:45", "GPSDateStamp": "2023:07:14", "GPSTimeStamp": "13:00:01"},
	)
	if _, off := x.facts.Taken.Zone(); off != 5*3600+1800 || !x.facts.TakenZone {
		t.Errorf("by the satellites: %v", x.facts.Taken)
	}
	for _, bad := range []string{"0000:00:00 00:00:00", "    :  :     :  :  ", "9999:99:99 99:99:99", "2023:13:01 00:00:00", "yesterday", ""} {
		x := &extraction{}
		x.mergeCamera(tagMap{"DateTimeOriginal": bad})
		if !x.facts.Taken.IsZero() {
			t.Errorf("%q is %v", bad, x.facts.Taken)
		}
	}
}

func TestXMP(t *testing.T) {
	packet := `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="` + nsRDF + `">
<rdf:Description xmlns:dc="` + nsDC + `" xmlns:exif="` + nsEXIF + `" xmlns:xmp="` + nsXMP + `" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:m="` + nsMicrosoft + `"
 exif:GPSLatitude="38,42.834S" exif:GPSLongitude="9,8,22W" m:Rating="75">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">One</rdf:li><rdf:li xml:lang="de">Eins</rdf:li></rdf:Alt></dc:title>
<dc:subject><rdf:Bag><rdf:li>a</rdf:li><rdf:li>b</rdf:li></rdf:Bag></dc:subject>
<i:LocationShown><rdf:Bag><rdf:li rdf:parseType="Resource"><i:City>Lisboa</i:City></rdf:li></rdf:Bag></i:LocationShown>
<xmp:CreateDate>2020-02-03T04:05:06.7-02:00</xmp:CreateDate>
</rdf:Description></rdf:RDF></x:xmpmeta>`
	x := &extraction{facts: remote.MediaFacts{Type: "image/png"}}
	if err := x.xmp([]byte(packet)); err != nil {
		t.Fatal(err)
	}
	f := x.facts
	if f.Title != "One" || !slices.Equal(f.Keywords, []string{"a", "b"}) || f.Rating != 8 ||
		!f.Taken.Equal(at("2020-02-03T04:05:06.7-02:00")) {
		t.Errorf("%+v", f)
	}
	if p := f.Place; p == nil || fmt.Sprintf("%.4f %.4f", p.Latitude, p.Longitude) != "-38.7139 -9.1394" {
		t.Errorf("place %+v", p)
	}
	if x.doc.XMP["Iptc4xmpExt:LocationShown/Iptc4xmpExt:City"] != "Lisboa" {
		t.Errorf("%v", x.doc.XMP)
	}
	// The same in a PNG, packed.
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write([]byte(packet))
	_ = z.Close()
	png := slices.Concat(
		[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", []byte{0, 0, 1, 0, 0, 0, 1, 0, 8, 2, 0, 0, 0}),
		bytes.Repeat(chunk("IDAT", make([]byte, 8192)), 64),
		chunk("iTXt", append([]byte("XML:com.adobe.xmp\x00\x01\x00\x00\x00"), packed.Bytes()...)), chunk("IEND", nil),
	)
	if f := factsOf(t, png, "a.png"); f.Title != "One" || f.Width != 256 || f.Error != "" {
		t.Errorf("in a PNG, behind the picture: %+v", f)
	}
}

func TestID3Versions(t *testing.T) {
	frame := []byte{0xff, 0xfb, 0x90, 0} // MPEG 1, layer III, 128 kbit/s, 44,100 Hz
	sound := bytes.Repeat(append(frame, make([]byte, 413)...), 100)
	tag := func(version byte, frames []byte) []byte {
		n := len(frames)
		return append(
			[]byte{'I', 'D', '3', version, 0, 0, byte(n >> 21), byte(n >> 14 & 127), byte(n >> 7 & 127), byte(n & 127)},
			frames...)
	}
	v22 := func(id, s string) []byte { return append(append([]byte(id), 0, 0, byte(len(s)+1), 0), s...) }
	v24 := func(id, s string) []byte { return append(append([]byte(id), 0, 0, 0, byte(len(s)+1), 0, 0, 3), s...) }
	v1 := make([]byte, 128)
	copy(v1, "TAG")
	copy(v1[3:], "Old \xe9t\xe9")
	copy(v1[93:], "1999")
	v1[126], v1[127] = 7, 17

	f := factsOf(
		t, slices.Concat(tag(2, slices.Concat(v22("TT2", "Two"), v22("TRK", "2/9"), v22("TCO", "(17)"))), sound),
		"a.mp3",
	)
	if f.Title != "Two" || f.Track != 2 || f.Tracks != 9 || f.Genre != "Rock" || f.BitRate != 128000 ||
		int(f.Duration*100) != 260 {
		t.Errorf("2.2: %+v", f)
	}
	popm := append([]byte("POPM\x00\x00\x00\x05\x00\x00a@b\x00"), 196)
	f = factsOf(
		t,
		slices.Concat(
			tag(4, slices.Concat(v24("TIT2", "Vier ü"), v24("TDRC", "2020-01-02"), v24("TPE1", "A\x00B"), popm)), sound,
			v1,
		),
		"a.mp3",
	)
	if f.Title != "Vier ü" || f.Year != 2020 || f.Creator != "A; B" || f.Rating != 8 || f.Track != 7 {
		t.Errorf("2.4: %+v", f)
	}
	f = factsOf(t, slices.Concat(sound, v1), "a.mp3")
	if f.Title != "Old été" || f.Year != 1999 || f.Genre != "Rock" || f.Track != 7 || f.Error != "" {
		t.Errorf("1: %+v", f)
	}
	// An encoder's header, of a variable bit rate: 1,000 frames in 200,000 bytes.
	xing := append(bytes.Clone(frame), make([]byte, 32)...)
	xing = append(xing, "Xing\x00\x00\x00\x03\x00\x00\x03\xe8\x00\x03\x0d\x40"...)
	xing = append(xing, make([]byte, 417-len(xing))...)
	big := sparse{300_000, map[int64][]byte{0: append(xing, sound...)}}
	f, _, err := inProcess(t.Context(), Source{ReaderAt: big, Size: big.size, Name: "a.mp3"})
	if err != nil || int(f.Duration*100) != 2612 || f.BitRate != 61250 {
		t.Errorf("variable: %+v, %v", f, err)
	}
}

func TestRIFFInfo(t *testing.T) {
	chunk := func(id, body string) string {
		b := string(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))) + body
		if len(body)%2 == 1 {
			b += "\x00"
		}
		return b
	}
	format := "\x01\x00\x02\x00\x80\xbb\x00\x00\x00\xee\x02\x00\x04\x00\x10\x00" // PCM, stereo, 48,000 Hz, 16 bits
	wav := "WAVE" + chunk("fmt ", format) + chunk(
		"data", strings.Repeat("\x00", 96_000),
	) + chunk("LIST", "INFO"+chunk("INAM", "odd")+chunk("IART", "Who")+chunk("ICRD", "2001-02-03"))
	f := factsOf(t, []byte(chunk("RIFF", wav)), "a.wav")
	if f.Title != "odd" || f.Creator != "Who" || f.Year != 2001 || f.Duration != 0.5 || f.Channels != 2 ||
		f.SampleRate != 48000 ||
		f.Error != "" {
		t.Errorf("%+v", f)
	}
	// A recorder that lost its power does not know how long it was.
	cut := "RIFF\x00\x00\x00\x00WAVE" + chunk("fmt ", format) + "data\xff\xff\xff\xff" + strings.Repeat("\x00", 192_000)
	if f := factsOf(t, []byte(cut), "a.wav"); f.Duration != 1 || f.Error != "" {
		t.Errorf("cut: %+v", f)
	}
}

// TestPDFStreams reads a document whose objects and index are in streams, as most programs write
// them.
func TestPDFStreams(t *testing.T) {
	deflate := func(s []byte) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		_, _ = z.Write(s)
		_ = z.Close()
		return b.Bytes()
	}
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 7/MediaBox[0 0 612 792]>>",
		"<</Type/Page/Parent 2 0 R>>",
		"<</Title<FEFF00DC>/Author(A\\(b\\)\\344)/CreationDate(D:20200102030405+01'30')/Keywords(x; y)>>",
	}
	var heads, bodies string
	for i, o := range objects {
		heads += fmt.Sprintf("%d %d ", i+1, len(bodies))
		bodies += o + " "
	}
	packed := deflate([]byte(heads + bodies))
	doc := "%PDF-1.5\n"
	stream := len(doc)
	doc += fmt.Sprintf(
		"5 0 obj\n<</Type/ObjStm/N 4/First %d/Filter/FlateDecode/Length %d>>\nstream\r\n%s\nendstream\nendobj\n",
		len(heads), len(packed), packed,
	)
	index := len(doc)
	rows := [][]byte{
		{0, 0, 0, 0},
		{2, 0, 5, 0},
		{2, 0, 5, 1},
		{2, 0, 5, 2},
		{2, 0, 5, 3},
		{1, byte(stream >> 8), byte(stream), 0},
	}
	var filtered, above []byte
	above = make([]byte, 4)
	for _, r := range rows {
		filtered = append(filtered, 2) // the difference to the row above
		for i := range r {
			filtered = append(filtered, r[i]-above[i])
		}
		above = r
	}
	packed = deflate(filtered)
	doc += fmt.Sprintf(
		"6 0 obj\n<</Type/XRef/Size 6/W[1 2 1]/Root 1 0 R/Info 4 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 4>>/Length %d>>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n",
		len(packed), packed, index,
	)
	f, d, err := inProcess(t.Context(), sourceOf([]byte(doc), "a.pdf"))
	if err != nil || f.Error != "" {
		t.Fatal(err, f.Error)
	}
	if f.Pages != 7 || f.Title != "Ü" || f.Creator != "A(b)ä" || !slices.Equal(f.Keywords, []string{"x", "y"}) ||
		!f.Taken.IsZero() ||
		f.Year != 0 {
		t.Errorf("%+v", f)
	}
	if d.Tags["CreationDate"] != "2020-01-02T03:04:05+01:30" || fmt.Sprint(d.Tags["PageSizes"]) != "[612 x 792 pt]" {
		t.Errorf("%v", d.Tags)
	}
	secret := strings.Replace(doc, "/Root 1 0 R", "/Root 1 0 R/Encrypt 9 0 R", 1)
	if f := factsOf(t, []byte(secret), "a.pdf"); f.Pages != 7 || f.Title != "" {
		t.Errorf("encrypted: %+v", f)
	}
}

func TestISO6709(t *testing.T) {
	for s, want := range map[string]string{
		"+38.7139-009.1394/":              "38.71390 -9.13940",
		"+38.7139-009.1394+042.500/":      "38.71390 -9.13940 42.5",
		"+3842.834-00908.364/":            "38.71390 -9.13940",
		"-384250.04+0090821.84CRSWGS_84/": "-38.71390 9.13940",
		"+38/":                            "",
		"nowhere":                         "",
		"+a-b/":                           "",
		"":                                "",
	} {
		got := ""
		if p := parseISO6709(s); p != nil {
			got = fmt.Sprintf("%.5f %.5f", p.Latitude, p.Longitude)
			if p.Altitude != nil {
				got += fmt.Sprintf(" %g", *p.Altitude)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// TestFragments: a film in fragments is as long as what says so before them.
func TestFragments(t *testing.T) {
	long := func(n ...uint32) []byte {
		var b []byte
		for _, n := range n {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	film := slices.Concat(
		box("ftyp", []byte("iso5\x00\x00\x00\x00iso5")),
		box("moov", box("mvhd", long(0, 0, 0, 1000, 0), make([]byte, 80)), box("mvex", box("mehd", long(0, 12_500)))),
		bytes.Repeat(box("moof"), 3),
	)
	if f := factsOf(t, film, "a.mp4"); f.Duration != 12.5 || f.Error != "" || !f.Taken.Equal(time.Time{}) {
		t.Errorf("%+v", f)
	}
}
