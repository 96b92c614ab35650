// Package view shows a library's media under other orders than its folders: by tag, by date, by
// what they are, what people said of them, what is in the trash, older versions, uploads, and as
// archives. All of that is below one folder of the root which is never listed, so that programs
// that walk the tree do not walk it again and again; and the trash a second time in the folder that
// desktop programs look for, .Trash-<uid>.
//
// A Library stands in front of a vfs.MediaLibrary and passes on all that is about no view: what
// that costs is a look at three bits of the node's number, and in the root at the name. Package
// view stores nothing. It has no goroutines. What it keeps in memory of a mount is lost with it:
// numbers of view nodes, tag folders that nothing is in yet, names that a desktop program chose in
// the trash.
//
// A media keeps its own node in a view, so that it is the same file under all its names, with one
// set of pages. Everything else there, folders, older versions, texts and archives, is a node of
// the view: a folder of the tree cannot have two parents, and two versions under one number would
// share pages. Numbers of view nodes have bit 62 set and bit 61 clear, follow from what the node
// is, and are kept while the kernel refers to them.
//
// A view never shows what the caller could not reach through the tree: a media is in it when the
// caller may search all folders above one of its names, and has the first such name there. What is
// shown therefore depends on who asks and may change at any time, so everything in a view is
// volatile: the kernel asks again each time.
package view
