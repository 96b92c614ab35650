package operation

import (
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
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
