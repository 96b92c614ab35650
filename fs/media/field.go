package media

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"mediafs/remote"
)

// AttributePrefix begins the names of the model's own extended attributes.
const AttributePrefix = "user.media."

// A Field is one row of the table of what is known of a media.
type Field struct {
	Name string // path of JSON names in remote.Media, dotted: "title", "owner.name", "facts.width"
	Type Type   // how its text reads
	Unit string // of a number; empty for none
	// extended attributes it can be read and set under; a value that was set by Name is listed
	// under the first
	Attributes []string
	Source     Source
	Writer     Writer
	// listed among the extended attributes when people said it, so that copying programs take it
	// along
	Carried bool
	Seeds   []string // fields of services that it stands for: service, colon, name

	rec     string // path in record.Media; empty: no edit sets it
	max     int    // bytes of a text
	low     int64  // of a number
	high    int64
	choices []string // values of a choice, or words for no and yes
	shape   func(string) bool
	saying  string // what shape wants

	index []int // path in remote.Media
	zero  bool  // shown also when it is zero
}

// A Type is a way in which values are written as text.
type Type uint8

// The types. Reading is generous where that is said, writing always gives the first form.
const (
	Text    Type = iota // one line of UTF-8 without control characters
	Lines               // the same, with newlines and tabs
	Tags                // comma separated, without '/', in order, none twice
	Words               // comma separated: lower case letters, digits, '-'
	Names               // one per line
	Numbers             // whole numbers, comma separated
	Number              // a whole number, decimal
	Count               // the same, not negative; Add counts on
	Ballot              // a Count of votes; Add is one vote with that value
	Decimal             // a number with a point, no exponent
	YesNo               // yes or no; reads 1, 0, true and false too
	Choice              // one of few words
	Time                // RFC 3339; reads dates and clock times without a zone too, as UTC
	Date                // the same; without a zone where none is known
	Place               // latitude,longitude or latitude,longitude,altitude
	JSON                // a JSON object
	ID                  // of a media, 32 hex digits
	Records             // a JSON list of objects
)

var typeNames = [...]string{
	"text", "lines", "tags", "words", "names", "numbers", "number", "count", "ballot", "decimal", "yes or no", "choice",
	"time", "date", "place", "json", "id", "records",
}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// A Source says where a field's value comes from first.
type Source uint8

// The sources. People win over facts where a field has both.
const (
	FromTree    Source = iota // what stat(2) tells, and names
	FromFacts                 // the bytes
	FromPeople                // edits
	FromCounts                // counted by the library
	FromService               // said by a service, or on its behalf
)

var sourceNames = [...]string{"tree", "facts", "people", "counts", "service"}

func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown"
}

// A Writer says who may set a field.
type Writer uint8

// The writers.
const (
	Nobody  Writer = iota // it follows from something else
	Writers               // whoever may write the file
	Owner                 // the file's owner and root
)

var writerNames = [...]string{"nobody", "writers", "owner"}

func (w Writer) String() string {
	if int(w) < len(writerNames) {
		return writerNames[w]
	}
	return "unknown"
}

// Allowed says for people what a value may be; it is part of the error about one that may not.
func (f *Field) Allowed() string {
	switch f.Type {
	case Text:
		if f.saying != "" {
			return f.saying
		}
		return fmt.Sprintf("one line of at most %d bytes, without control characters", f.max)
	case Lines:
		return fmt.Sprintf("text of at most %d bytes, without control characters but newline and tab", f.max)
	case Tags:
		return fmt.Sprintf(
			"at most %d tags, comma separated, of at most %d bytes each, without '/' and control characters, not . or ..",
			remote.MaxTags, remote.MaxTag,
		)
	case Words:
		return fmt.Sprintf(
			"at most %d words, comma separated, of at most %d letters a-z, digits and '-' each", maxWords, maxWord,
		)
	case Numbers:
		return fmt.Sprintf("at most %d whole numbers, comma separated", maxNumbers)
	case Number:
		if f.low == math.MinInt64 {
			return "a whole number"
		}
		return fmt.Sprintf("a whole number from %d to %d", f.low, f.high)
	case Count:
		return "a whole number, not negative"
	case Ballot:
		return fmt.Sprintf("one vote more: a whole number from %d to %d", -maxVote, maxVote)
	case YesNo:
		if len(f.choices) == 2 {
			return "yes or no, 1 or 0, true or false, " + f.choices[1] + " or " + f.choices[0]
		}
		return "yes or no, 1 or 0, true or false"
	case Choice:
		return strings.Join(f.choices, " or ")
	case Time, Date:
		return "a time such as 2024-05-01T10:00:00+02:00, 2024-05-01 10:00:00 or 2024-05-01"
	case Place:
		return "latitude,longitude or latitude,longitude,altitude: degrees from -90 to 90 and -180 to 180, north and east positive, and metres"
	case JSON:
		return fmt.Sprintf("a JSON object of at most %d bytes", f.max)
	case ID:
		return "a media id, 32 hex digits"
	}
	return ""
}

// Fields is the table, in the order in which a media is shown. Its rows are not to be changed.
func Fields() []Field { return slices.Clone(table) }

// Lookup finds a row by the field's name or by the full name of one of its attributes.
func Lookup(name string) (Field, bool) {
	f := lookup(name)
	if f == nil {
		return Field{}, false
	}
	return *f, true
}

// OwnerOnly reports whether only the file's owner and root may set a field. Like an edit's field it
// may be an attribute's name. Hidden and privacy are not among them: who may write a file may also
// say who is shown it.
func OwnerOnly(field string) bool {
	f := lookup(field)
	return f != nil && f.Writer == Owner
}

func lookup(name string) *Field {
	i, ok := rows[name]
	if !ok {
		return nil
	}
	return &table[i]
}

// rows leads from names of fields and of attributes to the place in the table. The two never meet:
// attributes begin with "user.", and no field is called user.
var (
	table = complete(
		slices.Concat(identityFields, contentFields, descriptionFields, stateFields, attachedFields, factsFields),
	)
	rows = index(table)
)

// complete gives each row what follows from its name.
func complete(fields []Field) []Field {
	where := make(map[string]leaf)
	leaves(reflect.TypeFor[remote.Media](), "", nil, where)
	for i := range fields {
		f := &fields[i]
		l := where[f.Name]
		f.index = l.index
		f.zero = l.zero && f.Name != "rating" // no stars is not rated
		if own := AttributePrefix + f.Name; !slices.Contains(f.Attributes, own) {
			f.Attributes = append(slices.Clip(f.Attributes), own)
		}
		if f.Writer != Nobody && f.rec == "" {
			f.rec = f.Name
		}
	}
	return fields
}

func index(fields []Field) map[string]int {
	m := make(map[string]int)
	for i, f := range fields {
		m[f.Name] = i
		for _, a := range f.Attributes {
			m[a] = i
		}
	}
	return m
}

// A leaf is a field of remote.Media that is not a group of others.
type leaf struct {
	index []int
	zero  bool // encoded also when it is zero
}

// leaves lists the fields of a struct under their JSON names. Persons, channels, counts and facts
// are groups; a place is one value.
func leaves(t reflect.Type, prefix string, at []int, to map[string]leaf) {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		path := append(slices.Clone(at), i)
		switch sf.Type {
		case reflect.TypeFor[remote.Person](), reflect.TypeFor[remote.Channel](), reflect.TypeFor[remote.Counts]():
			leaves(sf.Type, prefix+name+".", path, to)
		case reflect.TypeFor[*remote.MediaFacts]():
			leaves(sf.Type.Elem(), prefix+name+".", path, to)
		default:
			to[prefix+name] = leaf{index: path, zero: !strings.Contains(options, "omit")}
		}
	}
}
