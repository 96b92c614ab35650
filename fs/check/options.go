package check

import (
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/remote/bucket"
)

// Options say what is looked at. Store is needed; the zero value of the rest works.
type Options struct {
	Store *bucket.Store // best opened read-only; nothing that writes is called

	// Data reads every byte of every content that is in use, once, and the whole log, and compares
	// them with their checksums.
	Data bool

	// where the replica of the catalog is made; empty: the system's. It needs the room that a
	// mount's catalog takes
	TempDir string

	// Readers is how many contents are read, or asked for, at the same time; 0 is 4. Each takes 256
	// KiB and its list of block checksums.
	Readers int
	// RangeSize is how many bytes of a content one request asks for; in whole blocks of 256 KiB; 0
	// is 32 MiB. After a broken connection reading goes on at the block it broke in.
	RangeSize int64
	// Attempts is how often a request is sent that the store did not answer, Pause the time before
	// the second, which then doubles; 0 are 5 and 500 ms.
	Attempts int
	Pause    time.Duration

	// MaxFindings bounds the damage that is returned one by one; 0 is 10,000. All of it is counted.
	MaxFindings int

	// Progress is told how far the work is, several times a second at most. It is called from one
	// goroutine at a time and must not block.
	Progress func(Progress)

	// Each is given every piece of garbage that Garbage finds. An error of it ends the work.
	Each func(Item) error

	Log *logrus.Entry // for the replica's goroutine; nil logs nothing

	step func(point string) // called at named points, for tests that change the library there
}

// A Progress tells how far the work is.
type Progress struct {
	Phase string // what is done, for people
	Done  int64  // records, objects or bytes
	Total int64  // of them; 0: not known
	Bytes bool   // Done and Total are bytes
}

// maxNotes is how many notes of one class are returned: they harm nobody, and the first few say
// what they are.
const maxNotes = 20

func (o Options) withDefaults() Options {
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.RangeSize <= 0 {
		o.RangeSize = 32 << 20
	}
	o.RangeSize = (o.RangeSize + blockSize - 1) / blockSize * blockSize
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Pause <= 0 {
		o.Pause = 500 * time.Millisecond
	}
	if o.MaxFindings <= 0 {
		o.MaxFindings = 10000
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	return o
}
