package operation

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// freshness is how young a media must be to take over the identity of the one it is renamed over:
// it was made to replace it.
const freshness = 24 * time.Hour

func runRename(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	name, newName := string(in.Name), string(in.NewName)
	bad := func(kind remote.Kind, cause error) error {
		what := Where(tx, in.Parent, name) + " to " + Where(tx, in.NewParent, newName)
		return remote.E("rename", what, kind, cause)
	}
	if _, err := Folder(tx, "rename", in.Parent); err != nil {
		return err
	}
	if _, err := Folder(tx, "rename", in.NewParent); err != nil {
		return err
	}
	if tx.Late() && !inTree(tx, in.NewParent) {
		return bad(remote.NotExist, errors.New("another machine has deleted the folder meanwhile"))
	}
	src, name, err := lateName(tx, in, in.Parent, name, in.Node)
	if src == nil {
		return bad(remote.NotExist, errors.Join(err, tx.Err()))
	}
	dst := tx.Dentry(in.NewParent, newName)
	if tx.Late() && in.Flags == vfs.RenameExchange && dst != nil && dst.Node != in.Over {
		return bad(remote.NotExist, errLate)
	}
	if takesAside(tx, in, src, dst) {
		return bad(remote.Conflict, ErrNewer)
	}
	if in.Flags != vfs.RenameExchange && replacesUnseen(tx, in, src, dst) {
		wanted := Where(tx, in.NewParent, newName)
		newName = conflictName(tx, in.NewParent, in, newName)
		dst = nil
		kept(tx, "rename to", wanted, in.NewParent, newName)
	}
	if dst != nil && in.Flags == vfs.RenameNoReplace {
		return bad(remote.Exist, nil)
	}
	if dst == nil && in.Flags == vfs.RenameExchange {
		return bad(remote.NotExist, tx.Err())
	}
	if dst != nil && dst.Node == src.Node {
		return nil // two names of one node, or the same name: POSIX does nothing
	}
	srcFolder := src.Kind<<12 == TypeFolder
	dstFolder := dst != nil && dst.Kind<<12 == TypeFolder
	if srcFolder && Inside(tx, in.NewParent, src.Node) ||
		in.Flags == vfs.RenameExchange && dstFolder && Inside(tx, in.Parent, dst.Node) {
		return bad(remote.Invalid, errors.New("a folder cannot be moved into itself"))
	}
	if in.Flags == vfs.RenameExchange {
		tx.Store(record.DentryKey(in.Parent, name), dst)
		tx.Store(record.DentryKey(in.NewParent, newName), src)
		changed(tx, dst.Node, in.Time)
		changed(tx, src.Node, in.Time)
		touchBoth(tx, in)
		return nil
	}
	switch {
	case dst == nil:
	case srcFolder && !dstFolder:
		return bad(remote.NotDir, nil)
	case !srcFolder && dstFolder:
		return bad(remote.IsDir, nil)
	case dstFolder && tx.Counts(dst.Node).Children > 0:
		return bad(remote.NotEmpty, nil)
	}
	tx.Delete(record.DentryKey(in.Parent, name))
	tx.Store(record.DentryKey(in.NewParent, newName), src)
	changed(tx, src.Node, in.Time)
	if dst != nil {
		replaced(tx, in, src.Node, dst.Node, newName)
		r.Lost = dst.Node
	} else if in.Aside != 0 {
		takeBackTo(tx, in, src.Node, newName)
	}
	touchBoth(tx, in)
	if in.Whiteout != 0 {
		leaveWhiteout(tx, in, name)
	}
	return nil
}

// leaveWhiteout makes a whiteout at the old name of what was renamed: for an overlay of file
// systems it hides what a lower one has there.
func leaveWhiteout(tx *catalog.Tx, in *intent.Intent, name string) {
	n := &record.Node{
		Mode:  typeDevice,
		Uid:   in.Uid,
		Gid:   in.Gid,
		Atime: in.Time,
		Mtime: in.Time,
		Ctime: in.Time,
		Btime: in.Time,
	}
	if pn := tx.Node(in.Parent); pn != nil && pn.Mode&Setgid != 0 {
		n.Gid = pn.Gid
	}
	tx.Store(record.NodeKey(in.Whiteout), n)
	addName(tx, in.Whiteout, n, in.Parent, name)
}

// replaced settles the node that lost its name to src.
func replaced(tx *catalog.Tx, in *intent.Intent, src, dst vfs.ID, name string) {
	old := tx.Node(dst)
	if old == nil {
		return
	}
	if IsFolder(old) {
		endNode(tx, dst, old, false)
		return
	}
	n := tx.Node(src)
	if n != nil && len(n.MediaId) > 0 && bytes.Equal(n.MediaId, old.MediaId) && tx.Links(dst) == 0 {
		endNode(tx, dst, old, false) // two nodes of one media, as an earlier version could make them: it lives on
		return
	}
	if n == nil || !takesOver(tx, in, src, n, dst, old) {
		if n != nil && in.Aside == dst {
			takeBackTo(tx, in, src, name)
		}
		nameLost(tx, in, dst, in.NewParent, name)
		return
	}
	mergeSaid(tx, n.MediaId, old.MediaId)
	n.MediaId, n.Btime = old.MediaId, old.Btime // it is as old as the media: it goes to the trash when it is deleted
	tx.Store(record.NodeKey(src), n)
	// Also of one that is empty: the version tells bytes that come late where the media is.
	addVersion(
		tx, old.MediaId,
		&record.Version{Head: old.Head, Time: in.Time, Node: dst, Mtime: old.Mtime, Reason: ReplacedByRename},
	)
	endNode(tx, dst, old, false)
}

// takesOver tells whether src, renamed over dst, becomes the next version of the media that dst is:
// save-by-rename. That needs a media of one name, and a source that was made here a short while ago
// to be just that.
func takesOver(tx *catalog.Tx, in *intent.Intent, src vfs.ID, n *record.Node, dst vfs.ID, old *record.Node) bool {
	if !IsMedia(n) || !IsMedia(old) || len(old.MediaId) == 0 || bytes.Equal(n.MediaId, old.MediaId) {
		return false
	}
	return tx.Links(dst) == 0 && fresh(tx, in, src, n) // dst has just lost its only name
}

// takeBackTo is takeBack for a media that was renamed to where another was.
func takeBackTo(tx *catalog.Tx, in *intent.Intent, src vfs.ID, name string) {
	if n := tx.Node(src); n != nil && src != in.Aside && IsMedia(n) && fresh(tx, in, src, n) {
		takeBack(tx, in, n, in.NewParent, name)
		tx.Store(record.NodeKey(src), n)
	}
}

// fresh tells whether a media was made here a short while ago, and nothing is said of it but what
// programs copy.
func fresh(tx *catalog.Tx, in *intent.Intent, src vfs.ID, n *record.Node) bool {
	if tx.Links(src) != 1 {
		return false
	}
	if src>>record.ClientShift != uint64(in.Client) || age(in.Time, n.Btime) > freshness {
		return false
	}
	if k, _ := tx.Last(record.VersionPrefix(n.MediaId)); k != nil {
		return false
	}
	for range tx.Records(record.AttachedKey(n.MediaId, 0)) {
		return false
	}
	m := new(record.Media)
	return !tx.Load(record.MediaKey(n.MediaId), m) || copiedOnly(m)
}

// mergeSaid gives a media what was said of the fresh one that takes its place: what a program that
// copies attributes has set (rsync -X, cp -a). It wins over what was said before; all else stays.
func mergeSaid(tx *catalog.Tx, from, to []byte) {
	said := new(record.Media)
	if !tx.Load(record.MediaKey(from), said) {
		return
	}
	m := new(record.Media)
	tx.Load(record.MediaKey(to), m)
	said.CopiedFrom = nil
	for _, name := range m.Spelled {
		if !slices.Contains(said.Spelled, name) {
			said.Spelled = append(said.Spelled, name)
		}
	}
	said.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		m.ProtoReflect().Set(fd, v)
		return true
	})
	tx.Delete(record.MediaKey(from))
	if proto.Size(m) > 0 {
		tx.Store(record.MediaKey(to), m)
	}
}

// Inside tells whether folder id lies in (or is) folder top. Where folders lie in a ring, which no
// operation makes, it says yes, so that nothing is moved there.
func Inside(tx *catalog.Tx, id, top vfs.ID) bool {
	seen := make(map[vfs.ID]bool)
	for id != vfs.Root {
		if id == top || seen[id] {
			return true
		}
		seen[id] = true
		parent := vfs.ID(0)
		for nm := range tx.Names(id) {
			parent = nm.Folder
		}
		if parent == 0 {
			return false // an orphan
		}
		id = parent
	}
	return top == vfs.Root
}

// changed sets a node's ctime.
func changed(tx *catalog.Tx, id vfs.ID, t *record.Time) {
	if n := tx.Node(id); n != nil {
		n.Ctime = t
		tx.Store(record.NodeKey(id), n)
	}
}

func touchBoth(tx *catalog.Tx, in *intent.Intent) {
	for _, id := range []vfs.ID{in.Parent, in.NewParent} {
		if n := tx.Node(id); n != nil {
			touch(tx, id, n, in.Time)
		}
	}
}
