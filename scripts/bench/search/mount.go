package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/dir"
)

// mounts measures the first mount of a library in a local directory: one with a checkpoint of so
// many media, and one with a log of so many commits that change one attribute each.
func mounts(program, at string, media, commits int) error {
	at, err := os.MkdirTemp(at, "bench-mount-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(at)
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	l := &library{media: media}
	folder := filepath.Join(at, "media")
	if err := made(folder, l.Records(context.Background()), 0); err != nil {
		return err
	}
	fmt.Printf("A library of %d media, whose checkpoint has %.1f MiB in parts:\n", media, mib(partBytes(folder)))
	if err := mounted(program, at, folder, func() error { return nil }); err != nil {
		return err
	}
	before := partBytes(folder)
	if err := made(folder, l.touched(1000), 0); err != nil {
		return err
	}
	fmt.Printf(
		"  the next checkpoint, after changes of 1000 media here and there: %.1f MiB of new parts\n",
		mib(partBytes(folder)-before),
	)
	if commits == 0 {
		return nil
	}
	folder = filepath.Join(at, "log")
	if err := made(folder, nil, commits); err != nil {
		return err
	}
	fmt.Printf("A library of %d commits without a checkpoint:\n", commits)
	err = mounted(program, at, folder, func() error { // it writes the checkpoint that is due
		for began := time.Now(); partBytes(folder) == 0; time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				return errors.New("no checkpoint was written")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("  again, on another machine (%.1f MiB in parts):\n", mib(partBytes(folder)))
	return mounted(program, at, folder, func() error { return nil })
}

// made makes a library, or writes to one: a checkpoint of records at its last commit, or more
// commits.
func made(folder string, records iter.Seq2[remote.Record, error], commits int) (err error) {
	ctx := context.Background()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	b, err := dir.Open(folder, dir.Options{})
	if err != nil {
		return err
	}
	s, err := bucket.Open(ctx, b, bucket.Options{})
	if errors.Is(err, remote.NotExist) {
		s, err = bucket.Create(ctx, b, bucket.Options{})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	seq, hash := uint64(0), []byte(nil)
	for e, err := range s.Read(ctx, 1) {
		if err != nil {
			return err
		}
		seq, hash = e.Seq, record.Hash(e.Body)
	}
	root := &record.Write{Key: record.NodeKey(record.Root), Value: marshal(&record.Node{Mode: 0o40755})}
	for i := range max(commits, 1) {
		body, err := record.EncodeCommit(&record.Commit{Previous: hash, Writes: []*record.Write{root,
			{Key: record.XattrKey(record.Root, "user.bench"), Value: fmt.Append(nil, i)}}})
		if err != nil {
			return err
		}
		seq, hash = seq+1, record.Hash(body)
		if err := s.Append(ctx, seq, body); err != nil {
			return err
		}
	}
	if records != nil {
		_, err = s.WriteCheckpoint(ctx, seq, hash, records)
	}
	return err
}

// touched are the records after changes of n media that lie anywhere: of each the node and the
// content.
func (l *library) touched(n int) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		nodes, i := 0, 0
		for r, err := range l.Records(context.Background()) {
			if k := r.Key[0]; k == record.KeyNode || k == record.KeyContent {
				if nodes++; nodes%max(l.media/n, 1) == 0 {
					r.Value = append(r.Value, 0xf8, 0x7f, byte(i)) // a field that nobody knows
					i++
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func partBytes(folder string) (n int64) {
	filepath.WalkDir(
		filepath.Join(folder, "checkpoint", "part"),
		func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // what cannot be read counts as nothing
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		},
	)
	return n
}

// mounted mounts a library on a machine that has nothing of it, and unmounts it after until.
func mounted(program, at, folder string, until func() error) (err error) {
	home, err := os.MkdirTemp(at, "home-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	mnt := filepath.Join(home, "mnt")
	if err := os.Mkdir(mnt, 0o700); err != nil {
		return err
	}
	run := func(args ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(
			os.Environ(), "HOME="+home, "XDG_STATE_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "XDG_CONFIG_HOME=",
		)
		cmd.Stderr = os.Stderr
		return cmd.Output()
	}
	began := time.Now()
	if _, err := run("mount", "file://"+folder, mnt); err != nil {
		return err
	}
	defer func() {
		_, uerr := run("umount", mnt)
		err = errors.Join(err, uerr)
	}()
	took := time.Since(began)
	first, most, err := uint64(0), uint64(0), error(nil)
	for {
		out, err := run("status", "--json", mnt)
		if err != nil {
			return err
		}
		var s struct {
			PID   int
			Media struct {
				ToIndex uint64 `json:"to_index"`
			}
		}
		if err := json.Unmarshal([]byte(strings.Trim(strings.TrimSpace(string(out)), "[]")), &s); err != nil {
			return err
		}
		rss, peak := memoryOf(s.PID)
		if most = max(most, rss); first == 0 {
			first = peak
			fmt.Printf(
				"  it can be used after         %8.2f s (processor: %.2f s); RssAnon then %d MiB, VmHWM %d MiB\n",
				took.Seconds(), busy(s.PID), rss>>10, peak>>10,
			)
		}
		if s.Media.ToIndex == 0 {
			fmt.Printf(
				"  searches are whole after     %8.2f s (processor: %.2f s); most RssAnon %d MiB\n",
				time.Since(began).Seconds(), busy(s.PID), most>>10,
			)
			return until()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// busy is the time of processors that a process took, in seconds.
func busy(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	if err != nil || !ok || len(f) < 13 {
		return 0
	}
	var user, system float64
	fmt.Sscan(f[11], &user)      //nolint:errcheck // then it is 0
	fmt.Sscan(f[12], &system)    //nolint:errcheck // then it is 0
	return (user + system) / 100 // USER_HZ is 100 wherever Linux runs
}

// memoryOf gives what a process has in memory now without files, and its most with files, in KiB.
func memoryOf(pid int) (anon, peak uint64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		fmt.Sscanf(line, "RssAnon: %d", &anon) //nolint:errcheck // another line
		fmt.Sscanf(line, "VmHWM: %d", &peak)   //nolint:errcheck // another line
	}
	return anon, peak
}
