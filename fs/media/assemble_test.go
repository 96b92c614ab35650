package media

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// everything is a media with a value in every field.
func everything() Parts {
	facts := FactsRecord(fullFacts(), []byte("0123456789abcdef"))
	facts.Sha256, facts.Md5, facts.Document = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16), []byte(
		"content id",
	)
	m := &record.Media{Comments: 3}
	var edits []Edit
	for _, f := range Fields() {
		if s := samples[f.Name]; len(s.good) > 0 {
			edits = append(edits, Edit{f.Name, Set, s.good[0][0]})
		}
	}
	edits = append(edits, Edit{"counts.anonymous", Add, "4"})
	if err := Apply(m, now, edits); err != nil {
		panic(err)
	}
	var records [][3][]byte
	for _, made := range []made{
		first(AttachBinding(remote.Binding{Module: "blog", Object: "post/7"}, now)),
		first(AttachComment(remote.Comment{Number: 1, User: "ada", Text: "nice", Time: when, Moderation: 1})),
		first(AttachComment(remote.Comment{Number: 3, Text: "not nice", Moderation: -1, DeniedReason: 2, Answers: 1})),
		first(AttachFavorite("ada", now)),
		first(AttachFavorite("grace, h", now)),
		first(AttachLink(remote.Link{Number: 1, Kind: "view", URL: "https://example.org/v"})),
		first(AttachRendition(remote.Rendition{Name: "720p", Status: "ENCODING", Progress: 15})),
		first(AttachVote("ada", 5, now)),
	} {
		if made.err != nil {
			panic(made.err)
		}
		records = append(records, [3][]byte{{made.a.Kind}, made.a.Which, made.a.Value})
	}
	records = append(
		records, [3][]byte{{record.AttachedVote}, []byte("bad/user"), nil},
		[3][]byte{{'?'}, []byte("later"), []byte("x")}, [3][]byte{{record.AttachedComment}, []byte("short"), nil},
	)
	return Parts{
		ID:     bytes.Repeat([]byte{0xab}, 16),
		Node:   1<<40 | 7,
		Folder: 1<<40 | 5,
		Rec: &record.Node{
			Uid:   1000,
			Head:  &record.Head{Size: 4096},
			Btime: &record.Time{Seconds: 1600000000},
			Mtime: &record.Time{Seconds: 1500000000, Nanos: 123456789},
		},
		Names:       []string{"/films/My Film.MP4", "/other\nname"},
		Edits:       m,
		Facts:       facts,
		Attached:    yielding(records),
		Versions:    2,
		LastVersion: 9,
		External:    true,
		OwnerName:   "local",
	}
}

func TestAssembleGolden(t *testing.T) {
	p := everything()
	before := proto.CloneOf(p.Edits)
	m := Assemble(p)
	got, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "media.json")
	if update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("a media with everything is not what %s says:\n%s", golden, got)
	}
	if !proto.Equal(before, p.Edits) {
		t.Error("putting a media together changed what people said")
	}
	for _, f := range Fields() {
		if v, _ := Attribute(m, AttributePrefix+f.Name); v == nil && f.Name != "deleted" {
			t.Errorf("%s of a media with everything is not set", f.Name)
		}
	}
}

// The attributes of a media with everything, so that the text of each type is seen once.
func TestAttributesGolden(t *testing.T) {
	m := Assemble(everything())
	var got bytes.Buffer
	for _, f := range Fields() {
		v, _ := Attribute(m, AttributePrefix+f.Name)
		got.WriteString(f.Name + "=" + string(bytes.ReplaceAll(v, []byte("\n"), []byte("\\n"))) + "\n")
	}
	golden := filepath.Join("testdata", "attributes.txt")
	if update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the attributes are not what %s says:\n%s", golden, got.Bytes())
	}
}

func TestAssembleOfLittle(t *testing.T) {
	m := Assemble(Parts{})
	if m.Context != 1 || !m.Ready || m.Revision != 1 || m.Facts != nil || m.Tags != nil || !m.Modified.IsZero() ||
		m.Owner != (remote.Person{}) {
		t.Errorf("of nothing: %+v", m)
	}
	m = Assemble(
		Parts{
			Trash:     &record.TrashEntry{Parent: 5, Name: []byte("a\xff.JPEG"), Deleted: now},
			Rec:       &record.Node{Uid: 7},
			OwnerName: "joe",
			Pending:   true,
		},
	)
	if m.Name != "a\uFFFD.JPEG" || m.Extension != "jpeg" || m.FolderID != "5" || !m.Deleted.Equal(when) ||
		m.Owner.ID != "7" ||
		m.Owner.Name != "joe" ||
		m.Ready ||
		m.Paths != nil {
		t.Errorf("in the trash: %+v", m)
	}
	for name, want := range map[string]string{"/a/.hidden": "", "/a.b/c": "", "/x.tar.GZ": "gz", "/x.": "", "rel.Txt": "txt"} {
		if m := Assemble(Parts{Names: []string{name}}); m.Extension != want || m.Paths[0][0] != '/' {
			t.Errorf("%s: %q %q", name, m.Extension, m.Paths)
		}
	}
}

func TestReady(t *testing.T) {
	m := new(record.Media)
	mustApply(t, m, Edit{"status", Set, "5"})
	if Assemble(Parts{Edits: m}).Ready {
		t.Error("a cancelled upload is ready")
	}
	mustApply(t, m, Edit{"status", Set, "3"})
	if !Assemble(Parts{Edits: m}).Ready || Assemble(Parts{Edits: m, Pending: true}).Ready {
		t.Error("ready")
	}
}

// Who the owner is comes from one source: a service's person never gets the name of the local user
// beside it.
func TestOwner(t *testing.T) {
	n := &record.Node{Uid: 1000}
	for _, c := range []struct {
		e    *record.Person
		want remote.Person
	}{
		{nil, remote.Person{ID: "1000", Name: "local"}},
		{&record.Person{City: "Paris"}, remote.Person{ID: "1000", Name: "local", City: "Paris"}},
		{&record.Person{Id: "802456"}, remote.Person{ID: "802456"}},
		{&record.Person{Name: "dave"}, remote.Person{ID: "1000", Name: "dave"}},
	} {
		if got := owner(n, "local", c.e); got != c.want {
			t.Errorf("%v: %+v", c.e, got)
		}
	}
}

func TestClassFollowsType(t *testing.T) {
	facts := FactsRecord(fullFacts(), nil)
	m := new(record.Media)
	if c := Assemble(Parts{Edits: m, Facts: facts}).Class; c != remote.ClassVideo {
		t.Errorf("of facts: %q", c)
	}
	for typ, want := range map[string]remote.Class{"audio/ogg": remote.ClassAudio, "image/png": remote.ClassImage, "text/html": remote.ClassDocument, "application/x-thing": remote.ClassVideo} {
		mustApply(t, m, Edit{"type", Set, typ})
		if c := Assemble(Parts{Edits: m, Facts: facts}).Class; c != want {
			t.Errorf("of %s: %q", typ, c)
		}
	}
}

func TestYearWithoutATime(t *testing.T) {
	m := Assemble(Parts{Facts: FactsRecord(&remote.MediaFacts{Year: 1999}, nil)})
	if m.Year != 1999 || m.Month != 0 || !m.Taken.Equal(time.Time{}) {
		t.Errorf("%d %d %v", m.Year, m.Month, m.Taken)
	}
}
