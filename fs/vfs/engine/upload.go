package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
)

// errClosing is why nothing is waited for any more.
var errClosing = errors.New(
	"the library is being unmounted; what was written stays in the spool and goes on at the next mount",
)

// uploadWithin uploads an inode's spool file and tries again, within the time that close may take,
// while the store is not reached. late says that nobody waits for it who wrote the bytes: then a
// head that another machine has set since stays, and they become a version.
func (fs *FS) uploadWithin(ctx context.Context, ino *inode, late bool) error {
	ctx, cancel := context.WithTimeout(ctx, fs.uploadTimeout())
	defer cancel()
	defer context.AfterFunc(fs.ctx, cancel)()
	pause := min(fs.opt.RetryInterval, time.Second)
	for {
		err := fs.upload(ctx, ino, late)
		switch remote.KindOf(err) {
		case remote.Unavailable, remote.Throttled:
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause = min(2*pause, time.Minute)
		}
	}
}

// upload makes what is in the spool file the media's head: content first, then one operation.
// Writers of the same media wait, readers do not. It returns nil when there is nothing to upload
// any more.
func (fs *FS) upload(ctx context.Context, ino *inode, late bool) (err error) {
	if !ino.isDirty() {
		return nil // nothing, or an upload that others wait for holds what came before
	}
	if err := fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	return fs.uploadHeld(ctx, ino, late)
}

// uploadHeld is upload with inode.up held.
func (fs *FS) uploadHeld(ctx context.Context, ino *inode, late bool) (err error) {
	if ino.w == nil || !ino.isDirty() {
		return nil
	}
	ctx, ended := ino.cancellable(ctx)
	defer func() {
		ended()
		ino.mu.Lock()
		ino.lastErr = err
		ino.mu.Unlock()
		fs.tried(ino.id, "upload", err)
	}()
	for range 5 {
		if err = fs.cat.Blocked(); err != nil {
			return err
		}
		err = fs.uploadOnce(ctx, ino, ino.w, late)
		if !errors.Is(err, operation.ErrOrphan) {
			return err
		}
		// It lost its last name while its head was on its way: look at it again.
	}
	return err
}

func (fs *FS) uploadOnce(ctx context.Context, ino *inode, w *writing, late bool) error {
	base := []byte(w.file.Description().Base)
	in, wanted, err := fs.headIntent(ino, w)
	if err != nil {
		return err
	}
	if !wanted {
		return fs.unwanted(ino, w)
	}
	if w.sent == nil {
		if err := fs.send(ctx, ino, w, string(in.Name)); err != nil {
			return err
		}
	}
	in.Head = w.sent.head
	in.Head.Time, in.Head.Client = in.Time, in.Client
	if c := w.sent.content; c != nil {
		in.Contents = []*intent.Content{{Id: c.id, Content: c.record}}
	}
	ino.mu.Lock()
	mtime, copyOf := ino.mtime, ino.copyOf
	ino.mu.Unlock()
	in.Change = &intent.Change{Mtime: stamp(mtime)}
	in.Value = copyOf
	if late {
		in.Base = base
	}
	fs.opt.Step("set head")
	r, err := fs.do(ctx, in)
	if err != nil {
		return err
	}
	fs.opt.Step("head set")
	if in.Restore {
		fs.cameBack(ino)
	}
	if r.Version {
		defer fs.announceNode(ino.id) // the kernel's pages are what was written here
	}
	if in.Kind == intent.Kind_LATE_VERSION {
		return fs.unwanted(ino, w) // kept, and still of no head
	}
	for {
		ino.mu.Lock()
		set := ino.mtime
		ino.mu.Unlock()
		if set == mtime {
			return fs.uploaded(ino, w)
		}
		// The time was set by hand while the head was on its way, and the head may have come later.
		mtime = set
		if err := fs.changeAttr(ctx, vfs.Caller{}, ino.id, vfs.AttrChange{Mtime: &set}, fs.doNow); err != nil &&
			!errors.Is(err, remote.NotExist) {
			return err
		}
	}
}

// headIntent decides what the bytes of a spool file become: the head, also of a media that another
// machine has deleted and that they bring back; a version of a media that another node holds now or
// whose head is newer; or nothing, when it was this machine that deleted it.
func (fs *FS) headIntent(ino *inode, w *writing) (in *intent.Intent, wanted bool, err error) {
	in = fs.newIntent(intent.Kind_SET_HEAD, vfs.Caller{})
	in.Node = ino.id
	d := w.file.Description()
	err = fs.cat.View(func(tx *catalog.Tx) error {
		ino.mu.Lock()
		gone, saved := ino.gone, ino.saved // as of the same state of the catalog
		ino.mu.Unlock()
		n := tx.Node(ino.id)
		orphan := n != nil && tx.Orphan(ino.id)
		if n != nil {
			d = fs.describe(tx, ino, n, d)
		}
		in.Parent, in.Name, in.Mode, in.Uid, in.Gid, in.MediaId = d.Parent, d.Name, d.Mode, d.UID, d.GID, d.Media
		named := n != nil && !orphan
		if named {
			in.Was = n.Mtime
		}
		switch {
		case named && !saved:
			wanted = true
		case named || operation.LivesOn(tx, d.Media, ino.id):
			in.Kind, wanted = intent.Kind_LATE_VERSION, true
		case !named && !gone: // another machine deleted it
			in.Restore, wanted = true, true
			if len(in.MediaId) == 0 {
				in.MediaId = newMediaID()
			}
		}
		return tx.Err()
	})
	return in, wanted, err
}

// uploaded notes that the spool file's bytes are the media's head now.
func (fs *FS) uploaded(ino *inode, w *writing) error {
	d := w.file.Description()
	d.Dirty, d.Synced, d.Base = false, false, operation.BaseOf(w.sent.head)
	d.Upload, d.Size, d.Stale = "", 0, nil
	if w.file.Overlay() {
		if err := fs.relay(ino, w, &d); err != nil {
			return err
		}
	} else if err := w.file.Describe(d); err != nil {
		return err
	}
	w.base, w.head = operation.HeadID(w.sent.head), w.sent.head
	w.sends(nil)
	if len(w.head.Extents) >= fs.opt.RewriteFrom {
		fs.rewrite.queue(ino.id)
	}
	w.dirty.Clear()
	fs.facts.queue(ino.id)
	ino.mu.Lock()
	if ino.pages == spooled {
		ino.pages = w.base
	}
	ino.copyOf = nil
	ino.mu.Unlock()
	ino.fresh()
	ino.clean()
	return nil
}

// unwanted notes that the store needs nothing of a spool file any more, though its bytes are of no
// head. Who has it open reads them.
func (fs *FS) unwanted(ino *inode, w *writing) error {
	fs.dropUpstream(w)
	d := w.file.Description()
	d.Dirty = false
	if err := w.file.Describe(d); err != nil {
		return err
	}
	ino.mu.Lock()
	ino.dirty = false
	ino.mu.Unlock()
	return nil
}

// send stores what no content has of the spool file as one, and fills w.sent.
func (fs *FS) send(ctx context.Context, ino *inode, w *writing, name string) error {
	if u := w.up; u != nil {
		if err := u.halt(ctx); err != nil {
			return err
		}
	}
	ino.mu.Lock()
	size, mtime := ino.size, ino.mtime
	ino.mu.Unlock()
	ps, err := fs.plan(w, size)
	if err != nil {
		return err
	}
	r := readers{cache: fs.cache}
	defer r.close()
	body := &segmentReader{media: view{ctx, w, &r}}
	body.segs, body.size = sentRuns(ps)
	if w.up != nil && !w.up.fits(body.segs, size) {
		fs.dropUpstream(w)
	}
	for range 3 {
		err = fs.sendPlan(ctx, w, ps, size, mtime, body, name)
		switch remote.KindOf(err) {
		case remote.Stale, remote.Exist, remote.TooLarge:
			// Somebody took the upload for abandoned, the id is taken, or it grew longer than an
			// upload of unknown size may: from the start.
			fs.dropUpstream(w)
		default:
			return err
		}
	}
	return err
}

func (fs *FS) sendPlan(
	ctx context.Context, w *writing, ps []piece, size int64, mtime vfs.Time, body *segmentReader, name string,
) error {
	if w.up == nil && body.size > 0 {
		u := newUpstream(w.file, name)
		u.size = body.size
		if len(body.segs) != 1 || body.size != size {
			u.segs = body.segs
		}
		w.sends(u)
	}
	s := &sent{runs: body.segs, under: w.under}
	// A process that finds the content, or the head, in the catalog knows that these bytes are done
	// with. The file's own time changes when a store takes it.
	d := w.file.Description()
	d.Content, d.Upload, d.Size, d.Stale = "", "", 0, nil
	var id []byte
	if w.up != nil {
		w.up.describe(&d)
		id = w.up.id
	}
	s.head = headOf(ps, size, id)
	d.Target = operation.TargetOf(s.head)
	d.MtimeSet, d.Mtime, d.MtimeNS = true, mtime.Sec, mtime.Nsec
	if err := w.file.Describe(d); err != nil {
		return err
	}
	if w.up != nil {
		c, err := fs.finish(ctx, w, body)
		if err != nil {
			return err
		}
		s.content = &contentRecord{id, c, w.up.sums.blocks}
	}
	w.sent = s
	return nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
