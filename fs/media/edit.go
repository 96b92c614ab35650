package media

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Do says what an edit does to a field. The numbers are part of the format of the outbox.
type Do uint8

// The ways to edit. An empty value that is set clears, but for tags, where it says that there are
// none.
const (
	Set    Do = iota // say this value
	Clear            // say nothing: facts or defaults count again
	Add              // tags, words, numbers: add these; counts: count on; ballots: one vote of this value
	Remove           // tags, words, numbers: take these off
)

var doNames = [...]string{"set", "clear", "add to", "remove from"}

func (d Do) String() string {
	if int(d) < len(doNames) {
		return doNames[d]
	}
	return fmt.Sprintf("do %d to", uint8(d))
}

// An Edit is one change of one field, as text. Field is a name of the table, such as "title" or
// "owner.name"; or the full name of one of its attributes, and then a value that is set is listed
// under that name afterwards: a program that compares attributes finds those it wrote.
type Edit struct {
	Field string
	Do    Do
	Value string
}

// Check says whether edits make sense, whatever they are applied to. Errors: Invalid for a field
// that does not exist, a thing that cannot be done to it, or a value that may not be; Permission
// for a field that nobody sets. Who may edit is not looked at: that is OwnerOnly and the file's
// mode.
func Check(edits []Edit) error {
	for _, e := range edits {
		if err := e.apply(lookup(e.Field), new(record.Media), nil); err != nil {
			return err
		}
	}
	return nil
}

// Apply changes what people say of a media. All edits are applied, or with an error none. Errors:
// those of Check; Invalid for more tags, words or numbers than a media may have; TooLarge when all
// that is said does not fit into one record. When an edit changes a field that whoever may write
// the file may set, Edited becomes now: saying again what is said already changes nothing. Fields
// that a later version knows stay.
func Apply(m *record.Media, now *record.Time, edits []Edit) error {
	c := proto.CloneOf(m)
	for _, e := range edits {
		if err := e.apply(lookup(e.Field), c, now); err != nil {
			return err
		}
	}
	if size := proto.Size(c); size > record.MaxRecord && size > proto.Size(m) {
		return remote.E("edit", edits[len(edits)-1].Field, remote.TooLarge, fmt.Errorf("what is said of the media would take %d bytes", size)).
			WithHint(fmt.Sprintf("all of it together has at most %d bytes", record.MaxRecord))
	}
	proto.Reset(m)
	proto.Merge(m, c)
	return nil
}

// Empty reports whether nothing is said any more, so that the record can go. When something was
// said last is not something said; how many comments there were is, since their numbers are not
// given again.
func Empty(m *record.Media) bool {
	c := &record.Media{Edited: m.GetEdited(), Spelled: m.GetSpelled()}
	return m == nil || proto.Equal(c, m)
}

// SaysSame reports whether two records say the same of a field, which is named as in an Edit. Of a
// field that does not exist they do. A nil record says nothing.
func SaysSame(a, b *record.Media, field string) bool {
	f := lookup(field)
	if f == nil || f.rec == "" {
		return true
	}
	had, was := f.recorded(a)
	has, is := f.recorded(b)
	return had == has && was.Equal(is)
}

// recorded reads what a record says of the field; has is false when that is nothing.
func (f *Field) recorded(m *record.Media) (has bool, v protoreflect.Value) {
	at := m.ProtoReflect()
	fds := f.descriptors()
	for _, fd := range fds[:len(fds)-1] {
		at = at.Get(fd).Message()
	}
	fd := fds[len(fds)-1]
	return at.Has(fd), at.Get(fd)
}

// OverFacts makes edits complete that mean a change of what is shown, where what is shown came from
// facts: a tag that is added to a media or taken off goes by the keywords in its bytes as long as
// nobody said any tags, and an attribute for tags or rating that is removed leaves the media
// without them. Only who has the facts at hand can know, at the time of the change; Apply has them
// not. The edits of a command that clears a field by its name stay: they mean that facts shall
// count again.
func OverFacts(e *record.Media, f *record.Facts, edits []Edit) []Edit {
	keywords := tagsOf(f.GetKeywords())
	said := e.GetTags() != nil
	var all []Edit
	for _, ed := range edits {
		row := lookup(ed.Field)
		switch {
		case row == nil:
		case row.Name == "tags":
			if (ed.Do == Add || ed.Do == Remove) && !said && len(keywords) > 0 {
				for _, k := range keywords {
					all = append(all, Edit{Field: "tags", Do: Add, Value: k})
				}
			}
			if ed.Do == Clear && ed.Field != row.Name && len(keywords) > 0 {
				ed.Do, ed.Value = Set, ""
			}
			said = ed.Do != Clear
		case row.Name == "rating" && ed.Do == Clear && ed.Field != row.Name && f.GetRating() != 0:
			ed.Do, ed.Value = Set, "0"
		}
		all = append(all, ed)
	}
	return all
}

// apply changes m by e, whose row is f. A nil now is for trying.
func (e Edit) apply(f *Field, m *record.Media, now *record.Time) error {
	if f == nil {
		return remote.E(e.Do.String(), clip(e.Field), remote.Invalid, errors.New("a media has no such field")).
			WithHint("fields to edit: " + editable())
	}
	if f.Writer == Nobody {
		return remote.E(
			e.Do.String(), f.Name, remote.Permission, errors.New("nobody sets it, it follows from something else"),
		)
	}
	if e.Do > Remove || !f.does(e.Do) {
		return remote.E(
			e.Do.String(), f.Name, remote.Invalid, fmt.Errorf("that cannot be done to a field of type %s", f.Type),
		)
	}
	changed, err := f.edit(m, e.Do, e.Value)
	if err != nil {
		return remote.E(e.Do.String(), f.Name, remote.Invalid, fmt.Errorf("%q: %w", clip(e.Value), err)).
			WithHint("allowed: " + f.Allowed())
	}
	f.spell(m, e)
	if changed && f.Writer == Writers && now != nil {
		m.Edited = &record.Time{Seconds: now.Seconds, Nanos: now.Nanos}
	}
	return nil
}

// editable names what people edit.
func editable() string {
	var names []string
	for i := range table {
		if table[i].Writer == Writers {
			names = append(names, table[i].Name)
		}
	}
	return strings.Join(names, ", ")
}

func (f *Field) does(d Do) bool {
	switch d {
	case Set:
		return f.Type != Ballot
	case Add:
		return f.Type == Tags || f.Type == Words || f.Type == Numbers || f.Type == Count || f.Type == Ballot
	case Remove:
		return f.Type == Tags || f.Type == Words || f.Type == Numbers
	}
	return true
}

// edit changes the field in m; changed says whether m is another than before.
func (f *Field) edit(m *record.Media, do Do, value string) (changed bool, err error) {
	if !utf8.ValidString(value) { // also of a clear: operations are stored as UTF-8
		return false, errors.New("it is not UTF-8")
	}
	at, fd := f.message(m)
	if do == Clear {
		changed = at.Has(fd)
		at.Clear(fd)
		if f.Type == Ballot {
			m.AnonymousSum = 0
		}
		f.prune(m)
		return changed, nil
	}
	switch f.Type {
	case Tags:
		old := m.GetTags().GetTag()
		list, err := editTags(old, do, value)
		if err != nil {
			return false, err
		}
		if m.Tags == nil && do != Set && len(list) == 0 || m.Tags != nil && slices.Equal(old, list) {
			return false, nil
		}
		if m.Tags == nil {
			m.Tags = new(record.Tags)
		}
		m.Tags.Tag = list
		return true, nil
	case Words:
		list, err := editList(m.Flags, do, value, parseWord, maxWords)
		changed = err == nil && !slices.Equal(m.Flags, list)
		if changed {
			m.Flags = list
		}
		return changed, err
	case Numbers:
		p := &m.Events
		if f.Name == "groups" {
			p = &m.Groups
		}
		list, err := editList(*p, do, value, parseInt, maxNumbers)
		changed = err == nil && !slices.Equal(*p, list)
		if changed {
			*p = list
		}
		return changed, err
	case Ballot:
		n, err := parseBetween(value, -maxVote, maxVote)
		if err != nil {
			return false, err
		}
		if m.Anonymous < math.MaxInt64 {
			m.Anonymous++
			m.AnonymousSum = plus(m.AnonymousSum, n)
		}
		return true, nil
	case Count:
		if do == Add {
			n, err := parseBetween(value, 0, math.MaxInt64)
			if err != nil {
				return false, err
			}
			sum := plus(toInt64(at.Get(fd).Uint()), n)
			at.Set(fd, protoreflect.ValueOfUint64(uint64(sum)))
			return n != 0, nil
		}
	}
	v, err := f.parse(value, fd)
	if err != nil {
		return false, err
	}
	if !v.IsValid() {
		changed = at.Has(fd)
		at.Clear(fd)
		f.prune(m)
		return changed, nil
	}
	changed = !at.Get(fd).Equal(v) || fd.HasPresence() && !at.Has(fd)
	if changed {
		at.Set(fd, v)
		f.prune(m)
	}
	return changed, nil
}

// message finds the message of the record that has the field, and makes it when it is not there.
func (f *Field) message(m *record.Media) (protoreflect.Message, protoreflect.FieldDescriptor) {
	at := m.ProtoReflect()
	fds := f.descriptors()
	for _, fd := range fds[:len(fds)-1] {
		at = at.Mutable(fd).Message()
	}
	return at, fds[len(fds)-1]
}

// prune takes away a person or channel of whom nothing is said.
func (f *Field) prune(m *record.Media) {
	if m.Owner != nil && proto.Size(m.Owner) == 0 {
		m.Owner = nil
	}
	if m.Channel != nil && proto.Size(m.Channel) == 0 {
		m.Channel = nil
	}
}

// spell remembers under which attribute the field was set.
func (f *Field) spell(m *record.Media, e Edit) {
	if !f.Carried || e.Do == Add || e.Do == Remove {
		return
	}
	m.Spelled = slices.DeleteFunc(m.Spelled, func(s string) bool { return slices.Contains(f.Attributes, s) })
	if e.Do == Set && e.Field != f.Name && e.Field != f.Attributes[0] {
		at, _ := slices.BinarySearch(m.Spelled, e.Field)
		m.Spelled = slices.Insert(m.Spelled, at, e.Field)
	}
	if len(m.Spelled) == 0 {
		m.Spelled = nil
	}
}

// plus adds without running over.
func plus(a, b int64) int64 {
	switch sum := a + b; {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	default:
		return sum
	}
}
