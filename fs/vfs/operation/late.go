package operation

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Late changes. An operation runs late when its caller has been told of an outage, or its process
// is gone. Other machines may have changed what it is about since, and its user has not seen that.
// What they have is kept, under its own name: the late change is not made (errNewer), or what it
// made gets another name (conflictName), or becomes a version. The catalog tells the library as the
// user saw it from the present one (catalog.Tx.Unseen); nothing of this counts in an operation
// whose caller waits: there the last one wins, as on any disk.

// errLate is why an operation that runs late does nothing: what it was about is no longer there.
var errLate = errors.New("another machine has put something else under this name meanwhile")

// ErrNewer is why an operation that runs late does nothing: what it was about is newer than what
// its user saw.
var ErrNewer = errors.New("another machine has changed it meanwhile: it stays as it is")

// newer is the error of a late change that is not made for what another machine has changed.
func newer(tx *catalog.Tx, op string, parent vfs.ID, name string) error {
	return remote.E(op, Where(tx, parent, name), remote.Conflict, ErrNewer)
}

// newerNode is newer for a change of a node.
func newerNode(tx *catalog.Tx, op string, id vfs.ID) error {
	return remote.E(op, PathOrNumber(tx, id), remote.Conflict, ErrNewer)
}

// PathOrNumber names a node for people: by its path, or by its number when it has none.
func PathOrNumber(tx *catalog.Tx, id vfs.ID) string {
	if ps := PathsOf(tx, id); len(ps) > 0 {
		return ps[0]
	}
	return fmt.Sprintf("node %d", id)
}

// Where is the path of a name in a folder, for people.
func Where(tx *catalog.Tx, parent vfs.ID, name string) string {
	if p, ok := folderPath(tx, parent); ok {
		return JoinPath(p, name)
	}
	return fmt.Sprintf("%q, whose folder is gone", name)
}

// kept reports under which name a late operation keeps what it made or moved.
func kept(tx *catalog.Tx, op string, wanted string, parent vfs.ID, name string) {
	tx.Report(fmt.Sprintf("%s %s, late: it is kept as %s", op, wanted, Where(tx, parent, name)))
}

// inTree reports whether a folder can be reached from the root: one in the trash cannot.
func inTree(tx *catalog.Tx, id vfs.ID) bool {
	_, ok := folderPath(tx, id)
	return ok
}

// lateFolder is folder for what an operation makes: when that runs late and the folder has gone,
// also to the trash, it is kept at the root.
func lateFolder(tx *catalog.Tx, op string, id vfs.ID) (vfs.ID, *record.Node, error) {
	n, err := Folder(tx, op, id)
	if tx.Late() && tx.Err() == nil && (err != nil || !inTree(tx, id)) {
		id = vfs.Root
		n, err = Folder(tx, op, id)
	}
	return id, n, err
}

// lateName reads the name that an operation is about. For one that runs late it must mean the node
// that its user saw there; an earlier late operation may have given that another name in the same
// folder (conflictName), and then it is that name. nil: there is no such name.
func lateName(
	tx *catalog.Tx, in *intent.Intent, parent vfs.ID, name string, node vfs.ID,
) (*record.Dentry, string, error) {
	d := tx.Dentry(parent, name)
	if !tx.Late() || node == 0 || d != nil && d.Node == node {
		return d, name, nil
	}
	for nm := range tx.Names(node) {
		if nm.Folder == parent && isConflictName(in, nm.Name, name) {
			return tx.Dentry(parent, nm.Name), nm.Name, nil
		}
	}
	if d != nil {
		return nil, name, errLate
	}
	return nil, name, nil
}

// isConflictName reports whether a name is one that conflictName makes of another on this machine.
func isConflictName(in *intent.Intent, conflict, name string) bool {
	stem, ext := splitName(name)
	at := strings.LastIndex(conflict, conflictMark(in))
	if at < 0 || !strings.HasSuffix(conflict[at:], ")"+ext) {
		return false
	}
	// One that would be too long is cut, between two characters.
	return conflict[:at] == stem || strings.HasPrefix(stem, conflict[:at]) && len(conflict) > record.MaxName-utf8.UTFMax
}

// unseenNode gives a node's record as the user of a late operation saw it and as it is, when
// another machine has changed it since; nil: there was, or is, none.
func unseenNode(tx *catalog.Tx, id vfs.ID) (was, is *record.Node, changed bool) {
	w, i, changed := tx.Unseen(record.NodeKey(id))
	if !changed {
		return nil, nil, false
	}
	return decodeNode(w), decodeNode(i), true
}

func decodeNode(b []byte) *record.Node {
	n := new(record.Node)
	if b == nil || proto.Unmarshal(b, n) != nil {
		return nil
	}
	return n
}

// unseenHead reports whether a media has a head that another machine has set and the user of a late
// operation has not seen. One that was made whole is the same.
func unseenHead(tx *catalog.Tx, in *intent.Intent, id vfs.ID) bool {
	was, is, changed := unseenNode(tx, id)
	return changed && is != nil && otherHead(was.GetHead(), is.Head, in.Client)
}

// otherHead reports whether a head is another than was, and not of a client.
func otherHead(was, is *record.Head, client uint32) bool {
	return BaseOf(was) != BaseOf(is) && (is.GetClient() != client || is == nil)
}

// unseen reports whether another machine has changed anything of a node that the user of a late
// operation has not seen: what it holds, its attributes, its extended attributes, what is said of
// it. Of a folder, what is in it does not count, and never how it is called.
func unseen(tx *catalog.Tx, in *intent.Intent, id vfs.ID) bool {
	was, is, changed := unseenNode(tx, id)
	if changed && is != nil {
		if was == nil || otherHead(was.Head, is.Head, in.Client) {
			return true
		}
		if was.Mode != is.Mode || was.Uid != is.Uid || was.Gid != is.Gid {
			return true
		}
		ours := IsMedia(is) && is.Head.GetClient() == in.Client && BaseOf(was.Head) != BaseOf(is.Head)
		if !IsFolder(is) && !ours && Unstamp(was.Mtime) != Unstamp(is.Mtime) {
			return true
		}
	}
	for range tx.UnseenRecords(record.XattrKey(id, "")) {
		return true
	}
	n := tx.Node(id)
	if n == nil || len(n.MediaId) == 0 {
		return false
	}
	if _, _, changed := tx.Unseen(record.MediaKey(n.MediaId)); changed {
		return true
	}
	for range tx.UnseenRecords(record.AttachedKey(n.MediaId, 0)) {
		return true
	}
	return false
}

// unseenTree reports whether another machine has changed anything of a node, or in it when it is a
// folder, that the user of a late operation has not seen. What it took away there does not count.
func unseenTree(tx *catalog.Tx, in *intent.Intent, top vfs.ID) bool {
	if unseen(tx, in, top) {
		return true
	}
	n := tx.Node(top)
	if n == nil || !IsFolder(n) {
		return false
	}
	for key := range tx.UnseenRecords(nil) {
		if len(key) == 0 {
			continue
		}
		id, _, ok := record.NumberOf(key)
		if !ok {
			continue
		}
		switch key[0] {
		case record.KeyNode:
			if id != top && below(tx, id, top) && unseen(tx, in, id) {
				return true
			}
		case record.KeyDentry:
			if tx.Get(key) != nil && Inside(tx, id, top) {
				return true
			}
		case record.KeyXattr:
			if id != top && below(tx, id, top) {
				return true
			}
		}
	}
	return false
}

// below reports whether a node has a name in a folder or in one that lies in it.
func below(tx *catalog.Tx, id, top vfs.ID) bool {
	for nm := range tx.Names(id) {
		if Inside(tx, nm.Folder, top) {
			return true
		}
	}
	return false
}

// replacesUnseen reports whether a late rename over dst would take away what its user has not seen.
func replacesUnseen(tx *catalog.Tx, in *intent.Intent, src, dst *record.Dentry) bool {
	if !tx.Late() || dst == nil || dst.Node == src.Node {
		return false
	}
	srcFolder, dstFolder := src.Kind<<12 == TypeFolder, dst.Kind<<12 == TypeFolder
	return dst.Node != in.Over || srcFolder != dstFolder || dstFolder && tx.Counts(dst.Node).Children > 0 ||
		unseen(tx, in, dst.Node)
}

// takesAside reports whether a late rename gives a media with bytes that its user has not seen to
// the name of its backup, or to that of the media it is exchanged for: a program saves so, and what
// it saves is older.
func takesAside(tx *catalog.Tx, in *intent.Intent, src, dst *record.Dentry) bool {
	if !tx.Late() {
		return false
	}
	if in.Flags == vfs.RenameExchange {
		return unseenHead(tx, in, src.Node) || dst != nil && unseenHead(tx, in, dst.Node)
	}
	return in.Parent == in.NewParent && BackedUp(string(in.NewName)) == string(in.Name) && unseenHead(tx, in, src.Node)
}

// unseenChange takes out of a late change of attributes what another machine has set since its user
// saw the node. left is false when nothing remains.
func unseenChange(tx *catalog.Tx, in *intent.Intent) (ch *intent.Change, left bool) {
	ch = proto.CloneOf(in.Change)
	was, is, changed := unseenNode(tx, in.Node)
	if !changed || is == nil {
		return ch, true
	}
	if was == nil {
		return nil, false
	}
	if was.Mode&PermMask != is.Mode&PermMask || unseenList(tx, in.Node) {
		ch.Mode = nil
	}
	if was.Uid != is.Uid {
		ch.Uid = nil
	}
	if was.Gid != is.Gid {
		ch.Gid = nil
	}
	if Unstamp(was.Atime) != Unstamp(is.Atime) {
		ch.Atime = nil
	}
	if Unstamp(was.Mtime) != Unstamp(is.Mtime) {
		ch.Mtime = nil
	}
	return ch, ch.Mode != nil || ch.Uid != nil || ch.Gid != nil || ch.Atime != nil || ch.Mtime != nil
}

// unseenRights reports whether another machine has changed who may do what with a node since the
// user of a late operation saw it: the permissions of its mode, or its access control list.
func unseenRights(tx *catalog.Tx, id vfs.ID) bool {
	was, is, changed := unseenNode(tx, id)
	return changed && is != nil && (was == nil || was.Mode&PermMask != is.Mode&PermMask) || unseenList(tx, id)
}

func unseenList(tx *catalog.Tx, id vfs.ID) bool {
	_, _, changed := tx.Unseen(record.XattrKey(id, acl.Access))
	return changed
}

// unseenEdits gives the edits of an intent, and of one that runs late those of which another
// machine has not said something else since its user saw the media. What is added to a list or
// taken off one goes with what others added. It fails when nothing is left.
func unseenEdits(tx *catalog.Tx, in *intent.Intent, id []byte) (edits []media.Edit,
	attached []*intent.Attached, err error) {
	w, i, changed := tx.Unseen(record.MediaKey(id))
	was, is := new(record.Media), new(record.Media)
	if changed {
		if err := errors.Join(proto.Unmarshal(w, was), proto.Unmarshal(i, is)); err != nil {
			return nil, nil, remote.E("edit", fmt.Sprintf("%x", id), remote.Corrupt, err)
		}
	}
	var dropped []string
	for _, e := range in.Edits {
		edit := media.Edit{Field: e.Field, Do: media.Do(e.Do), Value: e.Value}
		if changed && (edit.Do == media.Set || edit.Do == media.Clear) && !media.SaysSame(was, is, e.Field) {
			dropped = append(dropped, e.Field)
			continue
		}
		edits = append(edits, edit)
	}
	for _, a := range in.Attached {
		if len(a.Which) > 0 {
			if _, _, changed := tx.Unseen(record.AttachedKey(id, byte(a.Kind), a.Which...)); changed {
				dropped = append(dropped, attachedName(byte(a.Kind)))
				continue
			}
		}
		attached = append(attached, a)
	}
	if len(dropped) == 0 {
		return edits, attached, nil
	}
	fields := strings.Join(dropped, ", ")
	if len(edits)+len(attached) == 0 {
		return nil, nil, newerNode(tx, "edit "+fields+" of", in.Node)
	}
	tx.Report(fmt.Sprintf("edit %s of %s, late: another machine has said something else, which stays; the rest is done",
		fields, PathOrNumber(tx, in.Node)))
	return edits, attached, nil
}

func attachedName(kind byte) string {
	switch kind {
	case record.AttachedFavorite:
		return "favourite"
	case record.AttachedVote:
		return "vote"
	case record.AttachedComment:
		return "comment"
	}
	return "what is attached"
}

// fromTrash takes a node out of the trash, or out of a folder there, for bytes that came late: what
// was edited is not what another machine deleted. What this machine has put there stays.
func fromTrash(tx *catalog.Tx, in *intent.Intent, n *record.Node) {
	parent := in.Parent
	pn, err := Folder(tx, "write", parent)
	if err != nil || !inTree(tx, parent) { // also in an operation that is not late: only its bytes are
		parent = vfs.Root
		if pn, err = Folder(tx, "write", parent); err != nil {
			return
		}
	}
	top, name := in.Node, string(in.Name)
	inside := record.DentryKey(0, "") // the name in the folder that is in the trash
	for range MaxDepth {
		above := vfs.ID(0)
		for nm := range tx.Names(top) {
			if above = nm.Folder; top == in.Node {
				inside, name = record.DentryKey(nm.Folder, nm.Name), nm.Name
			}
			break
		}
		if above == 0 {
			break
		}
		top = above
	}
	for k := range tx.Records([]byte{record.KeyTrash}) {
		var e record.TrashEntry
		entry, _, ok := record.NumberOf(k)
		if !ok || !tx.Load(k, &e) || e.Node != top {
			continue
		}
		if entry>>record.ClientShift == uint64(in.Client) {
			return
		}
		if top == in.Node {
			inside, name = k, string(e.Name)
		}
		break
	}
	if tx.Get(inside) == nil {
		return // it is in no trash: nobody knows why it cannot be reached
	}
	tx.Delete(inside)
	if CheckName("write", name) != nil {
		name = "recovered"
	}
	if tx.Dentry(parent, name) != nil {
		name = conflictName(tx, parent, in, name)
	}
	addName(tx, in.Node, n, parent, name)
	touch(tx, parent, pn, in.Time)
	tx.Report(fmt.Sprintf("write %q, late: another machine had moved it to the trash; it is kept as %s",
		in.Name, Where(tx, parent, name)))
}

// lost reports whether a node that is in the library cannot be reached from the root by any of its
// names.
func lost(tx *catalog.Tx, id vfs.ID) bool { return len(PathsOf(tx, id)) == 0 }
