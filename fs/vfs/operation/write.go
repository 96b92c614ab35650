package operation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"mediafs/remote/bucket/record"
)

// BaseOf names a head in a spool file's description: the one that the bytes were to replace. It
// stays the same when the media is made whole.
func BaseOf(h *record.Head) string {
	if h == nil {
		return digest("empty")
	}
	return digest(fmt.Sprintf("%d %d.%d %d", h.Size, h.Time.GetSeconds(), h.Time.GetNanos(), h.Client))
}

// TargetOf names a head that has no time yet.
func TargetOf(h *record.Head) string { return digest(HeadID(h)) }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
