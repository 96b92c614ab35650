package operation

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func runLinkUnnamed(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name := string(in.Name)
	parent, pn, err := lateFolder(tx, "link", in.Parent)
	if err != nil {
		return err
	}
	if tx.Dentry(parent, name) != nil {
		if !tx.Late() {
			return remote.E("link", name, remote.Exist, nil)
		}
		name = conflictName(tx, parent, in, name)
	}
	if parent != in.Parent || name != string(in.Name) {
		kept(tx, "link", fmt.Sprintf("%q", in.Name), parent, name)
	}
	n := proto.CloneOf(in.Made)
	n.Ctime = in.Time
	if in.Aside != 0 {
		takeBack(tx, in, n, parent, name)
	}
	if in.Head != nil {
		storeContents(tx, in)
		n.Head = in.Head
		if n.Head.Size > 0 {
			came(tx, n.MediaId, in.Value)
		}
	}
	for _, x := range in.Xattrs {
		tx.Store(record.XattrKey(in.Node, string(x.Name)), x.Xattr)
	}
	if len(in.Edits)+len(in.Attached) > 0 {
		if err := say(tx, in, n.MediaId, nil); err != nil {
			return err
		}
	}
	addNode(tx, in.Node, n, parent, pn, name, in.Time)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}
