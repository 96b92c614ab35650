package fuse

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	objects "mediafs/remote/object/open"
	"mediafs/remote/object/s3/s3server"
)

// A mounted test takes three processes. One serves the mount and never touches it. One runs the
// cases: were it the same, a page of a mapping that it waits for would stop its garbage collector,
// and with it the answer. The parent watches both: a mistake in the adapter can leave a thread in
// the kernel that no signal ends, until the connection breaks.
const (
	roleVar   = "MEDIAFS_TEST_ROLE"  // "server", "client" or "actor"
	dirVar    = "MEDIAFS_TEST_DIR"   // theirs
	casesVar  = "MEDIAFS_TEST_CASES" // set by hand: the cases of a mounted suite to run, a pattern as -run takes it below the test's name
	childTime = 5 * time.Minute      // a hang, however slow the machine
)

// raceCases are the mounted cases that run under the race detector unless others are asked for,
// since it makes the whole suite take minutes: those of many at once, and some that go through most
// requests.
const raceCases = "concurrent|opposite|reopen$|list-while|unlink-open$|Parallel"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "server":
		if err := serveTests(os.Getenv(dirVar), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		return
	case "actor":
		os.Exit(act(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func mountDir(dir string) string { return filepath.Join(dir, "mount point") }

// mounted calls f in a process of its own, with a mount that another process serves, both as root.
func mounted(t *testing.T, f func(t *testing.T, s *servedMount)) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the cases make devices and change owners")
	}
	served(t, f)
}

// served is mounted for whoever runs the test.
func served(t *testing.T, f func(t *testing.T, s *servedMount)) {
	dir := os.Getenv(dirVar)
	if os.Getenv(roleVar) == "client" {
		f(
			t,
			&servedMount{
				dir:     mountDir(dir),
				ask:     os.NewFile(3, "ask"),
				answers: bufio.NewReader(os.NewFile(4, "answers")),
			},
		)
		return
	}
	if err := checkDevice(""); err != nil {
		t.Skip(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mountDir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), childTime)
	defer cancel()
	questions, ask, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	start := func(role string, said io.Writer, arg ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, os.Args[0], arg...)
		c.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
		c.Stderr, c.WaitDelay = said, 10*time.Second
		return c
	}
	var serverSaid, clientSaid bytes.Buffer
	server := start("server", &serverSaid)
	server.Stdin, server.Stdout = questions, answer

	run := "^" + t.Name() + "$"
	if cases := os.Getenv(casesVar); cases != "" {
		run += "/" + cases
	} else if raceEnabled {
		run += "/" + raceCases
	}
	client := start("client", &clientSaid, "-test.run="+run, "-test.v")
	client.Stdout, client.ExtraFiles = &clientSaid, []*os.File{ask, answers}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	clientErr := client.Start()
	for _, f := range []*os.File{questions, ask, answers, answer} {
		_ = f.Close() // the children have them; the client's end is the end of the server's questions
	}
	if clientErr == nil {
		clientErr = client.Wait()
	}
	serverErr := server.Wait()
	for _, m := range below(t, dir) {
		t.Errorf("%s is still mounted", m.Dir)
		_ = unmount(m.Dir, true)
	}
	if clientErr != nil || serverErr != nil || testing.Verbose() {
		t.Logf("client:\n%s\nserver:\n%s", failures(clientSaid.Bytes()), serverSaid.Bytes())
	}
	if clientErr != nil || serverErr != nil {
		t.Errorf("client: %v; server: %v", clientErr, serverErr)
	}
	if ctx.Err() != nil {
		t.Errorf("it took more than %v", childTime)
	}
}

// failures leaves the lines of passed subtests out, unless all are wanted.
func failures(out []byte) []byte {
	if testing.Verbose() {
		return out
	}
	var b bytes.Buffer
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if l := strings.TrimSpace(lines.Text()); !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- PASS") {
			b.WriteString(lines.Text() + "\n")
		}
	}
	return b.Bytes()
}

// below lists our mounts in a folder.
func below(t *testing.T, dir string) (ms []MountInfo) {
	all, err := Mounts()
	if err != nil {
		t.Error(err)
	}
	for _, m := range all {
		if strings.HasPrefix(m.Dir, dir+"/") {
			ms = append(ms, m)
		}
	}
	return ms
}

// A servedMount is the client's view of the process that serves.
type servedMount struct {
	dir     string
	ask     *os.File
	answers *bufio.Reader
}

// do asks the server for one thing and waits for the answer.
func (s *servedMount) do(what string) error {
	if _, err := fmt.Fprintln(s.ask, what); err != nil {
		return err
	}
	line, err := s.answers.ReadString('\n')
	switch line = strings.TrimSpace(line); {
	case err != nil:
		return err
	case line != "ok":
		return errors.New(line)
	}
	return nil
}

// serveTests keeps its library in memory, or on a real S3 server when it is asked for "s3" first.
// It mounts when it is asked for "open" (or "open idmap", with that option), goes over to another
// machine on "reopen", gives a name of the root an access control list by another machine on
// "elsewhere NAME LIST", ends the mount on "close". When nobody asks any more, the mount goes away
// whatever is open.
func serveTests(dir string, questions io.Reader, answers io.Writer) error {
	var b object.Bucket = mem.New(mem.Options{})
	var m *machine
	var s3 *s3server.Server
	defer func() {
		if s3 != nil {
			defer s3.Close()
		}
		if m != nil && !m.server.over() {
			_ = m.server.Abort()
			_ = m.server.LazyUnmount()
		}
	}()
	n := 0
	reopen := func(words ...string) (err error) {
		if m != nil {
			if err := m.close(true); err != nil {
				return err
			}
		}
		n++
		m, err = newMachine(b, filepath.Join(dir, fmt.Sprint("machine", n)), mountDir(dir), words...)
		return err
	}
	for lines := bufio.NewScanner(questions); lines.Scan(); {
		var err error
		switch what := lines.Text(); what {
		case "s3":
			s3, b, err = startS3()
		case "patient": // the kernel believes what it was told for an hour
			belief = time.Hour
		case "open", "reopen":
			err = reopen()
		case "open idmap":
			err = reopen("idmap")
		case "close":
			err = m.close(false)
		default:
			if rest, ok := strings.CutPrefix(what, "elsewhere "); ok {
				n++
				err = elsewhere(b, filepath.Join(dir, fmt.Sprint("elsewhere", n)), rest)
				break
			}
			err = fmt.Errorf("asked for %q", what)
		}
		answer := "ok"
		if err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(answers, answer); err != nil {
			return err
		}
	}
	return nil
}

func startS3() (*s3server.Server, object.Bucket, error) {
	srv, err := s3server.Open(s3server.Options{})
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(os.Setenv("AWS_ACCESS_KEY_ID", srv.AccessKey), os.Setenv("AWS_SECRET_ACCESS_KEY", srv.SecretKey))
	if err != nil {
		return srv, nil, err
	}
	b, err := objects.URL(context.Background(), srv.URL("mounted"), objects.Options{})
	return srv, b, err
}

// A machine is a library over object storage, mounted.
type machine struct {
	store  *bucket.Store
	fs     *engine.FS
	server *Server
	log    *logrus.Entry
}

// belief is how long the kernel is told to believe names and attributes; 0: as without an option.
var belief time.Duration

// elsewhere gives a name of the root an access control list, in hex digits, by another machine.
func elsewhere(b object.Bucket, dir, what string) error {
	name, list, _ := strings.Cut(what, " ")
	value, err := hex.DecodeString(list)
	if err != nil {
		return err
	}
	m, err := openMachine(b, dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	a, err := m.fs.Lookup(ctx, vfs.Root, name)
	if err == nil {
		err = m.fs.SetXattr(ctx, vfs.Caller{}, a.ID, acl.Access, value, 0)
		m.fs.Forget(a.ID, 1)
	}
	return errors.Join(err, m.fs.Close())
}

// newMachine opens the library in b and mounts it.
func newMachine(b object.Bucket, dir, mnt string, words ...string) (*machine, error) {
	m, err := openMachine(b, dir)
	if err != nil {
		return nil, err
	}
	announcer := NewAnnouncer()
	m.fs.Announce(announcer)
	m.server, err = Mount(
		Options{
			Library:      m.fs,
			Dir:          mnt,
			AllowOther:   os.Geteuid() == 0,
			Announcer:    announcer,
			FSName:       m.store.Facts().URL,
			EntryTimeout: belief,
			AttrTimeout:  belief,
			Mount:        words,
			Log:          m.log,
		},
	)
	if err != nil {
		return nil, errors.Join(err, m.fs.Close())
	}
	return m, nil
}

// openMachine opens the library in b, making it when there is none, with empty caches in dir.
func openMachine(b object.Bucket, dir string) (*machine, error) {
	ctx := context.Background()
	opt := bucket.Options{FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond}
	store, err := bucket.Open(ctx, b, opt)
	if err != nil {
		if store, err = bucket.Create(ctx, b, opt); err != nil {
			return nil, err
		}
	}
	log := logrus.New()
	log.SetOutput(os.Stderr)
	entry := logrus.NewEntry(log)
	m := &machine{store: store, log: entry}
	m.fs, err = engine.Open(ctx, engine.Options{
		Store: store,
		Catalog: catalog.Options{
			Dir:           filepath.Join(dir, "catalog"),
			Machine:       []byte(dir),
			PollInterval:  20 * time.Millisecond,
			RetryInterval: 5 * time.Millisecond,
		},
		Cache:         block.Options{Dir: filepath.Join(dir, "cache")},
		SpoolDir:      filepath.Join(dir, "spool"),
		FlushDelay:    10 * time.Millisecond,
		RetryInterval: 5 * time.Millisecond,
		UID:           uint32(os.Geteuid()),
		GID:           uint32(os.Getegid()),
		Log:           entry,
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// close unmounts, and fails when something is open.
func (m *machine) close(flush bool) error {
	if err := m.server.Unmount(); err != nil {
		return err
	}
	var err error
	if flush {
		err = m.fs.Flush(context.Background())
	}
	return errors.Join(err, m.fs.Close())
}
