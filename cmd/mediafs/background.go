package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
)

// readiness is what the daemon in the background tells the command that started it, through a pipe:
// why it waits, then once whether it is ready.
type readiness struct {
	Waiting string   `json:"waiting,omitempty"` // for another daemon's end; another line follows
	Opening string   `json:"opening,omitempty"` // how far it is; another line follows
	Notes   []string `json:"notes,omitempty"`
	Failed  string   `json:"failed,omitempty"`
	Code    int      `json:"code,omitempty"` // exit code that goes with Failed
	Foreign bool     `json:"foreign,omitempty"`
}

// spawn runs the mount in a process of its own session and returns when it is ready or has failed.
func (p *program) spawn(ctx context.Context, m *mounting, create bool) error {
	self, err := os.Executable()
	if err == nil {
		_, err = os.Stat(self)
	}
	if err != nil {
		self = "/proc/self/exe" // in another mount namespace its path may lead nowhere
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer read.Close()
	args := []string{"mount", "--ready-fd=3"}
	if create {
		args = append(args, "--create")
	}
	child := exec.Command(self, append(args, m.again...)...)
	child.Args[0] = "mediafs" // the program may have been called mount.mediafs, which reads its arguments differently
	child.ExtraFiles = []*os.File{write}
	// What fusermount3 has to say, and the runtime's last words, are on standard error, and nowhere
	// else.
	said, err := lastWords()
	if err != nil {
		return err
	}
	defer said.Close()
	child.Stderr = said
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = child.Start() // stdin and stdout are /dev/null
	write.Close()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	// Whoever interrupts the command does not want the mount: the daemon is told, and answers when
	// it has closed everything.
	ctx, uncatch := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer uncatch()
	stop := context.AfterFunc(
		ctx, func() { child.Process.Signal(syscall.SIGTERM) },
	) //nolint:errcheck // it may have ended
	defer stop()
	var r readiness
	lines := json.NewDecoder(io.LimitReader(read, 64<<20)) // a line a second, for days
	line := newOpeningLine(p.stderr)
	err = lines.Decode(&r)
	for ; err == nil && r.Waiting+r.Opening != ""; err = lines.Decode(&r) {
		if r.Opening != "" {
			line.show(r.Opening)
		} else {
			line.clear()
			p.errorf("mediafs: %s\n", printable(r.Waiting))
		}
		r = readiness{}
	}
	line.clear()
	if err != nil {
		child.Wait() //nolint:errcheck // how it died is in the log
		p.errorf("%s", printableLines(said, ""))
		return fmt.Errorf(
			"the daemon ended before the mount was ready (its log, if it came that far, is %s)", m.logPath,
		)
	}
	if r.Failed != "" {
		child.Wait() //nolint:errcheck // it said why
		p.errorf("%s", printableLines(said, r.Failed))
		failed := errors.New(r.Failed)
		if r.Foreign {
			failed = fmt.Errorf("%w%s", hidden{daemon.ErrForeign}, r.Failed)
		}
		return &exitError{r.Code, failed}
	}
	for _, note := range r.Notes {
		p.errorf("mediafs: %s\n", printable(note))
	}
	return child.Process.Release()
}

// lastWords is a file in memory.
func lastWords() (*os.File, error) {
	fd, err := unix.MemfdCreate("mediafs-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), "standard error"), nil
}

// printableLines is the beginning of a file, harmless to a terminal, but for what is in known
// already.
func printableLines(f *os.File, known string) string {
	b := make([]byte, 4<<10)
	n, _ := f.ReadAt(b, 0)
	var text strings.Builder
	for line := range strings.Lines(string(b[:n])) {
		if line = strings.TrimSpace(line); strings.TrimPrefix(line, "mediafs: ") != known {
			text.WriteString(printable(line) + "\n")
		}
	}
	return text.String()
}

// hidden keeps an error findable without its text, which the other process has put into its
// message.
type hidden struct{ error }

func (h hidden) Error() string { return "" }
func (h hidden) Unwrap() error { return h.error }

// background is the other side of spawn: the daemon's process.
func (p *program) background(ctx context.Context, m *mounting, readyFD int) error {
	pipe := os.NewFile(uintptr(readyFD), "ready pipe")
	if pipe == nil {
		return &exitError{exitUsage, fmt.Errorf("--ready-fd=%d is not open", readyFD)}
	}
	unix.CloseOnExec(readyFD) // fusermount3 must not hold it
	defer pipe.Close()
	var pen sync.Mutex
	send := func(r readiness) {
		pen.Lock()
		defer pen.Unlock()
		json.NewEncoder(pipe).Encode(r) //nolint:errcheck // the command was killed: the mount stays
	}
	tell := func(r readiness) {
		send(r)
		pipe.Close()
	}
	tellFailed := func(err error) error {
		tell(readiness{Failed: err.Error(), Code: exitCode(err), Foreign: errors.Is(err, daemon.ErrForeign)})
		return err
	}
	file := &logFile{path: m.logPath, limit: logLimit}
	m.options.LogFile, m.options.Claimed = m.logPath, file.begin
	m.options.Waiting = func(text string) { send(readiness{Waiting: text}) }
	m.opening = func(text string) { send(readiness{Opening: text}) }
	unix.Umask(0o077)
	if err := os.Chdir("/"); err != nil { // hold no folder of another file system
		return tellFailed(err)
	}
	log := newLog(file, m.settings.logLevel, m.settings.logFormat)
	ready := false
	err := p.serve(ctx, m, bool(m.settings.create), log, func(d *daemon.Daemon) {
		ready = true
		log.Infof("mediafs %s: mounted %s on %s", m.options.Version, d.Status().Store, m.options.Dir)
		tell(readiness{Notes: d.Notes()})
	})
	switch {
	case !ready && err != nil:
		log.Errorf("mount: %v", err)
		return tellFailed(err)
	case err == nil:
		log.Info("unmounted, everything closed")
	}
	return err
}
