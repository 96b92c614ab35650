// Package spool keeps the bytes that were written and that no store has yet: one sparse file and
// one small description for each media that is being written, in one directory. It may hold the
// only copy of what people wrote, so a file leaves it only when its owner says that the store has
// it or that nobody wants it.
//
// What survives: kill -9 of the daemon loses nothing that Write returned for; power loss nothing
// since the last Sync. The package knows no library and starts nothing by itself.
package spool
