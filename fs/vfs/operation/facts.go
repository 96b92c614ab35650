package operation

import (
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote/bucket/record"
)

func runSetFacts(tx *catalog.Tx, in *intent.Intent) error {
	for _, f := range in.Facts {
		n := tx.Node(f.Node)
		if n == nil || tx.Orphan(f.Node) || string(media.HeadHash(n.Head)) != string(f.Facts.GetHead()) {
			continue // it was edited or deleted meanwhile
		}
		have := new(record.Facts)
		if tx.Load(record.FactsKey(f.Node), have) && proto.Equal(have, f.Facts) {
			continue
		}
		tx.Store(record.FactsKey(f.Node), f.Facts)
	}
	return nil
}

// FactsOf reads the facts of a node's present head; nil when there are none yet.
func FactsOf(tx *catalog.Tx, id vfs.ID, n *record.Node) *record.Facts {
	f := new(record.Facts)
	if tx.Load(record.FactsKey(id), f) && string(f.Head) == string(media.HeadHash(n.Head)) {
		return f
	}
	return nil
}
