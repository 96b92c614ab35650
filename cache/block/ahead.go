package block

// Reading ahead. A handle has up to two streams, because players read sound and picture of one file
// at two places in turn. A stream that reads on in order gets a window ahead of it, which doubles
// as it is used; it is fetched with up to two GETs at a time. Random reads fetch nothing ahead.
const (
	streamsPerReader = 2

	// A read this near to where a stream is belongs to it: the kernel reads ahead itself, several
	// requests at once and not always in order. 1 MiB is the most it reads ahead in one go.
	streamSlack = 1 << 20

	// Who looks at the first bytes of a file only (file managers, EXIF readers) stays below this.
	streamStart = 128 << 10

	firstWindow = 512 << 10
	maxWindow   = 16 << 20

	getsPerStream = 2

	// A stream that so many reads in a row passed by was left for good: what it still fetches is
	// cancelled.
	streamPatience = 4
)

// A stream is a place where a handle reads in order. Guarded by Cache.mu.
type stream struct {
	r       *Reader
	live    bool
	last    int   // Reader.clock of the last read
	pos     int64 // end of the furthest read, in bytes
	ordered int64 // bytes read in order
	window  int64 // bytes to be read ahead of pos; 0: none yet
	planned int64 // block up to which read-ahead was set off
	until   int64 // block up to which it shall be
	runs    []*run
}

// advance notes a read of n bytes at off and reads ahead of it. Needs mu.
func (r *Reader) advance(off, n int64) {
	c := r.c
	if c.local || r.closed || c.mu.closed {
		return
	}
	r.clock++
	st := r.streamAt(off)
	begins := st.last == 0
	for i := range r.streams {
		if o := &r.streams[i]; o != st && o.live && r.clock-o.last >= streamPatience {
			c.cancelRuns(o)
		}
	}
	st.last = r.clock
	end := off + n
	if end <= st.pos {
		return
	}
	st.ordered += min(n, end-st.pos)
	st.pos = end
	if begins || st.ordered <= streamStart {
		return
	}
	next := (st.pos + BlockSize - 1) / BlockSize
	switch {
	case st.window == 0:
		st.window = firstWindow
	case st.until*BlockSize-st.pos >= st.window/2:
		c.pump(st) // the window is more than half full
		return
	case st.window < maxWindow && c.mu.windows+st.window <= c.opt.Memory/2:
		// The other half of the memory is for blocks in transit and blocks that were read.
		c.mu.windows += st.window
		st.window *= 2
	}
	st.planned = max(st.planned, next)
	st.until = min(blocksOf(r.e.size), (st.pos+st.window+BlockSize-1)/BlockSize)
	c.pump(st)
}

// streamAt returns the stream that a read at off belongs to, a new one in place of the one used
// less lately if there is none. Needs mu.
func (r *Reader) streamAt(off int64) *stream {
	oldest := &r.streams[0]
	for i := range r.streams {
		st := &r.streams[i]
		if st.live && off >= st.pos-streamSlack && off <= st.pos+streamSlack {
			return st
		}
		if !st.live || oldest.live && st.last < oldest.last {
			oldest = st
		}
	}
	r.c.dropStream(oldest)
	*oldest = stream{r: r, live: true, pos: off}
	return oldest
}

// pump sets off the read-ahead that is planned. Needs mu.
func (c *Cache) pump(st *stream) {
	e := st.r.e
	st.planned = max(st.planned, st.pos/BlockSize)
	for len(st.runs) < getsPerStream && st.planned < st.until {
		if !c.missing(e, st.planned) {
			st.planned++
			continue
		}
		run := c.newRun(e, st.planned, false)
		run.stream = st
		run.interest = 1
		most := min(max(1, st.window/2/BlockSize), maxRun)
		for n := int64(0); n < most && st.planned < st.until && c.missing(e, st.planned); n++ {
			run.add(st.planned)
			st.planned++
		}
		st.runs = append(st.runs, run)
		c.start(run)
	}
}

// missing reports whether a block is neither here nor on its way. Needs mu.
func (c *Cache) missing(e *entry, block int64) bool {
	if e.flights[block] != nil || e.recent[block] != nil {
		return false
	}
	return e.disk == nil || e.disk.segment(block).have&bit(block) == 0
}

// ended is called once when a run is over. Needs mu.
func (c *Cache) ended(r *run, err error) {
	st := r.stream
	if st == nil {
		return
	}
	r.stream = nil
	for i, o := range st.runs {
		if o == r {
			st.runs = append(st.runs[:i], st.runs[i+1:]...)
			break
		}
	}
	if err != nil {
		st.until = st.planned // who reads on will get the error, or more luck
		return
	}
	c.pump(st)
}

// cancelRuns gives up what a stream fetches, except blocks that somebody waits for. Needs mu.
func (c *Cache) cancelRuns(st *stream) {
	runs := st.runs
	st.runs, st.until, st.planned = nil, 0, 0
	for _, r := range runs {
		r.stream = nil
		c.lessInterest(r)
	}
}

// dropStream ends a stream. Needs mu.
func (c *Cache) dropStream(st *stream) {
	c.cancelRuns(st)
	if st.window > firstWindow {
		c.mu.windows -= st.window - firstWindow
	}
	*st = stream{}
}
