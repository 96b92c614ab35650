package check

import (
	"fmt"
	"time"
)

// A Class is a sort of finding. The word is for programs and keeps its meaning.
type Class string

// Damage of the catalog in itself.
const (
	Unloadable     Class = "catalog-unloadable"
	BadRecord      Class = "record-unreadable"
	DanglingName   Class = "name-without-node"
	WrongKind      Class = "name-kind-differs"
	IllegalName    Class = "name-illegal"
	LostNode       Class = "node-without-name"
	SeveralNames   Class = "folder-with-several-names"
	Cycle          Class = "folder-cycle"
	StrayNames     Class = "names-without-folder"
	BadHead        Class = "head-malformed"
	UnknownContent Class = "content-without-record"
	DanglingTrash  Class = "trash-without-node"
	WrongCounter   Class = "counter-wrong"
)

// Damage of the objects.
const (
	MissingContent  Class = "content-missing"
	WrongSize       Class = "content-size-differs"
	AlteredContent  Class = "content-altered"
	MissingSums     Class = "checksums-missing"
	AlteredSums     Class = "checksums-altered"
	ChangedExternal Class = "external-changed"
	Unreadable      Class = "content-unreadable"
	LogGap          Class = "log-gap"
	BadCommit       Class = "commit-unreadable"
	BadManifest     Class = "checkpoint-unreadable"
	MissingPart     Class = "checkpoint-part-missing"
)

// Notes: nothing is lost.
const (
	OrphanVersion Class = "version-without-media"
	OrphanRecord  Class = "record-without-owner"
	NamedTrash    Class = "trash-with-name"
	UnknownRecord Class = "record-of-later-format"
	UnknownCoding Class = "content-of-later-format"
	Unverified    Class = "content-without-checksums"
	InArchive     Class = "content-archived"
	PastExternal  Class = "external-past"
	ForeignObject Class = "foreign-object"
	AbandonedLog  Class = "log-abandoned"

	UnlistedUploads Class = "uploads-unlisted"
)

const reportIt = "keep a copy of the store as it is, and report this: mediafs has written something wrong"
const restoreIt = "restore the object from a backup, or from an earlier version of it if the bucket keeps versions"
const keepMounted = "leave a machine that has it mounted running; " + restoreIt

// classes say of each class what it means for people and what they can do. A class with nothing to
// do is a note.
var classes = map[Class]struct{ means, advice string }{
	Unloadable: {
		"machines that have not read further, and new ones, mount the library read-only as it was then, if they can read anything",
		keepMounted,
	},
	BadRecord: {
		"what it says is lost, or was written by a later version",
		"use the newest mediafs; if that says the same, " + reportIt,
	},
	DanglingName: {"the name is listed and cannot be opened", reportIt},
	WrongKind:    {"programs see another kind of file in a listing than when they open it", reportIt},
	IllegalName:  {"the file cannot be reached under this name", reportIt},
	LostNode:     {"its bytes are kept and nobody can reach them", reportIt},
	SeveralNames: {"the folder shows in several places", reportIt},
	Cycle:        {"the folder and all in it cannot be reached from the root", reportIt},
	StrayNames:   {"what bears these names cannot be reached by them", reportIt},
	BadHead: {
		"the media cannot be read as a whole",
		"restore the media from an earlier version of it, or from a backup; " + reportIt,
	},
	UnknownContent: {
		"these bytes of the media cannot be read",
		"restore the media from an earlier version of it, or from a backup; " + reportIt,
	},
	DanglingTrash: {"what was deleted cannot be restored", reportIt},
	WrongCounter:  {"numbers such as sizes and links are shown wrong; no file is", reportIt},

	MissingContent: {"these bytes of the media are lost from the store", restoreIt + "; or delete the media"},
	WrongSize:      {"the object was cut or replaced: bytes of the media are lost", restoreIt + "; or delete the media"},
	AlteredContent: {"reading these bytes fails", restoreIt + "; or delete the media"},
	MissingSums:    {"the media cannot be read, though its bytes are there", restoreIt},
	AlteredSums:    {"the media cannot be read, though its bytes may be whole", restoreIt},
	ChangedExternal: {
		"the object is not the one that was imported: the media cannot be read",
		restoreIt + "; or delete the media and import it anew",
	},
	Unreadable: {
		"the media cannot be read as long as that is so",
		"see to it that the store gives the object (what lies there, its rights, its disk), or " + restoreIt,
	},
	LogGap: {
		"machines that have not read further, and new ones, mount the library read-only as it was before", keepMounted,
	},
	BadCommit: {
		"machines that have not read further, and new ones, mount the library read-only as it was before",
		keepMounted + ", or delete it if it is none of the library's: no machine has read it",
	},
	BadManifest: {"if it is the newest, machines without a catalog read the one before and more of the log", restoreIt},
	MissingPart: {
		"if it belongs to the newest checkpoint, machines without a catalog read the one before and more of the log",
		keepMounted,
	},

	OrphanVersion: {"it takes room and nobody can reach it", ""},
	OrphanRecord:  {"it is left over and harms nothing", ""},
	NamedTrash:    {"the entry ends with its time and the node stays", ""},
	UnknownRecord: {"a later version of mediafs wrote it; it is kept and was not looked at", ""},
	UnknownCoding: {"a later version of mediafs wrote it; its object was not looked at", ""},
	Unverified:    {"it could be read, and nothing says whether it is what was stored", ""},
	InArchive:     {"it was not read: the store gives its bytes after a restore (mediafs restore-archived)", ""},
	PastExternal: {
		"a version or deleted media was an object of somebody else, who has replaced or deleted it: it cannot be read any more",
		"",
	},
	ForeignObject:   {"it is none of the library's, and is left alone", ""},
	UnlistedUploads: {"whether uploads were abandoned, which take room, cannot be looked at", ""},
	AbandonedLog:    {"commits that nobody reads: their author stopped before deleting them", ""},
}

// Damage tells whether a class means that something is lost or wrong.
func (c Class) Damage() bool { return classes[c].advice != "" }

// Means says what a finding of the class means for people.
func (c Class) Means() string { return classes[c].means }

// Advice says what people can do about it; empty for a note.
func (c Class) Advice() string { return classes[c].advice }

// A Place is where people find something. Its zero value is nowhere in particular.
type Place struct {
	Path    string    // in the library, from its root on; names are any bytes. Empty: no name leads there
	Node    uint64    // 0: none
	Names   int       // how many further names the node has
	Trash   bool      // Path is the one that it had before it was deleted
	Deleted time.Time // when, with Trash
	Version uint64    // number of the version that is meant; 0: what the node holds now
}

func (p Place) String() string {
	s := p.Path
	if s == "" && p.Node != 0 {
		s = fmt.Sprintf("node %d, which has no name", p.Node)
	}
	if p.Version != 0 {
		s = fmt.Sprintf("version %d of %s", p.Version, s)
	}
	if p.Names > 0 {
		s += fmt.Sprintf(" (and %d more of its names)", p.Names)
	}
	if p.Trash {
		s += " (in the trash since " + p.Deleted.UTC().Format(time.DateTime) + " UTC)"
	}
	return s
}

// A Finding is one thing that is wrong, or worth saying.
type Finding struct {
	Class Class
	Place Place  // where people see it; zero when they do not
	What  string // the record, object or number that is meant
	Why   string // how it is and how it should be
}

// A Tally counts things and their bytes.
type Tally struct {
	Count int64 `json:"count"`
	Bytes int64 `json:"bytes"`
}

func (t *Tally) add(n int64) {
	t.Count++
	t.Bytes += n
}

// A Report is what Check found.
type Report struct {
	Library string // identity
	Commit  uint64 // the state that was looked at is the one after it
	Again   uint64 // the later commit after which what seemed missing was looked at again; 0: nothing did
	Data    bool   // contents were read

	Findings []Finding // damage first, at most Options.MaxFindings of it; at most 20 notes of each class
	Damaged  int       // how many findings are damage, also those that are not in Findings
	Noted    int       // how many are notes

	Nodes    int64 // without the root; those in the trash included
	Folders  int64
	Media    Tally // bytes of their heads
	Versions Tally
	Trash    int64

	Contents   Tally // referred to by heads and versions; bytes as they are read
	Unused     Tally // of the catalog, referred to by nothing
	External   Tally // of Contents, objects imported in place
	Read       Tally // contents read with Data
	Objects    Tally // of contents and side objects in the store
	Garbage    Tally // of Objects, those that nothing refers to
	Young      Tally // of Garbage, those younger than 2 days: uploads on their way are among them
	Unfinished int64 // multipart uploads
	Foreign    int64 // objects that are not the library's

	Log         Tally  // commits; bytes as stored
	First       uint64 // oldest commit that is read
	Last        uint64 // newest
	Checkpoints int64
	Parts       Tally
}

// Sound tells that nothing is damaged.
func (r *Report) Sound() bool { return r.Damaged == 0 }

// A finder collects findings within bounds. It is used by one goroutine at a time.
type finder struct {
	report *Report
	max    int
	notes  map[Class]int
	kept   int
}

func newFinder(r *Report, max int) *finder {
	return &finder{report: r, max: max, notes: make(map[Class]int)}
}

// wants counts a finding of a class and tells whether there is room for it.
func (f *finder) wants(c Class) bool {
	if !c.Damage() {
		f.report.Noted++
		f.notes[c]++
		return f.notes[c] <= maxNotes
	}
	f.report.Damaged++
	f.kept++
	return f.kept <= f.max
}

// add counts a finding, keeps it while there is room, and gives its number in the report, or -1.
func (f *finder) add(c Class, place Place, what, why string, args ...any) int {
	if !f.wants(c) {
		return -1
	}
	f.report.Findings = append(
		f.report.Findings, Finding{Class: c, Place: place, What: what, Why: fmt.Sprintf(why, args...)},
	)
	return len(f.report.Findings) - 1
}
