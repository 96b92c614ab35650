package check

import (
	"context"
	"errors"
	"fmt"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// The rules by which the log may be trimmed: see FORMAT.md.
const keptCommits = 10000 // the newest ones are never deleted

// A history is what the store lists of log and checkpoints.
type history struct {
	manifests []bucket.ManifestObject // ascending
	parts     map[string]int64        // key → size
	unread    map[string]error        // parts that the store says nothing of: why
	first     uint64                  // oldest commit that is read
	last      uint64
}

// older is the commit from which on the log must be whole: that of the older of the two newest
// checkpoints. With one checkpoint it is that one's, without any it is 0, the empty library.
func (h *history) older() uint64 {
	switch n := len(h.manifests); n {
	case 0:
		return 0
	case 1:
		return h.manifests[0].Seq
	default:
		return h.manifests[n-2].Seq
	}
}

// readHistory lists checkpoints, then their parts: a part that a manifest names was there before
// it. A part that the listing lacks is asked for. An error that is about one part alone, which
// ofObject tells, is kept.
func readHistory(ctx context.Context, s *bucket.Store, ofObject func(error) bool) (*history, error) {
	h := &history{parts: make(map[string]int64), unread: make(map[string]error)}
	for m, err := range s.Manifests(ctx) {
		if err != nil {
			return nil, err
		}
		if remote.KindOf(m.Err) != remote.NotExist {
			h.manifests = append(h.manifests, m)
		}
	}
	for p, err := range s.Parts(ctx) {
		if err != nil {
			return nil, err
		}
		h.parts[p.Key] = p.Size
	}
	for _, m := range h.manifests {
		for _, p := range m.Parts {
			if h.parts[p.Key] == p.Size {
				continue
			}
			size, there, err := s.StatPart(ctx, p.Key)
			if ofObject(err) {
				h.unread[p.Key] = err
				continue
			}
			if err != nil {
				return nil, err
			}
			if there {
				h.parts[p.Key] = size
			}
		}
	}
	return h, nil
}

// checkLog compares log and checkpoints with the rules they were written by. What seems wrong is
// looked at once more: a checkpoint and its parts may have been deleted as old meanwhile, and the
// log trimmed after newer checkpoints were written.
func (c *checker) checkLog() error {
	c.meter.phase("listing log and checkpoints", 0, false)
	var h *history
	var l listing
	var err error
	for range 2 {
		if h, err = readHistory(c.ctx, c.opt.Store, c.ofObject); err != nil {
			return err
		}
		if l, err = c.listLog(); err != nil {
			return err
		}
		if !c.lacks(h) && len(l.faults(h)) == 0 {
			break
		}
	}
	c.checkManifests(h)
	c.checkGaps(h, l)
	if !c.opt.Data {
		return nil
	}
	return c.readLog(h)
}

func (c *checker) lacks(h *history) bool {
	for _, m := range h.manifests {
		for _, p := range m.Parts {
			if h.parts[p.Key] != p.Size {
				return true
			}
		}
	}
	return false
}

func (c *checker) checkManifests(h *history) {
	c.report.Checkpoints = int64(len(h.manifests))
	for _, size := range h.parts {
		c.report.Parts.add(size)
	}
	for _, m := range h.manifests {
		what := fmt.Sprintf("checkpoint after commit %d", m.Seq)
		switch remote.KindOf(m.Err) {
		case remote.Unsupported:
			c.find.add(UnknownRecord, Place{}, what, "%v", m.Err)
			continue
		default:
			if m.Err != nil {
				c.find.add(BadManifest, Place{}, what, "%v", m.Err)
				continue
			}
		}
		for _, p := range m.Parts {
			size, there := h.parts[p.Key]
			switch {
			case h.unread[p.Key] != nil:
				c.find.add(MissingPart, Place{}, what, "%v", h.unread[p.Key])
			case !there:
				c.find.add(MissingPart, Place{}, what, "%s is not there", p.Key)
			case size != p.Size:
				c.find.add(MissingPart, Place{}, what, "%s has %d bytes, not %d", p.Key, size, p.Size)
			}
		}
	}
}

// A gap is a run of commits that are not in the log, although later ones are.
type gap struct{ from, to uint64 }

// A listing is the log as the store lists it.
type listing struct {
	tally       Tally
	first, last uint64
	gaps        []gap
	before      int64 // commits before the last gap
}

func (c *checker) listLog() (l listing, err error) {
	for o, err := range c.opt.Store.LogObjects(c.ctx) {
		if err != nil {
			return l, err
		}
		if o.Seq != l.last+1 {
			l.gaps = append(l.gaps, gap{l.last + 1, o.Seq - 1})
			l.before, l.first = l.tally.Count, o.Seq
		} else if l.last == 0 {
			l.first = o.Seq
		}
		l.last = o.Seq
		l.tally.add(o.Size)
		c.meter.add(1)
	}
	return l, nil
}

// faults are the gaps that no trimming leaves.
func (l *listing) faults(h *history) (gaps []gap) {
	for _, g := range l.gaps {
		if g.to > h.older() || g.to+keptCommits > l.last {
			gaps = append(gaps, g)
		}
	}
	if n := len(h.manifests); n > 0 && h.manifests[n-1].Seq > l.last { // it was there before the log was listed
		gaps = append(gaps, gap{l.last + 1, h.manifests[n-1].Seq})
	}
	return gaps
}

// checkGaps looks at what is missing in the log. A commit may be missing when it is one of those
// that trimming deletes; then what is left before it was abandoned by its author.
func (c *checker) checkGaps(h *history, l listing) {
	h.first, h.last = l.first, l.last
	c.report.Log, c.report.First, c.report.Last = l.tally, l.first, l.last
	faults := l.faults(h)
	for _, g := range faults {
		if g.from > l.last {
			c.find.add(
				LogGap, Place{}, fmt.Sprintf("log from commit %d on", g.from),
				"it ends at commit %d, and there is a checkpoint after commit %d", l.last, g.to,
			)
			continue
		}
		c.find.add(
			LogGap, Place{}, fmt.Sprintf("log from commit %d to %d", g.from, g.to),
			"%d commits are missing, and the log goes on after them", g.to-g.from+1,
		)
	}
	if l.before > 0 && len(faults) == 0 {
		c.find.add(
			AbandonedLog, Place{}, fmt.Sprintf("%d commits before commit %d", l.before, l.first),
			"the log between them was trimmed",
		)
	}
}

// readLog reads the commits that are listed and compares each with the hashes that its successor
// and checkpoints have of it.
func (c *checker) readLog(h *history) error {
	c.meter.phase("reading the log", c.report.Log.Count, false)
	hashes := make(map[uint64][]byte)
	for _, m := range h.manifests {
		if m.Err == nil {
			hashes[m.Seq] = m.Hash
		}
	}
	next, previous := h.first, []byte{}
	if next > 1 {
		next, previous = next+1, nil // what is asked for must have a predecessor
	}
	for h.last > 0 && next <= h.last {
		var failed error
		for e, err := range c.opt.Store.Read(c.ctx, next) {
			if failed = err; err != nil || e.Seq > h.last {
				break
			}
			what := fmt.Sprintf("commit %d", e.Seq)
			commit, err := record.DecodeCommit(e.Body)
			if err != nil {
				c.find.add(BadCommit, Place{}, what, "%v", err)
			} else if previous != nil && string(commit.Previous) != string(previous) {
				c.find.add(BadCommit, Place{}, what, "it was made to follow another commit than %d", e.Seq-1)
			}
			previous = record.Hash(e.Body)
			if want := hashes[e.Seq]; want != nil && string(want) != string(previous) {
				c.find.add(
					BadManifest, Place{}, fmt.Sprintf("checkpoint after commit %d", e.Seq),
					"it was made after another commit of this number",
				)
			}
			next = e.Seq + 1
			c.meter.add(1)
		}
		switch {
		case failed == nil,
			errors.Is(failed, remote.Stale): // a gap, which was found in the listing, or trimmed meanwhile
			return nil
		case c.ofObject(failed):
			c.find.add(BadCommit, Place{}, fmt.Sprintf("commit %d", next), "%v", failed)
			next, previous = next+1, nil
		default:
			return failed
		}
	}
	return nil
}
