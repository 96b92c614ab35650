package fuse

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Who changes the bytes or the owner of a program must not leave it a program that runs as somebody
// else: set-user-id and set-group-id go, as on a local disk, before the bytes change. The kernel
// leaves them to us (CAP_HANDLE_KILLPRIV_V2) and takes security.capability away itself, whoever
// writes.
//
// Linux, setattr_should_drop_suidgid: nothing goes when the caller has CAP_FSETID. Else set-user-id
// goes, and set-group-id where the group may execute or the caller is not of the group. A change of
// owner takes set-user-id, and set-group-id where the group may execute, whoever makes it.
type changer int

const (
	unprivileged changer = iota // the kernel says that the caller has no CAP_FSETID
	unknown                     // the request has no room for that: fallocate, copy_file_range
	owning                      // a change of owner, by whoever it is
)

// withoutPrivileges is the mode that a change leaves a node with; nil: the one it has.
func (s *fileSystem) withoutPrivileges(
	ctx context.Context, h *gofuse.InHeader, id vfs.ID, by changer,
) (*uint32, error) {
	a, err := s.lib.GetAttr(ctx, id)
	if err != nil {
		return nil, err
	}
	const both = unix.S_ISUID | unix.S_ISGID
	if a.Mode&unix.S_IFMT != unix.S_IFREG || a.Mode&both == 0 {
		return nil, nil
	}
	drop := a.Mode & unix.S_ISUID
	if a.Mode&unix.S_IXGRP != 0 {
		drop |= a.Mode & unix.S_ISGID
	}
	if by == unknown || drop&unix.S_ISGID != a.Mode&unix.S_ISGID {
		switch c := credentialsOf(h); {
		case c.fsetid && by == unknown:
			return nil, nil
		case c.fsetid, c.member(a.GID):
		default:
			drop |= a.Mode & unix.S_ISGID
		}
	}
	if drop == 0 {
		return nil, nil
	}
	mode := a.Mode & 0o7777 &^ drop
	return &mode, nil
}

// dropPrivileges takes them off before a change of the bytes of a node.
func (s *fileSystem) dropPrivileges(ctx context.Context, h *gofuse.InHeader, id vfs.ID, by changer) error {
	mode, err := s.withoutPrivileges(ctx, h, id, by)
	if err != nil || mode == nil {
		return err
	}
	_, err = s.lib.SetAttr(ctx, caller(h), id, nil, vfs.AttrChange{Mode: mode})
	s.announcer.Node(id, false) // the answer has no room for it
	return err
}

// credentials are what decides about a caller that requests do not tell.
type credentials struct {
	fsetid bool // has CAP_FSETID in the first user namespace, which is the one that counts
	groups []uint32
}

func (c credentials) member(gid uint32) bool { return slices.Contains(c.groups, gid) }

// firstUserNamespace is what /proc/<id>/ns/user is a link to outside of any other
// (PROC_USER_INIT_INO).
const firstUserNamespace = "user:[4026531837]"

// credentialsOf reads them. A caller that cannot be seen (another pid namespace, a thread that is
// gone) has no capability: bits that went by mistake are set again, bits that stayed are a hole.
func credentialsOf(h *gofuse.InHeader) credentials {
	c := credentials{groups: []uint32{h.Gid}}
	dir := "/proc/" + strconv.FormatUint(uint64(h.Pid), 10)
	status, err := os.ReadFile(dir + "/status")
	if h.Pid == 0 || err != nil {
		return c
	}
	if string(statusField(status, "Kthread")) == "1" {
		// one of the kernel's own, on behalf of somebody whose capabilities /proc does not show:
		// knfsd
		c.fsetid = h.Uid == 0
		return c
	}
	for _, field := range bytes.Fields(statusField(status, "Groups")) {
		if h.Gid == vfs.NoID {
			break // they are not mapped as the mount maps them
		}
		if gid, err := strconv.ParseUint(string(field), 10, 32); err == nil {
			c.groups = append(c.groups, uint32(gid))
		}
	}
	effective, err := strconv.ParseUint(string(statusField(status, "CapEff")), 16, 64)
	if err != nil || effective>>unix.CAP_FSETID&1 == 0 {
		return c
	}
	ns, err := os.Readlink(dir + "/ns/user")
	c.fsetid = err == nil && ns == firstUserNamespace
	return c
}

// statusField gives a line of /proc/<id>/status without its name.
func statusField(status []byte, name string) []byte {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return bytes.TrimSpace(line)
}
