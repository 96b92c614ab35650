package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
	"mediafs/remote"
)

// The exit codes are part of the command line's interface: scripts test them. A number is never
// given a second meaning.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitMountPoint  = 3
	exitUnavailable = 4
	exitPermission  = 5
	exitNoLibrary   = 6
	exitVersion     = 7
	exitBusy        = 8
	exitPending     = 9
	exitCorrupt     = 10
	exitDamage      = 11
)

var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailed, "failed for another reason"},
	{exitUsage, "wrong arguments, flags, environment or configuration file"},
	{
		exitMountPoint,
		"the mount point is missing, not a folder, not empty, in a folder of the library's own, or nothing of mediafs is mounted there",
	},
	{exitUnavailable, "the store or the daemon was not reached, or did not answer in time"},
	{
		exitPermission,
		"permission denied: credentials, rights on the bucket, owner of a directory, a read-only file system",
	},
	{exitNoLibrary, "no such bucket, or no library of mediafs is there"},
	{exitVersion, "the library, store or daemon needs or lacks a feature that this version cannot do without"},
	{exitBusy, "in use: files are open, already mounted there, or another daemon has the catalog directory"},
	{exitPending, "not everything is in the store; the rest is kept on this machine"},
	{exitCorrupt, "bytes are not what their checksum says"},
	{exitDamage, "check found damage in the library; gc refuses one that is damaged"},
}

func exitTable() string {
	var b strings.Builder
	for _, m := range exitMeanings {
		fmt.Fprintf(&b, "  %2d  %s\n", m.code, m.meaning)
	}
	return b.String()
}

// An exitError is an error whose exit code does not follow from its kind.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// A saidError is the exit code after errors that were printed already.
type saidError struct{ *exitError }

// usage is an error of whoever typed the command.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf("%s (see %s --help)", fmt.Sprintf(format, args...), cmd.CommandPath())}
}

// exitCode maps an error to the process's exit code.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var said *saidError
	if errors.As(err, &said) {
		return said.code
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	switch kind := remote.KindOf(err); {
	case errors.Is(err, daemon.ErrPending):
		return exitPending
	case errors.Is(err, daemon.ErrForeign):
		return exitNoLibrary
	case errors.Is(err, daemon.ErrMountPoint) && kind != remote.Busy && kind != remote.Permission:
		return exitMountPoint
	case kind == remote.Other && (errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)):
		return exitPermission
	default:
		return exitCodeOf(kind)
	}
}

func exitCodeOf(kind remote.Kind) int {
	switch kind {
	case remote.Unavailable, remote.Throttled:
		return exitUnavailable
	case remote.Permission, remote.ReadOnly:
		return exitPermission
	case remote.NotExist:
		return exitNoLibrary
	case remote.Unsupported:
		return exitVersion
	case remote.Busy:
		return exitBusy
	case remote.Corrupt:
		return exitCorrupt
	case remote.Invalid:
		return exitUsage
	}
	return exitFailed
}

// args wraps a check of the number of arguments, so that its failure is a usage error.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		switch {
		case len(given) < least:
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		case len(given) > most:
			return usage(cmd, "too many arguments: %s", cmd.UseLine())
		}
		return nil
	}
}

// noCommand is the root's check: whatever is left there is no command of ours.
func noCommand(cmd *cobra.Command, given []string) error {
	if len(given) > 0 {
		return usage(cmd, "unknown command %q", given[0])
	}
	return nil
}
