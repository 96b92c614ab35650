package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/cache/block"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// parallelChunks is how many chunks of one upload are on their way at once.
const parallelChunks = 4

// An upstream is a content on its way to the store: runs of a spool file, in chunks.
//
// While a large file is written from its beginning on, it streams: a goroutine sends each chunk
// when the writer is past it. Writing to a chunk that was sent makes that stale: it is sent again
// at the end. Once it is halted nothing runs, and send does the rest. It lives until a head refers
// to the content, over failures, and over a restart when the runs are all of the file.
type upstream struct {
	id   []byte
	name string
	file *spool.File
	segs []spool.Segment // what is sent; nil while it streams: the file, however long it gets
	size int64           // as the store was told; -1
	sums sums

	cancel context.CancelFunc // of the stream
	done   chan struct{}      // closed when the stream has ended; nil: it never streamed

	mu     sync.Mutex
	more   chan struct{} // signalled when high grows or no chunk is to begin any more
	up     remote.Upload // nil until the store was asked
	token  string        // to resume with, instead of up
	high   int64         // how far the file is written
	begun  int           // chunks that were or are being sent
	stale  map[int]bool  // of those, written to since
	halted bool
}

func newUpstream(file *spool.File, name string) *upstream {
	u := &upstream{id: make([]byte, 16), name: name, file: file, stale: make(map[int]bool)}
	rand.Read(u.id)
	return u
}

// resumed takes up what an earlier process had begun; nil when it left nothing.
func resumed(f *spool.File, d spool.Description) *upstream {
	id := unhex(d.Content)
	if d.Upload == "" || len(id) != 16 || !f.SameBoot() {
		return nil
	}
	u := &upstream{
		id:     id,
		name:   string(d.Name),
		file:   f,
		size:   d.Size,
		token:  d.Upload,
		stale:  make(map[int]bool),
		halted: true,
	}
	for _, i := range d.Stale {
		u.stale[i] = true
	}
	return u
}

// streams tells whether chunks are sent while the file grows.
func (u *upstream) streams() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.done != nil && !u.halted
}

// progress is how many bytes of it are in the store.
func (u *upstream) progress() (n int64) {
	if u == nil {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.up == nil {
		return 0
	}
	chunk := u.up.Needs().ChunkSize
	for i := 0; int64(i)*chunk < max(u.size, u.high); i++ {
		if u.up.Has(i) && !u.stale[i] {
			n += chunk
		}
	}
	return n
}

// fits tells whether it has the runs of a media of size bytes.
func (u *upstream) fits(segs []spool.Segment, size int64) bool {
	whole := len(segs) == 1 && segs[0] == spool.Segment{Offset: 0, Length: size}
	switch {
	case u.segs != nil:
		return slices.Equal(u.segs, segs)
	case u.size >= 0:
		return whole && u.size == size
	}
	return whole
}

// describe notes in the description of the spool file what another process needs to go on. The
// caller describes.
func (u *upstream) describe(d *spool.Description) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.Content = hex.EncodeToString(u.id)
	d.Upload, d.Size, d.Stale = "", 0, nil
	token := u.token
	if u.up != nil {
		token = u.up.Token()
	}
	if token != "" && u.segs == nil {
		d.Upload, d.Size, d.Stale = token, u.size, slices.Sorted(maps.Keys(u.stale))
	}
}

// touch notes that [off, off+n) is about to be written to while it streams.
func (u *upstream) touch(off, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.high = min(u.high, off) // no chunk begins with bytes that are about to change, until advance
	if u.begun == 0 || n <= 0 {
		return
	}
	chunk := u.up.Needs().ChunkSize
	for i := int(off / chunk); i < u.begun && int64(i)*chunk < off+n; i++ {
		u.stale[i] = true
	}
}

// reaches tells whether chunks from size on were sent already.
func (u *upstream) reaches(size int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.high = min(u.high, size) // and none does from here on
	return u.begun > 0 && int64(u.begun)*u.up.Needs().ChunkSize > size
}

// advance tells a stream how far the file is written.
func (u *upstream) advance(high int64) {
	u.mu.Lock()
	u.high = high
	u.mu.Unlock()
	u.signal()
}

func (u *upstream) signal() {
	select {
	case u.more <- struct{}{}:
	default:
	}
}

// stream begins to send a file that is being written. inode.up is held.
func (fs *FS) stream(w *writing, name string) {
	u := newUpstream(w.file, name)
	u.size, u.more, u.done, u.high = -1, make(chan struct{}, 1), make(chan struct{}), w.high
	ctx, cancel := context.WithCancel(fs.ctx)
	u.cancel = cancel
	begun := fs.spawn(func() {
		defer close(u.done)
		defer cancel()
		if err := fs.sendWhileWritten(ctx, u); err != nil && ctx.Err() == nil {
			fs.log.WithError(err).
				WithField("name", name).
				Info("a file is not uploaded while it is written; it will be at its close")
		}
	})
	if !begun {
		cancel()
		return
	}
	w.sends(u)
}

func (fs *FS) sendWhileWritten(ctx context.Context, u *upstream) error {
	head := make([]byte, 512)
	n, err := u.file.ReadAt(head, 0)
	if err != nil && !isEOF(err) {
		return err
	}
	spec := remote.UploadSpec{ID: hex.EncodeToString(u.id), Name: u.name, Size: -1, Type: mediaType(head[:n], u.name)}
	up, err := fs.store.StartUpload(ctx, spec)
	if err != nil {
		return err
	}
	needs := up.Needs()
	if !needs.EarlyParts || needs.Size {
		return remote.E("upload while writing", u.name, remote.Unsupported, nil)
	}
	u.mu.Lock()
	u.up = up
	u.mu.Unlock()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelChunks)
	for i := 0; u.begin(gctx, i, needs.ChunkSize); i++ {
		from, to := int64(i)*needs.ChunkSize, int64(i+1)*needs.ChunkSize
		if err := u.sums.read(u.file, to/block.BlockSize*block.BlockSize, u.name); err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			fs.opt.Step("chunk")
			err := fs.patiently(
				gctx, func() error { return up.PutChunk(gctx, i, io.NewSectionReader(u.file, from, to-from)) },
			)
			fs.opt.Step("chunk sent")
			return err
		})
	}
	return g.Wait()
}

// begin waits until chunk i is written and marks it as begun; false when it is not to be sent by
// the stream.
func (u *upstream) begin(ctx context.Context, i int, chunk int64) bool {
	for {
		u.mu.Lock()
		halted, ready := u.halted, u.high > int64(i+1)*chunk
		if !halted && ready {
			u.begun = i + 1
		}
		u.mu.Unlock()
		if halted || ready {
			return ready && !halted
		}
		select {
		case <-u.more:
		case <-ctx.Done():
			return false
		}
	}
}

// patiently repeats a request while the store is not reached.
func (fs *FS) patiently(ctx context.Context, request func() error) error {
	pause := min(fs.opt.RetryInterval, time.Second)
	for {
		err := request()
		if k := remote.KindOf(err); k != remote.Unavailable && k != remote.Throttled {
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

// halt has the stream begin no more chunks, and waits for those under way.
func (u *upstream) halt(ctx context.Context) error {
	if u.done == nil {
		return nil
	}
	u.mu.Lock()
	u.halted = true
	u.mu.Unlock()
	u.signal()
	select {
	case <-u.done:
		return nil
	case <-ctx.Done():
		return remote.E("upload", u.name, remote.KindOf(ctx.Err()), ctx.Err())
	}
}

// dropUpstream gives up what was sent of a spool file. inode.up is held. The store is told behind.
func (fs *FS) dropUpstream(w *writing) {
	u := w.up
	if w.sends(nil); u == nil {
		return
	}
	if u.done != nil {
		u.cancel()
		<-u.done // it reads the file
	}
	if u.up != nil {
		fs.spawn(func() { fs.abort(u.up) })
	}
}

// abort drops an upload, within a bounded time of its own: the caller's may be over.
func (fs *FS) abort(up remote.Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(fs.ctx), 10*time.Second)
	defer cancel()
	if err := up.Abort(ctx); err != nil {
		fs.log.WithError(err).Debug("an upload was left unfinished in the store")
	}
}

// finish sends what is missing and makes the content whole. inode.up is held, and the stream is
// halted.
func (fs *FS) finish(ctx context.Context, w *writing, body *segmentReader) (*record.Content, error) {
	u := w.up
	u.mu.Lock()
	again := len(u.stale) > 0
	u.mu.Unlock()
	if again {
		u.sums = sums{}
	}
	if err := u.sums.read(body, body.size, u.name); err != nil {
		return nil, err
	}
	id, err := fs.sendBytes(ctx, w, u, body)
	if err != nil {
		return nil, err
	}
	c := &record.Content{
		Size:     uint64(body.size),
		HasCrc32: true,
		Crc32:    u.sums.crc,
		Type:     u.sums.kind,
		Time:     stamp(vfs.TimeOf(fs.opt.Now())),
	}
	return c, fs.storeSums(ctx, id, c, u.sums.blocks)
}

// storeSums puts the checksums of a content's blocks into its record, or beside it when they are
// many.
func (fs *FS) storeSums(ctx context.Context, id remote.ContentID, c *record.Content, blocks []uint32) error {
	b := encodeSums(blocks)
	if len(blocks) <= record.MaxInlineSums {
		c.BlockSums = b
		return nil
	}
	side, ok := fs.store.(sideStore)
	if !ok {
		return remote.E("store checksums", id.ID, remote.Unsupported, nil)
	}
	sum := sha256.Sum256(b)
	c.SideSum = sum[:]
	return side.PutSide(ctx, id, sumSuffix, b)
}

// sendBytes uploads: by giving the file away where the store can take it, in chunks otherwise.
func (fs *FS) sendBytes(ctx context.Context, w *writing, u *upstream, body *segmentReader) (remote.ContentID, error) {
	spec := remote.UploadSpec{ID: hex.EncodeToString(u.id), Name: u.name, Size: body.size, Type: u.sums.kind}
	if fu, ok := fs.store.(remote.FileUploader); ok && u.up == nil && u.token == "" && u.segs == nil &&
		!w.file.Overlay() {
		// The store gets a second name of the file: should this process die now, the spool still
		// has the bytes.
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
	if u.up == nil {
		if spec.Resume = u.token; u.token != "" {
			spec.Size = u.size
		}
		up, err := fs.store.StartUpload(ctx, spec)
		if err != nil {
			return remote.ContentID{}, err
		}
		u.mu.Lock()
		u.up, u.size = up, spec.Size
		u.mu.Unlock()
		d := w.file.Description()
		u.describe(&d)
		if err := w.file.Describe(d); err != nil {
			return remote.ContentID{}, err
		}
	}
	chunk := u.up.Needs().ChunkSize
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelChunks)
	chunks := 0
	for off := int64(0); off < body.size; off += chunk {
		i := chunks
		chunks++
		if u.up.Has(i) && !u.stale[i] {
			continue
		}
		r := io.NewSectionReader(body, off, min(chunk, body.size-off))
		g.Go(func() error {
			fs.opt.Step("chunk")
			err := u.up.PutChunk(gctx, i, r)
			fs.opt.Step("chunk sent")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return remote.ContentID{}, err
	}
	fs.opt.Step("complete")
	defer fs.opt.Step("completed")
	return u.up.Commit(ctx, chunks, body.size)
}

// sums are the checksums of a content, and its type, as far as it was read.
type sums struct {
	at     int64 // a multiple of a block, until all was read
	blocks []uint32
	crc    uint32
	kind   string
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// read goes on to byte to.
func (s *sums) read(r io.ReaderAt, to int64, name string) error {
	buf := make([]byte, block.BlockSize)
	for s.at < to {
		p := buf[:min(block.BlockSize, to-s.at)]
		if n, err := r.ReadAt(p, s.at); n < len(p) {
			return remote.E("read spool", name, remote.KindOf(err), short(err))
		}
		if s.at == 0 {
			s.kind = mediaType(p, name)
		}
		s.blocks = append(s.blocks, crc32.Checksum(p, castagnoli))
		s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
		s.at += int64(len(p))
	}
	return nil
}

// short is the error of a read that ended before what is known to be there.
func short(err error) error {
	if err == nil || isEOF(err) {
		return fmt.Errorf("it ends early: %w", io.ErrUnexpectedEOF)
	}
	return err
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
