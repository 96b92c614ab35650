package media

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// With UPDATE=1 in the environment tests write what they compare with: the golden files, and the
// table in README.md.
var update = os.Getenv("UPDATE") == "1"

// The table and remote.Media are the same: a field that is added to one and not to the other is
// missed by every surface.
func TestTableIsComplete(t *testing.T) {
	all := make(map[string]leaf)
	leaves(reflect.TypeFor[remote.Media](), "", nil, all)
	rowOf := make(map[string]int)
	for _, f := range Fields() {
		rowOf[f.Name]++
		if _, ok := all[f.Name]; !ok {
			t.Errorf("no field of remote.Media is called %s", f.Name)
		}
	}
	for name := range all {
		if rowOf[name] != 1 {
			t.Errorf("%s of remote.Media has %d rows", name, rowOf[name])
		}
	}
}

func TestAttributesAreUnique(t *testing.T) {
	of := make(map[string]string)
	for _, f := range Fields() {
		if !slices.Contains(f.Attributes, AttributePrefix+f.Name) {
			t.Errorf("%s has no attribute of its own name", f.Name)
		}
		for _, a := range f.Attributes {
			if other := of[a]; other != "" {
				t.Errorf("%s is an attribute of %s and %s", a, other, f.Name)
			}
			of[a] = f.Name
			if len(a) > record.MaxName || !strings.HasPrefix(a, "user.") {
				t.Errorf("%s cannot be the name of an attribute", a)
			}
			if got, ok := Lookup(a); !ok || got.Name != f.Name {
				t.Errorf("%s leads to %s", a, got.Name)
			}
		}
	}
	for _, a := range []string{AttributeFavorite, AttributeVote, AttributeComment, AttributeError} {
		if of[a] != "" {
			t.Errorf("%s is taken by %s", a, of[a])
		}
	}
}

// Every row that somebody may write has its place in the record, and says what a value may be.
func TestRowsAreEditable(t *testing.T) {
	for _, f := range Fields() {
		if f.Writer == Nobody {
			if f.Carried {
				t.Errorf("%s is carried to copies and cannot be set there", f.Name)
			}
			continue
		}
		if f.Allowed() == "" {
			t.Errorf("%s does not say what is allowed", f.Name)
		}
		for _, fd := range f.descriptors() {
			if fd == nil {
				t.Fatalf("%s: no %s in the record", f.Name, f.rec)
			}
		}
	}
}

func TestNoIdentityIsCarried(t *testing.T) {
	for _, f := range Fields() {
		if f.Carried &&
			(f.Writer == Owner || f.Type == ID || f.Type == Records || f.Source == FromCounts || f.Source == FromService || f.Source == FromTree) {
			t.Errorf("%s would be copied along with a file", f.Name)
		}
	}
}

func TestOwnerOnly(t *testing.T) {
	for name, want := range map[string]bool{"status": true, "moderation": true, "denied_reason": true, "counts.views": true, "owner.email": true, "user.media.owner.name": true, "live": true,
		"title": false, "user.xdg.tags": false, "hidden": false, "privacy": false, "size": false, "no such": false} {
		if OwnerOnly(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// seedFields are the fields of a media in the documents of the services, apart from those that say
// nothing of a media: keys, tokens, sessions, answers' own states.
var seedFields = map[string]string{
	"filemobile": "id status contenttype filetype context filename injector hits message date title tags extension author metadata uid filesize ofilesize upload location " +
		"originallocation moderationstatus width height length conversiontime converttime lastupdatetime rating votecount externalid parentid user_name user_email user_country " +
		"user_city user_state user_nickname user_firstname user_lastname url vhost language channel channel_shortname channel_name channelleft geo_latitude geo_longitude hidden " +
		"commentcount approvedcomments notdeniedcomments publicUrl thumbUrl moderationdeniedid conversions isLive event group favorite vote comment",
	"mediamanager": "id domain id_owner id_folder title name original_filename mimetype thumbnail path filename abs_path size ext is_ready md5 tags lat lng width height year month " +
		"creation orientation exif module id_object",
	"mediafire": "quickkey filename ready created downloads description size privacy password_protected hash revision filetype mimetype owner_name flag shared_by_user permissions " +
		"parent_folderkey delete_date view edit links one_time artwork mtime file_versions",
	"mediacm": "file_code file_title file_descr snapshot fld_id cat_id tags file_public name canplay views views_started length uploaded downloads size thumbnail link deleted quality progress",
}

func TestEverySeedFieldHasOnePlace(t *testing.T) {
	rows := make(map[string][]string)
	for _, f := range Fields() {
		for _, s := range f.Seeds {
			rows[s] = append(rows[s], f.Name)
			if service, _, ok := strings.Cut(s, ":"); !ok || seedFields[service] == "" {
				t.Errorf("%s of %s is of no service", s, f.Name)
			}
		}
	}
	for service, names := range seedFields {
		for name := range strings.FieldsSeq(names) {
			if got := rows[service+":"+name]; len(got) != 1 {
				t.Errorf("%s of %s is kept in %v", name, service, got)
			}
		}
	}
}

const (
	document    = "README.md"
	tableBegins = "<!-- media model: made by UPDATE=1 go test ./fs/media -->\n"
	tableEnds   = "<!-- end of media model -->\n"
)

// The table in README.md is this package's.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(doc, []byte(tableBegins))
	got, after, ok2 := bytes.Cut(rest, []byte(tableEnds))
	if !ok || !ok2 {
		t.Fatalf("%s has no section for the media model", document)
	}
	want := printTable()
	if string(got) == want {
		return
	}
	if !update {
		t.Fatalf("the media model in %s is not what Fields says; run UPDATE=1 go test ./fs/media", document)
	}
	if err := os.WriteFile(
		document, slices.Concat(before, []byte(tableBegins), []byte(want), []byte(tableEnds), after), 0o644,
	); err != nil {
		t.Fatal(err)
	}
}

// printTable shows the rows for which a service has a field, and then the names of the others.
func printTable() string {
	var b strings.Builder
	b.WriteString("\n| services | field | type | attributes | from | set by |\n|---|---|---|---|---|---|\n")
	var others []string
	for _, f := range Fields() {
		if len(f.Seeds) == 0 {
			others = append(others, "`"+f.Name+"`")
			continue
		}
		kind := f.Type.String()
		if f.Unit != "" {
			kind += ", " + f.Unit
		}
		attributes := "`" + strings.Join(f.Attributes, "`, `") + "`"
		if len(f.Attributes) == 1 {
			attributes = "its own"
		}
		fmt.Fprintf(
			&b, "| %s | `%s` | %s | %s | %s | %s |\n", strings.Join(f.Seeds, ", "), f.Name, kind, attributes, f.Source,
			f.Writer,
		)
	}
	fmt.Fprintf(&b, "\n%s\n\n", wrapped("Fields that no service has, set by nobody: "+strings.Join(others, ", ")+"."))
	return b.String()
}

// wrapped breaks a paragraph at 100 columns.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > 100:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func TestFieldsWithoutServiceAreReadOnly(t *testing.T) {
	for _, f := range Fields() {
		if len(f.Seeds) == 0 && f.Writer != Nobody {
			t.Errorf("the printed table would say that nobody sets %s", f.Name)
		}
	}
}
