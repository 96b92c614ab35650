package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mediafs/fs/fuse"
)

// withheldOptions returns suid and dev if the user asked for them. mount(8) keeps the two to
// itself: to it they are what every mount has, and its helpers hear only of nosuid and nodev. So
// its command line is read, and its line of /etc/fstab. Nothing when this program was not called by
// mount(8), or that has asked for neither.
func withheldOptions(dir string) []string {
	process := fmt.Sprintf("/proc/%d/", os.Getppid())
	program, err := os.Readlink(process + "exe")
	if err != nil || filepath.Base(program) != "mount" {
		return nil
	}
	line, err := os.ReadFile(process + "cmdline")
	if err != nil {
		return nil
	}
	return withheld(strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"), dir)
}

func withheld(args []string, dir string) (words []string) {
	call := parseMountCall(args)
	options := call.options
	if call.places < 2 { // else mount(8) does not look into the table
		options = append(tableOptions(call.table, dir), options...)
	}
	var suid, dev bool
	for _, o := range options {
		switch o {
		case "suid", "nosuid":
			suid = o == "suid"
		case "dev", "nodev":
			dev = o == "dev"
		case "user", "users", "owner", "group": // imply nosuid and nodev, which may follow as suid and dev
			suid, dev = false, false
		}
	}
	if suid {
		words = append(words, "suid")
	}
	if dev {
		words = append(words, "dev")
	}
	return words
}

// mountCall is what matters here of a command line of mount(8), of util-linux.
type mountCall struct {
	options []string
	table   string
	places  int // arguments that name the source or the mount point
}

func parseMountCall(args []string) mountCall {
	call := mountCall{table: "/etc/fstab"}
	take := func(flag, value string) {
		switch flag {
		case "o", "options":
			call.options = append(call.options, splitOptions([]string{value})...)
		case "T", "fstab":
			call.table = value
		case "L", "label", "U", "uuid", "source", "target":
			call.places++
		}
	}
	const short = "LNOTUmot" // flags that have a value
	long := []string{
		"fstab", "label", "map-users", "map-groups", "namespace", "options", "options-mode", "options-source", "source",
		"target", "target-prefix", "test-opts", "types", "uuid",
	}
	for i := 1; i < len(args); i++ {
		next := func() (value string) {
			if i++; i < len(args) {
				value = args[i]
			}
			return value
		}
		name, isLong := strings.CutPrefix(args[i], "--")
		switch {
		case args[i] == "--":
			call.places += len(args) - i - 1
			return call
		case isLong:
			name, value, given := strings.Cut(name, "=")
			if !given && slices.Contains(long, name) {
				value = next()
			}
			take(name, value)
		case len(args[i]) > 1 && args[i][0] == '-':
			// Letters may be together; what follows one that has a value is the value.
			if at := strings.IndexAny(args[i][1:], short) + 1; at > 0 {
				flag, value := args[i][at:at+1], args[i][at+1:]
				if value == "" {
					value = next()
				}
				take(flag, value)
			}
		default:
			call.places++
		}
	}
	return call
}

// tableOptions are the options of dir in a file as /etc/fstab; of several lines those of the last.
func tableOptions(table, dir string) (options []string) {
	text, err := os.ReadFile(table)
	if err != nil {
		return nil
	}
	real := func(name string) string {
		if r, err := filepath.EvalSymlinks(name); err == nil {
			return r
		}
		return filepath.Clean(name)
	}
	dir = real(dir)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0][0] == '#' || f[2] != "mediafs" && f[2] != fuse.TypeName && f[2] != "fuse" {
			continue
		}
		if real(fuse.Unescape(f[1])) == dir {
			options = splitOptions([]string{fuse.Unescape(f[3])})
		}
	}
	return options
}
