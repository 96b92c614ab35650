package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A rewriter makes media whole again that edits have left in many extents: each run of a media that
// has no hole becomes one content, which the store makes out of those it has, when that costs less
// than it is worth (rewritePays). It is never part of a close, and nothing is lost when it is given
// up.
type rewriter struct {
	fs   *FS
	wake chan struct{}

	mu sync.Mutex
	// Guarded by mu:
	due  map[vfs.ID]time.Time
	busy bool
}

func newRewriter(fs *FS) *rewriter {
	return &rewriter{fs: fs, wake: make(chan struct{}, 1), due: make(map[vfs.ID]time.Time)}
}

// queue has a media rewritten when it was left alone for a while from now on.
func (r *rewriter) queue(id vfs.ID) {
	r.mu.Lock()
	r.due[id] = time.Now().Add(r.fs.opt.RewriteAfter)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *rewriter) loop() {
	defer r.fs.wg.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for r.fs.awaitLog() {
		id, wait := r.next()
		if id != 0 {
			err := r.fs.rewriteMedia(r.fs.ctx, id)
			log := r.fs.log.WithField("node", id)
			switch k := remote.KindOf(err); {
			case err == nil:
				log.Debug("a media in many parts was looked at")
			case k == remote.Unavailable || k == remote.Throttled:
				r.queue(id)
			default:
				log.WithError(err).Info("a media is not made whole again; it is read from the parts that it has")
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-r.fs.ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// next takes a media that is due, or tells how long to wait for one.
func (r *rewriter) next() (vfs.ID, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := time.Hour
	r.busy = false
	for id, due := range r.due {
		if d := time.Until(due); d > 0 {
			wait = min(wait, d)
			continue
		}
		delete(r.due, id)
		r.busy = true
		return id, 0
	}
	return 0, wait
}

// rewriteMedia puts the bytes of a media's head into as few contents as they can be.
func (fs *FS) rewriteMedia(ctx context.Context, id vfs.ID) error {
	composer, ok := fs.store.(remote.Composer)
	if !ok {
		return remote.E("rewrite", "", remote.Unsupported, nil)
	}
	var head *record.Head
	var l layout
	var kind string
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil || tx.Orphan(id) || len(n.Head.GetExtents()) < fs.opt.RewriteFrom {
			return tx.Err()
		}
		head = n.Head
		if c := tx.Content(head.Extents[0].Content); c != nil && head.Extents[0].ContentOffset == 0 {
			kind = c.Type
		}
		var err error
		l, err = fs.layoutOf(tx, head, 0, int64(head.Size))
		return err
	})
	if err != nil || head == nil {
		return err
	}
	ino := fs.hold(id)
	defer fs.release(ino)
	if ino.isLocal() {
		fs.rewrite.queue(id) // it is being edited
		return nil
	}
	var runs spool.Ranges
	for _, x := range l.extents {
		runs.Add(x.off, x.n)
	}
	segs := runs.In(0, l.size)
	if len(segs) == len(l.extents) {
		return nil // holes are all that keeps them apart
	}
	r := readers{cache: fs.cache}
	defer r.close()
	body := &segmentReader{media: layoutReader{ctx, &l, &r}, segs: segs}
	whole := &record.Head{Size: head.Size, Time: head.Time, Client: head.Client}
	u := newUpstream(nil, "")
	for _, s := range segs {
		whole.Extents = append(
			whole.Extents,
			&record.Extent{
				Offset:        uint64(s.Offset),
				Length:        uint64(s.Length),
				Content:       u.id,
				ContentOffset: uint64(body.size),
			},
		)
		body.size += s.Length
	}
	pieces := piecesOf(l.extents)
	sends, err := composer.Sends(body.size, pieces)
	if err != nil {
		return err
	}
	if fs.store.Facts().Local {
		sends = []remote.Run{{Length: body.size}} // what is copied there is read and written here
	}
	blocks, reads, err := l.composeSums(ctx, body.size, pieces)
	if err != nil || !fs.rewritePays(&l, body, sends, reads) {
		return err
	}
	if err := sumBlocks(body, blocks, reads); err != nil {
		return err
	}
	spec := remote.UploadSpec{ID: hex.EncodeToString(u.id), Size: body.size, Type: kind}
	cid, err := composer.Compose(ctx, spec, &fenced{body, sends}, pieces)
	if err != nil {
		return err
	}
	c := &record.Content{Size: uint64(body.size), Type: kind, Time: stamp(vfs.TimeOf(fs.opt.Now()))}
	if err := fs.storeSums(ctx, cid, c, blocks); err != nil {
		return err
	}
	// Bytes in the spool say which head they are to replace: that does not change under them.
	if !ino.tryLock() {
		fs.rewrite.queue(id)
		return nil
	}
	defer ino.unlock()
	if ino.isLocal() {
		fs.rewrite.queue(id)
		return nil
	}
	in := fs.newIntent(intent.Kind_REWRITE, vfs.Caller{})
	in.Node, in.Head, in.Value = id, whole, []byte(operation.TargetOf(head))
	in.Contents = []*intent.Content{{Id: u.id, Content: c}}
	if _, err = fs.do(ctx, in); errors.Is(err, remote.Stale) || errors.Is(err, remote.NotExist) {
		return nil // it was edited or deleted meanwhile
	}
	fs.rewritten(id, head, whole)
	return err
}

// rewritten notes that the kernel's pages of a media are those of its new head as well.
func (fs *FS) rewritten(id vfs.ID, old, whole *record.Head) {
	ino := fs.hold(id)
	defer fs.release(ino)
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if ino.pages == operation.HeadID(old) {
		ino.pages = operation.HeadID(whole)
	}
}

// piecesOf says where a content of all extents, one after the other, has the bytes of their
// contents.
func piecesOf(extents []extent) []remote.Piece {
	var ps []remote.Piece
	at := int64(0)
	for _, x := range extents {
		if x.inline == nil {
			ps = append(ps, remote.Piece{Offset: at, Length: x.n, Source: x.content.ID, From: x.from})
		}
		at += x.n
	}
	return ps
}

// rewritePays reports whether a media is worth being made whole: what is sent for it must not
// exceed by more than a quarter what its largest content has not, so that over all times it is made
// whole about as much is sent as was written; and little is fetched for it.
func (fs *FS) rewritePays(l *layout, body *segmentReader, sends, reads []remote.Run) bool {
	byContent := make(map[remote.ContentID]int64)
	largest := int64(0)
	for _, x := range l.extents {
		byContent[x.content.ID] += x.n
		largest = max(largest, byContent[x.content.ID])
	}
	sent, fetched := int64(0), int64(0)
	var needed spool.Ranges
	for _, s := range sends {
		sent += s.Length
		needed.Add(s.Offset, s.Length)
	}
	if sent > 5*(body.size-largest)/4 {
		return false
	}
	for _, s := range reads {
		needed.Add(s.Offset, s.Length)
	}
	for _, s := range needed.In(0, body.size) {
		for off := s.Offset; off < s.End() && fetched <= fs.opt.RewriteFetch; off += block.BlockSize {
			n := min(block.BlockSize, s.End()-off)
			for _, m := range body.at(off, n) {
				if !fs.store.Facts().Local && !fs.cached(l, m.Offset, m.Length) {
					fetched += m.Length
				}
			}
		}
	}
	return fetched <= fs.opt.RewriteFetch
}

// fenced is a body of which nothing is read but what the store had said it would send: one that
// cannot copy shall not have all of a media sent.
type fenced struct {
	io.ReaderAt
	runs []remote.Run
}

func (f *fenced) ReadAt(p []byte, off int64) (int, error) {
	for _, r := range f.runs {
		if off >= r.Offset && off+int64(len(p)) <= r.Offset+r.Length {
			return f.ReaderAt.ReadAt(p, off)
		}
	}
	return 0, remote.E("rewrite", "", remote.Unsupported, errors.New("the store does not copy parts of contents"))
}

// composeSums gives the checksums of a composed content's blocks that are those of a block of its
// parts, and which blocks are to be read for theirs.
func (l *layout) composeSums(
	ctx context.Context, size int64, pieces []remote.Piece,
) (blocks []uint32, reads []remote.Run, err error) {
	contents := make(map[remote.ContentID]*block.Content)
	for i := range l.extents {
		contents[l.extents[i].content.ID] = &l.extents[i].content
	}
	for off := int64(0); off < size; off += block.BlockSize {
		n := min(block.BlockSize, size-off)
		for len(pieces) > 0 && pieces[0].Offset+pieces[0].Length <= off {
			pieces = pieces[1:]
		}
		sum, ok := uint32(0), false
		if len(pieces) > 0 {
			if sum, ok, err = sumOf(ctx, contents[pieces[0].Source], pieces[0], off, n); err != nil {
				return nil, nil, err
			}
		}
		if !ok {
			reads = append(reads, remote.Run{Offset: off, Length: n})
		}
		blocks = append(blocks, sum)
	}
	return blocks, reads, nil
}

// sumBlocks reads the blocks whose checksums nobody knows.
func sumBlocks(body io.ReaderAt, blocks []uint32, reads []remote.Run) error {
	buf := make([]byte, block.BlockSize)
	for _, r := range reads {
		p := buf[:r.Length]
		if n, err := body.ReadAt(p, r.Offset); n < len(p) {
			return remote.E("rewrite", "", remote.KindOf(err), short(err))
		}
		blocks[r.Offset/block.BlockSize] = crc32.Checksum(p, castagnoli)
	}
	return nil
}

// sumOf gives the checksum of n bytes at off of a composed content when they are a block of the
// piece's source.
func sumOf(ctx context.Context, c *block.Content, p remote.Piece, off, n int64) (uint32, bool, error) {
	from := p.From + off - p.Offset
	if off < p.Offset || off+n > p.Offset+p.Length || from%block.BlockSize != 0 ||
		n < block.BlockSize && from+n != c.Size {
		return 0, false, nil
	}
	if c.Sums == nil && c.LoadSums != nil {
		sums, err := c.LoadSums(ctx)
		if err != nil {
			return 0, false, err
		}
		c.Sums = sums
	}
	if i := from / block.BlockSize; i < int64(len(c.Sums)) {
		return c.Sums[i], true, nil
	}
	return 0, false, nil
}

// layoutReader is a layout as an io.ReaderAt.
type layoutReader struct {
	ctx context.Context
	l   *layout
	r   *readers
}

func (v layoutReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := v.l.readAt(v.ctx, v.r, p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}
