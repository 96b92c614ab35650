package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The child that reads facts keeps nothing open that its parent had: a file in the mount would keep
// that from being unmounted.
func TestFactsWorkerKeepsNothingOpen(t *testing.T) {
	inherited, err := os.Create(filepath.Join(t.TempDir(), "in a mount"))
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	cmd := exec.Command("/proc/self/exe", "facts-worker")
	cmd.ExtraFiles = []*os.File{inherited}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it ends with its input
	defer in.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it says hello
		t.Fatal(err)
	}
	fds := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/fd/"
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink(fds + e.Name()); err == nil && to == inherited.Name() {
			t.Errorf("descriptor %s is %s", e.Name(), to)
		}
	}
}
