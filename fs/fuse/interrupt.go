package fuse

import (
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"mediafs/fs/vfs"
)

// How a waiting request looks for SIGKILL. A wait that is over sooner than firstLook costs no look
// at /proc. After an interrupt the looks go from shortLook, doubling, to longLook: the kernel tells
// of the first signal only, and the one that kills may come later.
const (
	firstLook = 2 * time.Millisecond
	shortLook = 5 * time.Millisecond
	longLook  = time.Second
)

// A request is the context of one operation. It ends when the operation does, and before that only
// when the caller is being killed or the connection is gone: any other signal must not break a
// system call on a file, and the Go runtime sends them all the time. The caller is watched from the
// first call of Done on, which is when somebody begins to wait.
type request struct {
	cancel   <-chan struct{} // closed by go-fuse when the kernel interrupts, or at the end of the connection
	tid      uint32
	caller   vfs.Caller
	dying    func(tid uint32) bool
	watchers *sync.WaitGroup

	requests *roll // that it is on until its end; nil: none
	begun    time.Time
	opcode   uint32
	node     uint64

	mu   sync.Mutex
	err  error
	done chan struct{} // closed when err is set; nil before the first Done
	over chan struct{} // closed by end; nil before the first Done
}

func (r *request) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value tells who asks.
func (r *request) Value(key any) any {
	if key == vfs.CallerKey() {
		return r.caller
	}
	return nil
}

func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.err != nil {
			close(r.done)
			return r.done
		}
		r.over = make(chan struct{})
		r.watchers.Go(r.watch)
	}
	return r.done
}

func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// end is called when the operation has its answer.
func (r *request) end() {
	if r.requests != nil {
		r.requests.leave(r)
	}
	r.mu.Lock()
	if r.over != nil {
		close(r.over)
	}
	r.mu.Unlock()
	r.stop()
}

func (r *request) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	r.err = context.Canceled
	if r.done != nil {
		close(r.done)
	}
}

func (r *request) watch() {
	look := time.NewTimer(firstLook)
	defer look.Stop()
	cancel, interval := r.cancel, time.Duration(0)
	for {
		select {
		case <-r.over:
			return
		case <-cancel:
			cancel, interval = nil, shortLook
		case <-look.C:
		}
		if r.dying(r.tid) {
			r.stop()
			return
		}
		if interval > 0 {
			look.Reset(interval)
			interval = min(2*interval, longLook)
		}
	}
}

// killed tells whether SIGKILL is pending for a thread or its thread group. A caller that cannot be
// seen (another pid namespace, a thread that is gone) is not killed.
func killed(tid uint32) bool {
	if tid == 0 {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	return err == nil && killPending(status)
}

// killPending reads the masks of pending signals out of /proc/<id>/status. The one of the thread
// group keeps SIGKILL until the process is gone, so that also the closing of its files is seen to
// be its end.
func killPending(status []byte) bool {
	const sigkill = 1 << 8
	for _, field := range []string{"ShdPnd", "SigPnd"} {
		mask, err := strconv.ParseUint(string(statusField(status, field)), 16, 64)
		if err == nil && mask&sigkill != 0 {
			return true
		}
	}
	return false
}
