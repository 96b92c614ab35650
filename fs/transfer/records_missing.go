package transfer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mediafs/fs/media"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// maxFillers is how many numbers of comments that were deleted are passed over, and how many votes
// of nobody known are counted on, for one media.
const maxFillers = 1000

// A saying is what one media lacks of what an export says of it.
type saying struct {
	there, now *remote.Media
	here       map[string]string // media id there → here
	given      uint64            // numbers of comments that were given here
	item       RecordsItem
	left       []string // what could not be said, and why
}

// mediaIDFields name other media of the same library.
var mediaIDFields = map[string]bool{"copied_from": true, "parent_id": true, "artwork": true}

func (s *saying) edits(wanted, said map[string]string) {
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		value := wanted[field]
		if mediaIDFields[field] && value != "" {
			if value = s.here[value]; value == "" {
				s.left = append(s.left, field+": it names a media that is not here")
				continue
			}
		}
		now, is := said[field]
		switch {
		case is && now == value:
		case field == "counts.anonymous":
			s.votesOfNobody()
		default:
			e := media.Edit{Field: field, Value: value}
			if err := media.Check([]media.Edit{e}); err != nil {
				s.left = append(s.left, err.Error())
				continue
			}
			s.item.Edits = append(s.item.Edits, e)
		}
	}
}

// votesOfNobody counts on the votes of nobody known, with the sum that they have there.
func (s *saying) votesOfNobody() {
	sum := func(m *remote.Media) (n int64) {
		n = m.Counts.VoteSum
		for _, v := range m.Votes {
			n -= int64(v.Value)
		}
		return n
	}
	more := s.there.Counts.Anonymous - s.now.Counts.Anonymous
	if more <= 0 {
		return
	}
	if more > maxFillers {
		s.left = append(s.left, fmt.Sprintf("%d votes of nobody known: at most %d can be counted on", more, maxFillers))
		return
	}
	rest := sum(s.there) - sum(s.now)
	for ; more > 0; more-- {
		value := rest / more
		rest -= value
		s.item.Edits = append(
			s.item.Edits, media.Edit{Field: "counts.anonymous", Do: media.Add, Value: strconv.FormatInt(value, 10)},
		)
	}
}

func (s *saying) attach(a media.Attachment, err error) {
	if err != nil {
		s.left = append(s.left, err.Error())
		return
	}
	s.item.Attached = append(s.item.Attached, a)
}

// lacking gives what is there and not in now.
func lacking[T comparable](there, now []T) (lacks []T) {
	for _, v := range there {
		if !slices.Contains(now, v) {
			lacks = append(lacks, v)
		}
	}
	return lacks
}

func (s *saying) attached() {
	for _, user := range lacking(s.there.Favorites, s.now.Favorites) {
		s.attach(media.AttachFavorite(user, nil))
	}
	for _, v := range s.there.Votes {
		if !slices.ContainsFunc(
			s.now.Votes, func(now remote.Vote) bool { return now.User == v.User && now.Value == v.Value },
		) {
			var at *record.Time
			if !v.Time.IsZero() {
				at = &record.Time{Seconds: v.Time.Unix(), Nanos: uint32(v.Time.Nanosecond())}
			}
			s.attach(media.AttachVote(v.User, v.Value, at))
		}
	}
	for _, b := range lacking(s.there.Bindings, s.now.Bindings) {
		s.attach(media.AttachBinding(b, nil))
	}
	for _, l := range s.there.Links {
		same := func(now remote.Link) bool {
			now.Number = l.Number
			return now.Expires.Equal(l.Expires) && equalJSON(now, l)
		}
		if slices.ContainsFunc(s.now.Links, same) {
			continue
		}
		if slices.ContainsFunc(s.now.Links, func(now remote.Link) bool { return now.Number == l.Number }) {
			l.Number = 0 // another has it
		}
		s.attach(media.AttachLink(l))
	}
	for _, r := range s.there.Renditions {
		r.MediaID = s.here[r.MediaID]
		if !slices.ContainsFunc(s.now.Renditions, func(now remote.Rendition) bool { return equalJSON(now, r) }) {
			s.attach(media.AttachRendition(r))
		}
	}
	s.comments()
}

// comments keeps their numbers where these are free, also by passing over those of comments that
// were deleted: answers name them.
func (s *saying) comments() {
	cs := slices.Clone(s.there.Comments)
	slices.SortFunc(cs, func(a, b remote.Comment) int { return cmp.Compare(a.Number, b.Number) })
	for _, c := range cs {
		if slices.ContainsFunc(s.now.Comments, func(now remote.Comment) bool {
			return now.User == c.User && now.Text == c.Text && now.Time.Equal(c.Time) &&
				now.Moderation == c.Moderation &&
				now.DeniedReason == c.DeniedReason
		}) {
			continue
		}
		taken := slices.ContainsFunc(s.now.Comments, func(now remote.Comment) bool { return now.Number == c.Number })
		if c.Number <= s.given && !taken && c.Number != 0 {
			s.attach(media.AttachComment(c)) // it was deleted here
			continue
		}
		for n := 0; c.Number > s.given+1 && n < maxFillers; n++ {
			s.given++
			a, err := media.AttachComment(remote.Comment{Text: "deleted"})
			s.attach(a, err)
			s.item.Attached = append(s.item.Attached, media.DetachNumber(record.AttachedComment, s.given))
		}
		s.given++
		c.Number = 0
		s.attach(media.AttachComment(c))
	}
}

func equalJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, berr := json.Marshal(b)
	return err == nil && berr == nil && string(x) == string(y)
}
