package operation

// Stored is how much of a piece the store has.
func (p *Piece) Stored() int64 {
	if p.Has == nil {
		return 0
	}
	return p.N
}

// RunLengths gives for each piece how long the run is that it is part of.
func RunLengths(ps []Piece) []int64 {
	type run struct {
		content string
		shift   int64
	}
	all := make(map[run]int64)
	for _, p := range ps {
		if p.Has != nil {
			all[run{string(p.Has.Content), p.From - p.Off}] += p.N
		}
	}
	lengths := make([]int64, len(ps))
	for i, p := range ps {
		if lengths[i] = p.N; p.Has != nil {
			lengths[i] = all[run{string(p.Has.Content), p.From - p.Off}]
		}
	}
	return lengths
}
