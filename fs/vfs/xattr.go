package vfs

import (
	"strings"

	"mediafs/fs/acl"
)

// Namespaces of extended attributes. What the kernel checks before it asks: a user's need the right
// to read or write, and are on media and folders alone; trusted ones are for CAP_SYS_ADMIN;
// security ones may be read by all who reach the file, and set with CAP_SYS_ADMIN or, the
// capability, with CAP_SETFCAP. A list is set by the file's owner.

// Namespaced reports whether an extended attribute of this name can be set: it is in one of the
// namespaces that a local file system has, or an access control list. The kernel leaves all others
// of system. to the file system, whoever asks.
func Namespaced(name string) bool {
	for _, ns := range []string{"user.", "trusted.", "security."} {
		if strings.HasPrefix(name, ns) && len(name) > len(ns) {
			return true
		}
	}
	return acl.Is(name)
}
