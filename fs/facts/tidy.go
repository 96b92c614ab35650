package facts

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mediafs/remote"
)

// Bounds of what is believed. A camera that says more is broken, or somebody plays with us.
const (
	maxPixels   = 1 << 20 // a side, in pixels
	maxDuration = 400 * 24 * 3600.0
	firstYear   = 1800 // of a picture taken: some archives date their scans
	lastYear    = 2200
)

// isType matches media types as the registry has them.
var isType = regexp.MustCompile(`^[a-z]+/[a-z0-9][a-z0-9.+_-]{0,126}$`)

// tidy puts facts and their document into the bounds of the model, from whatever source they are:
// it runs in the child, and again in the parent on what the child answered. It returns nil for an
// empty document, and sets the fields of the facts that speak of it.
func tidy(f *remote.MediaFacts, doc *remote.FactsDocument, limits Limits) *remote.FactsDocument {
	f.Version = Version
	if !isType.MatchString(f.Type) {
		f.Type = "application/octet-stream"
	}
	if !slices.Contains(remote.Classes(), f.Class) {
		f.Class = remote.ClassData
	}
	f.Error = line(f.Error, 512)

	if f.Width <= 0 || f.Height <= 0 || f.Width > maxPixels || f.Height > maxPixels {
		f.Width, f.Height = 0, 0
	}
	if f.Orientation < 1 || f.Orientation > 8 {
		f.Orientation = 0
	}
	f.Frames = within(f.Frames, 1, 1<<24)
	if y := f.Taken.Year(); !f.Taken.IsZero() && (y < firstYear || y > lastYear) {
		f.Taken = time.Time{}
	}
	if _, off := f.Taken.Zone(); off < -15*3600 || off > 15*3600 {
		f.Taken = f.Taken.UTC()
	}
	if f.Taken.IsZero() {
		f.TakenZone = false
	}
	tidyPlace(f)
	if f.Flash != nil && (*f.Flash < 0 || *f.Flash > 0xffff) {
		f.Flash = nil
	}
	f.Exposure = between(f.Exposure, 1e-7, 1e6)
	f.Aperture = between(f.Aperture, 0.1, 1000)
	f.ISO = within(f.ISO, 1, 1<<26)
	f.FocalLength = between(f.FocalLength, 0.01, 1e5)
	if f.Bias != nil && !(*f.Bias >= -50 && *f.Bias <= 50) {
		f.Bias = nil
	}

	f.Duration = between(f.Duration, 1e-6, maxDuration)
	if f.BitRate < 0 || f.BitRate > 1<<40 {
		f.BitRate = 0
	}
	f.FrameRate = between(f.FrameRate, 1e-3, 1e5)
	f.SampleRate = within(f.SampleRate, 1, 1<<24)
	f.Channels = within(f.Channels, 1, 1024)
	f.Rating = within(f.Rating, 0, remote.MaxRating)
	f.Year = within(f.Year, 1, 9998)
	for _, n := range []*int{&f.Track, &f.Tracks, &f.Disc, &f.Discs} {
		*n = within(*n, 1, 1<<20)
	}
	f.Pages = within(f.Pages, 1, 1<<24)

	f.Title = line(f.Title, remote.MaxTitle)
	f.Description = cleanText(f.Description, remote.MaxText)
	f.Comment = cleanText(f.Comment, remote.MaxText)
	for _, s := range []*string{&f.Make, &f.Model, &f.Lens, &f.Serial, &f.Software, &f.Creator, &f.Copyright, &f.Label, &f.City, &f.Country,
		&f.Album, &f.AlbumArtist, &f.Composer, &f.Genre} {
		*s = line(*s, remote.MaxText)
	}
	f.VideoCodec, f.AudioCodec = line(f.VideoCodec, 32), line(f.AudioCodec, 32)
	f.Keywords = tidyKeywords(f.Keywords)
	return tidyDocument(f, doc, limits)
}

func tidyPlace(f *remote.MediaFacts) {
	if p := f.Place; p != nil {
		switch {
		case p.Latitude == 0 && p.Longitude == 0: // what a receiver without a fix writes
			f.Place = nil
		case !(p.Latitude >= -90 && p.Latitude <= 90) || !(p.Longitude >= -180 && p.Longitude <= 180):
			f.Place = nil // NaN included: it compares false
		case p.Altitude != nil && !(*p.Altitude >= -12000 && *p.Altitude <= 1e6):
			f.Place = &remote.Place{Latitude: p.Latitude, Longitude: p.Longitude}
		}
	}
	if f.Direction != nil && !(*f.Direction >= 0 && *f.Direction <= 360) {
		f.Direction = nil
	}
}

func tidyKeywords(in []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, k := range in {
		k = line(k, remote.MaxTag)
		if k == "" || seen[k] {
			continue
		}
		if len(out) == remote.MaxTags {
			break
		}
		seen[k] = true
		out = append(out, k)
	}
	return out
}

func within(n, low, high int) int {
	if n < low || n > high {
		return 0
	}
	return n
}

func between(f, low, high float64) float64 {
	if f >= low && f <= high { // false for NaN
		return f
	}
	return 0
}

// tidyDocument bounds the document. What does not fit is left out, the longest values first.
func tidyDocument(f *remote.MediaFacts, doc *remote.FactsDocument, limits Limits) *remote.FactsDocument {
	f.Document, f.PictureSize = false, 0
	if doc == nil {
		f.PictureType = ""
		return nil
	}
	if len(doc.Picture) > limits.Picture {
		doc.Picture = nil
	}
	if f.PictureType = line(f.PictureType, 64); len(doc.Picture) == 0 || !strings.HasPrefix(f.PictureType, "image/") {
		doc.Picture, f.PictureType = nil, ""
	}
	f.PictureSize = len(doc.Picture)

	left := limits.Document
	for _, m := range []*map[string]any{&doc.XMP, &doc.IPTC, &doc.EXIF, &doc.Tags} {
		*m = tidyMap(*m, 0, &left)
	}
	doc.Streams, _ = plainValue(doc.Streams, 1).([]any)
	if b, err := json.Marshal(doc.Streams); err != nil || len(b) > left || len(doc.Streams) == 0 {
		doc.Streams = nil
	}
	if doc.EXIF == nil && doc.IPTC == nil && doc.XMP == nil && doc.Tags == nil && doc.Streams == nil &&
		doc.Picture == nil {
		return nil
	}
	f.Document = true
	return doc
}

// tidyMap makes a map of any values one of plain values that fits into *left bytes of JSON.
func tidyMap(m map[string]any, depth int, left *int) map[string]any {
	type entry struct {
		key   string
		value any
		size  int
	}
	var entries []entry
	for _, k := range slices.Sorted(maps.Keys(m)) {
		key := line(k, 256)
		v := plainValue(m[k], depth)
		if key == "" || v == nil {
			continue
		}
		b, err := json.Marshal(map[string]any{key: v})
		if err != nil {
			continue
		}
		entries = append(entries, entry{key, v, len(b) + 1})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.size - b.size })
	var out map[string]any
	for _, e := range entries {
		if e.size > *left {
			break
		}
		*left -= e.size
		if out == nil {
			out = map[string]any{}
		}
		out[e.key] = e.value
	}
	return out
}

// plainValue makes v one that JSON has and gives back as it is: a text, a finite number, a bool, a
// list, a map; nil for what is not.
func plainValue(v any, depth int) any {
	if depth > 6 {
		return nil
	}
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return plainText(v)
	case []byte:
		if utf8.Valid(v) {
			return plainText(string(v))
		}
		return fmt.Sprintf("(%d bytes)", len(v))
	case bool:
		return v
	case float64:
		if !finite(v) {
			return nil
		}
		return v
	case float32:
		return plainValue(float64(v), depth)
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint8:
		return float64(v)
	case uint16:
		return float64(v)
	case uint32:
		return float64(v)
	case int32:
		return float64(v)
	case uint64:
		return float64(v)
	case interface{ Float64() float64 }: // a rational
		return plainValue(math.Round(v.Float64()*1e9)/1e9, depth)
	case []string:
		list := make([]any, 0, min(len(v), 1000))
		for _, e := range v[:min(len(v), 1000)] {
			list = append(list, plainValue(e, depth+1))
		}
		return dropNil(list)
	case []any:
		list := make([]any, 0, min(len(v), 1000))
		for _, e := range v[:min(len(v), 1000)] {
			list = append(list, plainValue(e, depth+1))
		}
		return dropNil(list)
	case map[string]any:
		left := 64 << 10
		if m := tidyMap(v, depth+1, &left); m != nil {
			return m
		}
		return nil
	}
	return nil
}

// plainText is a text of a document: longer than those of the facts.
func plainText(s string) any {
	if s = cleanText(s, 32<<10); s == "" {
		return nil
	}
	return s
}

func dropNil(list []any) any {
	list = slices.DeleteFunc(list, func(v any) bool { return v == nil })
	if len(list) == 0 {
		return nil
	}
	return list
}
