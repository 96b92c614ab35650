package remote

import (
	"context"
	"io"
	"iter"
	"time"
)

// Facts tell what a store is and can do. They do not change while it is open.
type Facts struct {
	Kind     string // "bucket", or the name of a service
	URL      string // where, without secrets, for people
	Library  string // identity of the library: the same for every machine that opens it
	ReadOnly bool   // nothing can be written
	Local    bool   // contents lie on a local disk: reading a range costs no request, caching gains nothing

	UniqueNames bool  // no two entries of a folder share a name
	SizesKnown  bool  // the size of every media is known before it is read
	Ranges      bool  // any range of a content can be read
	MaxName     int   // longest name, in bytes
	MaxSize     int64 // largest content, in bytes; 0 is no limit
}

// A Spacious store knows how much room it has.
type Spacious interface {
	// Space is asked anew each time; ok is false when the store does not say.
	Space() (s Space, ok bool)
}

// Space is the room in a store.
type Space struct {
	Free   int64  // bytes that can still be stored
	Device uint64 // st_dev of the local file system that the store is a part of; 0: of none
}

// A ContentID names the bytes of a media in a store. ID is opaque. Validator (an etag, a revision,
// a hash) tells one state of ID from another; with immutable contents it is empty. Both together
// key the block cache.
type ContentID struct {
	ID        string
	Validator string
}

// Store is a place where a library lives. All methods may be called concurrently.
type Store interface {
	// Facts are known once the store is open.
	Facts() Facts

	// OpenContent reads n bytes from offset off of a content; n < 0 reads to its end. One request.
	// The reader may end early with an error of kind Unavailable when the connection breaks.
	// Errors: NotExist (the store says it is gone), Stale (the validator no longer matches),
	// Unavailable, Throttled, Permission.
	OpenContent(ctx context.Context, id ContentID, off, n int64) (io.ReadCloser, error)

	// StartUpload begins a new content. Nothing is visible to anybody before Commit.
	StartUpload(ctx context.Context, spec UploadSpec) (Upload, error)

	// Close waits for nothing and frees what the store holds.
	Close() error
}

// UploadSpec tells a store about an upload before its bytes. A bucket needs only Size (or -1);
// services may need more.
type UploadSpec struct {
	// id of the new content, for a store that lets the client choose (a bucket); empty: the store
	// chooses
	ID       string
	ParentID string    // folder, in the service's own naming
	Name     string    // name the media will have
	Replaces string    // media that gets a new version; empty for a new media
	Size     int64     // bytes, -1 when not known yet
	SHA256   []byte    // of the whole; nil when not known
	MD5      []byte    // of the whole; nil when not known
	ModTime  time.Time // modification time of the media; zero when not known
	Type     string    // media type such as image/jpeg; empty when not known
	Resume   string    // token of an earlier Upload of the same bytes, from Upload.Token; empty starts anew
}

// UploadNeeds is what a store asks of an upload.
type UploadNeeds struct {
	ChunkSize  int64 // every chunk but the last has exactly this many bytes
	EarlyParts bool  // chunks may be put before the size of the whole is known
	Size       bool  // UploadSpec.Size must be known at the start
	SHA256     bool  // UploadSpec.SHA256 must be known at the start
}

// Upload is one content on its way into a store. Chunks may be put concurrently and in any order.
// After Commit succeeded, or Abort, only Token and Has may be called.
type Upload interface {
	Needs() UploadNeeds

	// PutChunk stores chunk index (from 0); r has its bytes, all of them, and may be read more than
	// once. A chunk that was put before is replaced; of two calls for one index one waits for the
	// other. After an error the chunk is in doubt: Has is false, and it must be put again. Exist:
	// the content cannot have these bytes under this id any more, since it is whole already with
	// others; Stale: somebody put an end to the upload. Both: begin another upload, under a new id.
	PutChunk(ctx context.Context, index int, r *io.SectionReader) error

	// Has reports whether chunk index is in the store, put by this Upload or by the one that it
	// resumed. It costs no request. Its bytes are those of the last PutChunk that succeeded; it is
	// false while a PutChunk of that index runs and after one that failed. After a resume the
	// store's own list counts, in which a part that does not have the chunk's size is left out: a
	// chunk whose put was under way or in doubt when the earlier process ended may be there with
	// the bytes of that put. While the size is not known, the chunk's size is
	// UploadNeeds.ChunkSize.
	Has(index int) bool

	// Commit makes the content whole and durable: when it returns nil, losing this machine loses
	// none of it. chunks is the number of chunks, size the bytes in all; chunks put with a higher
	// index are dropped. It is safe to call again after an error of kind Unavailable. Stale: the
	// upload came to an end, or somebody else put a chunk of it. Exist: the content is whole
	// already, with another size. Both: begin another upload, under a new id.
	Commit(ctx context.Context, chunks int, size int64) (ContentID, error)

	// Abort drops what was put. The content does not come into being.
	Abort(ctx context.Context) error

	// Token names the upload for UploadSpec.Resume in a later process; empty when it cannot be
	// resumed.
	Token() string
}

// FileUploader is implemented by a store that may take a local file as a content without copying
// its bytes.
type FileUploader interface {
	// UploadFile makes the file at path a new content, whole and durable as after Upload.Commit.
	// The file must have been written and closed, and nobody may write to it again; whether path
	// still names it afterwards is not said. spec.Resume is ignored. Unsupported: the store cannot
	// do that, or not with this file, which is untouched: use StartUpload. Exist: spec.ID is taken.
	UploadFile(ctx context.Context, spec UploadSpec, path string) (ContentID, error)
}

// Composer is implemented by a store that can make a content partly out of contents that it has,
// without moving those bytes through this machine.
type Composer interface {
	// Compose makes a new content, whole and durable as after Upload.Commit. spec.Size is known;
	// spec.Resume is ignored. body has all bytes of the new content and is read where the store
	// cannot or need not copy, maybe by several goroutines at once, and no longer once Compose has
	// returned. pieces ascend by Offset and do not overlap; they need not cover the content, and
	// none may be needed: they only say which bytes of body need not be sent. The caller is
	// answerable for them being the same: the store does not compare.
	//
	// Errors are those of StartUpload, PutChunk and Commit, besides Invalid for pieces that make no
	// sense. After an error the content does not exist, or, when the answer to the last request was
	// lost, it does as garbage under an id that nobody refers to: compose again under a new one.
	Compose(ctx context.Context, spec UploadSpec, body io.ReaderAt, pieces []Piece) (ContentID, error)
	// Sends tells which runs of a content of size bytes Compose will read from body and send, in
	// ascending order. It asks nobody: a store that cannot copy after all reads more. Invalid for
	// pieces that make no sense.
	Sends(size int64, pieces []Piece) ([]Run, error)
}

// A Run is a run of bytes.
type Run struct {
	Offset int64
	Length int64
}

// A Piece says that bytes [Offset, Offset+Length) of a new content are those of Source from From
// on.
type Piece struct {
	Offset int64
	Length int64
	Source ContentID
	From   int64
}

// A LogEntry is one commit as the log has it. Body belongs to the receiver.
type LogEntry struct {
	Seq  uint64    // from 1, without gaps
	Body []byte    // the commit's bytes as they were given to Append
	Time time.Time // the store's clock when it was written, in its resolution; zero when it does not say
}

// Log is the ordered log of a library, from number 1, that every client of a bucket store appends
// to. The catalog is a function of it. Errors of its methods, besides those named: Unavailable,
// Throttled, Permission, Corrupt.
type Log interface {
	// Read yields the commits from number first on, in order, until the newest that the store has
	// now. It fails with Stale when first lies behind the horizon, when there is a gap, or when it
	// cannot be sure that first-1 is still in the store (the reader slept too long and the log was
	// trimmed): the reader must start again from the newest checkpoint. After Read has yielded an
	// error it stops.
	Read(ctx context.Context, first uint64) iter.Seq2[LogEntry, error]

	// Append writes the commit with number seq. It owns its retries and settles what is in doubt,
	// until ctx ends.
	//
	// nil: log/seq holds exactly body. Conflict: it holds somebody else's commit. Stale: the append
	// is void, because the log before it had been trimmed meanwhile; what was written was deleted
	// again; start again from the newest checkpoint. Unavailable (or ctx's error): in doubt; the
	// caller must try the same body at the same number again until one of the other answers comes,
	// also in a later process. So is Corrupt: the object that has the number cannot be read; it may
	// be ours, damaged.
	Append(ctx context.Context, seq uint64, body []byte) error

	// Horizon is the oldest number that is still in the log; newest+1 for an empty log; 1 for a new
	// library.
	Horizon(ctx context.Context) (uint64, error)

	// WriteCheckpoint stores the replicated catalog as it is after commit seq. hash is the hash of
	// commit seq, which the successor's predecessor hash must match. records yields keys in
	// ascending byte order. One that is there already (another machine was first) is success. cost
	// is what records and keys amounted to, in bytes.
	WriteCheckpoint(
		ctx context.Context, seq uint64, hash []byte, records iter.Seq2[Record, error],
	) (cost int64, err error)

	// OpenCheckpoint opens the newest checkpoint whose list of parts can be read. NotExist: there
	// is none, the log starts at 1. Corrupt: none can be read.
	OpenCheckpoint(ctx context.Context) (Checkpoint, error)
	// OpenCheckpointBefore opens the newest of those after a commit below seq: for who finds a
	// newer one damaged.
	OpenCheckpointBefore(ctx context.Context, seq uint64) (Checkpoint, error)

	// Now is the store's clock, taken from its newest answer and the time since; zero before the
	// first answer.
	Now() time.Time
}

// Keeper is implemented by a Checkpoint whose download can be broken off and goes on where it was.
type Keeper interface {
	// Keep makes Records keep what it fetches in the local directory dir, which is made when
	// missing and is the caller's own, and take from there what is whole by its checksums,
	// whichever process and checkpoint it was fetched for. Files there that this checkpoint has no
	// use for are deleted. With only, Records fetches nothing, and fails with Unavailable where
	// something is not there.
	Keep(dir string, only bool) error
}

// Substitute is implemented by a Checkpoint that may stand in for a newer one.
type Substitute interface {
	// InsteadOf is why the newer one cannot be opened; nil: there is none.
	InsteadOf() error
}

// A Record is one key of the catalog with its value. Both belong to the receiver.
type Record struct {
	Key   []byte
	Value []byte
}

// A Checkpoint is the replicated catalog as it was after one commit.
type Checkpoint interface {
	Seq() uint64  // the commit
	Hash() []byte // hash of that commit
	Bytes() int64 // size of its records, uncompressed
	// Records yields all records in ascending order of their keys. Stale: it was deleted while
	// being read; open the newest again.
	Records(ctx context.Context) iter.Seq2[Record, error]
}

// An Archive says how a store keeps a content.
type Archive struct {
	Class     string    `json:"class,omitempty"`     // storage class, in the store's words; empty: the usual one
	Archived  bool      `json:"archived"`            // its bytes cannot be read now
	Restoring bool      `json:"restoring,omitempty"` // the store is making a copy that can be read
	Until     time.Time `json:"until,omitzero"`      // how long such a copy stays; zero: there is none
}

// Archiver is implemented by a store whose contents may lie in an archive.
type Archiver interface {
	// Archive says how a content is kept: one request. Errors: NotExist, Unavailable, Throttled,
	// Permission; Unsupported where nothing can be archived.
	Archive(ctx context.Context, id ContentID) (Archive, error)
	// RestoreArchived asks for a copy of a content that can be read for some days, if it is
	// archived and nobody has asked yet, and says how it is kept then. The copy takes minutes to
	// days. Unsupported: the store cannot be asked.
	RestoreArchived(ctx context.Context, id ContentID, days int) (Archive, error)
}
