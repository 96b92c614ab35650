package vfs

import "mediafs/fs/media"

// A MediaChange is what one call of EditMedia changes.
type MediaChange struct {
	Edits    []media.Edit
	Attached []media.Attachment // favourites, votes, comments, bindings, links, renditions
}

// A TrashEntry is a node in the trash.
type TrashEntry struct {
	Entry   uint64 // names it in Restore and Purge
	Node    ID
	Parent  ID     // the folder it was in
	Path    string // where it was, with a leading slash; of a folder that is gone by now, only the name
	Name    string
	Deleted Time
	UID     uint32 // who deleted it
	Attr    Attr
}

// A Version is a head that is kept.
type Version struct {
	Number uint64
	Size   int64
	Blocks int64  // of 512 bytes, holes not counted
	Mtime  Time   // of the media when it was the head
	Time   Time   // when it stopped being the head
	Reason string // "edit", "rename", "late", "restore"
}

// An UploadState is a media on its way to the store.
type UploadState struct {
	Node    ID
	Path    string // empty when it has no name any more
	Size    int64
	Sent    int64 // bytes of chunks in the store
	Running bool  // false: it waits, or stopped with Error
	Error   string
}
