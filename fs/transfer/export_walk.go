package transfer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// maxDepth ends a way that leads in a circle, which only a damaged catalog has.
const maxDepth = 10000

// typeNames are the types of nodes, by st_mode.
var typeNames = map[uint32]string{
	unix.S_IFDIR: "folder", unix.S_IFREG: "media", unix.S_IFLNK: "symlink", unix.S_IFIFO: "fifo",
	unix.S_IFSOCK: "socket", unix.S_IFCHR: "character", unix.S_IFBLK: "block",
}

// reasons of versions, by the number in their records.
var reasons = map[uint32]string{1: "edit", 2: "rename", 3: "late", 4: "restore"}

// An exporter is one run of Export.
type exporter struct {
	ctx     context.Context
	opt     ExportOptions
	out     *bufio.Writer
	lines   *json.Encoder
	tx      *catalog.Tx
	met     map[uint64]bool // nodes with several names that have their line
	summary ExportSummary
}

func (e *exporter) run(tx *catalog.Tx) error {
	e.tx = tx
	top, folder, err := resolve(tx, e.opt.Folder)
	if err != nil {
		return err
	}
	err = e.lines.Encode(
		exportHeader{
			Format:  ExportFormat,
			Library: e.summary.Library,
			Store:   e.opt.Store.Facts().URL,
			Commit:  e.summary.Commit,
			Time:    e.opt.Now().UTC(),
			Folder:  anyText(folder),
		},
	)
	if err != nil {
		return err
	}
	if err := e.node(top, exportNode{Kind: "node", Path: anyText(folder)}, 0); err != nil {
		return err
	}
	if top == record.Root {
		if err := e.trash(); err != nil {
			return err
		}
	}
	return tx.Err()
}

// resolve finds a folder by its path and gives the path in its usual form.
func resolve(tx *catalog.Tx, path string) (id uint64, usual string, err error) {
	const op = "find folder"
	id = record.Root
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		usual += "/" + name
		d := tx.Dentry(id, name)
		if d == nil {
			return 0, "", errors.Join(tx.Err(), remote.E(op, usual, remote.NotExist, nil))
		}
		if id = d.Node; d.Kind != unix.S_IFDIR>>12 {
			return 0, "", remote.E(op, usual, remote.NotDir, nil)
		}
	}
	if usual == "" {
		usual = "/"
	}
	return id, usual, nil
}

// node writes the line of a node, which has kind and path already, and those below it.
func (e *exporter) node(id uint64, line exportNode, depth int) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return remote.E("export", string(line.Path), remote.Corrupt, errors.New("folders lie in themselves")).
			WithHint("run mediafs check")
	}
	n := e.tx.Node(id)
	if n == nil {
		return errors.Join(
			e.tx.Err(),
			remote.E("export", string(line.Path), remote.Corrupt, fmt.Errorf("node %d is not there", id)).
				WithHint("run mediafs check"),
		)
	}
	names := e.pathsOf(id)
	if len(names) > 1 {
		if e.met[id] {
			return nil
		}
		e.met[id] = true
	}
	e.describe(&line, id, n, names)
	e.summary.Nodes++
	if err := e.lines.Encode(line); err != nil {
		return err
	}
	if n.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	prefix := record.DentryKey(id, "")
	for k, v := range e.tx.Records(prefix) {
		var d record.Dentry
		if err := proto.Unmarshal(v, &d); err != nil {
			return remote.E("export", string(line.Path), remote.Corrupt, err)
		}
		below := exportNode{
			Kind:  line.Kind,
			Entry: line.Entry,
			Path:  anyText(strings.TrimSuffix(string(line.Path), "/") + "/" + string(k[len(prefix):])),
		}
		if err := e.node(d.Node, below, depth+1); err != nil {
			return err
		}
	}
	return e.tx.Err()
}

// trash writes what is in the trash. Nodes without a name that lie there are found by their entries
// alone.
func (e *exporter) trash() error {
	for k, v := range e.tx.Records([]byte{record.KeyTrash}) {
		var t record.TrashEntry
		number, _, ok := record.NumberOf(k)
		if err := proto.Unmarshal(v, &t); err != nil || !ok {
			return remote.E("export the trash", fmt.Sprintf("%q", k), remote.Corrupt, err)
		}
		line := exportNode{Kind: "trash", Entry: number, Deleted: timeText(t.Deleted), Deleter: &t.Uid}
		folder := "/…" // that is gone itself
		if paths := e.pathsOf(t.Parent); len(paths) > 0 {
			folder = strings.TrimSuffix(paths[0], "/")
		}
		line.Path = anyText(folder + "/" + string(t.Name))
		e.summary.Trash++
		if err := e.node(t.Node, line, 0); err != nil {
			return err
		}
	}
	return e.tx.Err()
}

// pathsOf gives the paths of a node from the root on; none of one in the trash.
func (e *exporter) pathsOf(id uint64) (paths []string) {
	if id == record.Root {
		return []string{"/"}
	}
	for name := range e.tx.Names(id) {
		if folder, ok := folderPath(e.tx, name.Folder); ok {
			paths = append(paths, folder+name.Name)
		}
	}
	return paths
}

// folderPath is the path of a folder with a slash at its end; false when the way up does not lead
// to the root.
func folderPath(tx *catalog.Tx, id uint64) (string, bool) {
	var names []string
	for id != record.Root {
		found := false
		for name := range tx.Names(id) {
			names, id, found = append(names, name.Name), name.Folder, true
			break
		}
		if !found || len(names) > maxDepth {
			return "", false
		}
	}
	slices.Reverse(names)
	return "/" + strings.Join(append(names, ""), "/"), true
}

// describe fills in all but the place.
func (e *exporter) describe(line *exportNode, id uint64, n *record.Node, names []string) {
	line.Node, line.Mode, line.UID, line.GID, line.Rdev = id, fmt.Sprintf("%04o", n.Mode&0o7777), n.Uid, n.Gid, n.Rdev
	if line.Type = typeNames[n.Mode&unix.S_IFMT]; line.Type == "" {
		line.Type = fmt.Sprintf("%06o", n.Mode&unix.S_IFMT)
	}
	line.Atime, line.Mtime, line.Ctime, line.Btime = timeText(
		n.Atime,
	), timeText(
		n.Mtime,
	), timeText(
		n.Ctime,
	), timeText(
		n.Btime,
	)
	line.Target = n.Target
	for _, path := range names {
		if path != string(line.Path) {
			line.Names = append(line.Names, anyText(path))
		}
	}
	for name, x := range e.tx.Xattrs(id) {
		line.Xattrs = append(line.Xattrs, exportXattr{anyText(name), x.Value})
	}
	if n.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	e.summary.Media++
	size := n.Head.GetSize()
	line.Size = &size
	contents := newContentList(e.tx)
	line.Head = contents.head(n.Head)
	versions := record.VersionPrefix(n.MediaId)
	for k, v := range e.tx.Records(versions) {
		var r record.Version
		if len(k) != len(versions)+8 || proto.Unmarshal(v, &r) != nil {
			continue // mediafs check tells of it
		}
		line.Versions = append(
			line.Versions,
			exportVersion{
				Number: binary.BigEndian.Uint64(k[len(versions):]),
				Time:   timeText(r.Time),
				Mtime:  timeText(r.Mtime),
				Reason: reasons[r.Reason],
				Head:   contents.head(r.Head),
			},
		)
	}
	line.Contents = contents.list
	line.Media, line.Edits = mediaOf(e.tx, id, n, names, line.Versions)
}

// mediaOf puts the media of a node together. said is what people say of it, as text by field.
func mediaOf(
	tx *catalog.Tx, id uint64, n *record.Node, names []string, versions []exportVersion,
) (m *remote.Media, said map[string]string) {
	p := media.Parts{ID: n.MediaId, Node: id, Rec: n, Names: names, Versions: len(versions)}
	if len(versions) > 0 {
		p.LastVersion = versions[len(versions)-1].Number
	}
	var edits record.Media
	if tx.Load(record.MediaKey(n.MediaId), &edits) {
		p.Edits = &edits
		said = saidOf(&edits)
	}
	var facts record.Facts
	if tx.Load(record.FactsKey(id), &facts) && string(facts.Head) == string(media.HeadHash(n.Head)) {
		p.Facts = &facts
	}
	if x := n.Head.GetExtents(); len(x) == 1 {
		p.External = tx.Content(x[0].Content).GetExternal() != nil
	}
	prefix := record.AttachedKey(n.MediaId, 0)
	p.Attached = func(yield func(kind byte, which, value []byte) bool) {
		for k, v := range tx.Records(prefix) {
			if len(k) > len(prefix) && !yield(k[len(prefix)], k[len(prefix)+1:], v) {
				return
			}
		}
	}
	return media.Assemble(p), said
}

// saidOf gives what is said in a record, by field, as text that sets the field so.
func saidOf(edits *record.Media) map[string]string {
	said := make(map[string]string)
	with, without := media.Assemble(media.Parts{Edits: edits}), media.Assemble(media.Parts{})
	for _, f := range media.Fields() {
		if f.Writer == media.Nobody {
			continue
		}
		value, _ := media.Attribute(with, media.AttributePrefix+f.Name)
		if fallback, _ := media.Attribute(without, media.AttributePrefix+f.Name); string(value) != string(fallback) {
			said[f.Name] = string(value)
		}
	}
	if edits.Tags != nil && len(edits.Tags.Tag) == 0 {
		said["tags"] = "" // there are none, whatever the bytes say
	}
	if edits.Rating != nil && *edits.Rating == 0 {
		said["rating"] = "0"
	}
	return said
}

// A contentList gathers the contents of one media, each once.
type contentList struct {
	tx   *catalog.Tx
	met  map[string]bool
	list []exportContent
}

func newContentList(tx *catalog.Tx) *contentList {
	return &contentList{tx: tx, met: make(map[string]bool)}
}

func (l *contentList) head(h *record.Head) *exportHead {
	if h == nil {
		return nil
	}
	x := &exportHead{Size: h.Size, Time: timeText(h.Time)}
	for _, e := range h.Extents {
		id := hex.EncodeToString(e.Content)
		x.Extents = append(x.Extents, exportExtent{e.Offset, e.Length, id, e.ContentOffset})
		l.content(id, e.Content)
	}
	return x
}

func (l *contentList) content(name string, id []byte) {
	if l.met[name] {
		return
	}
	l.met[name] = true
	c := l.tx.Content(id)
	if c == nil {
		return
	}
	x := exportContent{ID: name, Key: c.External.GetKey(), ETag: c.External.GetEtag(), Size: c.Size, Type: c.Type,
		SHA256: hex.EncodeToString(c.Sha256), MD5: hex.EncodeToString(c.Md5), Inline: c.Inline}
	if c.HasCrc32 {
		sum := c.Crc32
		x.CRC32 = &sum
	}
	l.list = append(l.list, x)
}
