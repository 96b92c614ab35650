package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/remote/storetest/wiretap"
)

// go test ./cmd/mediafs -run TestTraces -update writes the traces anew. What changed is reviewed
// like code: each line is a request that people pay and wait for.
var update = flag.Bool("update", false, "write testdata/traces anew")

// pollInterval is how often a daemon reads the log when nothing happens.
const pollInterval = 2 * time.Second

// A trace is the requests of one step, as they are pinned in testdata/traces.
//
// Numbers, ids and dates are replaced. Requests in a row that may be under way together (reads,
// parts, the puts of the probe) are sorted, and equal lines are counted. Polls are left out but
// where they are what is looked at.
type trace struct {
	name string // of the file
	what string // heading: what was done
	do   func(m *machine)

	polls bool // they are shown: the step makes at least one
	idle  int  // polls that the step waits for
}

var traces = []trace{
	{name: "mount", what: "mount as a fresh machine: format.json, probe, checkpoint, log, join", polls: true,
		do: func(*machine) {}}, // it is mounted for all of them
	{name: "list-cold", what: "ls -lR right after the mount",
		do: func(m *machine) { m.sh(`ls -lR`) }},
	{name: "list-warm", what: "ls -lR once more",
		do: func(m *machine) { m.sh(`ls -lR`) }},
	{name: "read-cold", what: "open a cold file of 20 MiB, read 4 KiB from its start, close",
		do: func(m *machine) { m.sh(`head -c 4096 film >/dev/null`) }},
	{name: "append", what: "append a line to it",
		do: func(m *machine) { m.sh(`echo line >>film`) }},
	{name: "append-again", what: "append another line to it",
		do: func(m *machine) { m.sh(`echo line >>film`) }},
	{name: "write", what: "create a file, write 10 KiB, close",
		do: func(m *machine) { m.sh(`head -c 10240 /dev/zero | tr '\0' x >folder-1/new`) }},
	{name: "rsync", what: "rsync -a of one file of 10 KiB",
		do: func(m *machine) { m.sh(`rsync -a "$1" folder-1/`, filepath.Join(m.home, "source")) }},
	{name: "rename", what: "mv of a folder with five files",
		do: func(m *machine) { m.sh(`mv folder-2 renamed`) }},
	{name: "idle", polls: true, idle: 2,
		what: fmt.Sprintf("doing nothing, per poll: one every %s, %d in 60 s", pollInterval, time.Minute/pollInterval),
		do:   func(*machine) {}},
}

func TestTraces(t *testing.T) {
	needs(t, "rsync")
	w := newWire(t)
	first := w.machine()
	first.mount(w.store)
	first.sh(`for f in 1 2 3; do mkdir folder-$f; for i in $(seq 5); do echo "$i" >folder-$f/$i; done; done`)
	pseudoRandom(t, filepath.Join(first.mnt, "film"), 20<<20)
	first.umount()

	m := w.machine()
	write(t, filepath.Join(m.home, "source"), strings.Repeat("source..", 10240/8))
	mark := w.settle()
	m.mount(w.store)
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) {
			tr.do(m)
			m.do("flush", m.mnt)
			polled := func() (n int) {
				for _, r := range w.tap.Since(mark) {
					if r.Ended && isPoll(r) {
						n++
					}
				}
				return n
			}
			if !eventually(func() bool { return polled() >= tr.idle }) {
				t.Fatalf("%d polls, want %d", polled(), tr.idle)
			}
			end := w.settle()
			tr.pinned(t, w.tap.Since(mark)[:end-mark])
			mark = end
		})
	}
	m.umount()
}

// TestTraceOfFacts pins what it costs the network to know what the bytes of some new files say: one
// commit for all of them, and an object for each that says more than fits into its record. The
// bytes are read from the local copy.
func TestTraceOfFacts(t *testing.T) {
	w := newWire(t)
	m := newMachine(t, credentials(w.server)...)
	m.mount(w.store)
	media := filepath.Join(repository(t), "testdata/media")
	m.sh(`cp "$1/photo.jpg" "$1/captioned.jpg" "$1/plain.jpg" .`, media)
	m.do("flush", m.mnt)
	mark := w.settle()
	m.learned()
	m.do("flush", m.mnt)
	end := w.settle()
	trace{
		name: "facts",
		what: "facts of three new pictures, two of them with much to say",
	}.pinned(t, w.tap.Since(mark)[:end-mark])
	m.umount()
}

// pinned compares a trace with its file, or writes that anew.
func (tr trace) pinned(t *testing.T, requests []wiretap.Request) {
	t.Helper()
	got := "# " + tr.what + "\n" + tr.text(requests)
	name := filepath.Join("testdata", "traces", tr.name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, got)
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the requests of %q are others now (-update after a look):\n%s\nwant\n%s", tr.name, got, want)
	}
}

func (tr trace) text(requests []wiretap.Request) string {
	var lines, polls []string
	begin, last := 0, "" // the row of requests that may be under way together
	for _, r := range requests {
		line := requestLine(r)
		if isPoll(r) {
			polls = append(polls, line)
			continue
		}
		if row := together(r); row == "" || row != last {
			slices.Sort(lines[begin:])
			begin, last = len(lines), row
		}
		lines = append(lines, line)
	}
	slices.Sort(lines[begin:])
	slices.Sort(polls)
	text := counted(lines)
	if tr.polls {
		text += "polls:\n" + strings.Join(slices.Compact(polls), "\n") + "\n"
	}
	if text == "" {
		text = "nothing\n"
	}
	return text
}

// together names the rows in which requests may overtake each other.
func together(r wiretap.Request) string {
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return "reads"
	case r.Kind() == "partNumber":
		return "parts"
	case strings.HasPrefix(r.Key, "probe/"):
		return "probe " + r.Method
	}
	return ""
}

// counted joins lines, equal ones in a row as one with their number; how many commits a log has
// says nothing.
func counted(lines []string) string {
	var text strings.Builder
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n] == lines[0] {
			n++
		}
		text.WriteString(lines[0])
		switch {
		case strings.HasPrefix(lines[0], "GET log/"):
			text.WriteString(" (each commit)")
		case n > 1:
			fmt.Fprintf(&text, " (%d times)", n)
		}
		text.WriteString("\n")
		lines = lines[n:]
	}
	return text.String()
}

var (
	contentID = regexp.MustCompile(`content/[0-9a-f]{2}/[0-9a-f]{32}`)
	probeID   = regexp.MustCompile(`probe/[0-9a-f]{32}`)
	number    = regexp.MustCompile(`[0-9]{20}`)
)

func normalised(key string) string {
	key = contentID.ReplaceAllString(key, "content/ID")
	key = probeID.ReplaceAllString(key, "probe/ID")
	return number.ReplaceAllString(key, "N")
}

// requestLine is a request as a person reads it: method, key, what it asks, what was answered.
func requestLine(r wiretap.Request) string {
	key := normalised(r.Key)
	if key == "" {
		key = "/"
	}
	words := []string{r.Method, key}
	if kind := r.Kind(); kind != "" {
		words = append(words, kind)
	}
	for _, name := range []string{"prefix", "start-after", "max-keys"} {
		if r.Query.Has(name) {
			words = append(words, name+"="+normalised(r.Query.Get(name)))
		}
	}
	for _, h := range [][2]string{{"range", r.Range}, {"if-match", r.IfMatch}, {"if-none-match", r.IfNoneMatch}} {
		if h[1] != "" {
			words = append(words, h[0]+":"+h[1])
		}
	}
	return strings.Join(append(words, "->", fmt.Sprint(r.Status)), " ")
}
