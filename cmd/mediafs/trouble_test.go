package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/fs/daemon"
	"mediafs/remote/object/s3/s3server"
)

// kill -9 loses nothing that was written, and the next mount needs nobody to clean up first.
func TestKilledDaemon(t *testing.T) {
	bothStores(t, func(t *testing.T, m *machine, store string) {
		m.mount(store)
		write(t, filepath.Join(m.mnt, "closed"), "confirmed")
		open, err := os.Create(filepath.Join(m.mnt, "open"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open.WriteString("written, not closed"); err != nil {
			t.Fatal(err)
		}
		m.kill()
		open.Close() // fails: its daemon is gone
		if s := m.status(); s.Running || s.Mount != m.mnt || s.LastError == nil ||
			!strings.Contains(s.LastError.Text, "has died") {
			t.Errorf("status of a dead mount: %+v", s)
		}
		if code, _, stderr := m.mediafs("flush", m.mnt); code == exitOK || !strings.Contains(stderr, "has died") {
			t.Errorf("flush of a dead mount: exit code %d, %s", code, stderr)
		}
		if said := m.mount(store); !strings.Contains(said, "died; its mount was removed") {
			t.Errorf("mount over a dead one said %q", said)
		}
		mustRead(t, filepath.Join(m.mnt, "closed"), "confirmed")
		mustRead(t, filepath.Join(m.mnt, "open"), "written, not closed")
		m.kill()
		if said := m.do("umount", m.mnt); !strings.Contains(said, "had died") || m.mounted() {
			t.Errorf("umount of a dead mount said %q", said)
		}
		if code, _, _ := m.mediafs("umount", m.mnt); code != exitMountPoint {
			t.Errorf("umount of nothing: exit code %d", code)
		}
		m.mount(store)
		m.umount()
		m.again(store)
		mustRead(t, filepath.Join(m.mnt, "open"), "written, not closed")
		m.umount()
	})
}

func TestUmountWhileFilesAreOpen(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	f, err := os.Create(filepath.Join(m.mnt, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := m.mediafs("umount", m.mnt); code != exitBusy || !strings.Contains(stderr, "fuser") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if _, err := f.WriteString(" and half"); err != nil {
		t.Errorf("after a refused umount: %v", err)
	}
	m.do("umount", "--force", m.mnt)
	if m.mounted() {
		t.Error("still mounted")
	}
	m.mount(url)
	mustRead(t, filepath.Join(m.mnt, "open"), "half and half")
	m.umount()
}

// A daemon that hangs keeps neither the commands nor, with --force, the mount.
func TestHungDaemon(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	pid := m.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	for _, args := range [][]string{{"flush", "--timeout=100ms", m.mnt}, {"umount", "--timeout=100ms", m.mnt}} {
		if code, _, stderr := m.mediafs(
			args...); code != exitUnavailable ||
			!strings.Contains(stderr, "did not answer") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	if _, stdout, _ := m.mediafs("status", "--timeout=100ms", m.mnt); !strings.Contains(
		stdout, fmt.Sprintf("process %d does not answer", pid),
	) {
		t.Errorf("status: %s", stdout)
	}
	said := m.do("umount", "--force", "--timeout=100ms", m.mnt)
	if !strings.Contains(said, fmt.Sprintf("unmounted without it, process %d still runs", pid)) || m.mounted() {
		t.Errorf("umount --force said %q; mounted %v", said, m.mounted())
	}
	if code, _, stderr := m.mediafs("mount", url, m.mnt, "--lock-timeout=100ms"); code != exitBusy ||
		!strings.Contains(stderr, "has not ended for 100ms") {
		t.Errorf("mount while it hangs: exit code %d, %s", code, stderr)
	}
}

// Who interrupts a mount that waits for its store gets no mount later.
func TestInterruptedMount(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	m := newMachine(t, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
	catalog := daemon.Mount{CatalogDir: filepath.Join(m.home, "catalog")}
	cmd := m.command(
		context.Background(), "mount", "--connect-timeout=1h", "--catalog-dir="+catalog.CatalogDir,
		"s3://bucket?endpoint=http://"+deaf.Addr().String(), m.mnt,
	)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !eventually(catalog.Alive) {
		t.Fatal("no daemon was started")
	}
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted mount says that it worked")
	}
	if !eventually(func() bool { return !catalog.Alive() }) || m.mounted() {
		t.Errorf("the daemon goes on, mounted: %v", m.mounted())
	}
}

// start runs a mount in the foreground and waits until it can be used.
func (m *machine) start(args ...string) *exec.Cmd {
	m.t.Helper()
	cmd := m.command(context.Background(), append([]string{"mount", "--foreground"}, args...)...)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		cmd.Process.Kill()
		if cmd.ProcessState == nil {
			cmd.Wait()
		}
	})
	if !eventually(m.mounted) {
		m.t.Fatalf("not mounted: %s", log)
	}
	return cmd
}

// The second signal does not wait for anything.
func TestSecondSignal(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	cmd := m.start(server.URL("library"), m.mnt, "--append-timeout=100ms", "--stop-timeout=1h")
	f, err := os.Create(filepath.Join(m.mnt, "x"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := f.WriteString("y"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err == nil {
		t.Error("close worked without a store")
	}
	cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("ended with %v although an upload is pending and it may wait an hour", err)
	case <-time.After(200 * time.Millisecond):
	}
	cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != exitPending || m.mounted() {
		t.Errorf("exit code %d, mounted %v", code, m.mounted())
	}
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			m := newMachine(t)
			_, url := m.localStore()
			cmd := m.start(url, m.mnt)
			write(t, filepath.Join(m.mnt, "x"), "y")
			cmd.Process.Signal(syscall.SIGHUP)
			mustRead(t, filepath.Join(m.mnt, "x"), "y")
			cmd.Process.Signal(sig)
			if err := cmd.Wait(); err != nil || m.mounted() {
				t.Errorf("%v, still mounted: %v", err, m.mounted())
			}
		})
	}
}

// Without the store nothing is lost and every command ends.
func TestStoreGoesDown(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	store := server.URL("library")
	m.mount(store, "--append-timeout=300ms", "--stop-timeout=300ms")
	write(t, filepath.Join(m.mnt, "before"), "stored")
	f, err := os.Create(filepath.Join(m.mnt, "during"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err = f.WriteString("kept here"); err != nil {
		t.Errorf("write while the store is down: %v", err)
	}
	if err = f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close while the store is down: %v, want EIO", err)
	}
	mustRead(t, filepath.Join(m.mnt, "during"), "kept here")
	if s := m.status(); s.Pending.None() || s.LastError == nil {
		t.Errorf("status while the store is down: %+v", s)
	}
	if code, _, stderr := m.mediafs("flush", "--timeout=200ms", m.mnt); code != exitPending ||
		!strings.Contains(stderr, "not in the store yet") {
		t.Errorf("flush: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := m.mediafs(
		"umount", "--timeout=200ms", m.mnt,
	); code != exitPending || !strings.Contains(stderr, "--force") ||
		!m.mounted() {
		t.Errorf("umount: exit code %d, %s; mounted %v", code, stderr, m.mounted())
	}
	if said := m.do("umount", "--force", m.mnt); !strings.Contains(said, "not in the store yet: 1 file") ||
		m.mounted() {
		t.Errorf("umount --force said %q", said)
	}
	if code, _, stderr := m.mediafs("mount", "--connect-timeout=300ms", store, m.mnt); code != exitUnavailable ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("mount: exit code %d, %q", code, stderr)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	m.mount(store)
	m.umount() // which uploads
	m.again(store)
	mustRead(t, filepath.Join(m.mnt, "before"), "stored")
	mustRead(t, filepath.Join(m.mnt, "during"), "kept here")
	m.umount()
}

// Keys may come from a file, and which one may be said everywhere but in the URL.
func TestCredentialsFile(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t)
	file := filepath.Join(m.home, "keys")
	write(
		t,
		file,
		fmt.Sprintf(
			"[family]\naws_access_key_id = %s\naws_secret_access_key = %s\n", server.AccessKey, server.SecretKey,
		),
	)
	m.mount(server.URL("a"), "--credentials-file="+file, "--profile=family")
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.status().PID))
	if err != nil || bytes.Contains(args, []byte(server.SecretKey)) {
		t.Errorf("arguments of the daemon: %v, %q", err, args)
	}
	m.umount()
}

// Whoever waits in close(2) for a store that is down is let go by umount --force, and loses
// nothing.
func TestForceFreesWhoWaits(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	store := server.URL("library")
	m.mount(store, "--append-timeout=1h")
	f, err := os.Create(filepath.Join(m.mnt, "x"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := f.WriteString("kept here"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- f.Close() }()
	if !eventually(func() bool { return m.status().Pending.Files == 1 }) {
		t.Fatal("nothing is pending")
	}
	select {
	case err := <-closed:
		t.Fatalf("close returned %v before the hour was over", err)
	case <-time.After(200 * time.Millisecond):
	}
	if said := m.do("umount", "--force", m.mnt); !strings.Contains(said, "1 file") || m.mounted() {
		t.Errorf("umount --force said %q", said)
	}
	if err := <-closed; err == nil {
		t.Error("close said that the file is in the store")
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	m.mount(store)
	mustRead(t, filepath.Join(m.mnt, "x"), "kept here")
	m.umount()
}

// panicIntoLog is the other process of TestPanicIsLogged.
func panicIntoLog() {
	l := &logFile{path: os.Getenv("MEDIAFS_TEST_LOG"), limit: logLimit}
	_, err := l.begin()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	log := newLog(l, "info", "text")
	log.WithFields(logrus.Fields{"a": 1}).Info("before")
	go panic("the end of this daemon")
	time.Sleep(time.Minute)
}

// A panic in any goroutine is in the log with its stack, although the daemon's standard error goes
// nowhere.
func TestPanicIsLogged(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), runAsProgram+"=panic", "MEDIAFS_TEST_LOG="+log)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("ended with %v, want the runtime's exit code 2", err)
	}
	b, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(b, []byte("before")) ||
		!bytes.Contains(b, []byte("panic: the end of this daemon")) ||
		!bytes.Contains(b, []byte("goroutine ")) {
		t.Errorf("log: %v\n%s", err, b)
	}
}
