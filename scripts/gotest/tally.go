package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// outputLines is how much of one test's output is kept, in lines: a failing test of a daemon may
// log for minutes, and the reason stands at the end.
const outputLines = 500

// event is one line of go test -json; see "go doc test2json" and "go help buildjson".
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events, instead of Package
	FailedBuild string // in the fail event of a package: the ImportPath whose build failed
	Test        string
	Elapsed     float64 // seconds
	Output      string
}

// A tally counts tests and shows what went wrong. It is fed by one goroutine.
type tally struct {
	w                       io.Writer
	passed, failed, skipped int
	packages                map[string]*packageRun
	builds                  map[string][]string // ImportPath → output of its build
	skips                   []string            // shown at the end
	failures                []string            // shown at the end
}

// packageRun is a package whose tests are running.
type packageRun struct {
	output                  []string // of no test
	tests                   map[string]*testRun
	passed, failed, skipped int
}

// testRun is a test that has begun.
type testRun struct {
	output         []string
	done           bool
	subtests       int
	failedSubtests int
}

func newTally(w io.Writer) *tally {
	return &tally{w: w, packages: map[string]*packageRun{}, builds: map[string][]string{}}
}

// line takes one line of go test -json. What is no event (go prints some errors as they are) is
// shown as it is.
func (t *tally) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		t.w.Write(line)
		return
	}
	switch e.Action {
	case "build-output":
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
		return
	case "build-fail":
		return
	}
	p := t.packages[e.Package]
	if p == nil {
		p = &packageRun{tests: map[string]*testRun{}}
		t.packages[e.Package] = p
	}
	if e.Test == "" {
		t.packageEvent(p, e)
		return
	}
	t.testEvent(p, e)
}

func (t *tally) packageEvent(p *packageRun, e event) {
	switch e.Action {
	case "output":
		p.output = keep(p.output, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	delete(t.packages, e.Package)
	if e.Action == "fail" && p.failed == 0 {
		p.failed = 1
		t.failures = append(t.failures, e.Package)
		t.show("FAIL", e.Package, slices.Concat(t.builds[e.FailedBuild], p.output))
		for _, name := range p.unfinished() {
			t.show("UNFINISHED", e.Package+" "+name, p.tests[name].output)
		}
	}
	t.passed, t.failed, t.skipped = t.passed+p.passed, t.failed+p.failed, t.skipped+p.skipped
	if n := p.passed + p.failed + p.skipped; n > 0 || e.Action != "skip" {
		word := "ok  "
		if e.Action == "fail" {
			word = "FAIL"
		}
		fmt.Fprintf(
			t.w, "%s  %s  %.1fs  %d passed, %d failed, %d skipped.\n", word, e.Package, e.Elapsed, p.passed, p.failed,
			p.skipped,
		)
	}
}

func (t *tally) testEvent(p *packageRun, e event) {
	r := p.tests[e.Test]
	if r == nil {
		r = &testRun{}
		p.tests[e.Test] = r
		if parent, ok := parentOf(e.Test); ok && p.tests[parent] != nil {
			p.tests[parent].subtests++
		}
	}
	switch e.Action {
	case "output":
		r.output = keep(r.output, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	r.done = true
	counts := r.subtests == 0 // otherwise its subtests stand for it
	switch e.Action {
	case "pass":
		if counts {
			p.passed++
		}
	case "skip":
		p.skipped++
		t.skips = append(t.skips, e.Package+" "+e.Test+": "+cmp.Or(said(r.output), "no reason given"))
	case "fail":
		if counts || r.failedSubtests == 0 {
			p.failed++
			t.failures = append(t.failures, e.Package+" "+e.Test)
		}
		if parent, ok := parentOf(e.Test); ok && p.tests[parent] != nil {
			p.tests[parent].failedSubtests++
		}
		if r.failedSubtests == 0 || said(r.output) != "" {
			t.show("FAIL", e.Package+" "+e.Test, r.output)
		}
	}
	r.output = nil
}

// show prints what a test or a package printed, under a line that names it.
func (t *tally) show(word, name string, output []string) {
	fmt.Fprintf(t.w, "---- %s %s\n", word, name)
	for _, line := range output {
		io.WriteString(t.w, strings.TrimSuffix(line, "\n")+"\n")
	}
}

// summary prints the skipped and the failed tests and, as the last line, the counts. A package that
// go never finished is a failure.
func (t *tally) summary() {
	for name, p := range t.packages {
		t.failed += p.failed + 1
		t.passed += p.passed
		t.skipped += p.skipped
		t.failures = append(t.failures, name+" (go test ended before it did)")
		t.show("UNFINISHED", name, p.output)
	}
	slices.Sort(t.skips)
	for _, s := range t.skips {
		fmt.Fprintf(t.w, "skipped: %s\n", s)
	}
	for _, f := range t.failures {
		fmt.Fprintf(t.w, "failed: %s\n", f)
	}
	fmt.Fprintf(t.w, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}

// unfinished names the tests without a result that have no subtest without one: those that ran when
// the package ended.
func (p *packageRun) unfinished() (names []string) {
	for name, r := range p.tests {
		if r.done {
			continue
		}
		inner := false
		for other, o := range p.tests {
			inner = inner || !o.done && strings.HasPrefix(other, name+"/")
		}
		if !inner {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// said is what a test printed, in one line, without the lines that go test adds.
func said(output []string) string {
	var own []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			own = append(own, line)
		}
	}
	return strings.Join(own, " ")
}

// keep appends line and drops the oldest beyond outputLines.
func keep(lines []string, line string) []string {
	if len(lines) >= outputLines {
		lines = lines[1:]
	}
	return append(lines, line)
}

// parentOf is the test that a subtest belongs to. A slash in a subtest's own name gives one that
// never ran, which nobody counts.
func parentOf(name string) (parent string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", false
	}
	return name[:i], true
}
