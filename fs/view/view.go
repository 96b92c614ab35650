package view

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Options configure a Library; the zero value works.
type Options struct {
	// Salt keys the numbers of view nodes: with the same salt they are the same in every mount.
	// Zero: random.
	Salt [16]byte
	// Groups gives the supplementary groups of a process; nil: /proc/<pid>/status.
	Groups func(pid uint32) []uint32
	// UserName gives the name of a user, under which favourites are kept; nil: the system's user
	// database, or else the number.
	UserName func(uid uint32) string

	Latest int // how many media latest/ shows; 0: 1,000
	// media that one rename of a tag may change: each is a change of its own in the log; 0: 10,000
	RenameTag int
	// entries of an archive, which are kept in memory while it is open (some 200 bytes each); 0:
	// 1,000,000
	ZipEntries int
	// how long a list of the trash is believed while nothing was deleted through this Library; 0: 1
	// s
	TrashAge time.Duration
	Location *time.Location // of the times in names and in trashinfo files; nil: time.Local
	Now      func() time.Time
	Log      *logrus.Entry // nil: nowhere
}

func (o *Options) defaults() error {
	if o.Salt == ([16]byte{}) {
		if _, err := rand.Read(o.Salt[:]); err != nil {
			return err
		}
	}
	if o.Groups == nil {
		o.Groups = groupsOf
	}
	if o.UserName == nil {
		o.UserName = userName
	}
	if o.Latest == 0 {
		o.Latest = 1000
	}
	if o.RenameTag == 0 {
		o.RenameTag = 10_000
	}
	if o.ZipEntries == 0 {
		o.ZipEntries = 1_000_000
	}
	if o.TrashAge == 0 {
		o.TrashAge = time.Second
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(silent)
	}
	return nil
}

func userName(uid uint32) string {
	n := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(n); err == nil && u.Username != "" {
		return u.Username
	}
	return n
}

// A Library is a media library with its views. All methods may be called concurrently.
type Library struct {
	vfs.MediaLibrary // the tree
	opt              Options
	nodes            table
	top              *fixed
	tags             emptyTags
	trash            trashList
	desktop          desktops

	mu struct {
		sync.Mutex
		announcer vfs.Announcer
	}
}

var _ vfs.MediaLibrary = (*Library)(nil)

// New puts the views in front of a library, which stays its owner's to close.
func New(inner vfs.MediaLibrary, opt Options) (*Library, error) {
	if err := opt.defaults(); err != nil {
		return nil, remote.E("open the views", "", remote.Other, err)
	}
	l := &Library{MediaLibrary: inner, opt: opt}
	l.nodes.init(opt.Salt)
	l.top = l.views()
	return l, nil
}

// Announce says who tells the kernel of changes. It is called before the first request.
func (l *Library) Announce(a vfs.Announcer) {
	l.mu.Lock()
	l.mu.announcer = a
	l.mu.Unlock()
}

// announce tells the kernel that it may have kept what a change through a view made untrue: it
// counts links by itself, and takes the place of what it moved into a view for one that stays.
func (l *Library) announce(tell func(vfs.Announcer)) {
	l.mu.Lock()
	a := l.mu.announcer
	l.mu.Unlock()
	if a != nil {
		tell(a)
	}
}

// inView tells whether a node is of a view.
func inView(id vfs.ID) bool { return id>>61 == record.ViewBit>>61 }

// views makes the folder of all views.
func (l *Library) views() *fixed {
	return &fixed{l: l, name: "views", entries: []entry{
		{name: "by-date", spot: &years{l}},
		{name: "by-type", spot: &types{l}},
		{name: "favorites", spot: &favorites{l}},
		{name: "hidden", spot: &hidden{l}},
		{name: indexingName, spot: l.indexingSheet()},
		{name: "info", spot: l.infos()},
		{name: "latest", spot: &latest{l}},
		{name: "moderation", spot: &moderation{l}},
		{name: "search", spot: &search{l}},
		{name: "status.json", spot: l.statusSheet()},
		{name: "tags", spot: &tagged{l: l}},
		{name: "trash", spot: &trash{l}},
		{name: "uploads", spot: &uploads{l}},
		{name: "versions", spot: l.olderVersions()},
		{name: "zip", spot: l.archives()},
	}, absent: func(name string) bool {
		if name != indexingName {
			return false
		}
		_, _, ready := l.Indexed()
		return ready
	}}
}

// fixed is a folder whose entries are known.
type fixed struct {
	l       *Library
	name    string
	entries []entry
	absent  func(name string) bool // an entry that is not there now; nil: all are
}

func (f *fixed) key() string { return "fixed/" + f.name }

func (f *fixed) attr(ctx context.Context) (vfs.Attr, error) { return f.l.folderAttr(ctx, 0o555) }

func (f *fixed) lookup(_ context.Context, _ *asker, name string) (entry, error) {
	for _, e := range f.entries {
		if e.name == name && (f.absent == nil || !f.absent(name)) {
			return e, nil
		}
	}
	return entry{}, missing(name)
}

func (f *fixed) list(_ context.Context, _ *asker, s *listing, after uint64, emit func(entry) bool) error {
	return s.entries(after, emit, func() ([]entry, error) {
		if f.absent == nil {
			return f.entries, nil
		}
		return slices.DeleteFunc(slices.Clone(f.entries), func(e entry) bool { return f.absent(e.name) }), nil
	})
}

// folderAttr gives the attributes of a folder that is nobody's: the owner of the library's root has
// it. Folders that take changes can be written to by everybody, as far as the kernel is concerned:
// who may change which media is looked at here.
func (l *Library) folderAttr(ctx context.Context, mode uint32) (vfs.Attr, error) {
	a, err := l.MediaLibrary.GetAttr(ctx, vfs.Root)
	if err != nil {
		return a, err
	}
	return virtual(a, unix.S_IFDIR|mode, 0), nil
}

// virtual makes of a real node's attributes those of a virtual one that takes owner and times from
// it.
func virtual(a vfs.Attr, mode uint32, size int64) vfs.Attr {
	a.ID, a.Mode, a.Nlink, a.Rdev, a.Size, a.Blocks = 0, mode, 1, 0, size, (size+511)/512
	return a
}

func missing(name string) error {
	return remote.E("look up", quoted(name), remote.NotExist, nil)
}

// quoted is a name in an error: whatever bytes it has, it is one line of text.
func quoted(name string) string { return fmt.Sprintf("%q", name) }
