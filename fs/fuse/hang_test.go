package fuse

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// stuck is a read that nothing ends but the test.
func stuck(l *fakeLibrary) (reading chan struct{}, goOn func()) {
	reading = make(chan struct{}, 10)
	wait := make(chan struct{})
	l.read = func(context.Context) error {
		reading <- struct{}{}
		<-wait
		return nil
	}
	return reading, sync.OnceFunc(func() { close(wait) })
}

func readFile(t *testing.T, dir string) (failed chan error) {
	t.Helper()
	failed = make(chan error, 1)
	c := exec.Command("dd", "if="+filepath.Join(dir, "file"), "of=/dev/null", "bs=4096", "count=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { failed <- c.Wait() }()
	return failed
}

// A request that the library never answers does not hang its caller for ever, and the log says
// where it hangs.
func TestHungRequest(t *testing.T) {
	lib := newFake()
	reading, goOn := stuck(lib)
	defer goOn()
	var text bytes.Buffer
	log := logrus.New()
	log.SetOutput(&text) // guarded by the logger's lock
	s := mountFake(t, lib, func(o *Options) {
		o.HangTimeout = 200 * time.Millisecond
		o.Received = func() int64 { return 7 } // something came once, nothing comes now
		o.Log = logrus.NewEntry(log)
	})
	failed := readFile(t, s.Dir())
	within(t, "the read", reading)
	within(t, "the end of waiting", s.Hung())
	if err := <-failed; err == nil {
		t.Error("the read worked")
	}
	log.SetOutput(discard().Logger.Out)
	if said := text.String(); !strings.Contains(said, "a request has had no answer for 200ms") ||
		!strings.Contains(said, "stuck.func") {
		t.Errorf("logged: %s", said)
	}
	if s.over() {
		t.Error("the server ended while a request was stuck")
	}
	goOn()
	within(t, "the end", s.Done())
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
	if m, ok := mountAt(s.Dir()); ok {
		t.Errorf("what was cut off stays in the tree: %+v", m)
	}
}

// While bytes come from the store, a read may take as long as it likes.
func TestSlowReadIsNotHung(t *testing.T) {
	const limit = 50 * time.Millisecond
	lib := newFake()
	reading, goOn := stuck(lib)
	defer goOn()
	var bytes, looks atomic.Int64
	s := mountFake(t, lib, func(o *Options) {
		o.HangTimeout = limit
		o.Received = func() int64 { looks.Add(1); return bytes.Add(1) }
	})
	failed := readFile(t, s.Dir())
	within(t, "the read", reading)
	for begin, from := time.Now(), looks.Load(); looks.Load() < from+20 && time.Since(begin) < patience; { // 20 looks are more than twice the limit
		time.Sleep(time.Millisecond)
	}
	select {
	case <-s.Hung():
		t.Error("a slow read was taken for stuck")
	default:
	}
	goOn()
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// What was answered is waited for no more, and only reads live on bytes.
func TestRoll(t *testing.T) {
	var l roll
	now := time.Now()
	if r, _ := l.oldest(now); r != nil {
		t.Errorf("nobody asked, and %+v waits", r)
	}
	read := &request{requests: &l, begun: now.Add(-3 * time.Hour), opcode: opRead}
	write := &request{requests: &l, begun: now.Add(-time.Hour), opcode: opRead + 1}
	l.enter(read)
	l.enter(write)
	if r, since := l.oldest(time.Time{}); r != read || since != read.begun {
		t.Errorf("%+v since %v, want the read", r, since)
	}
	if r, _ := l.oldest(now); r != write {
		t.Errorf("%+v, want the write: bytes have come for the read", r)
	}
	write.end()
	if r, since := l.oldest(now); r != read || since != now {
		t.Errorf("%+v since %v, want the read since bytes came", r, since)
	}
	read.end()
	if r, _ := l.oldest(now); r != nil {
		t.Errorf("%+v was answered", r)
	}
}

// A read that nobody waits for any more does not keep an unmounted server.
func TestUnmountLeavesReadsOfTheDead(t *testing.T) {
	lib := newFake()
	reading := make(chan struct{}, 10)
	lib.read = func(ctx context.Context) error {
		done := ctx.Done()
		reading <- struct{}{}
		<-done
		return ctx.Err()
	}
	s := mountFake(t, lib)
	c := exec.Command("dd", "if="+filepath.Join(s.Dir(), "file"), "of=/dev/null", "bs=4096", "count=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "the read", reading)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		t.Error("a killed program ended well")
	}
	unmounted := make(chan struct{})
	go func() {
		defer close(unmounted)
		if err := s.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	within(t, "the end of unmounting", unmounted)
}
