package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// Recover opens what an earlier process left: files with a description that says they are dirty.
// Others are removed: their bytes are in the store. A description that cannot be read is an error
// that names it; nothing is removed then.
//
// lost are files of edits of which a loss of power has left no record of what was written: nobody
// can tell what they hold. They are set aside under names that end in LostSuffix.
func (s *Spool) Recover() (files []*File, lost []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, wrap("read spool", s.dir, err)
	}
	for _, e := range entries {
		name := filepath.Join(s.dir, e.Name())
		path, isData := strings.CutSuffix(name, dataSuffix)
		if !isData {
			// What a crash left of making, describing or removing a file: nothing without bytes is
			// wanted.
			base, isMeta := strings.CutSuffix(name, metaSuffix)
			if !isMeta {
				base, isMeta = strings.CutSuffix(name, mapSuffix)
			}
			_, err := os.Lstat(base + dataSuffix)
			if isMeta && errors.Is(err, os.ErrNotExist) || strings.HasSuffix(name, tmpSuffix) ||
				strings.HasSuffix(name, LinkSuffix) {
				os.Remove(name)
			}
			continue
		}
		b, err := readFile(path + metaSuffix)
		if errors.Is(err, os.ErrNotExist) {
			// Create was interrupted before the first byte.
			if err := os.Remove(name); err != nil {
				return nil, nil, wrap("clean spool", name, err)
			}
			continue
		}
		if err != nil {
			return nil, nil, wrap("read spool", path, err)
		}
		// A loss of power leaves a description as it was, or empty, or zeros in the place of pages.
		gone := len(b) == 0 || bytes.IndexByte(b, 0) >= 0
		if _, merr := os.Lstat(path + mapSuffix); gone && merr == nil {
			if err := setAside(path); err != nil {
				return nil, nil, err
			}
			lost = append(lost, path+dataSuffix+LostSuffix)
			continue
		}
		if gone {
			// The description did not survive a power loss. What the file was to replace is not
			// known: nothing is.
			var d Description
			if _, err := fmt.Sscanf(e.Name(), "%16x-", &d.Node); err == nil {
				d.Format, d.Dirty = format, true
				b, _ = json.Marshal(d)
			}
		}
		d, err := decode(b)
		if err != nil {
			return nil, nil, remote.E("read spool", path+metaSuffix, remote.Corrupt, err).
				WithHint("the bytes beside it may be the only copy of a file: keep both and mount with another catalog directory")
		}
		if !d.Dirty {
			if err := remove(path); err != nil {
				return nil, nil, err
			}
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			return nil, nil, wrap("open spool file", name, err)
		}
		file := &File{spool: s, path: path, f: f, d: d}
		switch err := file.reopen(); {
		case errors.Is(err, os.ErrNotExist): // the journal's
			if err := errors.Join(f.Close(), setAside(path)); err != nil {
				return nil, nil, err
			}
			lost = append(lost, path+dataSuffix+LostSuffix)
			continue
		case err != nil:
			return nil, nil, err
		}
		files = append(files, file)
	}
	return files, lost, nil
}

// Waiting counts the files that an earlier process left and Recover has not opened yet, and their
// bytes, holes not counted.
func (s *Spool) Waiting() (files int, bytes int64, err error) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*"+dataSuffix))
	if err != nil {
		return 0, 0, wrap("read spool", s.dir, err)
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return 0, 0, wrap("read spool", name, err)
		}
		b, err := readFile(strings.TrimSuffix(name, dataSuffix) + metaSuffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if d, derr := decode(b); err == nil && derr == nil && !d.Dirty {
			continue
		}
		files++
		bytes += min(512*st.Blocks, st.Size)
	}
	return files, bytes, nil
}

// setAside keeps the files of an edit under other names.
func setAside(path string) error {
	for _, p := range []string{path + metaSuffix, path + mapSuffix, path + dataSuffix} {
		if err := os.Rename(p, p+LostSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return wrap("set spool file aside", p, err)
		}
	}
	return nil
}

// reopen brings a file that an earlier process left into the state that its description means.
// After a loss of power that is what was synced: what came after at the end, and in the journal,
// may be there without its bytes.
func (f *File) reopen() error {
	if f.d.Synced && !f.SameBoot() {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if st.Size > f.d.SyncedSize {
			if err := f.f.Truncate(f.d.SyncedSize); err != nil {
				return wrap("open spool file", f.path, err)
			}
		}
		if f.d.Overlay {
			if err := os.Truncate(f.path+mapSuffix, int64(f.d.SyncedMap)*mapRecord); err != nil {
				return wrap("open spool file", f.path, err)
			}
		}
	}
	if f.d.Overlay {
		return f.openOver()
	}
	return nil
}

// readFile is os.ReadFile that follows no link.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func decode(b []byte) (d Description, err error) {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, err
	}
	if d.Format != format {
		return d, fmt.Errorf("format %d", d.Format)
	}
	return d, nil
}
