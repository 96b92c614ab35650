package remote

import "time"

// MediaFacts are what the bytes of a media say of it. They are read again whenever the bytes
// change, and when the rules for reading get better. Numbers that are not known are zero. Texts are
// cut to MaxText bytes.
type MediaFacts struct {
	Version int       `json:"version"` // of the rules they were read by
	Read    time.Time `json:"read,omitzero"`
	Error   string    `json:"error,omitempty"` // why not everything could be read; the rest holds

	Type  string `json:"type,omitempty"` // media type by content
	Class Class  `json:"class,omitempty"`

	// Pictures and films. Width and Height are as stored; Orientation says how to turn them.
	Width       int       `json:"width,omitempty"` // pixels
	Height      int       `json:"height,omitempty"`
	Orientation int       `json:"orientation,omitempty"` // EXIF: 1 to 8; of films 1, 3, 6 or 8 from their matrix
	Frames      int       `json:"frames,omitempty"`      // of an animation
	Taken       time.Time `json:"taken,omitzero"`        // with the camera's zone
	// the zone is said in the bytes; else Taken is the camera's clock called UTC
	TakenZone   bool     `json:"taken_zone,omitempty"`
	Place       *Place   `json:"place,omitempty"`
	Direction   *float64 `json:"direction,omitempty"` // degrees of the compass, looking
	Make        string   `json:"make,omitempty"`
	Model       string   `json:"model,omitempty"`
	Lens        string   `json:"lens,omitempty"`
	Serial      string   `json:"serial,omitempty"`
	Software    string   `json:"software,omitempty"`
	Exposure    float64  `json:"exposure,omitempty"` // seconds
	Aperture    float64  `json:"aperture,omitempty"` // f-number
	ISO         int      `json:"iso,omitempty"`
	FocalLength float64  `json:"focal_length,omitempty"` // millimetres
	Bias        *float64 `json:"bias,omitempty"`         // exposure compensation, EV
	Flash       *int     `json:"flash,omitempty"`        // EXIF's number

	// Films and sounds.
	Duration   float64 `json:"duration,omitempty"` // seconds
	BitRate    int64   `json:"bit_rate,omitempty"` // bits a second, all streams
	VideoCodec string  `json:"video_codec,omitempty"`
	AudioCodec string  `json:"audio_codec,omitempty"`
	FrameRate  float64 `json:"frame_rate,omitempty"` // a second
	SampleRate int     `json:"sample_rate,omitempty"`
	Channels   int     `json:"channels,omitempty"`

	// What the makers wrote into them.
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Creator     string   `json:"creator,omitempty"` // artist, author, photographer
	Copyright   string   `json:"copyright,omitempty"`
	Keywords    []string `json:"keywords,omitempty"`
	Rating      int      `json:"rating,omitempty"` // 0 to 10
	Label       string   `json:"label,omitempty"`
	City        string   `json:"city,omitempty"`
	Country     string   `json:"country,omitempty"`
	Album       string   `json:"album,omitempty"`
	AlbumArtist string   `json:"album_artist,omitempty"`
	Composer    string   `json:"composer,omitempty"`
	Genre       string   `json:"genre,omitempty"`
	Year        int      `json:"year,omitempty"` // of a sound's tags
	Track       int      `json:"track,omitempty"`
	Tracks      int      `json:"tracks,omitempty"`
	Disc        int      `json:"disc,omitempty"`
	Discs       int      `json:"discs,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	Pages       int      `json:"pages,omitempty"`

	// What is too long for the catalog lies in the document: everything that EXIF, IPTC and XMP
	// say, and the embedded picture.
	Document    bool   `json:"document,omitempty"`     // there is one
	PictureType string `json:"picture_type,omitempty"` // media type of the embedded picture
	PictureSize int    `json:"picture_size,omitempty"` // bytes
}

// A FactsDocument is the long part of MediaFacts, in JSON. Keys are names of fields as the
// standards have them, values are texts, numbers or lists.
type FactsDocument struct {
	EXIF    map[string]any `json:"exif,omitempty"`
	IPTC    map[string]any `json:"iptc,omitempty"`
	XMP     map[string]any `json:"xmp,omitempty"`
	Tags    map[string]any `json:"tags,omitempty"`    // of sounds, films and documents
	Streams []any          `json:"streams,omitempty"` // of films and sounds
	Picture []byte         `json:"picture,omitempty"` // the embedded picture, base64 in JSON
}
