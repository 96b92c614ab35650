package vfs

import (
	"context"

	"mediafs/fs/media"
	"mediafs/fs/query"
	"mediafs/remote"
)

// MediaLibrary is a Library that knows that its files are media: what views, the command line and
// servers need beside the tree. Permissions are not checked unless a method says so: whoever calls
// knows who asks.
type MediaLibrary interface {
	Library

	// Media tells all that is known of a media, also of one in the trash. Unsupported: the node is
	// none.
	Media(ctx context.Context, id ID) (*remote.Media, error)
	// MediaNode gives the node that holds a media, by the media's id (32 hex digits). NotExist:
	// there is none.
	MediaNode(ctx context.Context, mediaID string) (ID, error)
	// EditMedia changes what people say of a media, all of it or nothing, and returns when that is
	// in the log. Invalid: a value that its field does not take; Permission: a field that only the
	// owner of the file and root may write.
	EditMedia(ctx context.Context, c Caller, id ID, ch MediaChange) error

	// Reference takes a reference on a node, as Lookup does, without a name.
	Reference(ctx context.Context, id ID) (Attr, error)
	// Resolve walks a path (with or without a leading slash; no symlinks) from the root to its node
	// and attributes. It takes no reference.
	Resolve(ctx context.Context, path string) (Attr, error)
	// Paths gives the names of a node as paths with a leading slash; none when it, or a folder
	// above it, is in the trash.
	Paths(ctx context.Context, id ID) ([]string, error)

	// Find yields the media of the tree that match, by ascending node, from the first greater than
	// after, until yield returns false. Changes that are made meanwhile show or not. The catalog is
	// not locked while yield runs.
	Find(ctx context.Context, q *query.Query, after ID, yield func(*remote.Media) bool) error
	// Latest yields the media that match, newest in the library first.
	Latest(ctx context.Context, q *query.Query, yield func(*remote.Media) bool) error
	// Values lists the distinct values that a field has among all media of the tree: "tag", "year",
	// "month" (as 2024-05), "type", "class", "favorite" (users), "moderation". Ascending. With q,
	// among those that match.
	Values(ctx context.Context, field string, q *query.Query) ([]string, error)
	// Indexed tells how far the index is: of total nodes, done are in it.
	Indexed() (done, total uint64, ready bool)

	// TrashEntries yields what is in the trash, by entry.
	TrashEntries(ctx context.Context, yield func(TrashEntry) bool) error
	// TrashName moves a name's node to the trash, however young it is; a folder with all that is in
	// it. A node with more names loses this one only.
	TrashName(ctx context.Context, c Caller, parent ID, name string) (entry uint64, err error)
	// Restore takes an entry out of the trash, to a folder and name. Exist: the name is taken.
	Restore(ctx context.Context, c Caller, entry uint64, parent ID, name string) error
	// Purge deletes an entry of the trash for good, a folder with all that is in it.
	Purge(ctx context.Context, c Caller, entry uint64) error

	// Versions lists the kept versions of a media, oldest first. The head is none of them.
	Versions(ctx context.Context, id ID) ([]Version, error)
	// OpenVersion opens a version for reading.
	OpenVersion(ctx context.Context, id ID, number uint64) (File, error)
	// RestoreVersion makes a version the head again; the present head is kept as one, with what was
	// written and not sent.
	RestoreVersion(ctx context.Context, c Caller, id ID, number uint64) error

	// Archives says how the store keeps each content of a media's head: a request each. Unsupported
	// where nothing can be archived.
	Archives(ctx context.Context, id ID) ([]remote.Archive, error)
	// RestoreArchived asks the store for copies of the archived ones that can be read for some
	// days, and says how each is kept then.
	RestoreArchived(ctx context.Context, id ID, days int) ([]remote.Archive, error)

	// Uploads tells what is on its way to the store.
	Uploads(ctx context.Context) ([]UploadState, error)
	// CancelUpload gives up what of a media is not in the store: its chunks are aborted, the media
	// falls back to its head and, when it never had one, gets the status of an incomplete upload.
	CancelUpload(ctx context.Context, id ID) error

	// Document reads the long part of a media's facts; NotExist when there is none.
	Document(ctx context.Context, id ID) (*remote.FactsDocument, error)
	// CRC32 gives the CRC-32 (IEEE) of the whole of a media, from the catalog when it is known
	// there, else by reading it.
	CRC32(ctx context.Context, id ID) (uint32, error)

	// ViewFolder is the name at the root under which views appear.
	ViewFolder() string
	// Status tells how the library stands.
	Status() Status
}

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
