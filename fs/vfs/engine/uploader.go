package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"mediafs/remote"
)

// An uploader uploads behind: what a close of another process, a failed close or an earlier mount
// left in the spool. It tries for ever, with growing pauses; what waits is in status.
type uploader struct {
	fs   *FS
	wake chan struct{}

	mu sync.Mutex
	// Guarded by mu:
	waiting map[*inode]*queued
	running int
}

type queued struct {
	due     time.Time
	pause   time.Duration // after the next failure
	running bool
	again   bool      // queued anew while it ran
	first   time.Time // of a row of closes that put it off, the first; zero: it is not put off
}

// longestRow is how often FlushDelay a row of closes may put off an upload.
const longestRow = 15

// parallelUploads is how many media are uploaded behind at once.
const parallelUploads = 4

func newUploader(fs *FS) *uploader {
	return &uploader{fs: fs, wake: make(chan struct{}, 1), waiting: make(map[*inode]*queued)}
}

// queue has an inode uploaded after a delay, or earlier when it is queued for earlier.
func (u *uploader) queue(ino *inode, delay time.Duration) {
	due := time.Now().Add(delay)
	u.mu.Lock()
	q := u.waiting[ino]
	if q == nil {
		u.fs.mu.Lock()
		ino.holds++ // released when its upload is done
		u.fs.mu.Unlock()
		q = &queued{due: due, pause: u.fs.opt.RetryInterval}
		u.waiting[ino] = q
	} else if q.running {
		q.due, q.again = due, true
	} else if due.Before(q.due) {
		q.due, q.first = due, time.Time{}
	}
	u.mu.Unlock()
	u.wakeUp()
}

// queueBehind has an inode uploaded FlushDelay after the last of a row of closes by processes that
// did not open it: each child of a shell makes one when it ends, and the file is not whole before
// the last.
func (u *uploader) queueBehind(ino *inode) {
	delay := u.fs.opt.FlushDelay
	now := time.Now()
	u.mu.Lock()
	q := u.waiting[ino]
	if q == nil || q.running {
		u.mu.Unlock()
		u.queue(ino, delay)
		u.mu.Lock()
		if q = u.waiting[ino]; q != nil && q.first.IsZero() {
			q.first = now
		}
		u.mu.Unlock()
		return
	}
	defer u.mu.Unlock()
	if end := q.first.Add(longestRow * delay); !q.first.IsZero() && now.Add(delay).Before(end) {
		q.due = now.Add(delay)
	}
}

// hasten has an inode uploaded now that is not queued yet or was put off. One whose upload failed
// keeps its pause.
func (u *uploader) hasten(ino *inode) {
	u.mu.Lock()
	q := u.waiting[ino]
	fails := q != nil && q.pause > u.fs.opt.RetryInterval
	u.mu.Unlock()
	if !fails {
		u.queue(ino, 0)
	}
}

func (u *uploader) wakeUp() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// loop starts uploads when they are due, until the file system closes.
func (u *uploader) loop() {
	defer u.fs.wg.Done()
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for u.fs.awaitLog() {
		for _, ino := range u.take() {
			running.Add(1)
			go func() {
				defer running.Done()
				u.upload(ino)
			}()
		}
		timer.Reset(u.untilDue())
		select {
		case <-u.fs.ctx.Done():
		case <-u.wake:
		case <-timer.C:
		}
	}
}

// take picks what is due, as many as may run.
func (u *uploader) take() (out []*inode) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for ino, q := range u.waiting {
		if u.running == parallelUploads {
			break
		}
		if !q.running && !q.due.After(now) {
			q.running = true
			u.running++
			out = append(out, ino)
		}
	}
	return out
}

func (u *uploader) untilDue() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := time.Minute
	if u.running == parallelUploads {
		return d
	}
	for _, q := range u.waiting {
		if !q.running {
			d = min(d, max(time.Until(q.due), 0))
		}
	}
	return d
}

func (u *uploader) upload(ino *inode) {
	err := u.fs.uploadBehind(ino)
	u.mu.Lock()
	q := u.waiting[ino]
	u.running--
	q.running = false
	if err == nil && q.again {
		q.again = false
		u.mu.Unlock()
		u.wakeUp()
		return
	}
	q.again = false
	if errors.Is(err, errCramped) {
		q.due = time.Now().Add(u.fs.opt.RetryInterval)
		u.mu.Unlock()
		u.wakeUp()
		return
	}
	if err != nil {
		q.due = time.Now().Add(q.pause)
		q.pause = min(2*q.pause, time.Minute)
		u.mu.Unlock()
		if u.fs.ctx.Err() == nil {
			u.fs.log.WithError(err).
				WithField("node", ino.id).
				Warn("a file was not uploaded; its bytes stay in the spool and it will be tried again")
		}
		u.wakeUp()
		return
	}
	delete(u.waiting, ino)
	u.mu.Unlock()
	u.fs.settle(ino)
	u.fs.release(ino)
	u.wakeUp()
}

// errCramped: the writer of a file waits for room, and sends it himself when nobody else makes any.
var errCramped = errors.New("its writer waits for room")

// uploadBehind is upload for the uploader, which waits for no writer who waits for room: it may be
// others' uploads that make that.
func (fs *FS) uploadBehind(ino *inode) error {
	look := time.NewTicker(min(fs.opt.RetryInterval, 100*time.Millisecond))
	defer look.Stop()
	for !ino.tryLock() {
		if ino.isCramped() {
			return errCramped
		}
		select {
		case ino.up <- struct{}{}:
			defer ino.unlock()
			return fs.uploadHeld(fs.ctx, ino, true)
		case <-look.C:
		case <-fs.ctx.Done():
			return remote.E("wait for an upload", "", remote.Unavailable, errClosing)
		}
	}
	defer ino.unlock()
	return fs.uploadHeld(fs.ctx, ino, true)
}

// flush uploads everything that is dirty now and returns when all of it was tried.
func (u *uploader) flush(ctx context.Context) error {
	var dirty []*inode
	for _, ino := range u.fs.all() {
		if ino.isDirty() {
			dirty = append(dirty, ino)
		} else {
			u.fs.release(ino)
		}
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		slot = make(chan struct{}, parallelUploads)
	)
	for _, ino := range dirty {
		slot <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-slot; wg.Done() }()
			err := u.fs.uploadUntil(ctx, ino)
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				u.queue(ino, u.fs.opt.RetryInterval)
			} else {
				u.fs.settle(ino)
			}
			u.fs.release(ino)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// uploadUntil tries to upload an inode until ctx ends.
func (fs *FS) uploadUntil(ctx context.Context, ino *inode) error {
	for {
		err := fs.uploadWithin(ctx, ino, true)
		if k := remote.KindOf(
			err,
		); ctx.Err() != nil || fs.ctx.Err() != nil ||
			k != remote.Unavailable && k != remote.Throttled {
			return err
		}
	}
}

// all lists the inodes that this process knows, also those that only wait for their upload; each is
// held.
func (fs *FS) all() []*inode {
	fs.uploads.mu.Lock()
	defer fs.uploads.mu.Unlock()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	set := make(map[*inode]bool, len(fs.inodes))
	for _, ino := range fs.inodes {
		set[ino] = true
	}
	for ino := range fs.uploads.waiting {
		set[ino] = true
	}
	list := make([]*inode, 0, len(set))
	for ino := range set {
		ino.holds++
		list = append(list, ino)
	}
	return list
}
