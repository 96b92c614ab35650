package fuse

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Options say what is mounted, where and how. Library and Dir are needed; the zero value of the
// rest works.
type Options struct {
	Library vfs.Library
	Dir     string // an existing folder

	// Announcer is the one that the library was opened with; nil: Mount makes one.
	Announcer *Announcer

	AllowOther bool     // other users than the one who mounts may use it
	ReadOnly   bool     // the kernel refuses writes
	FSName     string   // shown as the device; the store's URL without secrets. Empty: mediafs
	Mount      []string // further options as in mount -o, each may be a list with commas

	EntryTimeout  time.Duration // how long the kernel believes that a name is what it was, or is not there; 0: 1 s
	AttrTimeout   time.Duration // the same for attributes; 0: 1 s
	MaxBackground int           // requests that nobody waits for (read-ahead) at once; 0: 64

	// HangTimeout is how long a request may go without an answer before the mount is taken for
	// stuck, cut off, and Server.Hung tells so: longer than everything that the library waits for;
	// 0: never. Received counts bytes that came from the store: while it grows, no read is stuck;
	// nil: nothing is known of that.
	HangTimeout time.Duration
	Received    func() int64

	Debug bool          // log every request
	Log   *logrus.Entry // nil: nowhere

	killed func(tid uint32) bool // whether a caller is being killed; nil: asks /proc
}

// mountFlags are the options that are bits of mount(2) and not text for the file system.
// fusermount3 knows their names.
var mountFlags = map[string]struct{ set, clear uintptr }{
	"ro":            {set: unix.MS_RDONLY},
	"rw":            {clear: unix.MS_RDONLY},
	"suid":          {clear: unix.MS_NOSUID},
	"nosuid":        {set: unix.MS_NOSUID},
	"dev":           {clear: unix.MS_NODEV},
	"nodev":         {set: unix.MS_NODEV},
	"exec":          {clear: unix.MS_NOEXEC},
	"noexec":        {set: unix.MS_NOEXEC},
	"sync":          {set: unix.MS_SYNCHRONOUS},
	"async":         {clear: unix.MS_SYNCHRONOUS},
	"dirsync":       {set: unix.MS_DIRSYNC},
	"symfollow":     {clear: unix.MS_NOSYMFOLLOW},
	"nosymfollow":   {set: unix.MS_NOSYMFOLLOW},
	"atime":         {clear: unix.MS_NOATIME},
	"noatime":       {set: unix.MS_NOATIME, clear: unix.MS_RELATIME | unix.MS_STRICTATIME},
	"diratime":      {clear: unix.MS_NODIRATIME},
	"nodiratime":    {set: unix.MS_NODIRATIME},
	"relatime":      {set: unix.MS_RELATIME, clear: unix.MS_NOATIME | unix.MS_STRICTATIME},
	"norelatime":    {clear: unix.MS_RELATIME},
	"strictatime":   {set: unix.MS_STRICTATIME, clear: unix.MS_NOATIME | unix.MS_RELATIME},
	"nostrictatime": {clear: unix.MS_STRICTATIME},
	"lazytime":      {set: unix.MS_LAZYTIME},
	"nolazytime":    {clear: unix.MS_LAZYTIME},
}

// helperKnows are the flags that every fusermount3 knows. The others are about access times, which
// reading never changes here, and so change nothing when they are left out; and nosymfollow, which
// is not.
var helperKnows = map[string]bool{
	"ro":          true,
	"rw":          true,
	"suid":        true,
	"nosuid":      true,
	"dev":         true,
	"nodev":       true,
	"exec":        true,
	"noexec":      true,
	"sync":        true,
	"async":       true,
	"dirsync":     true,
	"atime":       true,
	"noatime":     true,
	"nosymfollow": true,
}

// contexts are options that the kernel's security modules take, with a value.
var contexts = map[string]bool{"context": true, "fscontext": true, "defcontext": true, "rootcontext": true}

// IsKernelOption reports whether an option of mount(8) is carried out by the kernel: Options.Mount
// takes it.
func IsKernelOption(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	_, flag := mountFlags[word]
	return flag || contexts[name] || word == "idmap"
}

// IsTableOption reports whether an option of mount(8) says nothing to the file system: who may
// mount, and when; or something that kernels do not know any more (mand), do anyway, or say of
// other file systems (iversion, silent).
func IsTableOption(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return mountTable[name] || strings.HasPrefix(strings.ToLower(word), "x-")
}

// mountTable are words of /etc/fstab that are not for the file system; "x-..." are others.
var mountTable = map[string]bool{
	"":                    true,
	"defaults":            true,
	"auto":                true,
	"noauto":              true,
	"user":                true,
	"nouser":              true,
	"users":               true,
	"nousers":             true,
	"owner":               true,
	"noowner":             true,
	"group":               true,
	"nogroup":             true,
	"_netdev":             true,
	"_rnetdev":            true,
	"nofail":              true,
	"comment":             true,
	"helper":              true,
	"uhelper":             true,
	"default_permissions": true,
	"iversion":            true,
	"noiversion":          true,
	"silent":              true,
	"loud":                true,
	"mand":                true,
	"nomand":              true,
}

// mountOptions is a list of options sorted by who understands them.
type mountOptions struct {
	allowOther bool
	idmap      bool     // mounts of it may map users (mount_setattr)
	flags      uintptr  // for mount(2)
	words      []string // the flags that were named and that fusermount3 knows
	data       []string // for the file system
}

// parse sorts o.Mount. Devices and set-user-id programs are not honoured unless root asks for it: a
// library may come from anywhere.
func (o *Options) parse(root bool) (mountOptions, error) {
	m := mountOptions{
		allowOther: o.AllowOther,
		flags:      unix.MS_NOSUID | unix.MS_NODEV,
		data:       []string{"default_permissions"},
	}
	add := func(word string) {
		f := mountFlags[word]
		m.flags = m.flags&^f.clear | f.set
		if helperKnows[word] {
			m.words = append(m.words, word)
		}
	}
	for word := range strings.SplitSeq(strings.Join(o.Mount, ","), ",") {
		name, _, _ := strings.Cut(word, "=")
		_, isFlag := mountFlags[word]
		switch {
		case isFlag:
			if !root && (word == "suid" || word == "dev") {
				return m, remote.E("mount", o.Dir, remote.Permission, fmt.Errorf("option %s", word)).
					WithHint("only root may ask for it")
			}
			add(word)
		case IsTableOption(word):
		case word == "allow_other":
			m.allowOther = true
		case word == "idmap":
			m.idmap = true
		case name == "fd",
			name == "rootmode",
			name == "user_id",
			name == "group_id",
			name == "max_read",
			name == "subtype",
			name == "fsname",
			name == "blkdev":
			return m, remote.E("mount", o.Dir, remote.Invalid, fmt.Errorf("option %s", word)).
				WithHint("mediafs sets it itself")
		default:
			m.data = append(m.data, word)
		}
	}
	if o.ReadOnly {
		add("ro")
	}
	return m, nil
}

func (o *Options) check() error {
	switch {
	case o.Library == nil:
		return remote.E("mount", o.Dir, remote.Invalid, errors.New("no library"))
	case o.Dir == "":
		return remote.E("mount", "", remote.Invalid, errors.New("no folder to mount at"))
	case o.EntryTimeout < 0 || o.AttrTimeout < 0 || o.MaxBackground < 0 || o.MaxBackground > 1<<16-1:
		return remote.E("mount", o.Dir, remote.Invalid, errors.New("a timeout or limit is out of range"))
	}
	return nil
}

// defaults fills in what is not set.
func (o *Options) defaults() {
	if o.Announcer == nil {
		o.Announcer = NewAnnouncer()
	}
	if o.FSName == "" {
		o.FSName = "mediafs"
	}
	if o.EntryTimeout == 0 {
		o.EntryTimeout = time.Second
	}
	if o.AttrTimeout == 0 {
		o.AttrTimeout = time.Second
	}
	if o.MaxBackground == 0 {
		o.MaxBackground = 64
	}
	if o.Log == nil {
		o.Log = discard()
	}
	if o.killed == nil {
		o.killed = killed
	}
}
