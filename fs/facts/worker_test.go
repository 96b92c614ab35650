package facts

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// childArg makes this test binary a child: what follows it says how it behaves.
const childArg = "facts-child:"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], childArg) {
		os.Exit(beChild(strings.TrimPrefix(os.Args[1], childArg)))
	}
	os.Exit(m.Run())
}

// misbehaviours are children that are not what they should be, from their first media on.
var misbehaviours = map[string]func(){
	"hang": func() { sleep() },
	"spin": func() {
		for i := 0; ; i++ {
			_ = i
		}
	},
	"crash": func() { panic("a crash on purpose") },
	// os.Exit waits a second with the race detector
	"exit":          func() { _, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0) },
	"allocate":      allocate,
	"garbage":       func() { _, _ = os.Stdout.Write(bytes.Repeat([]byte{0xff}, 1<<20)); sleep() },
	"unknown frame": func() { _ = writeFrame(os.Stdout, 'X', nil); sleep() },
	"long answer":   func() { _, _ = os.Stdout.Write([]byte{frameAnswer, 0x7f, 0xff, 0xff, 0xff}); sleep() },
	"bad answer":    func() { _ = writeFrame(os.Stdout, frameAnswer, []byte("{]")); sleep() },
	"deep answer": func() {
		_ = writeFrame(os.Stdout, frameAnswer, []byte(`{"Document":{"Tags":{"a":`+strings.Repeat("[", 1<<19)))
		sleep()
	},
	"range past 2^63": func() {
		_ = writeFrame(os.Stdout, frameRange, bytes.Repeat([]byte{0xff}, 12))
		sleep()
	},
	"ranges without end": func() {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin) }()
		ask := binary.BigEndian.AppendUint32(make([]byte, 8), 1)
		for writeFrame(os.Stdout, frameRange, ask) == nil {
		}
		sleep()
	},
	"does not read": func() { // the answers fill the pipe
		ask := binary.BigEndian.AppendUint32(make([]byte, 8), maxRange)
		for range 100 {
			_ = writeFrame(os.Stdout, frameRange, ask)
		}
		sleep()
	},
	"two pictures": func() {
		_ = writeFrame(os.Stdout, framePicture, []byte("a"))
		_ = writeFrame(os.Stdout, framePicture, []byte("b"))
		sleep()
	},
	"noise": func() { // on standard error, and then its end
		for range 1000 {
			_, _ = os.Stderr.Write(bytes.Repeat([]byte("noise \x1b[31m"), 1000))
		}
		os.Exit(1)
	},
}

func sleep() { time.Sleep(time.Hour) }

func allocate() {
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
		runtime.KeepAlive(all)
	}
}

func beChild(how string) int {
	switch how {
	case "serve":
		if err := ServeWorker(os.Stdin, os.Stdout); err != nil {
			return 1
		}
		return 0
	case "environment":
		_ = writeFrame(os.Stdout, frameHello, []byte(strconv.Itoa(Version)))
		_, _, _ = readFrame(os.Stdin, func(byte) int { return maxMedia })
		nice, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
		dir, _ := os.Getwd()
		var open []string
		fds, _ := os.ReadDir("/proc/self/fd")
		for _, fd := range fds {
			to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			open = append(open, to)
		}
		_ = writeFrame(os.Stdout, frameAnswer, marshal(wireAnswer{Document: &remote.FactsDocument{Tags: map[string]any{
			"env": strings.Join(os.Environ(), " "), "nice": 20 - nice, "dir": dir, "open": open,
		}}}))
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	case "liar":
		_ = writeFrame(os.Stdout, frameHello, []byte(strconv.Itoa(Version)))
		_, _, _ = readFrame(os.Stdin, func(byte) int { return maxMedia })
		_ = writeFrame(os.Stdout, framePicture, []byte("<script>"))
		f := remote.MediaFacts{
			Version:     99,
			Type:        "text/html; x=\"\x00",
			Class:       "evil",
			Title:       "a\x00\x1b]0;b" + strings.Repeat("c", 1<<18),
			Width:       -1,
			Height:      7,
			Pages:       -4,
			PictureType: "text/html",
			PictureSize: 1 << 40,
			Place:       &remote.Place{Latitude: 1000},
		}
		_ = writeFrame(
			os.Stdout,
			frameAnswer,
			marshal(
				wireAnswer{
					Facts:    f,
					Document: &remote.FactsDocument{Tags: map[string]any{"k": strings.Repeat("x", 1<<19)}},
				},
			),
		)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	case "old":
		_ = writeFrame(os.Stdout, frameHello, []byte("0"))
		return 0
	}
	// Misbehaves for media whose name is not fine.
	_ = writeFrame(os.Stdout, frameHello, []byte(strconv.Itoa(Version)))
	for {
		_, b, err := readFrame(os.Stdin, func(byte) int { return maxMedia })
		if err != nil {
			return 0
		}
		if !bytes.Contains(b, []byte(`"Name":"fine"`)) {
			misbehaviours[how]()
		}
		_ = writeFrame(
			os.Stdout, frameAnswer,
			marshal(wireAnswer{Facts: remote.MediaFacts{Type: "image/x-fine", Class: remote.ClassImage}}),
		)
	}
}

func newTestWorker(t *testing.T, how string, opt Options) *Worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opt.Command = []string{exe, childArg + how}
	if opt.Probe == "" {
		opt.Probe = "none"
	}
	w := NewWorker(opt)
	goroutines := runtime.NumGoroutine()
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error("second close:", err)
		}
		checkNoChildren(t)
		for range 200 { // those that end are maybe not quite gone
			if runtime.NumGoroutine() <= goroutines {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
	})
	return w
}

// checkNoChildren fails when this process has children, dead ones included.
func checkNoChildren(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc/self/task/*/children")
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && len(b) > 0 {
			t.Errorf("children are left: %s", b)
		}
	}
}

func TestWorkerKnownFacts(t *testing.T) {
	w := newTestWorker(t, "serve", Options{})
	checkKnown(t, w.Extract)
	if w.child == nil || w.child.served != len(known) {
		t.Errorf("not all by one child")
	}
}

func TestWorkerBombs(t *testing.T) {
	w := newTestWorker(t, "serve", Options{})
	for name, b := range bombs() {
		f, doc, err := w.Extract(t.Context(), sourceOf(b, name))
		if err != nil {
			t.Fatal(name, err)
		}
		checkModel(t, f, doc)
	}
}

// TestWorkerMisbehaviour: whatever a child does, the media has its type and an error that says so,
// and the next one is read.
func TestWorkerMisbehaviour(t *testing.T) {
	photo := readMedia(t, "photo.jpg")
	for how := range misbehaviours {
		t.Run(how, func(t *testing.T) {
			w := newTestWorker(t, how, Options{Memory: 64 << 20})
			patience := time.Minute
			if slices.Contains([]string{"hang", "spin", "does not read"}, how) {
				patience = 200 * time.Millisecond
			}
			for range 2 { // with a new child, and with one that served another media before
				w.opt.Timeout = patience
				f, doc, err := w.Extract(t.Context(), sourceOf(photo, "photo.jpg"))
				if err != nil {
					t.Fatal(err)
				}
				checkModel(t, f, doc)
				if f.Type != "image/jpeg" || f.Class != remote.ClassImage || f.Error == "" || doc != nil {
					t.Errorf("%+v, %v", f, doc)
				}
				t.Log(f.Error)
				if w.child != nil {
					t.Error("the child is still there")
				}
				w.opt.Timeout = time.Minute
				if f, _, err = w.Extract(
					t.Context(), sourceOf(photo, "fine"),
				); err != nil || f.Type != "image/x-fine" ||
					f.Error != "" {
					t.Errorf("the next one: %+v, %v", f, err)
				}
			}
		})
	}
}

func TestWorkerTellsTimeout(t *testing.T) {
	w := newTestWorker(t, "hang", Options{Timeout: 100 * time.Millisecond})
	f, _, err := w.Extract(t.Context(), sourceOf(readMedia(t, "tone.wav"), "tone.wav"))
	if err != nil || f.Error != "reading it took more than 100ms and was stopped" || f.Type != "audio/wav" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestWorkerChildIsConfined(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	w := newTestWorker(t, "environment", Options{})
	_, doc, err := w.Extract(t.Context(), sourceOf([]byte("x"), "x"))
	if err != nil {
		t.Fatal(err)
	}
	if env := doc.Tags["env"].(string); env != "GOMEMLIMIT=268435456 GOMAXPROCS=2 GOTRACEBACK=single" {
		t.Errorf("environment %q", env)
	}
	if doc.Tags["nice"] != 10.0 || doc.Tags["dir"] != "/" {
		t.Errorf("%v", doc.Tags)
	}
	given := inheritable(t)
	pipes := 0
	for _, open := range doc.Tags["open"].([]any) {
		switch open := open.(string); {
		case given[open]:
		case strings.HasPrefix(open, "pipe:"):
			pipes++
		case strings.HasPrefix(open, "anon_inode:"),
			strings.HasPrefix(open, "/proc/"),
			strings.HasPrefix(open, "/sys/"): // Go's runtime
		default:
			t.Errorf("it has %s open", open)
		}
	}
	if pipes != 3 {
		t.Errorf("%d pipes", pipes)
	}
}

// inheritable are the files that whoever started the test left open for all its descendants.
func inheritable(t *testing.T) map[string]bool {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, fd := range fds {
		n, _ := strconv.Atoi(fd.Name())
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && n > 2 && flags&unix.FD_CLOEXEC == 0 {
			given[to] = true
		}
	}
	return given
}

func TestWorkerBelievesNothing(t *testing.T) {
	w := newTestWorker(t, "liar", Options{})
	f, doc, err := w.Extract(t.Context(), sourceOf([]byte("x"), "x"))
	if err != nil {
		t.Fatal(err)
	}
	checkModel(t, f, doc)
	if f.Version != Version || f.Type != "application/octet-stream" || f.Class != remote.ClassData || f.Width != 0 ||
		f.Place != nil ||
		f.PictureType != "" ||
		f.PictureSize != 0 {
		t.Errorf("%+v", f)
	}
}

func TestWorkerWithoutChild(t *testing.T) {
	for _, how := range []string{"old", "no such way"} {
		w := newTestWorker(t, how, Options{})
		if how != "old" {
			w.opt.Command = []string{"/nonexistent/mediafs"}
		}
		_, _, err := w.Extract(t.Context(), sourceOf([]byte("x"), "x"))
		if !errors.Is(err, remote.Unavailable) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// failing is a source that cannot be read from some point on.
type failing struct {
	b  []byte
	at int64
}

var errFailing = remote.E("read", "a content", remote.Unavailable, errors.New("on purpose"))

func (s failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.at {
		return 0, errFailing
	}
	return copy(p, s.b[off:]), nil
}

func TestSourceFails(t *testing.T) {
	b := append(readMedia(t, "film-end.mp4")[:32], make([]byte, 1<<20)...)
	binary.BigEndian.PutUint32(b[32:], 1<<19)
	copy(b[36:], "free")
	w := newTestWorker(t, "serve", Options{})
	for name, extract := range map[string]extractor{"in process": inProcess, "worker": w.Extract} {
		for _, at := range []int64{0, blockSize} {
			_, _, err := extract(t.Context(), Source{ReaderAt: failing{b, at}, Size: int64(len(b)), Name: "film.mp4"})
			if !errors.Is(err, errFailing) || !errors.Is(err, remote.Unavailable) {
				t.Errorf("%s, failing at %d: %v", name, at, err)
			}
		}
		// A source that is shorter than it says is a damaged media.
		f, _, err := extract(
			t.Context(), Source{ReaderAt: bytes.NewReader(b[:1000]), Size: int64(len(b)), Name: "film.mp4"},
		)
		if err != nil || f.Type != "video/mp4" || f.Error == "" {
			t.Errorf("%s, short: %+v, %v", name, f, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, extract := range map[string]extractor{"in process": inProcess, "worker": w.Extract} {
		if _, _, err := extract(ctx, sourceOf(b, "x")); !errors.Is(err, context.Canceled) ||
			remote.KindOf(err) != remote.Interrupted {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}

func TestWorkerCancelled(t *testing.T) {
	w := newTestWorker(t, "hang", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	src := Source{ReaderAt: readerFunc(func([]byte, int64) (int, error) { return 0, io.EOF }), Size: 10, Name: "x"}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := w.Extract(ctx, src); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type readerFunc func([]byte, int64) (int, error)

func (f readerFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestWorkerClosedWhileBusy(t *testing.T) {
	w := newTestWorker(t, "hang", Options{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, _, err := w.Extract(t.Context(), sourceOf([]byte("x"), "x")); !errors.Is(err, remote.Unavailable) ||
				!errors.Is(err, errClosed) {
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // so that one of them has the child; the others wait
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, _, err := w.Extract(t.Context(), sourceOf([]byte("x"), "x")); !errors.Is(err, remote.Unavailable) {
		t.Error("after close:", err)
	}
}

// TestWorkerQueue: calls are served one at a time, in the order in which they came.
func TestWorkerQueue(t *testing.T) {
	w := newTestWorker(t, "serve", Options{})
	gate := make(chan struct{})
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	started := make(chan struct{}, 1)
	for i := range 4 {
		var once sync.Once
		src := Source{Size: 1, Name: strconv.Itoa(i), ReaderAt: readerFunc(func(p []byte, _ int64) (int, error) {
			once.Do(func() {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				if i == 0 {
					started <- struct{}{}
					<-gate
				}
			})
			p[0] = 'x'
			return 1, nil
		})}
		wg.Go(func() {
			if _, _, err := w.Extract(t.Context(), src); err != nil {
				t.Error(err)
			}
		})
		if i == 0 {
			<-started
		} else {
			waitForSender(t, i)
		}
	}
	close(gate)
	wg.Wait()
	if !slices.Equal(order, []int{0, 1, 2, 3}) {
		t.Errorf("served in the order %v", order)
	}
}

// waitForSender waits until n goroutines wait for their turn.
func waitForSender(t *testing.T, n int) {
	t.Helper()
	for range 1000 {
		b := make([]byte, 1<<20)
		b = b[:runtime.Stack(b, true)]
		waiting := 0
		for g := range strings.SplitSeq(string(b), "\n\n") {
			if strings.Contains(g, "[select") && strings.Contains(g, "facts.(*Worker).Extract") &&
				!strings.Contains(g, "ReadAt") {
				waiting++
			}
		}
		if waiting >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("less than %d calls wait for their turn", n)
}

// TestServeWorkerEnds with its input, in the middle of whatever it does.
func TestServeWorkerEnds(t *testing.T) {
	for _, in := range [][]byte{nil, {frameMedia}, {frameMedia, 0, 0, 0, 9}, {frameMedia, 0x7f, 0, 0, 0}, {'?', 0, 0, 0, 0}} {
		var out bytes.Buffer
		err := ServeWorker(bytes.NewReader(in), &out)
		if (err == nil) != (len(in) == 0) {
			t.Errorf("%q: %v", in, err)
		}
		if want := fmt.Sprintf("H\x00\x00\x00\x01%d", Version); out.String() != want {
			t.Errorf("%q: it said %q", in, out.String())
		}
	}
}

func TestProbe(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		t.Skip("ffprobe is not installed")
	}
	// What only ffprobe knows: an AIFF file, written here.
	const seconds, rate = 2, 8000
	comm := binary.BigEndian.AppendUint16(nil, 1)
	comm = binary.BigEndian.AppendUint32(comm, seconds*rate)
	comm = binary.BigEndian.AppendUint16(comm, 16)
	comm = append(comm, 0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0) // 8,000 as 80 bits of float
	aiff := append([]byte("AIFF"), box2("COMM", comm)...)
	aiff = append(aiff, box2("SSND", make([]byte, 8+2*seconds*rate))...)
	aiff = box2("FORM", aiff)
	for _, probe := range []string{"ffprobe", "none", "/nonexistent/ffprobe", "false"} {
		t.Run(probe, func(t *testing.T) {
			w := newTestWorker(t, "serve", Options{Probe: probe})
			f, doc, err := w.Extract(t.Context(), sourceOf(aiff, "sound.aiff"))
			if err != nil {
				t.Fatal(err)
			}
			checkModel(t, f, doc)
			want := remote.MediaFacts{Type: "audio/aiff", Class: remote.ClassAudio}
			if probe == "ffprobe" {
				want.AudioCodec, want.SampleRate, want.Channels, want.Duration, want.BitRate, want.Document = "pcm_s16be", rate, 1, seconds, f.BitRate, true
			}
			compareFacts(t, f, want)
		})
	}
}

// box2 is a chunk of IFF: the name first, then the length.
func box2(kind string, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte(kind), uint32(len(b))), b...)
}
