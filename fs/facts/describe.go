package facts

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"mediafs/remote"
)

// maxXMP bounds a packet of XMP. A JPEG has room for 64 KiB; programs that keep their whole history
// write hundreds.
const maxXMP = 2 << 20

// Namespaces whose fields are facts. The document has all others too, under the last part of
// theirs.
const (
	nsRDF       = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	nsDC        = "http://purl.org/dc/elements/1.1/"
	nsXMP       = "http://ns.adobe.com/xap/1.0/"
	nsPhotoshop = "http://ns.adobe.com/photoshop/1.0/"
	nsEXIF      = "http://ns.adobe.com/exif/1.0/"
	nsTIFF      = "http://ns.adobe.com/tiff/1.0/"
	nsAux       = "http://ns.adobe.com/exif/1.0/aux/"
	nsMicrosoft = "http://ns.microsoft.com/photo/1.0/"
	nsMicrosft2 = "http://ns.microsoft.com/photo/1.0"
	nsPDF       = "http://ns.adobe.com/pdf/1.3/"
)

var prefixes = map[string]string{
	nsDC: "dc", nsXMP: "xmp", nsPhotoshop: "photoshop", nsEXIF: "exif", nsTIFF: "tiff", nsAux: "aux",
	nsMicrosoft: "MicrosoftPhoto", nsMicrosft2: "MicrosoftPhoto", nsPDF: "pdf",
	"http://cipa.jp/exif/1.0/":                             "exifEX",
	"http://ns.adobe.com/xap/1.0/mm/":                      "xmpMM",
	"http://ns.adobe.com/xap/1.0/rights/":                  "xmpRights",
	"http://ns.adobe.com/lightroom/1.0/":                   "lr",
	"http://ns.adobe.com/camera-raw-settings/1.0/":         "crs",
	"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/":          "Iptc4xmpCore",
	"http://iptc.org/std/Iptc4xmpExt/2008-02-29/":          "Iptc4xmpExt",
	"http://ns.google.com/photos/1.0/camera/":              "GCamera",
	"http://www.digikam.org/ns/1.0/":                       "digiKam",
	"http://ns.adobe.com/xmp/1.0/DynamicMedia/":            "xmpDM",
	"http://ns.google.com/photos/1.0/panorama/":            "GPano",
	"http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
}

// parseXMP reads a packet: the properties of its descriptions by prefix and name, of which lists
// are lists, and of languages the default one is taken. Structures are walked into for their texts,
// under the name of the outer property and theirs.
func parseXMP(p []byte) (tagMap, error) {
	const deepest = 32 // of elements within each other: structures of structures of lists
	m := tagMap{}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimRight(p, "\x00 \r\n\t")))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	type level struct {
		name xml.Name
		path string // of properties, down to here
		text strings.Builder
		kids bool
	}
	var stack []*level
	for {
		t, err := d.Token()
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(stack) >= deepest {
				return m, errors.New("elements too deep")
			}
			l := &level{name: t.Name}
			property := t.Name.Space != nsRDF && t.Name.Space != "adobe:ns:meta/"
			if len(stack) > 0 {
				up := stack[len(stack)-1]
				up.kids = true
				l.path = up.path
			}
			if property {
				l.path = join(l.path, xmpName(t.Name))
			}
			for _, a := range t.Attr {
				if a.Name.Space != "" && a.Name.Space != "xmlns" && a.Name.Space != nsRDF && a.Name.Space != "xml" &&
					a.Name.Space != "adobe:ns:meta/" {
					m.add(join(l.path, xmpName(a.Name)), a.Value)
				}
				if a.Name.Space == nsRDF && a.Name.Local == "resource" && l.path != "" {
					m.add(l.path, a.Value)
				}
			}
			stack = append(stack, l)
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(t)
			}
		case xml.EndElement:
			if len(stack) == 0 {
				continue
			}
			l := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			text := strings.TrimSpace(l.text.String())
			switch {
			case l.path == "" || l.kids || text == "":
			case l.name.Space == nsRDF && l.name.Local == "li" && len(stack) > 0 && stack[len(stack)-1].name.Local == "Alt":
				m.add(l.path, text) // the first is the default language
			case l.name.Space == nsRDF && l.name.Local == "li":
				list, _ := m[l.path].([]string)
				if len(list) < 1000 && (list != nil || len(m) < maxTags) {
					m[l.path] = append(list, text)
				}
			default:
				m.add(l.path, text)
			}
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

func xmpName(n xml.Name) string {
	p, ok := prefixes[n.Space]
	if !ok {
		p = strings.TrimRight(n.Space, "/#")
		p = p[strings.LastIndexByte(p, '/')+1:]
		p = p[:min(len(p), 64)]
	}
	if p == "" {
		return n.Local
	}
	return p + ":" + n.Local
}

// xmp takes over a packet of XMP.
func (x *extraction) xmp(p []byte) error {
	if len(p) > maxXMP {
		return errors.New("packet too large")
	}
	m, err := parseXMP(p)
	if x.doc.XMP == nil && len(m) > 0 {
		x.doc.XMP = m
	}
	f := &x.facts
	setText(&f.Title, m.text("dc:title"))
	setText(&f.Title, m.text("photoshop:Headline"))
	setText(&f.Description, m.text("dc:description"))
	setText(&f.Creator, m.text("dc:creator"))
	setText(&f.Copyright, m.text("dc:rights"))
	setText(&f.Label, m.text("xmp:Label"))
	setText(&f.City, m.text("photoshop:City"))
	setText(&f.Country, m.text("photoshop:Country"))
	if len(f.Keywords) == 0 {
		f.Keywords = m.list("dc:subject")
	}
	if r := m.float("xmp:Rating"); r > 0 && r <= 5 { // -1 is "rejected"
		setInt(&f.Rating, int(math.Round(2*r)))
	}
	if r := m.float("MicrosoftPhoto:Rating"); r > 0 && r <= 99 { // 1, 25, 50, 75, 99
		setInt(&f.Rating, 2*(1+int(math.Round(r/25))))
		f.Rating = min(f.Rating, remote.MaxRating)
	}
	setText(&f.Make, m.text("tiff:Make"))
	setText(&f.Model, m.text("tiff:Model"))
	setText(&f.Lens, first(m.text("exifEX:LensModel"), m.text("aux:Lens")))
	setText(&f.Serial, first(m.text("exifEX:BodySerialNumber"), m.text("aux:SerialNumber")))
	setText(&f.Software, m.text("xmp:CreatorTool"))
	setFloat(&f.Exposure, m.float("exif:ExposureTime"))
	setFloat(&f.Aperture, m.float("exif:FNumber"))
	setFloat(&f.FocalLength, m.float("exif:FocalLength"))
	if lat, long := xmpDegrees(
		m.text("exif:GPSLatitude"),
	), xmpDegrees(
		m.text("exif:GPSLongitude"),
	); finite(lat) && finite(long) &&
		f.Place == nil {
		f.Place = &remote.Place{Latitude: lat, Longitude: long}
		if alt := m.float("exif:GPSAltitude"); finite(alt) {
			if m.text("exif:GPSAltitudeRef") == "1" {
				alt = -alt
			}
			f.Place.Altitude = &alt
		}
	}
	if classOf(f.Type, "") == remote.ClassImage || classOf(f.Type, "") == remote.ClassVideo {
		for _, name := range []string{"exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate"} {
			if t, zone, ok := parseTime(m.text(name)); ok {
				x.took(t, zone)
				break
			}
		}
	}
	return err
}

// xmpDegrees reads "38,42.834N" and "38,42,50N".
func xmpDegrees(s string) float64 {
	s = strings.TrimSpace(s)
	if s == "" {
		return math.NaN()
	}
	sign := 1.0
	switch s[len(s)-1] {
	case 'S', 'W', 's', 'w':
		sign = -1
	case 'N', 'E', 'n', 'e':
	default:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return math.NaN()
		}
		return f
	}
	sum, unit := 0.0, 1.0
	for part := range strings.SplitSeq(s[:len(s)-1], ",") {
		f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return math.NaN()
		}
		sum += f / unit
		unit *= 60
	}
	return sign * sum
}

// mergeIPTC takes over what agencies write.
func (x *extraction) mergeIPTC(m tagMap) {
	if len(m) == 0 {
		return
	}
	x.doc.IPTC = m
	f := &x.facts
	setText(&f.Title, m.text("ObjectName"))
	setText(&f.Title, m.text("Headline"))
	setText(&f.Description, m.text("Caption-Abstract"))
	setText(&f.Creator, m.text("By-line"))
	setText(&f.Copyright, m.text("CopyrightNotice"))
	setText(&f.City, m.text("City"))
	setText(&f.Country, m.text("Country-PrimaryLocationName"))
	if len(f.Keywords) == 0 {
		f.Keywords = m.list("Keywords")
	}
	if t, zone, ok := parseTime(m.text("DateCreated") + " " + m.text("TimeCreated")); ok {
		x.took(t, zone)
	}
}
