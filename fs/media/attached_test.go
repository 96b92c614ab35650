package media

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

var when = time.Date(2024, 5, 1, 10, 0, 0, 5, time.UTC)

func TestAttachedRoundTrip(t *testing.T) {
	comment := remote.Comment{
		Number:       3,
		User:         "ada",
		Text:         "two\nlines",
		Time:         when,
		Moderation:   -1,
		DeniedReason: 14,
		Answers:      2,
	}
	link := remote.Link{
		Number:         1,
		Kind:           "one-time-view",
		URL:            "https://example.org/?t=1",
		Expires:        when,
		BurnAfterUse:   true,
		BindIP:         "10.0.0.0/8, 1.2.3.4",
		Notify:         true,
		SuccessAddress: "https://example.org/ok",
		ErrorAddress:   "https://example.org/no",
	}
	rendition := remote.Rendition{
		Name:     "1080p",
		Type:     "video/mp4",
		Status:   "OK",
		Progress: 99.5,
		URL:      "https://example.org/v",
		MediaID:  someID,
		Size:     9,
		Width:    1,
		Height:   2,
		Seconds:  3.5,
		Finished: when,
	}
	for _, c := range []struct {
		a    Attachment
		err  error
		want any
		read func(which, value []byte) (any, bool)
	}{
		first(AttachFavorite("ada", now)).with("ada", func(w, v []byte) (any, bool) { return two(FavoriteOf(w, v)) }),
		first(AttachVote("ada", -5, now)).with(remote.Vote{User: "ada", Value: -5, Time: when}, func(w, v []byte) (any, bool) { return two(VoteOf(w, v)) }),
		first(AttachComment(comment)).with(comment, func(w, v []byte) (any, bool) { return two(CommentOf(w, v)) }),
		first(AttachBinding(remote.Binding{Module: "blog", Object: "post/7"}, now)).with(remote.Binding{Module: "blog", Object: "post/7"}, func(w, v []byte) (any, bool) { return two(BindingOf(w, v)) }),
		first(AttachLink(link)).with(link, func(w, v []byte) (any, bool) { return two(LinkOf(w, v)) }),
		first(AttachRendition(rendition)).with(rendition, func(w, v []byte) (any, bool) { return two(RenditionOf(w, v)) }),
	} {
		if c.err != nil {
			t.Error(c.err)
			continue
		}
		if got, ok := c.read(c.a.Which, c.a.Value); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%c: %+v, not %+v", c.a.Kind, got, c.want)
		}
		if _, ok := c.read(c.a.Which, []byte{0xff}); ok {
			t.Errorf("%c: half a record is read", c.a.Kind)
		}
		if _, ok := c.read(nil, c.a.Value); ok {
			t.Errorf("%c: a record without a key is read", c.a.Kind)
		}
		if len(record.AttachedKey(make([]byte, record.MediaIDSize), c.a.Kind, c.a.Which...)) > record.MaxKey {
			t.Errorf("%c: the key is too long", c.a.Kind)
		}
	}
}

type made struct {
	a   Attachment
	err error
}

func first(a Attachment, err error) made { return made{a, err} }

func (m made) with(want any, read func(which, value []byte) (any, bool)) struct {
	a    Attachment
	err  error
	want any
	read func(which, value []byte) (any, bool)
} {
	return struct {
		a    Attachment
		err  error
		want any
		read func(which, value []byte) (any, bool)
	}{m.a, m.err, want, read}
}

func two[T any](v T, ok bool) (any, bool) { return v, ok }

func TestAttachedRefuses(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for i, err := range []error{
		second(AttachFavorite("", now)), second(AttachFavorite("a/b", now)), second(AttachFavorite("a\x00b", now)), second(AttachFavorite("a\nb", now)), second(AttachFavorite("..", now)),
		second(AttachFavorite(strings.Repeat("x", remote.MaxUser+1), now)), second(AttachFavorite("\xff", now)),
		second(AttachVote("", 1, now)), second(AttachVote("a", 1001, now)), second(AttachVote("a", math.MinInt, now)),
		second(AttachComment(remote.Comment{})), second(AttachComment(remote.Comment{Text: " \n"})), second(AttachComment(remote.Comment{Text: long + long})), second(AttachComment(remote.Comment{Text: "\x1b"})),
		second(AttachComment(remote.Comment{Text: "\xff"})), second(AttachComment(remote.Comment{Text: "x", Moderation: 4})), second(AttachComment(remote.Comment{Text: "x", Moderation: -2})),
		second(AttachComment(remote.Comment{Text: "x", DeniedReason: 15})), second(AttachComment(remote.Comment{Text: "x", DeniedReason: -1})), second(AttachComment(remote.Comment{Text: "x", User: "a/b"})),
		second(AttachComment(remote.Comment{Text: "x", Number: 2, Answers: 2})),
		second(AttachBinding(remote.Binding{Module: "m"}, now)), second(AttachBinding(remote.Binding{Object: "o"}, now)), second(AttachBinding(remote.Binding{Module: "m\x00", Object: "o"}, now)),
		second(AttachBinding(remote.Binding{Module: "m", Object: long}, now)),
		second(AttachLink(remote.Link{})), second(AttachLink(remote.Link{Kind: "view", URL: long})), second(AttachLink(remote.Link{Kind: "view\n"})), second(AttachLink(remote.Link{Kind: "view", BindIP: "\xff"})),
		second(AttachRendition(remote.Rendition{})), second(AttachRendition(remote.Rendition{Name: "h", Progress: 101})), second(AttachRendition(remote.Rendition{Name: "h", Progress: math.NaN()})),
		second(AttachRendition(remote.Rendition{Name: "h", MediaID: "x"})), second(AttachRendition(remote.Rendition{Name: "h", Size: -1})), second(AttachRendition(remote.Rendition{Name: "h", Width: math.MaxInt})),
		second(AttachRendition(remote.Rendition{Name: "h", Seconds: math.Inf(1)})), second(AttachRendition(remote.Rendition{Name: long})),
	} {
		if !errors.Is(err, remote.Invalid) {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

func second(_ Attachment, err error) error { return err }

func TestCommentNumbers(t *testing.T) {
	m := new(record.Media)
	for n := uint64(1); n < 4; n++ {
		a, err := AttachComment(remote.Comment{User: "u", Text: "x"})
		if err != nil || a.Which != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		if !a.Number(m) || a.Number(m) {
			t.Error("a comment has one number")
		}
		if c, ok := CommentOf(a.Which, a.Value); !ok || c.Number != n || m.Comments != n {
			t.Errorf("the number is %d, the count %d", c.Number, m.Comments)
		}
	}
	off := DetachNumber(record.AttachedComment, 2)
	if !off.Remove || off.Number(m) || m.Comments != 3 || len(off.Which) != 8 {
		t.Errorf("%+v", off)
	}
	vote, _ := AttachVote("u", 1, now) // a good one, see above
	if vote.Number(m) {
		t.Error("a vote has no number")
	}
}

func TestManyAttached(t *testing.T) {
	var records [][3][]byte
	add := func(a Attachment, err error) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, [3][]byte{{a.Kind}, a.Which, a.Value})
	}
	const n = 5*attachedLimit + 3
	for i := range n {
		add(AttachComment(remote.Comment{Number: uint64(i + 1), Text: "x", Moderation: i%3 - 1}))
		add(AttachVote("user"+numbers(i % 7)[:min(5, len(numbers(i%7)))]+time.Duration(i).String(), 2, nil))
	}
	m := Assemble(Parts{Attached: yielding(records)})
	if len(m.Comments) != attachedLimit || m.Comments[attachedLimit-1].Number != n ||
		m.Comments[0].Number != n-attachedLimit+1 {
		t.Errorf("%d comments, the first %d", len(m.Comments), m.Comments[0].Number)
	}
	if c := m.Counts; len(m.Votes) != attachedLimit || c.Votes != n || c.VoteSum != 2*n || c.Comments != n ||
		c.CommentsApproved != n/3 ||
		c.CommentsNotBad != n-(n+2)/3 {
		t.Errorf("%+v, %d votes", c, len(m.Votes))
	}
}
