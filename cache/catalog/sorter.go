package catalog

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A sorter orders pairs of key and value that come in any order. What does not fit into its memory
// goes to a nameless file in sorted runs, which are merged at the end. No two keys are equal.
type sorter struct {
	dir   string
	limit int // bytes in memory before a run is written
	slab  []byte
	at    []uint32 // where in slab each pair begins
	f     *os.File // the runs; nil: none yet
	ends  []int64  // where in f each run ends
}

// A pair is two lengths (4 bytes each), the key and the value.
const pairHeader = 8

func newSorter(dir string, limit int) *sorter { return &sorter{dir: dir, limit: limit} }

func (s *sorter) key(at uint32) []byte {
	n := binary.BigEndian.Uint32(s.slab[at:])
	return s.slab[at+pairHeader : at+pairHeader+n]
}

func (s *sorter) pair(at uint32) []byte {
	k, v := binary.BigEndian.Uint32(s.slab[at:]), binary.BigEndian.Uint32(s.slab[at+4:])
	return s.slab[at : at+pairHeader+k+v]
}

// add takes a pair; both are copied.
func (s *sorter) add(key, value []byte) error {
	if more := pairHeader + len(key) + len(value); len(s.at) > 0 && s.held()+more+4 > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.at = append(s.at, uint32(len(s.slab)))
	s.slab = binary.BigEndian.AppendUint32(s.slab, uint32(len(key)))
	s.slab = binary.BigEndian.AppendUint32(s.slab, uint32(len(value)))
	s.slab = append(append(s.slab, key...), value...)
	return nil
}

// held is what is in memory, in bytes.
func (s *sorter) held() int { return len(s.slab) + 4*len(s.at) }

func (s *sorter) sort() {
	slices.SortFunc(s.at, func(a, b uint32) int { return bytes.Compare(s.key(a), s.key(b)) })
}

// spill writes a run.
func (s *sorter) spill() error {
	if s.f == nil {
		name := filepath.Join(s.dir, "sort")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
		if err == nil {
			s.f, err = f, os.Remove(name)
		}
		if err != nil {
			return local("sort catalog", name, err)
		}
	}
	s.sort()
	w := bufio.NewWriterSize(s.f, 256<<10)
	end := int64(0)
	if len(s.ends) > 0 {
		end = s.ends[len(s.ends)-1]
	}
	for _, at := range s.at {
		p := s.pair(at)
		if _, err := w.Write(p); err != nil {
			return local("sort catalog", s.dir, err)
		}
		end += int64(len(p))
	}
	if err := w.Flush(); err != nil {
		return local("sort catalog", s.dir, err)
	}
	s.ends = append(s.ends, end)
	s.slab, s.at = s.slab[:0], s.at[:0]
	return nil
}

// each gives all pairs in order. Key and value are valid until it returns.
func (s *sorter) each(fn func(key, value []byte) error) error {
	if s.f == nil {
		s.sort()
		for _, at := range s.at {
			k := binary.BigEndian.Uint32(s.slab[at:])
			p := s.pair(at)[pairHeader:]
			if err := fn(p[:k:k], p[k:]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.slab, s.at = nil, nil
	var runs merge
	start := int64(0)
	for _, end := range s.ends {
		r := &sorted{r: bufio.NewReaderSize(io.NewSectionReader(s.f, start, end-start), 64<<10)}
		start = end
		if err := r.next(); err == nil {
			runs = append(runs, r)
		} else if err != io.EOF {
			return local("sort catalog", s.dir, err)
		}
	}
	heap.Init(&runs)
	for len(runs) > 0 {
		if err := fn(runs[0].key, runs[0].value); err != nil {
			return err
		}
		switch err := runs[0].next(); err {
		case nil:
			heap.Fix(&runs, 0)
		case io.EOF:
			heap.Pop(&runs)
		default:
			return local("sort catalog", s.dir, err)
		}
	}
	return nil
}

func (s *sorter) close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}

// sorted is a run that is read.
type sorted struct {
	r          *bufio.Reader
	buf        []byte
	key, value []byte
}

// next reads the next pair; io.EOF after the last.
func (r *sorted) next() error {
	var h [pairHeader]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return err
	}
	k, v := int(binary.BigEndian.Uint32(h[:])), int(binary.BigEndian.Uint32(h[4:]))
	r.buf = slices.Grow(r.buf[:0], k+v)[:k+v]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	r.key, r.value = r.buf[:k:k], r.buf[k:]
	return nil
}

// merge is a heap of runs by their next keys.
type merge []*sorted

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return bytes.Compare(m[i].key, m[j].key) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*sorted)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
