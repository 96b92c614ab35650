// Package facts reads what the bytes of a media say of it: its type and class, size of the picture,
// when and where it was taken, with what, how long it plays, what its makers wrote into it.
//
// Extract does it in process, and reads little: headers, indexes and tags, through a window of
// blocks, never the pictures and sounds themselves. A Worker does it in a child process, which is
// the way for bytes that somebody else made: a process can be killed and its memory limited, a
// goroutine cannot. The child has no files, no network of its own, no secrets in its environment:
// it asks its parent for ranges of the media, and the parent believes nothing that it answers.
//
// The package never writes to a media, never judges it (a damaged file has the facts that could be
// read, and an Error that says what could not), and never goes by the name where the bytes say
// something.
package facts
