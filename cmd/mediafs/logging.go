package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// logLimit is where a log file is put aside as FILE.1, in bytes. Two of these hold months of a
// quiet mount and never fill a disk.
const logLimit = 8 << 20

// A logFile is a log that is put aside when it has grown to its limit. The runtime's last words (a
// panic with all stacks) go to the same file. Before begin it takes nothing. logrus calls Write
// under its own lock.
type logFile struct {
	path  string
	limit int64
	file  *os.File
	size  int64
}

// begin opens the file. undo takes one that was not there before away, with its folder: the log of
// a mount that never was says what its caller was told.
func (l *logFile) begin() (undo func(), err error) {
	dir := filepath.Dir(l.path)
	_, folder := os.Lstat(dir)
	_, file := os.Lstat(l.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	undo = func() {
		if errors.Is(file, os.ErrNotExist) {
			os.Remove(l.path) //nolint:errcheck // it may stay
		}
		if errors.Is(folder, os.ErrNotExist) {
			os.Remove(dir) //nolint:errcheck // it stays when something is in it
		}
	}
	if err := l.open(); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{})
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open the log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

func (l *logFile) Write(b []byte) (int, error) {
	if l.file == nil {
		return len(b), nil
	}
	if l.size > 0 && l.size+int64(len(b)) > l.limit {
		old := l.file
		// When it cannot be put aside the old file goes on: a log that is too long is better than
		// none.
		if os.Rename(l.path, l.path+".1") == nil && l.open() == nil {
			old.Close()
		}
	}
	n, err := l.file.Write(b)
	l.size += int64(n)
	return n, err
}

// newLog makes the program's log. Libraries get entries of it and configure nothing.
func newLog(out io.Writer, at level, as format) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(out)
	if parsed, err := logrus.ParseLevel(string(at)); err == nil {
		l.SetLevel(parsed)
	}
	if as == "json" {
		l.SetFormatter(&logrus.JSONFormatter{})
	} else {
		l.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	}
	return l
}
