package transfer

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"regexp"
	"slices"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/remote/bucket/record"
)

// knownObjects are the objects that a library refers to, or did. They are told apart by 64-bit
// hashes of key and etag, so that a million takes 60 MB; a collision, one in 30 million for a
// library of that size, makes an object look like another's.
type knownObjects struct {
	all   []knownObject // by content id
	byKey []int32       // of all, by hash of the key
	seen  []bool        // of all: the object was listed
}

type knownObject struct {
	content [16]byte
	key     uint64
	etag    uint64
	node    uint64 // of the tree or the trash, that holds it now; 0: none does
}

// knownIn reads them out of the catalog: one pass over contents and one over nodes.
func knownIn(ctx context.Context, tx *catalog.Tx) (*knownObjects, error) {
	k := new(knownObjects)
	n := 0
	each := func(letter byte, do func(key, value []byte)) error {
		for key, value := range tx.Records([]byte{letter}) {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			do(key, value)
		}
		return tx.Err()
	}
	err := each(record.KeyContent, func(key, value []byte) {
		var c record.Content
		if len(key) == 17 && proto.Unmarshal(value, &c) == nil && c.External != nil {
			k.all = append(
				k.all,
				knownObject{
					content: [16]byte(key[1:]),
					key:     xxhash.Sum64String(c.External.Key),
					etag:    xxhash.Sum64String(c.External.Etag),
				},
			)
		}
	})
	if err != nil || len(k.all) == 0 {
		return k, err
	}
	err = each(record.KeyNode, func(key, value []byte) {
		var node record.Node
		id, _, ok := record.NumberOf(key)
		if !ok || proto.Unmarshal(value, &node) != nil || len(node.Head.GetExtents()) != 1 {
			return
		}
		at, found := slices.BinarySearchFunc(
			k.all, node.Head.Extents[0].Content,
			func(o knownObject, id []byte) int { return bytes.Compare(o.content[:], id) },
		)
		if found && k.all[at].node == 0 && tx.Links(id) > 0 {
			k.all[at].node = id
		}
	})
	k.index()
	return k, err
}

// index is called when all are there.
func (k *knownObjects) index() {
	k.byKey, k.seen = make([]int32, len(k.all)), make([]bool, len(k.all))
	for i := range k.byKey {
		k.byKey[i] = int32(i)
	}
	slices.SortFunc(k.byKey, func(a, b int32) int { return cmp.Compare(k.all[a].key, k.all[b].key) })
}

// A knownState is what the catalog has about an object.
type knownState struct {
	node uint64 // the media that holds it, maybe in an older state; 0: none does
	same bool   // in exactly this state
}

// find looks for an object and notes that it was seen.
func (k *knownObjects) find(key, etag string) (s knownState) {
	h, e := xxhash.Sum64String(key), xxhash.Sum64String(etag)
	i, _ := slices.BinarySearchFunc(k.byKey, h, func(at int32, h uint64) int { return cmp.Compare(k.all[at].key, h) })
	for ; i < len(k.byKey) && k.all[k.byKey[i]].key == h; i++ {
		o := &k.all[k.byKey[i]]
		k.seen[k.byKey[i]] = true
		switch {
		case o.etag == e:
			s.same = true
			if o.node != 0 {
				return knownState{o.node, true}
			}
		case s.node == 0:
			s.node = o.node
		}
	}
	if s.node != 0 {
		s.same = false // an older state is held; this one was, before somebody went back
	}
	return s
}

// unseen yields the contents that media hold and whose objects were not found.
func (k *knownObjects) unseen() iter.Seq2[[]byte, uint64] {
	return func(yield func([]byte, uint64) bool) {
		for i, o := range k.all {
			if o.node != 0 && !k.seen[i] && !yield(o.content[:], o.node) {
				return
			}
		}
	}
}

// chunkStores are programs that keep pieces of files as objects, which mean nothing by themselves.
var chunkStores = []struct {
	of  string
	key *regexp.Regexp
}{
	{"a JuiceFS volume", regexp.MustCompile(`(^|/)chunks/(\d+|[0-9A-F]{2})/\d+/\d+_\d+_\d+$`)},
	{"a restic repository", regexp.MustCompile(`(^|/)(data/[0-9a-f]{2}|index|keys|locks|snapshots)/[0-9a-f]{64}$`)},
	{
		"another library of mediafs",
		regexp.MustCompile(
			`(^|/)(content/[0-9a-f]{2}/[0-9a-f]{32}(\.sum|\.facts)?|content/external/[0-9a-f]{32}\.(sum|facts)|log/0/\d{20}|checkpoint/manifest/\d{20}|checkpoint/part/[0-9a-f]{32}-[0-9a-f-]+)$`,
		),
	},
}

// partOf says of which chunk store an object is a part; empty: of none.
func partOf(key string) string {
	for _, s := range chunkStores {
		if s.key.MatchString(key) {
			return s.of
		}
	}
	return ""
}
