package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/control"
	"mediafs/fs/daemon"
	"mediafs/fs/fuse"
)

// runAsProgram in the environment makes the test binary mediafs itself, so that a mount has a
// process of its own: a bug that hangs hangs that one.
const runAsProgram = "MEDIAFS_TEST_RUN_AS"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "facts-worker" { // this program, started by a daemon without an environment
		main()
	}
	switch os.Getenv(runAsProgram) {
	case "mediafs":
		main()
	case "panic":
		panicIntoLog()
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		// Run as mediafs by something that took the environment away: these tests must not begin
		// again in there, and again.
		fmt.Fprintf(os.Stderr, "the test binary was run as %q without %s\n", os.Args, runAsProgram)
		os.Exit(exitUsage)
	}
	// As a helper of mount(8), which may have cleared the environment. Without this it would run
	// all tests, and they it.
	if strings.Contains(filepath.Base(os.Args[0]), "mount.") &&
		!slices.ContainsFunc(os.Args[1:], func(arg string) bool {
			return strings.HasPrefix(arg, "-test.")
		}) {
		main()
		os.Exit(1)
	}
	// Thousands of files, each synced to disk several times: in memory that is free, and what a
	// sync promises is tested elsewhere. versitygw keeps what it knows of objects in extended
	// attributes.
	const memory = "/dev/shm"
	if os.Getenv("TMPDIR") == "" && unix.Setxattr(memory, "user.mediafs.test", []byte("x"), 0) == nil {
		unix.Removexattr(memory, "user.mediafs.test")
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// A machine is a user with a home of their own who runs mediafs in processes of their own.
type machine struct {
	t    *testing.T
	home string
	env  []string
	mnt  string // an empty folder to mount on
}

// commandDeadline ends a command that hangs. No verdict hangs on it: nothing comes near.
const commandDeadline = 2 * time.Minute

func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse: nothing can be mounted here")
	}
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		t.Skip("no fusermount3, and not root: nothing can be mounted here")
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, home: home, mnt: filepath.Join(home, "mnt")}
	m.env = append(
		os.Environ(), runAsProgram+"=mediafs", "HOME="+home, "XDG_STATE_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=",
		"XDG_CONFIG_HOME=", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_EC2_METADATA_DISABLED=true",
	)
	m.env = append(m.env, env...)
	races := filepath.Join(home, "race") // a daemon's standard error goes nowhere
	m.env = append(m.env, "GORACE=log_path="+races)
	if err := os.Mkdir(m.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	// If the test itself hangs in the mount, taking it away gives every waiting call an error.
	watchdog := time.AfterFunc(4*time.Minute, m.clear)
	t.Cleanup(func() {
		watchdog.Stop()
		found, _ := filepath.Glob(races + ".*")
		for _, name := range found {
			b, _ := os.ReadFile(name)
			t.Errorf("data race:\n%s", b)
		}
		if t.Failed() {
			m.showLogs()
		}
		m.clear()
	})
	return m
}

// clear kills this machine's daemons and takes their mounts away, whatever state they are in.
func (m *machine) clear() {
	registry := daemon.Registry{Dir: filepath.Join(m.home, ".local/state/mediafs/mounts")}
	noted, _ := registry.List()
	for _, n := range noted {
		if n.Alive() && n.PID != os.Getpid() {
			syscall.Kill(n.PID, syscall.SIGKILL)
		}
	}
	mounts, err := fuse.Mounts()
	if err != nil {
		m.t.Error(err)
	}
	for _, mount := range mounts {
		if strings.HasPrefix(mount.Dir, m.home+"/") {
			if err := unix.Unmount(mount.Dir, unix.MNT_DETACH); err != nil {
				exec.Command("fusermount3", "-uz", "--", mount.Dir).Run()
			}
		}
	}
}

func (m *machine) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*.log"))
	for _, name := range logs {
		b, _ := os.ReadFile(name)
		m.t.Logf("%s:\n%s", name, b[max(0, len(b)-8000):])
	}
}

// command is mediafs with args.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = "mediafs" // whatever the name of the test
	cmd.Env, cmd.Dir = m.env, m.home
	return cmd
}

// mediafs runs a command to its end.
func (m *machine) mediafs(args ...string) (code int, stdout, stderr string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := m.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	if ctx.Err() != nil {
		m.t.Fatalf("mediafs %v hung", args)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// do is a command that must work; it returns what was said on standard error.
func (m *machine) do(args ...string) string {
	m.t.Helper()
	code, stdout, stderr := m.mediafs(args...)
	if code != exitOK {
		m.t.Fatalf("mediafs %v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stderr
}

func (m *machine) mount(store string, flags ...string) string {
	m.t.Helper()
	return m.do(append([]string{"mount", store, m.mnt}, flags...)...)
}

func (m *machine) umount() {
	m.t.Helper()
	m.do("umount", m.mnt)
	if m.mounted() {
		m.t.Fatal("still mounted after umount")
	}
}

// again is the same machine after umount with nothing kept of catalog and cache: to the store, a
// second machine.
func (m *machine) again(store string, flags ...string) {
	m.t.Helper()
	second := filepath.Join(m.home, "second")
	m.mount(
		store,
		append(
			flags, "--catalog-dir="+filepath.Join(second, "catalog"), "--cache-dir="+filepath.Join(second, "cache"),
		)...)
}

func (m *machine) mounted() bool {
	mounts, err := fuse.Mounts()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, mount := range mounts {
		if mount.Dir == m.mnt {
			return true
		}
	}
	return false
}

func (m *machine) status() control.Status {
	m.t.Helper()
	code, stdout, stderr := m.mediafs("status", m.mnt, "--json")
	var s control.Status
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != exitOK {
		m.t.Fatalf("status: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	return s
}

// kill ends the daemon as a crash would.
func (m *machine) kill() {
	m.t.Helper()
	s := m.status()
	if !s.Running || s.PID == os.Getpid() {
		m.t.Fatalf("no daemon to kill: %+v", s)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	if !eventually(func() bool { return !(daemon.Mount{CatalogDir: s.CatalogDir}).Alive() }) {
		m.t.Fatal("killed, and still there")
	}
}

// sh runs a shell script in the mount and returns its output; it must work.
func (m *machine) sh(script string, args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Dir = m.mnt
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+m.home, "GIT_CONFIG_NOSYSTEM=1")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", script, args, err, out)
	}
	return string(out)
}

// eventually waits for something that will happen; no verdict hangs on when.
func eventually(happened func() bool) bool {
	for range 3000 {
		if happened() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// A terminal is the two ends of one: the program's and the person's.
func terminal(t *testing.T) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program, person
}

// answer runs a command at a terminal whose person types text at the question mark.
func (m *machine) answer(text string, args ...string) (code int, said string) {
	m.t.Helper()
	program, person := terminal(m.t)
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := m.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	program.Close()
	said, err := bufio.NewReader(person).ReadString('?')
	if err != nil {
		m.t.Errorf("no question was asked: %q", said)
	}
	if _, err := person.WriteString(text + "\n"); err != nil {
		m.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			m.t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), said
}
