package vfs

import (
	"context"
	"errors"
	"io"
	"time"

	"mediafs/remote/bucket/record"
)

// ID is the number of a node: its inode number.
type ID = uint64

// Root is the root folder of every library.
const Root ID = record.Root

// Time is a point in time as the format has it: nanoseconds are added to seconds, also before 1970.
type Time struct {
	Sec  int64
	Nsec uint32
}

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Std converts to time.Time.
func (t Time) Std() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// Attr is what stat(2) tells of a node.
type Attr struct {
	ID     ID
	Mode   uint32 // type and permissions, as st_mode
	Nlink  uint32
	UID    uint32
	GID    uint32
	Rdev   uint32 // as the kernel's user space encodes it
	Size   int64
	Blocks int64 // of 512 bytes, holes not counted
	Atime  Time
	Mtime  Time
	Ctime  Time
	Btime  Time

	// Volatile: the name means this for who asks now, and the kernel is to ask again each time. Of
	// entries in views.
	Volatile bool

	// Generation tells nodes apart that have the same number one after the other. Numbers of the
	// tree are never used twice.
	Generation uint32
}

// AttrChange is what setattr changes; nil fields stay.
type AttrChange struct {
	Mode  *uint32 // permissions only; type bits are ignored
	UID   *uint32
	GID   *uint32
	Size  *int64
	Atime *Time
	Mtime *Time
	Ctime *Time
}

// NoID is the user and group of a caller that the kernel does not tell, of which it is one where
// the users of a mount are mapped. Such a one has no rights of its own.
const NoID = 1<<32 - 1

// Caller is who asks.
type Caller struct {
	UID uint32
	GID uint32
	PID uint32 // thread id, as FUSE has it; 0 when not known

	// for what is made: permissions that it does not get, unless the folder has a default access
	// control list
	Umask uint32
}

// DirEntry is one name in a folder.
type DirEntry struct {
	Name   string
	ID     ID
	Mode   uint32 // type bits
	Cookie uint64 // resumes after this entry
	Attr   Attr   // only when asked for
}

// StatFS is what statfs(2) tells.
type StatFS struct {
	Bytes     uint64 // capacity
	FreeBytes uint64
	Nodes     uint64 // nodes in use
	MaxName   uint32
}

// Flags of Rename.
const (
	RenameNoReplace = 1 // RENAME_NOREPLACE
	RenameExchange  = 2 // RENAME_EXCHANGE
	RenameWhiteout  = 4 // RENAME_WHITEOUT: a device 0:0 is left at the old name
)

// Flags of SetXattr.
const (
	XattrCreate  = 1 // XATTR_CREATE: Exist when it is set
	XattrReplace = 2 // XATTR_REPLACE: NoAttribute when it is not

	// XattrClearSetgid, with an access control list: whoever sets it is not in the file's group,
	// and the setgid bit goes.
	XattrClearSetgid = 1 << 16
)

// Flags of File.Allocate, as fallocate(2) has them.
const (
	AllocateKeepSize  = 0x01
	AllocatePunchHole = 0x02
	AllocateZeroRange = 0x10
)

// Library is a library as a file system: what an adapter needs. Names are any 1 to 255 bytes but
// '/' and NUL, "." and "..". Permissions are not checked (the kernel does, with
// default_permissions); ownership rules that need the parent (setgid folders) are applied. Errors
// are *remote.Error; fs/fuse maps their kinds. All methods may be called concurrently.
//
// References: every method that says "takes a reference" adds one to the node it returns, as the
// kernel's lookup count; Forget gives back. A node that lost its last name stays reachable by id
// while it has references or open files.
type Library interface {
	// Lookup finds a name in a folder. Two names are about a node that somebody knows by its number
	// from before, and that need have no reference: "." is the node itself, ".." the folder that it
	// lies in. Stale: the node is not in the tree (any more). Takes a reference.
	Lookup(ctx context.Context, parent ID, name string) (Attr, error)
	Forget(id ID, n uint64)
	GetAttr(ctx context.Context, id ID) (Attr, error)
	// SetAttr changes attributes; size changes go through f when it is open for writing there, nil
	// otherwise.
	SetAttr(ctx context.Context, c Caller, id ID, f File, ch AttrChange) (Attr, error)

	Mknod(ctx context.Context, c Caller, parent ID, name string, mode, rdev uint32) (Attr, error) // takes a reference
	Mkdir(ctx context.Context, c Caller, parent ID, name string, mode uint32) (Attr, error)       // takes a reference
	Symlink(ctx context.Context, c Caller, parent ID, name string, target []byte) (Attr, error)   // takes a reference
	Link(ctx context.Context, c Caller, id, parent ID, name string) (Attr, error)                 // takes a reference
	Readlink(ctx context.Context, id ID) ([]byte, error)
	Unlink(ctx context.Context, c Caller, parent ID, name string) error
	Rmdir(ctx context.Context, c Caller, parent ID, name string) error
	Rename(ctx context.Context, c Caller, parent ID, name string, newParent ID, newName string, flags uint32) error

	// Create makes a media and opens it; flags as open(2). Takes a reference.
	Create(ctx context.Context, c Caller, parent ID, name string, mode, flags uint32) (Attr, File, error)
	// Tmpfile makes a media without a name and opens it; parent says where it could get one. Link
	// gives it its first name, unless flags have O_EXCL: then it never gets one. Without a name it
	// ends with its last reference, and nothing of it is in the store. Takes a reference.
	Tmpfile(ctx context.Context, c Caller, parent ID, mode, flags uint32) (Attr, File, error)
	// Open opens a media; flags as open(2) (access mode, O_TRUNC and O_APPEND are looked at).
	Open(ctx context.Context, c Caller, id ID, flags uint32) (File, error)
	OpenDir(ctx context.Context, id ID) (Dir, error)

	GetXattr(ctx context.Context, id ID, name string) ([]byte, error) // NoAttribute
	SetXattr(ctx context.Context, c Caller, id ID, name string, value []byte, flags uint32) error
	ListXattr(ctx context.Context, id ID) ([]string, error)
	RemoveXattr(ctx context.Context, c Caller, id ID, name string) error

	StatFS(ctx context.Context) (StatFS, error)
}

// File is an open media. Its methods may be called concurrently.
type File interface {
	// KeepCache tells whether pages that the kernel has of this inode are still what the media
	// holds; asked once, at open.
	KeepCache() bool
	// Read fills p from off and returns less only at the end of the media. It never returns io.EOF.
	Read(ctx context.Context, p []byte, off int64) (int, error)
	// Write writes p at off, or at the end when the file was opened with O_APPEND. What fails after
	// a part of it gives the length of that, and the next one the error. Set-user-id bits are the
	// caller's matter, as they go before the bytes change.
	Write(ctx context.Context, p []byte, off int64) (int, error)
	// Flush is called at every close(2) of a descriptor; it finishes the upload, and waits for
	// attributes that were set, when the caller's process is the one that opened.
	Flush(ctx context.Context, c Caller) error
	// Fsync returns when content and catalog entry are in the store.
	Fsync(ctx context.Context) error
	Allocate(ctx context.Context, mode uint32, off, n int64) error
	// CopyRange makes [off, off+n) what another open file of this library has from fromOff on; it
	// returns how much was copied: less than n at the end of that file, and where the caller is to
	// ask again.
	CopyRange(ctx context.Context, from File, fromOff, off, n int64) (int64, error)
	// Seek implements SEEK_DATA (3) and SEEK_HOLE (4). NXIO is the kind Invalid with ErrNoData as
	// cause.
	Seek(ctx context.Context, off int64, whence uint32) (int64, error)
	// Release ends the file. What was not uploaded goes on behind.
	Release()
}

// Dir is an open folder.
type Dir interface {
	// Read calls emit with groups of entries that come after cookie (0: from the start) and are to
	// be taken whole or not at all, until emit returns false or the folder ends. "." and ".." come
	// first. With attrs, Attr is filled. What emit took (returned true for) gets a reference each
	// when attrs is set, except "." and "..".
	Read(ctx context.Context, cookie uint64, attrs bool, emit func(group []DirEntry) bool) error
	// Fsync returns when every change of names and attributes that was made before is in the store.
	Fsync(ctx context.Context) error
	Release()
}

// Announcer is told what the kernel may have cached and is no longer so. Its methods never block
// and are never called under a lock that serving a request takes. vfs calls it for changes that did
// not come from this kernel.
type Announcer interface {
	Node(id ID, data bool)        // attributes, and pages when data is set
	Entry(parent ID, name string) // what the name means
}

// ErrNoData is the cause of Seek's error when there is nothing behind the offset.
var ErrNoData = io.EOF

// FirstCookie is the least cookie that a name gets in a listing of a folder. Below it are the
// start, "." and "..", and room for entries that a library in front of this one adds.
const FirstCookie = 1 << 20

// ErrKept is why no entry of the tree has the name of the folder with the views.
var ErrKept = errors.New("this name is kept for the library's views")
