package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// TypeName is the type of our mounts in mount tables; the part after the dot is what go-fuse is
// told.
const TypeName = "fuse.mediafs"

const enotconn = unix.ENOTCONN

// maxWrite is the largest read or write request, in bytes: a block of the read cache. Kernels allow
// 1 MiB. But each request has a buffer of its size for as long as it waits for the store, and
// hundreds of processes that read past the page cache, or write, wait at once; larger requests
// would spare a tenth of the processor's time.
const maxWrite = 256 << 10

// capabilities are asked for beyond what go-fuse asks for: truncation within the open, attributes
// in listings when they seem wanted, that we find nodes by their numbers alone ("." and "..": file
// handles outlive the kernel's memory and the mount), and that set-user-id bits are ours to clear,
// which also spares the kernel a question for security.capability at every write; for access
// control lists, that the umask is told and not applied, and that the kernel says who sets one.
// Asynchronous direct I/O is left out: with it no signal, SIGKILL included, ends a direct read that
// waits for the store.
const capabilities = gofuse.CAP_ATOMIC_O_TRUNC | gofuse.CAP_READDIRPLUS_AUTO | gofuse.CAP_EXPORT_SUPPORT |
	gofuse.CAP_HANDLE_KILLPRIV_V2 | gofuse.CAP_DONT_MASK | gofuse.CAP_SETXATTR_EXT

// userConf is where fusermount3 looks whether users may let others in.
const userConf = "/etc/fuse.conf"

func discard() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// Mount mounts a library and begins to serve it. Root mounts by itself; other users, and root
// without the right to mount, through fusermount3. Errors: NotExist and NotDir (the folder;
// /dev/fuse), Stale (a dead mount is in the way), Permission (allow_other, /dev/fuse, no right to
// mount), Unsupported (no FUSE, no fusermount3), Invalid (options).
func Mount(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.defaults()
	root := os.Geteuid() == 0
	dir, m, err := o.ready(root)
	if err != nil {
		return nil, err
	}

	o.Announcer.log = o.Log
	s := &fileSystem{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(),
		lib:           o.Library,
		log:           o.Log,
		entryTTL:      o.EntryTimeout,
		attrTTL:       o.AttrTimeout,
		announcer:     o.Announcer,
	}
	server := &Server{dir: dir, fs: s, done: make(chan struct{}), hung: make(chan struct{})}
	s.dying = func(tid uint32) bool { return server.gone() || o.killed(tid) }
	server.raw, err = connect(s, dir, &o, m, root)
	if err != nil {
		s.announcer.close()
		return nil, err
	}
	if m.idmap && server.raw.KernelSettings().Flags64()&gofuse.CAP_ALLOW_IDMAP == 0 {
		o.Log.WithField("dir", dir).
			Warn("this kernel maps no users on FUSE mounts (Linux 6.12 does): the option idmap has no effect")
	}
	server.start(&o)
	return server, nil
}

// Check reports what would keep Mount from mounting, as far as that can be known before: the
// options, the folder, the rights on it, /dev/fuse and fusermount3. Of Options it needs no more
// than Dir; errors are those of Mount.
func Check(o Options) error {
	_, _, err := o.ready(os.Geteuid() == 0)
	return err
}

func (o *Options) ready(root bool) (dir string, m mountOptions, err error) {
	if m, err = o.parse(root); err != nil {
		return "", m, err
	}
	if dir, err = mountPoint(o.Dir); err != nil {
		return "", m, err
	}
	if err := checkDevice(dir); err != nil {
		return "", m, err
	}
	if root {
		return dir, m, nil
	}
	if m.allowOther {
		if err := checkAllowOther(dir, userConf); err != nil {
			return "", m, err
		}
	}
	if helperPath() == "" {
		return "", m, missingHelper(dir)
	}
	return dir, m, checkWritable(dir, os.Getuid())
}

// checkWritable refuses a folder that fusermount3 would not mount on for a user: it wants it
// writable, and one that is shared through the sticky bit to be the user's own.
func checkWritable(dir string, uid int) error {
	const hint = "mount on a folder of your own"
	var st unix.Stat_t
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	if err == nil {
		err = unix.Stat(dir, &st)
	}
	switch {
	case err == unix.EROFS:
		return remote.E("mount", dir, remote.ReadOnly, errors.New("the folder lies on a read-only file system, where only root may mount")).
			WithHint(hint)
	case err != nil:
		return remote.E("mount", dir, remote.Permission, fmt.Errorf("this user may not write the folder: %w", err)).
			WithHint(hint)
	case st.Mode&unix.S_ISVTX != 0 && int(st.Uid) != uid:
		return remote.E("mount", dir, remote.Permission, errors.New("the folder is shared (sticky) and belongs to another user")).
			WithHint(hint)
	}
	return nil
}

// mountPoint checks the folder and gives its real path, as the mount table will have it.
func mountPoint(dir string) (string, error) {
	var st unix.Stat_t
	err := reach(dir)
	if err == nil {
		err = unix.Stat(dir, &st)
	}
	switch {
	case err == unix.ENOTCONN:
		return "", remote.E("mount", dir, remote.Stale, err).
			WithHint("a mount whose daemon is gone is there; remove it with fusermount3 -uz " + dir)
	case err == unix.ENOENT:
		return "", remote.E("mount", dir, remote.NotExist, nil).WithHint("make the folder first")
	case err != nil:
		return "", remote.E("mount", dir, remote.Permission, err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "", remote.E("mount", dir, remote.NotDir, nil)
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", remote.E("mount", dir, remote.Invalid, err)
	}
	return abs, nil
}

func checkDevice(dir string) error {
	const device = "/dev/fuse"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return unix.Close(fd)
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return remote.E("mount", dir, remote.Unsupported, errors.New(device+" is missing")).
			WithHint("load the kernel's fuse module, or give the container this device")
	default:
		return remote.E("mount", dir, remote.Permission, errors.New(device+": "+err.Error())).
			WithHint("this user must be able to read and write " + device)
	}
}

func checkAllowOther(dir, conf string) error {
	text, err := os.ReadFile(conf)
	if err == nil {
		for line := range bytes.Lines(text) {
			if string(bytes.TrimSpace(line)) == "user_allow_other" {
				return nil
			}
		}
	}
	return remote.E("mount", dir, remote.Permission, errors.New("allow_other is not permitted to users")).
		WithHint("add a line user_allow_other to " + conf)
}

// connect mounts and shakes hands with the kernel.
func connect(s *fileSystem, dir string, o *Options, m mountOptions, root bool) (*gofuse.Server, error) {
	opt := gofuse.MountOptions{
		AllowOther:               m.allowOther,
		Options:                  m.data,
		MaxBackground:            o.MaxBackground,
		MaxWrite:                 maxWrite,
		FsName:                   o.FSName,
		Name:                     strings.TrimPrefix(TypeName, "fuse."),
		ExplicitDataCacheControl: true,
		EnableSymlinkCaching:     true,
		EnableAcl:                true,
		ExtraCapabilities:        capabilities,
		IDMappedMount:            m.idmap,
		Debug:                    o.Debug,
		Logger:                   log.New(logLines{o.Log, o.Debug}, "", 0),
		PanicHandler: func(p any) gofuse.Status {
			o.Log.WithField("panic", p).WithField("stack", string(debug.Stack())).Error("a request panicked")
			return gofuse.EIO
		},
		DirectMountStrict: root,
		DirectMountFlags:  m.flags,
	}
	if m.flags == 0 {
		opt.DirectMountFlags = unix.MS_MGC_VAL // go-fuse takes 0 for its defaults
	}
	helper := helperPath()
	if root {
		raw, err := gofuse.NewServer(s, dir, &opt)
		if err == nil || helper == "" || !errors.Is(err, unix.EPERM) {
			return raw, mountError(dir, err)
		}
		opt.DirectMountStrict = false
	}
	opt.Options = append(opt.Options, m.words...)
	raw, err := gofuse.NewServer(s, dir, &opt)
	return raw, mountError(dir, err)
}

// helperPath is where the setuid helper is; empty when there is none.
func helperPath() string {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

func missingHelper(dir string) error {
	return remote.E("mount", dir, remote.Unsupported, errors.New("fusermount3 is missing")).
		WithHint("install the package fuse3, or mount as root")
}

// mountError puts what the kernel or the helper said into words. The helper prints its own reason
// to standard error.
func mountError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return remote.E("mount", dir, remote.Permission, err).
			WithHint("mounting needs root (CAP_SYS_ADMIN) or fusermount3 of the package fuse3")
	case errors.Is(err, unix.ENODEV):
		return remote.E("mount", dir, remote.Unsupported, err).WithHint("this kernel has no fuse; load its module")
	case errors.Is(err, unix.EINVAL):
		return remote.E("mount", dir, remote.Invalid, err).WithHint("the kernel does not know one of the mount options")
	}
	said := strings.TrimSpace(err.Error())
	if strings.HasPrefix(said, "fusermount exited") { // it was run, and refused: what it looks at are rights
		return remote.E("mount", dir, remote.Permission, errors.New("fusermount3 refused to mount")).
			WithHint("it says why on standard error")
	}
	return remote.E("mount", dir, remote.Other, errors.New(said))
}

// logLines takes what go-fuse has to say, a line a call: requests when they are to be logged,
// complaints otherwise.
type logLines struct {
	log   *logrus.Entry
	debug bool
}

func (l logLines) Write(p []byte) (int, error) {
	line := strings.TrimRight(string(p), "\n")
	if l.debug {
		l.log.Info(line)
	} else {
		l.log.Debug(line)
	}
	return len(p), nil
}
