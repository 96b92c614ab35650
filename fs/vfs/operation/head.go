package operation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// versionAge is how old a head must be for an edit by the same machine to keep it as a version.
const versionAge = 10 * time.Minute

// runSetHead makes uploaded contents what a media holds.
func runSetHead(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	n, back := tx.Node(in.Node), false
	if n == nil || tx.Orphan(in.Node) {
		switch {
		case tx.Err() != nil:
			return tx.Err()
		case !tx.Late() && !in.Restore:
			return remote.E("write", fmt.Sprint(in.Node), remote.NotExist, ErrOrphan)
		case LivesOn(tx, in.MediaId, in.Node):
			return runLateVersion(tx, in)
		}
		n, back = restore(tx, in), true
	}
	// A media that has just come back has no head, which nobody has set.
	overtaken := len(in.Base) > 0 && n.Head != nil && string(in.Base) != BaseOf(n.Head) && n.Head.Client != in.Client
	if overtaken || unseenHead(tx, in, in.Node) {
		r.Version = true
		return lateHead(tx, in, n)
	}
	if (tx.Late() || len(in.Base) > 0) && lost(tx, in.Node) {
		fromTrash(tx, in, n)
	}
	head := proto.CloneOf(in.Head)
	head.Time, head.Client = in.Time, in.Client
	if keepsVersion(n.Head, head) {
		addVersion(
			tx, n.MediaId,
			&record.Version{Head: n.Head, Time: in.Time, Node: in.Node, Mtime: n.Mtime, Reason: ReplacedByEdit},
		)
	}
	storeContents(tx, in)
	if n.Head.GetSize() == 0 {
		came(tx, n.MediaId, in.Value)
	}
	n.Head = head
	if in.Change.GetMtime() != nil && (back || in.Was == nil || Unstamp(in.Was) == Unstamp(n.Mtime)) {
		n.Mtime = in.Change.Mtime
	}
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	r.Attr = AttrOf(tx, in.Node, n)
	return nil
}

// came notes that the first bytes of a media have come: an upload that was cancelled is not
// incomplete any more, and a copy says of what.
func came(tx *catalog.Tx, id, copyOf []byte) {
	m := new(record.Media)
	known := tx.Load(record.MediaKey(id), m)
	if m.GetStatus() == remote.StatusIncomplete {
		m.Status = nil
	} else if len(copyOf) == 0 {
		return
	}
	if len(copyOf) > 0 {
		m.CopiedFrom = copyOf
	}
	if !media.Empty(m) {
		tx.Store(record.MediaKey(id), m)
	} else if known {
		tx.Delete(record.MediaKey(id))
	}
}

func storeContents(tx *catalog.Tx, in *intent.Intent) {
	for _, c := range in.Contents {
		tx.Store(record.ContentKey(c.Id), c.Content)
	}
}

// keepsVersion tells whether replacing a head by an edit keeps it: it is old, somebody else's, or
// much larger.
func keepsVersion(old, head *record.Head) bool {
	if old.GetSize() == 0 || sameBytes(old, head) {
		return false
	}
	return age(head.Time, old.Time) > versionAge || old.Client != head.Client || head.Size < old.Size/2
}

// sameBytes tells whether two heads are made of the same extents.
func sameBytes(a, b *record.Head) bool {
	if a.GetSize() != b.GetSize() || len(a.GetExtents()) != len(b.GetExtents()) {
		return false
	}
	for i, e := range a.GetExtents() {
		if !proto.Equal(e, b.Extents[i]) {
			return false
		}
	}
	return true
}

// restore brings back a media that another machine deleted while its new bytes were on their way.
func restore(tx *catalog.Tx, in *intent.Intent) *record.Node {
	name := string(in.Name)
	parent, pn := in.Parent, tx.Node(in.Parent)
	if pn == nil || !IsFolder(pn) || !inTree(tx, parent) {
		if parent, pn = vfs.Root, tx.Node(vfs.Root); pn == nil {
			pn = &record.Node{}
		}
	}
	if name == "" {
		name = "recovered"
	}
	if tx.Dentry(parent, name) != nil {
		name = conflictName(tx, parent, in, name)
	}
	if tx.Get(record.EndedKey(in.MediaId)) != nil {
		tx.Delete(record.EndedKey(in.MediaId)) // it lives: what was attached to it and is still there stays
	}
	n := &record.Node{
		Mode:    TypeMedia | in.Mode&PermMask,
		Uid:     in.Uid,
		Gid:     in.Gid,
		MediaId: in.MediaId,
		Atime:   in.Time,
		Mtime:   in.Time,
		Ctime:   in.Time,
		Btime:   in.Time,
	}
	addNode(tx, in.Node, n, parent, pn, name, in.Time)
	tx.Report(fmt.Sprintf("write %s, late: another machine had deleted it; it is kept as %s",
		Where(tx, in.Parent, string(in.Name)), Where(tx, parent, name)))
	return n
}

// lateHead keeps late bytes of a media whose head is newer than the one they were to replace: the
// head stays, and they are a version of it.
func lateHead(tx *catalog.Tx, in *intent.Intent, n *record.Node) error {
	if sameBytes(n.Head, in.Head) {
		return nil
	}
	for k := range tx.Records(record.VersionPrefix(n.MediaId)) {
		var old record.Version
		if tx.Load(k, &old) && old.Node == in.Node && sameBytes(old.Head, in.Head) {
			return nil // the upload was repeated
		}
	}
	v := proto.CloneOf(in)
	v.MediaId = n.MediaId
	tx.Report(
		fmt.Sprintf(
			"write %s, late: another machine has written it meanwhile; what was written here is kept as a version of it",
			Where(tx, in.Parent, string(in.Name)),
		),
	)
	return runLateVersion(tx, v)
}

// runLateVersion keeps bytes that were written through an inode which a rename had meanwhile
// replaced.
func runLateVersion(tx *catalog.Tx, in *intent.Intent) error {
	storeContents(tx, in)
	head := proto.CloneOf(in.Head)
	head.Time, head.Client = in.Time, in.Client
	addVersion(
		tx, in.MediaId,
		&record.Version{Head: head, Time: in.Time, Node: in.Node, Mtime: in.Change.GetMtime(), Reason: LateBytes},
	)
	return nil
}

// HeadID tells heads apart: the state that the kernel's pages of an inode are in.
func HeadID(h *record.Head) string {
	if h == nil {
		return "empty"
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&record.Head{Size: h.Size, Extents: h.Extents})
	if err != nil {
		return ""
	}
	return string(b)
}

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
