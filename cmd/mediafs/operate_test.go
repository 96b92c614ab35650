package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
	"mediafs/fs/vfs/engine"
)

const (
	// runAsOperator as the value of runAsProgram makes the test binary a program that does one
	// thing in a mount: what hangs there hangs that process.
	runAsOperator = "operator"

	// testLimits sets the time limits of a daemon that no flag has, such as
	// "answer=2s,stall=1s,read=2s,retry=100ms,hang=3s,close=2s".
	testLimits = "MEDIAFS_TEST_LIMITS"

	// testChunk is the chunk of an upload whose size is known, in bytes, where testLimits is set:
	// the smallest that S3 takes.
	testChunk = 5 << 20
)

func init() {
	if os.Getenv(runAsProgram) == runAsOperator {
		if err := operate(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	limits := map[string]time.Duration{}
	for limit := range strings.SplitSeq(os.Getenv(testLimits), ",") {
		name, text, _ := strings.Cut(limit, "=")
		limits[name], _ = time.ParseDuration(text)
	}
	if os.Getenv(testLimits) == "" {
		return
	}
	before := tune
	tune = func(o *daemon.Options) {
		if before != nil {
			before(o)
		}
		o.AnswerTimeout, o.StallTimeout, o.ReadTimeout = limits["answer"], limits["stall"], limits["read"]
		o.HangTimeout, o.CloseTimeout, o.ChunkSize = limits["hang"], limits["close"], testChunk
		last := o.Tune
		o.Tune = func(v *engine.Options) {
			if last != nil {
				last(v)
			}
			v.RetryInterval, v.Catalog.RetryInterval = limits["retry"], limits["retry"]
		}
	}
}

// operate is the program. What it has done it says on standard output, a line a step.
func operate(what string, args []string) error {
	switch what {
	case "edit": // FILE OFFSET TEXT TIMES
		f, err := os.OpenFile(args[0], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		off, err := strconv.ParseInt(args[1], 10, 64)
		times, terr := strconv.Atoi(args[3])
		if err = errors.Join(err, terr); err == nil {
			_, err = f.WriteAt([]byte(strings.Repeat(args[2], times)), off)
		}
		if err == nil {
			fmt.Println("written")
		}
		return errors.Join(err, f.Close())
	case "create": // FILE SOURCE
		b, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		f, err := os.Create(args[0])
		if err != nil {
			return err
		}
		for piece := range slices.Chunk(b, 1<<20) {
			if _, err := f.Write(piece); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		fmt.Println("written")
		return f.Close()
	case "read": // FILE
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		fmt.Printf("%x\n", h.Sum(nil))
		return nil
	case "rename":
		return os.Rename(args[0], args[1])
	case "unlink":
		return unix.Unlink(args[0]) // os.Remove tries rmdir after a failure
	case "mkdir":
		return os.Mkdir(args[0], 0o755)
	case "list": // FOLDER: ls -lR
		return filepath.WalkDir(args[0], func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if _, err := os.Lstat(name); err != nil {
				return err
			}
			fmt.Println(name)
			return nil
		})
	case "storm":
		return storm(args[0])
	}
	return fmt.Errorf("no such operation: %s", what)
}

// An outcome is what became of an operation.
type outcome struct {
	output string // what it said it had done
	failed string // its error; empty: none
	took   time.Duration
}

// errno names what the program saw.
func (o outcome) errno() string {
	for name, e := range map[string]syscall.Errno{
		"EIO": syscall.EIO, "EPERM": syscall.EPERM, "EINTR": syscall.EINTR, "EDQUOT": syscall.EDQUOT, "ENOSPC": syscall.ENOSPC,
		"EBUSY": syscall.EBUSY, "ENOENT": syscall.ENOENT, "EEXIST": syscall.EEXIST, "ENOTCONN": syscall.ENOTCONN, "EROFS": syscall.EROFS,
	} {
		if strings.HasSuffix(o.failed, e.Error()) {
			return name
		}
	}
	return o.failed
}

// operate runs an operation in a process of its own. One that does not end within commandDeadline,
// which is far above every limit, hangs.
func (m *machine) operate(as string, args ...string) outcome {
	m.t.Helper()
	begin := time.Now()
	cmd, said := m.startOperation(as, args...)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		o := outcome{output: said.out.String(), took: time.Since(begin)}
		if err != nil {
			o.failed = strings.TrimSpace(said.err.String())
		}
		return o
	case <-time.After(commandDeadline):
		m.t.Fatalf("%s %q hangs\n%s", as, args, m.dump())
	}
	return outcome{}
}

type spoken struct{ out, err bytes.Buffer }

func (m *machine) startOperation(as string, args ...string) (*exec.Cmd, *spoken) {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd, said := exec.Command(self, args...), new(spoken)
	cmd.Env = append(os.Environ(), runAsProgram+"="+as)
	cmd.Stdout, cmd.Stderr = &said.out, &said.err
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd, said
}

// dump ends the daemons of a machine so that each writes its goroutines into its log, and gives the
// logs.
func (m *machine) dump() string {
	registry := daemon.Registry{Dir: filepath.Join(m.home, ".local/state/mediafs/mounts")}
	noted, _ := registry.List()
	for _, n := range noted {
		if n.Alive() && n.PID != os.Getpid() {
			syscall.Kill(n.PID, syscall.SIGCONT)
			syscall.Kill(n.PID, syscall.SIGQUIT)
			eventually(func() bool { return !n.Alive() })
		}
	}
	var text strings.Builder
	logs, _ := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*.log"))
	for _, name := range logs {
		b, _ := os.ReadFile(name)
		fmt.Fprintf(&text, "%s:\n%s\n", name, b[max(0, len(b)-200_000):])
	}
	return text.String()
}

// The dump of a daemon says where each goroutine is: it is all there is to see of a hang in a test.
func TestDump(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	if text := m.dump(); !strings.Contains(text, "SIGQUIT") ||
		!strings.Contains(text, "mediafs/cache/catalog.(*Catalog).follow") {
		t.Errorf("the log has no goroutines:\n%s", text)
	}
	m.do("umount", m.mnt)
}

// deadline is a context that ends a command which hangs.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), commandDeadline)
	t.Cleanup(cancel)
	return ctx
}
