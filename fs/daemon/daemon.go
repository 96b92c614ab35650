package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/fuse"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// Marks of errors: what errors.Is finds beside the kind.
var (
	// ErrMountPoint: the folder cannot be mounted on.
	ErrMountPoint = errors.New("mount point")
	// ErrForeign: the bucket or folder holds other objects and no library. Nothing was written;
	// Options.Create makes a library there all the same.
	ErrForeign = errors.New("other objects and no library")
	// ErrPending: not everything reached the store before Close. It stays in the catalog directory
	// and goes on with the next mount.
	ErrPending = errors.New("not everything is in the store")
)

// marked is an error with one of these marks, which its text does not show.
type marked struct {
	error
	mark error
}

func (m marked) Unwrap() []error { return []error{m.error, m.mark} }

// library is what stands between the kernel and the store, as far as the daemon drives it.
type library interface {
	// describe fills in what the library knows of its state.
	describe(*control.Status)
	// flush returns when everything written and changed before the call is in the store.
	flush(ctx context.Context) error
	// media gives the library to requests about media; nil: it knows nothing of media.
	media() vfs.MediaLibrary
	// close waits for uploads until ctx ends, then closes everything in order, the store last.
	adjust(a engine.Adjustment)
	close(ctx context.Context) error
}

// kernel is the mount: a *fuse.Server.
type kernel interface {
	Done() <-chan struct{} // closed when the mount is gone
	Hung() <-chan struct{} // closed when a request is never answered
	Unmount() error        // Busy: nothing has changed
	LazyUnmount() error
	Remount(words []string) error // Busy: files are open for writing, and nothing has changed
	ReadOnly() bool
	SetHangTimeout(d time.Duration)
	Abort() error
}

// A Daemon is one mounted library. Its parts are opened by Open and closed by Close, nothing else;
// it ends on its own when somebody unmounts: Done tells.
type Daemon struct {
	opt     Options
	started time.Time
	notes   []string

	lock    *control.Lock
	kernel  kernel
	control *control.Server

	leave   atomic.Bool   // close without waiting for uploads
	away    atomic.Bool   // the mount is out of the tree, and somebody may still have files open in it
	stopped chan struct{} // closed when Stop has taken the mount away
	stuck   atomic.Bool   // a part did not end and was left behind: only the end of the process frees what it holds
	stop    sync.Once
	done    chan struct{} // closed when the mount is gone
	closing sync.Once
	ending  atomic.Bool   // Close runs
	ended   chan struct{} // closed when the library is closed: what is pending now stays for the next mount
	failed  error         // of Close

	cacheSize   atomic.Int64 // of Options, until Remount
	stopTimeout atomic.Int64 // the same, a time.Duration

	mu    sync.RWMutex
	lib   library        // guarded by mu; nil once it is closed
	deaf  bool           // guarded by mu: requests about media are not taken any more
	asked sync.WaitGroup // requests about media under way; one begins under mu, while deaf is false

	open context.Context // ends with deaf: requests about media end
	hush context.CancelFunc
}

// start gives an open library its mount, socket and note in the list of mounts. It owns lock and
// lib, also when it fails.
func start(
	opt Options, lock *control.Lock, lib library, mount func() (kernel, error), notes []string,
) (*Daemon, error) {
	d := &Daemon{
		opt: opt, started: time.Now(), notes: notes, lock: lock, lib: lib,
		stopped: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}),
	}
	d.cacheSize.Store(opt.CacheSize)
	d.stopTimeout.Store(int64(opt.StopTimeout))
	d.open, d.hush = context.WithCancel(context.Background())
	fail := func(err error) (*Daemon, error) {
		d.leave.Store(true)
		return nil, errors.Join(err, d.Close(context.Background()))
	}
	var err error
	if d.kernel, err = mount(); err != nil {
		return fail(err)
	}
	go d.watch()
	if d.control, err = control.Listen(opt.CatalogDir, d); err != nil {
		return fail(err)
	}
	if opt.Registry.Dir != "" {
		err := opt.Registry.add(
			Mount{
				Dir:        opt.Dir,
				PID:        os.Getpid(),
				CatalogDir: opt.CatalogDir,
				CacheDir:   opt.CacheDir,
				Store:      opt.Store,
				Started:    d.started,
			},
		)
		if err != nil {
			return fail(err)
		}
	}
	return d, nil
}

// watch closes done when the mount is gone, Stop has detached it, or a request hangs. It ends with
// the mount, which Close ends at the latest.
func (d *Daemon) watch() {
	select {
	case <-d.kernel.Done():
	case <-d.stopped:
	case <-d.kernel.Hung():
	}
	select {
	case <-d.kernel.Hung():
		d.leave.Store(true) // whatever holds up the request would hold up uploads as well
	default:
	}
	close(d.done)
}

// Done is closed when the mount is gone: somebody unmounted, Stop did, or the library does not
// answer any more. The caller then calls Close.
func (d *Daemon) Done() <-chan struct{} { return d.done }

// Notes are lines for whoever asked for the mount: a new library was made, a dead mount was
// removed.
func (d *Daemon) Notes() []string { return d.notes }

// Status tells how the library stands, from memory.
func (d *Daemon) Status() control.Status {
	s := control.Status{
		Mount: d.opt.Dir, Store: d.opt.Store, PID: os.Getpid(), Version: d.opt.Version, Started: d.started,
		CatalogDir: d.opt.CatalogDir, CacheDir: d.opt.CacheDir, Running: true, ReadOnly: d.readOnly(),
	}
	s.Cache.Limit = d.cacheSize.Load()
	select {
	case <-d.done:
		s.Ending = true
	default:
		s.Ending = d.ending.Load()
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.lib != nil {
		d.lib.describe(&s)
	}
	return s
}

// Flush returns when everything written and changed before the call is in the store.
func (d *Daemon) Flush(ctx context.Context) error {
	d.mu.RLock()
	lib := d.lib
	d.mu.RUnlock()
	if lib == nil {
		return remote.E("flush", d.opt.Dir, remote.Interrupted, errors.New("the library is closed"))
	}
	return lib.flush(ctx)
}

// Media carries out a request about media. Interrupted: the library is being closed.
func (d *Daemon) Media(
	ctx context.Context, c vfs.Caller, verb string, r *control.MediaRequest, emit func(control.MediaAnswer) error,
) error {
	d.mu.RLock()
	if d.lib == nil || d.deaf {
		d.mu.RUnlock()
		return remote.E("ask about media", d.opt.Dir, remote.Interrupted, errors.New("the library is closed"))
	}
	if control.Changes(verb) && d.readOnly() {
		d.mu.RUnlock()
		return errReadOnly("change media", d.opt.Dir)
	}
	lib := d.lib.media()
	d.asked.Add(1)
	d.mu.RUnlock()
	defer d.asked.Done()
	if lib == nil {
		return remote.E(
			"ask about media", d.opt.Dir, remote.Unsupported, errors.New("this library knows nothing of media"),
		)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.open, func() { cancel(errors.New("the daemon is ending")) })()
	return (&control.Media{Library: lib, Now: time.Now}).Answer(ctx, c, verb, r, emit)
}

// hushed ends the requests about media and takes no more.
func (d *Daemon) hushed() error {
	d.mu.Lock()
	d.deaf = true
	d.mu.Unlock()
	d.hush()
	d.asked.Wait()
	return nil
}

// Stop takes the mount away and waits for the library's end, which is the work of whoever waits for
// Done and calls Close. Busy: files are open, and force was not given; nothing has changed. With
// force the mount leaves the tree at once, whoever still has a file open there loses it, and
// uploads are left for the next mount.
func (d *Daemon) Stop(force bool) error {
	d.leave.Store(force) // before the mount is gone: Close runs from then on
	err := d.within("unmount", d.opt.CloseTimeout, d.unmount)
	if errors.Is(err, remote.Busy) {
		if err = remote.Rehint(
			err, "close the files that are open there (fuser -vm "+d.opt.Dir+" shows them), or --force",
		); force {
			err = d.detach()
		}
	}
	if err != nil && !errors.Is(err, errLeft) { // Close ends what does not end by itself
		d.leave.Store(false)
		return err
	}
	d.stop.Do(func() { close(d.stopped) })
	<-d.ended
	return nil
}

// unmount returns when the mount is gone. The system call may go on after that: the kernel lets its
// pages of gigabytes of files go in it, and a library that is closed meanwhile would have nobody to
// tell. It ends by itself.
func (d *Daemon) unmount() error {
	result := make(chan error, 1)
	go func() { result <- d.unmountIdle() }()
	select {
	case err := <-result:
		return err
	case <-d.kernel.Done():
		return nil
	}
}

// unmountIdle asks the kernel, and asks again for a moment while it says busy: it closes the files
// of a program that has ended a little later, and file managers look into new mounts. With force
// there is nothing to wait for.
func (d *Daemon) unmountIdle() error {
	for end := time.Now().Add(d.opt.BusyTimeout); ; time.Sleep(min(20*time.Millisecond, d.opt.BusyTimeout)) {
		err := d.kernel.Unmount()
		if !errors.Is(err, remote.Busy) || d.leave.Load() || time.Now().After(end) {
			return err
		}
	}
}

// Abandon takes the mount away and leaves everything else as it is, for a process that ends at
// once. Nothing written is lost.
func (d *Daemon) Abandon() {
	if err := d.detach(); err != nil {
		d.opt.Log.Warn(err)
	}
}

func (d *Daemon) detach() error {
	err := d.kernel.LazyUnmount()
	if err == nil {
		d.away.Store(true)
	}
	return err
}

// Close uploads what is pending for at most Options.StopTimeout, unmounts, and closes every part in
// order: the kernel lets go first, so that nobody asks a library that is being closed; the lock on
// the catalog directory goes last, so that the next daemon finds everything closed. The errors of
// all steps are joined. It always ends: what does not close within Options.CloseTimeout is left
// behind, and keeps the lock until this process ends, which should be at once. ErrPending: the rest
// is kept for the next mount.
func (d *Daemon) Close(ctx context.Context) error {
	d.ending.Store(true)
	d.closing.Do(func() { d.failed = d.close(ctx) })
	return d.failed
}

func (d *Daemon) close(ctx context.Context) error {
	patience := time.Duration(d.stopTimeout.Load())
	if d.leave.Load() {
		patience = 0
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var errs []error
	note := func(err error) { errs = append(errs, err) }

	if patience > 0 {
		// While the mount is still there, so that a process that waits in close(2) gets its answer.
		if err := d.within("flush", patience+d.opt.CloseTimeout, func() error { return d.lib.flush(ctx) }); err != nil {
			d.opt.Log.WithError(err).Warn("uploads before the unmount")
		}
	}
	note(d.closeKernel())
	if err := d.within("end of requests about media", d.opt.CloseTimeout, d.hushed); err != nil {
		d.opt.Log.WithError(err).Warn("requests about media")
	}
	var last control.Status
	err := d.within("close", patience+d.opt.CloseTimeout, func() error {
		defer d.lib.describe(&last)
		return d.lib.close(ctx)
	})
	if errors.Is(err, errLeft) {
		d.stuck.Store(true)
		for _, g := range fuse.Goroutines() {
			d.opt.Log.Error(g)
		}
		note(
			remote.E(
				"close",
				d.opt.Dir,
				remote.Unavailable,
				fmt.Errorf(
					"%w: the library does not close; what it has written is kept in %s", ErrPending, d.opt.CatalogDir,
				),
			),
		)
	} else if !last.Pending.None() {
		note(
			remote.E(
				"close",
				d.opt.Dir,
				remote.Unavailable,
				fmt.Errorf("%w: %d files (%d bytes) and %d changes are kept in %s",
					ErrPending, last.Pending.Files, last.Pending.Bytes, last.Pending.Operations, d.opt.CatalogDir),
			),
		)
	} else {
		note(err)
	}
	close(d.ended)
	if d.opt.Registry.Dir != "" { // noted until now, so that status and umount find a daemon that finishes
		note(d.opt.Registry.remove(d.opt.Dir, os.Getpid()))
	}
	if d.control != nil {
		note(d.control.Close())
	}
	if d.stuck.Load() {
		return errors.Join(errs...) // somebody may still be at the library, and at the files of the catalog directory
	}
	d.mu.Lock()
	d.lib = nil
	d.mu.Unlock()
	note(d.lock.Close())
	return errors.Join(errs...)
}

// errLeft is why a step of closing has no result.
var errLeft = errors.New("it does not end and is left behind")

// within runs a step of closing. After limit it is left behind with its goroutine: errLeft. Nothing
// but the end of the process helps then.
func (d *Daemon) within(what string, limit time.Duration, step func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- step() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		d.opt.Log.Errorf("%s has not ended for %s: it is left behind", what, limit)
		return remote.E(what, d.opt.Dir, remote.Unavailable, errLeft)
	}
}

// closeKernel makes the kernel let go: nicely when nothing is open, else by taking the mount out of
// the tree and breaking the connection. Written bytes are in the spool by then, whoever wrote them.
func (d *Daemon) closeKernel() error {
	if d.kernel == nil {
		return nil
	}
	var err error
	if !d.away.Load() {
		if err = d.within("unmount", d.opt.CloseTimeout, d.unmount); errors.Is(err, remote.Busy) {
			d.opt.Log.Warn("files are open: they are cut off")
			err = d.detach()
		}
	}
	select {
	case <-d.kernel.Done():
		return nil // whatever unmounting said: it is gone
	default:
	}
	if abortErr := d.kernel.Abort(); abortErr != nil {
		d.opt.Log.WithError(abortErr).Warn("the kernel lets go when this process ends")
		return err
	}
	select {
	case <-d.kernel.Done():
	case <-time.After(d.opt.CloseTimeout):
		d.opt.Log.Warn("a request does not end: the kernel lets go when this process ends")
	}
	return err
}
