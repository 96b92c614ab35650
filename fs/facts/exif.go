package facts

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"mediafs/remote"
)

// A tagMap has fields of EXIF, IPTC, XMP or a sound's tags by their names.
type tagMap map[string]any

// maxTags bounds the fields of one media. Cameras write some hundred.
const maxTags = 2000

// add keeps a field; the first of several of one name.
func (m tagMap) add(name string, v any) {
	if _, ok := m[name]; !ok && len(m) < maxTags {
		m[name] = v
	}
}

// text is a field as text; empty when there is none.
func (m tagMap) text(names ...string) string {
	for _, name := range names {
		switch v := m[name].(type) {
		case string:
			if strings.TrimSpace(v) != "" {
				return v
			}
		case []string:
			if len(v) > 0 {
				return strings.Join(v, ", ")
			}
		}
	}
	return ""
}

// list is a field as texts.
func (m tagMap) list(name string) []string {
	switch v := m[name].(type) {
	case string:
		return []string{v}
	case []string:
		return v
	}
	return nil
}

// float is a field as a number; NaN when there is none.
func (m tagMap) float(name string) float64 {
	switch v := m[name].(type) {
	case nil:
	case interface{ Float64() float64 }:
		return v.Float64()
	case float64:
		return v
	case float32:
		return float64(v)
	case int:
		return float64(v)
	case uint8:
		return float64(v)
	case uint16:
		return float64(v)
	case uint32:
		return float64(v)
	case int32:
		return float64(v)
	case string:
		return rational(v)
	case []any:
		if len(v) > 0 {
			return tagMap{"": v[0]}.float("")
		}
	}
	return math.NaN()
}

// number is a field as an integer; 0 when it is none.
func (m tagMap) number(name string) int {
	f := m.float(name)
	if !(f > math.MinInt32 && f < math.MaxUint32) {
		return 0
	}
	return int(f)
}

// rational reads "1/250" and "5.6".
func rational(s string) float64 {
	a, b, ok := strings.Cut(strings.TrimSpace(s), "/")
	f, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return math.NaN()
	}
	if ok {
		d, err := strconv.ParseFloat(b, 64)
		if err != nil || d == 0 {
			return math.NaN()
		}
		f /= d
	}
	return f
}

// setText and its like fill what nobody filled before.
func setText(field *string, s string) {
	if *field == "" {
		*field = strings.TrimSpace(s)
	}
}

func setFloat(field *float64, f float64) {
	if *field == 0 && finite(f) {
		*field = f
	}
}

func setInt(field *int, n int) {
	if *field == 0 {
		*field = n
	}
}

// mergeCamera takes over what a camera wrote of itself, the moment and the place.
func (x *extraction) mergeCamera(m tagMap) {
	if len(m) == 0 {
		return
	}
	if x.doc.EXIF == nil {
		x.doc.EXIF = m
	}
	f := &x.facts
	setInt(&f.Orientation, m.number("Orientation"))
	setText(&f.Make, m.text("Make"))
	setText(&f.Model, m.text("Model"))
	setText(&f.Lens, m.text("LensModel", "Lens"))
	setText(&f.Serial, m.text("SerialNumber", "CameraSerialNumber"))
	setText(&f.Software, m.text("Software"))
	setFloat(&f.Exposure, m.float("ExposureTime"))
	setFloat(&f.Exposure, m.float("ShutterSpeedValue"))
	setFloat(&f.Aperture, m.float("FNumber"))
	setFloat(&f.Aperture, m.float("ApertureValue"))
	setInt(&f.ISO, m.number("ISO"))
	setFloat(&f.FocalLength, m.float("FocalLength"))
	if b := m.float("ExposureCompensation"); finite(b) && f.Bias == nil {
		f.Bias = &b
	}
	if v := m.float("Flash"); finite(v) && f.Flash == nil {
		n := int(v)
		f.Flash = &n
	}
	x.exifPlace(m)
	x.exifTaken(m)
}

// mergeCaptions takes over the texts that EXIF has room for. They are the last to be believed:
// cameras fill them with their own names.
func (x *extraction) mergeCaptions(m tagMap) {
	f := &x.facts
	setText(&f.Title, utf16Tag(m, "XPTitle"))
	if d := m.text("ImageDescription"); !strings.HasPrefix(d, "OLYMPUS") && !strings.HasPrefix(d, "SONY DSC") {
		setText(&f.Description, d)
	}
	setText(&f.Creator, m.text("Artist"))
	setText(&f.Creator, utf16Tag(m, "XPAuthor"))
	setText(&f.Copyright, m.text("Copyright"))
	setText(&f.Comment, m.text("UserComment"))
	setText(&f.Comment, utf16Tag(m, "XPComment"))
	if len(f.Keywords) == 0 {
		f.Keywords = keywords(utf16Tag(m, "XPKeywords"))
	}
	setInt(&f.Rating, 2*within(m.number("Rating"), 0, 5))
}

// utf16Tag decodes the fields of Windows.
func utf16Tag(m tagMap, name string) string {
	switch v := m[name].(type) {
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return decodeUTF16([]byte(v), false)
		}
		return v
	case []byte:
		return decodeUTF16(v, false)
	}
	return ""
}

// keywords splits a list of them that is one text.
func keywords(s string) []string {
	sep := ","
	if strings.Contains(s, ";") {
		sep = ";"
	}
	var out []string
	for k := range strings.SplitSeq(s, sep) {
		if k = strings.TrimSpace(k); k != "" && len(out) < remote.MaxTags {
			out = append(out, k)
		}
	}
	return out
}

func (x *extraction) exifPlace(m tagMap) {
	lat, long := m.float("GPSLatitude"), m.float("GPSLongitude")
	if finite(lat) && finite(long) && x.facts.Place == nil {
		if strings.HasPrefix(m.text("GPSLatitudeRef"), "S") {
			lat = -lat
		}
		if strings.HasPrefix(m.text("GPSLongitudeRef"), "W") {
			long = -long
		}
		p := &remote.Place{Latitude: lat, Longitude: long}
		if alt := m.float("GPSAltitude"); finite(alt) {
			if m.number("GPSAltitudeRef") == 1 {
				alt = -alt
			}
			p.Altitude = &alt
		}
		x.facts.Place = p
	}
	if d := m.float("GPSImgDirection"); finite(d) {
		x.facts.Direction = &d
	}
}

// exifTaken finds when the picture was taken, and in which zone: as the camera says; else as its
// clock differs from that of its satellites.
func (x *extraction) exifTaken(m tagMap) {
	clock, sub, zone := m.text("DateTimeOriginal"), "SubSecTimeOriginal", m.text("OffsetTimeOriginal")
	if clock == "" {
		clock, sub, zone = m.text("CreateDate"), "SubSecTimeDigitized", m.text("OffsetTimeDigitized")
	}
	t, ok := parseClock(clock)
	if !ok {
		return
	}
	t = t.Add(x.subSeconds(m, sub))
	if loc, ok := parseZone(first(zone, m.text("OffsetTime"))); ok {
		x.took(inZone(t, loc), true)
		return
	}
	gps, ok := parseClock(m.text("GPSDateStamp") + " " + m.text("GPSTimeStamp"))
	if ok {
		// Zones are multiples of a quarter of an hour; a receiver's time may be some minutes old.
		off := t.Sub(gps).Round(15 * time.Minute)
		if rest := t.Sub(gps) - off; off.Abs() <= 14*time.Hour && rest.Abs() < 5*time.Minute {
			x.took(inZone(t, time.FixedZone("", int(off/time.Second))), true)
			return
		}
	}
	x.took(t, false)
}

// subSeconds is the fraction of a second of a field. The library makes a number of its digits, so
// that 05 and 5 are one: where that is in doubt, the field is looked up among the first bytes
// again, where it lies in its entry.
func (x *extraction) subSeconds(m tagMap, name string) time.Duration {
	n := m.number(name)
	if n <= 0 || n > 999_999_999 {
		return 0
	}
	digits := strconv.Itoa(n)
	tag := map[string]uint16{"SubSecTimeOriginal": 0x9291, "SubSecTimeDigitized": 0x9292}[name]
	for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
		for count := len(digits) + 1; count <= 4; count++ {
			entry := order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, tag), 2), uint32(count))
			if _, rest, ok := bytes.Cut(x.head, entry); ok && len(rest) >= 4 {
				text := strings.TrimRight(string(rest[:count]), "\x00 ")
				if v, err := strconv.Atoi(text); err == nil && v == n {
					digits = text
				}
			}
		}
	}
	f, _ := strconv.ParseFloat("0."+digits, 64)
	return time.Duration(math.Round(f*1e6)) * time.Microsecond
}

// took keeps a time of taking; the first one that says its zone, else the first one.
func (x *extraction) took(t time.Time, zone bool) {
	if x.facts.Taken.IsZero() || zone && !x.facts.TakenZone {
		x.facts.Taken, x.facts.TakenZone = t, zone
	}
}

// inZone makes a clock's reading, called UTC, one in a zone.
func inZone(t time.Time, loc *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
}

// parseClock reads "2023:07:14 18:30:45", with any of the signs that are used between, and without
// a zone.
func parseClock(s string) (time.Time, bool) {
	var n [6]int
	i, digits := 0, 0
	for _, c := range []byte(strings.TrimSpace(s)) {
		switch {
		case c >= '0' && c <= '9':
			if i >= 6 {
				return time.Time{}, false
			}
			n[i] = n[i]*10 + int(c-'0')
			if digits++; digits > 4 {
				return time.Time{}, false
			}
		case c == ':', c == '-', c == ' ', c == 'T', c == '/':
			if digits > 0 {
				i, digits = i+1, 0
			}
		default:
			if i < 5 {
				return time.Time{}, false
			}
			return clockOf(n)
		}
	}
	if i < 2 {
		return time.Time{}, false
	}
	return clockOf(n)
}

func clockOf(n [6]int) (time.Time, bool) {
	if n[0] < firstYear || n[0] > lastYear || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 24 ||
		n[4] > 59 ||
		n[5] > 60 {
		return time.Time{}, false
	}
	return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC), true
}

// parseZone reads "+01:00", "-0330", "Z".
func parseZone(s string) (*time.Location, bool) {
	s = strings.TrimSpace(s)
	if s == "Z" {
		return time.UTC, true
	}
	if len(s) < 5 || s[0] != '+' && s[0] != '-' {
		return nil, false
	}
	digits := strings.ReplaceAll(s[1:], ":", "")
	n, err := strconv.Atoi(digits)
	if err != nil || len(digits) != 4 || n < 0 || n/100 > 15 || n%100 > 59 {
		return nil, false
	}
	off := (n/100*60 + n%100) * 60
	if s[0] == '-' {
		off = -off
	}
	if off == 0 {
		return time.UTC, true
	}
	return time.FixedZone("", off), true
}

// parseTime reads a time with a date, fractions and zone as far as they are there, as XMP, IPTC and
// films write it.
func parseTime(s string) (t time.Time, zone, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) < 10 {
		return time.Time{}, false, false
	}
	date, rest := s[:10], s[10:]
	clock, tail := rest, ""
	if i := strings.IndexAny(rest, "+-Z"); i >= 0 {
		clock, tail = rest[:i], rest[i:]
	}
	clock, fraction, _ := strings.Cut(clock, ".")
	if t, ok = parseClock(date + clock); !ok {
		return time.Time{}, false, false
	}
	if f, err := strconv.ParseFloat("0."+strings.TrimSpace(fraction), 64); err == nil && fraction != "" {
		t = t.Add(time.Duration(math.Round(f*1e6)) * time.Microsecond)
	}
	if loc, found := parseZone(tail); found {
		return inZone(t, loc), true, true
	}
	return t, false, true
}

// parseMailTime reads times as mails have them, which PNG recommends.
func parseMailTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC1123Z, time.RFC1123, "2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
