package media

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A drive is a media as the programs that copy see it: names and values.
type drive struct {
	t     *testing.T
	m     *record.Media
	facts *record.Facts
	plain map[string]string
}

func newDrive(t *testing.T) *drive {
	return &drive{t: t, m: new(record.Media), facts: FactsRecord(fullFacts(), nil), plain: make(map[string]string)}
}

func (d *drive) apply(name, value string, remove bool) {
	d.t.Helper()
	edits, _, known, err := EditsFor(name, []byte(value), remove)
	switch {
	case err != nil:
		d.t.Fatalf("%s: %v", name, err)
	case known:
		mustApply(d.t, d.m, OverFacts(d.m, d.facts, edits)...)
	case remove:
		delete(d.plain, name)
	default:
		d.plain[name] = value
	}
}

func (d *drive) list() map[string]string {
	d.t.Helper()
	all := maps.Clone(d.plain)
	m := Assemble(Parts{Edits: d.m, Facts: d.facts})
	for _, name := range Listed(d.m) {
		v, known := Attribute(m, name)
		if !known || v == nil {
			d.t.Errorf("%s is listed and has no value", name)
		}
		if _, ok := all[name]; ok {
			d.t.Errorf("%s is listed twice", name)
		}
		all[name] = string(v)
	}
	return all
}

// sync makes the drive's attributes those of a file elsewhere, as rsync -X does: set what differs,
// then remove what is listed and not there.
func (d *drive) sync(source map[string]string) (changes int) {
	d.t.Helper()
	have := d.list()
	for _, name := range slices.Sorted(maps.Keys(source)) {
		if v, ok := have[name]; !ok || v != source[name] {
			d.apply(name, source[name], false)
			changes++
		}
	}
	for name := range d.list() {
		if _, ok := source[name]; !ok {
			d.apply(name, "", true)
			changes++
		}
	}
	return changes
}

// Whatever a source has, copying takes it along, the second time there is nothing to do, and a copy
// of the copy is the same.
func TestCopiesCarryWhatPeopleSaid(t *testing.T) {
	for _, source := range []map[string]string{
		{"user.xdg.tags": "a,b", "user.xdg.comment": "two\nlines", "user.baloo.rating": "7", "user.xdg.origin.url": "https://example.org", "user.mime_type": "image/png"},
		{"user.dublincore.title": "t", "user.dublincore.description": "d", "user.dublincore.contributor": "c", "user.dublincore.format": "f", "user.xdg.referrer.url": "r"},
		{"user.media.title": "t", "user.media.tags": "x,y", "user.media.rating": "3", "user.media.place": "1,2,3", "user.media.taken": "2024-05-01T10:00:00", "user.media.hidden": "yes",
			"user.media.privacy": "public", "user.media.metadata": `{"a":[1]}`, "user.media.language": "de", "user.media.category": "4", "user.media.orientation": "3", "user.media.creator": "me"},
		{"user.plain": "x"},
		{},
	} {
		d := newDrive(t)
		d.apply("user.xdg.tags", "old", false)
		d.apply("user.dublincore.creator", "somebody", false)
		d.sync(source)
		if got := d.list(); !maps.Equal(got, source) {
			t.Errorf("copied %v, there is %v", source, got)
		}
		if n := d.sync(source); n != 0 {
			t.Errorf("%v: %d changes the second time", source, n)
		}
		copied := newDrive(t)
		copied.sync(d.list())
		if got := copied.list(); !maps.Equal(got, source) {
			t.Errorf("copied %v on, there is %v", source, got)
		}
	}
}

func TestListed(t *testing.T) {
	for _, c := range []struct {
		edits []Edit
		want  []string
	}{
		{nil, nil},
		{[]Edit{{"tags", Set, "a"}, {"description", Set, "d"}, {"rating", Set, "3"}, {"url", Set, "u"}, {"type", Set, "image/png"}, {"title", Set, "t"}},
			[]string{"user.mime_type", "user.media.title", "user.xdg.comment", "user.xdg.tags", "user.baloo.rating", "user.xdg.origin.url"}},
		{[]Edit{{"tags", Set, ""}, {"rating", Set, "0"}, {"hidden", Set, "no"}, {"category", Set, "0"}}, nil},
		{[]Edit{{"user.dublincore.title", Set, "t"}, {"user.media.tags", Set, "a"}}, []string{"user.dublincore.title", "user.media.tags"}},
		{[]Edit{{"user.dublincore.title", Set, "t"}, {"user.media.title", Set, "t"}}, []string{"user.media.title"}},
		{[]Edit{{"user.dublincore.title", Set, "t"}, {"title", Clear, ""}, {"title", Set, "t"}}, []string{"user.media.title"}},
		{[]Edit{{"user.media.tags", Set, "t"}, {"tags", Add, "u"}}, []string{"user.media.tags"}},
		{[]Edit{{"status", Set, "3"}, {"moderation", Set, "1"}, {"owner.name", Set, "x"}, {"counts.views", Set, "3"}, {"external_id", Set, "x"}, {"artwork", Set, someID}, {"parent_id", Set, someID},
			{"original_name", Set, "x"}, {"flags", Set, "owned"}, {"channel.id", Set, "1"}}, nil},
	} {
		m := new(record.Media)
		mustApply(t, m, c.edits...)
		if got := Listed(m); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c.edits, got)
		}
	}
	if Listed(nil) != nil {
		t.Error("nothing said, something listed")
	}
	if got := Listed(
		&record.Media{Title: "t", Spelled: []string{"user.dublincore.title", "user.size", "user.media.size", "title"}},
	); !slices.Equal(got, []string{"user.dublincore.title"}) {
		t.Errorf("a record with names of nothing: %v", got)
	}
}

func TestAttributeNames(t *testing.T) {
	m := Assemble(everything())
	for name, c := range map[string]struct {
		known, set bool
	}{
		"user.media.title": {true, true}, "user.xdg.tags": {true, true}, "user.media.facts.width": {true, true}, "user.media.deleted": {true, false}, "user.media.nonsense": {true, false},
		"user.media.favorite": {true, false}, "user.media.error": {true, false}, "user.media.": {true, false}, "title": {}, "user.title": {}, "user.dublincore.format": {}, "security.selinux": {}, "": {},
	} {
		v, known := Attribute(m, name)
		if known != c.known || (v != nil) != c.set {
			t.Errorf("%s: %q, known %v", name, v, known)
		}
	}
	for _, name := range []string{"user.plain", "title", "user.dublincore.subject", "trusted.x", "", "user.dublincore.source"} {
		if _, _, known, err := EditsFor(name, []byte("x"), false); known || err != nil {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
	}
	for _, name := range []string{"user.media.nonsense", "user.media.", "user.media.Title", "user.media.facts"} {
		if _, _, known, err := EditsFor(name, []byte("x"), false); !known || !errors.Is(err, remote.Invalid) ||
			!strings.Contains(err.Error(), "title") {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
	}
	for _, name := range []string{"user.media.error", "user.media.size", "user.media.counts.anonymous", "user.media.comments", "user.media.facts.width"} {
		if _, _, known, err := EditsFor(name, []byte("1"), false); !known || !errors.Is(err, remote.Permission) {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
	}
}

func TestEditsForTrims(t *testing.T) {
	for in, want := range map[string]string{"x": "x", "x\n": "x", "x\x00": "x", "x\r\n\x00": "x", " x ": " x ", "a\r\nb\n": "a\nb", "": "", "\n": ""} {
		edits, _, _, err := EditsFor("user.xdg.comment", []byte(in), false)
		if err != nil || len(edits) != 1 || edits[0].Value != want {
			t.Errorf("%q: %v, %v", in, edits, err)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name, value string
		remove      bool
		want        Request
		kind        error
	}{
		{AttributeFavorite, "1\n", false, Request{Kind: record.AttachedFavorite}, nil},
		{AttributeFavorite, "yes", false, Request{Kind: record.AttachedFavorite}, nil},
		{AttributeFavorite, "ada", false, Request{Kind: record.AttachedFavorite, User: "ada"}, nil},
		{AttributeFavorite, "no", false, Request{Kind: record.AttachedFavorite, Remove: true}, nil},
		{AttributeFavorite, "", true, Request{Kind: record.AttachedFavorite, Remove: true}, nil},
		{AttributeFavorite, "a/b", false, Request{}, remote.Invalid},
		{AttributeFavorite, strings.Repeat("x", 65), false, Request{}, remote.Invalid},
		{AttributeVote, "-3", false, Request{Kind: record.AttachedVote, Value: -3}, nil},
		{AttributeVote, "", true, Request{Kind: record.AttachedVote, Remove: true}, nil},
		{AttributeVote, "good", false, Request{}, remote.Invalid},
		{AttributeVote, "1001", false, Request{}, remote.Invalid},
		{AttributeComment, "nice\r\none\n", false, Request{Kind: record.AttachedComment, Text: "nice\none"}, nil},
		{AttributeComment, " ", false, Request{}, remote.Invalid},
		{AttributeComment, strings.Repeat("x", remote.MaxComment+1), false, Request{}, remote.Invalid},
		{AttributeComment, "", true, Request{}, remote.Permission},
	} {
		edits, attached, known, err := EditsFor(c.name, []byte(c.value), c.remove)
		if c.kind != nil {
			if !known || !errors.Is(err, c.kind) || attached != nil {
				t.Errorf("%s=%.20q: %v %v", c.name, c.value, attached, err)
			}
			continue
		}
		if err != nil || !known || edits != nil || len(attached) != 1 || attached[0] != c.want {
			t.Errorf("%s=%.20q: %v %+v %v", c.name, c.value, edits, attached, err)
			continue
		}
		a, err := attached[0].Attachment("me", now)
		if err != nil || a.Kind != c.want.Kind || a.Remove != c.want.Remove {
			t.Errorf("%s=%.20q: %+v, %v", c.name, c.value, a, err)
		}
		who := c.want.User
		if who == "" {
			who = "me"
		}
		if c.name != AttributeComment && string(a.Which) != who {
			t.Errorf("%s=%.20q is of %q", c.name, c.value, a.Which)
		}
		if _, err := attached[0].Attachment("a/b", now); c.want.User == "" && !errors.Is(err, remote.Invalid) {
			t.Errorf("%s by a caller without a name: %v", c.name, err)
		}
	}
}

// Lists that are too long for an attribute keep their last entries, and stay lists.
func TestLongLists(t *testing.T) {
	var p Parts
	var records [][3][]byte
	for n := range uint64(500) {
		a, err := AttachComment(remote.Comment{Number: n + 1, User: "u", Text: strings.Repeat("x", 1000)})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, [3][]byte{{a.Kind}, a.Which, a.Value})
		p.Names = append(p.Names, "/"+strings.Repeat("d", 1000))
	}
	p.Attached = yielding(records)
	m := Assemble(p)
	v, _ := Attribute(m, "user.media.comments")
	var got []remote.Comment
	if err := json.Unmarshal(v, &got); err != nil || len(v) > MaxValue || len(v) < MaxValue-2000 {
		t.Fatalf("%d bytes: %v", len(v), err)
	}
	if len(got) == 0 || got[len(got)-1].Number != 500 || m.Counts.Comments != 500 {
		t.Errorf("%d comments are shown, %d counted", len(got), m.Counts.Comments)
	}
	if v, _ := Attribute(m, "user.media.paths"); len(v) > MaxValue || len(v) < MaxValue-2000 {
		t.Errorf("paths have %d bytes", len(v))
	}
}

func yielding(records [][3][]byte) func(yield func(kind byte, which, value []byte) bool) {
	return func(yield func(kind byte, which, value []byte) bool) {
		for _, r := range records {
			if !yield(r[0][0], r[1], r[2]) {
				return
			}
		}
	}
}

// An attribute set by a program that knows other rules than ours leaves the record as it was.
func TestRefusedValueChangesNothing(t *testing.T) {
	d := newDrive(t)
	d.apply("user.xdg.tags", "a", false)
	before := proto.CloneOf(d.m)
	if _, _, _, err := EditsFor("user.xdg.tags", []byte("b,c/d"), false); !errors.Is(err, remote.Invalid) {
		t.Error(err)
	}
	if !proto.Equal(before, d.m) {
		t.Errorf("%v", d.m)
	}
}
