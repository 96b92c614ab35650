package media

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// checkMedia fails when a Media breaks what remote promises of one.
func checkMedia(t *testing.T, m *remote.Media) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	if err := json.Unmarshal(b, new(remote.Media)); err != nil {
		t.Fatalf("not read again: %v", err)
	}
	if len(m.Title) > remote.MaxTitle || len(m.Description) > remote.MaxDescription || len(m.Tags) > remote.MaxTags || len(m.Metadata) > remote.MaxMetadata ||
		m.Rating < 0 || m.Rating > remote.MaxRating || m.DeniedReason < 0 || m.DeniedReason > remote.MaxDenied ||
		m.Size < 0 ||
		m.Orientation < 0 ||
		m.Orientation > 8 {
		t.Errorf("out of bounds: %+v", m)
	}
	for _, tag := range m.Tags {
		if err := CheckTag(tag); err != nil {
			t.Error(err)
		}
	}
	for _, f := range Fields() {
		for _, a := range f.Attributes {
			v, known := Attribute(m, a)
			if !known || len(v) > MaxValue || !utf8.Valid(v) || bytes.IndexByte(v, 0) >= 0 {
				t.Errorf("%s: %d bytes, known %v: %.80q", a, len(v), known, v)
			}
			if f.Type == Text && bytes.IndexByte(v, '\n') >= 0 && f.Name != "name" &&
				f.Name != "extension" { // names are the tree's
				t.Errorf("%s has more than a line: %.80q", a, v)
			}
		}
	}
}

// What another machine wrote into the log, whatever it is, is shown or left out.
func FuzzAssemble(f *testing.F) {
	p := everything()
	edits, _ := proto.Marshal(p.Edits) // they were made by Apply
	facts, _ := proto.Marshal(p.Facts)
	f.Add(edits, facts, []byte("ada"), []byte{8, 1}, byte('v'), "/a/b.jpg")
	f.Add([]byte(nil), []byte(nil), []byte{0, 0, 0, 0, 0, 0, 0, 1}, []byte("\x12\x01x"), byte('c'), "")
	f.Add(
		[]byte("\x5a\x0a\x0a\x08\x08\xfe\xff\xff\xff\xff\xff\xff\x7f"),
		[]byte("\x99\x01\x00\x00\x00\x00\x00\x00\xf0\x7f"), []byte("m\x00o"), []byte{}, byte('b'), "\xff",
	)
	// metadata that is not UTF-8
	f.Add([]byte("\x72\x09{\"a\":\"\xff\"}"), []byte(nil), []byte{}, []byte{}, byte(0), "/m")
	f.Fuzz(func(t *testing.T, edits, facts, which, value []byte, kind byte, name string) {
		e, fr := new(record.Media), new(record.Facts)
		if proto.Unmarshal(edits, e) != nil || proto.Unmarshal(facts, fr) != nil {
			return
		}
		p := Parts{
			ID:        which,
			Node:      uint64(len(value)),
			Edits:     e,
			Facts:     fr,
			Names:     []string{name},
			OwnerName: name,
			Versions:  -len(name),
			Rec:       &record.Node{Btime: e.GetEdited(), Mtime: fr.GetRead(), Head: &record.Head{Size: e.GetViews()}},
			Attached: yielding(
				[][3][]byte{{{kind}, which, value}, {{kind}, which, value}},
			),
			Trash: &record.TrashEntry{Name: which, Deleted: e.GetStarted()},
		}
		m := Assemble(p)
		checkMedia(t, m)
		p.Names = nil
		checkMedia(t, Assemble(p))
		for _, a := range Listed(e) {
			if v, known := Attribute(Assemble(Parts{Edits: e}), a); !known || v == nil {
				t.Errorf("%s is listed and has no value", a)
			}
		}
		Empty(e)
		r := FactsRecord(m.Facts, which[:min(len(which), 16)])
		if b, err := proto.Marshal(r); err != nil || len(b) >= 8<<10-96 {
			t.Errorf("a record of %d bytes: %v", len(b), err)
		}
	})
}

// Whatever is written to an attribute is refused whole, or kept within bounds and read back.
func FuzzEditsFor(f *testing.F) {
	for _, row := range Fields() {
		if s := samples[row.Name]; len(s.good) > 0 {
			f.Add(row.Attributes[0], []byte(s.good[0][0]), false)
			f.Add(row.Attributes[0], []byte(s.bad[0]), true)
		}
	}
	f.Add("user.media.favorite", []byte("ada"), false)
	f.Add("user.media.comment", []byte("x"), false)
	f.Add("user.plain", []byte{0xff}, false)
	f.Fuzz(func(t *testing.T, name string, value []byte, remove bool) {
		edits, attached, known, err := EditsFor(name, value, remove)
		if err != nil {
			if !known || remote.KindOf(err) != remote.Invalid && remote.KindOf(err) != remote.Permission ||
				len(err.Error()) > 4096 ||
				edits != nil ||
				attached != nil {
				t.Errorf("%q: known %v, %v", name, known, err)
			}
			return
		}
		for _, r := range attached {
			a, err := r.Attachment("me", now)
			if err != nil || len(a.Value) > record.MaxRecord {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if known && len(edits) == 0 && len(attached) == 0 || !known && strings.HasPrefix(name, AttributePrefix) {
			t.Errorf("%q: nothing is done", name)
		}
		m := proto.CloneOf(everything().Edits)
		if err := Apply(m, now, edits); err != nil {
			t.Fatalf("%v: checked, then %v", edits, err)
		}
		b, err := proto.Marshal(m)
		if err != nil || len(b) > record.MaxRecord {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		shown := Assemble(Parts{Edits: m})
		checkMedia(t, shown)
		if len(edits) != 1 {
			return
		}
		// What is read can be written, and reads the same.
		v, _ := Attribute(shown, name)
		if v == nil {
			return
		}
		again, _, _, err := EditsFor(name, v, false)
		if err != nil {
			t.Fatalf("%s shows %.80q: %v", name, v, err)
		}
		if err := Apply(m, now, again); err != nil {
			t.Fatal(err)
		}
		w, _ := Attribute(Assemble(Parts{Edits: m}), name)
		if !bytes.Equal(v, w) {
			t.Errorf("%s: %.80q, then %.80q", name, v, w)
		}
	})
}

// Edits that come out of a log or an outbox need not have been checked by this version.
func FuzzApply(f *testing.F) {
	f.Add([]byte(nil), "tags", byte(Add), "a,b")
	f.Add([]byte("\x22\x00"), "owner.name", byte(Clear), "")
	f.Add([]byte("\xb0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "counts.anonymous", byte(Add), "-7")
	f.Add([]byte("\xfa\x3f\x03new"), "user.dublincore.title", byte(Set), "t")
	f.Fuzz(func(t *testing.T, rec []byte, field string, do byte, value string) {
		m := new(record.Media)
		if proto.Unmarshal(rec, m) != nil {
			return
		}
		before := proto.CloneOf(m)
		edits := []Edit{{field, Do(do), value}}
		err := Apply(m, now, edits)
		if err != nil {
			if !proto.Equal(m, before) {
				t.Errorf("refused (%v), and changed", err)
			}
			return
		}
		if !bytes.Equal(m.ProtoReflect().GetUnknown(), before.ProtoReflect().GetUnknown()) {
			t.Error("unknown fields are gone")
		}
		if proto.Size(m) > max(record.MaxRecord, len(rec)) {
			t.Errorf("a record of %d bytes", proto.Size(m))
		}
		if err := Apply(before, now, edits); err != nil || !proto.Equal(m, before) {
			t.Errorf("twice the same is not the same: %v", err)
		}
		if err := Apply(m, now, OverFacts(m, FactsRecord(fullFacts(), nil), edits)); err != nil &&
			remote.KindOf(err) == remote.Other {
			t.Error(err)
		}
		checkMedia(t, Assemble(Parts{Edits: m}))
	})
}
