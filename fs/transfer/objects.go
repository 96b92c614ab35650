package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/operation"
	"mediafs/fs/view"
	"mediafs/remote"
	"mediafs/remote/bucket"
)

const (
	// importBatch is how many objects are handed over at once: one page of a listing.
	importBatch = 1000
	// describers is how many objects are asked for what the listing does not tell, at the same
	// time.
	describers = 16
	// maxExamples is how many of what was skipped or is gone are named one by one. All are counted.
	maxExamples = 100
)

// ObjectsOptions say what is imported. Store and, unless DryRun is set, Apply are needed.
type ObjectsOptions struct {
	Store *bucket.Store // of the library; the objects lie in the same bucket. Nothing that writes is called
	// of the objects' keys in the whole bucket: empty, or with a slash at its end. What follows it
	// becomes the path
	Prefix string
	To     string // folder of the library

	Everything bool // also parts of chunk stores and of other libraries, which are no files
	Again      bool // also objects that were imported before and whose media was deleted or edited since
	// ask for each new object what its writer noted: one request more, for media type and
	// modification time
	Metadata bool
	Prune    bool // media whose objects are gone go to the trash
	DryRun   bool // change nothing
	UID, GID uint32

	// Apply makes changes in the library: ApplyObjects, here or in the daemon that has the library.
	Apply func(ctx context.Context, b ObjectsBatch) (ObjectsResult, error)
	// Progress is told how far it is, after each page. It must not block.
	Progress func(ObjectsSummary)

	TempDir string // where a copy of the catalog is kept meanwhile; empty: the system's
	Log     *logrus.Entry
}

// An ObjectsSummary says what an import did, or with DryRun would do.
type ObjectsSummary struct {
	Objects   int64            `json:"objects"`   // listed, but for the library's own
	Bytes     int64            `json:"bytes"`     // of those
	Folders   int64            `json:"folders"`   // made
	Imported  int64            `json:"imported"`  // new
	Updated   int64            `json:"updated"`   // replaced in the bucket since they were imported
	Unchanged int64            `json:"unchanged"` // there already
	Left      int64            `json:"left"`      // imported before; deleted or edited in the library since
	Gone      int64            `json:"gone"`      // imported before, and no longer in the bucket
	Removed   int64            `json:"removed"`   // of those, media that went to the trash
	Skipped   int64            `json:"skipped"`   // cannot be imported
	Reasons   map[string]int64 `json:"reasons,omitempty"`
	Examples  []Example        `json:"examples,omitempty"` // the first of those skipped and gone
}

// An Example is an object that was skipped, or is gone.
type Example struct {
	Name string `json:"name"` // key in the whole bucket
	Why  string `json:"why"`
}

func (s *ObjectsSummary) note(name, why string) {
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, Example{strings.ToValidUTF8(name, "\uFFFD"), why})
	}
}

func (s *ObjectsSummary) skip(name, reason, why string) {
	s.Skipped++
	if s.Reasons == nil {
		s.Reasons = make(map[string]int64)
	}
	s.Reasons[reason]++
	s.note(name, why)
}

// ImportObjects takes objects that lie in the library's bucket into the library, where they are: no
// byte of them is copied, and none is ever changed or deleted. It compares the listing with the
// catalog as it is in the store and has Apply make what is new or changed; so it can be broken off
// and run again, and what was imported before is found wherever it was moved in the library.
// Objects are looked at page by page.
//
// It costs a listing of the prefix, the download of the newest checkpoint and the log after it, and
// with Metadata a request for each object that is new or changed. Errors: those of listing and of
// Apply; what is wrong with single objects is in the summary.
func ImportObjects(ctx context.Context, opt ObjectsOptions) (ObjectsSummary, error) {
	if opt.Prefix != "" && !strings.HasSuffix(opt.Prefix, "/") {
		return ObjectsSummary{}, remote.E(
			"import", opt.Prefix, remote.Invalid, errors.New("the prefix does not end in a slash"),
		)
	}
	s, err := openSnapshot(ctx, opt.Store, opt.TempDir, opt.Log)
	if err != nil {
		return ObjectsSummary{}, err
	}
	m := &importer{opt: opt}
	err = s.cat.View(func(tx *catalog.Tx) error { return m.run(ctx, tx) })
	return m.sum, errors.Join(err, s.close())
}

// An importer is one run of ImportObjects.
type importer struct {
	opt   ObjectsOptions
	tx    *catalog.Tx
	known *knownObjects
	views string // the name that is kept for them at the root
	sum   ObjectsSummary
	batch ObjectsBatch
	names []string // of the batch's items
}

func (m *importer) run(ctx context.Context, tx *catalog.Tx) error {
	m.tx, m.views = tx, engine.ViewFolderOf(tx)
	var err error
	if m.known, err = knownIn(ctx, tx); err != nil {
		return err
	}
	for o, err := range m.opt.Store.ForeignObjects(ctx, m.opt.Prefix) {
		if err != nil {
			return err
		}
		m.take(o)
		if len(m.batch.Items) >= importBatch {
			if err := m.send(ctx); err != nil {
				return err
			}
		}
		if m.sum.Objects%importBatch == 0 {
			m.tell()
		}
	}
	if err := m.send(ctx); err != nil {
		return err
	}
	if err := m.gone(ctx); err != nil {
		return err
	}
	return tx.Err()
}

func (m *importer) tell() {
	if m.opt.Progress != nil {
		m.opt.Progress(m.sum)
	}
}

// take decides about one object.
func (m *importer) take(o bucket.ForeignObject) {
	below := strings.TrimPrefix(o.Name, m.opt.Prefix)
	path := strings.TrimSuffix(m.opt.To, "/") + "/" + below
	if o.Folder {
		if o.Name+"/" == m.opt.Prefix {
			return // the marker of the folder that is imported
		}
		if why := m.kept(path); why != "" {
			m.sum.skip(o.Name+"/", keptName, why)
		} else if _, _, err := resolve(m.tx, path); err != nil {
			m.add(ObjectItem{Path: anyText(path), Folder: true}, o.Name)
		}
		return
	}
	m.sum.Objects++
	m.sum.Bytes += o.Size
	if o.Err != nil {
		m.sum.skip(o.Name, "a key that no library can refer to", o.Err.Error())
		return
	}
	known := m.known.find(o.Key, o.ETag)
	if of := partOf(o.Name); of != "" && !m.opt.Everything && known.node == 0 {
		m.sum.skip(o.Name, "part of "+of, "it is part of "+of+", no file")
		return
	}
	if why := m.kept(path); why != "" && known.node == 0 {
		m.sum.skip(o.Name, keptName, why)
		return
	}
	switch {
	case known.node != 0 && known.same, o.Size == 0 && m.emptyAt(path):
		m.sum.Unchanged++
		return
	case known.node == 0 && known.same && !m.opt.Again:
		m.sum.Left++
		return
	case known.node != 0:
		// Wherever the media was moved to, and under whatever name.
		if paths := pathsIn(m.tx, known.node); len(paths) > 0 {
			path = paths[0]
		}
		m.sum.Updated++
	default:
		m.sum.Imported++
	}
	m.add(ObjectItem{Path: anyText(path), Key: o.Key, ETag: o.ETag, Size: o.Size, Mtime: o.Modified}, o.Name)
}

// keptName is why an object is skipped whose path would begin with a name that has a meaning at the
// root.
const keptName = "a name that is kept for views or the trash"

// kept tells why a path from the root on cannot be one of the tree; empty: it can. A folder that
// has the name of a desktop's trash and is there already, as older versions took it, goes on as it
// is.
func (m *importer) kept(path string) string {
	first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch {
	case first == m.views:
		return first + " is kept for the library's views: import it below another folder (--to)"
	case view.IsDesktopTrash(first) && m.tx.Dentry(vfs.Root, first) == nil:
		return first + " is kept for the trash: import it below another folder (--to)"
	}
	return ""
}

// emptyAt tells whether an empty media has this path: one without bytes refers to no object.
func (m *importer) emptyAt(path string) bool {
	folder, name := splitPath(path)
	id, _, err := resolve(m.tx, folder)
	if err != nil {
		return false
	}
	d := m.tx.Dentry(id, name)
	if d == nil {
		return false
	}
	n := m.tx.Node(d.Node)
	return n != nil && n.Mode&unix.S_IFMT == unix.S_IFREG && n.Head.GetSize() == 0
}

// splitPath parts a path from the root into folder and name.
func splitPath(path string) (folder, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

func (m *importer) add(i ObjectItem, name string) {
	m.batch.Items = append(m.batch.Items, i)
	m.names = append(m.names, name)
}

// send has the batch applied, and counts anew what came of it.
func (m *importer) send(ctx context.Context) error {
	b, names := m.batch, m.names
	m.batch, m.names = ObjectsBatch{}, nil
	if len(b.Items) == 0 || m.opt.DryRun {
		for _, i := range b.Items {
			if i.Folder {
				m.sum.Folders++
			}
		}
		return nil
	}
	b.UID, b.GID = m.opt.UID, m.opt.GID
	if m.opt.Metadata {
		if err := m.describe(ctx, b.Items); err != nil {
			return err
		}
	}
	r, err := m.opt.Apply(ctx, b)
	if err != nil {
		return err
	}
	m.sum.Folders += r.Folders
	if len(r.What) != len(b.Items) {
		return remote.E(
			"import", m.opt.Prefix, remote.Unsupported,
			fmt.Errorf("the daemon answered for %d of %d objects", len(r.What), len(b.Items)),
		)
	}
	for i, o := range r.What {
		item := b.Items[i]
		if item.Folder {
			if o.Failed != "" {
				m.sum.skip(names[i]+"/", "the library did not take it", o.Failed)
			}
			continue
		}
		planned := &m.sum.Imported
		if known := m.known.find(item.Key, item.ETag); known.node != 0 {
			planned = &m.sum.Updated
		}
		if o.Failed == "" && o.What == "" {
			continue
		}
		*planned--
		switch {
		case o.Failed != "":
			m.sum.skip(names[i], o.reason(), o.Failed)
		case o.What == operation.Imported:
			m.sum.Imported++
		case o.What == operation.Updated:
			m.sum.Updated++
		default:
			m.sum.Unchanged++
		}
	}
	m.tell()
	return nil
}

// describe asks the store for what the listing does not tell.
func (m *importer) describe(ctx context.Context, items []ObjectItem) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(describers)
	for i := range items {
		item := &items[i]
		if item.Folder {
			continue
		}
		g.Go(func() error {
			d, err := m.opt.Store.DescribeForeign(ctx, item.Key)
			if errors.Is(err, remote.NotExist) {
				return nil // deleted since it was listed: the next import finds that
			}
			if t, ok := notedTime(d.Meta); ok {
				item.Mtime = t
			}
			item.Type = usefulType(d.Type)
			return err
		})
	}
	return g.Wait()
}

// gone finds media whose objects are not in the bucket any more.
func (m *importer) gone(ctx context.Context) error {
	prefix, _ := m.opt.Store.Place()
	for id, node := range m.known.unseen() {
		rec := m.tx.Content(id)
		if rec == nil {
			continue
		}
		key := rec.External.GetKey()
		name, outside := strings.CutPrefix(key, "/")
		if !outside {
			name = prefix + key
		}
		if !strings.HasPrefix(name, m.opt.Prefix) {
			continue
		}
		paths := pathsIn(m.tx, node)
		if len(paths) == 0 {
			continue // its media is in the trash
		}
		// Only what the store itself says is gone counts: the listing may have been taken while it
		// was replaced.
		_, err := m.opt.Store.StatContent(ctx, bucket.External(key, rec.External.Etag))
		if err == nil || errors.Is(err, remote.Stale) {
			continue
		}
		if !errors.Is(err, remote.NotExist) {
			return err
		}
		m.sum.Gone++
		m.sum.note(name, "it is gone from the bucket; "+paths[0]+" cannot be read any more")
		if m.opt.Prune {
			m.batch.Remove = append(m.batch.Remove, ObjectRemoval{Path: anyText(paths[0]), Node: node})
		}
	}
	if len(m.batch.Remove) == 0 || m.opt.DryRun {
		return nil
	}
	r, err := m.opt.Apply(ctx, ObjectsBatch{UID: m.opt.UID, GID: m.opt.GID, Remove: m.batch.Remove})
	m.sum.Removed = r.Removed
	for _, why := range r.Kept {
		m.sum.note("", why)
	}
	m.batch.Remove = nil
	return err
}

// pathsIn gives the paths of a node.
func pathsIn(tx *catalog.Tx, node uint64) []string { return (&exporter{tx: tx}).pathsOf(node) }

// notedTime is the modification time of a file that a tool noted beside the object: rclone and s3fs
// as seconds with a fraction, s3cmd in a list.
func notedTime(meta map[string]string) (time.Time, bool) {
	text := meta["mtime"]
	for field := range strings.SplitSeq(meta["s3cmd-attrs"], "/") {
		if value, ok := strings.CutPrefix(field, "mtime:"); ok && text == "" {
			text = value
		}
	}
	whole, fraction, _ := strings.Cut(text, ".")
	var sec int64
	if _, err := fmt.Sscanf(whole, "%d", &sec); err != nil || fmt.Sprint(sec) != whole || sec < -1<<40 || sec > 1<<40 {
		return time.Time{}, false
	}
	nsec := int64(0)
	for i, unit := 0, int64(1e8); i < len(fraction) && unit > 0; i, unit = i+1, unit/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return time.Time{}, false
		}
		nsec += int64(fraction[i]-'0') * unit
	}
	return time.Unix(sec, nsec), true
}

// usefulType leaves out what stores say when they know nothing.
func usefulType(t string) string {
	switch t {
	case "application/octet-stream", "binary/octet-stream", "application/x-directory":
		return ""
	}
	if len(t) > 127 || !strings.Contains(t, "/") {
		return ""
	}
	return t
}
