package fuse

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A Server is one mount. It serves from Mount on until the mount is gone, whoever removed it; then
// it has released every handle and ended its goroutines. It does not close the library.
type Server struct {
	dir     string
	fs      *fileSystem
	raw     *gofuse.Server
	number  atomic.Uint32 // of the connection; 0 when not known
	aborted atomic.Bool
	left    atomic.Bool // nobody waits for what is not answered yet
	done    chan struct{}
	hung    chan struct{} // closed by watch
	hang    atomic.Int64  // HangTimeout
}

// start serves. WaitMount also makes the kernel ask once whether files can be polled and learn that
// they cannot, so that a Go program that serves and uses the mount at once does not stand in its
// own way; this user may not be allowed to do that in the root folder, and then it does without.
func (s *Server) start(o *Options) {
	if m, ok := mountAt(s.dir); ok {
		s.number.Store(m.Connection)
	}
	go s.serve()
	if o.HangTimeout > 0 {
		s.hang.Store(int64(o.HangTimeout))
		go s.watch(o.Received) // until the mount's end, or the first hang
	}
	if err := s.raw.WaitMount(); err != nil {
		s.fs.log.WithError(err).Debug("first request")
	}
}

func (s *Server) serve() {
	defer close(s.done)
	s.raw.Serve()
	s.fs.announcer.close()
	s.fs.watchers.Wait()
}

// Dir is the real path of the mount point.
func (s *Server) Dir() string { return s.dir }

// Announcer tells the kernel of changes; it is the one of Options when that was set.
func (s *Server) Announcer() *Announcer { return s.fs.announcer }

// Done is closed when the mount is gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// Wait returns when the mount is gone and nothing of it runs any more.
func (s *Server) Wait() { <-s.done }

// Unmount removes the mount and waits for its end. Busy: something is open there or has its working
// directory there; nothing has changed.
func (s *Server) Unmount() error {
	if s.over() {
		return s.clean()
	}
	if err := unmount(s.dir, false); err != nil {
		if errors.Is(err, unix.EINVAL) { // no mount point any more: somebody else was first, and the end is on its way
			select {
			case <-s.done:
			case <-time.After(lastAnswers):
			}
		}
		if s.over() {
			return s.clean()
		}
		return err
	}
	select {
	case <-s.done:
	case <-time.After(lastAnswers):
		s.left.Store(true)
		s.Wait()
	}
	return nil
}

// lastAnswers is how long requests go on once the mount is out of the tree and nobody has anything
// open there: what still waits for the store then was asked by processes that have died, or by the
// kernel reading ahead for them.
const lastAnswers = 500 * time.Millisecond

// LazyUnmount takes the mount out of the tree at once. Who has something open there goes on until
// the last file is closed; only then the Server ends.
func (s *Server) LazyUnmount() error {
	if s.over() {
		return s.clean()
	}
	return unmount(s.dir, true)
}

// clean takes away what an aborted connection leaves in the tree. Another mount at the same place
// stays.
func (s *Server) clean() error {
	if !s.aborted.Load() {
		return nil
	}
	if m, ok := mountAt(s.dir); !ok || m.Connection != s.number.Load() {
		return nil
	}
	return unmount(s.dir, true)
}

// Abort breaks the connection: every request that waits, and all that come, fail with ENOTCONN.
// Written bytes that the library has are safe; what programs had not yet written is theirs. The
// mount point stays, stale, until it is unmounted.
func (s *Server) Abort() error {
	if s.over() {
		return nil
	}
	s.aborted.Store(true)
	err := MountInfo{Dir: s.dir, Connection: s.number.Load()}.Abort()
	if err != nil {
		s.aborted.Store(false)
	}
	return err
}

func (s *Server) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// gone tells whether answers reach nobody any more.
func (s *Server) gone() bool {
	n := s.number.Load()
	return s.aborted.Load() || s.left.Load() || n != 0 && connectionGone(n)
}

// connections is where the control file system of FUSE shows a folder for each connection.
const connections = "/sys/fs/fuse/connections"

// abortConnection breaks a connection by its number.
func abortConnection(n uint32) error {
	if n == 0 {
		return errors.New("the number of the connection is not known")
	}
	return os.WriteFile(filepath.Join(connections, strconv.FormatUint(uint64(n), 10), "abort"), []byte("1"), 0o200)
}

// forceAbort does the same where the control file system is not mounted, for root: a forced unmount
// breaks the connection before it finds that the mount is in use, which is seen to here.
func forceAbort(dir string) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Unmount(dir, unix.MNT_FORCE); err != unix.EBUSY {
		return err
	}
	return nil
}

// connectionGone tells whether the kernel has given up a connection. Where the control file system
// is not mounted it cannot be told, and the answer is no.
func connectionGone(n uint32) bool {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(connections, strconv.FormatUint(uint64(n), 10)), &st) != unix.ENOENT {
		return false
	}
	const fusectl = 0x65735543
	var fs unix.Statfs_t
	return unix.Statfs(connections, &fs) == nil && fs.Type == fusectl
}

// unmount removes the topmost mount at dir, by itself where it may and through fusermount3
// otherwise.
func unmount(dir string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(dir, flags)
	if err == unix.EPERM {
		err = helperUnmount(dir, lazy)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return remote.E("unmount", dir, remote.Busy, nil).
			WithHint("close what is open there (fuser -vm " + dir + "), or unmount lazily")
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return remote.E("unmount", dir, remote.NotExist, errors.New("nothing is mounted there"))
	case remote.KindOf(err) == remote.Other:
		return remote.E("unmount", dir, remote.Permission, err)
	}
	return err
}

func helperUnmount(dir string, lazy bool) error {
	helper := helperPath()
	if helper == "" {
		return remote.E("unmount", dir, remote.Unsupported, errors.New("fusermount3 is missing")).
			WithHint("install the package fuse3, or unmount as root")
	}
	how := "-u"
	if lazy {
		how = "-uz"
	}
	out, err := exec.Command(helper, how, "--", dir).CombinedOutput()
	if err == nil {
		return nil
	}
	// The helper's exit status says nothing more than that it did not work.
	said := strings.TrimSpace(string(out))
	if strings.Contains(said, unix.EBUSY.Error()) || strings.Contains(strings.ToLower(said), "busy") {
		return unix.EBUSY
	}
	return errors.New(said)
}
