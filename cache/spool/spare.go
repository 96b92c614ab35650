package spool

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Spares are files that were made, and given their blocks, while the disk had room. Uploading a
// spool file describes it several times and may begin a journal; where another program has taken
// the disk's last inode or block, that is done with spares: what lets room go needs none.
//
// A description is written to a spare, which then trades places with the former description: that
// one is the next spare, so that nobody can take an inode in between. They lie beside the spool's
// folder.
type spares struct {
	dir string

	mu    sync.Mutex
	names []string // guarded by mu
}

const (
	spareSuffix = ".spare"
	spareCount  = 8
	// describedSize is the size of a description in bytes, or its unit: the blocks of one do for
	// the next.
	describedSize = 4096
)

// open finds the spares that an earlier process left, and makes those that are missing.
func (s *spares) open(room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room {
		_ = os.Mkdir(s.dir, 0o700) // what is missing shows below
	}
	for i := range spareCount {
		name := s.name(i)
		if st, err := os.Lstat(name); err == nil && st.Mode().IsRegular() || room && s.make(name) == nil {
			s.names = append(s.names, name)
		}
	}
}

// refill makes the spares that were used up, as far as there is room.
func (s *spares) refill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == spareCount {
		return
	}
	have := make(map[string]bool)
	for _, name := range s.names {
		have[name] = true
	}
	for i := range spareCount {
		name := s.name(i)
		if !have[name] && s.make(name) == nil {
			s.names = append(s.names, name)
		}
	}
}

func (s *spares) name(i int) string { return filepath.Join(s.dir, strconv.Itoa(i)) }

// make makes a spare. mu is held.
func (s *spares) make(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		_, err = f.Write(padded(nil, describedSize))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}

// padded fills b up with line feeds, which mean nothing in JSON, to a multiple of describedSize and
// to n bytes.
func padded(b []byte, n int) []byte {
	whole := (len(b) + describedSize - 1) / describedSize * describedSize
	return append(b, bytes.Repeat([]byte("\n"), max(whole, n)-len(b))...)
}

// full tells whether a disk has no inode or no block left, or this user may have no more of it.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// replace makes b the bytes of the file at path, which is there, without a new inode or block; with
// sync, b is on the disk before it is under that name. why is returned where there is no spare.
func (s *spares) replace(path string, b []byte, sync bool, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Lstat(path); err != nil || len(s.names) == 0 {
		return why // what is only being made is refused
	}
	last := len(s.names) - 1
	spare := s.names[last]
	f, err := os.OpenFile(spare, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		s.names = s.names[:last]
		return errors.Join(why, err)
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(padded(b, int(st.Size())), 0)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(why, err)
	}
	err = unix.Renameat2(unix.AT_FDCWD, spare, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if err = os.Rename(spare, path); err == nil { // the former description's inode is free, and the next spare's
			if s.names = s.names[:last]; s.make(spare) == nil {
				s.names = append(s.names, spare)
			}
		}
	}
	return err
}

// empty makes an empty file at path out of a spare, which is used up. why is returned where there
// is none.
func (s *spares) empty(path string, why error) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == 0 {
		return nil, why
	}
	last := len(s.names) - 1
	spare := s.names[last]
	s.names = s.names[:last]
	f, err := os.OpenFile(spare, os.O_RDWR|os.O_TRUNC|unix.O_NOFOLLOW, 0)
	if err == nil {
		if err = os.Rename(spare, path); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, errors.Join(why, err)
	}
	return f, nil
}

// journal opens an empty file at path for a journal.
func (s *spares) journal(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if full(err) {
		return s.empty(path, err)
	}
	return f, err
}
