// Package vfstest is the behavioural suite of the file system: what cp, rsync, mv, rm, tar, git,
// databases and editors rely on, as cases over a small path-based interface. It is run on a library
// in memory, on a library through a real mount, and on a plain directory of the local disk: that
// last run keeps the suite itself honest, because there every expectation is the kernel's.
//
// It runs as root and stays off permission checks, which are the kernel's. It never looks inside a
// library.
package vfstest
