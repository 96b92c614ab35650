package local

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
)

// The attributes of the real file that hold its record. Programs neither see nor change them.
const (
	recordName = "user.mediafs.local"
	listName   = "user.mediafs.acl"
)

// A record is what the real file cannot say by itself, because a daemon that is not root can give
// no file away and could not open one of mode 0: the owner and mode that programs gave the
// dropping.
type record struct {
	uid, gid uint32
	mode     uint32   // permissions
	list     acl.List // access control list; nil: none
}

const permissions = 0o7777

// encode makes "1 UID GID MODE", the mode octal. 1 is the version; a later one may only add words.
// It is as long as the longest, so that a file that has no more room for attributes can change its
// owner.
func (r record) encode() []byte {
	return fmt.Appendf(nil, "%-28s", fmt.Sprintf("1 %d %d %o", r.uid, r.gid, r.mode))
}

var errRecord = errors.New("no record of an owner and mode")

// parseRecord reads what encode made, also with words that a later version added.
func parseRecord(b []byte) (r record, err error) {
	words := strings.Split(string(b), " ")
	if len(words) < 4 || words[0] != "1" {
		return record{}, errRecord
	}
	for i, f := range []struct {
		to   *uint32
		base int
	}{{&r.uid, 10}, {&r.gid, 10}, {&r.mode, 8}} {
		n, err := strconv.ParseUint(words[i+1], f.base, 32)
		if err != nil {
			return record{}, errRecord
		}
		*f.to = uint32(n)
	}
	if r.mode&^permissions != 0 {
		return record{}, errRecord
	}
	return r, nil
}

// readRecord gives the record of a real file. One without, such as a backup that was copied back
// without attributes, belongs to the owner of the real file.
func readRecord(fd int, st *unix.Stat_t) (record, error) {
	var b [128]byte
	n, err := unix.Fgetxattr(fd, recordName, b[:])
	switch {
	case err == nil:
		if r, err := parseRecord(b[:n]); err == nil {
			return readList(fd, r)
		}
	case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ERANGE):
		return record{}, err
	}
	return readList(fd, record{uid: st.Uid, gid: st.Gid, mode: 0o644})
}

// readList gives a record the file's list; what a mode can say the mode says. With one that cannot
// be read the file is its owner's alone.
func readList(fd int, r record) (record, error) {
	var b [acl.MaxSize]byte
	n, err := unix.Fgetxattr(fd, listName, b[:])
	switch {
	case errors.Is(err, unix.ENODATA):
		return r, nil
	case err != nil && !errors.Is(err, unix.ERANGE):
		return record{}, err
	}
	if r.list, err = acl.Parse(b[:max(n, 0)]); err != nil {
		r.list, r.mode = nil, r.mode&^0o077
		return r, nil
	}
	r.list = r.list.Chmod(r.mode)
	return r, nil
}

// writeRecord sets owner and mode of a real file.
func writeRecord(fd int, r record) error { return unix.Fsetxattr(fd, recordName, r.encode(), 0) }

// writeList sets or removes the list of a real file, and its record. The list comes before the mode
// and goes after it: alone, the mode's digit for a mask would let the group in.
func writeList(fd int, r record) error {
	if r.list != nil {
		if err := unix.Fsetxattr(fd, listName, r.list.Bytes(), 0); err != nil {
			return err
		}
	}
	if err := writeRecord(fd, r); err != nil || r.list != nil {
		return err
	}
	if err := unix.Fremovexattr(fd, listName); err != nil && !errors.Is(err, unix.ENODATA) {
		return err
	}
	return nil
}
