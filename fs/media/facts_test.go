package media

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func ptr[T any](v T) *T { return &v }

// fullFacts has a value in every field.
func fullFacts() *remote.MediaFacts {
	return &remote.MediaFacts{
		Version:     2,
		Read:        time.Date(2024, 5, 1, 10, 0, 0, 5, time.UTC),
		Error:       "a box is cut off",
		Type:        "video/mp4",
		Class:       remote.ClassVideo,
		Width:       1920,
		Height:      1080,
		Orientation: 6,
		Frames:      3,
		Taken:       time.Date(2021, 7, 8, 9, 10, 11, 0, time.FixedZone("", 7200)),
		TakenZone:   true,
		Place: &remote.Place{
			Latitude:  48.8584,
			Longitude: 2.2945,
			Altitude:  ptr(35.0),
		},
		Direction:   ptr(271.25),
		Make:        "Maker",
		Model:       "Model 1",
		Lens:        "50mm",
		Serial:      "77",
		Software:    "1.0",
		Exposure:    0.004,
		Aperture:    1.8,
		ISO:         400,
		FocalLength: 50,
		Bias:        ptr(-0.5),
		Flash:       ptr(0),
		Duration:    187.33,
		BitRate:     5_000_000,
		VideoCodec:  "h264",
		AudioCodec:  "aac",
		FrameRate:   23.976,
		SampleRate:  48000,
		Channels:    2,
		Title:       "A film",
		Description: "long\nago",
		Creator:     "Ada",
		Copyright:   "© Ada",
		Keywords:    []string{"beach", "Places/Paris"},
		Rating:      8,
		Label:       "Red",
		City:        "Paris",
		Country:     "France",
		Album:       "Album",
		AlbumArtist: "Various",
		Composer:    "Grace",
		Genre:       "Pop",
		Year:        1999,
		Track:       3,
		Tracks:      12,
		Disc:        1,
		Discs:       2,
		Comment:     "ripped",
		Pages:       7,
		Document:    true,
		PictureType: "image/jpeg",
		PictureSize: 12345,
	}
}

func TestFactsRoundTrip(t *testing.T) {
	want := fullFacts()
	v := reflect.ValueOf(*want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the sample has no %s", v.Type().Field(i).Name)
		}
	}
	r := FactsRecord(want, []byte("0123456789abcdef"))
	r.Document = []byte("content id") // the caller's
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 2<<10 {
		t.Errorf("an ordinary media takes %d bytes", len(b))
	}
	back := new(record.Facts)
	if err := proto.Unmarshal(b, back); err != nil {
		t.Fatal(err)
	}
	got := FactsOf(back)
	if !got.Taken.Equal(want.Taken) {
		t.Errorf("taken %v", got.Taken)
	}
	got.Taken, want.Taken = time.Time{}, time.Time{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if string(back.Head) != "0123456789abcdef" || FactsOf(nil) != nil {
		t.Error("head or nil")
	}
}

func TestHostileFacts(t *testing.T) {
	long := strings.Repeat("\xff\x00\u2028é\n", 1<<16)
	f := fullFacts()
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		switch x := v.Field(i).Addr().Interface().(type) {
		case *string:
			*x = long
		case *int:
			*x = math.MaxInt
		case *int64:
			*x = math.MaxInt64
		case *float64:
			*x = math.MaxFloat64
		}
	}
	f.Class = remote.Class(long)
	f.Keywords = nil
	for range 5000 {
		f.Keywords = append(f.Keywords, long)
	}
	f.Keywords = append(f.Keywords, "a", "b")
	b, err := proto.Marshal(FactsRecord(f, make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	if len(b)+32+16+16+32 >= 8<<10 { // with checksums and the document's place
		t.Errorf("a hostile media takes %d bytes", len(b))
	}

	for _, bad := range []*remote.MediaFacts{
		{Place: &remote.Place{Latitude: math.NaN()}, Taken: time.Unix(math.MaxInt64/2, 0), Read: time.Unix(-1<<60, 0), Exposure: math.Inf(1), Bias: ptr(math.NaN()), Direction: ptr(-1.0), Flash: ptr(-1),
			Width: -1, Year: -5, Orientation: 9, Rating: -3, BitRate: -1, Duration: math.NaN(), Aperture: -2, Class: "weird"},
		{Place: &remote.Place{Longitude: 181}, Direction: ptr(math.NaN()), Year: 10000, Orientation: -1},
	} {
		if got, want := FactsRecord(bad, nil), (&record.Facts{}); !proto.Equal(got, want) {
			t.Errorf("left of nonsense: %v", got)
		}
	}
	for _, bad := range []*record.Facts{
		{Place: &record.Place{Latitude: math.MaxInt32}, Taken: &record.Date{Time: &record.Time{Seconds: 1 << 60}}, Read: &record.Time{Nanos: 1e9}, Exposure: math.Inf(-1), Bias: ptr(math.Inf(1)),
			Direction: ptr(uint32(36001)), Year: -1, Orientation: 70, Class: "weird", Duration: math.NaN()},
	} {
		if got := FactsOf(bad); !reflect.DeepEqual(got, &remote.MediaFacts{}) {
			t.Errorf("left of nonsense: %+v", got)
		}
	}
}

// The hash is what the format says, whatever a protobuf library makes of it.
func TestHeadHash(t *testing.T) {
	h := &record.Head{
		Size: 300,
		Extents: []*record.Extent{
			{Length: 200, Content: bytes.Repeat([]byte{7}, 16)},
			{Offset: 200, Length: 100, Content: bytes.Repeat([]byte{8}, 16), ContentOffset: 5},
		},
	}
	if got := hex.EncodeToString(HeadHash(h)); got != "a982dba2315215ce236cc704f2e82074" {
		t.Errorf("the hash of %v is %s", h, got)
	}
	same := proto.CloneOf(h)
	same.Time, same.Client = now, 9
	if !bytes.Equal(HeadHash(same), HeadHash(h)) {
		t.Error("the hash depends on who made the head")
	}
	for _, change := range []func(*record.Head){
		func(h *record.Head) { h.Size++ }, func(h *record.Head) { h.Extents[0].Length++ }, func(h *record.Head) { h.Extents[1].Content[3]++ },
		func(h *record.Head) { h.Extents[1].ContentOffset = 0 }, func(h *record.Head) { h.Extents = h.Extents[:1] },
	} {
		other := proto.CloneOf(h)
		change(other)
		if bytes.Equal(HeadHash(other), HeadHash(h)) {
			t.Errorf("%v has the same hash", other)
		}
	}
	if !bytes.Equal(HeadHash(nil), HeadHash(&record.Head{})) {
		t.Error("no head is not an empty one")
	}
}
