// Package daemon assembles one mounted library out of its parts, keeps it running and takes it apart again, and speaks with
// the command line over a socket.
//
// It owns what belongs to no part alone: the private directories and the lock that keeps two daemons off one of them, the
// order of opening and closing, the control socket, and the list of this user's mounts. It never looks at a
// flag, the environment or a configuration file (cmd/mediafs does), and it knows no rule of the file system (fs/vfs does).
package daemon
