package fuse

import (
	"strings"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mediafs/remote"
)

// refused tells whether an extended attribute is one that the kernel would have to interpret and does not: access
// control lists would be stored and have no effect.
func refused(name string) bool {
	return strings.HasPrefix(name, "system.posix_acl_")
}

// GetXAttr gives the size of the value and ERANGE when dest is too small, which go-fuse turns
// into an answer to the question for the size. The kernel asks for security.capability before the first write
// after every refresh of a node's attributes, so what is not there must be cheap to find out.
func (s *fileSystem) GetXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	if refused(name) {
		return 0, gofuse.ENOTSUP
	}
	r := s.begin(cancel, h)
	defer r.end()
	value, err := s.lib.GetXattr(r, h.NodeId, name)
	if err != nil {
		return 0, s.status("get attribute", h.NodeId, name, err)
	}
	return answer(dest, value)
}

// ListXAttr gives the names, each ended by a zero byte.
func (s *fileSystem) ListXAttr(cancel <-chan struct{}, h *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	r := s.begin(cancel, h)
	defer r.end()
	names, err := s.lib.ListXattr(r, h.NodeId)
	if err != nil {
		return 0, s.status("list attributes", h.NodeId, "", err)
	}
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	return answer(dest, list)
}

func answer(dest, value []byte) (uint32, gofuse.Status) {
	if len(value) > len(dest) {
		return uint32(len(value)), gofuse.ERANGE
	}
	return uint32(copy(dest, value)), gofuse.OK
}

func (s *fileSystem) SetXAttr(cancel <-chan struct{}, in *gofuse.SetXAttrIn, name string, data []byte) gofuse.Status {
	if refused(name) {
		return gofuse.ENOTSUP
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	value := append([]byte{}, data...)
	err := s.lib.SetXattr(r, caller(&in.InHeader), in.NodeId, name, value, in.Flags)
	if remote.KindOf(err) == remote.TooLarge {
		return gofuse.Status(syscall.E2BIG) // EFBIG is about files
	}
	return s.status("set attribute", in.NodeId, name, err)
}

func (s *fileSystem) RemoveXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	if refused(name) {
		return gofuse.ENOTSUP
	}
	r := s.begin(cancel, h)
	defer r.end()
	return s.status("remove attribute", h.NodeId, name, s.lib.RemoveXattr(r, caller(h), h.NodeId, name))
}
