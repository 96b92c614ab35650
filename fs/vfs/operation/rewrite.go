package operation

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// runRewrite gives a media the same bytes in other extents. It is no edit: times and versions stay.
func runRewrite(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		return Missing(tx, "rewrite", in.Node)
	}
	if TargetOf(n.Head) != string(in.Value) {
		return remote.E("rewrite", fmt.Sprint(in.Node), remote.Stale, nil)
	}
	storeContents(tx, in)
	f := FactsOf(tx, in.Node, n)
	n.Head = proto.CloneOf(in.Head)
	tx.Store(record.NodeKey(in.Node), n)
	if f != nil { // the bytes are the same
		f.Head = media.HeadHash(n.Head)
		tx.Store(record.FactsKey(in.Node), f)
	}
	return nil
}
