package spool

import "slices"

// Ranges is a set of byte offsets, as runs. The zero value is empty. It is not safe for concurrent
// use.
type Ranges struct {
	runs []Segment // ascending, neither overlapping nor touching, none empty
}

// find gives the index of the first run that ends at off or later.
func (r *Ranges) find(off int64) int {
	i, _ := slices.BinarySearchFunc(r.runs, off, func(s Segment, off int64) int {
		if s.End() < off {
			return -1
		}
		return 1
	})
	return i
}

// Add puts [off, off+n) into the set.
func (r *Ranges) Add(off, n int64) {
	if n <= 0 {
		return
	}
	end := off + n
	i := r.find(off)
	j := i
	for ; j < len(r.runs) && r.runs[j].Offset <= end; j++ {
		off, end = min(off, r.runs[j].Offset), max(end, r.runs[j].End())
	}
	r.runs = slices.Replace(r.runs, i, j, Segment{off, end - off})
}

// Cut takes everything from size on out of the set.
func (r *Ranges) Cut(size int64) {
	for i, s := range r.runs {
		if s.End() > size {
			if s.Offset < size {
				r.runs[i].Length = size - s.Offset
				i++
			}
			r.runs = r.runs[:i]
			return
		}
	}
}

// Remove takes [off, off+n) out of the set.
func (r *Ranges) Remove(off, n int64) {
	if n <= 0 {
		return
	}
	end := off + n
	i := r.find(off + 1)
	var edges []Segment // what is left of the runs at either end
	j := i
	for ; j < len(r.runs) && r.runs[j].Offset < end; j++ {
		s := r.runs[j]
		if s.Offset < off {
			edges = append(edges, Segment{s.Offset, off - s.Offset})
		}
		if s.End() > end {
			edges = append(edges, Segment{end, s.End() - end})
		}
	}
	r.runs = slices.Replace(r.runs, i, j, edges...)
}

// Covers tells whether all of [off, off+n) is in the set.
func (r *Ranges) Covers(off, n int64) bool {
	if n <= 0 {
		return true
	}
	i := r.find(off + 1)
	return i < len(r.runs) && r.runs[i].Offset <= off && r.runs[i].End() >= off+n
}

// In lists what of [off, off+n) is in the set.
func (r *Ranges) In(off, n int64) []Segment {
	var out []Segment
	for i := r.find(off); i < len(r.runs) && r.runs[i].Offset < off+n; i++ {
		from, to := max(off, r.runs[i].Offset), min(off+n, r.runs[i].End())
		if from < to {
			out = append(out, Segment{from, to - from})
		}
	}
	return out
}

// Out lists what of [off, off+n) is not in the set.
func (r *Ranges) Out(off, n int64) []Segment {
	var out []Segment
	end := off + n
	for _, s := range r.In(off, n) {
		if off < s.Offset {
			out = append(out, Segment{off, s.Offset - off})
		}
		off = s.End()
	}
	if off < end {
		out = append(out, Segment{off, end - off})
	}
	return out
}

// Runs is how many runs the set has.
func (r *Ranges) Runs() int { return len(r.runs) }

// Clear empties the set.
func (r *Ranges) Clear() { r.runs = nil }
