package fuse

import (
	"math"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// CopyFileRange copies between two open files without the bytes passing through here, where the
// library can.
func (s *fileSystem) CopyFileRange(cancel <-chan struct{}, in *gofuse.CopyFileRangeIn) (uint32, gofuse.Status) {
	from, ok := s.files.get(in.FhIn)
	if !ok {
		return 0, gofuse.EBADF
	}
	to, ok := s.files.get(in.FhOut)
	if !ok {
		return 0, gofuse.EBADF
	}
	if in.Flags != 0 || in.OffIn > math.MaxInt64 || in.OffOut > math.MaxInt64 {
		return 0, gofuse.EINVAL
	}
	r := s.begin(cancel, &in.InHeader)
	defer r.end()
	// The answer has 32 bits; whole pages keep the next request aligned.
	n := int64(min(in.Len, math.MaxUint32&^0xfff))
	if err := s.dropPrivileges(r, &in.InHeader, in.NodeIdOut, unknown); err != nil {
		return 0, s.status("copy", in.NodeIdOut, "", err)
	}
	done, err := to.CopyRange(r, from.File, int64(in.OffIn), int64(in.OffOut), n)
	if err != nil {
		return 0, s.status("copy", in.NodeIdOut, "", err)
	}
	return uint32(done), gofuse.OK
}
