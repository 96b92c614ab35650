package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// ExportFormat is what the first line of an export calls it. Fields may be added under the same
// name.
const ExportFormat = "mediafs-export/1"

// ExportOptions say what is exported. Store and Out are needed.
type ExportOptions struct {
	Store   *bucket.Store // nothing that writes is called
	Folder  string        // path from the library's root on; empty: all, the trash too
	Out     io.Writer
	TempDir string           // where a copy of the catalog is kept meanwhile; empty: the system's
	Now     func() time.Time // the time in the first line; nil: time.Now
	Log     *logrus.Entry    // for the copy's goroutine; nil logs nothing
}

// An ExportSummary says what an export has in it.
type ExportSummary struct {
	Library string `json:"library"`
	Commit  uint64 `json:"commit"` // the state is the one after it
	Nodes   int64  `json:"nodes"`  // those in the trash too
	Media   int64  `json:"media"`
	Trash   int64  `json:"trash"` // entries
}

// Export writes tree and records of a library as JSON, one object a line: the catalog exactly as it
// is after one commit, and none of the bytes of media. It is read from the store, so that what a
// mount has not sent yet is not in it. It costs the download of the newest checkpoint and the log
// after it.
//
// The first line is the header. Each further one is a node, its folder before it; a node with
// several names comes once, at the first of them. Then comes the trash: each entry is the node that
// was deleted, and what was in a deleted folder follows it. NotExist, NotDir: of Folder. An error
// of Out is returned as it is.
func Export(ctx context.Context, opt ExportOptions) (ExportSummary, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s, err := openSnapshot(ctx, opt.Store, opt.TempDir, opt.Log)
	if err != nil {
		return ExportSummary{}, err
	}
	w := bufio.NewWriterSize(opt.Out, 64<<10)
	e := &exporter{ctx: ctx, opt: opt, out: w, lines: json.NewEncoder(w), met: make(map[uint64]bool)}
	e.lines.SetEscapeHTML(false)
	e.summary = ExportSummary{Library: opt.Store.Facts().Library, Commit: s.commit()}
	err = s.cat.View(e.run)
	if err == nil {
		err = w.Flush()
	}
	return e.summary, errors.Join(err, s.close())
}

// An exportHeader is the first line.
type exportHeader struct {
	Format  string    `json:"format"`
	Library string    `json:"library"`
	Store   string    `json:"store"`
	Commit  uint64    `json:"commit"`
	Time    time.Time `json:"time"`
	Folder  anyText   `json:"folder"`
}

// An exportNode is any other line.
type exportNode struct {
	// "node"; "trash": an entry of the trash, or what was in a folder that was deleted
	Kind  string    `json:"kind"`
	Path  anyText   `json:"path"`            // from the library's root on; in the trash where it was
	Names []anyText `json:"names,omitempty"` // further paths
	Node  uint64    `json:"node"`
	Type  string    `json:"type"` // "folder", "media", "symlink", "fifo", "socket", "character", "block"
	Mode  string    `json:"mode"` // permissions, octal
	UID   uint32    `json:"uid"`
	GID   uint32    `json:"gid"`
	Rdev  uint64    `json:"rdev,omitempty"`
	Atime anyTime   `json:"atime,omitzero"`
	Mtime anyTime   `json:"mtime,omitzero"`
	Ctime anyTime   `json:"ctime,omitzero"`
	Btime anyTime   `json:"btime,omitzero"`
	Size  *uint64   `json:"size,omitempty"` // of a media, bytes

	Target anyText `json:"target,omitempty"` // of a symlink
	// those that are stored as they are; what the model shows as attributes is in Media
	Xattrs []exportXattr `json:"xattrs,omitempty"`

	Entry   uint64  `json:"entry,omitempty"`   // of the trash
	Deleted anyTime `json:"deleted,omitzero"`  // of an entry
	Deleter *uint32 `json:"deleter,omitempty"` // uid of who deleted it

	Media    *remote.Media     `json:"media,omitempty"`
	Edits    map[string]string `json:"edits,omitempty"` // what people and services say, by field, as text
	Head     *exportHead       `json:"head,omitempty"`  // where the bytes are
	Versions []exportVersion   `json:"versions,omitempty"`
	Contents []exportContent   `json:"contents,omitempty"` // that head and versions refer to
}

type exportXattr struct {
	Name  anyText `json:"name"`
	Value anyText `json:"value"`
}

type exportHead struct {
	Size    uint64         `json:"size"`
	Time    anyTime        `json:"time,omitzero"`
	Extents []exportExtent `json:"extents,omitempty"` // what none covers is zeros
}

type exportExtent struct {
	Offset  uint64 `json:"offset"`
	Length  uint64 `json:"length"`
	Content string `json:"content"` // id
	From    uint64 `json:"from"`    // in the content
}

type exportVersion struct {
	Number uint64      `json:"number"`
	Time   anyTime     `json:"time,omitzero"`  // when it stopped being the head
	Mtime  anyTime     `json:"mtime,omitzero"` // of the media then
	Reason string      `json:"reason,omitempty"`
	Head   *exportHead `json:"head,omitempty"`
}

type exportContent struct {
	ID string `json:"id"`
	// of an object that was imported in place; from the bucket's root with a slash, else from the
	// library's prefix
	Key    string  `json:"key,omitempty"`
	ETag   string  `json:"etag,omitempty"` // of that
	Size   uint64  `json:"size"`
	Type   string  `json:"type,omitempty"`
	SHA256 string  `json:"sha256,omitempty"`
	MD5    string  `json:"md5,omitempty"`
	CRC32  *uint32 `json:"crc32,omitempty"`
	Inline []byte  `json:"inline,omitempty"` // the bytes, when there is no object
}

// An anyText is bytes as JSON has them: a string when they are UTF-8, else an object whose field
// base64 has them.
type anyText []byte

type base64Text struct {
	Base64 string `json:"base64"`
}

func (t anyText) MarshalJSON() ([]byte, error) {
	if !utf8.Valid(t) {
		return json.Marshal(base64Text{base64.StdEncoding.EncodeToString(t)})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(string(t))
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func (t *anyText) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var x base64Text
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(x.Base64)
		*t = raw
		return err
	}
	var s string
	err := json.Unmarshal(b, &s)
	*t = anyText(s)
	return err
}

// An anyTime is a time as the format has it, as text: RFC 3339 in UTC, or, outside of the years 0
// to 9999, seconds since 1970 and nanoseconds with a point between. Empty: none.
type anyTime string

func timeText(t *record.Time) anyTime {
	if t == nil {
		return ""
	}
	std := time.Unix(t.Seconds, int64(t.Nanos)).UTC()
	if y := std.Year(); t.Nanos >= 1e9 || y < 0 || y > 9999 {
		return anyTime(fmt.Sprintf("%d.%09d", t.Seconds, t.Nanos))
	}
	return anyTime(std.Format(time.RFC3339Nano))
}
