package fuse

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// refused reports whether an extended attribute is an access control list and the kernel does not
// check them here, as one before 4.9 does not: anybody could set what has no effect.
func (s *fileSystem) refused(name string) bool { return acl.Is(name) && s.noLists }

// GetXAttr gives the size of the value and ERANGE when dest is too small, which go-fuse turns into
// an answer to the question for the size. The kernel asks for security.capability before the first
// write after every refresh of a node's attributes, and for the access control list before it lets
// anybody but the owner in, so what is not there must be cheap to find out.
func (s *fileSystem) GetXAttr(
	cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte,
) (uint32, gofuse.Status) {
	if s.refused(name) {
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

// ListXAttr gives the names, each ended by a zero byte. Those of trusted. are for who may read
// them, which the kernel leaves to the file system.
func (s *fileSystem) ListXAttr(cancel <-chan struct{}, h *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	r := s.begin(cancel, h)
	defer r.end()
	names, err := s.lib.ListXattr(r, h.NodeId)
	if err != nil {
		return 0, s.status("list attributes", h.NodeId, "", err)
	}
	var list []byte
	trusted, asked := false, false
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.") {
			if !asked {
				trusted, asked = administrator(h.Uid, h.Pid), true
			}
			if !trusted {
				continue
			}
		}
		list = append(append(list, name...), 0)
	}
	return answer(dest, list)
}

// administrator reports whether a thread is root's and has the capability CAP_SYS_ADMIN. One that
// cannot be looked at, in a container of its own, has what root has.
func administrator(uid, tid uint32) bool {
	if uid != 0 {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if tid == 0 || err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err != nil || caps&(1<<unix.CAP_SYS_ADMIN) != 0
}

func answer(dest, value []byte) (uint32, gofuse.Status) {
	if len(value) > len(dest) {
		return uint32(len(value)), gofuse.ERANGE
	}
	return uint32(copy(dest, value)), gofuse.OK
}

func (s *fileSystem) SetXAttr(cancel <-chan struct{}, in *gofuse.SetXAttrIn, name string, data []byte) gofuse.Status {
	if s.refused(name) {
		return gofuse.ENOTSUP
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	value := append([]byte{}, data...)
	flags := in.Flags & (vfs.XattrCreate | vfs.XattrReplace)
	if in.Flags != flags {
		return gofuse.EINVAL
	}
	// A kernel before 5.12 does not say whether who sets a list is in the file's group. Then the
	// bit stays for root alone.
	kill := acl.Is(name) && in.Uid != 0
	if s.longSetXAttr {
		kill = in.SetXAttrFlags&gofuse.SETXATTR_ACL_KILL_SGID != 0
	}
	if kill {
		flags |= vfs.XattrClearSetgid
	}
	err := s.lib.SetXattr(r, caller(&in.InHeader), in.NodeId, name, value, flags)
	if remote.KindOf(err) == remote.TooLarge {
		return gofuse.Status(syscall.E2BIG) // EFBIG is about files
	}
	return s.status("set attribute", in.NodeId, name, err)
}

func (s *fileSystem) RemoveXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	if s.refused(name) {
		return gofuse.ENOTSUP
	}
	r := s.begin(cancel, h)
	defer r.end()
	return s.status("remove attribute", h.NodeId, name, s.lib.RemoveXattr(r, caller(h), h.NodeId, name))
}
