// Package fuse shows a library to the kernel. It answers requests of the FUSE protocol by calling a
// vfs.Library, turns errors into errno in one table, tells the kernel what has changed behind its
// back, and mounts and unmounts.
//
// It keeps no state of the library but its open handles, decides no rule of the file system, and
// never notifies the kernel inside an operation or while it holds a lock: the kernel may answer a
// notification with a request. The number of a node is its inode number and its number in the
// protocol, so nothing is translated.
//
// What the kernel is asked for: permissions are checked by the kernel; pages are dropped only when
// told (an open that may not keep them, or a notification); O_TRUNC comes with the open;
// set-user-id bits are cleared here, when the kernel asks for it in a write, truncation or open;
// locks stay in the kernel; writes are not held back in the kernel.
package fuse
