package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediafs/fs/control"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 🎞":         "plain é 🎞",
		"\x1b[31mred":       `\x1b[31mred`,
		"a\nb\tc":           `a\nb\tc`,
		"\xff\xfe":          `\xff\xfe`,
		"turn \u202e round": `turn \u202e round`,
		"bell \a del \x7f":  `bell \a del \x7f`,
		"\u00a0nbsp":        `\u00a0nbsp`,
		"c1 \u009b31m":      `c1 \u009b31m`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 10 << 30: "10.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// clock is a time that the test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestProgressWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	c := &clock{time.Unix(1000, 0)}
	g := newProgress(&out)
	g.now = c.now
	step := func(d time.Duration, p control.Pending) bool {
		c.t = c.t.Add(d)
		return g.show(p)
	}
	step(0, control.Pending{Files: 2, Bytes: 4 << 20})
	if out.Len() != 0 {
		t.Errorf("said at once: %q", out.String())
	}
	if step(time.Second, control.Pending{Files: 2, Bytes: 4 << 20}) {
		t.Error("the same again counts as moving")
	}
	if !step(2*time.Second, control.Pending{Files: 1, Bytes: 1 << 20, Operations: 1}) {
		t.Error("less counts as standing still")
	}
	step(time.Second, control.Pending{Files: 1, Bytes: 1 << 19})
	step(time.Hour, control.Pending{})
	g.end()
	if want := "1 file (1.0 MiB), 1 change left\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	g := newProgress(&out)
	g.terminal = true
	g.show(control.Pending{Files: 3, Bytes: 100})
	g.show(control.Pending{Files: 1, Bytes: 50})
	g.show(control.Pending{Operations: 1})
	g.end()
	lines := strings.Split(out.String(), "\r\x1b[K")
	want := []string{"", "[" + strings.Repeat(".", 30) + "] 3 files (100 B) left",
		"[" + strings.Repeat("#", 15) + strings.Repeat(".", 15) + "] 1 file (50 B) left",
		"[" + strings.Repeat("#", 30) + "] 0 files (0 B), 1 change left", ""}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("drew %q, want %q", lines, want)
	}
}

func TestStatusText(t *testing.T) {
	started := time.Date(2026, 2, 3, 4, 5, 6, 0, time.Local)
	s := control.Status{
		Mount:      "/mnt/a\x1b[2J",
		Store:      "s3://bucket/p",
		Library:    "0b0e",
		Client:     3,
		PID:        42,
		Version:    "v1",
		Started:    started,
		CatalogDir: "/c",
		CacheDir:   "/k",
		Running:    true,
		ReadOnly:   true,
		Offline:    true,
		Pending:    control.Pending{Files: 1, Bytes: 2048, Operations: 2},
		Cache:      control.CacheState{Bytes: 1 << 20, Limit: 10 << 30, Hits: 3, Misses: 1},
		Log:        control.LogState{Applied: 17, Newest: 18, LagSeconds: 1.25},
		Used:       3 << 30,

		LastError: &control.LastError{Text: "upload \x1b]0;x\a: unavailable", Time: started.Add(time.Minute)},
	}
	var out bytes.Buffer
	p := &program{stdout: &out}
	p.statusText(s, started.Add(2*time.Minute))
	want := `/mnt/a\x1b[2J
  store       s3://bucket/p
  state       mounted read-only, offline: the store is not reached
  library     0b0e
  client      3
  used        3.0 GiB
  pending     1 file (2.0 KiB), 2 changes
  cache       1.0 MiB of 10.0 GiB, 75.0 % hits
  log         commit 17 of 18, store answered 1.2 s ago
  daemon      process 42, v1, since 2026-02-03 04:05:06
  kept in     /c (cache /k)
  last error  1m0s ago: upload \x1b]0;x\a: unavailable
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	p.statusText(
		control.Status{
			Mount:      "/m",
			Store:      "s3://b",
			CatalogDir: "/c",
			LastError:  &control.LastError{Text: "process 7 has died"},
		},
		started,
	)
	if want := "/m\n  store  s3://b\n  state  not running: umount cleans up, the next mount goes on\n  why    process 7 has died\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestLogIsPutAside(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "log")
	l := &logFile{path: name, limit: 100}
	_, err := l.begin()
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	line := strings.Repeat("x", 39) + "\n"
	for range 7 {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	for file, lines := range map[string]int{name: 1, name + ".1": 2} {
		b, err := os.ReadFile(file)
		if err != nil || strings.Count(string(b), "\n") != lines {
			t.Errorf("%s: %d bytes, %v; want %d lines", filepath.Base(file), len(b), err, lines)
		}
	}
}
