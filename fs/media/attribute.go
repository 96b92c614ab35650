package media

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Attributes that do something to what is attached. They are written only: what they did is read in
// favorites, votes and comments, and none of them is ever listed.
const (
	// set to yes: the caller likes it; to no, or removed: no more; to anything else: the user of
	// that name does
	AttributeFavorite = AttributePrefix + "favorite"
	AttributeVote     = AttributePrefix + "vote"    // set to a number: the caller's vote; removed: none
	AttributeComment  = AttributePrefix + "comment" // set to a text: one comment more, of the caller
)

// AttributeError is where the reason of the last refused change is read: the system calls tell no
// more than a number. The model only keeps the name free; whoever refused knows the text.
const AttributeError = AttributePrefix + "error"

// Attribute is the value of an extended attribute, by its full name, such as "user.media.title". It
// is not known when the name is none of the model's, and then may be that of a plain attribute.
// Known without a value (nil) is not set.
func Attribute(m *remote.Media, name string) (value []byte, known bool) {
	f := lookupAttribute(name)
	if f == nil {
		return nil, strings.HasPrefix(name, AttributePrefix)
	}
	s, ok := f.text(m)
	if !ok {
		return nil, true
	}
	return []byte(s), true
}

// A Request is what setting an attribute does to what is attached: all but who asks and when.
type Request struct {
	Kind   byte   // record.AttachedFavorite, AttachedVote or AttachedComment
	User   string // empty: whoever asks
	Value  int    // of a vote
	Text   string // of a comment
	Remove bool
}

// Attachment is the record that a request means. Errors: those of the constructors.
func (r Request) Attachment(caller string, at *record.Time) (Attachment, error) {
	user := r.User
	if user == "" {
		user = caller
	}
	if r.Remove {
		return Detach(r.Kind, []byte(user)), CheckUser(user)
	}
	switch r.Kind {
	case record.AttachedFavorite:
		return AttachFavorite(user, at)
	case record.AttachedVote:
		return AttachVote(user, r.Value, at)
	default:
		return AttachComment(remote.Comment{User: user, Text: r.Text, Time: timeOf(at)})
	}
}

// EditsFor is what setting or removing an extended attribute means. Known is false for a name that
// is none of the model's: a plain attribute. Zero bytes and newlines at the end of a value do not
// count: setfattr and echo leave them. Errors: Permission for an attribute that is only read,
// Invalid for a value that may not be and for a name below user.media. that no field has; the text
// says what would do. Who asks is not looked at: see OwnerOnly.
//
// A list that is set is replaced. The edits name the attribute rather than the field where it is
// not the field's first, so that it is listed by the same name: see Edit.
func EditsFor(name string, value []byte, remove bool) (edits []Edit, attached []Request, known bool, err error) {
	text := strings.TrimRight(string(value), "\x00\r\n")
	if r, ok, err := request(name, text, remove); ok {
		if err != nil {
			return nil, nil, true, err
		}
		return nil, []Request{r}, true, nil
	}
	f := lookupAttribute(name)
	if f == nil {
		switch {
		case name == AttributeError:
			return nil, nil, true, remote.E("set", name, remote.Permission, errors.New("it is only read"))
		case strings.HasPrefix(name, AttributePrefix):
			return nil, nil, true, remote.E("set", clip(name), remote.Invalid, errors.New("a media has no such field")).
				WithHint("fields to edit: " + editable())
		}
		return nil, nil, false, nil
	}
	if f.Type == Ballot {
		return nil, nil, true, remote.E("set", name, remote.Permission, errors.New("votes are counted, not set"))
	}
	e := Edit{Field: f.Name, Do: Set, Value: text}
	if name != f.Attributes[0] || remove {
		e.Field = name
	}
	if f.Type == Lines {
		e.Value = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if remove {
		e.Do, e.Value = Clear, ""
	}
	if err := Check([]Edit{e}); err != nil {
		return nil, nil, true, err
	}
	return []Edit{e}, nil, true, nil
}

// request reads the attributes that do something to what is attached; ok is false for any other.
func request(name, text string, remove bool) (r Request, ok bool, err error) {
	switch name {
	case AttributeFavorite:
		r = Request{Kind: record.AttachedFavorite, Remove: remove}
		if !remove {
			if yes, err := parseYesNo(text); err == nil {
				r.Remove = !yes
			} else {
				r.User = text
			}
		}
	case AttributeVote:
		r = Request{Kind: record.AttachedVote, Remove: remove}
		if !remove {
			n, err := parseBetween(text, -maxVote, maxVote)
			if err != nil {
				return r, true, remote.E("set", name, remote.Invalid, fmt.Errorf("%q: %w", clip(text), err)).
					WithHint(fmt.Sprintf("allowed: a whole number from %d to %d", -maxVote, maxVote))
			}
			r.Value = int(n)
		}
	case AttributeComment:
		r = Request{Kind: record.AttachedComment, Text: strings.ReplaceAll(text, "\r\n", "\n")}
		if remove {
			return r, true, remote.E(
				"remove", name, remote.Permission, errors.New("a comment is taken back by its number"),
			)
		}
	default:
		return r, false, nil
	}
	_, err = r.Attachment("somebody", nil) // whoever asks will have a name
	return r, true, err
}

// Listed names the attributes that a copy of a media should take along: of what people said of it
// and not of what its bytes say, each under one name. That is the name under which it was set, and
// the desktop's own for what was not set by an attribute. Identities, counts and what services keep
// are not among them. A listed attribute always has a value.
func Listed(e *record.Media) []string {
	if e == nil {
		return nil
	}
	spelled := make(map[*Field]string)
	for _, s := range e.Spelled {
		if f := lookupAttribute(s); f != nil {
			spelled[f] = s
		}
	}
	m := Assemble(Parts{Edits: e})
	var names []string
	for i := range table {
		f := &table[i]
		if !f.Carried || !f.said(e) {
			continue
		}
		if _, ok := f.text(m); !ok {
			continue
		}
		if name, ok := spelled[f]; ok {
			names = append(names, name)
		} else {
			names = append(names, f.Attributes[0])
		}
	}
	return names
}

// said reports whether a record says the field.
func (f *Field) said(e *record.Media) bool {
	at := e.ProtoReflect()
	fds := f.descriptors()
	for _, fd := range fds[:len(fds)-1] {
		at = at.Get(fd).Message()
	}
	return at.Has(fds[len(fds)-1])
}

func lookupAttribute(name string) *Field {
	f := lookup(name)
	if f == nil || f.Name == name || !utf8.ValidString(name) {
		return nil
	}
	return f
}
