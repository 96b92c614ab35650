package media

import (
	"math"
	"slices"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Bounds of the texts of facts in a record, in bytes. All of them together with the numbers stay
// below 8 KiB, whatever the bytes of a media say, and of an honest one below 2 KiB. What is cut is
// whole in the document.
const (
	maxFactTitle       = 512
	maxFactDescription = 1 << 10
	maxFactComment     = 512
	maxFactPerson      = 256
	maxFactWord        = 128
	maxFactKeywords    = 1 << 10 // of all keywords, each counted with 3 bytes beside it
)

// FactsRecord is the record of facts about the bytes of the head with this hash. Texts are cleaned
// and cut, and numbers that cannot be are left out. Checksums and the place of the document are for
// the caller to fill in.
func FactsRecord(f *remote.MediaFacts, head []byte) *record.Facts {
	r := &record.Facts{
		Head:        slices.Clone(head),
		Version:     unsigned(f.Version),
		Read:        timeRecord(f.Read),
		Error:       strippedLine(f.Error, maxFactPerson),
		Type:        strippedLine(f.Type, maxFactWord),
		Class:       string(class(string(f.Class))),
		Width:       unsigned(f.Width),
		Height:      unsigned(f.Height),
		Orientation: uint32(orientation(unsigned(f.Orientation))),
		Frames:      unsigned(f.Frames),
		Taken:       dateRecord(f.Taken, f.TakenZone),
		Place:       placeRecord(f.Place),
		Make:        strippedLine(f.Make, maxFactWord),
		Model:       strippedLine(f.Model, maxFactWord),
		Lens:        strippedLine(f.Lens, maxFactWord),
		Serial:      strippedLine(f.Serial, maxFactWord),
		Software:    strippedLine(f.Software, maxFactWord),
		Exposure:    positive(f.Exposure),
		Aperture:    positive(f.Aperture),
		Iso:         unsigned(f.ISO),
		FocalLength: positive(f.FocalLength),
		Duration:    positive(f.Duration),
		BitRate:     uint64(max(f.BitRate, 0)),
		VideoCodec:  strippedLine(f.VideoCodec, maxFactWord),
		AudioCodec:  strippedLine(f.AudioCodec, maxFactWord),
		FrameRate:   positive(f.FrameRate),
		SampleRate:  unsigned(f.SampleRate),
		Channels:    unsigned(f.Channels),
		Title:       strippedLine(f.Title, maxFactTitle),
		Description: strippedParagraph(f.Description, maxFactDescription),
		Creator:     strippedLine(f.Creator, maxFactPerson),
		Copyright:   strippedLine(f.Copyright, maxFactPerson),
		Rating:      unsigned(min(f.Rating, remote.MaxRating)),
		Label:       strippedLine(f.Label, maxFactWord),
		City:        strippedLine(f.City, maxFactWord),
		Country:     strippedLine(f.Country, maxFactWord),
		Album:       strippedLine(f.Album, maxFactWord),
		AlbumArtist: strippedLine(f.AlbumArtist, maxFactWord),
		Composer:    strippedLine(f.Composer, maxFactWord),
		Genre:       strippedLine(f.Genre, maxFactWord),
		Year:        int32(year(f.Year)),
		Track:       unsigned(f.Track),
		Tracks:      unsigned(f.Tracks),
		Disc:        unsigned(f.Disc),
		Discs:       unsigned(f.Discs),
		Comment:     strippedParagraph(f.Comment, maxFactComment),
		Pages:       unsigned(f.Pages),
		PictureType: strippedLine(f.PictureType, maxFactWord),
		PictureSize: unsigned(f.PictureSize),
	}
	if f.Direction != nil && *f.Direction >= 0 && *f.Direction <= 360 {
		hundredths := uint32(math.Round(*f.Direction * 100))
		r.Direction = &hundredths
	}
	if f.Bias != nil && finite(*f.Bias) == *f.Bias {
		bias := *f.Bias
		r.Bias = &bias
	}
	if f.Flash != nil && fits(*f.Flash) {
		flash := uint32(*f.Flash)
		r.Flash = &flash
	}
	room := maxFactKeywords
	for _, k := range f.Keywords {
		k = strippedLine(k, remote.MaxTag)
		if room -= len(k) + 3; room < 0 {
			break
		}
		if k != "" && !slices.Contains(r.Keywords, k) {
			r.Keywords = append(r.Keywords, k)
		}
	}
	return r
}

// FactsOf reads a record of facts; nil for nil. A record that no FactsRecord made is brought within
// bounds too.
func FactsOf(r *record.Facts) *remote.MediaFacts {
	if r == nil {
		return nil
	}
	f := &remote.MediaFacts{
		Version:     signed(r.Version),
		Read:        timeOf(r.Read),
		Error:       line(r.Error, remote.MaxText),
		Type:        line(r.Type, remote.MaxText),
		Class:       class(r.Class),
		Width:       signed(r.Width),
		Height:      signed(r.Height),
		Orientation: orientation(r.Orientation),
		Frames:      signed(r.Frames),
		Place:       placeOf(r.Place),
		Make:        line(r.Make, remote.MaxText),
		Model:       line(r.Model, remote.MaxText),
		Lens:        line(r.Lens, remote.MaxText),
		Serial:      line(r.Serial, remote.MaxText),
		Software:    line(r.Software, remote.MaxText),
		Exposure:    positive(r.Exposure),
		Aperture:    positive(r.Aperture),
		ISO:         signed(r.Iso),
		FocalLength: positive(r.FocalLength),
		Duration:    positive(r.Duration),
		BitRate:     toInt64(r.BitRate),
		VideoCodec:  line(r.VideoCodec, remote.MaxText),
		AudioCodec:  line(r.AudioCodec, remote.MaxText),
		FrameRate:   positive(r.FrameRate),
		SampleRate:  signed(r.SampleRate),
		Channels:    signed(r.Channels),
		Title:       line(r.Title, remote.MaxText),
		Description: paragraph(r.Description, remote.MaxText),
		Creator:     line(r.Creator, remote.MaxText),
		Copyright:   line(r.Copyright, remote.MaxText),
		Rating:      int(min(r.Rating, remote.MaxRating)),
		Label:       line(r.Label, remote.MaxText),
		City:        line(r.City, remote.MaxText),
		Country:     line(r.Country, remote.MaxText),
		Album:       line(r.Album, remote.MaxText),
		AlbumArtist: line(r.AlbumArtist, remote.MaxText),
		Composer:    line(r.Composer, remote.MaxText),
		Genre:       line(r.Genre, remote.MaxText),
		Year:        year(int(r.Year)),
		Track:       signed(r.Track),
		Tracks:      signed(r.Tracks),
		Disc:        signed(r.Disc),
		Discs:       signed(r.Discs),
		Comment:     paragraph(r.Comment, remote.MaxText),
		Pages:       signed(r.Pages),
		Document:    len(r.Document) > 0,
		PictureType: line(r.PictureType, remote.MaxText),
		PictureSize: signed(r.PictureSize),
	}
	f.Taken, f.TakenZone = dateOf(r.Taken)
	if r.Direction != nil && *r.Direction <= 36000 {
		degrees := float64(*r.Direction) / 100
		f.Direction = &degrees
	}
	if r.Bias != nil && finite(*r.Bias) == *r.Bias {
		bias := *r.Bias
		f.Bias = &bias
	}
	if r.Flash != nil {
		flash := signed(*r.Flash)
		f.Flash = &flash
	}
	for _, k := range r.Keywords {
		if k = line(k, remote.MaxText); k != "" && len(f.Keywords) < remote.MaxTags {
			f.Keywords = append(f.Keywords, k)
		}
	}
	return f
}

// class is one of the classes, or none.
func class(s string) remote.Class {
	if c := remote.Class(s); slices.Contains(remote.Classes(), c) {
		return c
	}
	return ""
}

// year is a year that a calendar has, or 0.
func year(n int) int {
	if n < 1 || n > time.Unix(lastSecond, 0).UTC().Year() {
		return 0
	}
	return n
}

// unsigned is n as a record has it; 0 for what cannot be.
func unsigned(n int) uint32 {
	if !fits(n) {
		return 0
	}
	return uint32(n)
}

// signed is the other way: numbers are the same on machines of 32 bits.
func signed(n uint32) int { return int(min(n, math.MaxInt32)) }

// positive is v, or 0 for what is negative or no number.
func positive(v float64) float64 { return max(finite(v), 0) }
