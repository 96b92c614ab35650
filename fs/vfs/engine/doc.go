// Package engine is a library as a file system over a catalog, a spool, a read cache and a store:
// open files and what is written to them, uploads, and the work in the background.
//
// What it changes goes through the catalog as an operation (fs/vfs/operation); what is written lies
// in the spool until an upload has made it a content. It implements vfs.Library and
// vfs.MediaLibrary.
package engine
