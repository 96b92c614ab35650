package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/daemon"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/dir"
)

// toldAtOnce in the environment makes a mount tell all of its progress.
const toldAtOnce = "MEDIAFS_TEST_OPENING"

func init() {
	if os.Getenv(toldAtOnce) != "" {
		openingDelay, openingEvery, quietEvery = 0, 0, 0
	}
}

// A mount that takes long says how far it is, though its daemon is in the background; one that does
// not says nothing.
func TestMountTellsProgress(t *testing.T) {
	t.Parallel()
	a := newMachine(t)
	folder, store := a.localStore()
	a.mount(store)
	a.umount()
	const commits = 600
	appendSettings(t, folder, commits)

	b := newMachine(t, toldAtOnce+"=1")
	code, _, said := b.mediafs("mount", store, b.mnt)
	if code != 0 || !strings.Contains(said, "mediafs: reading changes: 512") {
		t.Errorf("code %d, it said %q", code, said)
	}
	b.umount()

	c := newMachine(t)
	if code, _, said := c.mediafs("mount", store, c.mnt); code != 0 || strings.Contains(said, "reading") {
		t.Errorf("code %d, one that is fast said %q", code, said)
	}
	c.umount()
}

// appendSettings makes commits in the log of a library that say nothing to anybody.
func appendSettings(t *testing.T, folder string, commits int) {
	t.Helper()
	b, err := dir.Open(folder, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.Open(t.Context(), b, bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	seq, hash := uint64(0), []byte(nil)
	for e, err := range s.Read(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		seq, hash = e.Seq, record.Hash(e.Body)
	}
	for i := range commits {
		body, err := record.EncodeCommit(
			&record.Commit{
				Previous: hash,
				Writes:   []*record.Write{{Key: record.SettingKey(fmt.Sprint("test-", i)), Value: []byte{1}}},
			},
		)
		if err != nil {
			t.Fatal(err)
		}
		seq++
		if err := s.Append(t.Context(), seq, body); err != nil {
			t.Fatal(err)
		}
		hash = record.Hash(body)
	}
}

// Nothing is told before the delay or after the end, and no more than wanted in between; a log gets
// few lines.
func TestOpeningIsBrief(t *testing.T) {
	var told []string
	o := newOpening(func(text string) { told = append(told, text) })
	o.start("opening it")
	o.progress(daemon.Opening{Bytes: 1 << 20, AllBytes: 3 << 20})
	if len(told) > 0 {
		t.Errorf("at once: %q", told)
	}
	o.began = o.began.Add(-openingDelay)
	o.progress(daemon.Opening{Bytes: 1 << 20, AllBytes: 3 << 20})
	o.progress(daemon.Opening{Bytes: 2 << 20, AllBytes: 3 << 20})
	o.told = o.told.Add(-openingEvery)
	o.progress(daemon.Opening{Commits: 300, AllCommits: 5000})
	o.told = o.told.Add(-openingEvery)
	o.progress(daemon.Opening{Commits: 7})
	o.end()
	o.told = time.Time{}
	o.progress(daemon.Opening{Commits: 8})
	want := "reading the catalog: 1.0 MiB of 3.0 MiB|reading changes: 300 of about 5000|reading changes: 7"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("told %q, want %q", got, want)
	}

	var out bytes.Buffer
	l := newOpeningLine(&out)
	l.show("one")
	l.show("two")
	l.clear()
	l.shown = l.shown.Add(-quietEvery)
	l.show("three\x1b[2J")
	if got := out.String(); got != "mediafs: one\nmediafs: three\\x1b[2J\n" {
		t.Errorf("a log has %q", got)
	}
	out.Reset()
	l.terminal = true
	l.show("four")
	l.clear()
	if got := out.String(); got != "\r\x1b[Kmediafs: four\r\x1b[K" {
		t.Errorf("a terminal has %q", got)
	}
}
