package s3server_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mediafs/remote/object/s3/s3server"
)

// dirForChild is set in the process that TestDiesWithItsProcess starts and kills.
const dirForChild = "MEDIAFS_TEST_S3SERVER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirForChild); dir != "" {
		s, err := s3server.Open(s3server.Options{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.Endpoint)
		select {}
	}
	os.Exit(m.Run())
}

// answers reports whether somebody listens.
func answers(endpoint string) bool {
	c, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// A server ends with its test process even when that is killed.
func TestDiesWithItsProcess(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), dirForChild+"="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var endpoint string
	_, err = fmt.Fscan(out, &endpoint)
	if err != nil || !answers(endpoint) {
		child.Process.Kill()
		child.Wait()
		t.Fatalf("the child has no server: %q, %v", endpoint, err)
	}
	child.Process.Kill()
	child.Wait()
	for deadline := time.Now().Add(30 * time.Second); answers(endpoint); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server outlives the process that started it")
		}
	}
}

func TestStopAndRestart(t *testing.T) {
	s := s3server.Start(t)
	if !answers(s.Endpoint) {
		t.Fatal("it does not answer")
	}
	s.Stop()
	s.Stop()
	if answers(s.Endpoint) {
		t.Error("it answers after Stop")
	}
	before := s.Endpoint
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.Endpoint != before || !answers(s.Endpoint) {
		t.Errorf("after Restart at %s, before at %s", s.Endpoint, before)
	}
}

func TestUnknownKind(t *testing.T) {
	if _, err := s3server.Open(
		s3server.Options{Kind: "ceph"},
	); err == nil ||
		!strings.Contains(err.Error(), "MEDIAFS_S3_SERVER") {
		t.Errorf("got %v", err)
	}
}
