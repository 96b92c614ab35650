package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
)

// learned waits until what the bytes of all media say was read.
func (m *machine) learned() {
	m.t.Helper()
	if !eventually(
		func() bool { s := m.status(); return !s.Media.FactsPending && s.Media.ToIndex == 0 && s.Pending.None() },
	) {
		m.t.Fatalf("facts are never read: %+v", m.status())
	}
}

// A known media is one of testdata/media, with what its README says of it. Attributes are extended
// ones below user.media.
type known struct {
	name   string
	attrs  string // name=value, a line each
	search string // a query that finds it and no other
}

var knownMedia = []known{
	{"photo.jpg", `
		type=image/jpeg
		class=image
		facts.width=640
		facts.height=480
		orientation=6
		facts.make=Canon
		facts.model=Canon EOS R6
		facts.lens=RF24-105mm F4 L IS USM
		facts.serial=012345678901
		facts.software=mediafs
		taken=2023-07-14T18:30:45.123+01:00
		taken_zone=yes
		year=2023
		month=7
		facts.exposure=0.004
		facts.aperture=5.6
		facts.iso=200
		facts.focal_length=50
		facts.flash=16
		place=38.7139,-9.1394,42.5
		facts.direction=271.5
		facts.picture_size=3066`, "eos type:image"},
	{"captioned.jpg", `
		facts.width=480
		facts.height=320
		title=Café am Meer
		description=Zwei Tische, ein Hund.
		tags=sea,café,犬
		creator=Ana Sousa
		facts.copyright=(c) 2022 Ana Sousa
		facts.city=Ericeira
		facts.country=Portugal
		taken=2022-05-01T10:20:30+01:00
		rating=8
		facts.label=Red`, "tag:犬"},
	{"plain.jpg", `
		type=image/jpeg
		facts.width=320
		facts.height=240`, "name:plain.jpg"},
	{"drawing.png", `
		type=image/png
		facts.width=300
		facts.height=200
		title=A drawing
		creator=Ana Sousa`, "title:drawing"},
	{"picture.webp", `
		type=image/webp
		facts.width=320
		facts.height=180
		facts.make=Google
		facts.model=Pixel 7
		taken=2023-01-02T03:04:05`, "pixel"},
	{"animated.gif", `
		type=image/gif
		facts.width=160
		facts.height=120
		facts.frames=5
		facts.duration=1`, "animated"},
	{"film-end.mp4", `
		type=video/mp4
		class=video
		facts.width=320
		facts.height=180
		facts.duration=2
		facts.video_codec=h264
		facts.audio_codec=aac
		facts.frame_rate=25
		facts.sample_rate=44100
		facts.channels=2
		title=Two seconds
		creator=Ana Sousa
		taken=2023-07-14T17:30:45Z`, "name:film-end.mp4"},
	{"film-front.mp4", `
		type=video/mp4
		facts.duration=2
		facts.video_codec=h264
		title=Two seconds`, "name:film-front.mp4"},
	{"film.mov", `
		type=video/quicktime
		facts.duration=2
		facts.channels=1
		place=38.7139,-9.1394`, "name:film.mov"},
	{"film.mkv", `
		type=video/x-matroska
		facts.duration=2.023
		title=Two seconds
		creator=Ana Sousa`, "name:film.mkv"},
	{"song.mp3", song + `
		type=audio/mpeg
		facts.channels=2
		facts.picture_type=image/jpeg
		facts.picture_size=5558`, "name:song.mp3"},
	{"song.flac", song + `
		type=audio/flac
		facts.duration=3
		facts.channels=1
		facts.picture_size=5558`, "name:song.flac"},
	{"song.ogg", song + `
		type=audio/ogg
		facts.duration=3
		facts.audio_codec=vorbis`, "name:song.ogg"},
	{"song.m4a", song + `
		type=audio/mp4
		facts.duration=3
		facts.audio_codec=aac`, "name:song.m4a"},
	{"tone.wav", `
		type=audio/wav
		facts.duration=1
		facts.sample_rate=8000
		facts.channels=1`, "name:tone.wav"},
	{"document.pdf", `
		type=application/pdf
		class=document
		facts.pages=2
		title=A short document
		creator=Ana Sousa`, "type:application>pdf"},
}

const song = `
		class=audio
		title=Ode to a Sine
		creator=The Oscillators
		facts.album=Pure Tones
		facts.album_artist=Various
		facts.track=3
		facts.tracks=12
		facts.disc=1
		facts.discs=2
		facts.year=2019
		facts.genre=Ambient
		facts.comment=Größe: klein
		facts.composer=J. Fourier
		facts.sample_rate=44100`

// TestMedia is what makes the drive one of media: files are copied to it, and what their bytes say
// is there to read, to search and to browse; what people say wins; another machine knows the same.
func TestMedia(t *testing.T) {
	needs(t, "rsync", "getfattr", "setfattr")
	m := newMachine(t)
	store := fileURL(newFolder(t, m.home, "store"))
	m.mount(store)
	m.sh(`rsync -a "$1/" card/`, filepath.Join(repository(t), "testdata/media"))
	m.learned()
	check := func(t *testing.T) {
		for _, k := range knownMedia {
			t.Run(k.name, func(t *testing.T) { m.knows(t, k) })
		}
	}
	t.Run("facts", check)
	if t.Failed() {
		return
	}

	t.Run("views", func(t *testing.T) {
		for _, tt := range [][2]string{
			{"ls .media/by-date", "2021\n2022\n2023\n"},
			{"ls .media/by-date/2022/05", "captioned.jpg\n"},
			{"ls .media/by-date/2023/07", "film-end.mp4\nfilm-front.mp4\nfilm.mkv\nfilm.mov\nphoto.jpg\n"},
			{"ls .media/tags/sea | grep jpg", "captioned.jpg\n"},
			{"cmp .media/tags/sea/captioned.jpg card/captioned.jpg", ""},
			{"ls .media", "by-date\nby-type\nfavorites\nhidden\ninfo\nlatest\nmoderation\nsearch\nstatus.json\ntags\ntrash\nuploads\nversions\nzip\n"},
			{"ls -A", "card\n"},
			{"test $(stat -c %i .media/tags/sea/captioned.jpg) = $(stat -c %i card/captioned.jpg)", ""},
		} {
			if got := m.sh(tt[0]); got != tt[1] {
				t.Errorf("%s: %q, want %q", tt[0], got, tt[1])
			}
		}
	})

	t.Run("people win", func(t *testing.T) {
		m.do("tag", "--add", "coast", m.mnt+"/card/captioned.jpg")
		m.do("set", m.mnt+"/card/captioned.jpg", "title=By the sea")
		m.sh(`setfattr -n user.baloo.rating -v 10 card/captioned.jpg`)
		captioned := known{
			"captioned.jpg", "tags=sea,café,犬,coast\ntitle=By the sea\nrating=10\nfacts.title=Café am Meer",
			"tag:coast",
		}
		m.knows(t, captioned)
		m.sh(`ln card/plain.jpg .media/tags/coast/ && rm .media/tags/coast/captioned.jpg`)
		m.knows(t, known{"plain.jpg", "tags=coast", "tag:coast"})
		m.do("favorite", "--user", "ana", m.mnt+"/card/plain.jpg")
		if got := m.sh(`ls .media/favorites/ana`); got != "plain.jpg\n" {
			t.Errorf("favorites %q", got)
		}
		m.do("rate", "none", m.mnt+"/card/captioned.jpg")
		m.do("set", "--clear", "title", "--clear", "tags", m.mnt+"/card/captioned.jpg")
	})

	// An inode that the kernel knows has other tags at once, and a picture in it comes out as it
	// went in.
	picture := filepath.Join(m.home, "cover.jpg")
	m.do("info", "--picture", picture, m.mnt+"/card/song.mp3")
	if b, err := os.ReadFile(picture); err != nil || len(b) != 5558 {
		t.Errorf("the cover has %d bytes, %v", len(b), err)
	}
	code, stdout, stderr := m.mediafs("info", "--document", m.mnt+"/card/photo.jpg")
	if code != exitOK || !strings.Contains(stdout, "RF24-105mm F4 L IS USM") {
		t.Errorf("document: exit code %d, %s%s", code, stdout, stderr)
	}

	m.umount()
	m.again(store)
	m.learned() // the index of a new machine
	t.Run("another machine", check)
	m.umount()
}

// knows reads a media's facts back through everything that tells them.
func (m *machine) knows(t *testing.T, k known) {
	t.Helper()
	at := filepath.Join(m.mnt, "card", k.name)
	var record remote.Media
	code, stdout, stderr := m.mediafs("info", "--json", at)
	if err := json.Unmarshal([]byte(stdout), &record); err != nil || code != exitOK {
		t.Fatalf("info: exit code %d, %v, %s", code, err, stderr)
	}
	if record.Facts == nil || record.Facts.Error != "" {
		t.Fatalf("facts %+v", record.Facts)
	}
	sheet, err := os.ReadFile(filepath.Join(m.mnt, ".media/info/card", k.name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var shown remote.Media
	if err := json.Unmarshal(sheet, &shown); err != nil {
		t.Errorf("info view: %v\n%s", err, sheet)
	}
	if a, b := asJSON(t, record), asJSON(t, shown); a != b {
		t.Errorf("the info view tells\n%s\nthe command\n%s", b, a)
	}
	byJSON := fields(t, record)
	code, text, _ := m.mediafs("info", at)
	if code != exitOK {
		t.Errorf("info: exit code %d", code)
	}
	for line := range strings.Lines(k.attrs) {
		name, want, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		if got := attribute(t, at, "user.media."+name); !sameValue(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		switch got, there := byJSON[name]; {
		case !there && want != "no":
			t.Errorf("%s is not in the JSON", name)
		case name == "facts.lens" && !strings.Contains(text, want):
			t.Errorf("info does not show %s %q:\n%s", name, want, text)
		case there && name != "place" && name != "tags" && !strings.Contains(name, "taken") && !sameValue(fmt.Sprint(got), want) && got != (want == "yes"):
			t.Errorf("%s is %v in the JSON, want %q", name, got, want)
		}
	}
	if record.Size == 0 || len(record.SHA256) != 64 || !slices.Equal(record.Paths, []string{"/card/" + k.name}) ||
		time.Since(record.Uploaded) > time.Hour {
		t.Errorf("record %+v", record)
	}
	var found []string
	entries, err := os.ReadDir(filepath.Join(m.mnt, ".media/search", k.search))
	for _, e := range entries {
		found = append(found, e.Name())
	}
	if err != nil || !slices.Equal(found, []string{k.name}) {
		t.Errorf("search/%s: %q, %v", k.search, found, err)
	}
	if code, stdout, stderr := m.mediafs("find", "--library", m.mnt, k.search); code != exitOK || stdout != at+"\n" {
		t.Errorf("find %s: exit code %d, %q, %s", k.search, code, stdout, stderr)
	}
}

func attribute(t *testing.T, at, name string) string {
	t.Helper()
	out, err := run(t, "getfattr", "--only-values", "--absolute-names", "-n", name, at)
	if err != nil {
		t.Errorf("%s of %s: %s", name, at, out)
	}
	return out
}

// sameValue compares texts, and numbers within a thousandth: durations are counted in units of a
// sample.
func sameValue(got, want string) bool {
	var a, b float64
	if _, err := fmt.Sscanf(want, "%g", &b); err == nil && !strings.ContainsAny(want, "-:,/ ") {
		if _, err := fmt.Sscanf(got, "%g", &a); err == nil {
			return math.Abs(a-b) <= 0.001*math.Abs(b)
		}
	}
	return got == want
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fields are the values of a record by their dotted names.
func fields(t *testing.T, m remote.Media) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal([]byte(asJSON(t, m)), &tree); err != nil {
		t.Fatal(err)
	}
	flat := map[string]any{}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, v := range tree {
			flat[prefix+name] = v
			if sub, ok := v.(map[string]any); ok {
				walk(prefix+name+".", sub)
			}
		}
	}
	walk("", tree)
	return flat
}
