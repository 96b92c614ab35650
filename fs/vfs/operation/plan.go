package operation

import (
	"mediafs/remote/bucket/record"
)

// A Piece of the next head: a run that is sent, or one that the store has.
type Piece struct {
	Off, N int64
	Has    *record.Extent // the extent of the old head that it lies in; nil: it is sent
	From   int64          // with has: where it begins in the content
}

// End is the offset after the piece.
func (p *Piece) End() int64 { return p.Off + p.N }
