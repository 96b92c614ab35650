// Package vfs is the contract between a library and what shows it to programs: nodes, folders,
// files and their handles, and media (Library, MediaLibrary, File, Dir, Announcer).
//
// It has no kernel in it and no store: fs/fuse, fs/view and fs/local ask a Library and are told of
// changes through an Announcer; fs/vfs/engine is the library itself, fs/vfs/operation its rules.
package vfs
