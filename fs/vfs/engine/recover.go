package engine

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// What becomes of a file that an earlier process left in the spool:
//
//	its content is in the catalog,
//	or the head is what it was to become  its upload had ended: removed
//	its media lives on in another node    its bytes become a version of that
//	this machine took the last name       nobody wants it: removed
//	the node is as it was                 its bytes become the head
//	the node has another head             its bytes become a version: what was confirmed since is never replaced
//	power was lost                        its bytes, which may be damaged, become a version
//	and the node is gone                  nobody knows whether this machine took it away: removed
//	the node is gone                      the media comes back
type fate int

const (
	fateDone fate = iota
	fateHead
	fateVersion
	fateRestore
)

// recover takes up what an earlier process left in the spool.
func (fs *FS) recover() error {
	files, lost, err := fs.spool.Recover()
	if err != nil {
		return err
	}
	for _, path := range lost {
		fs.log.WithField("file", path).
			Error("a loss of power has left an edit without the record of what it wrote: it is kept aside and not used")
	}
	newest := make(map[vfs.ID]*spool.File)
	for _, f := range files {
		d := f.Description()
		if d.Base == "" { // settled: it becomes a version, whatever else there is of the node
			if err := fs.takeUp(f); err != nil {
				return err
			}
			continue
		}
		// Two of one node: the process died when a file had just been copied, and both are
		// complete.
		if old := newest[d.Node]; old != nil {
			if old.Description().Generation > d.Generation {
				old, f = f, old
			}
			if err := old.Remove(); err != nil {
				return err
			}
		}
		newest[d.Node] = f
	}
	for _, f := range newest {
		if err := fs.takeUp(f); err != nil {
			return err
		}
	}
	return nil
}

func (fs *FS) takeUp(f *spool.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	d := f.Description()
	what := fateHead
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(d.Node)
		switch {
		case n != nil && d.Target != "" && operation.TargetOf(n.Head) == d.Target:
			what = fateDone
		case d.Content != "" && tx.Get(record.ContentKey(unhex(d.Content))) != nil:
			what = fateDone
		case operation.LivesOn(tx, d.Media, d.Node):
			what = fateVersion
		case n == nil && (d.Gone || !f.Intact()):
			what = fateDone
		case n == nil:
			what = fateRestore
		case operation.BaseOf(n.Head) != d.Base, !f.Intact():
			what = fateVersion
		}
		// as it was: nothing had been written when the process died
		empty := what == fateHead && n.Head.GetSize() == 0 && !d.MtimeSet
		if st.Size == 0 && (what != fateHead || empty) {
			what = fateDone
		}
		return tx.Err()
	})
	if err != nil {
		return err
	}
	log := fs.log.WithField("node", d.Node).WithField("bytes", st.Size)
	if what == fateDone {
		log.Debug("a spool file of an earlier mount is not needed any more")
		return f.Remove()
	}
	log.Info("bytes of an earlier mount go on to the store")
	up := resumed(f, d) // before this process describes the file, and hides that power was lost
	if what == fateVersion && d.Base != "" {
		// Settled for good: once this process describes the file, the loss of power can no longer
		// be told from it.
		d.Base = ""
		if err := f.Describe(d); err != nil {
			return err
		}
	}
	if d.Gone && what == fateHead {
		// The process died before it deleted the node. Should another machine do that, these bytes
		// are wanted.
		if err := f.SetGone(false); err != nil {
			return err
		}
	}
	// What becomes a version is not what the media holds: nobody finds this inode.
	ino := fs.newInode(d.Node)
	if what != fateVersion {
		ino = fs.hold(d.Node)
		defer fs.release(ino)
		defer fs.announcePages(d.Node) // the kernel may have read it, from a mount whose log was blocked
	}
	if err := fs.lock(fs.ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	ino.io.Lock()
	defer ino.io.Unlock()
	ino.w = &writing{file: f, shared: st.Nlink > 1}
	ino.w.sends(up)
	if d.Overlay {
		var under layout
		if ino.w.head, under, err = fs.below(d); err != nil {
			log.WithError(err).
				Error("an edit of an earlier mount stays in the spool: the media that it lies over is not known any more")
			ino.w = nil
			return f.Close()
		}
		ino.w.lie(under)
		for _, s := range f.Own(0, st.Size) {
			ino.w.dirty.Add(s.Offset, s.Length)
		}
	}
	ino.mu.Lock()
	ino.pages = ""
	ino.dirty, ino.local, ino.saved = true, true, what == fateVersion
	ino.size = st.Size
	ino.mtime = vfs.Time{Sec: int64(st.Mtim.Sec), Nsec: uint32(st.Mtim.Nsec)}
	if d.MtimeSet {
		ino.mtime = vfs.Time{Sec: d.Mtime, Nsec: d.MtimeNS}
	}
	ino.ctime = ino.mtime
	ino.mu.Unlock()
	fs.uploads.queue(ino, 0)
	return nil
}

// below gives the head that an overlay lies over. Its contents stay in the catalog for days after
// the head has gone.
func (fs *FS) below(d spool.Description) (*record.Head, layout, error) {
	h := new(record.Head)
	if err := proto.Unmarshal(d.Under, h); err != nil {
		return nil, layout{}, remote.E("read spool", fmt.Sprintf("node %d", d.Node), remote.Corrupt, err)
	}
	l, err := fs.layoutOfHead(h)
	return h, l, err
}
