package record

import (
	"encoding/binary"
)

// A key is a letter that says what the record is, followed by fixed-width big-endian numbers and,
// last, raw bytes, so that byte order is the order in which people and indexes want them. Lower
// case letters are replicated records. Upper case letters are counters that follow from them: they
// are in checkpoints and never in the log. Other letters belong to later formats: they are stored
// and passed on.
const (
	KeyNode      = 'n' // node id → Node
	KeyDentry    = 'e' // folder id, name → Dentry
	KeyXattr     = 'x' // node id, attribute name → Xattr
	KeyContent   = 'o' // content id → Content
	KeyVersion   = 'v' // media id, number from 1 → Version
	KeyTrash     = 't' // trash id (a number from the counter of node ids) → TrashEntry
	KeyClient    = 'c' // client number (4 bytes) → Client
	KeySetting   = 's' // name → Setting
	KeyFeature   = 'f' // class letter, name → Feature
	KeyMedia     = 'm' // media id → Media
	KeyFacts     = 'i' // node id → Facts
	KeyAttached  = 'a' // media id, kind letter, which → Favorite, Vote, Comment, Binding, Link, Rendition
	KeyEnded     = 'g' // media id → Ended: it is gone
	KeyCondemned = 'k' // content id → when; written by garbage collection

	KeyCounts = 'C' // folder id → Counts
	KeyLinks  = 'L' // node id → number of names, a varint; absent for none
	KeyUsage  = 'U' // → Usage
)

// What is attached to a media: the letter after its id.
const (
	AttachedFavorite  = 'f' // user → Favorite
	AttachedVote      = 'v' // user → Vote
	AttachedComment   = 'c' // number from 1 → Comment
	AttachedBinding   = 'b' // module, zero byte, object → Binding
	AttachedLink      = 'l' // number from 1 → Link
	AttachedRendition = 'r' // name → Rendition
)

// MediaIDSize is the length of a media id.
const MediaIDSize = 16

// The classes of features. A program that does not know a feature may do everything (compatible),
// only read (read-only-compatible) or nothing (incompatible).
const (
	FeatureCompatible         = 'c'
	FeatureReadOnlyCompatible = 'r'
	FeatureIncompatible       = 'i'
)

// Root is the id of the root folder.
const Root uint64 = 1

// ViewBit marks ids of virtual nodes; they are never stored.
const ViewBit uint64 = 1 << 62

// Limits of the format.
const (
	MaxName         = 255       // bytes of a name
	MaxTarget       = 4095      // bytes of a symlink's target
	MaxRecord       = 64 << 10  // bytes of a record's value
	MaxKey          = 1024      // bytes of a key
	MaxCommitWrites = 1000      // writes in a commit
	MaxCommitBytes  = 512 << 10 // keys and values in a commit
	MaxExtents      = 64        // extents of a head
	MaxXattrValue   = MaxRecord - 256
	MaxClient       = 1<<22 - 1 // client numbers begin at 1
	ClientShift     = 40        // a node id is client number << ClientShift | counter
	MaxInlineSums   = 64        // blocks whose sums are in the Content record
)

func number(letter byte, n uint64, rest ...byte) []byte {
	k := make([]byte, 0, 9+len(rest))
	k = append(k, letter)
	k = binary.BigEndian.AppendUint64(k, n)
	return append(k, rest...)
}

// NodeKey is the key of a node.
func NodeKey(id uint64) []byte { return number(KeyNode, id) }

// DentryKey is the key of a name in a folder; without a name, the prefix of all names of the
// folder.
func DentryKey(folder uint64, name string) []byte { return number(KeyDentry, folder, []byte(name)...) }

// XattrKey is the key of an attribute; without a name, the prefix of all attributes of the node.
func XattrKey(node uint64, name string) []byte { return number(KeyXattr, node, []byte(name)...) }

// ContentKey is the key of a content.
func ContentKey(id []byte) []byte { return append([]byte{KeyContent}, id...) }

// VersionKey is the key of a version of a media.
func VersionKey(media []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(VersionPrefix(media), n)
}

// VersionPrefix is the prefix of all versions of a media.
func VersionPrefix(media []byte) []byte { return append([]byte{KeyVersion}, media...) }

// TrashKey is the key of a trash entry.
func TrashKey(id uint64) []byte { return number(KeyTrash, id) }

// ClientKey is the key of a client.
func ClientKey(client uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{KeyClient}, client)
}

// SettingKey is the key of a setting.
func SettingKey(name string) []byte { return append([]byte{KeySetting}, name...) }

// MediaKey is the key of what people say of a media.
func MediaKey(media []byte) []byte { return append([]byte{KeyMedia}, media...) }

// FactsKey is the key of what the bytes of a node say.
func FactsKey(node uint64) []byte { return number(KeyFacts, node) }

// AttachedKey is the key of something that is attached to a media. Without what it is the prefix of
// its kind, with kind 0 that of all.
func AttachedKey(media []byte, kind byte, which ...byte) []byte {
	k := append(make([]byte, 0, 2+len(media)+len(which)), KeyAttached)
	k = append(k, media...)
	if kind == 0 {
		return k
	}
	return append(append(k, kind), which...)
}

// EndedKey is the key of the mark of a media that is gone.
func EndedKey(media []byte) []byte { return append([]byte{KeyEnded}, media...) }

// FeatureKey is the key of a feature.
func FeatureKey(class byte, name string) []byte { return append([]byte{KeyFeature, class}, name...) }

// CountsKey is the key of a folder's counts.
func CountsKey(folder uint64) []byte { return number(KeyCounts, folder) }

// LinksKey is the key of a node's number of names.
func LinksKey(node uint64) []byte { return number(KeyLinks, node) }

// UsageKey is the key of the library's usage.
func UsageKey() []byte { return []byte{KeyUsage} }

// NumberOf returns the first number of a key and what follows it; ok is false when the key is too
// short.
func NumberOf(key []byte) (n uint64, rest []byte, ok bool) {
	if len(key) < 9 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(key[1:9]), key[9:], true
}
