package vfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// An operation is one change of the library. Its run function sees the state of the catalog and the intent and nothing else: no clock, no random
// numbers, no configuration, so that it does the same wherever and whenever it runs again.
//
// The functions get a result to fill for the caller; it is overwritten when the operation runs again.
type result struct {
	attr Attr
	lost ID // the node that lost a name
	// version: bytes that were to be the head have become a version
	version bool
}

// do runs an intent as an operation and returns when it is in the log.
func (fs *FS) do(ctx context.Context, in *intent.Intent) (result, error) {
	b, err := proto.Marshal(in)
	if err != nil {
		return result{}, remote.E("encode operation", "", remote.Invalid, err)
	}
	var r result
	update := fs.cat.Update
	if frees(in.Kind) {
		update = fs.cat.UpdateToFree
	}
	err = update(ctx, b, func(tx *catalog.Tx) error {
		r = result{}
		return run(tx, in, &r)
	})
	return r, err
}

// frees tells whether an operation lets something of this machine's disk go: what is uploaded
// leaves the spool, and so does what is deleted.
func frees(k intent.Kind) bool {
	switch k {
	case intent.Kind_SET_HEAD, intent.Kind_LATE_VERSION, intent.Kind_UNLINK, intent.Kind_RMDIR, intent.Kind_TRASH, intent.Kind_PURGE,
		intent.Kind_EMPTY_TRASH, intent.Kind_SWEEP:
		return true
	}
	return false
}

// Rerun runs an encoded intent of the outbox; it is the catalog's Options.Run.
func Rerun(tx *catalog.Tx, b []byte) error {
	in := new(intent.Intent)
	if err := proto.Unmarshal(b, in); err != nil {
		return remote.E("read outbox", "", remote.Corrupt, err)
	}
	if err := sound(in); err != nil {
		return remote.E("read outbox", "", remote.Corrupt, err)
	}
	tx.Asked(time.Unix(in.Time.GetSeconds(), 0))
	return about(tx, in, run(tx, in, new(result)))
}

// sound tells whether an intent that was read has what its kind needs. Those made here have.
func sound(in *intent.Intent) error {
	lacks := func(what string) error { return fmt.Errorf("an operation of kind %v without %s", in.Kind, what) }
	switch in.Kind {
	case intent.Kind_SET_ATTR:
		if in.Change == nil {
			return lacks("a change")
		}
	case intent.Kind_SET_HEAD, intent.Kind_LATE_VERSION, intent.Kind_REWRITE:
		if in.Head == nil {
			return lacks("a head")
		}
		for _, c := range in.Contents {
			if len(c.Id) == 0 || c.Content == nil {
				return lacks("what its content is")
			}
		}
	case intent.Kind_LINK_UNNAMED:
		if in.Made == nil {
			return lacks("the node")
		}
		for _, c := range in.Contents {
			if len(c.Id) == 0 || c.Content == nil {
				return lacks("what its content is")
			}
		}
		for _, x := range in.Xattrs {
			if len(x.Name) == 0 || x.Xattr == nil {
				return lacks("an attribute")
			}
		}
	case intent.Kind_IMPORT:
		if in.Head == nil || len(in.Contents) != 1 || len(in.Contents[0].Id) == 0 || in.Contents[0].Content == nil || len(in.MediaId) == 0 {
			return lacks("a head and its content")
		}
	}
	return nil
}

func run(tx *catalog.Tx, in *intent.Intent, r *result) error {
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

// newIntent starts an intent of a caller, now.
func (fs *FS) newIntent(kind intent.Kind, c Caller) *intent.Intent {
	return &intent.Intent{Kind: kind, Uid: c.UID, Gid: c.GID, Umask: c.Umask, Time: stamp(TimeOf(fs.opt.Now())), Client: fs.cat.Client(), Host: fs.opt.Host}
}

func stamp(t Time) *record.Time { return &record.Time{Seconds: t.Sec, Nanos: t.Nsec} }

func unstamp(t *record.Time) Time { return Time{t.GetSeconds(), t.GetNanos()} }

func newMediaID() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

// Type bits of a mode, as Linux has them.
const (
	typeMask    = 0o170000
	typeFolder  = 0o040000
	typeMedia   = 0o100000
	typeSymlink = 0o120000
	typeDevice  = 0o020000 // of characters
	setuid      = 0o4000
	setgid      = 0o2000
	permMask    = 0o7777
)

func isFolder(n *record.Node) bool { return n.Mode&typeMask == typeFolder }
func isMedia(n *record.Node) bool  { return n.Mode&typeMask == typeMedia }

// checkName refuses what can be no name. The store's and other machines' names go through it as well before the kernel sees them.
func checkName(op, name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return remote.E(op, fmt.Sprintf("%q", name), remote.Invalid, nil)
	case len(name) > record.MaxName:
		return remote.E(op, fmt.Sprintf("%.40q…", name), remote.TooLong, fmt.Errorf("%d bytes, at most %d", len(name), record.MaxName))
	}
	return nil
}

// ErrKept is why no entry of the tree has the name of the folder with the views.
var ErrKept = errors.New("this name is kept for the library's views")

// checkName refuses what can be no name here.
func (fs *FS) checkName(op string, parent ID, name string) error {
	if err := checkName(op, name); err != nil {
		return err
	}
	if parent == Root && name == fs.ViewFolder() {
		return remote.E(op, name, remote.Permission, ErrKept)
	}
	return nil
}

// folder reads a node that must be a folder of the tree.
func folder(tx *catalog.Tx, op string, id ID) (*record.Node, error) {
	n := tx.Node(id)
	if n == nil || tx.Orphan(id) {
		return nil, missing(tx, op, id)
	}
	if !isFolder(n) {
		return nil, remote.E(op, fmt.Sprint(id), remote.NotDir, nil)
	}
	return n, nil
}

// missing is the error for a node that is not there: the transaction's own, if it has one.
func missing(tx *catalog.Tx, op string, id ID) error {
	if err := tx.Err(); err != nil {
		return err
	}
	return remote.E(op, fmt.Sprintf("node %d", id), remote.NotExist, nil)
}

// touch sets a folder's times after a change of its names.
func touch(tx *catalog.Tx, id ID, n *record.Node, t *record.Time) {
	n.Mtime, n.Ctime = t, t
	tx.Store(record.NodeKey(id), n)
}

// attrOf is what stat tells of a node, without what is only in the spool.
func attrOf(tx *catalog.Tx, id ID, n *record.Node) Attr {
	a := Attr{ID: id, Mode: n.Mode, UID: n.Uid, GID: n.Gid, Rdev: uint32(n.Rdev), Size: int64(n.Head.GetSize()),
		Atime: unstamp(n.Atime), Mtime: unstamp(n.Mtime), Ctime: unstamp(n.Ctime), Btime: unstamp(n.Btime)}
	switch {
	case isFolder(n):
		a.Size = 4096
		if !tx.Orphan(id) {
			a.Nlink = 2 + uint32(tx.Counts(id).Folders)
		}
	case n.Mode&typeMask == typeSymlink:
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

// conflictName gives the name under which a late change keeps what would else be lost: "name (conflict HOST DATE).ext", with a number when
// that is taken as well, cut to the longest name.
func conflictName(tx *catalog.Tx, parent ID, in *intent.Intent, name string) string {
	stem, ext := splitName(name)
	date := unstamp(in.Time).Std().UTC().Format("2006-01-02")
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

func hostName() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "unknown"
	}
	return h
}

func age(now, then *record.Time) time.Duration {
	return unstamp(now).Std().Sub(unstamp(then).Std())
}
