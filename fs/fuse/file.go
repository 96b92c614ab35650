package fuse

import (
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// direct is implemented by a file whose size may be another at every open, or is not known before
// it is read: the kernel keeps no pages of it and passes every read on, also past the size that it
// was told.
type direct interface{ Direct() bool }

// opened enters a file into the table and says how the kernel may treat it. A file that cannot
// write has nothing to flush, which saves a request at every close; but one that was cut by the
// open has, whatever it was opened for.
func (s *fileSystem) opened(id vfs.ID, f vfs.File, flags uint32, out *gofuse.OpenOut) {
	out.Fh = s.files.add(&handle{File: f, id: id, appends: flags&syscall.O_APPEND != 0})
	if d, ok := f.(direct); ok && d.Direct() {
		out.OpenFlags |= gofuse.FOPEN_DIRECT_IO
	} else if f.KeepCache() {
		out.OpenFlags |= gofuse.FOPEN_KEEP_CACHE
	}
	if flags&(syscall.O_ACCMODE|syscall.O_TRUNC) == syscall.O_RDONLY {
		out.OpenFlags |= gofuse.FOPEN_NOFLUSH
	}
}

func (s *fileSystem) Create(
	cancel <-chan struct{}, in *gofuse.CreateIn, name string, out *gofuse.CreateOut,
) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	c := maker(&in.InHeader, in.Umask)
	a, f, err := s.lib.Create(r, c, in.NodeId, name, in.Mode, in.Flags)
	if remote.KindOf(err) == remote.Exist && in.Flags&syscall.O_EXCL == 0 {
		// Another machine was first. This makes the kernel look the name up again and open what is
		// there, with a look at its mode.
		return gofuse.Status(syscall.ESTALE)
	}
	if err != nil {
		return s.status("create", in.NodeId, name, err)
	}
	s.setEntry(&out.EntryOut, &a)
	s.opened(a.ID, f, in.Flags, &out.OpenOut)
	return gofuse.OK
}

// Tmpfile makes a file without a name. The kernel sees to it that one that was opened with O_EXCL
// gets none.
func (s *fileSystem) Tmpfile(cancel <-chan struct{}, in *gofuse.CreateIn, out *gofuse.CreateOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	a, f, err := s.lib.Tmpfile(r, maker(&in.InHeader, in.Umask), in.NodeId, in.Mode, in.Flags)
	if err != nil {
		return s.status("make a file without a name", in.NodeId, "", err)
	}
	s.setEntry(&out.EntryOut, &a)
	s.opened(a.ID, f, in.Flags, &out.OpenOut)
	return gofuse.OK
}

func (s *fileSystem) Open(cancel <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	if in.Flags&syscall.O_TRUNC != 0 && in.Mode&gofuse.OPEN_KILL_SUIDGID != 0 {
		if err := s.dropPrivileges(r, &in.InHeader, in.NodeId, unprivileged); err != nil {
			return s.status("open", in.NodeId, "", err)
		}
	}
	f, err := s.lib.Open(r, caller(&in.InHeader), in.NodeId, in.Flags)
	if err != nil {
		return s.status("open", in.NodeId, "", err)
	}
	s.opened(in.NodeId, f, in.Flags, out)
	return gofuse.OK
}

func (s *fileSystem) Read(cancel <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	h, ok := s.files.get(in.Fh)
	if !ok {
		return nil, gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	n, err := h.Read(r, buf, int64(in.Offset))
	if err != nil {
		return nil, s.status("read", in.NodeId, "", err)
	}
	return gofuse.ReadResultData(buf[:n]), gofuse.OK
}

func (s *fileSystem) Write(cancel <-chan struct{}, in *gofuse.WriteIn, data []byte) (uint32, gofuse.Status) {
	h, ok := s.files.get(in.Fh)
	if !ok {
		return 0, gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	// The flags are those that the descriptor has now; pages of a mapping go where they are.
	append := in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&gofuse.WRITE_CACHE == 0
	f, err := h.writer(r, s.lib, caller(&in.InHeader), append)
	if err != nil {
		return 0, s.status("write", in.NodeId, "", err)
	}
	if in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0 {
		// Every direct write of an ordinary user asks for it, and hardly ever there is something to
		// clear.
		if err := s.dropPrivileges(r, &in.InHeader, in.NodeId, unprivileged); err != nil {
			return 0, s.status("write", in.NodeId, "", err)
		}
	}
	n, err := f.Write(r, data, int64(in.Offset))
	if err != nil {
		return 0, s.status("write", in.NodeId, "", err)
	}
	return uint32(n), gofuse.OK
}

func (s *fileSystem) Flush(cancel <-chan struct{}, in *gofuse.FlushIn) gofuse.Status {
	h, ok := s.files.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	c := caller(&in.InHeader)
	if f := h.second(); f != nil {
		if err := f.Flush(r, c); err != nil {
			return s.status("close", in.NodeId, "", err)
		}
	}
	return s.status("close", in.NodeId, "", h.Flush(r, c))
}

func (s *fileSystem) Fsync(cancel <-chan struct{}, in *gofuse.FsyncIn) gofuse.Status {
	h, ok := s.files.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	if f := h.second(); f != nil {
		if err := f.Fsync(r); err != nil {
			return s.status("fsync", in.NodeId, "", err)
		}
	}
	return s.status("fsync", in.NodeId, "", h.Fsync(r))
}

func (s *fileSystem) Release(_ <-chan struct{}, in *gofuse.ReleaseIn) {
	if h, ok := s.files.remove(in.Fh); ok {
		h.release()
	}
}

func (s *fileSystem) Fallocate(cancel <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	h, ok := s.files.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	err := s.dropPrivileges(r, &in.InHeader, in.NodeId, unknown)
	if err == nil {
		err = h.Allocate(r, in.Mode, int64(in.Offset), int64(in.Length))
	}
	return s.status("allocate", in.NodeId, "", err)
}

// Lseek is asked for data and holes only; everything else is done in the kernel.
func (s *fileSystem) Lseek(cancel <-chan struct{}, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	if in.Whence != unix.SEEK_DATA && in.Whence != unix.SEEK_HOLE {
		return gofuse.EINVAL
	}
	h, ok := s.files.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	off, err := h.Seek(r, int64(in.Offset), in.Whence)
	if err != nil {
		return s.status("seek", in.NodeId, "", err)
	}
	out.Offset = uint64(off)
	return gofuse.OK
}
