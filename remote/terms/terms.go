// Package terms is what the media of a library are found by: kinds of terms, and how texts,
// numbers, times and places become terms. Who keeps an index (cache/catalog/index) and who asks it
// (fs/query) both go by it, so that they mean the same.
//
// An index may say too much and never too little: whoever asks it looks at each media afterwards.
// So a term may be coarser than the value (a size is known to a fifth, a place to a tenth of a
// degree), and must never be finer.
//
// # Texts
//
// Texts are compared folded: compatibility forms become plain ones (full-width letters, ligatures),
// accents and other marks that do not take room are dropped, case is folded. A folded text falls
// into words at whatever is neither letter, digit nor spacing mark: IMG_1234.jpg is img, 1234 and
// jpg. Scripts that write no spaces (Han, kana, Thai, Lao, Khmer, Burmese) become pairs of
// neighbours and the last sign alone: 東京都 is 東京, 京都 and 都, so that each part of it of one or more
// signs is the beginning of a run of words. Only the first words of a text count (MaxWords, or
// LongWords of a long text), and of a word its first MaxWord bytes, for who asks as for who is
// asked.
//
// The package does no I/O and keeps no state.
package terms

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
)

// A Kind says what a term is of. It is the letter under which an index keeps its terms.
type Kind byte

// The kinds of terms. What is said nowhere has no term, unless it says so.
const (
	// a word of a name, title, description, tag, creator, album, camera, place, genre, comment in
	// the bytes
	Word       Kind = 'w'
	Comment    Kind = 'c' // a word of what somebody said about the media
	Tag        Kind = 't' // a tag or keyword, as it is written
	Type       Kind = 'y' // media type: image/jpeg
	Class      Kind = 'k' // class, or AnyClass where it is guessed from the type
	Camera     Kind = 'm' // model of the camera, as it is written
	Creator    Kind = 'r' // creator, as it is written
	Album      Kind = 'b' // album of a sound, as it is written
	Genre      Kind = 'g' // genre of a sound, as it is written
	Language   Kind = 'l' // language, as it is written
	Privacy    Kind = 'p' // privacy
	Favorite   Kind = 'f' // a user whose favourite it is
	Taken      Kind = 'd' // Time of the clock on the wall where it was made
	Added      Kind = 'a' // Time, UTC, when it came into the library; every media has it
	Size       Kind = 's' // Magnitude of the bytes; every media that is not empty
	Duration   Kind = 'u' // Seconds
	Year       Kind = 'j' // Small: the year in a sound's tags
	Rating     Kind = 'v' // Small: 1 to 10
	Status     Kind = 'S' // Small: the status that people or services said
	Moderation Kind = 'M' // Small: the moderation that people or services said, 0 too
	Hidden     Kind = 'h' // no value: it is hidden
	Cell       Kind = 'o' // Place: the tenth of a degree where it was made
	// no value: its bytes were not read for facts yet, so type, class and all that comes from facts
	// may be said otherwise
	Pending Kind = 'q'
)

// AnyClass is the Class of a media whose type people have said, or whose facts know none: its class
// is then guessed from its type, by rules that an index does not know.
const AnyClass = "*"

// MaxText is how many bytes of a text that is kept as it is written are in its term.
const MaxText = 120

// Width is the length of the kind's terms in bytes; 0 for texts, which have no zero byte.
func (k Kind) Width() int {
	switch k {
	case Taken, Added:
		return 5
	case Size, Duration:
		return 1
	case Year, Rating, Status, Moderation:
		return 2
	case Cell:
		return 4
	}
	return 0
}

// Text is the term of a text that is kept as it is written: its first MaxText bytes, up to a zero
// byte.
func Text(s string) string {
	for i := range min(len(s), MaxText) {
		if s[i] == 0 {
			return s[:i]
		}
	}
	return s[:min(len(s), MaxText)]
}

// Time is the term of a time, in whole seconds; the order of terms is that of times. 17,000 years
// before and after 1970 are told apart.
func Time(seconds int64) string {
	const half = 1 << 39
	n := uint64(min(max(seconds, -half), half-1) + half)
	return string(binary.BigEndian.AppendUint64(nil, n)[3:])
}

// TimeOf is the time of a term in seconds.
func TimeOf(term string) int64 {
	if len(term) != 5 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(append(make([]byte, 3, 8), term...))) - 1<<39
}

// Wall is the clock on the wall at t, in its zone, as if that were UTC: what Taken is made of.
func Wall(t time.Time) int64 {
	_, offset := t.Zone()
	return t.Unix() + int64(offset)
}

// Small is the term of a small number; what is beyond 16 bits counts as the last one. The order of
// terms is that of numbers.
func Small(n int64) string {
	n = min(max(n, math.MinInt16), math.MaxInt16) - math.MinInt16
	return string([]byte{byte(n >> 8), byte(n)})
}

// Magnitude is the term of a large number that is not negative: four steps for each doubling. The
// order of terms is that of numbers, and numbers of one term are equal.
func Magnitude(n uint64) string {
	if n < 8 {
		return string([]byte{byte(n)})
	}
	l := bits.Len64(n) // 4 or more; the two bits after the first are the step
	return string([]byte{byte(8 + (l-4)*4 + int(n>>(l-3)&3))})
}

// Seconds is the term of a length of time: the Magnitude of its milliseconds. What is below 0
// counts as 0.
func Seconds(n float64) string {
	if !(n > 0) { // also NaN
		n = 0
	}
	return Magnitude(uint64(min(n*1000, 1<<60)))
}

// Cells from south to north and from west to east.
const (
	cellsOfDegree = 10
	lastBand      = 180 * cellsOfDegree
	lastColumn    = 360 * cellsOfDegree
)

// Place is the term of a place, by degrees: its band from south to north, then its column from west
// to east, a tenth of a degree each.
func Place(latitude, longitude float64) string { return cell(band(latitude), column(longitude)) }

func cell(band, column int) string {
	return string([]byte{byte(band >> 8), byte(band), byte(column >> 8), byte(column)})
}

func band(latitude float64) int { return step(latitude+90, lastBand) }

func column(longitude float64) int { return step(longitude+180, lastColumn) }

func step(degrees float64, last int) int {
	n := math.Floor(degrees * cellsOfDegree)
	if !(n > 0) { // also NaN
		return 0
	}
	return int(min(n, float64(last)))
}

// A Span is the terms of a kind from From to To, both included.
type Span struct {
	Kind     Kind
	From, To string
}

// degreeKm is the least length of a degree of latitude, in kilometres: with less a circle would be
// cut.
const degreeKm = 110.5

// Near gives the spans of Cell in which everything lies that is at most so many kilometres from a
// place; ok is false when they are too many to be of use.
func Near(latitude, longitude, km float64) (spans []Span, ok bool) {
	const tooMany = 400 // bands: 4,400 km across
	d := km/degreeKm + 1e-6
	south, north := latitude-d, latitude+d
	first, last := band(south), band(north)
	if last-first >= tooMany {
		return nil, false
	}
	// Near a pole the circle has all longitudes.
	if widest := math.Max(math.Abs(south), math.Abs(north)); widest < 89 {
		w := math.Asin(
			math.Min(1, math.Sin(math.Min(d, 90)*math.Pi/180)/math.Cos(latitude*math.Pi/180)),
		)*180/math.Pi + 0.1
		for b := first; b <= last; b++ {
			west, east := longitude-w, longitude+w
			add := func(west, east float64) {
				spans = append(spans, Span{Cell, cell(b, column(west)), cell(b, column(east))})
			}
			switch {
			case west <= -180 && east >= 180:
				add(-180, 180)
			case west < -180:
				add(west+360, 180)
				add(-180, east)
			case east > 180:
				add(west, 180)
				add(-180, east-360)
			default:
				add(west, east)
			}
		}
		return spans, true
	}
	return []Span{{Cell, cell(first, 0), cell(last, lastColumn)}}, true
}
