package control

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"mediafs/remote"
)

func TestLockNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	if Locked(dir) {
		t.Error("locked before anybody locked it")
	}
	first, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !Locked(dir) {
		t.Error("not seen as locked")
	}
	_, err = LockDir(dir)
	if !errors.Is(err, remote.Busy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("second lock: %v, want busy with this process's number", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if Locked(dir) {
		t.Error("still locked after close")
	}
	again, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
