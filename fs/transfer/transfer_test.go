package transfer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"mediafs/fs/media"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func TestNotedTime(t *testing.T) {
	for _, c := range []struct {
		meta map[string]string
		want time.Time
	}{
		{map[string]string{"mtime": "1500000000.123456789"}, time.Unix(1500000000, 123456789)},
		{map[string]string{"mtime": "1500000000"}, time.Unix(1500000000, 0)},
		{map[string]string{"mtime": "1500000000.5"}, time.Unix(1500000000, 500000000)},
		{map[string]string{"mtime": "1500000000.1234567891234"}, time.Unix(1500000000, 123456789)},
		{map[string]string{"mtime": "-5"}, time.Unix(-5, 0)},
		{map[string]string{"s3cmd-attrs": "atime:1/ctime:2/mtime:1400000000/uid:0"}, time.Unix(1400000000, 0)},
		{map[string]string{"mtime": "7", "s3cmd-attrs": "mtime:8"}, time.Unix(7, 0)},
	} {
		if got, ok := notedTime(c.meta); !ok || !got.Equal(c.want) {
			t.Errorf("%v is %s, %v", c.meta, got, ok)
		}
	}
	for _, text := range []string{"", "soon", "1.x", "1e9", "99999999999999999999", "9999999999999999", " 1", "1 "} {
		if got, ok := notedTime(map[string]string{"mtime": text}); ok {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestChunkStores(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for key, of := range map[string]string{
		"jfs/chunks/0/12/12345_0_4194304": "JuiceFS", "chunks/4F/12/12345_3_17": "JuiceFS",
		"data/0a/" + hex: "restic", "backup/snapshots/" + hex: "restic", "keys/" + hex: "restic",
		"lib/content/0a/" + hex[:32]: "mediafs", "lib/log/0/00000000000000000001": "mediafs", "log/0/00000000000000000001": "mediafs",
		"chunks/a/b.jpg": "", "data/ab/photo.jpg": "", "data/ab/" + hex + ".jpg": "", "content/index.html": "", "log/0/today.txt": "", "mychunks/0/1/1_2_3": "",
	} {
		if got := partOf(key); of == "" && got != "" || !strings.Contains(got, of) {
			t.Errorf("%s is part of %q", key, got)
		}
	}
}

// What is known of an object: whether a media holds it, in which state, and whether it was ever
// imported.
func TestKnownObjects(t *testing.T) {
	k := new(knownObjects)
	for i, o := range []struct {
		key, etag string
		node      uint64
	}{{"a", "1", 0}, {"a", "2", 5}, {"b", "1", 0}, {"c", "1", 7}, {"d", "1", 8}} {
		k.all = append(
			k.all,
			knownObject{
				content: [16]byte{byte(i)},
				key:     xxhash.Sum64String(o.key),
				etag:    xxhash.Sum64String(o.etag),
				node:    o.node,
			},
		)
	}
	k.index()
	for _, c := range []struct {
		key, etag string
		want      knownState
	}{
		{"a", "2", knownState{5, true}},  // as it is held
		{"a", "3", knownState{5, false}}, // replaced
		{"a", "1", knownState{5, false}}, // replaced by what it was once
		{"b", "1", knownState{0, true}},  // deleted or edited in the library
		{"b", "2", knownState{0, false}},
		{"c", "1", knownState{7, true}},
		{"new", "1", knownState{}},
	} {
		if got := k.find(c.key, c.etag); got != c.want {
			t.Errorf("%s in state %s: %+v, want %+v", c.key, c.etag, got, c.want)
		}
	}
	if left := maps.Collect(func(yield func(uint64, bool) bool) {
		for _, node := range k.unseen() {
			if !yield(node, true) {
				return
			}
		}
	}); !maps.Equal(left, map[uint64]bool{8: true}) {
		t.Errorf("not seen: %v", left)
	}
}

func TestAnyText(t *testing.T) {
	for _, text := range []string{"", "plain", "<&>\u2028", "\x00\x1b", "not \xff UTF-8", `{"base64":"eA=="}`} {
		b, err := json.Marshal(anyText(text))
		if err != nil {
			t.Fatal(err)
		}
		var back anyText
		if err := json.Unmarshal(b, &back); err != nil || string(back) != text {
			t.Errorf("%q becomes %s, then %q, %v", text, b, back, err)
		}
	}
	var back anyText
	if err := json.Unmarshal([]byte(`{"base64":"?"}`), &back); err == nil {
		t.Error("what is not base64 is taken")
	}
	for want, at := range map[anyTime]*record.Time{
		"": nil, "1970-01-01T00:00:00Z": {}, "1969-12-31T23:59:59.5Z": {Seconds: -1, Nanos: 5e8}, "99999999999999.000000001": {Seconds: 99999999999999, Nanos: 1},
	} {
		if got := timeText(at); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
}

// Comments keep their numbers, since answers name them: also over gaps, and only as far as nobody
// has them here.
func TestSayingComments(t *testing.T) {
	at := time.Unix(1500000000, 0).UTC()
	there := []remote.Comment{{Number: 3, Text: "three", Time: at, Answers: 1}, {Number: 1, Text: "one", Time: at}}
	numbers := func(s *saying) (said []string) {
		for _, a := range s.item.Attached {
			what := "new"
			switch {
			case a.Remove:
				what = "off"
			case a.Which != nil:
				what = "set"
			}
			said = append(said, what)
		}
		return said
	}
	for name, c := range map[string]struct {
		now   []remote.Comment
		given uint64
		want  []string
	}{
		"none here":     {nil, 0, []string{"new", "new", "off", "new"}},
		"first is here": {there[1:], 1, []string{"new", "off", "new"}},
		"all are here":  {there, 3, nil},
		"others here":   {[]remote.Comment{{Number: 1, Text: "another", Time: at}}, 1, []string{"new", "new"}},
		"deleted here":  {nil, 3, []string{"set", "set"}},
	} {
		s := &saying{there: &remote.Media{Comments: there}, now: &remote.Media{Comments: c.now}, given: c.given}
		if s.comments(); !slices.Equal(numbers(s), c.want) || len(s.left) != 0 {
			t.Errorf("%s: %q, left out %q", name, numbers(s), s.left)
		}
	}
}

func TestSayingEdits(t *testing.T) {
	there := &remote.Media{
		Counts: remote.Counts{Anonymous: 3, Votes: 4, VoteSum: 12},
		Votes:  []remote.Vote{{User: "a", Value: 2}},
	}
	s := &saying{
		there: there,
		now:   new(remote.Media),
		here:  map[string]string{strings.Repeat("a", 32): strings.Repeat("b", 32)},
	}
	s.edits(map[string]string{
		"title":            "same",
		"description":      "other",
		"artwork":          strings.Repeat("a", 32),
		"parent_id":        strings.Repeat("c", 32),
		"counts.anonymous": "3",
		"tags":             "",
		"nonsense":         "x",
	}, map[string]string{"title": "same", "description": "this"})
	want := []media.Edit{
		{Field: "artwork", Value: strings.Repeat("b", 32)},
		{
			Field: "counts.anonymous",
			Do:    media.Add,
			Value: "3",
		},
		{Field: "counts.anonymous", Do: media.Add, Value: "3"},
		{Field: "counts.anonymous", Do: media.Add, Value: "4"},
		{Field: "description", Value: "other"},
		{Field: "tags", Value: ""},
	}
	if !slices.Equal(s.item.Edits, want) {
		t.Errorf("edits %+v", s.item.Edits)
	}
	if len(s.left) != 2 || !strings.Contains(s.left[0], "nonsense") || !strings.Contains(s.left[1], "parent_id") {
		t.Errorf("left out %q", s.left)
	}
}
