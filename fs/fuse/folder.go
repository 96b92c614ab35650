package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mediafs/fs/vfs"
)

// What an entry takes in the answer to READDIR, and what READDIRPLUS puts before it.
const (
	direntHeader = 24
	entryHeader  = 128
)

func entrySize(name string, attrs bool) int {
	n := direntHeader + (len(name)+7)&^7
	if attrs {
		n += entryHeader
	}
	return n
}

func (s *fileSystem) OpenDir(cancel <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	d, err := s.lib.OpenDir(r, in.NodeId)
	if err != nil {
		return s.status("open folder", in.NodeId, "", err)
	}
	out.Fh = s.dirs.add(d)
	return gofuse.OK
}

func (s *fileSystem) ReleaseDir(in *gofuse.ReleaseIn) {
	if d, ok := s.dirs.remove(in.Fh); ok {
		d.Release()
	}
}

func (s *fileSystem) FsyncDir(cancel <-chan struct{}, in *gofuse.FsyncIn) gofuse.Status {
	d, ok := s.dirs.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	return s.status("fsync folder", in.NodeId, "", d.Fsync(r))
}

func (s *fileSystem) ReadDir(cancel <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return s.readDir(cancel, in, out, false)
}

func (s *fileSystem) ReadDirPlus(cancel <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return s.readDir(cancel, in, out, true)
}

// readDir fills out with whole groups. A group that does not fit ends the answer; the kernel asks
// again from the last cookie. One that does not fit an empty buffer cannot be shown at all: EINVAL
// rather than a folder that seems to end there.
func (s *fileSystem) readDir(
	cancel <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList, attrs bool,
) gofuse.Status {
	d, ok := s.dirs.get(in.Fh)
	if !ok {
		return gofuse.EBADF
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	left, refused := int(in.Size), false
	err := d.Read(r, in.Offset, attrs, func(group []vfs.DirEntry) bool {
		need := 0
		for i := range group {
			need += entrySize(group[i].Name, attrs)
		}
		if need > left {
			refused = true
			return false
		}
		left -= need
		for i := range group {
			s.addEntry(out, &group[i], attrs)
		}
		return true
	})
	switch full := len(out.Bytes()) > 0; {
	case err != nil && !full:
		return s.status("list", in.NodeId, "", err)
	case refused && !full:
		return gofuse.EINVAL
	}
	// An error after some entries is kept for the next request: the kernel must get
	// those whose references it now has.
	return gofuse.OK
}

func (s *fileSystem) addEntry(out *gofuse.DirEntryList, e *vfs.DirEntry, attrs bool) {
	entry := gofuse.DirEntry{Name: e.Name, Ino: e.ID, Mode: e.Mode, Off: e.Cookie}
	if !attrs {
		out.AddDirEntry(entry)
		return
	}
	// Node 0 tells the kernel that there is nothing to remember; it knows "." and ".." itself.
	if o := out.AddDirLookupEntry(entry); e.Name != "." && e.Name != ".." {
		s.setEntry(o, &e.Attr)
	}
}
