package control

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"mediafs/remote"
)

// The verbs of requests about media: the last part of the path of a POST. Each takes a MediaRequest
// and is answered with MediaAnswers, a line each.
const (
	VerbInfo = "info" // Targets, Document: all that is known of each
	VerbEdit = "edit" // Targets, Edits, Attach: the same change of each
	// Query, Folder, Limit, Long: media as they are found, or with Count their number
	VerbFind  = "find"
	VerbTags  = "tags"  // all tags of the library, and of how many media each is one
	VerbTrash = "trash" // what is in the trash
	// Entries, Folder, Name: out of the trash, to where it was or to a folder and name
	VerbRestore        = "restore"
	VerbPurge          = "purge"           // Entries: deleted for good
	VerbVersions       = "versions"        // Targets: the kept versions of one media
	VerbVersion        = "version"         // Targets, Number: the bytes of a version, in pieces
	VerbRestoreVersion = "restore-version" // Targets, Number
	VerbUploads        = "uploads"         // what is on its way to the store
	VerbCancelUpload   = "cancel-upload"   // Targets
	// Targets, Days: asks the store for what is archived of each, also of what lies in folders
	VerbUnarchive  = "unarchive"
	VerbSettings   = "settings"    // of the library
	VerbSetSetting = "set-setting" // Name, Value; an empty value takes the setting back
)

// A MediaRequest is what somebody wants of a library's media. Which fields count depends on the
// verb.
type MediaRequest struct {
	Targets  []Target      `json:"targets,omitempty"`
	Document bool          `json:"document,omitempty"` // with the long part of the facts
	Archive  bool          `json:"archive,omitempty"`  // with how the store keeps it
	Days     int           `json:"days,omitempty"`     // how long a copy of what is archived shall stay
	Edits    []MediaEdit   `json:"edits,omitempty"`
	Attach   []MediaAttach `json:"attach,omitempty"`

	Query  string  `json:"query,omitempty"`
	Folder *Target `json:"folder,omitempty"` // find: only what lies below it; restore: where to
	Limit  int     `json:"limit,omitempty"`  // media that are enough; 0: all
	Long   bool    `json:"long,omitempty"`   // with the record of each
	Count  bool    `json:"count,omitempty"`  // how many, and not which

	Entries []uint64 `json:"entries,omitempty"` // of the trash
	Number  uint64   `json:"number,omitempty"`  // of a version
	Name    RawName  `json:"name,omitempty"`    // of what is restored; of a setting
	Value   string   `json:"value,omitempty"`
}

// A Target names a node: by its number, which is its inode number in a mount, or by its path from
// the library's root.
type Target struct {
	Node uint64  `json:"node,omitempty"`
	Path RawName `json:"path,omitempty"`
}

// A MediaEdit is a change of one field of the model, as fs/media has it. Do is "set", "clear",
// "add" or "remove".
type MediaEdit struct {
	Field string `json:"field"`
	Do    string `json:"do"`
	Value string `json:"value,omitempty"`
}

// A MediaAttach is a change of what is attached to a media.
type MediaAttach struct {
	Kind       string `json:"kind"`                 // "favorite", "vote" or "comment"
	User       string `json:"user,omitempty"`       // whose; empty: of who asks
	Value      int    `json:"value,omitempty"`      // of a vote
	Text       string `json:"text,omitempty"`       // of a comment
	Number     uint64 `json:"number,omitempty"`     // of a comment that is there; 0: a new one
	Answers    uint64 `json:"answers,omitempty"`    // number of the comment that a new one answers
	Moderation *int   `json:"moderation,omitempty"` // of the comment with Number: all else of it stays
	Reason     int    `json:"reason,omitempty"`     // why it was denied; with Moderation
	Remove     bool   `json:"remove,omitempty"`
}

// A MediaAnswer is one line of an answer. The last line has End set and says how the whole went; a
// request that is about several things goes on when one of them fails, which the line with its
// Index says.
type MediaAnswer struct {
	Index    int                   `json:"index,omitempty"` // of the target or entry
	Path     RawName               `json:"path,omitempty"`  // from the library's root
	Node     uint64                `json:"node,omitempty"`
	Media    *remote.Media         `json:"media,omitempty"`
	Document *remote.FactsDocument `json:"document,omitempty"`
	Tag      string                `json:"tag,omitempty"`
	Count    int64                 `json:"count,omitempty"`
	Trash    *TrashItem            `json:"trash,omitempty"`
	Version  *VersionItem          `json:"version,omitempty"`
	Upload   *UploadItem           `json:"upload,omitempty"`
	Setting  *Setting              `json:"setting,omitempty"`
	Archives []remote.Archive      `json:"archives,omitempty"` // how the store keeps each content of it
	Unasked  string                `json:"unasked,omitempty"`  // why Archives says nothing
	Data     []byte                `json:"data,omitempty"`
	Note     string                `json:"note,omitempty"` // for whoever reads the answer, beside it
	Failed   *failure              `json:"failed,omitempty"`
	End      bool                  `json:"end,omitempty"`
}

// Err is why this one failed; nil when it did not.
func (a MediaAnswer) Err() error { return a.Failed.err() }

// A TrashItem is an entry of the trash; also the form of `mediafs trash list --json`.
type TrashItem struct {
	Entry     uint64    `json:"entry"`
	Path      string    `json:"path"`                 // where it was
	PathBytes []byte    `json:"path_bytes,omitempty"` // the same, when it is not UTF-8
	Node      uint64    `json:"node"`
	Folder    bool      `json:"folder,omitempty"`
	Size      int64     `json:"size"`
	Deleted   time.Time `json:"deleted"`
	User      string    `json:"user"` // who deleted it
}

// Where is the path, exactly.
func (i TrashItem) Where() string { return exactly(i.Path, i.PathBytes) }

// A VersionItem is a kept version of a media; also the form of `mediafs versions list --json`.
type VersionItem struct {
	Number   uint64    `json:"number"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"` // of the bytes
	Replaced time.Time `json:"replaced"` // when another took its place
	Reason   string    `json:"reason"`
}

// An UploadItem is a media on its way to the store; also the form of `mediafs uploads list --json`.
type UploadItem struct {
	Node      uint64 `json:"node"`
	Path      string `json:"path,omitempty"`
	PathBytes []byte `json:"path_bytes,omitempty"`
	Size      int64  `json:"size"`
	Sent      int64  `json:"sent"`
	Running   bool   `json:"running"`
	Error     string `json:"error,omitempty"`
}

// Where is the path, exactly.
func (i UploadItem) Where() string { return exactly(i.Path, i.PathBytes) }

// A Setting is a setting of the library, for all machines; also the form of `mediafs setting
// --json`.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Means string `json:"means"`
}

// A RawName is a name or path: any bytes. JSON has a string, or {"base64": …} for one that is not
// UTF-8.
type RawName string

// MarshalJSON implements json.Marshaler.
func (n RawName) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(rawBytes{[]byte(n)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *RawName) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*n = RawName(s)
		return nil
	}
	var r rawBytes
	err := json.Unmarshal(b, &r)
	*n = RawName(r.Base64)
	return err
}

type rawBytes struct {
	Base64 []byte `json:"base64"`
}

// readable splits a path for JSON that people read: as text, and as bytes when the text is not
// exact.
func readable(path string) (text string, exact []byte) {
	if utf8.ValidString(path) {
		return path, nil
	}
	return string([]rune(path)), []byte(path)
}

func exactly(text string, exact []byte) string {
	if len(exact) > 0 {
		return string(exact)
	}
	return text
}
