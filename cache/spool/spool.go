package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Description says what a spool file is for. It is stored beside the bytes as JSON; unknown fields
// of a newer version make the file unreadable to this one rather than misunderstood.
type Description struct {
	Format     int    `json:"format"`           // 1
	Node       uint64 `json:"node"`             // whose bytes they are
	Parent     uint64 `json:"parent,omitempty"` // a folder and a name it had, should the node be gone
	Name       []byte `json:"name,omitempty"`
	Mode       uint32 `json:"mode,omitempty"`
	UID        uint32 `json:"uid"`
	GID        uint32 `json:"gid"`
	Media      []byte `json:"media,omitempty"`      // its media id
	Dirty      bool   `json:"dirty"`                // bytes are here that no head in the log has
	Base       string `json:"base,omitempty"`       // the head that these bytes were to replace, in its owner's words
	Generation int64  `json:"generation,omitempty"` // of two files of one node the higher one is newer
	// the media was deleted here: nobody wants the bytes after this process
	Gone bool   `json:"gone,omitempty"`
	Boot string `json:"boot,omitempty"` // the kernel's boot id when the description was written
	// bytes and description survived a loss of power when they were like SyncedSize and SyncedMap
	// tell
	Synced     bool   `json:"synced,omitempty"`
	SyncedSize int64  `json:"synced_size,omitempty"` // less, if the file was ever shorter since
	SyncedMap  int    `json:"synced_map,omitempty"`  // records of the journal
	Content    string `json:"content,omitempty"`     // id under which they are being uploaded
	MtimeSet   bool   `json:"mtime_set,omitempty"`   // the time was set by hand after the last write
	Mtime      int64  `json:"mtime,omitempty"`       // seconds, with MtimeSet
	MtimeNS    uint32 `json:"mtime_ns,omitempty"`

	Overlay bool   `json:"overlay,omitempty"` // bytes that the journal does not name are those of Under
	Under   []byte `json:"under,omitempty"`   // with Overlay: the head below, in its owner's encoding
	Target  string `json:"target,omitempty"`  // the head that these bytes are about to become, in its owner's words
	Upload  string `json:"upload,omitempty"`  // the store's token for the upload of Content; it ends with Content
	// with Upload: the size that it was begun with, -1 for one that was not known
	Size  int64 `json:"size,omitempty"`
	Stale []int `json:"stale,omitempty"` // with Upload: chunks that were written to after they were sent
}

const format = 1

// A Spool is a directory of spool files, used by one process at a time (the catalog's lock sees to
// that).
type Spool struct {
	dir    string
	boot   string
	device uint64
	most   int // a spool file's descriptor is below this number
	next   atomic.Uint64
	spares spares
}

// Open opens or makes the spool in dir (0700).
func Open(dir string) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, wrap("open spool", dir, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, wrap("open spool", dir, err)
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return nil, wrap("ask how many files may be open beside", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, wrap("open spool", dir, err)
	}
	most := int(min(l.Cur, 1<<30))
	s := &Spool{dir: dir, device: st.Dev, boot: strings.TrimSpace(string(boot)), most: most - min(256, most/3)}
	s.spares.dir = dir + spareSuffix
	s.spares.open(s.Room(0) == nil)
	return s, nil
}

// scarce fails when f has a descriptor that is needed for connections to the store, the catalog and
// the control socket: without those nothing that is written could ever leave the spool. The kernel
// gives the lowest number that is free.
func (s *Spool) scarce(f *os.File) error {
	if int(f.Fd()) < s.most {
		return nil
	}
	return remote.E("create spool file", s.dir, remote.Other, unix.EMFILE).
		WithHint("each file that is open for writing or not uploaded yet takes a descriptor: wait for uploads, or raise the limit (LimitNOFILE, ulimit -n)")
}

// A File holds the bytes of one media. Reads and writes may be concurrent; Describe and Remove have
// one caller at a time, SetGone and SetMtime may be called at any time.
type File struct {
	spool *Spool
	path  string // without extension
	f     *os.File
	over  *overlay // nil: all bytes are its own

	mu sync.Mutex
	d  Description // guarded by mu
}

const (
	dataSuffix = ".data"
	metaSuffix = ".json"
	tmpSuffix  = ".tmp"

	// LostSuffix ends the names of files that were set aside.
	LostSuffix = ".lost"

	// LinkSuffix ends a second name of a spool file's bytes, under which they are given to a store.
	LinkSuffix = ".up"
)

// Create makes an empty spool file.
func (s *Spool) Create(d Description) (*File, error) {
	d.Overlay, d.Under = false, nil
	return s.create(d, func(*File) error { return nil })
}

// create makes an empty file; more is done to it before it is described.
func (s *Spool) create(d Description, more func(*File) error) (*File, error) {
	d.Generation = time.Now().UnixNano()
	for {
		path := filepath.Join(s.dir, fmt.Sprintf("%016x-%d", d.Node, s.next.Add(1)))
		f, err := os.OpenFile(path+dataSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue // of an earlier process
		}
		if err != nil {
			return nil, wrap("create spool file", path, err)
		}
		file := &File{spool: s, path: path, f: f, d: Description{Gone: d.Gone}}
		err = s.scarce(f)
		if err == nil {
			err = more(file)
		}
		if err == nil {
			err = file.Describe(d)
		}
		if err != nil {
			return nil, errors.Join(err, file.Remove())
		}
		return file, nil
	}
}

// Intact tells whether the bytes are what was written: no power was lost since, or they were synced
// before. What was written after a sync may then be there or not, as on any disk, but for what it
// added to the end and to the journal: that is gone.
func (f *File) Intact() bool { return f.d.Synced || f.SameBoot() }

// SameBoot tells whether no power was lost since the file was described.
func (f *File) SameBoot() bool { return f.d.Boot == f.spool.boot }

// SyncAs makes the bytes survive a loss of power, and the file tell of it.
func (f *File) SyncAs(d Description) error {
	if err := f.syncBytes(); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	d.Synced, d.SyncedSize, d.SyncedMap = true, st.Size, 0
	if f.over != nil {
		d.SyncedMap = f.over.records
	}
	if err := f.Describe(d); err != nil {
		return err
	}
	return f.syncDescription()
}

// Keep closes the file and leaves it in the spool, where it survives a loss of power.
func (f *File) Keep() error { return errors.Join(f.SyncAs(f.Description()), f.Close()) }

// Description is what the file was last described as.
func (f *File) Description() Description {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.d
}

// Describe replaces the description, atomically. One that a later boot would trust, and that is not
// true any more, is replaced on the disk as well before it returns.
func (f *File) Describe(d Description) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d.Gone = f.d.Gone
	if d.MtimeSet && f.d.MtimeSet {
		d.Mtime, d.MtimeNS = f.d.Mtime, f.d.MtimeNS // it may have been set meanwhile; a write clears it first
	}
	return f.describe(d)
}

// SetMtime notes a time that was set by hand for bytes that no store has yet.
func (f *File) SetMtime(seconds int64, nanos uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.d.Dirty {
		return nil
	}
	d := f.d
	d.MtimeSet, d.Mtime, d.MtimeNS = true, seconds, nanos
	return f.describe(d)
}

// SetGone says whether the media is being deleted here: if it is gone later, nobody wants the
// bytes.
func (f *File) SetGone(gone bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.d.Gone == gone {
		return nil
	}
	d := f.d
	d.Gone = gone
	return f.describe(d)
}

// describe is Describe with mu held.
func (f *File) describe(d Description) error {
	d.Format, d.Boot = format, f.spool.boot
	b, err := json.Marshal(d)
	if err != nil {
		return wrap("describe spool file", f.path, err)
	}
	tmp := f.path + tmpSuffix
	err = writeFile(tmp, padded(b, 0), d.Synced)
	if err == nil {
		err = os.Rename(tmp, f.path+metaSuffix)
	}
	if full(err) {
		os.Remove(tmp)
		err = f.spool.spares.replace(f.path+metaSuffix, b, d.Synced, err)
	}
	if err != nil {
		return wrap("describe spool file", f.path, err)
	}
	was := f.d
	f.d = d
	if was.Synced && was.Dirty && !d.stillTrue(was) {
		return f.syncDescription()
	}
	return nil
}

// stillTrue tells whether a description that a later boot will trust says nothing wrong once d is
// the newer one.
func (d Description) stillTrue(was Description) bool {
	return d.Synced == was.Synced && d.SyncedSize >= was.SyncedSize && d.Dirty == was.Dirty && d.Gone == was.Gone &&
		d.MtimeSet == was.MtimeSet &&
		d.Mtime == was.Mtime &&
		d.MtimeNS == was.MtimeNS
}

// writeFile replaces a file's bytes; synced before it returns, so that a rename over another that
// is leaves one of the two after a loss of power.
func writeFile(path string, b []byte, sync bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Room fails with NoSpace when n more bytes would leave less of the disk than the catalog beside
// the spool needs to go on, and uploads to make room again: 512 MiB, or a tenth of a small disk, or
// nearly a third of a tiny one; and 256 inodes, or an eighth of few.
func (s *Spool) Room(n int64) error {
	d, err := s.disk()
	if err != nil {
		return err
	}
	var why error
	switch {
	case d.free-n < d.floor:
		why = fmt.Errorf("%d MiB are free and %d MiB are kept free", d.free>>20, d.floor>>20)
	case d.files < d.fewest:
		why = fmt.Errorf("%d inodes are free and %d are kept free", d.files, d.fewest)
	default:
		return nil
	}
	return remote.E("write spool file", s.dir, remote.NoSpace, why).
		WithHint("free space on this disk, or move the catalog directory to a larger one with --catalog-dir")
}

// A disk is what the spool's has left, and what is kept free of it.
type disk struct {
	free, floor   int64 // bytes
	files, fewest int64 // inodes; 0 and 0 where their number is not limited
}

func (s *Spool) disk() (d disk, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return d, wrap("look at the spool's disk", s.dir, err)
	}
	total := int64(st.Blocks) * st.Bsize
	d.free, d.floor = int64(st.Bavail)*st.Bsize, max(min(512<<20, total/10), min(64<<20, total*3/10))
	if st.Files > 0 {
		d.files, d.fewest = int64(st.Ffree), int64(min(256, st.Files/8))
	}
	return d, nil
}

// Left is how many bytes Room has room for; negative when it has none.
func (s *Spool) Left() (int64, error) {
	d, err := s.disk()
	return d.free - d.floor, err
}

// Device is the st_dev of the spool's disk.
func (s *Spool) Device() uint64 { return s.device }

// Path is where the bytes are.
func (f *File) Path() string { return f.path + dataSuffix }

// ReadAt reads like io.ReaderAt; what is not the file's own reads as zeros.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// WriteAt writes all of p.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if f.over != nil {
		return f.writeOver(p, off)
	}
	n, err := f.f.WriteAt(p, off)
	return n, wrap("write spool file", f.path, err)
}

// Truncate sets the size.
func (f *File) Truncate(size int64) error {
	was, err := f.forgetSynced(size)
	if err != nil {
		return err
	}
	if f.over != nil {
		err = f.truncateOver(size)
	} else {
		err = wrap("truncate spool file", f.path, f.f.Truncate(size))
	}
	if err != nil {
		_, again := f.setSynced(was)
		return errors.Join(err, again)
	}
	return nil
}

// forgetSynced has the disk know, before a file that was synced is cut, that no byte behind the cut
// counts as synced any more, whatever is written there next: the end of that may reach the disk
// before what lies in front of it, which then reads as zeros. (ext4 and XFS keep a rename and the
// cut after it in order by themselves; nothing promises that, so the description is synced.) It
// tells how much counted before; -1: as much as now.
func (f *File) forgetSynced(size int64) (was int64, err error) {
	f.mu.Lock()
	synced := f.d.Synced && size < f.d.SyncedSize
	f.mu.Unlock()
	if !synced {
		return -1, nil
	}
	return f.setSynced(size)
}

func (f *File) setSynced(size int64) (was int64, err error) {
	if size < 0 {
		return -1, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.d
	was, d.SyncedSize = d.SyncedSize, size
	return was, f.describe(d)
}

// Stat tells size, disk use in blocks of 512 bytes and modification time.
func (f *File) Stat() (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.f.Fd()), &st)
	return st, wrap("stat spool file", f.path, err)
}

// Allocate is fallocate(2). Zeroing a range becomes a hole where the disk cannot do better.
func (f *File) Allocate(mode uint32, off, n int64) error {
	if f.over != nil {
		return f.allocateOver(mode, off, n)
	}
	err := unix.Fallocate(int(f.f.Fd()), mode, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) && mode&unix.FALLOC_FL_ZERO_RANGE != 0 {
		err = unix.Fallocate(int(f.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		if err == nil && mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
			err = f.extend(off + n)
		}
	}
	return wrap("allocate in spool file", f.path, err)
}

// extend makes the file at least size bytes long.
func (f *File) extend(size int64) error {
	st, err := f.Stat()
	if err != nil || st.Size >= size {
		return err
	}
	return f.Truncate(size)
}

// A Segment is a run of data between holes.
type Segment struct{ Offset, Length int64 }

// End is the offset after the run.
func (s Segment) End() int64 { return s.Offset + s.Length }

// Segments lists the data of the file, ascending; what lies between is zeros, or not the file's
// own.
func (f *File) Segments() ([]Segment, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var out []Segment
	for off := int64(0); off < st.Size; {
		data, err := unix.Seek(int(f.f.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			break
		}
		if err != nil {
			return nil, wrap("read spool file", f.path, err)
		}
		hole, err := unix.Seek(int(f.f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return nil, wrap("read spool file", f.path, err)
		}
		hole = min(hole, st.Size)
		if data < hole {
			out = append(out, Segment{data, hole - data})
		}
		off = hole
	}
	return out, nil
}

// Extract writes runs of the media that the file is of, one after the other, to a file beside it,
// and returns where. Whoever asked for it removes it, or the next Recover does.
func (f *File) Extract(media io.ReaderAt, runs []Segment) (string, error) {
	path := f.path + dataSuffix + tmpSuffix
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", wrap("copy from spool file", f.path, err)
	}
	for _, s := range runs {
		if err == nil {
			_, err = io.Copy(out, io.NewSectionReader(media, s.Offset, s.Length))
		}
	}
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(path)
	}
	return path, wrap("copy from spool file", f.path, err)
}

// Sync makes bytes and description survive a power loss.
func (f *File) Sync() error {
	if err := f.syncBytes(); err != nil {
		return err
	}
	return f.syncDescription()
}

func (f *File) syncBytes() error {
	err := f.f.Sync()
	if err == nil && f.over != nil {
		err = f.over.journal.Sync()
	}
	return wrap("sync spool file", f.path, err)
}

func (f *File) syncDescription() error {
	m, err := os.Open(f.path + metaSuffix)
	if err != nil {
		return wrap("sync spool file", f.path, err)
	}
	defer m.Close()
	return errors.Join(wrap("sync spool file", f.path, m.Sync()), f.syncFolder())
}

func (f *File) syncFolder() error {
	dir, err := os.Open(f.spool.dir)
	if err != nil {
		return wrap("sync spool file", f.path, err)
	}
	defer dir.Close()
	return wrap("sync spool file", f.path, dir.Sync())
}

// Close closes the file and leaves it in the spool.
func (f *File) Close() error { return wrap("close spool file", f.path, f.shut()) }

func (f *File) shut() error {
	err := f.f.Close()
	if f.over != nil {
		err = errors.Join(err, f.over.journal.Close())
	}
	return err
}

// Remove closes the file and takes it out of the spool; fine when its bytes were moved elsewhere.
func (f *File) Remove() error {
	err := errors.Join(f.Close(), remove(f.path))
	f.spool.spares.refill()
	return err
}

// remove deletes the description last, so that a crash in between leaves nothing that would be
// uploaded as empty.
func remove(path string) error {
	for _, p := range []string{path + dataSuffix, path + mapSuffix, path + metaSuffix} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return wrap("remove spool file", p, err)
		}
	}
	return nil
}

func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return remote.E(op, filepath.Base(path), remote.KindOfOwn(err), err)
}
