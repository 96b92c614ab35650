// Package local keeps on this machine what desktop systems drop beside people's files: the second
// halves of macOS files (._name), .DS_Store, Thumbs.db, desktop.ini. Such a file is a dropping. A
// Library stands in front of another one, shows both as one tree, and passes on everything that is
// about no dropping.
//
// A dropping is a regular file in a directory of this machine: bytes, size, times and user
// attributes are that file's, so it survives what a file of the local disk survives. Owner and mode
// are kept beside. It is never in the log, never uploaded, has no versions and no trash, and no
// other machine sees it. Only regular files are droppings: a folder, symlink or device of such a
// name is the inner library's, and so is a file of such a name that the inner library has already,
// made by a machine that keeps none: it hides a dropping of the same name until it is gone.
//
// Of names that begin with "._" only AppleDouble files are droppings, known by their first four
// bytes, since such a name says little: a program's temporary file of `_DSC0001.JPG` has one too. A
// file of such a name is made here, and enters the inner library when what is written to it begins
// otherwise, or at its close; so does one that gets larger than droppings are, or for which this
// machine has no room.
//
// Renames and links go across: a dropping that gets another name, or a second one, enters the inner
// library with bytes and attributes, and readers see all of it or what was there. A file of the
// inner library that gets a dropping's name leaves it if it is a program's new file that nobody has
// open for writing (rsync writes every file under another name first), and else it stays there
// under any name, since others may know it.
//
// A dropping belongs to its folder's number, so that a rename of the folder takes it along without
// a change here. A folder that has droppings is not empty: rmdir and a rename over it are refused,
// as on a disk. Where another machine removes the folder, which cannot see them, they are deleted
// when a Library is opened next. Making and deleting a dropping changes no times of its folder,
// because those are everybody's. The virtual folders of views get no droppings: their numbers are
// not kept.
//
// Package local never follows a link in its directory, and never deletes there what it did not
// make.
package local
