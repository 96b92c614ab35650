package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/transfer"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// SocketName is the control socket in the catalog directory. The directory (0700) and the socket
// (0600) are this user's alone, and either end asks the kernel who the other is.
const SocketName = "control.sock"

// reportEvery is how often a flush or stop says how it stands: often enough for a progress bar, and
// too seldom to cost anything.
const reportEvery = 250 * time.Millisecond

// A Daemon is what the socket drives.
type Daemon interface {
	Status() Status
	// Flush returns when all that was written and changed before the call is in the store.
	Flush(ctx context.Context) error
	// Stop unmounts. Busy: files are open there; with force the mount is taken away all the same.
	// It returns when the library is closed: what Status then says is pending stays so.
	Stop(force bool) error
	// Remount changes flags and limits.
	Remount(ctx context.Context, r Remount) error
	// Media carries out a request about media; emit is called for each line of the answer, from one
	// goroutine at a time.
	Media(ctx context.Context, c vfs.Caller, verb string, r *MediaRequest, emit func(MediaAnswer) error) error
	// ImportObjects and ImportRecords apply batches, as transfer has them.
	ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error)
	ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error)
}

// A Server answers at the control socket of one catalog directory.
type Server struct {
	dir      string
	target   Daemon
	server   *http.Server
	listener net.Listener
	done     chan struct{} // closed when serve has returned
	ending   chan struct{} // closed by Close: streams say their last line
}

// Listen serves the control socket of the catalog directory dir, whose lock the caller holds: a
// socket that lies there is a dead daemon's.
func Listen(dir string, target Daemon) (*Server, error) {
	fail := func(err error) (*Server, error) {
		return nil, remote.OSError("listen on the control socket", filepath.Join(dir, SocketName), err)
	}
	if err := os.Remove(filepath.Join(dir, SocketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(err)
	}
	var l *net.UnixListener
	err := throughDir(dir, func(path string) error {
		var err error
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false) // its name holds only while throughDir runs; close removes it
	if err := os.Chmod(filepath.Join(dir, SocketName), 0o600); err != nil {
		l.Close()
		return fail(err)
	}
	s := &Server{
		dir:      dir,
		target:   target,
		listener: ownPeers{l},
		done:     make(chan struct{}),
		ending:   make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+protocol+"/status", s.status)
	mux.HandleFunc("POST "+protocol+"/flush", s.flush)
	mux.HandleFunc("POST "+protocol+"/stop", s.stop)
	mux.HandleFunc("POST "+protocol+"/remount", s.remount)
	mux.HandleFunc("POST "+protocol+"/media/{verb}", s.media)
	mux.HandleFunc("POST "+protocol+"/import", s.importObjects)
	mux.HandleFunc("POST "+protocol+"/records", s.importRecords)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ConnContext: withPeer}
	go func() {
		defer close(s.done)
		s.server.Serve(s.listener) //nolint:errcheck // always ErrServerClosed, or the listener broke and close says so
	}()
	return s, nil
}

// Close waits a moment for answers under way and removes the socket.
func (s *Server) Close() error {
	close(s.ending)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	<-s.done
	return errors.Join(err, os.Remove(filepath.Join(s.dir, SocketName)))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.target.Status()) //nolint:errcheck // who asked has gone
}

func (s *Server) flush(w http.ResponseWriter, r *http.Request) {
	s.stream(w, "upload", func() error { return s.target.Flush(r.Context()) })
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	force, _ := strconv.ParseBool(r.URL.Query().Get("force"))
	s.stream(w, "unmount", func() error { return s.target.Stop(force) })
}

// stream runs work and writes one Report a line until it is over.
func (s *Server) stream(w http.ResponseWriter, phase string, work func() error) {
	w.Header().Set("Content-Type", "application/jsonl")
	out, flusher := json.NewEncoder(w), http.NewResponseController(w)
	say := func(r Report) {
		r.Phase, r.Pending = phase, s.target.Status().Pending
		if out.Encode(r) == nil {
			flusher.Flush() //nolint:errcheck // who asked has gone; work sees it by its context
		}
	}
	result := make(chan error, 1)
	go func() { result <- work() }()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	say(Report{})
	for {
		select {
		case err := <-result:
			say(Report{Failed: failureOf(err), Done: err == nil})
			return
		case <-s.ending:
			// The library is being closed under a flush: what the outcome is, close itself finds
			// out.
			select {
			case err := <-result:
				say(Report{Failed: failureOf(err), Done: err == nil})
			case <-time.After(time.Second):
				say(
					Report{
						Failed: failureOf(
							remote.E("flush", "", remote.Interrupted, errors.New("the daemon is ending")),
						),
					},
				)
			}
			return
		case <-tick.C:
			say(Report{})
		}
	}
}

func (s *Server) remount(w http.ResponseWriter, req *http.Request) {
	var r Remount
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 1<<20)).Decode(&r)
	s.stream(w, "remount", func() error {
		if err != nil {
			return remote.E("remount", "", remote.Invalid, err)
		}
		return s.target.Remount(req.Context(), r)
	})
}

// mediaRequestLimit bounds a request about media, in bytes: a thousand paths of the longest kind.
const mediaRequestLimit = 16 << 20

// Lines of an answer leave at once while there are few; of many, those of flushAfter together.
const (
	flushEach  = 256
	flushAfter = 100 * time.Millisecond
)

// media answers with one MediaAnswer a line.
func (s *Server) media(w http.ResponseWriter, r *http.Request) {
	verb := r.PathValue("verb")
	if handlers[verb] == nil {
		http.NotFound(w, r)
		return
	}
	caller, ok := r.Context().Value(peerKey{}).(vfs.Caller)
	if !ok {
		http.Error(w, "who asks is not known", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out, flusher := json.NewEncoder(w), http.NewResponseController(w)
	lines, flushed := 0, time.Now()
	say := func(a MediaAnswer) error {
		if err := out.Encode(a); err != nil {
			return err
		}
		lines++
		if now := time.Now(); lines <= flushEach || now.Sub(flushed) >= flushAfter {
			flushed = now
			return flusher.Flush()
		}
		return nil
	}
	var req MediaRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mediaRequestLimit)).Decode(&req)
	if err != nil {
		err = remote.E("read the request", verb, remote.Invalid, err)
	} else {
		err = s.target.Media(r.Context(), caller, verb, &req, say)
	}
	say(MediaAnswer{End: true, Failed: failureOf(err)}) //nolint:errcheck // the caller has gone
}

// ownPeers lets in only this user and root.
type ownPeers struct{ *net.UnixListener }

func (l ownPeers) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if peer, err := peerOf(c); err == nil && (int(peer.Uid) == os.Geteuid() || peer.Uid == 0) {
			return c, nil
		}
		c.Close()
	}
}

// peerOf asks the kernel who is at the other end.
func peerOf(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, credErr
}

type peerKey struct{}

// withPeer tells requests who is at the other end of their connection. Media are changed in that
// user's name.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*net.UnixConn); ok {
		if peer, err := peerOf(u); err == nil {
			return context.WithValue(ctx, peerKey{}, vfs.Caller{UID: peer.Uid, GID: peer.Gid, PID: uint32(peer.Pid)})
		}
	}
	return ctx
}

// throughDir calls use with a path of the control socket that is short whatever dir is: the kernel
// takes 107 bytes, and catalog directories may lie deep.
func throughDir(dir string, use func(path string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return use("/proc/self/fd/" + strconv.Itoa(fd) + "/" + SocketName)
}
