package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Flags of open(2), as Linux has them.
const (
	oAccMode = 0o3
	oRdOnly  = 0o0
	oTrunc   = 0o1000
	oAppend  = 0o2000
)

// file is an open media.
type file struct {
	fs      *FS
	ino     *inode
	append  bool
	writes  bool   // opened for writing
	opener  uint32 // thread group that opened; 0: not known
	keep    bool
	wrote   atomic.Bool // has bytes that no flush of its opener has sent
	readers readers
	done    atomic.Bool

	cancelled int         // as the inode's when it was opened
	told      atomic.Bool // its program knows that bytes were given up
}

// Open opens a media.
func (fs *FS) Open(ctx context.Context, c vfs.Caller, id vfs.ID, flags uint32) (vfs.File, error) {
	writes := flags&oAccMode != oRdOnly || flags&oTrunc != 0
	if writes {
		if err := fs.changeable("open"); err != nil {
			return nil, err
		}
	}
	ino := fs.hold(id)
	head := ""
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		switch {
		case n == nil:
			return operation.Missing(tx, "open", id)
		case operation.IsFolder(n):
			return remote.E("open", fmt.Sprint(id), remote.IsDir, nil)
		case !operation.IsMedia(n):
			return remote.E("open", fmt.Sprint(id), remote.Unsupported, fmt.Errorf("mode %o holds no bytes", n.Mode))
		}
		head = operation.HeadID(n.Head)
		return nil
	})
	if err != nil {
		fs.release(ino)
		return nil, err
	}
	f := &file{fs: fs, ino: ino, append: flags&oAppend != 0, writes: writes, readers: readers{cache: fs.cache}}
	if writes {
		f.opener = fs.opt.ThreadGroup(c.PID)
		fs.mu.Lock()
		ino.writers++
		fs.mu.Unlock()
	}
	ino.mu.Lock()
	f.cancelled = ino.cancelled // before it is cut: half of what it holds must not be what comes after a cancelled cut
	ino.mu.Unlock()
	if flags&oTrunc != 0 {
		if err := fs.truncate(ctx, ino, f, 0); err != nil {
			f.Release()
			return nil, err
		}
	}
	ino.mu.Lock()
	if ino.local {
		head = spooled
	}
	f.keep = ino.pages == head
	ino.pages = head
	ino.mu.Unlock()
	return f, nil
}

func (f *file) KeepCache() bool { return f.keep }

// Read reads what this machine wrote last, or else the media's present head.
func (f *file) Read(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := f.read(ctx, p, off)
	f.fs.tried(f.ino.id, "read", err)
	return n, err
}

func (f *file) read(ctx context.Context, p []byte, off int64) (int, error) {
	if n, ok, err := f.fs.readSpool(ctx, f.ino, &f.readers, p, off); ok {
		return n, err
	}
	l, err := f.fs.head(f.ino.id, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	return l.readAt(ctx, &f.readers, p, off)
}

// readSpool reads from the spool file, and what that lies over, when that has what the media holds.
func (fs *FS) readSpool(ctx context.Context, ino *inode, r *readers, p []byte, off int64) (n int, ok bool, err error) {
	ino.io.RLock()
	if ino.w == nil || !fs.current(ino) {
		ino.io.RUnlock()
		return 0, false, nil
	}
	n, rest, err := ino.w.read(p, off)
	ino.io.RUnlock()
	if err == nil && rest != nil {
		err = rest(ctx, r) // from the store: nobody waits for that
	}
	return n, true, err
}

// current tells whether the spool file, which is there, has what the media holds: bytes that no
// head has, or those of the present one. Another machine may have set a head since.
func (fs *FS) current(ino *inode) bool {
	if ino.isLocal() {
		return true
	}
	same := false
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(ino.id)
		same = n != nil && operation.HeadID(n.Head) == ino.w.base
		return nil
	})
	return err == nil && same
}

// head gives the layout of a media's present head around [off, off+n).
func (fs *FS) head(id vfs.ID, off, n int64) (l layout, err error) {
	err = fs.cat.View(func(tx *catalog.Tx) error {
		nd := tx.Node(id)
		if nd == nil {
			return operation.Missing(tx, "read", id)
		}
		l, err = fs.layoutOf(tx, nd.Head, off, n)
		return err
	})
	return l, err
}

// Write writes into the spool.
func (f *file) Write(ctx context.Context, p []byte, off int64) (int, error) {
	if !f.writes {
		return 0, remote.E("write", "", remote.Permission, nil)
	}
	n, moved, err := f.write(ctx, p, off)
	if moved {
		f.fs.announcePages(f.ino.id)
	}
	if n > 0 && err != nil {
		f.fs.log.WithError(err).Warn("a write was cut short")
		err = nil
	}
	return n, err
}

// write tells in moved whether the bytes went elsewhere than the caller thinks: behind what another
// machine had appended.
func (f *file) write(ctx context.Context, p []byte, off int64) (n int, moved bool, err error) {
	ino := f.ino
	if err := f.fs.lock(ctx, ino); err != nil {
		return 0, false, err
	}
	defer ino.unlock()
	if err := f.alive("write"); err != nil {
		return 0, false, err
	}
	if err := f.fs.room(ctx, ino, int64(len(p))); err != nil {
		return 0, false, err
	}
	from := off
	if f.append {
		from = math.MaxInt64
	}
	if err := f.fs.makeWritable(ctx, ino, -1, from); err != nil {
		return 0, false, err
	}
	if f.append && off != ino.size {
		off, moved = ino.size, true
	}
	if err := fits("write", off, int64(len(p))); err != nil {
		return 0, false, err
	}
	if err := f.fs.dirtied(ino, off, int64(len(p))); err != nil {
		return 0, false, err
	}
	f.wrote.Store(true)
	f.fs.opt.Step("spool write")
	w := ino.w
	n, err = w.file.WriteAt(p, off)
	f.fs.opt.Step("spool written")
	if n > 0 {
		w.wrote(off, int64(n), ino.size)
		ino.grow(off + int64(n))
		f.fs.streamOn(ino, w)
	}
	return n, moved, err
}

// maxSize is the most bytes of a file. In the last page below 2^63 tmpfs takes bytes and then does
// not find them (lseek with SEEK_DATA), so that a cache in memory would lose them; below this size
// no rounding up to blocks leaves an int64 either.
const maxSize = math.MaxInt64 &^ (1<<26 - 1)

// fits refuses a change of [off, off+n) that makes a file too large.
func fits(op string, off, n int64) error {
	if off > maxSize-n {
		return remote.E(
			op, "", remote.TooLarge, fmt.Errorf("%d bytes at %d: a file has at most %d bytes", n, off, int64(maxSize)),
		)
	}
	return nil
}

// alive refuses changes through a file whose bytes were given up since it was opened: half a file
// must not look like a whole one.
func (f *file) alive(op string) error {
	f.ino.mu.Lock()
	defer f.ino.mu.Unlock()
	if f.cancelled != f.ino.cancelled {
		f.told.Store(true)
		return remote.E(op, "", remote.Other, errCancelled)
	}
	return nil
}

// confirm refuses to confirm bytes that were given up since they were written, unless the program
// was told.
func (f *file) confirm(wrote bool) error {
	if !wrote || f.told.Load() {
		return nil
	}
	return f.alive("close")
}

// grow makes a media at least size bytes long. inode.up is held.
func (ino *inode) grow(size int64) {
	ino.mu.Lock()
	ino.size = max(ino.size, size)
	ino.mu.Unlock()
}

// streamOn sends what is written of a new file, chunk by chunk, once it is larger than one.
// inode.up is held.
func (fs *FS) streamOn(ino *inode, w *writing) {
	switch {
	case w.up != nil:
		if w.up.streams() {
			w.up.advance(w.high)
		}
	case ino.isGone(): // nobody wants it in the store, or not yet
	case w.high >= fs.opt.StreamFrom && w.high == ino.size && !fs.store.Facts().Local:
		if w.head != nil && !fs.outgrown(ino, w) {
			return
		}
		name := ""
		_ = fs.cat.View(func(tx *catalog.Tx) error {
			for n := range tx.Names(ino.id) {
				name = n.Name
				break
			}
			return nil
		})
		fs.stream(w, name)
	}
}

// outgrown makes a media that was small and has become a large one whole in the spool, so that it
// can be sent while it is written. It does nothing when bytes would have to be fetched for it.
// inode.up is held.
func (fs *FS) outgrown(ino *inode, w *writing) bool {
	size := int64(w.head.Size)
	if size > fs.opt.WholeBelow || size > ino.size/16 {
		return false
	}
	if w.file.Overlay() {
		err := errNotHere
		if fs.cached(&w.under, 0, size) {
			err = fs.copyIn(fs.ctx, w.file, &w.under, w.file.Missing(0, size))
		}
		if err != nil {
			w.high = 0 // not again with every write
			fs.log.WithError(err).Debug("what was appended to a file is uploaded at its close")
			return false
		}
	}
	w.head = nil
	return true
}

// errNotHere is why something is not done that would have to fetch bytes.
var errNotHere = errors.New("some of the file is not on this disk")

// Allocate is fallocate(2): it extends, punches holes and zeroes.
func (f *file) Allocate(ctx context.Context, mode uint32, off, n int64) error {
	switch mode {
	case 0,
		vfs.AllocateKeepSize,
		vfs.AllocatePunchHole | vfs.AllocateKeepSize,
		vfs.AllocateZeroRange,
		vfs.AllocateZeroRange | vfs.AllocateKeepSize:
	default:
		return remote.E("allocate", "", remote.Unsupported, fmt.Errorf("mode %#x", mode))
	}
	if off < 0 || n <= 0 || off+n < 0 {
		return remote.E("allocate", "", remote.Invalid, nil)
	}
	if mode&vfs.AllocatePunchHole == 0 {
		if err := fits("allocate", off, n); err != nil {
			return err
		}
	}
	ino := f.ino
	if err := f.fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	if err := f.alive("allocate"); err != nil {
		return err
	}
	if mode&vfs.AllocatePunchHole == 0 {
		if err := f.fs.room(ctx, ino, n); err != nil {
			return err
		}
	}
	if err := f.fs.makeWritable(ctx, ino, -1, off); err != nil {
		return err
	}
	if err := f.fs.dirtied(ino, off, n); err != nil {
		return err
	}
	f.wrote.Store(true)
	w, size := ino.w, ino.size
	if err := w.file.Allocate(mode, off, n); err != nil {
		w.dirty.Add(off, min(n, size-off)) // some of it may have happened
		return err
	}
	end := off + n
	if mode&vfs.AllocateKeepSize != 0 {
		end = min(end, size)
	} else if end > size {
		w.dirty.Add(size, end-size)
		ino.grow(end)
	}
	if mode&(vfs.AllocatePunchHole|vfs.AllocateZeroRange) != 0 && off < end {
		w.dirty.Add(off, end-off)
	}
	return nil
}

// Seek finds data (3) or a hole (4) from off on.
func (f *file) Seek(ctx context.Context, off int64, whence uint32) (int64, error) {
	segs, size, err := f.segments()
	if err != nil {
		return 0, err
	}
	return seek(segs, size, off, whence)
}

// seek finds the next data or hole among the segments of a media.
func seek(segs []spool.Segment, size, off int64, whence uint32) (int64, error) {
	const seekData, seekHole = 3, 4
	if off < 0 || off >= size {
		return 0, remote.E("seek", fmt.Sprint(off), remote.Invalid, vfs.ErrNoData)
	}
	for _, s := range segs {
		if off >= s.Offset+s.Length {
			continue
		}
		switch {
		case whence == seekData:
			return max(off, s.Offset), nil
		case whence != seekHole:
			return 0, remote.E("seek", fmt.Sprint(off), remote.Invalid, fmt.Errorf("whence %d", whence))
		case off < s.Offset:
			return off, nil
		}
		off = s.Offset + s.Length
	}
	if whence == seekHole {
		return min(off, size), nil
	}
	return 0, remote.E("seek", fmt.Sprint(off), remote.Invalid, vfs.ErrNoData)
}

// segments lists the data of the media between its holes.
func (f *file) segments() ([]spool.Segment, int64, error) {
	if segs, size, ok, err := f.fs.spoolSegments(f.ino); ok {
		return segs, size, err
	}
	var segs []spool.Segment
	size := int64(0)
	err := f.fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(f.ino.id)
		if n == nil {
			return operation.Missing(tx, "seek", f.ino.id)
		}
		segs, size = headSegments(n.Head)
		return nil
	})
	return segs, size, err
}

// headSegments lists the data of a head between its holes.
func headSegments(h *record.Head) (segs []spool.Segment, size int64) {
	for _, e := range h.GetExtents() {
		s := spool.Segment{Offset: int64(e.Offset), Length: int64(e.Length)}
		if i := len(segs) - 1; i >= 0 && segs[i].Offset+segs[i].Length == s.Offset {
			segs[i].Length += s.Length
			continue
		}
		segs = append(segs, s)
	}
	return segs, int64(h.GetSize())
}

func (fs *FS) spoolSegments(ino *inode) (segs []spool.Segment, size int64, ok bool, err error) {
	ino.io.RLock()
	defer ino.io.RUnlock()
	if ino.w == nil || !fs.current(ino) {
		return nil, 0, false, nil
	}
	segs, err = ino.w.segments()
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return segs, ino.size, true, err
}

// Flush finishes the upload when the process that opened the file closes it; what another process
// left is uploaded a little later. It waits for changes of attributes that were deferred as well.
func (f *file) Flush(ctx context.Context, c vfs.Caller) error {
	wrote := f.wrote.Load()
	if !wrote && !(f.writes && f.ino.owesAttributes()) {
		return nil
	}
	f.fs.opt.Step("flush")
	defer f.fs.opt.Step("flushed")
	if g := f.fs.opt.ThreadGroup(c.PID); g != 0 && f.opener != 0 && g != f.opener {
		if wrote {
			f.fs.uploads.queueBehind(f.ino)
		}
		return nil
	}
	switch {
	case wrote && f.fs.background():
		return f.fs.keep(ctx, f)
	case wrote:
		return f.Fsync(ctx)
	case f.fs.background():
		return f.fs.keepAttributes(f.ino)
	}
	return f.fs.awaitAttributes(ctx, f.ino)
}

// keep is a close that returns when bytes and catalog entry survive a loss of power here, and are
// queued for the store.
func (fs *FS) keep(ctx context.Context, f *file) error {
	wrote := f.wrote.Swap(false)
	if err := fs.syncSpool(ctx, f.ino); err != nil {
		f.wrote.Store(true)
		return err
	}
	return errors.Join(f.confirm(wrote), f.ino.told(0))
}

// syncSpool makes what is in the spool of a media survive a loss of power, with what the outbox
// still has, and queues its upload.
func (fs *FS) syncSpool(ctx context.Context, ino *inode) error {
	if err := fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	if ino.w == nil || !ino.isDirty() || ino.isUnnamed() {
		return fs.cat.Sync()
	}
	ino.mu.Lock()
	mtime := ino.mtime
	ino.mu.Unlock()
	d := ino.w.file.Description()
	d.MtimeSet, d.Mtime, d.MtimeNS = true, mtime.Sec, mtime.Nsec
	if err := errors.Join(ino.w.file.SyncAs(d), fs.cat.Sync()); err != nil {
		return err
	}
	fs.uploads.queue(ino, 0)
	return nil
}

// Fsync uploads what is in the spool.
func (f *file) Fsync(ctx context.Context) error {
	wrote := f.wrote.Swap(false)
	err := f.fs.uploadWithin(ctx, f.ino, false)
	if err != nil {
		f.wrote.Store(true)
		f.fs.uploads.queue(f.ino, f.fs.opt.RetryInterval)
		return err
	}
	if err := f.confirm(wrote); err != nil {
		return err
	}
	owed := f.ino.owedAttributes()
	if err := f.fs.flushCatalog(ctx); err != nil {
		return err
	}
	return f.ino.told(owed)
}

// flushCatalog waits, as long as close may, until what was changed before is in the log. It waits
// for nothing unless an operation's caller was told of an outage, or did not wait because it was
// deferred: all others have waited themselves.
func (fs *FS) flushCatalog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fs.uploadTimeout())
	defer cancel()
	return fs.cat.Flush(ctx)
}

// Release ends the file.
func (f *file) Release() {
	if !f.done.CompareAndSwap(false, true) {
		return
	}
	f.readers.close()
	if f.writes {
		f.fs.mu.Lock()
		f.ino.writers--
		f.fs.mu.Unlock()
		f.fs.settle(f.ino)
	}
	f.fs.release(f.ino)
}

// threadGroup reads the process of a thread from /proc; 0 when it is gone or hidden.
func threadGroup(tid uint32) uint32 {
	if tid == 0 {
		return 0
	}
	fh, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0
	}
	defer fh.Close()
	for s := bufio.NewScanner(fh); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "Tgid:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
			if err != nil {
				return 0
			}
			return uint32(n)
		}
	}
	return 0
}
