// Package daemon assembles one mounted library out of its parts, keeps it running and takes it
// apart again.
//
// It owns what belongs to no part alone: the private directories, the order of opening and closing,
// and the list of this user's mounts. fs/control has the socket over which commands speak with it.
// It never looks at a flag, the environment or a configuration file (cmd/mediafs does), and it
// knows no rule of the file system (fs/vfs does).
package daemon
