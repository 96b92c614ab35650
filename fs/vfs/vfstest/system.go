package vfstest

import "mediafs/fs/vfs"

// A System is a file system as programs see it. Paths are relative to its root, slash-separated; a
// symlink is never followed. Every error is a syscall.Errno. All methods may be called
// concurrently, but for Reopen and Close.
type System interface {
	Open(path string, flags int, mode uint32) (File, error)
	Mkdir(path string, mode uint32) error
	Mknod(path string, mode, rdev uint32) error
	Symlink(target, path string) error
	Readlink(path string) (string, error)
	Link(path, newPath string) error
	Unlink(path string) error
	Rmdir(path string) error
	Rename(path, newPath string, flags uint32) error

	Lstat(path string) (vfs.Attr, error) // the time of birth is not filled
	Chmod(path string, mode uint32) error
	Chown(path string, uid, gid int) error // -1 leaves as it is
	Utimes(path string, atime, mtime *vfs.Time) error
	Truncate(path string, size int64) error

	GetXattr(path, name string) ([]byte, error)
	SetXattr(path, name string, value []byte, flags int) error
	ListXattr(path string) ([]string, error)
	RemoveXattr(path, name string) error

	OpenDir(path string) (Dir, error)
	StatFS() (vfs.StatFS, error)

	// Reopen waits until everything is in the store, closes the library and opens it as another
	// machine with empty caches would. No file may be open.
	Reopen() error
	// Close ends the system and says what was left over: references, open handles.
	Close() error

	Traits() Traits
}

// File is an open file.
type File interface {
	ReadAt(p []byte, off int64) (int, error)  // less than len(p) at the end only, never io.EOF
	WriteAt(p []byte, off int64) (int, error) // at the end when opened with O_APPEND
	Truncate(size int64) error
	Stat() (vfs.Attr, error)
	Sync() error
	Seek(off int64, whence int) (int64, error) // SEEK_DATA, SEEK_HOLE
	Allocate(mode uint32, off, n int64) error
	Close() error
}

// Dir is an open folder.
type Dir interface {
	// Next gives some entries and moves on; none at the end. "." and ".." are among them.
	Next() ([]vfs.DirEntry, error)
	// Seek moves to behind the entry with this cookie; 0 is the start.
	Seek(cookie uint64) error
	Close() error
}

// A Mapper is a File that can be mapped into memory, shared and writable.
type Mapper interface {
	Map(n int) (mem []byte, unmap func() error, err error)
}

// Traits are the few things in which file systems differ and the suite bends.
type Traits struct {
	MaxXattr  int  // longest value of an extended attribute; below 60,000 on ext4
	Sparse    bool // a hole of some MiB is found by Seek and not counted in Blocks
	ZeroRange bool // Allocate knows AllocateZeroRange
	Persists  bool // Reopen really closes and opens
}
