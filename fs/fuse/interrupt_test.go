package fuse

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mediafs/remote"
)

// patience is how long a test waits for what must come; it ends sooner when it does.
const patience = 20 * time.Second

func within(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatal(what, "does not come")
	}
}

func newRequest(cancel <-chan struct{}, dying func(uint32) bool) (*request, *sync.WaitGroup) {
	wg := new(sync.WaitGroup)
	return &request{cancel: cancel, tid: 1, dying: dying, watchers: wg}, wg
}

func TestRequestThatDoesNotWait(t *testing.T) {
	r, _ := newRequest(nil, func(uint32) bool { t.Error("looked"); return true })
	if r.Err() != nil {
		t.Error(r.Err())
	}
	r.end()
	if r.Err() != context.Canceled {
		t.Error("an ended request is not cancelled")
	}
	within(t, "the end", r.Done())
}

func TestSignalsDoNotCancel(t *testing.T) {
	cancel := make(chan struct{})
	var looks atomic.Int32
	looked := make(chan struct{}, 100)
	r, wg := newRequest(cancel, func(uint32) bool {
		looks.Add(1)
		looked <- struct{}{}
		return false
	})
	child, stop := context.WithCancel(r)
	defer stop()
	close(cancel)
	for range 3 { // one at the start or the interrupt, and it goes on looking
		within(t, "a look", looked)
	}
	if r.Err() != nil || child.Err() != nil {
		t.Error("a signal that does not kill has cancelled")
	}
	r.end()
	within(t, "the end of what was derived", child.Done())
	wg.Wait()
}

func TestKillCancels(t *testing.T) {
	for _, interrupted := range []bool{true, false} { // whoever waits while being killed is found without an interrupt, too
		cancel := make(chan struct{})
		r, wg := newRequest(cancel, func(tid uint32) bool { return tid == 1 })
		if interrupted {
			close(cancel)
		}
		within(t, "cancellation", r.Done())
		if remote.KindOf(r.Err()) != remote.Interrupted {
			t.Error(r.Err())
		}
		r.end()
		wg.Wait()
	}
}

func TestKillAfterAnotherSignal(t *testing.T) {
	cancel := make(chan struct{})
	var dead atomic.Bool
	looked := make(chan struct{}, 100)
	r, wg := newRequest(cancel, func(uint32) bool {
		looked <- struct{}{}
		return dead.Load()
	})
	done := r.Done()
	close(cancel)
	within(t, "a look", looked)
	dead.Store(true) // the kernel does not interrupt a second time
	within(t, "cancellation", done)
	r.end()
	wg.Wait()
}

func TestKillPending(t *testing.T) {
	const head = "Name:\tx\nThreads:\t1\nSigQ:\t0/95000\n"
	for status, want := range map[string]bool{
		head + "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000100\n": false,
		head + "SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n":                            true,
		head + "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n":                            true,
		head + "SigPnd:\t0000000000400000\nShdPnd:\t0000000000000200\n":                            false,
		head + "SigPnd:\tnonsense\n":                                                               false,
		"":                                                                                         false,
	} {
		if got := killPending([]byte(status)); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
	if killed(uint32(os.Getpid())) || killed(0) || killed(1<<31) {
		t.Error("somebody who is not killed is")
	}
}

// A program that waits in a read gets on with it after a signal that it handles, and goes at once
// when it is killed. The read is a direct one: others wait for a page, which the kernel does
// without us.
func TestSignalsThroughMount(t *testing.T) {
	lib := newFake()
	reading := make(chan struct{}, 10)
	goOn := make(chan struct{}, 1)
	cancelled := make(chan struct{}, 10)
	lib.read = func(ctx context.Context) error {
		done := ctx.Done()
		reading <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-done:
			cancelled <- struct{}{}
			return remote.E("read", "", remote.Interrupted, ctx.Err())
		}
	}
	var looks atomic.Int32
	s := mountFake(t, lib, func(o *Options) {
		o.killed = func(tid uint32) bool {
			looks.Add(1)
			return killed(tid)
		}
	})
	dd := func() *exec.Cmd {
		var said strings.Builder
		c := exec.Command(
			"dd", "if="+filepath.Join(s.Dir(), "file"), "of=/dev/null", "bs=4096", "count=1", "iflag=direct",
		)
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		within(t, "a read", reading)
		return c
	}

	c := dd()
	for range 3 {
		before := looks.Load() // after the first signal it is looked at again and again
		if err := c.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(patience); looks.Load() == before && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	if looks.Load() < 3 {
		t.Errorf("the caller was looked at %d times", looks.Load())
	}
	goOn <- struct{}{}
	if err := c.Wait(); err != nil {
		t.Errorf("after signals that it handles: %v", err)
	}
	select {
	case <-cancelled:
		t.Error("a signal has cancelled a read")
	default:
	}

	c = dd()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "cancellation", cancelled)
	if err := c.Wait(); err == nil {
		t.Error("a killed program ended well")
	}
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
}
