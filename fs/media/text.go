package media

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// MaxValue is the longest text of a field, in bytes: the largest extended attribute. Longer lists
// lose their first entries.
const MaxValue = record.MaxXattrValue

// text writes the field of m as text; ok is false when it is not set.
func (f *Field) text(m *remote.Media) (s string, ok bool) {
	v := reflect.ValueOf(m).Elem()
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return "", false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	if v.IsZero() && !f.zero {
		return "", false
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return f.timeText(m, x)
	case *remote.Place:
		return placeText(x), true
	case json.RawMessage:
		return string(x), len(x) > 0
	case []string:
		if f.Type == Names {
			return joined(x, "\n"), len(x) > 0
		}
		return joined(x, ","), len(x) > 0
	case []int64:
		words := make([]string, len(x))
		for i, n := range x {
			words[i] = strconv.FormatInt(n, 10)
		}
		return joined(words, ","), len(x) > 0
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), v.Len() > 0 || f.zero
	case reflect.Bool:
		if v.Bool() {
			return "yes", true
		}
		return "no", true
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), true
	case reflect.Float64:
		return decimal(v.Float()), true
	case reflect.Slice:
		return listJSON(v), v.Len() > 0
	}
	return "", false
}

// timeText leaves the zone away where the time is a camera's clock.
func (f *Field) timeText(m *remote.Media, t time.Time) (string, bool) {
	if t.IsZero() {
		return "", false
	}
	if f.Name == "taken" && !m.TakenZone || f.Name == "facts.taken" && !m.Facts.TakenZone {
		return t.Format("2006-01-02T15:04:05.999999999"), true
	}
	return t.Format(time.RFC3339Nano), true
}

func placeText(p *remote.Place) string {
	s := decimal(p.Latitude) + "," + decimal(p.Longitude)
	if p.Altitude != nil {
		s += "," + decimal(*p.Altitude)
	}
	return s
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// joined joins the last of the words that fit into an attribute.
func joined(words []string, by string) string {
	size, first := 0, len(words)
	for first > 0 && size+len(words[first-1])+len(by) <= MaxValue {
		first--
		size += len(words[first]) + len(by)
	}
	return strings.Join(words[first:], by)
}

// listJSON is a list of the last entries of a slice that fit into an attribute.
func listJSON(v reflect.Value) string {
	size := 1
	var entries [][]byte
	for i := v.Len() - 1; i >= 0; i-- {
		var one bytes.Buffer
		enc := json.NewEncoder(&one)
		enc.SetEscapeHTML(false) // addresses have '&' in them, and people read this
		if enc.Encode(v.Index(i).Interface()) != nil {
			continue
		}
		b := bytes.TrimSuffix(one.Bytes(), []byte("\n"))
		if size += len(b) + 1; size > MaxValue {
			break
		}
		entries = append(entries, b)
	}
	slices.Reverse(entries)
	return "[" + string(bytes.Join(entries, []byte(","))) + "]"
}

// line makes one line of at most limit bytes of any bytes: UTF-8, with control characters turned
// into spaces. What an edit let in stays as it is.
func line(s string, limit int) string { return cut(printable(s, limit, false), limit) }

// paragraph does the same and leaves newlines and tabs.
func paragraph(s string, limit int) string { return cut(printable(s, limit, true), limit) }

// strippedLine is a line without the spaces that programs leave around what they write into a
// media.
func strippedLine(s string, limit int) string {
	return cut(strings.TrimSpace(printable(s, limit, false)), limit)
}

// strippedParagraph is the same of a paragraph.
func strippedParagraph(s string, limit int) string {
	return cut(strings.TrimSpace(printable(s, limit, true)), limit)
}

func printable(s string, limit int, lines bool) string {
	if len(s) > 2*limit+utf8.UTFMax { // what would be cut anyway costs nothing; not at limit, as spaces in front may go
		s = s[:2*limit+utf8.UTFMax]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return -1
		case unicode.IsControl(r) && (!lines || r != '\n' && r != '\t'):
			return ' '
		}
		return r
	}, s)
}

// cut shortens a text to at most limit bytes, at the end of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// tagsOf makes tags of keywords: what no tag may have in it becomes a space.
func tagsOf(keywords []string) []string {
	var tags []string
	for _, k := range keywords {
		k = strings.Map(func(r rune) rune {
			if r == '/' || r == ',' {
				return ' '
			}
			return r
		}, line(k, remote.MaxTag))
		k = strings.Join(strings.Fields(k), " ")
		if checkTag(k) == nil && !slices.Contains(tags, k) && len(tags) < remote.MaxTags {
			tags = append(tags, k)
		}
	}
	return tags
}

// Times that can be written as RFC 3339 in any zone: a day away from the first of year 1 and the
// last of year 9999.
const (
	firstSecond = -62135596800 + 86400
	lastSecond  = 253402300799 - 86400
)

// timeOf reads a record's time, in UTC; zero for none and for one that no calendar has.
func timeOf(t *record.Time) time.Time {
	if t == nil || t.Seconds < firstSecond || t.Seconds > lastSecond || t.Nanos >= 1e9 {
		return time.Time{}
	}
	return time.Unix(t.Seconds, int64(t.Nanos)).UTC()
}

// timeRecord is the other way; nil for a zero time and one that no calendar has.
func timeRecord(t time.Time) *record.Time {
	if t.IsZero() || t.Unix() < firstSecond || t.Unix() > lastSecond {
		return nil
	}
	return &record.Time{Seconds: t.Unix(), Nanos: uint32(t.Nanosecond())}
}

// maxZone is how far a zone may be from UTC, in minutes. Real ones are within 14 hours.
const maxZone = 18 * 60

// dateOf reads a record's time with its zone; zone is false when that is not known.
func dateOf(d *record.Date) (t time.Time, zone bool) {
	t = timeOf(d.GetTime())
	if t.IsZero() || d.Zone == nil || *d.Zone < -maxZone || *d.Zone > maxZone {
		return t, false
	}
	if *d.Zone == 0 {
		return t, true
	}
	return t.In(time.FixedZone("", int(*d.Zone)*60)), true
}

// dateRecord is the other way. Zones of odd seconds are not known.
func dateRecord(t time.Time, zone bool) *record.Date {
	rec := timeRecord(t)
	if rec == nil {
		return nil
	}
	d := &record.Date{Time: rec}
	_, offset := t.Zone()
	if minutes := int32(offset / 60); zone && minutes >= -maxZone && minutes <= maxZone {
		d.Zone = &minutes
	}
	return d
}

const (
	degree      = 1e7 // of a record, in a degree
	maxAltitude = 1e6 // metres, both ways: more is no place on earth, and fits a record
)

// placeOf reads a record's place; nil for none and for one that is not on earth.
func placeOf(p *record.Place) *remote.Place {
	if p == nil || p.Latitude < -90*degree || p.Latitude > 90*degree || p.Longitude < -180*degree ||
		p.Longitude > 180*degree {
		return nil
	}
	place := &remote.Place{Latitude: float64(p.Latitude) / degree, Longitude: float64(p.Longitude) / degree}
	if p.Altitude != nil {
		metres := float64(*p.Altitude) / 100
		place.Altitude = &metres
	}
	return place
}

// placeRecord is the other way, rounded to about a centimetre.
func placeRecord(p *remote.Place) *record.Place {
	if p == nil || !(math.Abs(p.Latitude) <= 90) || !(math.Abs(p.Longitude) <= 180) { // not a number is refused as well
		return nil
	}
	rec := &record.Place{
		Latitude:  int32(math.Round(p.Latitude * degree)),
		Longitude: int32(math.Round(p.Longitude * degree)),
	}
	if p.Altitude != nil && math.Abs(*p.Altitude) <= maxAltitude {
		cm := int32(math.Round(*p.Altitude * 100))
		rec.Altitude = &cm
	}
	return rec
}

// finite is v, or 0 for what JSON has no number for.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

func toInt64(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
