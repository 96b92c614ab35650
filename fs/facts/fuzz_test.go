package facts

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mediafs/remote"
)

// FuzzExtract looks for bytes that Extract panics for, takes long for, or makes facts of that the
// model does not allow.
func FuzzExtract(f *testing.F) {
	for name := range known {
		f.Add(readMedia(f, name), name)
	}
	for name, b := range bombs() {
		if len(b) < 64<<10 {
			f.Add(b, name)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		start := time.Now()
		facts, doc, err := inProcess(t.Context(), sourceOf(b, name))
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("took %v", took)
		}
		if err != nil {
			t.Fatal(err)
		}
		checkModel(t, facts, doc)
	})
}

// checkModel holds facts to the bounds of the model.
func checkModel(t testing.TB, f remote.MediaFacts, doc *remote.FactsDocument) {
	t.Helper()
	if strings.Contains(f.Error, "panicked") {
		t.Errorf("error %q", f.Error)
	}
	if f.Type == "" || f.Class == "" {
		t.Errorf("type %q, class %q", f.Type, f.Class)
	}
	for _, s := range append([]string{f.Type, f.Error, f.Make, f.Model, f.Lens, f.Serial, f.Software, f.VideoCodec, f.AudioCodec, f.Title, f.Description, f.Creator, f.Copyright, f.Label,
		f.City, f.Country, f.Album, f.AlbumArtist, f.Composer, f.Genre, f.Comment, f.PictureType}, f.Keywords...) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > remote.MaxText {
			t.Errorf("text %q", s)
		}
	}
	for _, n := range []float64{f.Exposure, f.Aperture, f.FocalLength, f.Duration, f.FrameRate} {
		if n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			t.Errorf("number %v", n)
		}
	}
	if f.Width < 0 || f.Height < 0 || f.Width > maxPixels || f.BitRate < 0 || f.SampleRate < 0 || f.Channels < 0 ||
		f.Pages < 0 ||
		f.Frames < 0 ||
		f.Rating > 10 {
		t.Errorf("numbers %+v", f)
	}
	if p := f.Place; p != nil &&
		(math.Abs(p.Latitude) > 90 || math.Abs(p.Longitude) > 180 || p.Latitude != p.Latitude) {
		t.Errorf("place %+v", p)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
	if doc == nil {
		return
	}
	picture := doc.Picture
	doc.Picture = nil
	b, err := json.Marshal(doc)
	doc.Picture = picture
	if err != nil || len(b) > 257<<10 || strings.Contains(string(b), `\u0000`) || len(picture) > 8<<20 {
		t.Errorf("document of %d bytes, picture of %d, %v", len(b), len(picture), err)
	}
}
