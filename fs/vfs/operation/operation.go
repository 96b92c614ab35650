package operation

import (
	"fmt"
	"path"
	"strings"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A Result is what an operation tells its caller. It is overwritten when the operation runs again.
type Result struct {
	Attr    vfs.Attr
	Lost    vfs.ID // the node that lost a name
	Version bool   // bytes that were to be the head have become a version
}

// Run carries out the operation that in describes and fills r. Errors are those of the operation
// (Exist, NotExist, Conflict, ...), which the caller of the library gets as they are; Unsupported:
// the intent is of a newer version.
func Run(tx *catalog.Tx, in *intent.Intent, r *Result) error {
	var err error
	switch in.Kind {
	case intent.Kind_MAKE:
		err = runMake(tx, in, r)
	case intent.Kind_LINK:
		err = runLink(tx, in, r)
	case intent.Kind_UNLINK:
		err = runUnlink(tx, in, r)
	case intent.Kind_RMDIR:
		err = runRmdir(tx, in)
	case intent.Kind_LINK_UNNAMED:
		err = runLinkUnnamed(tx, in, r)
	case intent.Kind_RENAME, intent.Kind_RENAME_WHITEOUT:
		err = runRename(tx, in, r)
	case intent.Kind_SET_ATTR:
		err = runSetAttr(tx, in, r)
	case intent.Kind_SET_HEAD:
		err = runSetHead(tx, in, r)
	case intent.Kind_LATE_VERSION:
		err = runLateVersion(tx, in)
	case intent.Kind_REWRITE:
		err = runRewrite(tx, in)
	case intent.Kind_SET_XATTR:
		err = runSetXattr(tx, in)
	case intent.Kind_REMOVE_XATTR:
		err = runRemoveXattr(tx, in)
	case intent.Kind_EMPTY_TRASH:
		err = runEmptyTrash(tx, in)
	case intent.Kind_EDIT_MEDIA:
		err = runEditMedia(tx, in)
	case intent.Kind_TRASH:
		err = runTrash(tx, in, r)
	case intent.Kind_RESTORE:
		err = runRestore(tx, in)
	case intent.Kind_PURGE:
		err = runPurge(tx, in)
	case intent.Kind_RESTORE_VERSION:
		err = runRestoreVersion(tx, in)
	case intent.Kind_SET_FACTS:
		err = runSetFacts(tx, in)
	case intent.Kind_SWEEP:
		err = runSweep(tx)
	case intent.Kind_IMPORT:
		err = runImport(tx, in, r)
	case intent.Kind_SET_SETTING:
		err = runSetSetting(tx, in)
	default:
		err = remote.E("run operation", in.Kind.String(), remote.Unsupported, nil).
			WithHint("the outbox was written by a newer mediafs: mount with that one")
	}
	if err != nil {
		return err
	}
	return tx.Err()
}

// Unstamp returns a time of the format, the zero Time for none.
func Unstamp(t *record.Time) vfs.Time { return vfs.Time{Sec: t.GetSeconds(), Nsec: t.GetNanos()} }

// Type bits of a mode, as Linux has them.
const (
	TypeMask    = 0o170000
	TypeFolder  = 0o040000
	TypeMedia   = 0o100000
	TypeSymlink = 0o120000
	typeDevice  = 0o020000 // of characters
	Setuid      = 0o4000
	Setgid      = 0o2000
	PermMask    = 0o7777
)

// IsFolder reports whether n is a folder.
func IsFolder(n *record.Node) bool { return n.Mode&TypeMask == TypeFolder }

// IsMedia reports whether n is a media.
func IsMedia(n *record.Node) bool { return n.Mode&TypeMask == TypeMedia }

// CheckName refuses what can be no name. The store's and other machines' names go through it as
// well before the kernel sees them.
func CheckName(op, name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return remote.E(op, fmt.Sprintf("%q", name), remote.Invalid, nil)
	case len(name) > record.MaxName:
		return remote.E(
			op, fmt.Sprintf("%.40q…", name), remote.TooLong,
			fmt.Errorf("%d bytes, at most %d", len(name), record.MaxName),
		)
	}
	return nil
}

// Folder reads a node that must be a folder of the tree.
func Folder(tx *catalog.Tx, op string, id vfs.ID) (*record.Node, error) {
	n := tx.Node(id)
	if n == nil || tx.Orphan(id) {
		return nil, Missing(tx, op, id)
	}
	if !IsFolder(n) {
		return nil, remote.E(op, fmt.Sprint(id), remote.NotDir, nil)
	}
	return n, nil
}

// Missing is the error for a node that is not there: the transaction's own, if it has one.
func Missing(tx *catalog.Tx, op string, id vfs.ID) error {
	if err := tx.Err(); err != nil {
		return err
	}
	return remote.E(op, fmt.Sprintf("node %d", id), remote.NotExist, nil)
}

// touch sets a folder's times after a change of its names.
func touch(tx *catalog.Tx, id vfs.ID, n *record.Node, t *record.Time) {
	n.Mtime, n.Ctime = t, t
	tx.Store(record.NodeKey(id), n)
}

// AttrOf is what stat tells of a node, without what is only in the spool.
func AttrOf(tx *catalog.Tx, id vfs.ID, n *record.Node) vfs.Attr {
	a := vfs.Attr{ID: id, Mode: n.Mode, UID: n.Uid, GID: n.Gid, Rdev: uint32(n.Rdev), Size: int64(n.Head.GetSize()),
		Atime: Unstamp(n.Atime), Mtime: Unstamp(n.Mtime), Ctime: Unstamp(n.Ctime), Btime: Unstamp(n.Btime)}
	switch {
	case IsFolder(n):
		a.Size = 4096
		if !tx.Orphan(id) {
			a.Nlink = 2 + uint32(tx.Counts(id).Folders)
		}
	case n.Mode&TypeMask == TypeSymlink:
		a.Size = int64(len(n.Target))
		a.Nlink = uint32(tx.Links(id))
	default:
		a.Nlink = uint32(tx.Links(id))
		for _, e := range n.Head.GetExtents() {
			a.Blocks += int64(e.Length+511) / 512
		}
	}
	return a
}

// conflictName gives the name under which a late change keeps what would else be lost: "name
// (conflict HOST DATE).ext", with a number when that is taken as well, cut to the longest name.
func conflictName(tx *catalog.Tx, parent vfs.ID, in *intent.Intent, name string) string {
	stem, ext := splitName(name)
	date := Unstamp(in.Time).Std().UTC().Format("2006-01-02")
	for i := 1; ; i++ {
		mark := conflictMark(in) + date + ")"
		if i > 1 {
			mark = fmt.Sprintf("%s%s %d)", conflictMark(in), date, i)
		}
		s := stem
		if room := record.MaxName - len(mark) - len(ext); len(s) > room {
			s = strings.ToValidUTF8(s[:room], "")
		}
		if c := s + mark + ext; tx.Dentry(parent, c) == nil {
			return c
		}
	}
}

// splitName splits a name into what goes before the mark of a conflict and after it.
func splitName(name string) (stem, ext string) {
	ext = path.Ext(name)
	if len(ext) > 32 || ext == name {
		ext = ""
	}
	return strings.TrimSuffix(name, ext), ext
}

// conflictMark is how the mark of a conflict begins.
func conflictMark(in *intent.Intent) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, fmt.Sprintf(" (conflict %s ", in.Host))
}

func age(now, then *record.Time) time.Duration {
	return Unstamp(now).Std().Sub(Unstamp(then).Std())
}
