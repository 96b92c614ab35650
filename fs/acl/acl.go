package acl

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The extended attributes that hold lists.
const (
	Access  = "system.posix_acl_access"  // who may do what with a file or folder
	Default = "system.posix_acl_default" // of a folder: what is made in it gets this list
)

// Is reports whether an extended attribute holds a list.
func Is(name string) bool { return name == Access || name == Default }

// MaxSize is the largest list in bytes, which is what the kernel takes from a FUSE file system: a
// page.
const MaxSize = 4096

// A Tag says whom an entry is for. The numbers are those of linux/posix_acl.h.
type Tag uint16

// Tags, in the order in which entries come.
const (
	Owner  Tag = 0x01
	User   Tag = 0x02 // a named one
	Group  Tag = 0x04 // the file's own
	Member Tag = 0x08 // of a named group
	Mask   Tag = 0x10
	Other  Tag = 0x20
)

// Permissions, as one digit of a mode has them.
const (
	Read   = 4
	Write  = 2
	Search = 1
)

// An Entry is one line of a list.
type Entry struct {
	Tag  Tag
	Perm uint32 // one digit of a mode
	ID   uint32 // of a named user or group
}

// A List is an access control list that is valid: as Parse and the methods here give it.
type List []Entry

// The encoding is that of the kernel's extended attributes (linux/posix_acl_xattr.h): a version of
// 4 bytes, and 8 bytes an entry, little endian.
const (
	version    = 2
	headSize   = 4
	entrySize  = 8
	noID       = 1<<32 - 1
	permission = 7
)

// Parse reads a list and checks it as the kernel does: each entry in its place, and a mask where
// somebody is named.
func Parse(b []byte) (List, error) {
	if len(b) < headSize || (len(b)-headSize)%entrySize != 0 {
		return nil, fmt.Errorf("an access control list of %d bytes", len(b))
	}
	if v := binary.LittleEndian.Uint32(b); v != version {
		return nil, fmt.Errorf("an access control list of version %d", v)
	}
	var l List
	for b = b[headSize:]; len(b) > 0; b = b[entrySize:] {
		l = append(l, Entry{
			Tag:  Tag(binary.LittleEndian.Uint16(b)),
			Perm: uint32(binary.LittleEndian.Uint16(b[2:])),
			ID:   binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return l, l.check()
}

func (l List) check() error {
	count := make(map[Tag]int)
	last := Tag(0)
	for _, e := range l {
		named := e.Tag == User || e.Tag == Member
		switch {
		case !slices.Contains([]Tag{Owner, User, Group, Member, Mask, Other}, e.Tag):
			return fmt.Errorf("an access control list with an entry of kind %#x", uint16(e.Tag))
		case e.Perm&^permission != 0:
			return fmt.Errorf("an access control list with the permissions %o", e.Perm)
		case named && e.ID == noID:
			return fmt.Errorf("an access control list that names nobody")
		case e.Tag < last || e.Tag == last && !named:
			return fmt.Errorf("an access control list whose entries are out of order")
		}
		last = e.Tag
		count[e.Tag]++
	}
	switch {
	case count[Owner] == 0 || count[Group] == 0 || count[Other] == 0:
		return fmt.Errorf("an access control list without an entry for the owner, the group or all others")
	case count[User]+count[Member] > 0 && count[Mask] == 0:
		return fmt.Errorf("an access control list that names somebody and has no mask")
	}
	return nil
}

// Bytes is what Parse reads.
func (l List) Bytes() []byte {
	b := make([]byte, 0, headSize+len(l)*entrySize)
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, e := range l {
		id := e.ID
		if e.Tag != User && e.Tag != Member {
			id = noID
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Tag))
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Perm))
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// Minimal reports whether the list says no more than a mode does.
func (l List) Minimal() bool { return len(l) == 3 }

// entry gives the entry of a tag that a list has at most one of; nil when it has none.
func (l List) entry(t Tag) *Entry {
	for i := range l {
		if l[i].Tag == t {
			return &l[i]
		}
	}
	return nil
}

// class gives the entry whose permissions are the group's in a mode.
func (l List) class() *Entry {
	if m := l.entry(Mask); m != nil {
		return m
	}
	return l.entry(Group)
}

// Mode gives a mode its permissions from the list; all other bits stay.
func (l List) Mode(mode uint32) uint32 {
	return mode&^0o777 | l.entry(Owner).Perm<<6 | l.class().Perm<<3 | l.entry(Other).Perm
}

// Chmod gives the list of a file whose mode was set: named users and groups stay, the mask bounds
// them.
func (l List) Chmod(mode uint32) List {
	l = slices.Clone(l)
	l.entry(Owner).Perm = mode >> 6 & permission
	l.class().Perm = mode >> 3 & permission
	l.entry(Other).Perm = mode & permission
	return l
}

// Inherit gives the list and the mode of what is made in a folder that has l as its default, by a
// program that asked for mode: of each it gets what both allow. The process's umask does not count
// then. The list is nil when it says no more than the mode.
func (l List) Inherit(mode uint32) (List, uint32) {
	l = slices.Clone(l)
	l.entry(Owner).Perm &= mode >> 6
	l.class().Perm &= mode >> 3
	l.entry(Other).Perm &= mode
	mode = l.Mode(mode)
	if l.Minimal() {
		return nil, mode
	}
	return l, mode
}

// Bare gives the mode of a file that has lost its list, which had this mode until then. Nobody has
// more rights by it than by the list, also not who was named to have less than others.
func (l List) Bare(mode uint32) uint32 {
	group, other := l.entry(Group).Perm, uint32(permission)
	for _, e := range l {
		switch e.Tag {
		case User:
			group &= e.Perm
			other &= e.Perm & l.class().Perm
		case Member:
			other &= e.Perm & l.class().Perm
		}
	}
	return mode &^ (^group&permission<<3 | ^other&permission)
}

// Map gives a list with other permissions: what f makes of each entry's.
func (l List) Map(f func(perm uint32) uint32) List {
	l = slices.Clone(l)
	for i := range l {
		l[i].Perm = f(l[i].Perm) & permission
	}
	return l
}

// Permits reports whether the list gives a user who does not own the file all permissions of want.
// group is the file's, in reports whether the user is in a group.
func (l List) Permits(uid, group uint32, in func(gid uint32) bool, want uint32) bool {
	mask := uint32(permission)
	if m := l.entry(Mask); m != nil {
		mask = m.Perm
	}
	member := false
	for _, e := range l {
		switch e.Tag {
		case User:
			if e.ID == uid {
				return e.Perm&mask&want == want
			}
		case Group, Member:
			gid := e.ID
			if e.Tag == Group {
				gid = group
			}
			if !in(gid) {
				continue
			}
			if member = true; e.Perm&want == want {
				return mask&want == want // of several groups the first that gives it all counts
			}
		case Other:
			return !member && e.Perm&want == want
		}
	}
	return false
}
