// Package acl has the access control lists of files as Linux keeps them: their bytes, what they
// permit, and what they have to do with a mode. It has no I/O.
//
// The rules are those of the draft POSIX 1003.1e and of the kernel (acl(5)): an entry for the
// owner, the group and all others each, entries for named users and groups, and a mask, which
// bounds what the latter and the group's own entry give. The group's permissions of a file's mode
// are the mask where there is one.
package acl
