package main

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel's unmount returns while the daemon still finishes. The next mount waits for its end
// and says so, for a time.
func TestMountWhileTheDaemonEnds(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "x"), "y")
	pid := m.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // so that it does not end
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	if err := unix.Unmount(m.mnt, 0); err != nil {
		t.Skipf("only root unmounts past fusermount3: %v", err)
	}
	if code, _, stderr := m.mediafs(
		"mount", url, m.mnt, "--lock-timeout=50ms",
	); code != exitBusy || !strings.Contains(stderr, "has not ended for 50ms") ||
		m.mounted() {
		t.Errorf("it does not end: exit code %d, %s", code, stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandDeadline)
	defer cancel()
	cmd := m.command(ctx, "mount", url, m.mnt)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if !strings.HasPrefix(line, "mediafs: waiting up to 1m30s for the end of ") || err != nil {
		t.Errorf("said %q, %v", line, err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !m.mounted() {
		t.Fatalf("mount after the daemon's end: %v", err)
	}
	mustRead(t, filepath.Join(m.mnt, "x"), "y")
	if m.status().PID == pid {
		t.Error("it is the same daemon")
	}
	m.umount()
}

// What scripts do, over and over, by every way to unmount.
func TestUmountThenMount(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	for i, unmount := range []string{"mediafs umount", "umount", "fusermount3 -u", "umount -l"} {
		name := filepath.Join(m.mnt, "file"+string(rune('a'+i)))
		write(t, name, unmount)
		if unmount == "mediafs umount" {
			m.umount()
		} else if out, err := exec.Command("sh", "-c", unmount+` "$1"`, "sh", m.mnt).CombinedOutput(); err != nil {
			t.Skipf("%s: %v, %s", unmount, err, out)
		}
		m.mount(url)
		mustRead(t, name, unmount)
	}
	m.umount()
}
