package media

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An Attachment is a record that is attached to a media, or one that is taken off: the parts of its
// key and its value.
type Attachment struct {
	Kind   byte   // as in the key: record.AttachedVote…
	Which  []byte // the rest of the key; nil for a comment or link whose number is not given yet
	Value  []byte
	Remove bool
}

// Bounds of what is attached. They keep keys below record.MaxKey.
const (
	maxModule    = 128
	maxObject    = 512
	maxRendition = 128
	maxKind      = 32
)

// CheckUser says why a text cannot be the name of a user: kind Invalid. A user's name is part of
// keys, and of folders in views.
func CheckUser(user string) error {
	var err error
	switch {
	case user == "" || len(user) > remote.MaxUser:
		err = fmt.Errorf("a name of %d bytes", len(user))
	case !utf8.ValidString(user):
		err = errors.New("it is not UTF-8")
	case strings.Contains(user, "/") || strings.ContainsFunc(user, unicode.IsControl):
		err = errors.New("a name has no '/' and no control characters in it")
	case user == "." || user == "..":
		err = fmt.Errorf("%s cannot be the name of a folder", user)
	}
	if err == nil {
		return nil
	}
	return remote.E("user", clip(user), remote.Invalid, err).
		WithHint(fmt.Sprintf("allowed: 1 to %d bytes without '/' and control characters", remote.MaxUser))
}

// AttachFavorite says that a user likes the media. Errors: Invalid for a bad name.
func AttachFavorite(user string, at *record.Time) (Attachment, error) {
	if err := CheckUser(user); err != nil {
		return Attachment{}, err
	}
	return attach(record.AttachedFavorite, []byte(user), &record.Favorite{Time: at})
}

// AttachVote gives a user's vote; it replaces the former. Errors: Invalid for a bad name or a value
// that is beyond 1000 either way.
func AttachVote(user string, value int, at *record.Time) (Attachment, error) {
	if err := CheckUser(user); err != nil {
		return Attachment{}, err
	}
	if value < -maxVote || value > maxVote {
		return Attachment{}, remote.E("vote", user, remote.Invalid, fmt.Errorf("%d is out of range", value)).
			WithHint(fmt.Sprintf("allowed: a whole number from %d to %d", -maxVote, maxVote))
	}
	return attach(record.AttachedVote, []byte(user), &record.Vote{Value: int32(value), Time: at})
}

// AttachComment gives a comment. Its number names it: an edited comment keeps it. Number 0 is the
// next one, which is known only to who makes the change: see Attachment.Number. An empty user is
// nobody known. Errors: Invalid.
func AttachComment(c remote.Comment) (Attachment, error) {
	var err error
	switch text := strings.TrimSpace(c.Text); {
	case text == "":
		err = errors.New("it has no text")
	case len(c.Text) > remote.MaxComment:
		err = fmt.Errorf("its text has %d bytes, at most %d", len(c.Text), remote.MaxComment)
	case !utf8.ValidString(c.Text):
		err = errors.New("it is not UTF-8")
	case strings.ContainsFunc(c.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		err = errors.New("it has control characters in it")
	case c.Moderation < -1 || c.Moderation > 3:
		err = fmt.Errorf("moderation %d is not from -1 to 3", c.Moderation)
	case c.DeniedReason < 0 || c.DeniedReason > remote.MaxDenied:
		err = fmt.Errorf("the reason for denying it, %d, is not from 0 to %d", c.DeniedReason, remote.MaxDenied)
	case c.Number != 0 && c.Answers >= c.Number:
		err = errors.New("it answers a later one")
	case c.User != "":
		if err := CheckUser(c.User); err != nil {
			return Attachment{}, err
		}
	}
	if err != nil {
		return Attachment{}, remote.E("comment", fmt.Sprint(c.Number), remote.Invalid, err)
	}
	return attach(
		record.AttachedComment,
		numberKey(c.Number),
		&record.Comment{User: c.User, Text: c.Text, Time: timeRecord(c.Time), Moderation: int32(c.Moderation),
			DeniedReason: uint32(c.DeniedReason), Answers: c.Answers},
	)
}

// AttachBinding says that an object of a module uses the media. Errors: Invalid.
func AttachBinding(b remote.Binding, at *record.Time) (Attachment, error) {
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"module", b.Module, maxModule}, {"object", b.Object, maxObject}} {
		if err := checkShort(t.what, t.text, t.limit); err != nil || t.text == "" {
			return Attachment{}, remote.E("bind", clip(t.text), remote.Invalid, err).
				WithHint(fmt.Sprintf("a %s is named by 1 to %d bytes", t.what, t.limit))
		}
	}
	return attach(record.AttachedBinding, []byte(b.Module+"\x00"+b.Object), &record.Binding{Time: at})
}

// AttachLink gives an address. Number 0 is the next one, as with comments. Errors: Invalid.
func AttachLink(l remote.Link) (Attachment, error) {
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"kind", l.Kind, maxKind}, {"address", l.URL, remote.MaxText}, {"range of addresses", l.BindIP, remote.MaxText},
		{"address for success", l.SuccessAddress, remote.MaxText}, {"address for errors", l.ErrorAddress, remote.MaxText}} {
		if err := checkShort(t.what, t.text, t.limit); err != nil {
			return Attachment{}, remote.E("link", clip(l.Kind), remote.Invalid, err)
		}
	}
	if l.Kind == "" {
		return Attachment{}, remote.E("link", fmt.Sprint(l.Number), remote.Invalid, errors.New("it has no kind"))
	}
	return attach(
		record.AttachedLink,
		numberKey(l.Number),
		&record.Link{Kind: l.Kind, Url: l.URL, Expires: timeRecord(l.Expires), BurnAfterUse: l.BurnAfterUse,
			BindIp: l.BindIP, Notify: l.Notify, SuccessAddress: l.SuccessAddress, ErrorAddress: l.ErrorAddress},
	)
}

// AttachRendition says what the media was converted to, or is being. A rendition of the same name
// is replaced. Errors: Invalid.
func AttachRendition(r remote.Rendition) (Attachment, error) {
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"name", r.Name, maxRendition}, {"type", r.Type, maxRendition}, {"status", r.Status, maxRendition}, {"address", r.URL, remote.MaxText}} {
		if err := checkShort(t.what, t.text, t.limit); err != nil {
			return Attachment{}, remote.E("rendition", clip(r.Name), remote.Invalid, err)
		}
	}
	id, err := hex.DecodeString(r.MediaID)
	switch {
	case r.Name == "":
		err = errors.New("it has no name")
	case err != nil || len(id) != 0 && len(id) != record.MediaIDSize:
		err = fmt.Errorf("%q is not the id of a media", clip(r.MediaID))
	case !(r.Progress >= 0 && r.Progress <= 100):
		err = fmt.Errorf("its progress %v is not from 0 to 100", r.Progress)
	case r.Size < 0 || !fits(r.Width) || !fits(r.Height) || !(r.Seconds >= 0) || finite(r.Seconds) != r.Seconds:
		err = errors.New("it has a size or duration that cannot be")
	}
	if err != nil {
		return Attachment{}, remote.E("rendition", clip(r.Name), remote.Invalid, err)
	}
	return attach(
		record.AttachedRendition,
		[]byte(r.Name),
		&record.Rendition{
			Type:     r.Type,
			Status:   r.Status,
			Progress: r.Progress,
			Url:      r.URL,
			Media:    id,
			Size: uint64(
				r.Size,
			),
			Width:    uint32(r.Width),
			Height:   uint32(r.Height),
			Seconds:  r.Seconds,
			Finished: timeRecord(r.Finished),
		},
	)
}

// Detach takes off what which names.
func Detach(kind byte, which []byte) Attachment {
	return Attachment{Kind: kind, Which: which, Remove: true}
}

// DetachNumber takes off the comment or link with a number.
func DetachNumber(kind byte, number uint64) Attachment { return Detach(kind, numberKey(number)) }

// Number gives a comment that has none the next number of the media, and counts it there: it is for
// who makes the change, in the transaction that stores both. It reports whether m was changed.
// Links have no counter: their next number is one more than the last that is attached.
func (a *Attachment) Number(m *record.Media) (changed bool) {
	if a.Kind != record.AttachedComment || a.Which != nil || a.Remove {
		return false
	}
	m.Comments++
	a.Which = numberKey(m.Comments)
	return true
}

func attach(kind byte, which []byte, value proto.Message) (Attachment, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(value)
	if err != nil {
		return Attachment{}, remote.E("attach", string(kind), remote.Invalid, err)
	}
	return Attachment{Kind: kind, Which: which, Value: b}, nil
}

func checkShort(what, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("its %s has %d bytes, at most %d", what, len(s), limit)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("its %s has control characters in it, or is not UTF-8", what)
	}
	return nil
}

func fits(n int) bool { return n >= 0 && n <= 1<<31-1 }

func numberKey(n uint64) []byte {
	if n == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, n)
}

func numberOf(which []byte) (uint64, bool) {
	if len(which) != 8 {
		return 0, false
	}
	n := binary.BigEndian.Uint64(which)
	return n, n != 0
}

// FavoriteOf reads who likes a media; ok is false for what no AttachFavorite made. So it is with
// the readers below; what they return is within bounds.
func FavoriteOf(which, value []byte) (user string, ok bool) {
	user = string(which)
	return user, CheckUser(user) == nil && proto.Unmarshal(value, new(record.Favorite)) == nil
}

// VoteOf reads a vote.
func VoteOf(which, value []byte) (v remote.Vote, ok bool) {
	var r record.Vote
	if CheckUser(string(which)) != nil || proto.Unmarshal(value, &r) != nil {
		return v, false
	}
	return remote.Vote{User: string(which), Value: int(r.Value), Time: timeOf(r.Time)}, true
}

// CommentOf reads a comment.
func CommentOf(which, value []byte) (c remote.Comment, ok bool) {
	n, ok := numberOf(which)
	var r record.Comment
	if !ok || proto.Unmarshal(value, &r) != nil {
		return c, false
	}
	return remote.Comment{
		Number:       n,
		User:         line(r.User, remote.MaxUser),
		Text:         paragraph(r.Text, remote.MaxComment),
		Time:         timeOf(r.Time),
		Moderation:   int(r.Moderation),
		DeniedReason: int(min(r.DeniedReason, remote.MaxDenied)),
		Answers:      r.Answers,
	}, true
}

// BindingOf reads a binding.
func BindingOf(which, value []byte) (b remote.Binding, ok bool) {
	module, object, ok := bytes.Cut(which, []byte{0})
	if !ok || proto.Unmarshal(value, new(record.Binding)) != nil {
		return b, false
	}
	return remote.Binding{Module: line(string(module), maxModule), Object: line(string(object), maxObject)}, true
}

// LinkOf reads a link.
func LinkOf(which, value []byte) (l remote.Link, ok bool) {
	n, ok := numberOf(which)
	var r record.Link
	if !ok || proto.Unmarshal(value, &r) != nil {
		return l, false
	}
	return remote.Link{
		Number:         n,
		Kind:           line(r.Kind, maxKind),
		URL:            line(r.Url, remote.MaxText),
		Expires:        timeOf(r.Expires),
		BurnAfterUse:   r.BurnAfterUse,
		BindIP:         line(r.BindIp, remote.MaxText),
		Notify:         r.Notify,
		SuccessAddress: line(r.SuccessAddress, remote.MaxText),
		ErrorAddress:   line(r.ErrorAddress, remote.MaxText),
	}, true
}

// RenditionOf reads a rendition.
func RenditionOf(which, value []byte) (x remote.Rendition, ok bool) {
	var r record.Rendition
	if len(which) == 0 || proto.Unmarshal(value, &r) != nil {
		return x, false
	}
	x = remote.Rendition{
		Name:     line(string(which), maxRendition),
		Type:     line(r.Type, maxRendition),
		Status:   line(r.Status, maxRendition),
		Progress: min(max(finite(r.Progress), 0), 100),
		URL:      line(r.Url, remote.MaxText),
		Size:     toInt64(r.Size),
		Width:    int(r.Width),
		Height:   int(r.Height),
		Seconds:  max(finite(r.Seconds), 0),
		Finished: timeOf(r.Finished),
	}
	if len(r.Media) == record.MediaIDSize {
		x.MediaID = hex.EncodeToString(r.Media)
	}
	return x, true
}

// attachedLimit is how many of a sort a Media carries; all of them count. Of comments the latest
// are kept, of others the first.
const attachedLimit = 1000

// gather puts what is attached into m.
func gather(m *remote.Media, attached func(yield func(kind byte, which, value []byte) bool)) {
	c := &m.Counts
	attached(func(kind byte, which, value []byte) bool {
		switch kind {
		case record.AttachedFavorite:
			if user, ok := FavoriteOf(which, value); ok {
				c.Favorites++
				keep(&m.Favorites, user)
			}
		case record.AttachedVote:
			if v, ok := VoteOf(which, value); ok {
				c.Votes = plus(c.Votes, 1)
				c.VoteSum = plus(c.VoteSum, int64(v.Value))
				keep(&m.Votes, v)
			}
		case record.AttachedComment:
			if x, ok := CommentOf(which, value); ok {
				c.Comments++
				if x.Moderation == 1 {
					c.CommentsApproved++
				}
				if x.Moderation != -1 {
					c.CommentsNotBad++
				}
				if len(m.Comments) == 2*attachedLimit {
					m.Comments = slices.Delete(m.Comments, 0, attachedLimit)
				}
				m.Comments = append(m.Comments, x)
			}
		case record.AttachedBinding:
			if b, ok := BindingOf(which, value); ok {
				keep(&m.Bindings, b)
			}
		case record.AttachedLink:
			if l, ok := LinkOf(which, value); ok {
				keep(&m.Links, l)
			}
		case record.AttachedRendition:
			if r, ok := RenditionOf(which, value); ok {
				keep(&m.Renditions, r)
			}
		}
		return true
	})
	if n := len(m.Comments); n > attachedLimit {
		m.Comments = slices.Delete(m.Comments, 0, n-attachedLimit)
	}
}

func keep[T any](list *[]T, v T) {
	if len(*list) < attachedLimit {
		*list = append(*list, v)
	}
}
