package fuse

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Remount changes flags of the mount at dir, whoever serves it: words as in mount -o remount, of
// which those that are no flags (allow_other) are Unsupported. Flags that are not named stay. Where
// nothing changes the kernel is not asked, so that everybody may say what is the case already.
// Errors: NotExist (no mount of ours), Busy (files are open for writing, and it was to be ro),
// Permission (only root may change flags).
func Remount(dir string, words []string) error {
	const op = "remount"
	m, ok := mountAt(dir)
	if !ok {
		return remote.E(op, dir, remote.NotExist, errors.New("nothing of mediafs is mounted there"))
	}
	was := flagsOf(m)
	want := was
	for _, word := range words {
		f, isFlag := mountFlags[word]
		switch {
		case isFlag:
			want = want&^f.clear | f.set
		case word == "idmap": // no mount table shows it
		case IsTableOption(word), slices.Contains(strings.Split(m.Options, ","), word):
		default:
			return remote.E(op, dir, remote.Unsupported, fmt.Errorf("option %s changes with a new mount alone", word)).
				WithHint("umount it, then mount it with the new options")
		}
	}
	if want == was {
		return nil
	}
	switch err := unix.Mount("", dir, "", unix.MS_REMOUNT|want, ""); err {
	case nil:
		return nil
	case unix.EBUSY:
		return remote.E(op, dir, remote.Busy, errors.New("files are open for writing")).
			WithHint("close them (fuser -vm " + dir + " shows who has them)")
	case unix.EPERM:
		return remote.E(op, dir, remote.Permission, errors.New("only root may change "+strings.Join(changed(was, want), ", "))).
			WithHint("umount it, then mount it with the new options")
	default:
		return remote.E(op, dir, remote.Other, err)
	}
}

// IsReadOnly reports whether the kernel refuses writes on the mount at dir, a real path: it was
// mounted or remounted so, by whomever.
func IsReadOnly(dir string) bool {
	m, ok := mountAt(dir)
	return ok && m.ReadOnly
}

// flagsOf reads the flags of a mount off its options.
func flagsOf(m MountInfo) (flags uintptr) {
	for _, word := range strings.Split(m.Options, ",") {
		if f, ok := mountFlags[word]; ok && f.set != 0 {
			flags |= f.set
		}
	}
	if flags&(unix.MS_NOATIME|unix.MS_RELATIME) == 0 {
		flags |= unix.MS_STRICTATIME // how the mount table shows it
	}
	return flags
}

// changed names the flags that differ.
func changed(was, want uintptr) (names []string) {
	for name, f := range mountFlags {
		if f.set&(was^want) != 0 && want&f.set == f.set || f.set == 0 && f.clear&was != 0 && f.clear&want == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Remount changes flags of this mount, as the function of that name does.
func (s *Server) Remount(words []string) error { return Remount(s.dir, words) }

// ReadOnly reports whether the kernel refuses writes.
func (s *Server) ReadOnly() bool { return IsReadOnly(s.dir) }
