package query

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
)

func must(t *testing.T, text string) *Query {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

func TestPrint(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"  ":                                  "",
		"sunset":                              "sunset",
		" sunset   AND beach ":                "sunset beach",
		"a or b and c":                        "a or b c",
		"(a OR b) c":                          "(a or b) c",
		"((a b)) c":                           "a b c",
		"(a or (b or c))":                     "a or b or c",
		"-a":                                  "not a",
		"not -a":                              "not not a",
		"-(a b) -(c or d)":                    "not (a b) not (c or d)",
		`-"a b"`:                              `not "a b"`,
		`"a \"b\" \\ c"`:                      `"a \"b\" \\ c"`,
		"TAG:Sea artist:x":                    "tag:Sea creator:x",
		`title:"a b"c`:                        `title:"a b" c`,
		"rock - roll":                         "rock - roll",
		"()":                                  "",
		"() or a":                             "() or a",
		"not ()":                              "not ()",
		"(a) name:\"b\"":                      `a name:"b"`,
		"duration:1:30 taken:2019..":          "duration:1:30 taken:2019..",
		`"and" or "or"`:                       `"and" or "or"`,
		"near:48.85,2.35,10 in:a>b size:>10M": "near:48.85,2.35,10 in:a>b size:>10M",
	} {
		q := must(t, text)
		if q.String() != want {
			t.Errorf("%q prints as %q, want %q", text, q, want)
		}
		if again := must(t, q.String()); again.String() != want {
			t.Errorf("%q prints as %q the second time", text, again)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, says := range map[string]string{
		"a (b":                           "at sign 3: a parenthesis that is not closed",
		"a) b":                           "at sign 2: a closing parenthesis",
		"or a":                           "at sign 1: or stands between",
		"a or":                           "or stands between",
		"a or or b":                      "or stands between",
		"(a or) b":                       "or stands between",
		"and a":                          "at sign 1: and stands between",
		"a and":                          "and stands between",
		"a not":                          "at sign 3: not stands before",
		"äh colour:red":                  "at sign 4: there is no field \"colour\"",
		"colour:":                        "use one of name, title,",
		"title:":                         "title: says no value; it takes a word",
		`x "a`:                           "at sign 3: a quotation mark without",
		`"a\`:                            "a quotation mark without",
		`""`:                             "nothing between quotation marks",
		"size:big":                       `at sign 1: size: "big" is not a size; it takes a size such as 500k`,
		"taken:2024-13":                  `"2024-13" is not a time`,
		"taken:2024-5":                   `"2024-5" is not a time`,
		"taken:2024..2020":               "has nothing in it",
		"year:..":                        "has nothing in it",
		"rating:many":                    "is not a whole number",
		"hidden:perhaps":                 "it takes yes or no",
		"duration:1:99":                  "is not a length of time",
		"orientation:9":                  "landscape",
		"near:1,2":                       "three numbers",
		"near:99,2,1":                    "no place on earth",
		"near:NaN,2,1":                   "is not a number",
		`in:""`:                          "an empty value",
		"aperture:x":                     "is not a number",
		strings.Repeat("a", 5000):        "5000 bytes, at most 4096",
		strings.Repeat("(", 60):          "more than 50",
		strings.Repeat("not ", 60) + "a": "more than 50",
	} {
		_, err := Parse(text)
		kind := remote.Invalid
		if len(text) == 5000 {
			kind = remote.TooLong
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", text, err, says)
		}
	}
}

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04 -0700", s)
	if err != nil {
		panic(err)
	}
	return t
}

func full() *remote.Media {
	return &remote.Media{
		ID:          "00ff",
		Node:        7,
		Name:        "IMG_1234.JPG",
		Paths:       []string{"/Photos/2024/IMG_1234.JPG", "/Best of/Été.jpg"},
		Extension:   "jpg",
		Size:        10 << 20,
		Type:        "image/jpeg",
		Class:       remote.ClassImage,
		Title:       "The Golden Gate at sunset",
		Description: "Seen from the north",
		Tags:        []string{"Sea", "San Francisco", "❤"},
		Creator:     "Ann Öz",
		Rating:      8,
		Taken:       at("2024-05-12 23:30 -0800"),
		Year:        2024,
		Month:       5,
		Uploaded:    at("2024-06-01 00:00 +0000"),
		Place:       &remote.Place{Latitude: 37.81, Longitude: -122.48},
		Orientation: 6,
		Owner:       remote.Person{ID: "1000", Name: "joe"},
		Favorites:   []string{"ann", "Bob"},
		Comments:    []remote.Comment{{Text: "What a bridge"}},
		Moderation:  1,
		Ready:       true,
		Facts: &remote.MediaFacts{
			Make:       "Canon",
			Model:      "EOS R5",
			Lens:       "RF24-70mm F2.8",
			Width:      4000,
			Height:     3000,
			ISO:        400,
			Aperture:   2.8,
			Duration:   90.5,
			Country:    "USA",
			Software:   "GIMP",
			VideoCodec: "hevc",
		},
	}
}

func TestMatch(t *testing.T) {
	m := full()
	for _, text := range []string{
		"", "golden", "GOLD", "sunset sea", `"golden gate"`, `"gate at sunset"`, "img", "1234", "img_12", "jpg", "canon eos", "ete", "ÉTÉ", "ann", "usa", "north", "❤", "night or sea", "-night", "not (night or dawn)",
		"title:gold", `title:"the golden"`, `name:"IMG_1234.JPG"`, `name:"Été.jpg"`, "description:seen", "tag:sea", `tag:"san francisco"`, "tag:san*", `tag:"❤"`, "type:image", "type:jpeg", "type:image/jpeg", "type:image>jpeg", `type:"image/jpeg"`,
		"class:image", "ext:jpg", "artist:oz", "camera:canon", "camera:r5", "lens:rf24", "place:usa", "comment:bridge", "software:gimp", `album:""`, "near:37.8,-122.5,5", "in:photos", "in:Photos>2024", "in:/photos/2024", `in:">photos"`, `in:"best of"`, "in:/",
		"taken:2024", "taken:2024-05", "taken:2024-05-12", "taken:2024-05-12T23:30", "taken:2023..2024", "taken:>2023", "taken:>=2024-05-12", "taken:<2024-05-13", "taken:..2024-05-12", "added:2024-06-01", "year:2024", "year:2019..2024", "month:5",
		"size:10M", "size:>9.9M", "size:>=10485760", "size:9M..11M", "size:<1G", "rating:8", "rating:>=4", "rating:..8", "width:4000", "width:>3999", "orientation:portrait", "orientation:6", "iso:400", "aperture:2.8", "aperture:<3", "duration:>89s", "duration:90s", "duration:1:30", "duration:<2m", "duration:0.01h..1h",
		"user:joe", "owner:1000", "favorite:ann", `favorite:"Bob"`, "favorite:B*", "moderation:1", "moderation:-1..2", "status:0", "hidden:no", "ready:yes", "privacy:private", "id:00FF", "codec:hevc", "views:0",
	} {
		if !must(t, text).Match(m) {
			t.Errorf("%s: does not match", text)
		}
	}
	for _, text := range []string{
		"olden", `"gold"`, `"gate golden"`, `"sunset seen"`, "night", "bridge", "photos", "gimp", "★", "golden night", "-golden", "not sea",
		"title:north", `title:""`, "tag:francisco", "tag:san", "tag:s", "type:video", "type:jp", "class:imag", "ext:jp", "album:x", "comment:sea", "near:37.8,-122.5,1", "in:2024>photos", "in:/2024", "in:phot", "in:IMG_1234.JPG",
		"taken:2024-05-13", "taken:>2024", "taken:<2024", "added:2024-05", "edited:<2030", "year:..2023", "size:>10M", "size:<10M", "size:11M", "rating:<8", "rating:0", "width:<4000", "orientation:landscape", "aperture:2.9", "duration:>91s", "duration:2m", "pages:<5",
		"user:jo", "favorite:bob", "favorite:b*", `favorite:""`, "moderation:0", "hidden:yes", "live:yes", "privacy:public",
	} {
		if must(t, text).Match(m) {
			t.Errorf("%s: matches", text)
		}
	}
}

// Hidden and incomplete media are found by those who ask for them.
func TestLeftOut(t *testing.T) {
	hidden, incomplete, plain := full(), full(), full()
	hidden.Hidden = true
	incomplete.Status = remote.StatusIncomplete
	for text, want := range map[string][3]bool{
		"golden":                  {false, false, true},
		"golden hidden:yes":       {true, false, false},
		"golden not hidden:no":    {true, false, false},
		"hidden:yes or golden":    {true, false, true},
		"status:5":                {false, true, false},
		"status:0..5":             {false, true, true},
		"hidden:yes or status:>0": {true, true, false},
	} {
		q := must(t, text)
		if got := [3]bool{q.Match(hidden), q.Match(incomplete), q.Match(plain)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// A media of which nothing is known is found by what is not said, and no query fails on it.
func TestEmptyMedia(t *testing.T) {
	for _, f := range Fields() {
		for _, v := range []string{`""`, "1", "2024", "yes", "1,2,3", "a*", "<5"} {
			q, err := Parse(f + ":" + v)
			if err != nil {
				continue
			}
			q.Match(&remote.Media{})
		}
	}
	for text, want := range map[string]bool{`title:""`: true, `tag:""`: true, "size:0": true, "rating:0": true, "width:<10": false, "taken:<2030": false, "year:<2030": false, "aperture:<3": false} {
		if must(t, text).Match(&remote.Media{}) != want {
			t.Errorf("%s: not %v", text, want)
		}
	}
}

func TestHelpNamesEveryField(t *testing.T) {
	h := Help()
	for _, f := range Fields() {
		if !strings.Contains(h, "  "+f+":") && !strings.Contains(h, "  "+f+" (") {
			t.Errorf("%s is not in it", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a or b", `-"x y" tag:"a\"b"`, "taken:2019..2021 (a b)", "not not -a", "duration:1:30", "size:>1.5G", "near:1,2,3", "() or ()", "- a", "東京 tag:\"\\\\\""} {
		f.Add(s)
	}
	m := full()
	f.Fuzz(func(t *testing.T, s string) {
		q, err := Parse(s)
		if err != nil {
			if remote.KindOf(err) == remote.Other {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := Parse(q.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", s, q, err)
		}
		if again.String() != q.String() {
			t.Fatalf("%q prints as %q and then as %q", s, q, again)
		}
		if q.Match(m) != again.Match(m) {
			t.Fatalf("%q and %q mean different media", s, q)
		}
	})
}
