package operation

import (
	"google.golang.org/protobuf/proto"

	"mediafs/fs/media"
	"mediafs/remote/bucket/record"
)

// copiedOnly tells whether all that is said of a media is what programs that copy attributes carry
// over.
func copiedOnly(m *record.Media) bool {
	c := proto.CloneOf(m)
	c.CopiedFrom = nil
	for _, name := range media.Listed(m) {
		edits, _, known, err := media.EditsFor(name, nil, true)
		if !known || err != nil || media.Apply(c, c.Edited, edits) != nil {
			return false
		}
	}
	c.Edited = nil
	return media.Empty(c)
}
