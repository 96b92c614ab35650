// Package vfs is a library as a file system, with no kernel in it: nodes, folders, files and their handles, the rules of
// rename, trash, versions and media identity.
//
// Everything it changes goes through the catalog as an operation (operation.go); everything it
// writes lies in the spool until an upload made it a content. It never talks to FUSE: fs/fuse calls Library
// and is told of changes through an Announcer.
package vfs
