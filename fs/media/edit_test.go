package media

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

var now = &record.Time{Seconds: 1714557600, Nanos: 5} // 2024-05-01T10:00:00.000000005Z

const someID = "000102030405060708090a0b0c0d0e0f"

// A sample of a field: values that are taken and how they read afterwards (the same when nothing is
// said), and values that are not.
type sample struct {
	good [][2]string
	bad  []string
}

// samples has one for every field that somebody sets.
var samples = map[string]sample{
	"original_name": {
		good: [][2]string{{"DSC 1.JPG"}},
		bad:  []string{"a\x00b", "a\nb", strings.Repeat("x", 256), "\xff"},
	},
	"external_id": {good: [][2]string{{"bc-77"}}, bad: []string{"\x1b", strings.Repeat("x", 256)}},
	"copied_from": {
		good: [][2]string{{someID}, {strings.ToUpper(someID), someID}},
		bad:  []string{"1", someID + "00", "zz"},
	},
	"parent_id": {good: [][2]string{{someID}}, bad: []string{"media", someID[2:]}},
	"original_size": {
		good: [][2]string{{"7"}, {"9223372036854775807"}},
		bad:  []string{"-1", "1.5", "1 KB", "9223372036854775808"},
	},
	"type": {
		good: [][2]string{{"image/jpeg"}, {"text/plain; charset=utf-8"}},
		bad:  []string{"image", "a/b/c", "/", "image/jpeg\n", strings.Repeat("x", 64) + "/" + strings.Repeat("y", 64)},
	},
	"started": {
		good: [][2]string{
			{"2024-05-01T10:00:00Z"},
			{"2024-05-01 10:00:00", "2024-05-01T10:00:00Z"},
			{"2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"},
		},
		bad: []string{"yesterday", "2024-13-01"},
	},
	"location":          {good: [][2]string{{"s3"}}, bad: []string{"s3\x7f", strings.Repeat("x", 256)}},
	"original_location": {good: [][2]string{{"fmlocal"}}, bad: []string{"\x80"}},
	"title": {
		good: [][2]string{{"Häuser am See"}, {"  exact  "}, {strings.Repeat("x", remote.MaxTitle)}},
		bad:  []string{"two\nlines", "tab\t", "\u0085", strings.Repeat("x", remote.MaxTitle+1), "\xc3"},
	},
	"description": {
		good: [][2]string{{"two\n\tlines"}, {strings.Repeat("é", remote.MaxDescription/2)}},
		bad:  []string{"\r", "\x00", strings.Repeat("é", remote.MaxDescription/2) + "x"},
	},
	"tags": {
		good: [][2]string{
			{"a"},
			{"b,a"},
			{" b , a,,b,", "b,a"},
			{"two words,Été"},
			{strings.Repeat("x", remote.MaxTag)},
		},
		bad: []string{
			"a/b", ".", "a,..", "a\tb", "a,\xff", strings.Repeat("x", remote.MaxTag+1), numbers(remote.MaxTags + 1),
		},
	},
	"rating": {good: [][2]string{{"1"}, {"10"}}, bad: []string{"11", "-1", "5 stars", "4.5"}},
	"language": {
		good: [][2]string{{"en"}, {"pt-BR"}, {"zh-Hant-TW"}},
		bad:  []string{"e", "english language", "en_US", "-", "en-"},
	},
	"url": {
		good: [][2]string{{"https://example.org/a?b=c,d"}},
		bad:  []string{"https://example.org/\n", strings.Repeat("x", remote.MaxText+1)},
	},
	"creator":  {good: [][2]string{{"Ada, Grace & others"}}, bad: []string{"a\nb"}},
	"injector": {good: [][2]string{{"email"}}, bad: []string{strings.Repeat("x", 65)}},
	"category": {good: [][2]string{{"6"}, {"-3"}}, bad: []string{"six", "0x6"}},
	"taken": {
		good: [][2]string{
			{"2024-05-01T10:00:00+02:00"},
			{"2024-05-01T10:00:00.25Z"},
			{"2024-05-01T10:00:00"},
			{"2024:05:01 10:00:00", "2024-05-01T10:00:00"},
			{"2024-05-01", "2024-05-01T00:00:00"},
			{"20240501", "2024-05-01T00:00:00"},
			{"1911-01-01T00:00", "1911-01-01T00:00:00"},
			{"2024-05-01 10:00:00-07:30", "2024-05-01T10:00:00-07:30"},
		},
		bad: []string{"2024", "2024-02-30", "10:00", "NA", "0001-01-01", "9999-12-31", "2024-05-01T10:00:00+23:00"},
	},
	"place": {
		good: [][2]string{
			{"48.8584,2.2945"},
			{"0,0"},
			{" -90 , 180 , -12.5", "-90,180,-12.5"},
			{"1.00000001,2", "1,2"},
		},
		bad: []string{"48.8584", "91,0", "0,181", "a,b", "NaN,0", "0,Inf", "1,2,3,4", "1,2,1e9", "1,2,NaN"},
	},
	"orientation": {good: [][2]string{{"1"}, {"8"}}, bad: []string{"0", "9", "portrait"}},
	"metadata": {
		good: [][2]string{{`{"user":{"name":"Dave","n":[1,2.50]}}`}, {"{}"}},
		bad: []string{
			"[]", "null", "{", `{"a":1}{}`, `{"a":"` + "\xff" + `"}`,
			`{"a":"` + strings.Repeat("x", remote.MaxMetadata) + `"}`, "1",
		},
	},
	"status":        {good: [][2]string{{"0"}, {"5"}, {"42"}}, bad: []string{"-1", "1000", "ok"}},
	"live":          {good: [][2]string{{"yes"}, {"true", "yes"}, {"1", "yes"}}, bad: []string{"on", "2"}},
	"moderation":    {good: [][2]string{{"-1"}, {"3"}, {"0"}}, bad: []string{"-2", "4", "denied"}},
	"denied_reason": {good: [][2]string{{"14"}, {"1"}}, bad: []string{"15", "-1"}},
	"hidden": {
		good: [][2]string{{"yes"}, {"HIDDEN", "yes"}, {"1", "yes"}, {"SHOWN", "no"}, {"no"}, {"False", "no"}},
		bad:  []string{"ALL", "maybe"},
	},
	"privacy": {
		good: [][2]string{{"public"}, {"private"}, {"1", "public"}, {"0", "private"}, {"Public", "public"}},
		bad:  []string{"2", "secret"},
	},
	"context":            {good: [][2]string{{"0"}, {"3"}, {"1"}}, bad: []string{"4", "-1"}},
	"domain":             {good: [][2]string{{"example.org"}}, bad: []string{strings.Repeat("x", 256)}},
	"vhost":              {good: [][2]string{{"206"}}, bad: []string{"host"}},
	"owner.id":           {good: [][2]string{{"802456"}}, bad: []string{"a\nb"}},
	"owner.name":         {good: [][2]string{{"dave"}}, bad: []string{strings.Repeat("x", 256)}},
	"owner.nickname":     {good: [][2]string{{"D"}}, bad: []string{"\x01"}},
	"owner.first_name":   {good: [][2]string{{"Dave"}}, bad: []string{"\x01"}},
	"owner.last_name":    {good: [][2]string{{"Mowat"}}, bad: []string{"\x01"}},
	"owner.email":        {good: [][2]string{{"dave@example.org"}}, bad: []string{strings.Repeat("x", 321)}},
	"owner.country":      {good: [][2]string{{"CA"}}, bad: []string{"Canada", "C1", "é"}},
	"owner.state":        {good: [][2]string{{"ON"}}, bad: []string{"Ontario"}},
	"owner.city":         {good: [][2]string{{"Toronto"}}, bad: []string{"\n"}},
	"channel.id":         {good: [][2]string{{"12"}}, bad: []string{"news"}},
	"channel.short_name": {good: [][2]string{{"sample_shortname"}}, bad: []string{"\n"}},
	"channel.name":       {good: [][2]string{{"News"}}, bad: []string{"\n"}},
	"channel.left":       {good: [][2]string{{"4"}}, bad: []string{"left"}},
	"events": {
		good: [][2]string{{"7"}, {"9,7,-1"}, {"7, 7", "7"}},
		bad:  []string{"a", "1;2", numbers(maxNumbers + 1)},
	},
	"groups":  {good: [][2]string{{"3,1"}}, bad: []string{"1.5"}},
	"artwork": {good: [][2]string{{someID}}, bad: []string{"cover.jpg"}},
	"flags": {
		good: [][2]string{{"preview,editable"}},
		bad:  []string{"Preview", "a b", strings.Repeat("x", maxWord+1)},
	},
	"viewer": {good: [][2]string{{"12"}}, bad: []string{"-1", "1000"}},
	"editor": {good: [][2]string{{"1"}}, bad: []string{"vi"}},

	"counts.views":         {good: [][2]string{{"17"}}, bad: []string{"-1", "many"}},
	"counts.views_started": {good: [][2]string{{"18"}}, bad: []string{"-1"}},
	"counts.downloads":     {good: [][2]string{{"3"}}, bad: []string{"1e3"}},
}

func numbers(n int) string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprint(i)
	}
	return strings.Join(s, ",")
}

func mustApply(t *testing.T, m *record.Media, edits ...Edit) {
	t.Helper()
	if err := Apply(m, now, edits); err != nil {
		t.Fatal(err)
	}
}

func attribute(m *record.Media, f *record.Facts, name string) string {
	v, _ := Attribute(Assemble(Parts{Edits: m, Facts: f}), name)
	return string(v)
}

// What is set under any name of a field reads back under all of them; what may not be is refused
// with what may.
func TestEveryField(t *testing.T) {
	for _, f := range Fields() {
		s, ok := samples[f.Name]
		if f.Writer == Nobody || f.Type == Ballot {
			if ok {
				t.Errorf("a sample for %s, which is not set", f.Name)
			}
			continue
		}
		if len(s.good) == 0 || len(s.bad) == 0 {
			t.Errorf("no sample for %s", f.Name)
		}
		for _, g := range s.good {
			want := g[1]
			if want == "" {
				want = g[0]
			}
			m := new(record.Media)
			mustApply(t, m, Edit{f.Name, Set, g[0]})
			for _, a := range f.Attributes {
				if got := attribute(m, nil, a); got != want {
					t.Errorf("%s: set to %.50q, %s is %.50q", f.Name, g[0], a, got)
				}
				edits, attached, known, err := EditsFor(a, []byte(g[0]+"\n"), false)
				if err != nil || !known || len(attached) != 0 || len(edits) != 1 {
					t.Errorf("%s: EditsFor(%.50q) = %v %v %v %v", a, g[0], edits, attached, known, err)
					continue
				}
				by := new(record.Media)
				mustApply(t, by, edits...)
				if got := attribute(by, nil, a); got != want {
					t.Errorf("%s set to %.50q is %.50q", a, g[0], got)
				}
			}
			// What is shown can be set, and says the same.
			again := proto.CloneOf(m)
			again.Edited = nil
			mustApply(t, again, Edit{f.Name, Set, want})
			if again.Edited != nil && g[0] == want {
				t.Errorf("%s: setting %q again is a change", f.Name, want)
			}
			if got := attribute(again, nil, AttributePrefix+f.Name); got != want {
				t.Errorf("%s: %.50q becomes %.50q", f.Name, want, got)
			}
			mustApply(t, m, Edit{f.Name, Clear, ""})
			if !Empty(m) {
				t.Errorf("%s: cleared, the record is %v", f.Name, m)
			}
		}
		for _, b := range s.bad {
			m := new(record.Media)
			err := Apply(m, now, []Edit{{"title", Set, "x"}, {f.Name, Set, b}})
			if !errors.Is(err, remote.Invalid) || !strings.Contains(err.Error(), f.Allowed()) ||
				!strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s set to %.50q: %v", f.Name, b, err)
			}
			if len(err.Error()) > 600 {
				t.Errorf("%s: the error has %d bytes", f.Name, len(err.Error()))
			}
			if !Empty(m) {
				t.Errorf("%s set to %.50q left %v", f.Name, b, m)
			}
		}
	}
}

func TestReadOnlyFields(t *testing.T) {
	for _, f := range Fields() {
		if f.Writer != Nobody {
			continue
		}
		if err := Check([]Edit{{f.Name, Set, "1"}}); !errors.Is(err, remote.Permission) {
			t.Errorf("%s: %v", f.Name, err)
		}
		for _, remove := range []bool{false, true} {
			if _, _, known, err := EditsFor(AttributePrefix+f.Name, []byte("1"), remove); !known ||
				!errors.Is(err, remote.Permission) {
				t.Errorf("%s: %v, known %v", f.Name, err, known)
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, e := range []Edit{{"titel", Set, "x"}, {"", Set, "x"}, {"user.plain", Set, "x"}, {"title", Add, "x"}, {"rating", Remove, "1"}, {"counts.anonymous", Set, "5"}, {"title", 9, "x"}, {"tags", Remove, "a/b"}, {"title", Clear, "\xff"}, {"events", Add, "\xff"}} {
		err := Check([]Edit{e})
		if !errors.Is(err, remote.Invalid) || strings.Contains(err.Error(), "panic") {
			t.Errorf("%v: %v", e, err)
		}
	}
	if err := Check([]Edit{{"titel", Set, "x"}}); !strings.Contains(err.Error(), "title") {
		t.Errorf("the error does not name the fields: %v", err)
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct {
		edits []Edit
		want  []string
	}{
		{[]Edit{{"tags", Add, "b"}, {"tags", Add, "a"}, {"tags", Add, "b"}}, []string{"b", "a"}},
		{[]Edit{{"tags", Set, "c,b"}, {"tags", Remove, "c"}, {"tags", Add, "C"}}, []string{"b", "C"}},
		{[]Edit{{"tags", Set, "c"}, {"tags", Remove, "x"}}, []string{"c"}},
		{[]Edit{{"tags", Set, "c"}, {"tags", Set, ""}}, nil},
		{[]Edit{{"tags", Remove, "x"}}, nil},
		{[]Edit{{"tags", Add, " x , y "}}, []string{"x", "y"}},
	} {
		m := new(record.Media)
		mustApply(t, m, c.edits...)
		if got := m.GetTags().GetTag(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c.edits, got)
		}
	}
	m := new(record.Media)
	mustApply(t, m, Edit{"tags", Set, numbers(remote.MaxTags)})
	if err := Apply(m, now, []Edit{{"tags", Add, "more"}}); !errors.Is(err, remote.Invalid) ||
		len(m.Tags.Tag) != remote.MaxTags {
		t.Errorf("one tag too many: %v, %d", err, len(m.Tags.Tag))
	}
	mustApply(
		t, m, Edit{"flags", Add, "virus"}, Edit{"flags", Add, "owned,virus"}, Edit{"flags", Remove, "virus"},
		Edit{"groups", Add, "4"}, Edit{"groups", Add, "2,4"}, Edit{"groups", Remove, "4"},
	)
	if !slices.Equal(m.Flags, []string{"owned"}) || !slices.Equal(m.Groups, []int64{2}) {
		t.Errorf("%v %v", m.Flags, m.Groups)
	}
}

func TestCounters(t *testing.T) {
	m := new(record.Media)
	mustApply(
		t, m, Edit{"counts.views", Add, "2"}, Edit{"counts.views", Add, "3"}, Edit{"counts.anonymous", Add, "5"},
		Edit{"counts.anonymous", Add, "-2"},
	)
	c := Assemble(Parts{Edits: m}).Counts
	if c.Views != 5 || c.Anonymous != 2 || c.Votes != 2 || c.VoteSum != 3 {
		t.Errorf("%+v", c)
	}
	if m.Edited != nil {
		t.Error("a count is no edit by people")
	}
	mustApply(t, m, Edit{"counts.views", Set, fmt.Sprint(int64(math.MaxInt64))}, Edit{"counts.views", Add, "5"})
	if m.Views != math.MaxInt64 {
		t.Errorf("ran over: %d", m.Views)
	}
	mustApply(t, m, Edit{"counts.views", Clear, ""}, Edit{"counts.anonymous", Clear, ""})
	if !Empty(m) {
		t.Errorf("left: %v", m)
	}
}

func TestEditedIsWhatPeopleChange(t *testing.T) {
	m := new(record.Media)
	mustApply(
		t, m, Edit{"status", Set, "3"}, Edit{"owner.name", Set, "a"}, Edit{"title", Clear, ""}, Edit{"vhost", Set, "0"},
		Edit{"tags", Remove, "x"},
	)
	if m.Edited != nil {
		t.Errorf("edited at %v", m.Edited)
	}
	mustApply(t, m, Edit{"tags", Set, ""})
	if !proto.Equal(m.Edited, now) || m.Edited == now {
		t.Errorf("edited at %v", m.Edited)
	}
	later := &record.Time{Seconds: now.Seconds + 1}
	if err := Apply(m, later, []Edit{{"tags", Set, ""}, {"status", Set, "1"}}); err != nil ||
		!proto.Equal(m.Edited, now) {
		t.Errorf("edited at %v, %v", m.Edited, err)
	}
	if err := Apply(m, later, []Edit{{"user.xdg.comment", Set, "x"}}); err != nil || !proto.Equal(m.Edited, later) {
		t.Errorf("edited at %v, %v", m.Edited, err)
	}
}

// A later version's fields stay, the same edits give the same bytes, and nothing is shared with the
// arguments.
func TestApplyKeepsAndRepeats(t *testing.T) {
	unknown := []byte{0xfa, 0x3f, 3, 'n', 'e', 'w'} // field 1023
	run := func() []byte {
		m := new(record.Media)
		if err := proto.Unmarshal(unknown, m); err != nil {
			t.Fatal(err)
		}
		mustApply(
			t, m, Edit{"user.dublincore.title", Set, "t"}, Edit{"user.media.tags", Set, "b,a"},
			Edit{"owner.city", Set, "x"}, Edit{"place", Set, "1,2,3"}, Edit{"metadata", Set, `{"b":1,"a":2}`},
		)
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.ProtoReflect().GetUnknown()) != string(unknown) {
			t.Fatalf("unknown fields are %x", m.ProtoReflect().GetUnknown())
		}
		if Empty(m) {
			t.Fatal("empty")
		}
		return b
	}
	if a, b := run(), run(); string(a) != string(b) {
		t.Errorf("%x\n%x", a, b)
	}
	m := new(record.Media)
	proto.Unmarshal(unknown, m) // it was read above
	if Empty(m) {
		t.Error("what a later version says is something said")
	}
}

func TestEmpty(t *testing.T) {
	for _, c := range []struct {
		m    *record.Media
		want bool
	}{
		{nil, true}, {&record.Media{}, true}, {&record.Media{Edited: now, Spelled: []string{"user.media.tags"}}, true},
		{&record.Media{Tags: &record.Tags{}}, false}, {&record.Media{Comments: 1}, false}, {&record.Media{Rating: proto.Uint32(0)}, false},
	} {
		if Empty(c.m) != c.want {
			t.Errorf("%v: %v", c.m, !c.want)
		}
	}
}

// All fields at their longest do not fit into one record; what fits already may still be edited.
func TestRecordIsBounded(t *testing.T) {
	m := new(record.Media)
	long := make([]string, remote.MaxTags)
	for i := range long {
		long[i] = fmt.Sprintf("%0*d", remote.MaxTag, i)
	}
	edits := []Edit{
		{"description", Set, strings.Repeat("x", remote.MaxDescription)},
		{"metadata", Set, `{"a":"` + strings.Repeat("x", remote.MaxMetadata-8) + `"}`},
		{"tags", Set, strings.Join(long, ",")},
		{"title", Set, strings.Repeat("x", remote.MaxTitle)},
		{"url", Set, strings.Repeat("x", remote.MaxText)},
		{"creator", Set, strings.Repeat("x", remote.MaxTitle)},
	}
	mustApply(t, m, edits...)
	for _, f := range Fields() {
		if f.Writer == Owner && f.Type == Text && f.shape == nil {
			if err := Apply(m, now, []Edit{{f.Name, Set, strings.Repeat("x", f.max)}}); err != nil &&
				!errors.Is(err, remote.TooLarge) {
				t.Fatal(err)
			}
		}
	}
	mustApply(t, m, Edit{"events", Set, "1"})
	big := make([]string, maxNumbers)
	for i := range big {
		big[i] = fmt.Sprint(int64(math.MaxInt64) - int64(i))
	}
	before := proto.CloneOf(m)
	if err := Apply(
		m, now, []Edit{{"events", Set, strings.Join(big, ",")}, {"groups", Set, strings.Join(big, ",")}},
	); !errors.Is(err, remote.TooLarge) {
		t.Errorf("%d bytes: %v", proto.Size(m), err)
	}
	if !proto.Equal(m, before) || proto.Size(m) > record.MaxRecord {
		t.Errorf("the record has %d bytes", proto.Size(m))
	}
	mustApply(t, m, Edit{"title", Clear, ""})
}

// Facts are shown where people say nothing, and come back when what they said is cleared.
func TestPeopleOverFacts(t *testing.T) {
	facts := FactsRecord(fullFacts(), []byte("head"))
	for name, c := range map[string][3]string{ // fact, edit
		"title": {"A film", "Mine"}, "description": {"long\nago", "new"}, "creator": {"Ada", "Grace"}, "tags": {"beach,Places Paris", "x"}, "rating": {"8", "2"},
		"orientation": {"6", "1"}, "type": {"video/mp4", "image/gif"}, "taken": {"2021-07-08T09:10:11+02:00", "2020-01-01T00:00:00Z"}, "place": {"48.8584,2.2945,35", "1,2"},
	} {
		a := AttributePrefix + name
		m := new(record.Media)
		if got := attribute(m, facts, a); got != c[0] {
			t.Errorf("%s of facts is %q", name, got)
		}
		mustApply(t, m, Edit{name, Set, c[1]})
		if got := attribute(m, facts, a); got != c[1] {
			t.Errorf("%s set to %q is %q", name, c[1], got)
		}
		mustApply(t, m, Edit{name, Set, ""})
		if got := attribute(m, facts, a); got != c[0] && name != "tags" || got != "" && name == "tags" {
			t.Errorf("%s set to nothing is %q", name, got)
		}
		mustApply(t, m, Edit{name, Clear, ""})
		if got := attribute(m, facts, a); got != c[0] {
			t.Errorf("%s cleared is %q", name, got)
		}
		if got := attribute(m, facts, "user.media.facts."+name); name != "tags" && got != c[0] {
			t.Errorf("facts.%s is %q", name, got)
		}
	}
}

func TestOverFacts(t *testing.T) {
	facts := FactsRecord(fullFacts(), nil)
	for _, c := range []struct {
		said  []Edit
		edits []Edit
		attr  string
		want  string
	}{
		{nil, []Edit{{"tags", Add, "x"}}, "user.xdg.tags", "beach,Places Paris,x"},
		{nil, []Edit{{"user.xdg.tags", Remove, "beach"}}, "user.xdg.tags", "Places Paris"},
		{nil, []Edit{{"tags", Add, "x"}, {"tags", Remove, "beach"}}, "user.xdg.tags", "Places Paris,x"},
		{[]Edit{{"tags", Set, "y"}}, []Edit{{"tags", Add, "x"}}, "user.xdg.tags", "y,x"},
		{[]Edit{{"tags", Set, ""}}, []Edit{{"tags", Add, "x"}}, "user.xdg.tags", "x"},
		{nil, []Edit{{"tags", Set, "x"}, {"tags", Add, "y"}}, "user.xdg.tags", "x,y"},
		{[]Edit{{"tags", Set, "y"}}, []Edit{{"tags", Clear, ""}}, "user.xdg.tags", "beach,Places Paris"},
		{[]Edit{{"tags", Set, "y"}}, []Edit{{"user.xdg.tags", Clear, ""}}, "user.xdg.tags", ""},
		{nil, []Edit{{"user.baloo.rating", Clear, ""}}, "user.baloo.rating", ""},
		{[]Edit{{"rating", Set, "2"}}, []Edit{{"rating", Clear, ""}}, "user.baloo.rating", "8"},
		{nil, []Edit{{"no such", Set, "x"}}, "", ""},
	} {
		m := new(record.Media)
		mustApply(t, m, c.said...)
		edits := OverFacts(m, facts, c.edits)
		if c.attr == "" {
			if !slices.Equal(edits, c.edits) {
				t.Errorf("%v becomes %v", c.edits, edits)
			}
			continue
		}
		mustApply(t, m, edits...)
		if got := attribute(m, facts, c.attr); got != c.want {
			t.Errorf("%v then %v: %q, not %q", c.said, c.edits, got, c.want)
		}
	}
	if got := OverFacts(nil, nil, []Edit{{"tags", Add, "x"}, {"user.xdg.tags", Clear, ""}}); len(got) != 2 ||
		got[1].Do != Clear {
		t.Errorf("without facts: %v", got)
	}
}
