package remote

import (
	"errors"
	"os"
	"syscall"
)

// osKinds gives each error number of the operating system that a local disk answers with its kind.
var osKinds = map[syscall.Errno]Kind{
	syscall.ENOENT:       NotExist,
	syscall.EEXIST:       Exist,
	syscall.ENOTDIR:      NotDir,
	syscall.ELOOP:        NotDir,
	syscall.EISDIR:       IsDir,
	syscall.ENOTEMPTY:    NotEmpty,
	syscall.EACCES:       Permission,
	syscall.EPERM:        Permission,
	syscall.EROFS:        ReadOnly,
	syscall.EOPNOTSUPP:   Unsupported,
	syscall.ENOSYS:       Unsupported,
	syscall.EINVAL:       Invalid,
	syscall.EFBIG:        TooLarge,
	syscall.E2BIG:        TooLarge,
	syscall.ENAMETOOLONG: TooLong,
	syscall.ENOSPC:       NoSpace,
	syscall.EDQUOT:       NoSpace,
	syscall.ENODATA:      NoAttribute,
	syscall.ERANGE:       Range,
	syscall.EBUSY:        Busy,
	syscall.EMLINK:       Links,
	syscall.EXDEV:        CrossDevice,
}

// KindOfOS returns the kind of an error of package os or of a system call on the local disk: Other
// for nil and for what is in no table (an input/output error, for one).
func KindOfOS(err error) Kind {
	var no syscall.Errno
	if errors.As(err, &no) {
		return osKinds[no]
	}
	switch { // some functions of package os make such errors without a number
	case errors.Is(err, os.ErrNotExist):
		return NotExist
	case errors.Is(err, os.ErrExist):
		return Exist
	case errors.Is(err, os.ErrPermission):
		return Permission
	}
	return Other
}

// KindOfOwn is KindOfOS for a file of our own (catalog, spool, cache), which is never the file that
// a program has asked for: what is said of a name is Other.
func KindOfOwn(err error) Kind {
	switch kind := KindOfOS(err); kind {
	case NotExist, Exist, NotDir, IsDir, NotEmpty, NoAttribute, Busy, Links, CrossDevice, Range:
		return Other
	default:
		return kind
	}
}

// OSError makes an Error of an error of package os: with its kind, and without the operation and
// the path that package os names, since op and path say both.
func OSError(op, path string, err error) *Error { return E(op, path, KindOfOS(err), Bare(err)) }

// Bare returns the cause of an error of package os that names an operation and one or two paths,
// and any other error as it is.
func Bare(err error) error {
	var p *os.PathError
	var l *os.LinkError
	var s *os.SyscallError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	case errors.As(err, &s):
		return s.Err
	}
	return err
}
