package main

import (
	"reflect"
	"strings"
	"testing"
)

// tallied feeds events and returns everything that was printed.
func tallied(t *testing.T, events string) string {
	t.Helper()
	var out strings.Builder
	ty := newTally(&out)
	if err := feed(strings.NewReader(strings.TrimSpace(events)), ty); err != nil {
		t.Fatal(err)
	}
	ty.summary()
	return out.String()
}

func TestCounts(t *testing.T) {
	tests := []struct {
		name   string
		events string
		last   string   // the closing line
		says   []string // somewhere in the output
		silent []string // nowhere in the output
	}{
		{
			name: "subtests stand for their test",
			events: `
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"output","Package":"p","Test":"TestA/one","Output":"    a_test.go:3: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"run","Package":"p","Test":"TestA/two"}
{"Action":"pass","Package":"p","Test":"TestA/two"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.1}`,
			last:   "2 passed, 0 failed, 0 skipped",
			silent: []string{"chatter"},
		},
		{
			name: "a failed subtest is one failure and is shown",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"output","Package":"p","Test":"TestA/one","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA/one"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			last:   "0 passed, 1 failed, 0 skipped",
			says:   []string{"got 1, want 2", "failed: p TestA/one"},
			silent: []string{"FAIL p TestA\n"},
		},
		{
			name: "a test that fails after its subtests passed",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			last: "1 passed, 1 failed, 0 skipped",
		},
		{
			name: "a skipped test says why",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: no /dev/fuse here\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			last: "0 passed, 0 failed, 1 skipped",
			says: []string{"skipped: p TestA: a_test.go:9: no /dev/fuse here\n"},
		},
		{
			name: "a skipped test that does not say why",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestA"}`,
			last: "0 passed, 1 failed, 1 skipped",
			says: []string{"TestA: no reason given"},
		},
		{
			name: "a package that does not build",
			events: `
{"ImportPath":"p [p.test]","Action":"build-output","Output":"./a.go:1:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			last: "0 passed, 1 failed, 0 skipped",
			says: []string{"undefined: x", "failed: p\n"},
		},
		{
			name: "a package that ran out of time names the test that hung",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/hangs"}
{"Action":"output","Package":"p","Test":"TestA/hangs","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}`,
			last: "0 passed, 1 failed, 0 skipped",
			says: []string{"UNFINISHED p TestA/hangs", "test timed out"},
		},
		{
			name: "go ended before the package did",
			events: `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}`,
			last: "1 passed, 1 failed, 0 skipped",
			says: []string{"go test ended before it did"},
		},
		{
			name:   "what is no event is shown as it is",
			events: "go: cannot find main module\n" + `{"Action":"pass","Package":"p"}`,
			last:   "0 passed, 0 failed, 0 skipped",
			says:   []string{"go: cannot find main module\n"},
		},
		{
			name:   "a package without tests is not mentioned",
			events: `{"Action":"skip","Package":"quiet"}`,
			last:   "0 passed, 0 failed, 0 skipped",
			silent: []string{"quiet"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := tallied(t, tt.events)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if last := lines[len(lines)-1]; last != tt.last {
				t.Errorf("last line %q, want %q", last, tt.last)
			}
			for _, s := range tt.says {
				if !strings.Contains(out, s) {
					t.Errorf("output lacks %q:\n%s", s, out)
				}
			}
			for _, s := range tt.silent {
				if strings.Contains(out, s) {
					t.Errorf("output has %q:\n%s", s, out)
				}
			}
		})
	}
}

func TestKeepsTheEndOfLongOutput(t *testing.T) {
	var lines []string
	for range outputLines {
		lines = keep(lines, "early")
	}
	lines = keep(lines, "late")
	if len(lines) != outputLines || lines[len(lines)-1] != "late" {
		t.Errorf("kept %d lines, the last %q; want %d, the last \"late\"", len(lines), lines[len(lines)-1], outputLines)
	}
}

func TestSplit(t *testing.T) {
	got := split([]string{"-race", "./a", "--", "--", "./b", "./c", "--"})
	want := [][]string{{"-race", "./a"}, {"./b", "./c"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
