package transfer

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// RecordsOptions say what records are laid over what. Store, Open and, unless DryRun is set, Apply
// are needed.
type RecordsOptions struct {
	Store  *bucket.Store                 // of the library that gets them. Nothing that writes is called
	Open   func() (io.ReadCloser, error) // opens the export; it is read twice
	To     string                        // folder of the library that stands for the one that was exported
	DryRun bool

	// Apply makes changes in the library: ApplyRecords, here or in the daemon that has the library.
	Apply    func(ctx context.Context, b RecordsBatch) (RecordsResult, error)
	Progress func(RecordsSummary) // told how far it is; must not block; may be nil

	TempDir string // where a copy of the catalog is kept meanwhile; empty: the system's
	Log     *logrus.Entry
}

// A RecordsSummary says what became of the media of an export.
type RecordsSummary struct {
	Media     int64     `json:"media"`     // in the export, but for those in the trash
	Changed   int64     `json:"changed"`   // something was said of them that was not said here
	Unchanged int64     `json:"unchanged"` // all was said already
	Missing   int64     `json:"missing"`   // no media of that path, and none of those bytes
	Failed    int64     `json:"failed"`    // the library did not take it
	Examples  []Example `json:"examples,omitempty"`
}

func (s *RecordsSummary) note(name, why string) {
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, Example{strings.ToValidUTF8(name, "\uFFFD"), why})
	}
}

// ImportRecords says of the media of a library what was said of them in an export: titles, tags and
// all that people and services set, favourites, votes, comments, bindings, links and renditions. A
// media is found by one of its paths, unless both sides know the SHA-256 and it is another; else by
// its SHA-256. What is said here and not there stays; where both say something, the export wins.
// Ids of other media of the export become those that the media have here, or are left out. Doing it
// again changes nothing.
//
// Errors: Invalid for what is no export; those of Apply. What is wrong with single media is in the
// summary.
func ImportRecords(ctx context.Context, opt RecordsOptions) (RecordsSummary, error) {
	s, err := openSnapshot(ctx, opt.Store, opt.TempDir, opt.Log)
	if err != nil {
		return RecordsSummary{}, err
	}
	m := &recordsImporter{opt: opt, here: make(map[string]string), taken: make(map[uint64]bool)}
	err = s.cat.View(func(tx *catalog.Tx) error { return m.run(ctx, tx) })
	return m.sum, errors.Join(err, s.close())
}

type recordsImporter struct {
	opt   RecordsOptions
	tx    *catalog.Tx
	sum   RecordsSummary
	found []uint64            // nodes of the export's media, in its order; 0: none
	here  map[string]string   // media id there → here
	taken map[uint64]bool     // nodes that were found
	sums  map[string][]uint64 // SHA-256 → nodes; nil until it is needed
	batch RecordsBatch
	names []string // of the batch's items

	looked int // the last line that was found to be unusable
}

// unusable counts a line that says nothing of a media, once: the export is read several times.
func (m *recordsImporter) unusable(line int, err error) {
	if line <= m.looked {
		return
	}
	m.looked = line
	m.sum.Failed++
	m.sum.note(fmt.Sprintf("line %d", line), err.Error())
}

// each reads the export and calls do for every media of its tree.
func (m *recordsImporter) each(ctx context.Context, do func(i int, folder string, line *exportNode) error) (err error) {
	const op = "read the export"
	in, err := m.opt.Open()
	if err != nil {
		return remote.OSError(op, "", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	lines := json.NewDecoder(bufio.NewReaderSize(in, 64<<10))
	var h exportHeader
	if err := lines.Decode(&h); err != nil || h.Format != ExportFormat {
		return remote.E(op, "", remote.Invalid, fmt.Errorf("its first line does not say %q", ExportFormat)).
			WithHint("mediafs export writes such files")
	}
	for i, n := 0, 2; ; n++ {
		var text json.RawMessage
		err := lines.Decode(&text)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return remote.E(op, fmt.Sprintf("line %d", n), remote.Invalid, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var line exportNode
		if err := json.Unmarshal(text, &line); err != nil { // a name that is none, or a value that is of another kind
			m.unusable(n, err)
			continue
		}
		if line.Kind != "node" || line.Media == nil {
			continue
		}
		if err := do(i, string(h.Folder), &line); err != nil {
			return err
		}
		i++
	}
}

func (m *recordsImporter) run(ctx context.Context, tx *catalog.Tx) error {
	m.tx = tx
	var lost []int // of found: not there by path
	var shas []string
	err := m.each(ctx, func(i int, folder string, line *exportNode) error {
		node := uint64(0)
		for _, name := range append([]anyText{line.Path}, line.Names...) {
			if node = m.byPath(folder, string(name), line.Media); node != 0 {
				break
			}
		}
		m.found = append(m.found, node)
		if node == 0 {
			lost, shas = append(lost, i), append(shas, shaOf(line))
			return tx.Err()
		}
		m.meet(node, line.Media.ID)
		return tx.Err()
	})
	if err != nil {
		return err
	}
	ids := make(map[int]string)
	for n, i := range lost {
		if node := m.bySum(shas[n]); node != 0 {
			m.found[i], m.taken[node] = node, true
			ids[i] = m.mediaID(node)
		}
	}
	if err := tx.Err(); err != nil {
		return err
	}
	if len(ids) > 0 {
		if err := m.each(ctx, func(i int, _ string, line *exportNode) error {
			if id := ids[i]; id != "" {
				m.here[line.Media.ID] = id
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if err := m.each(
		ctx, func(i int, _ string, line *exportNode) error { return m.take(ctx, m.found[i], line) },
	); err != nil {
		return err
	}
	return errors.Join(m.send(ctx), tx.Err())
}

func (m *recordsImporter) meet(node uint64, id string) {
	m.taken[node] = true
	m.here[id] = m.mediaID(node)
}

func (m *recordsImporter) mediaID(node uint64) string {
	return hex.EncodeToString(m.tx.Node(node).GetMediaId())
}

func shaOf(line *exportNode) string {
	if line.Media.SHA256 != "" || line.Head == nil || len(line.Contents) == 0 || len(line.Head.Extents) != 1 {
		return line.Media.SHA256
	}
	if x, c := line.Head.Extents[0], line.Contents[0]; c.ID == x.Content && x.From == 0 && x.Length == c.Size &&
		c.Size == line.Head.Size {
		return c.SHA256
	}
	return ""
}

// byPath finds a media by a path of the export, below the folder that stands for the exported one.
func (m *recordsImporter) byPath(folder, name string, there *remote.Media) uint64 {
	rel, below := strings.CutPrefix(name, strings.TrimSuffix(folder, "/")+"/")
	if !below {
		return 0
	}
	dir, base := path.Split(strings.TrimSuffix(m.opt.To, "/") + "/" + rel)
	id, _, err := resolve(m.tx, dir)
	if err != nil {
		return 0
	}
	d := m.tx.Dentry(id, base)
	if d == nil {
		return 0
	}
	n := m.tx.Node(d.Node)
	if n == nil || n.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	if sha := m.shaOf(d.Node, n); sha != "" && there.SHA256 != "" {
		if sha != there.SHA256 {
			return 0
		}
	} else if int64(n.Head.GetSize()) != there.Size {
		return 0
	}
	return d.Node
}

func (m *recordsImporter) shaOf(id uint64, n *record.Node) string {
	var f record.Facts
	if m.tx.Load(record.FactsKey(id), &f) && string(f.Head) == string(media.HeadHash(n.Head)) && len(f.Sha256) == 32 {
		return hex.EncodeToString(f.Sha256)
	}
	if x := n.Head.GetExtents(); len(x) == 1 && x[0].ContentOffset == 0 && x[0].Length == n.Head.Size {
		if c := m.tx.Content(x[0].Content); c.GetSize() == n.Head.Size {
			return hex.EncodeToString(c.GetSha256())
		}
	}
	return ""
}

// bySum finds a media that has these bytes and that nothing else was found to be.
func (m *recordsImporter) bySum(sha string) uint64 {
	if sha == "" {
		return 0
	}
	if m.sums == nil {
		m.sums = make(map[string][]uint64)
		for k, v := range m.tx.Records([]byte{record.KeyNode}) {
			var n record.Node
			id, _, ok := record.NumberOf(k)
			if !ok || proto.Unmarshal(v, &n) != nil || n.Mode&unix.S_IFMT != unix.S_IFREG || m.tx.Links(id) == 0 {
				continue
			}
			if sum := m.shaOf(id, &n); sum != "" {
				m.sums[sum] = append(m.sums[sum], id)
			}
		}
	}
	for _, id := range m.sums[sha] {
		if !m.taken[id] {
			return id
		}
	}
	return 0
}

// take decides what has to be said of one media.
func (m *recordsImporter) take(ctx context.Context, node uint64, line *exportNode) error {
	m.sum.Media++
	if node == 0 {
		m.sum.Missing++
		m.sum.note(
			string(line.Path),
			"there is no media of this path here with these bytes, and none elsewhere that is known to have them",
		)
		return nil
	}
	n := m.tx.Node(node)
	if n == nil {
		return m.tx.Err()
	}
	now, said := mediaOf(m.tx, node, n, nil, nil)
	var edits record.Media
	m.tx.Load(record.MediaKey(n.MediaId), &edits)
	c := &saying{there: line.Media, now: now, here: m.here, given: edits.Comments}
	c.edits(line.Edits, said)
	c.attached()
	for _, why := range c.left {
		m.sum.note(string(line.Path), why)
	}
	if len(c.item.Edits) == 0 && len(c.item.Attached) == 0 {
		m.sum.Unchanged++
		return nil
	}
	m.sum.Changed++
	c.item.Node = node
	m.batch.Items, m.names = append(m.batch.Items, c.item), append(m.names, string(line.Path))
	if len(m.batch.Items) >= recordsBatch {
		return m.send(ctx)
	}
	return nil
}

// recordsBatch is how many media are handed over at once: with the most that is said of each, 64
// KiB and comments, a batch stays below MaxBatch.
const recordsBatch = 50

func (m *recordsImporter) send(ctx context.Context) error {
	b, names := m.batch, m.names
	m.batch, m.names = RecordsBatch{}, nil
	if len(b.Items) == 0 || m.opt.DryRun {
		return nil
	}
	r, err := m.opt.Apply(ctx, b)
	if err != nil {
		return err
	}
	for i, why := range r.Failed {
		if why != "" && i < len(names) {
			m.sum.Failed++
			m.sum.Changed--
			m.sum.note(names[i], why)
		}
	}
	if m.opt.Progress != nil {
		m.opt.Progress(m.sum)
	}
	return nil
}
