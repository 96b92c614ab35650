package check

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"mediafs/remote/bucket/record"
)

// readMedia finds the media of which something is said or kept: an edit, a version, a comment. What
// is left of one that ended is no business of its own.
func (s *survey) readMedia() error {
	known := s.media // those with versions, sorted
	add := func(id mediaID) {
		if search(known, id) == nil {
			s.media = append(s.media, edited{id: id})
		}
	}
	err := s.records(record.KeyMedia, func(key, value []byte) error {
		if s.decode(key, value, 1+len(mediaID{}), new(record.Media)) {
			add(mediaID(key[1:]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.sortMedia()
	known = s.media
	ended := make(map[mediaID]bool)
	err = s.records(record.KeyEnded, func(key, value []byte) error {
		if s.decode(key, value, 1+len(mediaID{}), new(record.Ended)) {
			ended[mediaID(key[1:])] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	last := mediaID{}
	err = s.records(record.KeyAttached, func(key, value []byte) error {
		const kindAt = 1 + len(mediaID{})
		if len(key) <= kindAt {
			s.find.add(
				BadRecord, Place{}, fmt.Sprintf("record %q", key), "its key has %d bytes, at least %d are needed",
				len(key), kindAt+1,
			)
			return nil
		}
		if m := attachedMessage(key[kindAt]); m != nil && !s.decode(key, value, len(key), m) {
			return nil
		}
		if id := mediaID(key[1:kindAt]); id != last && !ended[id] {
			last = id
			add(id)
		}
		return nil
	})
	s.sortMedia()
	return err
}

func (s *survey) sortMedia() {
	slices.SortFunc(s.media, func(a, b edited) int { return bytes.Compare(a.id[:], b.id[:]) })
}

// attachedMessage is what a record of something attached holds; nil for a kind of a later version.
func attachedMessage(kind byte) proto.Message {
	switch kind {
	case record.AttachedFavorite:
		return new(record.Favorite)
	case record.AttachedVote:
		return new(record.Vote)
	case record.AttachedComment:
		return new(record.Comment)
	case record.AttachedBinding:
		return new(record.Binding)
	case record.AttachedLink:
		return new(record.Link)
	case record.AttachedRendition:
		return new(record.Rendition)
	}
	return nil
}

// checkFacts notes facts of nodes that are not there. Facts of former bytes are no damage: they
// count for nothing until they are read anew.
func (s *survey) checkFacts() error {
	return s.records(record.KeyFacts, func(key, value []byte) error {
		if !s.decode(key, value, 9, new(record.Facts)) {
			return nil
		}
		if id := beUint64(key[1:]); s.node(id) == nil {
			s.find.add(OrphanRecord, Place{}, fmt.Sprintf("facts of node %d", id), "the node is not there")
		}
		return nil
	})
}
