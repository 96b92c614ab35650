package fuse

import (
	"errors"
	"syscall"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// errnos says what a program sees of each kind of error. The reasons, where there is a choice:
// Permission is not about the mode of a file, which the kernel checks itself, so it is EPERM and
// not EACCES. A store that is throttled or not reached after all retries is an I/O error: EAGAIN
// means something else to programs that read and write files.
var errnos = map[remote.Kind]syscall.Errno{
	remote.Other:       syscall.EIO,
	remote.NotExist:    syscall.ENOENT,
	remote.Exist:       syscall.EEXIST,
	remote.NotDir:      syscall.ENOTDIR,
	remote.IsDir:       syscall.EISDIR,
	remote.NotEmpty:    syscall.ENOTEMPTY,
	remote.Permission:  syscall.EPERM,
	remote.ReadOnly:    syscall.EROFS,
	remote.Unsupported: syscall.EOPNOTSUPP,
	remote.Invalid:     syscall.EINVAL,
	remote.TooLarge:    syscall.EFBIG,
	remote.TooLong:     syscall.ENAMETOOLONG,
	remote.Quota:       syscall.EDQUOT,
	remote.NoSpace:     syscall.ENOSPC,
	remote.Stale:       syscall.ESTALE,
	remote.Conflict:    syscall.EBUSY,
	remote.Throttled:   syscall.EIO,
	remote.Unavailable: syscall.EIO,
	remote.Corrupt:     syscall.EIO,
	remote.Interrupted: syscall.EINTR,
	remote.NoAttribute: syscall.ENODATA,
	remote.Links:       syscall.EMLINK,
	remote.Busy:        syscall.EBUSY,
	remote.Range:       syscall.ERANGE,
	remote.CrossDevice: syscall.EXDEV,
	remote.Archived:    syscall.EIO,
}

// Errno is the number that a program gets for err: 0 for nil, EIO for what is in no table.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	kind := remote.KindOf(err)
	if kind == remote.Invalid && errors.Is(err, vfs.ErrNoData) {
		return syscall.ENXIO
	}
	if e, ok := errnos[kind]; ok {
		return e
	}
	return syscall.EIO
}
