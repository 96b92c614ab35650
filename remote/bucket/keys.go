package bucket

import (
	"encoding/hex"
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

// numberIn reads the number out of a key that logKey or manifestKey made; ok is false for any other
// key.
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

// ownedID reports whether id is the id of a content that a library owns: 128 bits in lower-case
// hex.
func ownedID(id string) bool { return isHex(id, 32) }

// isHex reports whether s is n digits of lower-case hex.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// contentKey is the key of an owned content.
func contentKey(id string) string { return contentPrefix + id[:2] + "/" + id }

// externalSidePrefix begins the keys of side objects of external contents: no content id leads
// there.
const externalSidePrefix = contentPrefix + "external/"

// parseContentKey reads a key under content/. The id is empty for a key that is none of ours, and,
// with a side, for a side object of an external content, whose key does not tell which.
func parseContentKey(key string) (id remote.ContentID, side string) {
	name := key
	for _, suffix := range []string{SuffixSum, SuffixFacts} {
		if base, ok := strings.CutSuffix(key, suffix); ok {
			name, side = base, suffix
		}
	}
	if hash, ok := strings.CutPrefix(name, externalSidePrefix); ok {
		if side != "" && isHex(hash, 32) {
			return id, side
		}
		return id, ""
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 && ownedID(name[i+1:]) && contentKey(name[i+1:]) == name {
		return remote.ContentID{ID: name[i+1:]}, side
	}
	return remote.ContentID{}, ""
}

// parsePartKey reads the key of a checkpoint's part, as partKey makes it; ok is false for any other
// key.
func parsePartKey(key string) (hash partHash, ok bool) {
	s, found := strings.CutPrefix(key, partPrefix)
	f := strings.Split(s, "-")
	if !found || len(f) != 3 || !isHex(f[0], 32) || !isHex(f[1], 16) || !isHex(f[2], 16) {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(f[0]))
	return hash, err == nil
}

// isProbeKey reports whether key is that of a probe.
func isProbeKey(key string) bool {
	s, found := strings.CutPrefix(key, probePrefix)
	return found && isHex(s, 32)
}

// ownKey reports whether key is one that a library needs. Of the keys under content/ it says so of
// those that parseContentKey knows.
func ownKey(key string) bool {
	_, commit := numberIn(logPrefix, key)
	_, manifest := numberIn(manifestPrefix, key)
	_, part := parsePartKey(key)
	id, side := parseContentKey(key)
	return key == formatKey || commit || manifest || part || id.ID != "" || side != ""
}

// externalPrefix begins the id of a content that was imported in place: the rest of the id is its
// key.
const externalPrefix = "key:"

// fromRoot begins the key of an imported object that lies outside of the library's prefix; the rest
// is its key in the whole bucket. No other key begins with it, since none has an empty segment.
const fromRoot = "/"

// External is the id of an object that stays where it is, under a key of its own, as long as it has
// that etag. A key that begins with a slash counts from the root of the bucket.
func External(key, etag string) remote.ContentID {
	return remote.ContentID{ID: externalPrefix + key, Validator: etag}
}
