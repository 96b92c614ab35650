package local

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// recordName is the attribute of the real file that holds its record. Programs neither see nor change it.
const recordName = "user.mediafs.local"

// A record is what the real file cannot say by itself, because a daemon that is not root can give no file away and could not open one of
// mode 0: the owner and mode that programs gave the dropping.
type record struct {
	uid, gid uint32
	mode     uint32 // permissions
}

const permissions = 0o7777

// encode makes "1 UID GID MODE", the mode octal. 1 is the version; a later one may only add words.
func (r record) encode() []byte { return fmt.Appendf(nil, "1 %d %d %o", r.uid, r.gid, r.mode) }

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

// readRecord gives the record of a real file. One without, such as a backup that was copied back without attributes, belongs to the
// owner of the real file.
func readRecord(fd int, st *unix.Stat_t) (record, error) {
	var b [128]byte
	n, err := unix.Fgetxattr(fd, recordName, b[:])
	switch {
	case err == nil:
		if r, err := parseRecord(b[:n]); err == nil {
			return r, nil
		}
	case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ERANGE):
		return record{}, err
	}
	return record{uid: st.Uid, gid: st.Gid, mode: 0o644}, nil
}

func writeRecord(fd int, r record) error { return unix.Fsetxattr(fd, recordName, r.encode(), 0) }
