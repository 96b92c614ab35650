package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// logLimit is where a log file is put aside as FILE.1, in bytes. Two of these hold months of a quiet mount and never fill a disk.
const logLimit = 8 << 20

// A logFile is a log that is put aside when it has grown to its limit. The runtime's last words (a panic with all stacks) go to
// the same file. logrus calls Write under its own lock.
type logFile struct {
	path  string
	limit int64
	file  *os.File
	size  int64
}

func openLog(path string, limit int64) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	l := &logFile{path: path, limit: limit}
	return l, l.open()
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
	if l.size > 0 && l.size+int64(len(b)) > l.limit {
		old := l.file
		// When it cannot be put aside the old file goes on: a log that is too long is better than none.
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
