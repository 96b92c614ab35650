package media

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// descriptors leads to the field in a record, from the outermost message on.
func (f *Field) descriptors() []protoreflect.FieldDescriptor {
	fds, _ := descriptorsOf.Load(f.rec)
	if fds == nil {
		var list []protoreflect.FieldDescriptor
		md := new(record.Media).ProtoReflect().Descriptor()
		for name := range strings.SplitSeq(f.rec, ".") {
			fd := md.Fields().ByName(protoreflect.Name(name))
			list = append(list, fd)
			md = fd.Message()
		}
		descriptorsOf.Store(f.rec, list)
		fds = list
	}
	return fds.([]protoreflect.FieldDescriptor)
}

var descriptorsOf sync.Map // rec → []protoreflect.FieldDescriptor

// parse reads a value that is set, for a field of a record; an invalid value of protoreflect stands
// for nothing to say.
func (f *Field) parse(s string, fd protoreflect.FieldDescriptor) (none protoreflect.Value, err error) {
	if err := f.checkText(s); err != nil {
		return none, err
	}
	if s == "" {
		return none, nil
	}
	switch f.Type {
	case Text, Lines:
		if f.shape != nil && !f.shape(s) {
			return none, errors.New("it is not of that shape")
		}
		return protoreflect.ValueOfString(s), nil
	case Number:
		n, err := parseBetween(s, f.low, f.high)
		if err != nil {
			return none, err
		}
		return numberValue(n, fd), nil
	case Count:
		n, err := parseBetween(s, 0, math.MaxInt64)
		if err != nil {
			return none, err
		}
		return numberValue(n, fd), nil
	case YesNo:
		yes, err := f.parseBool(s)
		if err != nil || !yes {
			return none, err
		}
		return protoreflect.ValueOfBool(true), nil
	case Choice:
		s = strings.ToLower(s)
		if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < len(f.choices) { // a service's spelling
			s = f.choices[n]
		}
		if !slices.Contains(f.choices, s) {
			return none, errors.New("it is none of the choices")
		}
		return protoreflect.ValueOfString(s), nil
	case Time, Date:
		d, err := parseDate(s)
		if err != nil {
			return none, err
		}
		if f.Type == Time {
			return protoreflect.ValueOfMessage(d.Time.ProtoReflect()), nil
		}
		return protoreflect.ValueOfMessage(d.ProtoReflect()), nil
	case Place:
		p, err := parsePlace(s)
		if err != nil {
			return none, err
		}
		return protoreflect.ValueOfMessage(p.ProtoReflect()), nil
	case JSON:
		if !isObject([]byte(s)) {
			return none, errors.New("it is not a JSON object")
		}
		return protoreflect.ValueOfBytes([]byte(s)), nil
	case ID:
		id, err := hex.DecodeString(s)
		if err != nil || len(id) != record.MediaIDSize {
			return none, errors.New("it is not an id")
		}
		return protoreflect.ValueOfBytes(id), nil
	}
	return none, fmt.Errorf("nothing is read as %s", f.Type)
}

// checkText finds what no value may have in it.
func (f *Field) checkText(s string) error {
	limit := f.max
	if limit == 0 {
		limit = remote.MaxText
	}
	if len(s) > limit {
		return fmt.Errorf("it has %d bytes", len(s))
	}
	for _, r := range s {
		if unicode.IsControl(r) && (f.Type != Lines && f.Type != JSON || r != '\n' && r != '\t') &&
			(f.Type != JSON || r != '\r') {
			return fmt.Errorf("it has the control character %U in it", r)
		}
	}
	return nil
}

func numberValue(n int64, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	default:
		return protoreflect.ValueOfInt64(n)
	}
}

func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("it is not a whole number")
	}
	return n, nil
}

func parseBetween(s string, low, high int64) (int64, error) {
	n, err := parseInt(s)
	if err != nil {
		return 0, err
	}
	if n < low || n > high {
		return 0, errors.New("it is out of range")
	}
	return n, nil
}

// parseBool takes for no and yes also the two choices of the field.
func (f *Field) parseBool(s string) (bool, error) {
	for i, c := range f.choices {
		if strings.EqualFold(s, c) {
			return i == 1, nil
		}
	}
	return parseYesNo(s)
}

func parseYesNo(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "1", "true":
		return true, nil
	case "no", "0", "false":
		return false, nil
	}
	return false, errors.New("it is neither yes nor no")
}

// layouts are the ways in which times are read: first those that name their zone. Fractions of a
// second are taken in each.
var layouts = []struct {
	layout string
	zone   bool
}{
	{time.RFC3339, true},
	{"2006-01-02 15:04:05Z07:00", true},
	{"2006-01-02T15:04:05", false},
	{"2006-01-02 15:04:05", false},
	{"2006:01:02 15:04:05", false}, // EXIF
	{"2006-01-02T15:04", false},
	{"2006-01-02", false},
	{"20060102", false}, // download programs
}

func parseDate(s string) (*record.Date, error) {
	for _, l := range layouts {
		t, err := time.Parse(l.layout, s)
		if err != nil {
			continue
		}
		d := dateRecord(t, l.zone)
		if d == nil || l.zone && d.Zone == nil {
			return nil, errors.New("no calendar has that time")
		}
		return d, nil
	}
	return nil, errors.New("it is not a time")
}

func parsePlace(s string) (*record.Place, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, errors.New("it has not two or three numbers")
	}
	var n [3]float64
	for i, p := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil {
			return nil, errors.New("it is not made of numbers")
		}
		n[i] = v
	}
	p := &remote.Place{Latitude: n[0], Longitude: n[1]}
	if len(parts) == 3 {
		p.Altitude = &n[2]
	}
	rec := placeRecord(p)
	if rec == nil || p.Altitude != nil && rec.Altitude == nil {
		return nil, errors.New("there is no such place on earth")
	}
	return rec, nil
}

// isObject reports whether b is one JSON object.
func isObject(b []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(b), " \t\r\n"), "{") && json.Valid(b)
}

// editTags gives the tags after an edit.
func editTags(old []string, do Do, value string) ([]string, error) {
	return editList(old, do, value, func(s string) (string, error) { return s, checkTag(s) }, remote.MaxTags)
}

// CheckTag says why a text cannot be a tag: kind Invalid.
func CheckTag(tag string) error {
	err := checkTag(tag)
	if err == nil && tag != strings.TrimSpace(tag) {
		err = errors.New("it begins or ends with a space")
	}
	if err != nil {
		return remote.E("tag", clip(tag), remote.Invalid, err).WithHint("allowed: " + lookup("tags").Allowed())
	}
	return nil
}

func checkTag(tag string) error {
	switch {
	case tag == "":
		return errors.New("a tag is not empty")
	case len(tag) > remote.MaxTag:
		return fmt.Errorf("a tag of %d bytes", len(tag))
	case !utf8.ValidString(tag):
		return errors.New("it is not UTF-8")
	case tag == "." || tag == "..":
		return fmt.Errorf("%s cannot be the name of a folder", tag)
	case strings.ContainsAny(tag, "/,"):
		return errors.New("a tag has no '/' and no comma in it")
	case strings.ContainsFunc(tag, unicode.IsControl):
		return errors.New("a tag has no control characters in it")
	}
	return nil
}

func parseWord(s string) (string, error) {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return "", fmt.Errorf("%q cannot be in a word", r)
		}
	}
	if len(s) > maxWord {
		return "", fmt.Errorf("a word of %d bytes", len(s))
	}
	return s, nil
}

// editList edits a list without duplicates by a value of items that commas separate: set replaces
// it, add appends what is not there, remove takes out. Spaces around items do not count, empty
// items neither.
func editList[T comparable](old []T, do Do, value string, parse func(string) (T, error), limit int) ([]T, error) {
	seen := make(map[T]bool)
	var list []T
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		if !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	switch do {
	case Remove:
		return slices.DeleteFunc(slices.Clone(old), func(v T) bool { return seen[v] }), nil
	case Add:
		all := slices.Clone(old)
		for _, v := range list {
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
		list = all
	}
	if len(list) > limit && len(list) > len(old) {
		return nil, fmt.Errorf("that would make %d of them", len(list))
	}
	return list, nil
}

func mediaType(s string) bool {
	t, _, err := mime.ParseMediaType(s)
	return err == nil && strings.Count(t, "/") == 1
}

// language reports whether s looks like a tag of RFC 5646.
func language(s string) bool {
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || i == 0 && len(part) == 1 {
			return false
		}
		for _, r := range part {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
				return false
			}
		}
	}
	return true
}

func twoLetters(s string) bool {
	return len(s) == 2 &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}

// clip shortens a text for an error.
func clip(s string) string { return cut(s, 64) }
