package facts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A child is a process that runs ServeWorker. One goroutine of os/exec drains its standard error;
// end waits for it.
type child struct {
	cmd    *exec.Cmd
	stdin  *os.File // our ends
	stdout *os.File
	stderr *excerpt
	served int // media it answered

	mu    sync.Mutex
	ended bool // its number may be another process's soon
}

// startTimeout is how long a child may take to say hello, at least. It is a program starting, maybe
// on a machine that has much to do.
const startTimeout = 20 * time.Second

// startChild starts a child and waits for its hello. Errors are Unavailable: there is something
// wrong with the program, not with a media.
func startChild(ctx context.Context, opt Options) (*child, error) {
	c, err := launch(opt)
	if err != nil {
		return nil, remote.E("start the child that reads facts", opt.Command[0], remote.Unavailable, err)
	}
	defer context.AfterFunc(ctx, c.kill)()
	_ = c.stdout.SetReadDeadline(time.Now().Add(max(opt.Timeout, startTimeout)))
	kind, b, err := readFrame(c.stdout, func(byte) int { return 16 })
	if err == nil && (kind != frameHello || string(b) != strconv.Itoa(Version)) {
		err = fmt.Errorf("it says %q", b)
	}
	if err == nil { // not before: what a process has while it starts says nothing
		err = limit(c.cmd.Process.Pid, opt.Memory)
	}
	if err != nil {
		words := c.words()
		c.end()
		if words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		return nil, remote.E("start the child that reads facts", opt.Command[0], remote.Unavailable, err).
			WithHint("it must be this version of the program; was it replaced while it ran?")
	}
	return c, nil
}

// launch starts the process, in a group of its own, with pipes whose other ends nobody else has.
func launch(opt Options) (*child, error) {
	theirIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	stdout, theirOut, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	defer theirOut.Close()
	c := &child{stdin: stdin, stdout: stdout, stderr: &excerpt{room: 4 << 10}}
	c.cmd = exec.Command(opt.Command[0], opt.Command[1:]...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirIn, theirOut, c.stderr
	c.cmd.Dir = "/"
	// Go's collector works against the limit before the system does; the rest of the environment
	// may have secrets.
	c.cmd.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", opt.Memory/2), "GOMAXPROCS=2", "GOTRACEBACK=single"}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.WaitDelay = time.Second // for standard error, if a process of the child's has it
	if err := c.cmd.Start(); err != nil {
		stdin.Close()
		stdout.Close()
		return nil, err
	}
	return c, nil
}

// limit bounds what a process can take. It is set from outside, so that it does not depend on the
// process, before the process has a media to read.
func limit(pid int, memory int64) error {
	has, err := dataSize(pid)
	if err != nil {
		return err
	}
	limits := []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_DATA, uint64(has + memory)}, // memory that is written to, mapped or not yet
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, 0}, // no file grows
	}
	for _, l := range limits {
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil); err != nil {
			return err
		}
	}
	// The group is the process with all its threads; a process's number alone would be its first
	// thread.
	return unix.Setpriority(unix.PRIO_PGRP, pid, 10)
}

// dataSize is how much of what RLIMIT_DATA counts a process has: some of it is Go's runtime, and
// with the race detector most.
func dataSize(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte("VmData:"))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) == 0 {
		return 0, errors.New("/proc does not say how much memory it has")
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}

// kill ends the process and what it may have started. It may be called at any time, by anybody.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// end kills the process, waits for it, and frees what there is of it here.
func (c *child) end() {
	c.kill()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.stdin.Close()
	c.stdout.Close()
	_ = c.cmd.Wait()
}

// words are the first line that the child said on its standard error: why it ended, if it knows.
func (c *child) words() string {
	first, _, _ := strings.Cut(c.stderr.String(), "\n")
	return line(first, 200)
}
