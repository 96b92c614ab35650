package fuse

import (
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Sizes that st_blksize suggests for reads and writes: a page for what fits in one block of the
// read cache, such a block (256 KiB) for what is larger. It must be a power of two.
const (
	smallBlock = 4096
	largeBlock = 256 << 10
)

func blksize(size int64) uint32 {
	if size > largeBlock {
		return largeBlock
	}
	return smallBlock
}

// setAttr fills out. Seconds are signed on both sides of the protocol, which carries them in
// unsigned fields.
func setAttr(out *gofuse.Attr, a *vfs.Attr) {
	*out = gofuse.Attr{
		Ino:       a.ID,
		Size:      uint64(a.Size),
		Blocks:    uint64(a.Blocks),
		Atime:     uint64(a.Atime.Sec),
		Mtime:     uint64(a.Mtime.Sec),
		Ctime:     uint64(a.Ctime.Sec),
		Atimensec: a.Atime.Nsec,
		Mtimensec: a.Mtime.Nsec,
		Ctimensec: a.Ctime.Nsec,
		Mode:      a.Mode,
		Nlink:     a.Nlink,
		Owner:     gofuse.Owner{Uid: a.UID, Gid: a.GID},
		Rdev:      a.Rdev,
		Blksize:   blksize(a.Size),
	}
}

func statxTime(t vfs.Time) gofuse.SxTime {
	return gofuse.SxTime{Sec: uint64(t.Sec), Nsec: t.Nsec}
}

func setStatx(out *gofuse.Statx, a *vfs.Attr) {
	*out = gofuse.Statx{
		Mask:      unix.STATX_BASIC_STATS | unix.STATX_BTIME,
		Blksize:   blksize(a.Size),
		Nlink:     a.Nlink,
		Uid:       a.UID,
		Gid:       a.GID,
		Mode:      uint16(a.Mode),
		Ino:       a.ID,
		Size:      uint64(a.Size),
		Blocks:    uint64(a.Blocks),
		Atime:     statxTime(a.Atime),
		Btime:     statxTime(a.Btime),
		Ctime:     statxTime(a.Ctime),
		Mtime:     statxTime(a.Mtime),
		RdevMajor: unix.Major(uint64(a.Rdev)),
		RdevMinor: unix.Minor(uint64(a.Rdev)),
	}
	if a.Btime == (vfs.Time{}) {
		out.Mask &^= unix.STATX_BTIME
	}
}

// attrChange reads what a SETATTR request asks for.
func attrChange(in *gofuse.SetAttrIn, now time.Time) vfs.AttrChange {
	var ch vfs.AttrChange
	if in.Valid&gofuse.FATTR_MODE != 0 {
		mode := in.Mode & 0o7777
		ch.Mode = &mode
	}
	if in.Valid&gofuse.FATTR_UID != 0 {
		uid := in.Uid
		ch.UID = &uid
	}
	if in.Valid&gofuse.FATTR_GID != 0 {
		gid := in.Gid
		ch.GID = &gid
	}
	if in.Valid&gofuse.FATTR_SIZE != 0 {
		size := int64(in.Size)
		ch.Size = &size
	}
	if in.Valid&gofuse.FATTR_ATIME != 0 {
		ch.Atime = timeOrNow(in.Atime, in.Atimensec, in.Valid&gofuse.FATTR_ATIME_NOW != 0, now)
	}
	if in.Valid&gofuse.FATTR_MTIME != 0 {
		ch.Mtime = timeOrNow(in.Mtime, in.Mtimensec, in.Valid&gofuse.FATTR_MTIME_NOW != 0, now)
	}
	if in.Valid&gofuse.FATTR_CTIME != 0 {
		ch.Ctime = timeOrNow(in.Ctime, in.Ctimensec, false, now)
	}
	return ch
}

func timeOrNow(sec uint64, nsec uint32, isNow bool, now time.Time) *vfs.Time {
	t := vfs.Time{Sec: int64(sec), Nsec: nsec}
	if isNow {
		t = vfs.TimeOf(now)
	}
	return &t
}
