package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A role is what the program is run as.
type role int

const (
	asItself role = iota
	asMount       // by mount(8): mount.mediafs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
	asUmount      // by umount(8): umount.mediafs DIR [-flnrv] [-N NAMESPACE] [-t TYPE]
)

// commandArgs takes the program's name off, which says what it is run as. mount(8) and umount(8)
// look for a helper by the type of the file system, which is mediafs in /etc/fstab and fuse.mediafs
// in the mount table.
func commandArgs(args []string) (role, []string) {
	if len(args) == 0 {
		return asItself, nil
	}
	if len(args) == 2 && args[1] == "facts-worker" { // a daemon's child, whatever the daemon was run as
		return asItself, args[1:]
	}
	switch filepath.Base(args[0]) {
	case "mount.mediafs", "mount.fuse.mediafs":
		return asMount, append([]string{"mount"}, args[1:]...)
	case "umount.mediafs", "umount.fuse.mediafs":
		return asUmount, append([]string{"umount"}, args[1:]...)
	}
	args = args[1:]
	// mount.fuse of FUSE runs `mediafs SOURCE DIR -o OPTIONS` for mount -t fuse.mediafs, and puts
	// dev and suid in front that nobody asked for.
	if len(args) == 4 && args[2] == "-o" && filepath.IsAbs(args[1]) && args[0] != "mount" && args[0] != "export" &&
		!strings.HasPrefix(args[0], "-") {
		var options []string
		for _, o := range splitOptions(args[3:]) {
			if o != "dev" && o != "suid" {
				options = append(options, o)
			}
		}
		return asMount, []string{"mount", args[0], args[1], "-o", strings.Join(options, ",")}
	}
	return asItself, args
}

// helperFlags are what mount(8) and umount(8) hand to their helpers beyond -o.
type helperFlags struct {
	fake      bool // -f of mount: check all, mount nothing
	sloppy    bool // -s of mount: unknown options are left out
	verbose   bool
	namespace string
	kind      string
}

func (h *helperFlags) define(cmd *cobra.Command, as role) {
	f := cmd.Flags()
	var ignored bool
	if as == asMount {
		f.BoolVarP(&h.fake, "fake", "f", false, "")
		f.BoolVarP(&h.sloppy, "sloppy", "s", false, "")
	} else if cmd.Name() == "mount" { // as its own command -f is --foreground
		f.BoolVar(&h.fake, "fake", false, "")
		f.BoolVarP(&h.sloppy, "sloppy", "s", false, "")
	}
	f.BoolVarP(&ignored, "no-mtab", "n", false, "")
	f.BoolVarP(&h.verbose, "verbose", "v", false, "")
	f.StringVarP(&h.namespace, "namespace", "N", "", "")
	f.StringVarP(&h.kind, "types", "t", "", "")
	for _, name := range []string{"fake", "sloppy", "no-mtab", "verbose", "namespace", "types"} {
		if f.Lookup(name) != nil {
			f.MarkHidden(name) //nolint:errcheck // the flag is there
		}
	}
}

// check refuses a type of another file system.
func (h *helperFlags) check() error {
	switch h.kind {
	case "", "mediafs", "fuse", "fuse.mediafs":
		return nil
	}
	return &exitError{exitUsage, fmt.Errorf("-t %s: this is the file system mediafs", h.kind)}
}

// enter makes this program begin again in the mount namespace that -N names, without that flag. It
// returns when there is none, when this one is meant (as for the program that has begun again with
// a flag in another spelling, like -vN), or with an error.
func (h *helperFlags) enter(args []string) error {
	if h.namespace == "" {
		return nil
	}
	refuse := func(err error) error {
		return fmt.Errorf("enter the mount namespace %s: %w", h.namespace, err)
	}
	ns, err := os.Open(h.namespace)
	if err != nil {
		return refuse(err)
	}
	defer ns.Close()
	var wanted, own unix.Stat_t
	if err := errors.Join(unix.Fstat(int(ns.Fd()), &wanted), unix.Stat("/proc/self/ns/mnt", &own)); err != nil {
		return refuse(err)
	}
	if wanted.Dev == own.Dev && wanted.Ino == own.Ino {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return refuse(err)
	}
	program, err := unix.Open(self, unix.O_PATH|unix.O_CLOEXEC, 0) // its path may lead elsewhere in there
	if err != nil {
		return refuse(err)
	}
	runtime.LockOSThread() // for good: the thread becomes the program
	// A thread that shares its working folder with others may not change its namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return refuse(err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return refuse(err)
	}
	var rest []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-N" || args[i] == "--namespace":
			i++
		case strings.HasPrefix(args[i], "-N"), strings.HasPrefix(args[i], "--namespace="):
		default:
			rest = append(rest, args[i])
		}
	}
	return refuse(unix.Exec("/proc/self/fd/"+strconv.Itoa(program), rest, os.Environ()))
}
