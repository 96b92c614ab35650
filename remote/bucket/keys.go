package bucket

import (
	"fmt"
	"strconv"
	"strings"

	"mediafs/remote"
)

// The keys of a library, relative to the bucket's prefix.
const (
	formatKey      = "format.json"
	probePrefix    = "probe/"
	logPrefix      = "log/0/" // 0 is the shard: the only one for now
	manifestPrefix = "checkpoint/manifest/"
	partPrefix     = "checkpoint/part/"
	contentPrefix  = "content/"
	digits         = 20 // as many as the largest uint64 has
)

// logKey is the key of commit seq. Keys of ascending numbers ascend.
func logKey(seq uint64) string { return fmt.Sprintf("%s%0*d", logPrefix, digits, seq) }

// manifestKey is the key of the checkpoint after commit seq.
func manifestKey(seq uint64) string { return fmt.Sprintf("%s%0*d", manifestPrefix, digits, seq) }

// numberIn reads the number out of a key that logKey or manifestKey made; ok is false for any other key.
func numberIn(prefix, key string) (n uint64, ok bool) {
	s, found := strings.CutPrefix(key, prefix)
	if !found || len(s) != digits {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// ownedID reports whether id is the id of a content that a library owns: 128 bits in lower-case hex.
func ownedID(id string) bool {
	if len(id) != 32 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// contentKey is the key of an owned content.
func contentKey(id string) string { return contentPrefix + id[:2] + "/" + id }

// externalPrefix begins the id of a content that was imported in place: the rest of the id is its key.
const externalPrefix = "key:"

// External is the id of an object that stays where it is, under a key of its own, as long as it has that etag.
func External(key, etag string) remote.ContentID {
	return remote.ContentID{ID: externalPrefix + key, Validator: etag}
}
