package engine

import (
	"io"
	"sort"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/spool"
	"mediafs/remote/bucket/record"
)

// plan decides what of a media of size bytes is sent, and what of its old head is referred to.
func (fs *FS) plan(w *writing, size int64) ([]piece, error) {
	if size == 0 {
		return nil, nil
	}
	data, err := w.file.Segments()
	if err != nil {
		return nil, err
	}
	if w.head == nil {
		return wholePieces(data, size), nil
	}
	ps := layPieces(w.head, &w.dirty, data, size)
	if size <= fs.opt.WholeBelow && wholePays(ps, w.head, size) {
		return []piece{{off: 0, n: size}}, nil
	}
	ps = fit(ps, w.head, size)
	if segs, sent := sentRuns(ps); len(segs) == len(ps) && size-sent < minHoles {
		return []piece{{off: 0, n: size}}, nil
	}
	return ps, nil
}

// wholePieces sends all of a file, or, when it has holes worth leaving out, its data in at most as
// many runs as a head has extents.
func wholePieces(data []spool.Segment, size int64) []piece {
	var ps []piece
	for _, s := range uploadSegments(data, size) {
		ps = append(ps, piece{off: s.Offset, n: s.Length})
	}
	return ps
}

// layPieces lays what was written over a head. data are the runs of the file that are no holes.
func layPieces(head *record.Head, dirty *spool.Ranges, data []spool.Segment, size int64) []piece {
	var ps []piece
	for _, s := range intersect(dirty.In(0, size), data) {
		ps = append(ps, piece{off: s.Offset, n: s.Length})
	}
	for _, e := range head.Extents {
		off := int64(e.Offset)
		for _, s := range dirty.Out(off, min(int64(e.Length), size-off)) {
			ps = append(
				ps, piece{off: s.Offset, n: s.Length, has: e, from: int64(e.ContentOffset) + s.Offset - off},
			)
		}
	}
	sort.Slice(ps, func(i, j int) bool { return ps[i].off < ps[j].off })
	return joinPieces(ps)
}

// wholePays reports whether a small media is better sent as a whole than laid over its head: when
// it was one extent and was edited, not appended to, since such files are written to once and read
// by all; when little of the head is left, which would keep all of its contents; and when next to
// nothing would not be sent.
func wholePays(ps []piece, head *record.Head, size int64) bool {
	_, sent := sentRuns(ps)
	if size < int64(head.Size)/2 {
		return true
	}
	if sent > 0 && size <= int64(head.Size) && len(head.Extents) == 1 {
		return true
	}
	return 16*(size-sent) <= sent
}

// intersect gives what two ascending lists of runs have in common.
func intersect(a, b []spool.Segment) (out []spool.Segment) {
	for len(a) > 0 && len(b) > 0 {
		from, to := max(a[0].Offset, b[0].Offset), min(a[0].End(), b[0].End())
		if from < to {
			out = append(out, spool.Segment{Offset: from, Length: to - from})
		}
		if a[0].End() < b[0].End() {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// head makes the head of pieces; those that are sent are one content with this id, one after the
// other.
func headOf(ps []piece, size int64, id []byte) *record.Head {
	h := &record.Head{Size: uint64(size)}
	at := int64(0)
	for _, p := range ps {
		e := &record.Extent{Content: id, ContentOffset: uint64(at)}
		if p.has != nil {
			e = proto.CloneOf(p.has) // with what a later version may have put there
			e.ContentOffset = uint64(p.from)
		} else {
			at += p.n
		}
		e.Offset, e.Length = uint64(p.off), uint64(p.n)
		h.Extents = append(h.Extents, e)
	}
	return h
}

// sentRuns are the runs of a plan that are sent.
func sentRuns(ps []piece) (segs []spool.Segment, size int64) {
	for _, p := range ps {
		if p.has == nil {
			segs = append(segs, spool.Segment{Offset: p.off, Length: p.n})
			size += p.n
		}
	}
	return segs, size
}

// minHoles is how many bytes of holes make an upload leave them out; with fewer, the content is
// exactly the file.
const minHoles = 1 << 20

// uploadSegments gives the runs of a file of these runs of data that are uploaded: all of it, or,
// when it has holes worth leaving out, its data in at most as many runs as a head has extents.
func uploadSegments(segs []spool.Segment, size int64) []spool.Segment {
	data := int64(0)
	for _, s := range segs {
		data += s.Length
	}
	if size-data < minHoles {
		return []spool.Segment{{Offset: 0, Length: size}}
	}
	if len(segs) <= record.MaxExtents {
		return segs
	}
	// Keep the widest gaps.
	gaps := make([]int, len(segs)-1) // gap i is before segment i+1
	for i := range gaps {
		gaps[i] = i
	}
	width := func(i int) int64 { return segs[i+1].Offset - segs[i].End() }
	sort.Slice(gaps, func(a, b int) bool { return width(gaps[a]) > width(gaps[b]) })
	keep := make(map[int]bool)
	for _, g := range gaps[:record.MaxExtents-1] {
		keep[g] = true
	}
	out := segs[:1:1]
	for i, s := range segs[1:] {
		last := &out[len(out)-1]
		if keep[i] {
			out = append(out, s)
		} else {
			last.Length = s.End() - last.Offset
		}
	}
	return out
}

// segmentReader reads runs of a media as if they followed each other.
type segmentReader struct {
	media io.ReaderAt
	segs  []spool.Segment
	size  int64 // of the runs
}

// at gives the runs of the media that [off, off+n) of the runs one after the other is.
func (r *segmentReader) at(off, n int64) (runs []spool.Segment) {
	start := int64(0)
	for _, s := range r.segs {
		from, to := max(off, start), min(off+n, start+s.Length)
		if from < to {
			runs = append(runs, spool.Segment{Offset: s.Offset + from - start, Length: to - from})
		}
		start += s.Length
	}
	return runs
}

func (r *segmentReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= r.size {
		return 0, io.EOF
	}
	done := 0
	start := int64(0)
	for _, s := range r.segs {
		end := start + s.Length
		if off < end && done < len(p) {
			n := min(int64(len(p)-done), end-off)
			m, err := r.media.ReadAt(p[done:done+int(n)], s.Offset+off-start)
			done += m
			off += int64(m)
			if int64(m) < n {
				return done, short(err)
			}
		}
		start = end
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// A piece of the next head: a run that is sent, or one that the store has.
type piece struct {
	off, n int64
	has    *record.Extent // the extent of the old head that it lies in; nil: it is sent
	from   int64          // with has: where it begins in the content
}

// end is the offset after the piece.
func (p *piece) end() int64 { return p.off + p.n }
