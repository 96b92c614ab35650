package terms

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                "[]",
		"IMG_1234.JPG":    "[img 1234 jpg]",
		"Été à Besançon":  "[ete a besancon]",
		"E\u0301te\u0301": "[ete]",
		"ＦＵＬＬ ﬁne":        "[full fine]",
		"Straße ΣΊΣΥΦΟΣ":  "[strasse σισυφοσ]",
		"東京都 2024":        "[東京 京都 都 2024]",
		"x東y":             "[x 東 y]",
		"カメラ":             "[カメ メラ ラ]",
		"한국 사진":           "[한국 사진]",
		"don't -- stop":   "[don t stop]",
		"a\xffb":          "[a b]",
		"❤ ☃":             "[]",
		"½ ²":             "[1 2 2]",
	} {
		if got := fmt.Sprint(Words(text, MaxWords)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := Words(strings.Repeat("ab ", 500), 3); len(got) != 3 {
		t.Errorf("%d words of 3", len(got))
	}
	if got := Words(strings.Repeat("я", 100), 3); len(got) != 1 || len(got[0]) != MaxWord {
		t.Errorf("a long word: %q", got)
	}
	if !Open("東") || Open("東京") || Open("a") || Open("") {
		t.Error("Open")
	}
}

// Words are folded whatever the text is, never longer than they may be, and folding again changes
// nothing that matters.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"IMG_1.jpg", "Été", "東京都", "ŉ ﬀ ẞ İ", "\xff\xfe", "ǅ", "가\u1100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := Words(s, LongWords)
		for _, w := range words {
			if w == "" || len(w) > MaxWord || !utf8.ValidString(w) || strings.ContainsRune(w, 0) {
				t.Fatalf("%q: word %q", s, w)
			}
		}
		if again := Words(Fold(s), LongWords); fmt.Sprint(again) != fmt.Sprint(words) {
			t.Fatalf("%q: %q, folded before %q", s, words, again)
		}
	})
}

// The order of terms is the order of what they are of.
func TestOrder(t *testing.T) {
	numbers := []int64{
		math.MinInt64, -1 << 39, -40000, -32768, -1, 0, 1, 7, 8, 9, 10, 255, 32767, 40000, 1.7e9, 1<<39 - 1,
		math.MaxInt64,
	}
	for i, a := range numbers {
		for _, b := range numbers[i:] {
			if Time(a) > Time(b) || Small(a) > Small(b) || a >= 0 && Magnitude(uint64(a)) > Magnitude(uint64(b)) {
				t.Errorf("%d and %d", a, b)
			}
		}
	}
	for _, n := range []int64{-1 << 39, -1, 0, 1.7e9} {
		if got := TimeOf(Time(n)); got != n {
			t.Errorf("time %d comes back as %d", n, got)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		a := rnd.Uint64() >> rnd.IntN(64)
		if b := a + a/4 + 1; b > a && Magnitude(a) == Magnitude(b) {
			t.Errorf("%d and %d are one term", a, b)
		}
	}
	if Magnitude(math.MaxUint64) != "\xfb" || Magnitude(8) != "\x08" || Magnitude(7) != "\x07" ||
		Seconds(math.NaN()) != "\x00" ||
		Seconds(math.Inf(1)) <= Seconds(1e9) {
		t.Error("ends of magnitudes")
	}
	for k, term := range map[Kind]string{Taken: Time(1), Added: Time(1), Year: Small(1), Rating: Small(1), Status: Small(1), Moderation: Small(1), Size: Magnitude(9), Duration: Seconds(9), Cell: Place(1, 2)} {
		if len(term) != k.Width() {
			t.Errorf("%c: %d bytes, its width is %d", k, len(term), k.Width())
		}
	}
}

func TestWallAndText(t *testing.T) {
	at := time.Date(2024, 5, 12, 23, 30, 0, 0, time.FixedZone("", -8*3600))
	if got := time.Unix(Wall(at), 0).UTC().Format("2006-01-02 15:04"); got != "2024-05-12 23:30" {
		t.Error(got)
	}
	if Text("a\x00b") != "a" || Text(strings.Repeat("x", 200)) != strings.Repeat("x", MaxText) {
		t.Error("Text")
	}
}

// Whatever lies within a circle lies in its spans.
func TestNear(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	const radius, rad = 6371.0088, math.Pi / 180
	inside := 0
	for range 20000 {
		lat, lon := rnd.Float64()*180-90, rnd.Float64()*360-180
		km := math.Pow(10, rnd.Float64()*4-1)
		spans, ok := Near(lat, lon, km)
		if !ok {
			continue
		}
		// A place near it: a step on the ball.
		d, dir := rnd.Float64()*km/radius, rnd.Float64()*2*math.Pi
		lat2 := math.Asin(math.Sin(lat*rad)*math.Cos(d) + math.Cos(lat*rad)*math.Sin(d)*math.Cos(dir))
		lon2 := lon*rad + math.Atan2(
			math.Sin(dir)*math.Sin(d)*math.Cos(lat*rad), math.Cos(d)-math.Sin(lat*rad)*math.Sin(lat2),
		)
		lat2, lon2 = lat2/rad, math.Mod(lon2/rad+540, 360)-180
		term, in := Place(lat2, lon2), false
		for _, s := range spans {
			in = in || s.From <= term && term <= s.To
		}
		if !in {
			t.Fatalf("%f,%f is %f km from %f,%f and not within %f km", lat2, lon2, d*radius, lat, lon, km)
		}
		inside++
	}
	if inside < 10000 {
		t.Errorf("only %d circles", inside)
	}
	if spans, ok := Near(48.85, 2.35, 5); !ok || len(spans) > 3 {
		t.Errorf("5 km: %d spans", len(spans))
	}
	if _, ok := Near(0, 0, 10000); ok {
		t.Error("a quarter of the world is not too many")
	}
}
