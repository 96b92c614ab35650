package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// An overlay is what a file knows of which of its bytes are its own. All others are those of the
// content that it lies over, and holes in the file. It is kept in a journal beside the bytes,
// written so that killing the process at any moment leaves each byte as it was or as it was being
// made, never a hole in the place of either:
//
//   - inside of the file, bytes come first and their record second: without it they are not looked
//     at;
//   - beyond its end, the record comes first: it counts only as far as the file reaches, and so
//     nothing of the content shows that had been cut off before;
//   - cutting shortens the file first.
//
// A record has 24 bytes, big endian: offset, length (-1: everything from the offset on is cut;
// below that, -1-n: n bytes are the content's again), the letters "map1", and CRC-32C of those 20
// bytes.
type overlay struct {
	journal *os.File
	records int
	size    int64 // of the file

	mu sync.RWMutex
	// Guarded by mu, and changed by one caller at a time:
	runs  Ranges
	below []Segment // where the content below has bytes, within size; see Over
	shown int64     // of those, how many are not hidden by the file's own
}

const (
	mapSuffix = ".map"
	mapRecord = 24
	mapMagic  = "map1"
	cutAll    = -1
	// rewriteRecords is how many records a journal may have beyond those it needs.
	rewriteRecords = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(b []byte, off, n int64) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(off))
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	b = append(b, mapMagic...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// decodeMap reads a journal up to its end or the first record that is not whole: what a crash cut
// off was not confirmed. size is the file's.
func decodeMap(b []byte, size int64) (runs Ranges, records int) {
	for ; len(b) >= mapRecord; b = b[mapRecord:] {
		r := b[:mapRecord]
		off, n := int64(binary.BigEndian.Uint64(r)), int64(binary.BigEndian.Uint64(r[8:]))
		if string(r[16:20]) != mapMagic || crc32.Checksum(r[:20], castagnoli) != binary.BigEndian.Uint32(r[20:]) {
			break
		}
		switch {
		case off < 0:
			return runs, records
		case n == cutAll:
			runs.Cut(off)
		case n > 0 && off+n > off:
			runs.Add(off, n)
		case n < cutAll && off-1-n > off:
			runs.Remove(off, -1-n)
		default:
			return runs, records
		}
		records++
	}
	runs.Cut(size)
	return runs, records
}

// CreateOver makes a spool file of size bytes, all of them those of another content until they are
// written to.
func (s *Spool) CreateOver(d Description, size int64) (*File, error) {
	d.Overlay = true
	return s.create(d, func(f *File) error {
		journal, err := os.OpenFile(f.path+mapSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return wrap("create spool file", f.path, err)
		}
		f.over = &overlay{journal: journal, size: size}
		return wrap("create spool file", f.path, f.f.Truncate(size))
	})
}

// openOver reads the journal of a file that an earlier process left.
func (f *File) openOver() error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(f.path+mapSuffix, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return wrap("open spool file", f.path, err)
	}
	b, err := io.ReadAll(journal)
	if err != nil {
		journal.Close()
		return wrap("read spool file", f.path, err)
	}
	o := &overlay{journal: journal, size: st.Size}
	o.runs, o.records = decodeMap(b, st.Size)
	// What follows the last whole record would hide the next ones. A cut that was not recorded is,
	// now.
	err = errors.Join(journal.Truncate(int64(o.records)*mapRecord), o.record(st.Size, cutAll))
	if err != nil {
		journal.Close()
		return wrap("open spool file", f.path, err)
	}
	f.over = o
	return nil
}

// record appends to the journal. A part of a record is taken back: it would hide those after it.
func (o *overlay) record(off, n int64) error {
	at := int64(o.records) * mapRecord
	if _, err := o.journal.WriteAt(appendRecord(nil, off, n), at); err != nil {
		return errors.Join(err, o.journal.Truncate(at))
	}
	o.records++
	return nil
}

// cover records that a range is the file's own.
func (f *File) cover(off, n int64) error {
	o := f.over
	if n <= 0 || o.runs.Covers(off, n) {
		return nil
	}
	if o.records > rewriteRecords+2*o.runs.Runs() {
		if err := f.rewriteMap(); err != nil {
			return wrap("write spool file", f.path, err)
		}
	}
	if err := o.record(off, n); err != nil {
		return wrap("write spool file", f.path, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shown -= o.shows(off, n)
	o.runs.Add(off, n)
	return nil
}

// Over says where the content below has bytes and no holes, ascending; Shown counts from here on.
// It does nothing to a file that is no overlay.
func (f *File) Over(below []Segment) {
	o := f.over
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.below, o.shown = nil, 0
	for _, s := range below {
		if s.Length = min(s.End(), o.size) - s.Offset; s.Length > 0 {
			o.below = append(o.below, s)
		}
	}
	for _, s := range o.below {
		for _, out := range o.runs.Out(s.Offset, s.Length) {
			o.shown += out.Length
		}
	}
}

// Shown is how many bytes of the content below an overlay shows, holes not counted.
func (f *File) Shown() int64 {
	f.over.mu.RLock()
	defer f.over.mu.RUnlock()
	return f.over.shown
}

// shows counts the bytes in [off, off+n) that are the content's. mu is held.
func (o *overlay) shows(off, n int64) (sum int64) {
	for _, out := range o.runs.Out(off, n) {
		for _, s := range o.below {
			sum += max(min(out.End(), s.End())-max(out.Offset, s.Offset), 0)
		}
	}
	return sum
}

// rewriteMap replaces the journal by a short one that says the same. Of a file that was synced the
// bytes are, before, since it counts as synced as well.
func (f *File) rewriteMap() error {
	o := f.over
	if f.d.Synced {
		if err := f.f.Sync(); err != nil {
			return err
		}
	}
	all := o.runs.In(0, math.MaxInt64) // also what is about to lie beyond the end
	b := make([]byte, 0, mapRecord*len(all))
	for _, s := range all {
		b = appendRecord(b, s.Offset, s.Length)
	}
	if err := o.replace(f.path, &f.spool.spares, b, len(all), f.d.Synced); err != nil || !f.d.Synced {
		return err
	}
	d := f.d
	d.SyncedSize, d.SyncedMap = o.size, o.records
	return f.Describe(d)
}

// replace puts another journal in the place of the present one.
func (o *overlay) replace(path string, spare *spares, b []byte, records int, sync bool) error {
	tmp := path + mapSuffix + tmpSuffix
	journal, err := spare.journal(tmp)
	if err != nil {
		return err
	}
	_, err = journal.Write(b)
	if err == nil && sync {
		err = journal.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path+mapSuffix)
	}
	if err != nil {
		return errors.Join(err, journal.Close())
	}
	o.journal.Close()
	o.journal, o.records = journal, records
	return nil
}

// writeOver writes in the order that overlay demands.
func (f *File) writeOver(p []byte, off int64) (int, error) {
	o := f.over
	end := off + int64(len(p))
	if end > o.size {
		if err := f.cover(o.size, end-o.size); err != nil {
			return 0, err
		}
	}
	n, err := f.f.WriteAt(p, off)
	if n > 0 {
		if cerr := f.cover(off, min(int64(n), o.size-off)); cerr != nil {
			return 0, errors.Join(cerr, f.f.Truncate(o.size)) // nothing was written
		}
		f.grown(max(o.size, off+int64(n)))
	}
	return n, wrap("write spool file", f.path, err)
}

func (f *File) grown(size int64) {
	o := f.over
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size = size
}

func (f *File) truncateOver(size int64) error {
	o := f.over
	if size > o.size {
		if err := f.cover(o.size, size-o.size); err != nil {
			return err
		}
	}
	if err := f.f.Truncate(size); err != nil {
		return wrap("truncate spool file", f.path, err)
	}
	was := o.size
	f.grown(size)
	if size >= was {
		return nil
	}
	o.mu.Lock()
	o.shown -= o.shows(size, was-size)
	o.runs.Cut(size)
	below := o.below
	o.below = nil
	for _, s := range below {
		if s.Length = min(s.End(), size) - s.Offset; s.Length > 0 {
			o.below = append(o.below, s)
		}
	}
	o.mu.Unlock()
	_ = o.record(size, cutAll) // without it the journal counts as far as the file reaches
	return nil
}

// allocateOver extends, or makes a range zeros. It takes no room for bytes of the content below.
func (f *File) allocateOver(mode uint32, off, n int64) error {
	o := f.over
	end := off + n
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && end > o.size {
		if err := f.truncateOver(end); err != nil {
			return err
		}
	}
	if n = min(end, o.size) - off; mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 || n <= 0 {
		return nil
	}
	if err := unix.Fallocate(int(f.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n); err != nil {
		return wrap("allocate in spool file", f.path, err)
	}
	return f.cover(off, n)
}

// Overlay tells whether only some of the bytes are the file's own.
func (f *File) Overlay() bool { return f.over != nil }

// Size is the size of an overlay, in bytes.
func (f *File) Size() int64 {
	f.over.mu.RLock()
	defer f.over.mu.RUnlock()
	return f.over.size
}

// Own lists what of [off, off+n) is the file's own.
func (f *File) Own(off, n int64) []Segment {
	if f.over == nil {
		return []Segment{{off, n}}
	}
	f.over.mu.RLock()
	defer f.over.mu.RUnlock()
	return f.over.runs.In(off, n)
}

// Missing lists what of [off, off+n) is not the file's own.
func (f *File) Missing(off, n int64) []Segment {
	if f.over == nil {
		return nil
	}
	f.over.mu.RLock()
	defer f.over.mu.RUnlock()
	return f.over.runs.Out(off, n)
}

// Runs is how many runs of own bytes there are.
func (f *File) Runs() int {
	if f.over == nil {
		return 1
	}
	f.over.mu.RLock()
	defer f.over.mu.RUnlock()
	return f.over.runs.Runs()
}

// ReadOwn reads what of [off, off+len(p)) is the file's own into its place in p. It tells how many
// bytes lie before the end of the file, and which of them are the content's: those of p it leaves
// as they are.
func (f *File) ReadOwn(p []byte, off int64) (n int, missing []Segment, err error) {
	o := f.over
	if o == nil {
		n, err := f.f.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, nil, wrap("read spool file", f.path, err)
	}
	// A run that is being cut or emptied is not read half before and half after that.
	o.mu.RLock()
	defer o.mu.RUnlock()
	if off >= o.size {
		return 0, nil, nil
	}
	p = p[:min(int64(len(p)), o.size-off)]
	for _, s := range o.runs.In(off, int64(len(p))) {
		part := p[s.Offset-off : s.End()-off]
		m, err := f.f.ReadAt(part, s.Offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, wrap("read spool file", f.path, err)
		}
		clear(part[m:]) // it is being extended
	}
	return len(p), o.runs.Out(off, int64(len(p))), nil
}

// Hollow gives up the file's own bytes, which are those of another content now, and their room on
// the disk. d describes the file from here on: it names that content. Nobody reads meanwhile.
func (f *File) Hollow(d Description) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	o, err := f.overlaid(st.Size, nil)
	if err != nil {
		return err
	}
	// From here on both the file's bytes and the content's are right, until the journal says that
	// there are none of the file's.
	d.Overlay = true
	if err := f.Describe(d); err != nil {
		if f.over == nil {
			o.journal.Close()
		}
		return err
	}
	if f.over != nil {
		if err := o.replace(f.path, &f.spool.spares, nil, 0, false); err != nil {
			return wrap("empty spool file", f.path, err)
		}
	}
	o.mu.Lock()
	o.runs.Clear()
	o.mu.Unlock()
	f.over = o
	if st.Size == 0 {
		return nil
	}
	// To the end of the last page, which would stay otherwise.
	err = unix.Fallocate(int(f.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, st.Size+st.Blksize)
	return wrap("empty spool file", f.path, err)
}

// overlaid gives the file's overlay, or a new one of a file that had all bytes, which lies there
// unused until the description says that it is an overlay.
func (f *File) overlaid(size int64, own []Segment) (*overlay, error) {
	if f.over != nil {
		return f.over, nil
	}
	var b []byte
	o := &overlay{size: size}
	for _, s := range own {
		if s.Length > 0 {
			b = appendRecord(b, s.Offset, s.Length)
			o.runs.Add(s.Offset, s.Length)
			o.records++
		}
	}
	var err error
	o.journal, err = f.spool.spares.journal(f.path + mapSuffix)
	if err == nil {
		if _, err = o.journal.Write(b); err != nil {
			o.journal.Close()
		}
	}
	return o, wrap("write spool file", f.path, err)
}

// Splice makes [off, off+n) the content's, and the file as long as that; what it had there of its
// own it gives up. d describes the file from here on: it names that content, which elsewhere is
// what was below before. Nobody reads meanwhile.
func (f *File) Splice(d Description, off, n int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	o, err := f.overlaid(st.Size, []Segment{{0, st.Size}})
	if err != nil {
		return err
	}
	fresh := f.over == nil
	f.over = o
	if off > o.size {
		err = f.cover(o.size, off-o.size)
	}
	d.Overlay = true
	if err == nil && fresh && d.Synced {
		// What was synced stays the file's own.
		d.SyncedMap = o.records
		err = errors.Join(o.journal.Sync(), f.syncFolder())
	}
	if err == nil {
		err = f.Describe(d)
	}
	if err != nil {
		if fresh {
			f.over = nil
			o.journal.Close()
		}
		return err
	}
	if end := off + n; end > o.size {
		if err := f.f.Truncate(end); err != nil {
			return wrap("extend spool file", f.path, err)
		}
		f.grown(end)
	}
	if err := o.record(off, -1-n); err != nil {
		return wrap("write spool file", f.path, err)
	}
	o.mu.Lock()
	o.runs.Remove(off, n)
	o.mu.Unlock()
	return nil
}
