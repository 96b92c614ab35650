package catalog

import (
	"crypto/rand"
	"encoding/binary"
	"iter"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Derived records follow from replicated ones and are written in the same transaction. The order of
// the writes of a commit does not matter to them.
//
//	R C <folder>                       Counts: names and folders in a folder
//	R L <node>                         number of names of a node; absent for none
//	R U                                Usage
//	D h <folder> <hash of name> <name> the listing order → node id, kind
//	D p <node> <folder> <name>         the names of a node
const (
	listingLetter = 'h'
	parentLetter  = 'p'
)

type usageDelta struct {
	nodes, live, versions, contents int64
}

func (tx *Tx) derive(key, old, value []byte) {
	switch key[0] {
	case record.KeyDentry:
		folder, name, ok := record.NumberOf(key)
		if !ok {
			return
		}
		var was, is record.Dentry
		had, has := tx.decode(key, old, &was), tx.decode(key, value, &is)
		if had && has && was.Node == is.Node && was.Kind == is.Kind {
			return
		}
		if had {
			tx.nameGone(folder, string(name), &was)
		}
		if has {
			tx.nameCame(folder, string(name), &is)
		}
	case record.KeyNode:
		id, _, ok := record.NumberOf(key)
		if !ok {
			return
		}
		var was, is record.Node
		had, has := tx.decode(key, old, &was), tx.decode(key, value, &is)
		tx.usage.nodes += count(has) - count(had)
		tx.usage.live += int64(is.Head.GetSize()) - int64(was.Head.GetSize())
		switch {
		case had && !has:
			tx.orphaned(id, old)
		case has && !had:
			tx.adopted(id)
		}
	case record.KeyVersion:
		var was, is record.Version
		tx.decode(key, old, &was)
		tx.decode(key, value, &is)
		tx.usage.versions += int64(is.Head.GetSize()) - int64(was.Head.GetSize())
	case record.KeyContent:
		var was, is record.Content
		tx.decode(key, old, &was)
		tx.decode(key, value, &is)
		tx.usage.contents += int64(is.Size) - int64(was.Size)
	}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

const folderKind = 4 // S_IFDIR >> 12

func (tx *Tx) nameCame(folder uint64, name string, d *record.Dentry) {
	tx.set(tx.c.listingKey(folder, name), listingValue(d))
	tx.set(parentKey(d.Node, folder, name), []byte{})
	tx.addCounts(folder, 1, count(d.Kind == folderKind))
	tx.addLinks(d.Node, 1)
}

func (tx *Tx) nameGone(folder uint64, name string, d *record.Dentry) {
	tx.set(tx.c.listingKey(folder, name), nil)
	tx.set(parentKey(d.Node, folder, name), nil)
	tx.addCounts(folder, -1, -count(d.Kind == folderKind))
	tx.addLinks(d.Node, -1)
}

func (tx *Tx) addCounts(folder uint64, children, folders int64) {
	n := tx.Counts(folder)
	n.Children, n.Folders = n.Children+uint64(children), n.Folders+uint64(folders)
	k := full(classRecord, record.CountsKey(folder))
	if n == (record.Counts{}) {
		tx.set(k, nil)
		return
	}
	tx.set(k, record.EncodeCounters(n.Children, n.Folders))
}

func (tx *Tx) addLinks(node uint64, n int64) {
	links := tx.Links(node) + uint64(n)
	k := full(classRecord, record.LinksKey(node))
	if links == 0 {
		tx.set(k, nil)
		return
	}
	tx.set(k, record.EncodeCounters(links))
}

// flushUsage writes the usage counter once a transaction.
func (tx *Tx) flushUsage() {
	if tx.usage == (usageDelta{}) {
		return
	}
	u := tx.Usage()
	d := tx.usage
	tx.usage = usageDelta{}
	tx.set(full(classRecord, record.UsageKey()), record.EncodeCounters(u.Nodes+uint64(d.nodes), u.Live+uint64(d.live),
		u.Versions+uint64(d.versions), u.Contents+uint64(d.contents)))
}

// FirstPlace is the least place that a name gets in a listing. Below it are the start, "." and
// "..", and room for entries that somebody who shows the folder adds to it. A catalog that was made
// when names could be there has one with a chance of 2^-43 for each.
const FirstPlace = 1 << 20

// nameHash places names in listings: 63 bits, from FirstPlace on.
type nameHash func(name string) uint64

func (c *Catalog) listingKey(folder uint64, name string) []byte {
	k := listingPrefix(folder)
	k = binary.BigEndian.AppendUint64(k, c.hashes(name))
	return append(k, name...)
}

func listingPrefix(folder uint64) []byte {
	k := append(make([]byte, 0, 64), classDerived, listingLetter)
	return binary.BigEndian.AppendUint64(k, folder)
}

func listingValue(d *record.Dentry) []byte { return record.EncodeCounters(d.Node, uint64(d.Kind)) }

func parentKey(node, folder uint64, name string) []byte {
	k := append(make([]byte, 0, 64), classDerived, parentLetter)
	k = binary.BigEndian.AppendUint64(k, node)
	if folder == 0 {
		return k
	}
	k = binary.BigEndian.AppendUint64(k, folder)
	return append(k, name...)
}

// A Listed is one entry of a listing.
type Listed struct {
	Name string
	Node uint64
	Kind uint32 // type bits >> 12
	Hash uint64 // place in the order
}

// List yields a folder's entries whose place is greater than after, in the listing's order. Entries
// with equal places follow each other.
func (tx *Tx) List(folder, after uint64) iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		prefix := listingPrefix(folder)
		from := binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), after+1)
		for k, v := range tx.scan(prefix, from, true) {
			l := Listed{Hash: binary.BigEndian.Uint64(k[10:]), Name: string(k[18:])}
			var kind uint64
			record.DecodeCounters(v, &l.Node, &kind)
			l.Kind = uint32(kind)
			if !yield(l) {
				return
			}
		}
	}
}

// A Name is one name of a node.
type Name struct {
	Folder uint64
	Name   string
}

// Names yields the names of a node, ordered by folder.
func (tx *Tx) Names(node uint64) iter.Seq[Name] {
	return func(yield func(Name) bool) {
		prefix := parentKey(node, 0, "")
		for k := range tx.scan(prefix, prefix, false) {
			if !yield(Name{binary.BigEndian.Uint64(k[10:]), string(k[18:])}) {
				return
			}
		}
	}
}

// keyedHash makes the hash of listings from a seed that this catalog keeps: nobody can choose names
// that collide.
func keyedHash(seed uint64) nameHash {
	return func(name string) uint64 {
		d := xxhash.NewWithSeed(seed)
		d.WriteString(name)
		return placeOf(d.Sum64())
	}
}

// placeOf makes a place of a hash: the sign stays free, since programs keep places as signed
// offsets.
func placeOf(hash uint64) uint64 { return max(hash>>1, FirstPlace) }

func (c *Catalog) loadHash() error {
	if c.opt.HashName != nil {
		c.hashes = c.opt.HashName
		return nil
	}
	key := localKey("listing-seed")
	return c.updateLocal(func(tx *Tx) error {
		b := tx.get(key)
		if len(b) != 8 {
			b = make([]byte, 8)
			rand.Read(b)
			tx.raw(key, b)
		}
		c.hashes = keyedHash(binary.BigEndian.Uint64(b))
		return nil
	})
}

// mergeClient gives the client record after a commit by its author.
func mergeClient(old []byte, commit *record.Commit) ([]byte, error) {
	var cl record.Client
	if err := proto.Unmarshal(old, &cl); err != nil {
		return nil, remote.E("read client record", "", remote.Corrupt, err)
	}
	cl.Session, cl.LastOperation = commit.Session, commit.LastOperation
	return proto.MarshalOptions{Deterministic: true}.Marshal(&cl)
}
