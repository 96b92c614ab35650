package view

import (
	"encoding/binary"
	"hash/crc32"
	"sort"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// A member is one entry of an archive: a media, a symlink or a folder, whose name ends with a
// slash.
type member struct {
	name    string
	id      vfs.ID
	mode    uint32
	uid     uint32
	gid     uint32
	mtime   vfs.Time
	ctime   vfs.Time
	size    int64
	target  []byte // of a symlink
	local   int64  // offset of its local header
	central int64  // offset of its header in the central directory
	crc     uint32 // guarded by zipLayout.mu, as is summed
	summed  bool   // crc is known
}

// A zipLayout says where in an archive what is. Members are stored, not compressed: media are
// compressed already, and any place can be found by counting. The checksum of a media follows its
// bytes, so that reading from the start needs no byte before its time; sizes stand in the header
// before it all the same. What the 32-bit fields cannot say is said by zip64.
type zipLayout struct {
	members    []member
	directory  int64 // offset of the central directory
	end        int64 // offset of what follows it
	size       int64
	endRecords []byte

	mu sync.Mutex
}

// Limits and signatures of the format, as APPNOTE.TXT has them.
const (
	maxMemberName = 1<<16 - 1
	max32         = 1<<32 - 1
	max16         = 1<<16 - 1

	localSignature      = 0x04034b50
	descriptorSignature = 0x08074b50
	centralSignature    = 0x02014b50
	end64Signature      = 0x06064b50
	locator64Signature  = 0x07064b50
	endSignature        = 0x06054b50

	localLength     = 30
	centralLength   = 46
	end64Length     = 56
	locator64Length = 20
	endLength       = 22

	extra64      = 0x0001
	extraTime    = 0x5455
	timeLength   = 9 // with its header
	versionPlain = 20
	version64    = 45
	madeOnUnix   = 3

	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
)

// large tells whether a member's size needs zip64.
func (m *member) large() bool { return m.size >= max32 }

// described tells whether the checksum follows the bytes: for media that have bytes.
func (m *member) described() bool { return m.mode&unix.S_IFMT == unix.S_IFREG && m.size > 0 }

func (m *member) localLength() int64 {
	n := int64(localLength + len(m.name) + timeLength)
	if m.large() {
		n += 20
	}
	return n
}

func (m *member) descriptorLength() int64 {
	switch {
	case !m.described():
		return 0
	case m.large():
		return 24
	}
	return 16
}

func (m *member) central64() int64 {
	n := int64(0)
	if m.large() {
		n += 16
	}
	if m.local >= max32 {
		n += 8
	}
	return n
}

func (m *member) centralLength() int64 {
	n := int64(centralLength + len(m.name) + timeLength)
	if x := m.central64(); x > 0 {
		n += 4 + x
	}
	return n
}

// finish places the members that were collected.
func (z *zipLayout) finish() {
	var at int64
	for i := range z.members {
		m := &z.members[i]
		if !m.described() {
			m.crc, m.summed = crc32.ChecksumIEEE(m.target), true
		}
		m.local = at
		at += m.localLength() + m.size + m.descriptorLength()
	}
	z.directory = at
	for i := range z.members {
		z.members[i].central = at
		at += z.members[i].centralLength()
	}
	z.end = at
	z.endRecords = z.ends()
	z.size = at + int64(len(z.endRecords))
}

// at gives the member whose local part has an offset.
func (z *zipLayout) at(off int64) int {
	return sort.Search(len(z.members), func(i int) bool { return z.members[i].local > off }) - 1
}

// centralAt gives the member whose header in the central directory has an offset.
func (z *zipLayout) centralAt(off int64) int {
	return sort.Search(len(z.members), func(i int) bool { return z.members[i].central > off }) - 1
}

func (m *member) flags() uint16 {
	var f uint16
	if m.described() {
		f |= flagDescriptor
	}
	for i := range len(m.name) {
		if m.name[i] >= utf8.RuneSelf {
			if utf8.ValidString(m.name) {
				f |= flagUTF8
			}
			break
		}
	}
	return f
}

func (m *member) version() uint16 {
	if m.large() || m.local >= max32 {
		return version64
	}
	return versionPlain
}

// dos gives date and time as MS-DOS has them, of UTC, in whole two seconds, from 1980 to 2107.
func (m *member) dos() (date, time uint16) {
	t := m.mtime.Std().UTC()
	switch y := t.Year(); {
	case y < 1980:
		return 1<<5 | 1, 0
	case y > 2107:
		return 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29
	}
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()), uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

func clip32(n int64) uint32 { return uint32(min(n, max32)) }

// head appends what both headers have from the version on.
func (m *member) head(b []byte, crc uint32) []byte {
	le := binary.LittleEndian
	date, time := m.dos()
	b = le.AppendUint16(b, m.version())
	b = le.AppendUint16(b, m.flags())
	b = le.AppendUint16(b, 0) // stored
	b = le.AppendUint16(b, time)
	b = le.AppendUint16(b, date)
	b = le.AppendUint32(b, crc)
	size := clip32(m.size)
	b = le.AppendUint32(b, size)
	b = le.AppendUint32(b, size)
	return le.AppendUint16(b, uint16(len(m.name)))
}

// modified appends the extended timestamp: seconds of UTC, where 32 bits can say them, or else the
// nearest that they can.
func (m *member) modified(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, extraTime)
	b = le.AppendUint16(b, timeLength-4)
	b = append(b, 1)
	return le.AppendUint32(b, uint32(int32(max(-1<<31, min(m.mtime.Sec, 1<<31-1)))))
}

// localHeader is what stands before a member's bytes.
func (m *member) localHeader() []byte {
	le := binary.LittleEndian
	crc := m.crc
	if m.described() {
		crc = 0
	}
	n := m.localLength()
	b := le.AppendUint32(make([]byte, 0, n), localSignature)
	b = m.head(b, crc)
	b = le.AppendUint16(b, uint16(n-localLength-int64(len(m.name))))
	b = append(b, m.name...)
	if m.large() {
		b = le.AppendUint16(b, extra64)
		b = le.AppendUint16(b, 16)
		b = le.AppendUint64(b, uint64(m.size))
		b = le.AppendUint64(b, uint64(m.size))
	}
	return m.modified(b)
}

// descriptor is what stands behind a media's bytes.
func (m *member) descriptor(crc uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, descriptorSignature)
	b = le.AppendUint32(b, crc)
	if m.large() {
		b = le.AppendUint64(b, uint64(m.size))
		return le.AppendUint64(b, uint64(m.size))
	}
	b = le.AppendUint32(b, uint32(m.size))
	return le.AppendUint32(b, uint32(m.size))
}

// centralHeader is a member's entry in the central directory.
func (m *member) centralHeader(crc uint32) []byte {
	le := binary.LittleEndian
	n := m.centralLength()
	b := le.AppendUint32(make([]byte, 0, n), centralSignature)
	b = le.AppendUint16(b, madeOnUnix<<8|version64)
	b = m.head(b, crc)
	b = le.AppendUint16(b, uint16(n-centralLength-int64(len(m.name))))
	b = le.AppendUint16(b, 0) // comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	external := m.mode << 16
	if m.mode&unix.S_IFMT == unix.S_IFDIR {
		external |= 0x10 // for DOS
	}
	b = le.AppendUint32(b, external)
	b = le.AppendUint32(b, clip32(m.local))
	b = append(b, m.name...)
	if x := m.central64(); x > 0 {
		b = le.AppendUint16(b, extra64)
		b = le.AppendUint16(b, uint16(x))
		if m.large() {
			b = le.AppendUint64(b, uint64(m.size))
			b = le.AppendUint64(b, uint64(m.size))
		}
		if m.local >= max32 {
			b = le.AppendUint64(b, uint64(m.local))
		}
	}
	return m.modified(b)
}

// ends is what stands behind the central directory.
func (z *zipLayout) ends() []byte {
	le := binary.LittleEndian
	n, length := len(z.members), z.end-z.directory
	var b []byte
	if n >= max16 || length >= max32 || z.directory >= max32 {
		b = le.AppendUint32(b, end64Signature)
		b = le.AppendUint64(b, end64Length-12)
		b = le.AppendUint16(b, madeOnUnix<<8|version64)
		b = le.AppendUint16(b, version64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, uint64(length))
		b = le.AppendUint64(b, uint64(z.directory))
		b = le.AppendUint32(b, locator64Signature)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(z.end))
		b = le.AppendUint32(b, 1)
	}
	b = le.AppendUint32(b, endSignature)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	count := uint16(min(n, max16))
	b = le.AppendUint16(b, count)
	b = le.AppendUint16(b, count)
	b = le.AppendUint32(b, clip32(length))
	b = le.AppendUint32(b, clip32(z.directory))
	return le.AppendUint16(b, 0)
}
