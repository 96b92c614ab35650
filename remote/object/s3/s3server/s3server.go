// Package s3server runs a real object store for tests: VersityGW, or MinIO when the environment has
// MEDIAFS_S3_SERVER=minio. It listens on a free port of 127.0.0.1, keeps its files in a folder of
// the test, has keys of its own, and dies with the test process. It is never used outside of tests.
package s3server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The names of the servers.
const (
	VersityGW = "versitygw"
	MinIO     = "minio"
)

// startTimeout is generous: a machine that builds and tests beside this takes seconds to start a
// process of 150 MB.
const startTimeout = time.Minute

// Options of a server; the zero value works.
type Options struct {
	Kind string // VersityGW or MinIO; empty: MEDIAFS_S3_SERVER, or else VersityGW
	Dir  string // where it keeps its files; empty: a new folder, removed at Close
}

// A Server is one running object store with one bucket.
type Server struct {
	Kind      string
	Endpoint  string // http://127.0.0.1:port; stays the same over Restart
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string

	binary  string
	dir     string
	ownsDir bool
	exited  chan struct{} // closed when the process is gone
	process *os.Process
}

// Start runs a server until the end of the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Open(Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Open starts a server and returns when it answers and its bucket is made.
func Open(opt Options) (*Server, error) {
	if opt.Kind == "" {
		opt.Kind = os.Getenv("MEDIAFS_S3_SERVER")
	}
	if opt.Kind == "" {
		opt.Kind = VersityGW
	}
	s := &Server{
		Kind:      opt.Kind,
		Region:    "us-east-1",
		Bucket:    "mediafs-test",
		AccessKey: "test" + rand.Text()[:12],
		SecretKey: rand.Text(),
		dir:       opt.Dir,
	}
	var err error
	if s.binary, err = find(opt.Kind); err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "s3server-"); err != nil {
			return nil, err
		}
		s.ownsDir = true
	}
	// The port may be taken by somebody else between finding it and using it.
	for range 3 {
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		s.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", port)
		if err = s.run(); err == nil {
			return s, nil
		}
	}
	s.removeDir()
	return nil, err
}

// find returns the path of a server's binary, and builds it where it is missing.
func find(kind string) (string, error) {
	if kind != VersityGW && kind != MinIO {
		return "", fmt.Errorf("MEDIAFS_S3_SERVER is %q: use %s or %s", kind, VersityGW, MinIO)
	}
	if dir := os.Getenv("MEDIAFS_TOOLS"); dir != "" {
		if path := filepath.Join(dir, kind); executable(path) {
			return path, nil
		}
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, ".tools", kind)
	if executable(path) {
		return path, nil
	}
	if out, err := exec.Command(filepath.Join(root, "scripts", "s3server"), kind).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", kind, err, out)
	}
	return path, nil
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) command(log *os.File) (*exec.Cmd, error) {
	data := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	addr := strings.TrimPrefix(s.Endpoint, "http://")
	var cmd *exec.Cmd
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	switch s.Kind {
	case VersityGW:
		// Without keep-alive every request is a connection of its own.
		cmd = exec.Command(s.binary, "--port", addr, "--region", s.Region, "--keep-alive", "--quiet", "posix", data)
		env = append(env, "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	case MinIO:
		cmd = exec.Command(s.binary, "server", "--quiet", "--address", addr, data)
		env = append(
			env, "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey, "MINIO_BROWSER=off",
			"MINIO_UPDATE=off",
		)
	}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := s.command(log)
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		// The process gets its signal when the thread that started it ends, so that thread waits
		// for it.
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.binary, err)
	}
	s.process, s.exited = cmd.Process, exited
	if err := s.makeBucket(); err != nil {
		s.Kill()
		out, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s at %s does not answer: %w\n%s", s.Kind, s.Endpoint, err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Server) client() (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds:        credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Region:       s.Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   1,
	})
}

// Put stores an object as another tool would: under any key, also one that object.Bucket refuses,
// with a media type and what the tool notes of it.
func (s *Server) Put(ctx context.Context, key, body, mediaType string, meta map[string]string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	_, err = client.PutObject(ctx, s.Bucket, key, strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{
		// else an empty body is not empty on the wire, which servers of folders do not read
		ContentType: mediaType, UserMetadata: meta, DisableContentSha256: true,
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// makeBucket makes the bucket, again and again until the server is up.
func (s *Server) makeBucket() error {
	client, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{Region: s.Region})
		if code := minio.ToErrorResponse(
			err,
		).Code; err == nil || code == minio.BucketAlreadyOwnedByYou ||
			code == minio.BucketAlreadyExists {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("it ended by itself (%w)", err)
		case <-ctx.Done():
			return err
		}
	}
}

// URL names the bucket with a prefix, as people write it; the keys are not in it.
func (s *Server) URL(prefix string) string {
	q := url.Values{"endpoint": {s.Endpoint}, "region": {s.Region}, "path-style": {"true"}}
	return "s3://" + s.Bucket + "/" + prefix + "?" + q.Encode()
}

// Kill ends the process at once, as a crash would, and waits for its end. Killing a dead one does
// nothing.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop asks the process to end and waits until it has.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	s.process.Signal(sig)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		s.process.Kill()
		<-s.exited
	}
	s.process = nil
}

// Restart runs the server again on the same port and files; it is stopped first when it runs.
func (s *Server) Restart() error {
	s.Stop()
	return s.run()
}

// Close ends the process and removes its files.
func (s *Server) Close() error {
	s.Kill()
	return s.removeDir()
}

func (s *Server) removeDir() error {
	if !s.ownsDir {
		return nil
	}
	return os.RemoveAll(s.dir)
}
