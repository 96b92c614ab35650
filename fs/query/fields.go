package query

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"mediafs/remote"
	"mediafs/remote/terms"
)

// A field is something that a query can ask of a media.
type field struct {
	name    string
	aliases []string
	help    string // what it is, for people
	form    form   // what its values look like
	read    func(s string, quoted bool) (value, error)
}

func (f *field) takes() string { return forms[f.form] }

// A form of values.
type form int

const (
	ofText form = iota
	ofName
	ofNumber
	ofBytes
	ofTime
	ofLength
	ofYesNo
	ofShape
	ofPlace
	ofFolder
)

// forms say what a value looks like: in errors and in Help.
var forms = [...]string{
	ofText:   `it takes a word (which may go on) or a "phrase" of whole words; "" for none`,
	ofName:   `it takes a whole name, a beginning with a star after it (sea*), or "" for none`,
	ofNumber: `it takes a number, >3, >=3, <3, <=3, 3..5, 3.. or ..5`,
	ofBytes:  `it takes a size such as 500k, 10M, 1.5G (multiples of 1024), >10M, <1G or 1M..2M`,
	ofTime:   `it takes a year, month, day or time (2024, 2024-05, 2024-05-12, 2024-05-12T18:30), >2020, <2020 or 2019..2021`,
	ofLength: `it takes a length of time such as 90s, 2m, 1.5h, 1:30 (minutes), 1:02:03, >2m, <10m or 1m..5m`,
	ofYesNo:  `it takes yes or no`,
	ofShape:  `it takes landscape, portrait, square or EXIF's number from 1 to 8`,
	ofPlace:  `it takes latitude,longitude,kilometres such as 48.85,2.35,10`,
	ofFolder: `it takes a folder's name, several in each other with > between them (Photos>2024), or a path from the root with / before it`,
}

// table lists the fields in the order of Help.
var table []*field

func init() {
	f := func(s *subject) *remote.MediaFacts { return s.facts() }
	one := func(of func(s *subject) string) func(*subject) []string {
		return func(s *subject) []string { return []string{of(s)} }
	}
	long := func(v value) value { t := v.(textValue); t.limit = terms.LongWords; return t }
	anyType := []terms.Span{{Kind: terms.Pending}}
	anyClass := []terms.Span{{Kind: terms.Pending}, {Kind: terms.Class, From: terms.AnyClass, To: terms.AnyClass}}
	table = []*field{
		texts("name", "its name, any of them", terms.Word, (*subject).names),
		texts("title", "its title", terms.Word, one(func(s *subject) string { return s.Title })),
		texts(
			"description", "its description", terms.Word, one(func(s *subject) string { return s.Description }),
		).with(long),
		texts("comment", "what people said about it", terms.Comment, func(s *subject) (all []string) {
			for _, c := range s.Comments {
				all = append(all, c.Text)
			}
			return all
		}).with(long),
		names("tag", "a tag", byWords, func(s *subject) []string { return s.Tags }),
		{
			name: "type",
			help: "media type: of both its parts, or one",
			form: ofName,
			read: func(s string, quoted bool) (value, error) {
				v := makeName(strings.ReplaceAll(s, ">", "/"), quoted)
				v.asks = byTypes(anyType)
				v.of = func(s *subject) []string { return partsOf(s.Type) }
				return v, nil
			},
		},
		names(
			"class", "rough sort: image, video, audio, document, archive…", byTerms(terms.Class, anyClass...),
			one(func(s *subject) string { return string(s.Class) }),
		),
		names("ext", "extension of its name", byWords, one(func(s *subject) string { return s.Extension })),
		texts(
			"creator", "who made it", terms.Word, one(func(s *subject) string { return s.Creator }),
		).or("artist", "author"),
		texts("album", "album of a sound", terms.Word, one(func(s *subject) string { return f(s).Album })),
		texts("composer", "composer of a sound", terms.Word, one(func(s *subject) string { return f(s).Composer })),
		texts("genre", "genre of a sound", terms.Word, one(func(s *subject) string { return f(s).Genre })),
		texts(
			"camera", "make and model of the camera", terms.Word,
			func(s *subject) []string { return []string{f(s).Make, f(s).Model} },
		),
		texts("lens", "lens of the camera", terms.Word, one(func(s *subject) string { return f(s).Lens })),
		texts(
			"place", "city or country that the makers wrote into it", terms.Word,
			func(s *subject) []string { return []string{f(s).City, f(s).Country} },
		),
		texts("copyright", "who has the rights", 0, one(func(s *subject) string { return f(s).Copyright })),
		texts("software", "the program that wrote it", 0, one(func(s *subject) string { return f(s).Software })),
		{name: "near", help: "not farther from a place than so far", form: ofPlace, read: readNear},
		{name: "in", aliases: []string{"path"}, help: "in a folder or below it", form: ofFolder, read: readFolder},

		times(
			"taken",
			"when it was made, by the clock where that was",
			func(s *subject) (float64, bool) { return float64(terms.Wall(s.Taken)), !s.Taken.IsZero() },
			func(in span) plan {
				return leaf{{Kind: terms.Taken, From: terms.Time(in.first()), To: terms.Time(in.last())}}
			},
		),
		times(
			"added",
			"when it came into the library, UTC",
			func(s *subject) (float64, bool) { return float64(s.Uploaded.Unix()), !s.Uploaded.IsZero() },
			func(in span) plan {
				return leaf{{Kind: terms.Added, From: terms.Time(in.first()), To: terms.Time(in.last())}}
			},
		).or("uploaded"),
		times(
			"modified", "when its bytes were last changed, UTC",
			func(s *subject) (float64, bool) { return float64(s.Modified.Unix()), !s.Modified.IsZero() }, nil,
		),
		times(
			"edited", "when somebody last changed what is said of it, UTC",
			func(s *subject) (float64, bool) { return float64(s.Edited.Unix()), !s.Edited.IsZero() }, nil,
		),
		numbers("year", "year when it was made", func(s *subject) int64 { return int64(s.Year) }, func(in span) plan {
			year := func(y int64) int64 {
				return time.Date(int(min(max(y, -10000), 10000)), 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			}
			return leaf{
				{Kind: terms.Taken, From: terms.Time(year(in.first())), To: terms.Time(year(in.last()+1) - 1)},
				{Kind: terms.Year, From: terms.Small(in.first()), To: terms.Small(in.last())},
			}
		}).above(0),
		numbers(
			"month", "month when it was made, 1 to 12", func(s *subject) int64 { return int64(s.Month) }, nil,
		).above(0),
		ranges(
			"size",
			"bytes",
			ofBytes,
			readBytes,
			func(s *subject) (float64, bool) { return float64(s.Size), true },
			func(in span) plan {
				if in.low <= 0 {
					return everything{}
				}
				return leaf{
					{
						Kind: terms.Size,
						From: terms.Magnitude(uint64(in.first())),
						To:   terms.Magnitude(uint64(in.last())),
					},
				}
			},
		),
		ranges(
			"duration",
			"of a film or sound",
			ofLength,
			readLength,
			func(s *subject) (float64, bool) { return f(s).Duration, f(s).Duration > 0 },
			func(in span) plan {
				return leaf{{Kind: terms.Duration, From: terms.Seconds(in.low), To: terms.Seconds(in.high)}}
			},
		),
		numbers(
			"rating", "half stars: 0 (none) to 10", func(s *subject) int64 { return int64(s.Rating) },
			smalls(terms.Rating),
		),
		numbers("width", "pixels", func(s *subject) int64 { return int64(f(s).Width) }, nil).above(0),
		numbers("height", "pixels", func(s *subject) int64 { return int64(f(s).Height) }, nil).above(0),
		{name: "orientation", help: "how it is held, as it is shown", form: ofShape, read: readShape},
		numbers("iso", "sensitivity", func(s *subject) int64 { return int64(f(s).ISO) }, nil).above(0),
		decimals("aperture", "f-number", func(s *subject) float64 { return f(s).Aperture }),
		decimals("focal", "focal length, millimetres", func(s *subject) float64 { return f(s).FocalLength }),
		decimals("fps", "pictures a second", func(s *subject) float64 { return f(s).FrameRate }),
		numbers("bitrate", "bits a second", func(s *subject) int64 { return f(s).BitRate }, nil).above(0),
		numbers("pages", "of a document", func(s *subject) int64 { return int64(f(s).Pages) }, nil).above(0),
		numbers(
			"track", "number of a sound on its disc", func(s *subject) int64 { return int64(f(s).Track) }, nil,
		).above(0),
		names(
			"codec", "codec of picture or sound", nil,
			func(s *subject) []string { return []string{f(s).VideoCodec, f(s).AudioCodec} },
		),

		names(
			"user", "owner: name or number", nil,
			func(s *subject) []string { return []string{s.Owner.Name, s.Owner.Nickname, s.Owner.ID} },
		).or("owner"),
		{name: "favorite", help: "a user whose favourite it is", form: ofName, read: readFavorite},
		names("language", "its language", byTerms(terms.Language), one(func(s *subject) string { return s.Language })),
		names("privacy", "public or private", nil, one(func(s *subject) string {
			if s.Privacy == "" {
				return string(remote.Private)
			}
			return string(s.Privacy)
		})),
		names("flag", "what a service says beside", nil, func(s *subject) []string { return s.Flags }),
		names("domain", "the site it belongs to", nil, one(func(s *subject) string { return s.Domain })),
		names("id", "media id", nil, one(func(s *subject) string { return s.ID })),
		names("sha256", "SHA-256 of its bytes, hex", nil, one(func(s *subject) string { return s.SHA256 })),
		names("md5", "MD5 of its bytes, hex", nil, one(func(s *subject) string { return s.MD5 })),
		numbers(
			"status", "of the upload; 5 is incomplete", func(s *subject) int64 { return int64(s.Status) },
			smalls(terms.Status),
		),
		numbers(
			"moderation", "0 when nobody looked at it, 1 to 3 or -1",
			func(s *subject) int64 { return int64(s.Moderation) }, smalls(terms.Moderation),
		),
		yesNo(
			"hidden", "only its owner sees it", func(s *subject) bool { return s.Hidden }, leaf{{Kind: terms.Hidden}},
		),
		yesNo("live", "shown to the public", func(s *subject) bool { return s.Live }, everything{}),
		yesNo(
			"external", "its bytes are an object that was there before", func(s *subject) bool { return s.External },
			everything{},
		),
		yesNo("ready", "whole and usable", func(s *subject) bool { return s.Ready }, everything{}),
		numbers("views", "how often it was looked at", func(s *subject) int64 { return s.Counts.Views }, nil),
		numbers("downloads", "how often it was fetched", func(s *subject) int64 { return s.Counts.Downloads }, nil),
		numbers("votes", "how many", func(s *subject) int64 { return s.Counts.Votes }, nil),
		numbers("comments", "how many", func(s *subject) int64 { return s.Counts.Comments }, nil),
		numbers("favorites", "of how many users", func(s *subject) int64 { return s.Counts.Favorites }, nil),
	}
}

// fieldOf finds a field by its name or another name of it, in any case.
func fieldOf(name string) *field {
	for _, f := range table {
		if strings.EqualFold(f.name, name) {
			return f
		}
		for _, a := range f.aliases {
			if strings.EqualFold(a, name) {
				return f
			}
		}
	}
	return nil
}

// Fields lists the names of all fields.
func Fields() (names []string) {
	for _, f := range table {
		names = append(names, f.name)
	}
	return names
}

func (f *field) or(aliases ...string) *field {
	f.aliases = aliases
	return f
}

func (f *field) with(change func(value) value) *field {
	read := f.read
	f.read = func(s string, quoted bool) (value, error) {
		v, err := read(s, quoted)
		if err == nil {
			v = change(v)
		}
		return v, err
	}
	return f
}

// above says that a number that is not greater than n is not known: nothing but "less than" would
// find it, and should not.
func (f *field) above(n float64) *field {
	return f.with(func(v value) value {
		r := v.(rangeValue)
		of := r.of
		r.of = func(s *subject) (float64, bool) {
			x, ok := of(s)
			return x, ok && x > n
		}
		return r
	})
}

func texts(name, help string, kind terms.Kind, of func(*subject) []string) *field {
	return &field{name: name, help: help, form: ofText, read: func(s string, quoted bool) (value, error) {
		return textValue{text: makeText(s, quoted), kind: kind, limit: terms.MaxWords, of: of}, nil
	}}
}

func names(name, help string, asks func(nameValue) plan, of func(*subject) []string) *field {
	return &field{name: name, help: help, form: ofName, read: func(s string, quoted bool) (value, error) {
		v := makeName(s, quoted)
		v.asks, v.of = asks, of
		return v, nil
	}}
}

func ranges(
	name, help string, form form, point func(string) (span, error), of func(*subject) (float64, bool),
	asks func(span) plan,
) *field {
	return &field{name: name, help: help, form: form, read: func(s string, _ bool) (value, error) {
		in, err := readSpan(s, point)
		return rangeValue{in: in, of: of, asks: asks}, err
	}}
}

func numbers(name, help string, of func(*subject) int64, asks func(span) plan) *field {
	return ranges(
		name, help, ofNumber, readWhole, func(s *subject) (float64, bool) { return float64(of(s)), true }, asks,
	)
}

func decimals(name, help string, of func(*subject) float64) *field {
	return ranges(name, help, ofNumber, readDecimal, func(s *subject) (float64, bool) { return of(s), of(s) > 0 }, nil)
}

func times(name, help string, of func(*subject) (float64, bool), asks func(span) plan) *field {
	return ranges(name, help, ofTime, readTime, of, asks)
}

// smalls asks for numbers of a kind that has a term for all but 0, which is also what a media has
// of which nothing is said.
func smalls(kind terms.Kind) func(span) plan {
	return func(in span) plan {
		if in.has(0) {
			return everything{}
		}
		return leaf{{Kind: kind, From: terms.Small(in.first()), To: terms.Small(in.last())}}
	}
}

// yesNo makes a field that is yes or no; asks finds where it is yes.
func yesNo(name, help string, of func(*subject) bool, asks plan) *field {
	return &field{name: name, help: help, form: ofYesNo, read: func(s string, _ bool) (value, error) {
		switch strings.ToLower(s) {
		case "yes", "true", "1":
			return check{func(s *subject) bool { return of(s) }, asks}, nil
		case "no", "false", "0":
			return check{func(s *subject) bool { return !of(s) }, everything{}}, nil
		}
		return nil, fmt.Errorf("%q is neither yes nor no", s)
	}}
}

// A check is a value that is a function.
type check struct {
	is   func(s *subject) bool
	asks plan
}

func (v check) match(s *subject) bool { return v.is(s) }
func (v check) plan() plan            { return v.asks }

// partsOf are the ways to name a media type: whole, by its main part, by its other part.
func partsOf(t string) []string {
	main, other, ok := strings.Cut(t, "/")
	if !ok {
		return []string{t}
	}
	return []string{t, main, other}
}

func byTypes(also []terms.Span) func(nameValue) plan {
	return func(v nameValue) plan {
		return chosen{kind: terms.Type, also: also, takes: func(t string) bool {
			for _, p := range partsOf(t) {
				if v.is(p) {
					return true
				}
			}
			return false
		}}
	}
}

// readFavorite compares users as they are written.
func readFavorite(s string, quoted bool) (value, error) {
	begins := strings.HasSuffix(s, "*") && !quoted
	if begins {
		s = s[:len(s)-1]
	}
	if s == "" && !begins {
		return check{func(s *subject) bool { return len(s.Favorites) == 0 }, everything{}}, nil
	}
	asks := plan(leaf{{Kind: terms.Favorite, From: terms.Text(s), To: terms.Text(s)}})
	if begins {
		asks = beginning(terms.Favorite, terms.Text(s))
	}
	return check{func(m *subject) bool {
		for _, user := range m.Favorites {
			if user == s || begins && strings.HasPrefix(user, s) {
				return true
			}
		}
		return false
	}, asks}, nil
}

func readShape(s string, _ bool) (value, error) {
	size := func(s *subject) (w, h int) {
		w, h = s.facts().Width, s.facts().Height
		if s.Orientation > 4 {
			w, h = h, w
		}
		return w, h
	}
	switch strings.ToLower(s) {
	case "landscape":
		return check{func(s *subject) bool { w, h := size(s); return w > h && h > 0 }, everything{}}, nil
	case "portrait":
		return check{func(s *subject) bool { w, h := size(s); return h > w && w > 0 }, everything{}}, nil
	case "square":
		return check{func(s *subject) bool { w, h := size(s); return w == h && w > 0 }, everything{}}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 8 {
		return nil, fmt.Errorf("%q is none of these", s)
	}
	return check{func(s *subject) bool { return s.Orientation == n }, everything{}}, nil
}

func readNear(s string, _ bool) (value, error) {
	var n [3]float64
	parts := strings.Split(s, ",")
	for i := range n {
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is not three numbers", s)
		}
		var err error
		if n[i], err = strconv.ParseFloat(strings.TrimSpace(parts[i]), 64); err != nil || math.IsNaN(n[i]) ||
			math.IsInf(n[i], 0) {
			return nil, fmt.Errorf("%q is not a number", parts[i])
		}
	}
	lat, lon, km := n[0], n[1], n[2]
	if math.Abs(lat) > 90 || math.Abs(lon) > 180 || km < 0 {
		return nil, fmt.Errorf("%q is no place on earth", s)
	}
	asks := plan(everything{})
	if spans, ok := terms.Near(lat, lon, km); ok {
		asks = leaf(spans)
	}
	return check{func(s *subject) bool {
		return s.Place != nil && distance(lat, lon, s.Place.Latitude, s.Place.Longitude) <= km
	}, asks}, nil
}

// distance is the way over a ball between two places, in kilometres.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const radius, rad = 6371.0088, math.Pi / 180
	a := math.Pow(math.Sin((lat2-lat1)*rad/2), 2) + math.Cos(
		lat1*rad,
	)*math.Cos(
		lat2*rad,
	)*math.Pow(math.Sin((lon2-lon1)*rad/2), 2)
	return 2 * radius * math.Asin(math.Min(1, math.Sqrt(a)))
}

// readFolder reads folders in each other, which are anywhere in a path, or begin it.
func readFolder(s string, _ bool) (value, error) {
	rooted := strings.HasPrefix(s, "/") || strings.HasPrefix(s, ">")
	var want []string
	for _, name := range strings.Split(strings.ReplaceAll(s, ">", "/"), "/") {
		if name != "" {
			want = append(want, terms.Fold(name))
		}
	}
	if len(want) == 0 && !rooted {
		return nil, errEmpty
	}
	return check{func(s *subject) bool {
		for _, p := range s.Paths {
			dirs := strings.Split(strings.Trim(terms.Fold(path.Dir(p)), "/"), "/")
			for start := 0; start+len(want) <= len(dirs); start++ {
				same := true
				for i, w := range want {
					same = same && dirs[start+i] == w
				}
				if same {
					return true
				}
				if rooted {
					break
				}
			}
		}
		return false
	}, everything{}}, nil
}
