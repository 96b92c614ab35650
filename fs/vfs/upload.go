package vfs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// sent is a spool file's content in the store, before a head refers to it.
type sent struct {
	head     *record.Head
	contents []*intent.Content
}

// parallelChunks is how many chunks of one upload are on their way at once.
const parallelChunks = 4

// minHoles is how many bytes of holes make an upload leave them out; with fewer, the content is exactly the file.
const minHoles = 1 << 20

// errClosing is why nothing is waited for any more.
var errClosing = errors.New("the library is being unmounted; what was written stays in the spool and goes on at the next mount")

// uploadWithin uploads an inode's spool file and tries again, within the time that close may take, while the store is not reached.
func (fs *FS) uploadWithin(ctx context.Context, ino *inode) error {
	ctx, cancel := context.WithTimeout(ctx, fs.opt.UploadTimeout)
	defer cancel()
	defer context.AfterFunc(fs.ctx, cancel)()
	pause := min(fs.opt.RetryInterval, time.Second)
	for {
		err := fs.upload(ctx, ino)
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

// upload makes what is in the spool file the media's head: content first, then one operation. Writers of the
// same media wait, readers do not. It returns nil when there is nothing to upload any more.
func (fs *FS) upload(ctx context.Context, ino *inode) (err error) {
	if !ino.isDirty() {
		return nil // nothing, or an upload that others wait for holds what came before
	}
	if err := fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	if ino.w == nil || !ino.isDirty() {
		return nil
	}
	defer func() {
		ino.mu.Lock()
		ino.lastErr = err
		ino.mu.Unlock()
	}()
	for range 5 {
		err = fs.uploadOnce(ctx, ino, ino.w)
		if !errors.Is(err, errOrphan) {
			return err
		}
		// It lost its last name while its head was on its way: look at it again.
	}
	return err
}

func (fs *FS) uploadOnce(ctx context.Context, ino *inode, w *writing) error {
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
	in.Head, in.Contents = w.sent.head, w.sent.contents
	ino.mu.Lock()
	mtime := ino.mtime
	ino.mu.Unlock()
	in.Change = &intent.Change{Mtime: stamp(mtime)}
	if _, err := fs.do(ctx, in); err != nil {
		return err
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
		if err := fs.changeAttr(ctx, Caller{}, ino.id, AttrChange{Mtime: &set}); err != nil && !errors.Is(err, remote.NotExist) {
			return err
		}
	}
}

// headIntent decides what the bytes of a spool file become: the head, a version of a media that another node holds now or whose head is newer, or
// nothing, when nobody can reach them any more.
func (fs *FS) headIntent(ino *inode, w *writing) (in *intent.Intent, wanted bool, err error) {
	in = fs.newIntent(intent.Kind_SET_HEAD, Caller{})
	in.Node = ino.id
	d := w.file.Description()
	ino.mu.Lock()
	gone, saved := ino.gone, ino.saved
	ino.mu.Unlock()
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(ino.id)
		orphan := n != nil && tx.Orphan(ino.id)
		if n != nil {
			d = describe(tx, ino.id, n)
		}
		in.Parent, in.Name, in.Mode, in.Uid, in.Gid, in.MediaId = d.Parent, d.Name, d.Mode, d.UID, d.GID, d.Media
		named := n != nil && !orphan
		switch {
		case named && !saved:
			wanted = true
		case named || livesOn(tx, d.Media, ino.id):
			in.Kind, wanted = intent.Kind_LATE_VERSION, true
		case n == nil && !gone:
			in.Restore, wanted = true, true
			if len(in.MediaId) == 0 {
				in.MediaId = newMediaID()
			}
		}
		return tx.Err()
	})
	return in, wanted, err
}

// livesOn tells whether a media that was node's went over to another node by a rename.
func livesOn(tx *catalog.Tx, media []byte, node ID) bool {
	if len(media) == 0 {
		return false
	}
	for k := range tx.Records(record.VersionPrefix(media)) {
		var v record.Version
		if tx.Load(k, &v) && v.Node == node && v.Reason == replacedByRename {
			return true
		}
	}
	return false
}

// uploaded notes that the spool file's bytes are the media's head now.
func (fs *FS) uploaded(ino *inode, w *writing) error {
	d := w.file.Description()
	d.Dirty, d.Base = false, baseOf(w.sent.head)
	if err := w.file.Describe(d); err != nil {
		return err
	}
	w.base = headID(w.sent.head)
	ino.mu.Lock()
	if ino.pages == spooled {
		ino.pages = w.base
	}
	ino.mu.Unlock()
	ino.clean()
	return nil
}

// unwanted notes that the store needs nothing of a spool file any more, though its bytes are of no head. Who has it open reads them.
func (fs *FS) unwanted(ino *inode, w *writing) error {
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

// send stores the bytes of the spool file as a content and fills w.sent.
func (fs *FS) send(ctx context.Context, ino *inode, w *writing, name string) error {
	ino.mu.Lock()
	size := ino.size
	ino.mu.Unlock()
	segs, err := uploadSegments(w.file, size)
	if err != nil {
		return err
	}
	body := &segmentReader{file: w.file, segs: segs, fileSize: size}
	for _, s := range segs {
		body.size += s.Length
	}
	head := &record.Head{Size: uint64(size)}
	if body.size == 0 {
		w.sent = &sent{head: head}
		return nil
	}
	id := make([]byte, 16)
	rand.Read(id)
	off := uint64(0)
	for _, s := range segs {
		head.Extents = append(head.Extents, &record.Extent{Offset: uint64(s.Offset), Length: uint64(s.Length), Content: id, ContentOffset: off})
		off += uint64(s.Length)
	}
	// A process that finds the content in the catalog knows that these bytes are done with. The file's own time changes when a store takes it.
	d := w.file.Description()
	d.Content = hex.EncodeToString(id)
	ino.mu.Lock()
	d.MtimeSet, d.Mtime, d.MtimeNS = true, ino.mtime.Sec, ino.mtime.Nsec
	ino.mu.Unlock()
	if err := w.file.Describe(d); err != nil {
		return err
	}
	c, sums, err := describeContent(body, name)
	if err != nil {
		return err
	}
	c.Time = stamp(TimeOf(fs.opt.Now()))
	spec := remote.UploadSpec{ID: d.Content, Name: name, Size: body.size, Type: c.Type}
	cid, err := fs.sendBytes(ctx, w, spec, body)
	if err != nil {
		return err
	}
	if len(sums) > record.MaxInlineSums {
		side, ok := fs.store.(sideStore)
		if !ok {
			return remote.E("store checksums", d.Content, remote.Unsupported, nil)
		}
		b := encodeSums(sums)
		h := sha256.Sum256(b)
		if err := side.PutSide(ctx, cid, sumSuffix, b); err != nil {
			return err
		}
		c.SideSum = h[:]
	} else {
		c.BlockSums = encodeSums(sums)
	}
	w.sent = &sent{head: head, contents: []*intent.Content{{Id: id, Content: c}}}
	return nil
}

// sendBytes uploads: by giving the file away where the store can take it, in chunks otherwise.
func (fs *FS) sendBytes(ctx context.Context, w *writing, spec remote.UploadSpec, body *segmentReader) (remote.ContentID, error) {
	if fu, ok := fs.store.(remote.FileUploader); ok && body.whole() {
		// The store gets a second name of the file: should this process die now, the spool still has the bytes.
		link := w.file.Path() + spool.LinkSuffix
		os.Remove(link)
		if err := os.Link(w.file.Path(), link); err == nil {
			id, err := fu.UploadFile(ctx, spec, link)
			os.Remove(link)
			if err == nil {
				w.shared = true
				return id, nil
			}
			if !errors.Is(err, remote.Unsupported) {
				return remote.ContentID{}, err
			}
		}
	}
	up, err := fs.store.StartUpload(ctx, spec)
	if err != nil {
		return remote.ContentID{}, err
	}
	chunk := up.Needs().ChunkSize
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelChunks)
	chunks := 0
	for off := int64(0); off < body.size; off += chunk {
		i := chunks
		r := io.NewSectionReader(body, off, min(chunk, body.size-off))
		g.Go(func() error { return up.PutChunk(gctx, i, r) })
		chunks++
	}
	if err := g.Wait(); err != nil {
		return remote.ContentID{}, errors.Join(err, fs.abort(up))
	}
	id, err := up.Commit(ctx, chunks, body.size)
	if err != nil && remote.KindOf(err) != remote.Unavailable {
		err = errors.Join(err, fs.abort(up))
	}
	return id, err
}

// abort drops an upload that failed, within a bounded time of its own: the caller's may be over.
func (fs *FS) abort(up remote.Upload) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(fs.ctx), 10*time.Second)
	defer cancel()
	if err := up.Abort(ctx); err != nil {
		fs.log.WithError(err).Debug("an upload was left unfinished in the store")
	}
	return nil
}

// describeContent reads all of a body once for its checksums and type.
func describeContent(body *segmentReader, name string) (*record.Content, []uint32, error) {
	c := &record.Content{Size: uint64(body.size), HasCrc32: true}
	table := crc32.MakeTable(crc32.Castagnoli)
	sums := make([]uint32, 0, (body.size+block.BlockSize-1)/block.BlockSize)
	buf := make([]byte, block.BlockSize)
	for off := int64(0); off < body.size; off += block.BlockSize {
		p := buf[:min(block.BlockSize, body.size-off)]
		if _, err := body.ReadAt(p, off); err != nil && !isEOF(err) {
			return nil, nil, remote.E("read spool", name, remote.Other, err)
		}
		if off == 0 {
			c.Type = mediaType(p, name)
		}
		sums = append(sums, crc32.Checksum(p, table))
		c.Crc32 = crc32.Update(c.Crc32, crc32.IEEETable, p)
	}
	return c, sums, nil
}

// mediaType sniffs a type from the first bytes, and asks the name when they say nothing.
func mediaType(p []byte, name string) string {
	t := http.DetectContentType(p)
	if t == "application/octet-stream" {
		if byName := mime.TypeByExtension(path.Ext(name)); byName != "" {
			return byName
		}
	}
	return t
}

// uploadSegments gives the runs of a file that are uploaded: all of it, or, when it has holes worth leaving out, its data in at most
// as many runs as a head has extents.
func uploadSegments(f *spool.File, size int64) ([]spool.Segment, error) {
	segs, err := f.Segments()
	if err != nil {
		return nil, err
	}
	data := int64(0)
	for _, s := range segs {
		data += s.Length
	}
	if size-data < minHoles {
		if size == 0 {
			return nil, nil
		}
		return []spool.Segment{{Offset: 0, Length: size}}, nil
	}
	if len(segs) <= record.MaxExtents {
		return segs, nil
	}
	// Keep the widest gaps.
	gaps := make([]int, len(segs)-1) // gap i is before segment i+1
	for i := range gaps {
		gaps[i] = i
	}
	width := func(i int) int64 { return segs[i+1].Offset - segs[i].Offset - segs[i].Length }
	sort.Slice(gaps, func(a, b int) bool { return width(gaps[a]) > width(gaps[b]) })
	keep := make(map[int]bool)
	for _, g := range gaps[:record.MaxExtents-1] {
		keep[g] = true
	}
	out := segs[:1:1]
	for i, s := range segs[1:] {
		last := &out[len(out)-1]
		if keep[i] {
			out = append(out, s)
		} else {
			last.Length = s.Offset + s.Length - last.Offset
		}
	}
	return out, nil
}

// segmentReader reads runs of a file as if they followed each other.
type segmentReader struct {
	file     *spool.File
	fileSize int64 // size of the file
	segs     []spool.Segment
	size     int64 // of the runs
}

// whole tells whether the runs are all of the file.
func (r *segmentReader) whole() bool { return len(r.segs) == 1 && r.size == r.fileSize }

func (r *segmentReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= r.size {
		return 0, io.EOF
	}
	done := 0
	start := int64(0)
	for _, s := range r.segs {
		end := start + s.Length
		if off < end && done < len(p) {
			n := min(int64(len(p)-done), end-off)
			m, err := r.file.ReadAt(p[done:done+int(n)], s.Offset+off-start)
			done += m
			off += int64(m)
			if int64(m) < n {
				return done, fmt.Errorf("the spool file ends early: %w", errors.Join(err, io.ErrUnexpectedEOF))
			}
		}
		start = end
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
