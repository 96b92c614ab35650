package view

import (
	"context"
	"errors"
	"hash/crc32"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A zipFile is an open archive. Checksums come from the catalog, or from the bytes that were read
// already when a media was read from start to end, and only else by reading it for that alone.
type zipFile struct {
	readOnly
	archive *archive
	zip     *zipLayout
	caller  vfs.Caller
	keep    bool // others had it open

	mu     sync.Mutex // guards what is below; taken before zip.mu
	source *zipSource // that was read last
	sum    zipSum
	closed bool
}

// A zipSource is an open media of an archive.
type zipSource struct {
	member int
	file   vfs.File
	users  int // reads that are under way, and one while it is the zipFile's source
}

// A zipSum is the checksum of what was read of a member from its start on.
type zipSum struct {
	member int
	next   int64 // the offset that comes next
	crc    uint32
}

// KeepCache tells that the kernel's pages are of this archive when somebody else has it open.
func (f *zipFile) KeepCache() bool { return f.keep }

func (f *zipFile) Seek(_ context.Context, off int64, whence uint32) (int64, error) {
	return seekWhole(f.name, off, f.zip.size, whence)
}

// Read fills p, whatever parts of the archive it covers.
func (f *zipFile) Read(ctx context.Context, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off+int64(n) < f.zip.size {
		m, err := f.readPart(ctx, p[n:], off+int64(n))
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

// readPart reads up to the end of one part.
func (f *zipFile) readPart(ctx context.Context, p []byte, off int64) (int, error) {
	z := f.zip
	switch {
	case off >= z.end:
		return copy(p, z.endRecords[off-z.end:]), nil
	case off >= z.directory:
		i := z.centralAt(off)
		crc, err := f.checksum(ctx, i)
		if err != nil {
			return 0, err
		}
		return copy(p, z.members[i].centralHeader(crc)[off-z.members[i].central:]), nil
	}
	i := z.at(off)
	m := &z.members[i]
	off -= m.local
	head := m.localLength()
	switch {
	case off < head:
		return copy(p, m.localHeader()[off:]), nil
	case off < head+m.size && m.target != nil:
		return copy(p, m.target[off-head:]), nil
	case off < head+m.size:
		return f.readData(ctx, i, p[:min(int64(len(p)), head+m.size-off)], off-head)
	}
	crc, err := f.checksum(ctx, i)
	if err != nil {
		return 0, err
	}
	return copy(p, m.descriptor(crc)[off-head-m.size:]), nil
}

var errChanged = errors.New("it has changed since the archive was opened")

// unchanged fails with Stale when a media is not what it was at the open.
func (f *zipFile) unchanged(ctx context.Context, i int) error {
	m := &f.zip.members[i]
	a, err := f.archive.l.MediaLibrary.GetAttr(ctx, m.id)
	if err == nil && (a.Size != m.size || a.Mtime != m.mtime || a.Ctime != m.ctime) ||
		remote.KindOf(err) == remote.NotExist {
		return remote.E("read archive", quoted(m.name), remote.Stale, errChanged).WithHint("open the archive again")
	}
	return err
}

// readData reads bytes of a media, and looks afterwards whether it was the same all the time.
func (f *zipFile) readData(ctx context.Context, i int, p []byte, off int64) (int, error) {
	s, err := f.use(ctx, i)
	if err != nil {
		return 0, err
	}
	n, err := s.file.Read(ctx, p, off)
	f.done(s)
	if err == nil {
		err = f.unchanged(ctx, i)
	}
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		return 0, remote.E("read archive", quoted(f.zip.members[i].name), remote.Stale, errChanged)
	}
	f.add(i, p, off)
	return n, nil
}

// add goes on with the checksum of a member that is read from its start.
func (f *zipFile) add(i int, p []byte, off int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.zip.mu.Lock()
	defer f.zip.mu.Unlock()
	m := &f.zip.members[i]
	if m.summed {
		return
	}
	if off == 0 {
		f.sum = zipSum{member: i}
	}
	if f.sum.member != i || f.sum.next != off {
		return
	}
	f.sum.crc = crc32.Update(f.sum.crc, crc32.IEEETable, p)
	if f.sum.next += int64(len(p)); f.sum.next == m.size {
		m.crc, m.summed = f.sum.crc, true
	}
}

func (f *zipFile) checksum(ctx context.Context, i int) (uint32, error) {
	m := &f.zip.members[i]
	f.zip.mu.Lock()
	crc, known := m.crc, m.summed
	f.zip.mu.Unlock()
	if known {
		return crc, nil
	}
	crc, err := f.archive.l.CRC32(ctx, m.id)
	if err == nil || remote.KindOf(err) == remote.NotExist {
		if changed := f.unchanged(ctx, i); changed != nil {
			err = changed
		}
	}
	if err != nil {
		return 0, err
	}
	f.zip.mu.Lock()
	m.crc, m.summed = crc, true
	f.zip.mu.Unlock()
	return crc, nil
}

// use opens a media, unless it is the one that was read last.
func (f *zipFile) use(ctx context.Context, i int) (*zipSource, error) {
	f.mu.Lock()
	if s := f.source; s != nil && s.member == i {
		s.users++
		f.mu.Unlock()
		return s, nil
	}
	f.mu.Unlock()
	file, err := f.archive.l.MediaLibrary.Open(ctx, f.caller, f.zip.members[i].id, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	s := &zipSource{member: i, file: file, users: 1}
	f.mu.Lock()
	var old *zipSource
	if !f.closed {
		old, f.source = f.source, s
		s.users++
	}
	f.mu.Unlock()
	if old != nil {
		f.done(old)
	}
	return s, nil
}

func (f *zipFile) done(s *zipSource) {
	f.mu.Lock()
	s.users--
	last := s.users == 0
	f.mu.Unlock()
	if last {
		s.file.Release()
	}
}

func (f *zipFile) Release() {
	f.mu.Lock()
	s := f.source
	f.source, f.closed = nil, true
	f.mu.Unlock()
	if s != nil {
		f.done(s)
	}
	f.archive.mu.Lock()
	if f.archive.opened--; f.archive.opened == 0 {
		f.archive.layout = nil
		f.archive.at = time.Time{} // what is there now may be more
	}
	f.archive.mu.Unlock()
}
