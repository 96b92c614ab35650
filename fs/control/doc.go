// Package control is how processes find the daemon that has a catalog directory, and speak with it:
// the lock on the directory, the socket in it, what passes through the socket in both directions,
// and the requests about media that the socket and commands without a daemon both answer.
//
// Only the user whom the directory belongs to, and root, may connect; each end asks the kernel who
// the other is. The wire is HTTP with JSON: fields are only ever added.
package control
