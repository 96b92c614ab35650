// Command gotest runs go test and closes with one line that counts tests: "N passed, N failed, N
// skipped".
//
//	gotest ARGUMENTS [-- ARGUMENTS]...
//
// Every group of arguments is one call of "go test -json", one after the other; the last line
// counts all of them, so that one run can have packages with the race detector and packages without
// it. It shows a line a package, all that a failed test printed, and each skipped test with its
// reason. Exit status 1: a test failed, a package did not build or ended before its time, or no
// test ran at all. It never hides a failure of go itself.
//
// Counted are tests without subtests, and subtests in their place where there are some. A package
// that fails without a failed test (it does not build, it ran out of time, it called os.Exit)
// counts as one failed.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: gotest ARGUMENTS OF GO TEST [-- ARGUMENTS]...")
		os.Exit(2)
	}
	t := newTally(os.Stdout)
	failed := false
	for _, args := range split(os.Args[1:]) {
		if err := run(args, t); err != nil {
			fmt.Println(err)
			failed = true
		}
	}
	t.summary()
	if failed || t.failed > 0 || t.passed == 0 {
		os.Exit(1)
	}
}

// split cuts args at "--". Empty groups are left out.
func split(args []string) (groups [][]string) {
	for len(args) > 0 {
		end := slices.Index(args, "--")
		if end < 0 {
			end = len(args)
		}
		if end > 0 {
			groups = append(groups, args[:end])
		}
		args = args[min(end+1, len(args)):]
	}
	return groups
}

// run calls go test once and feeds its events to t. An exit status of go that t has a failure for
// is no error.
func run(args []string, t *tally) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run go test: %w (is go in PATH?)", err)
	}
	before := t.failed
	readErr := feed(out, t)
	if readErr != nil {
		// go must be able to end: nobody else empties its pipe.
		io.Copy(io.Discard, out)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && t.failed > before {
		err = nil
	}
	if err := errors.Join(readErr, err); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// feed gives every line of r to t.
func feed(r io.Reader, t *tally) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read its events: %w", err)
		}
	}
}
