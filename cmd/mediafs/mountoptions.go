package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"mediafs/fs/fuse"
)

// mountOptions are what -o says beyond settings, which are set as flags.
type mountOptions struct {
	words    []string // for the kernel: noexec, sync…, and ro or rw where it was said
	remount  bool
	uid, gid *uint32 // owner of the root folder of a library that is made
	unknown  []string
}

// parseMountOptions sets flags from the arguments of -o, and sorts out the rest. Names may be
// written with _ or -; the later of two that contradict each other counts. With sloppy what nobody
// knows is left out and noted; else it is an error.
func parseMountOptions(f *pflag.FlagSet, names []string, options []string, sloppy bool) (m mountOptions, err error) {
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	refuse := func(key string, format string, args ...any) (mountOptions, error) {
		return m, &exitError{exitUsage, fmt.Errorf("-o %s: %s", key, fmt.Sprintf(format, args...))}
	}
	readOnly := false // said by ro
	for _, o := range splitOptions(options) {
		key, text, given := strings.Cut(o, "=")
		name := strings.ReplaceAll(key, "_", "-")
		switch {
		case key == "remount":
			m.remount = true
			continue
		case key == "ro", key == "rw":
			// mount(8) says rw whenever nobody says ro: the configuration file counts then.
			m.words = append(m.words, key)
			if key == "rw" && !readOnly {
				continue
			}
			readOnly = key == "ro"
			name, text, given = "read-only", strconv.FormatBool(readOnly), true
		case key == "uid", key == "gid":
			id, err := parseOwner(key, text)
			if err != nil {
				return refuse(key, "%s", err)
			}
			if key == "uid" {
				m.uid = &id
			} else {
				m.gid = &id
			}
			continue
		case fuse.IsKernelOption(o):
			m.words = append(m.words, o)
			continue
		case fuse.IsTableOption(o):
			continue
		case !known[name]:
			if sloppy || shownByKernel[key] {
				m.unknown = append(m.unknown, key)
				continue
			}
			return refuse(key, "unknown option")
		case !given && f.Lookup(name).NoOptDefVal == "":
			return refuse(key, "a value is missing")
		case !given:
			text = f.Lookup(name).NoOptDefVal
		}
		if err := f.Set(name, text); err != nil {
			return refuse(key, "%s", bareFlagError(err))
		}
	}
	for _, key := range m.unknown {
		if !sloppy && !m.remount {
			return refuse(key, "mediafs sets it itself")
		}
	}
	return m, nil
}

// shownByKernel are options that the mount table shows: a remount of what is in no /etc/fstab
// brings them all.
var shownByKernel = map[string]bool{
	"user_id":  true,
	"group_id": true,
	"rootmode": true,
	"max_read": true,
	"blksize":  true,
	"fd":       true,
	"seclabel": true,
}

// splitOptions parts lists at their commas, but for those between double quotes, as mount(8) does.
func splitOptions(lists []string) (options []string) {
	for _, list := range lists {
		quoted, from := false, 0
		for i := 0; i <= len(list); i++ {
			switch {
			case i == len(list), list[i] == ',' && !quoted:
				if i > from {
					options = append(options, list[from:i])
				}
				from = i + 1
			case list[i] == '"':
				quoted = !quoted
			}
		}
	}
	return options
}

// parseOwner reads a number or a name of the user database.
func parseOwner(key, text string) (uint32, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil && n != 1<<32-1 {
		return uint32(n), nil
	}
	id := ""
	if key == "uid" {
		if u, err := user.Lookup(text); err == nil {
			id = u.Uid
		}
	} else if g, err := user.LookupGroup(text); err == nil {
		id = g.Gid
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a number nor a name of the user database", text)
	}
	return uint32(n), nil
}

// repeat writes the options so that the daemon in the background reads the same.
func (m mountOptions) repeat() (args []string) {
	words := m.words
	for _, owner := range []struct {
		key string
		id  *uint32
	}{{"uid", m.uid}, {"gid", m.gid}} {
		if owner.id != nil {
			words = append(words[:len(words):len(words)], fmt.Sprintf("%s=%d", owner.key, *owner.id))
		}
	}
	if len(words) == 0 {
		return nil
	}
	return []string{"-o", strings.Join(words, ",")}
}
