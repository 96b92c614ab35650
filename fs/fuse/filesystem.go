package fuse

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/sirupsen/logrus"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A fileSystem answers the kernel's requests: call the library, fill the answer, map the error.
// What is not here (ioctl, poll, copy_file_range, locks, access) is answered with ENOSYS by the
// embedded default, once; the kernel then does it by itself or tells the program that there is no
// such thing.
type fileSystem struct {
	gofuse.RawFileSystem
	lib       vfs.Library
	log       *logrus.Entry
	entryTTL  time.Duration
	attrTTL   time.Duration
	announcer *Announcer
	dying     func(tid uint32) bool

	// Of the kernel, from its first request on.
	noLists      bool // it does not check access control lists
	longSetXAttr bool // its requests to set an attribute have flags of their own

	files    table[*handle]
	dirs     table[vfs.Dir]
	watchers sync.WaitGroup // of requests that wait
	requests roll
	lastLog  atomic.Int64 // unix seconds of the last reported I/O error
}

func (s *fileSystem) String() string { return "mediafs" }

// Init is called when the kernel has said hello.
func (s *fileSystem) Init(server *gofuse.Server) {
	can := server.KernelSettings().Flags64()
	s.noLists, s.longSetXAttr = can&gofuse.CAP_POSIX_ACL == 0, can&gofuse.CAP_SETXATTR_EXT != 0
	s.announcer.attach(server)
}

// OnUnmount is called after the last request. After an ordinary unmount nothing is open; after an
// abort the kernel releases nothing.
func (s *fileSystem) OnUnmount() {
	for _, h := range s.files.drain() {
		h.release()
	}
	for _, d := range s.dirs.drain() {
		d.Release()
	}
}

func caller(h *gofuse.InHeader) vfs.Caller {
	return vfs.Caller{UID: h.Uid, GID: h.Gid, PID: h.Pid}
}

// maker is the caller of a request that makes something.
func maker(h *gofuse.InHeader, umask uint32) vfs.Caller {
	c := caller(h)
	c.Umask = umask
	return c
}

// status maps an error. One that the program sees as an I/O error says nothing to it, so the log
// has the whole, once a second at most.
func (s *fileSystem) status(op string, id vfs.ID, name string, err error) gofuse.Status {
	errno := Errno(err)
	if (errno == syscall.ENOENT || errno == syscall.ESTALE) && ofOpenFile[op] {
		errno = syscall.EIO // it is an object of the store that is gone, and not the file
	}
	if errno == syscall.EIO {
		if now := time.Now().Unix(); s.lastLog.Swap(now) != now {
			s.log.WithError(err).WithField("node", id).WithField("name", name).Warn(op)
		}
	}
	return gofuse.Status(errno)
}

// ofOpenFile are the requests about a file that is open, and so there.
var ofOpenFile = map[string]bool{
	"read":     true,
	"write":    true,
	"close":    true,
	"fsync":    true,
	"copy":     true,
	"allocate": true,
	"seek":     true,
}

// setEntry fills out. What is volatile the kernel believes for this once: its name means something
// else to the next who asks.
func (s *fileSystem) setEntry(out *gofuse.EntryOut, a *vfs.Attr) {
	*out = gofuse.EntryOut{NodeId: a.ID, Generation: uint64(a.Generation)}
	if !a.Volatile {
		out.SetEntryTimeout(s.entryTTL)
		out.SetAttrTimeout(s.attrTTL)
	}
	setAttr(&out.Attr, a)
}

// setAttrOut is setEntry for the attributes alone.
func (s *fileSystem) setAttrOut(out *gofuse.AttrOut, a *vfs.Attr) {
	if !a.Volatile {
		out.SetTimeout(s.attrTTL)
	}
	setAttr(&out.Attr, a)
}

func (s *fileSystem) Lookup(
	cancel <-chan struct{}, h *gofuse.InHeader, name string, out *gofuse.EntryOut,
) gofuse.Status {
	r := s.begin(cancel, h)
	defer r.end()
	a, err := s.lib.Lookup(r, h.NodeId, name)
	switch {
	case err == nil:
		s.setEntry(out, &a)
	case remote.KindOf(err) == remote.NotExist && !a.Volatile && name != "." && name != "..":
		// Node 0 lets the kernel remember that there is no such name.
		out.SetEntryTimeout(s.entryTTL)
	default:
		return s.status("look up", h.NodeId, name, err)
	}
	return gofuse.OK
}

func (s *fileSystem) Forget(id, n uint64) { s.lib.Forget(id, n) }

func (s *fileSystem) GetAttr(cancel <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, err := s.lib.GetAttr(r, in.NodeId)
	if err != nil {
		return s.status("get attributes", in.NodeId, "", err)
	}
	s.setAttrOut(out, &a)
	return gofuse.OK
}

// Statx is asked for the time of birth, which GetAttr has no room for.
func (s *fileSystem) Statx(cancel <-chan struct{}, in *gofuse.StatxIn, out *gofuse.StatxOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, err := s.lib.GetAttr(r, in.NodeId)
	if err != nil {
		return s.status("get attributes", in.NodeId, "", err)
	}
	setStatx(&out.Statx, &a)
	if !a.Volatile {
		out.SetTimeout(s.attrTTL)
	}
	return gofuse.OK
}

func (s *fileSystem) SetAttr(cancel <-chan struct{}, in *gofuse.SetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	ch := attrChange(in, time.Now())
	if in.Valid&gofuse.FATTR_KILL_SUIDGID != 0 && ch.Mode == nil {
		by := unprivileged
		if ch.UID != nil || ch.GID != nil {
			by = owning
		}
		mode, err := s.withoutPrivileges(r, &in.InHeader, in.NodeId, by)
		if err != nil {
			return s.status("get attributes", in.NodeId, "", err)
		}
		ch.Mode = mode
	}
	var f vfs.File
	if fh, ok := in.GetFh(); ok {
		if h, ok := s.files.get(fh); ok {
			f = h.File
		}
	}
	a, err := s.lib.SetAttr(r, caller(&in.InHeader), in.NodeId, f, ch)
	if err != nil {
		return s.status("set attributes", in.NodeId, "", err)
	}
	s.setAttrOut(out, &a)
	return gofuse.OK
}

func (s *fileSystem) Mknod(
	cancel <-chan struct{}, in *gofuse.MknodIn, name string, out *gofuse.EntryOut,
) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, err := s.lib.Mknod(r, maker(&in.InHeader, in.Umask), in.NodeId, name, in.Mode, in.Rdev)
	if err != nil {
		return s.status("make node", in.NodeId, name, err)
	}
	s.setEntry(out, &a)
	return gofuse.OK
}

func (s *fileSystem) Mkdir(
	cancel <-chan struct{}, in *gofuse.MkdirIn, name string, out *gofuse.EntryOut,
) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, err := s.lib.Mkdir(r, maker(&in.InHeader, in.Umask), in.NodeId, name, in.Mode)
	if err != nil {
		return s.status("make folder", in.NodeId, name, err)
	}
	s.setEntry(out, &a)
	return gofuse.OK
}

func (s *fileSystem) Symlink(
	cancel <-chan struct{}, h *gofuse.InHeader, target, name string, out *gofuse.EntryOut,
) gofuse.Status {
	r := s.begin(cancel, h)
	defer r.end()
	a, err := s.lib.Symlink(r, caller(h), h.NodeId, name, []byte(target))
	if err != nil {
		return s.status("make symlink", h.NodeId, name, err)
	}
	s.setEntry(out, &a)
	return gofuse.OK
}

func (s *fileSystem) Link(cancel <-chan struct{}, in *gofuse.LinkIn, name string, out *gofuse.EntryOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, err := s.lib.Link(r, caller(&in.InHeader), in.Oldnodeid, in.NodeId, name)
	if err != nil {
		return s.status("link", in.NodeId, name, err)
	}
	s.setEntry(out, &a)
	return gofuse.OK
}

// Readlink's answers are kept by the kernel as long as the inode is: a symlink is never changed,
// only replaced.
func (s *fileSystem) Readlink(cancel <-chan struct{}, h *gofuse.InHeader) ([]byte, gofuse.Status) {
	r := s.begin(cancel, h)
	defer r.end()
	target, err := s.lib.Readlink(r, h.NodeId)
	if err != nil {
		return nil, s.status("read symlink", h.NodeId, "", err)
	}
	return target, gofuse.OK
}

func (s *fileSystem) Unlink(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	r := s.begin(cancel, h)
	defer r.end()
	return s.status("unlink", h.NodeId, name, s.lib.Unlink(r, caller(h), h.NodeId, name))
}

func (s *fileSystem) Rmdir(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	r := s.begin(cancel, h)
	defer r.end()
	return s.status("remove folder", h.NodeId, name, s.lib.Rmdir(r, caller(h), h.NodeId, name))
}

func (s *fileSystem) Rename(cancel <-chan struct{}, in *gofuse.RenameIn, name, newName string) gofuse.Status {
	if in.Flags&^(vfs.RenameNoReplace|vfs.RenameExchange|vfs.RenameWhiteout) != 0 {
		return gofuse.EINVAL
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	err := s.lib.Rename(r, caller(&in.InHeader), in.NodeId, name, in.Newdir, newName, in.Flags)
	return s.status("rename", in.NodeId, name, err)
}

func (s *fileSystem) StatFs(cancel <-chan struct{}, h *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	r := s.begin(cancel, h)
	defer r.end()
	st, err := s.lib.StatFS(r)
	if err != nil {
		return s.status("statfs", h.NodeId, "", err)
	}
	// There is no limit of nodes; programs that look for a free one get a large number.
	const freeNodes = 1 << 32
	*out = gofuse.StatfsOut{
		Blocks:  st.FreeBytes/smallBlock + (st.Bytes-st.FreeBytes+smallBlock-1)/smallBlock, // a part of a block is used
		Bfree:   st.FreeBytes / smallBlock,
		Bavail:  st.FreeBytes / smallBlock,
		Files:   st.Nodes + freeNodes,
		Ffree:   freeNodes,
		Bsize:   smallBlock,
		Frsize:  smallBlock,
		NameLen: st.MaxName,
	}
	return gofuse.OK
}
