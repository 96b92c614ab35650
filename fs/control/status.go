package control

import (
	"time"

	"mediafs/fs/vfs"
)

// Status is what a daemon tells of its library; also the form of `mediafs status --json`, where a
// field is only ever added. Sizes are bytes.
type Status struct {
	Mount      string    `json:"mount"` // mount point
	Store      string    `json:"store"` // without secrets
	Library    string    `json:"library"`
	Client     uint64    `json:"client"` // client number; 0 for a read-only mount that never joined
	PID        int       `json:"pid"`    // 0: there is none
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	CatalogDir string    `json:"catalog_dir"`
	CacheDir   string    `json:"cache_dir"`

	// false: the daemon is dead or silent, and only Mount (and what the list of mounts says) is
	// known
	Running  bool `json:"running"`
	Ending   bool `json:"ending,omitempty"` // it was unmounted, or told to end, and finishes
	ReadOnly bool `json:"read_only"`        // also for as long as Blocked says
	Offline  bool `json:"offline"`          // the store has not been reached for a while

	Blocked *Blocked `json:"blocked,omitempty"` // why the library is read-only for now

	// what the store holds for this library and what waits for its upload, as df tells it
	Used      int64      `json:"used_bytes"`
	Pending   Pending    `json:"pending"`
	Cache     CacheState `json:"cache"`
	Log       LogState   `json:"log"`
	Media     MediaState `json:"media"`
	Dropped   int        `json:"dropped,omitempty"`   // late changes that were not made: others were newer
	Kept      int        `json:"kept,omitempty"`      // late changes that were made in part or otherwise
	Conflicts []string   `json:"conflicts,omitempty"` // what became of the last of both, oldest first
	LastError *LastError `json:"last_error,omitempty"`

	// media that could not be read or uploaded when that was last tried, oldest first
	Troubles   []vfs.Trouble `json:"troubles,omitempty"`
	ObjectLock string        `json:"object_lock,omitempty"` // what Object Lock of the bucket means; empty: it has none
}

// Blocked is why the log of a library cannot be read on. The mount goes on by itself when that is
// mended.
type Blocked struct {
	Commit uint64 `json:"commit"` // the last one that could be read
	Why    string `json:"why"`    // names the object in the store
	Advice string `json:"advice"` // what people can do
}

// Pending is what is on this machine and not yet in the store.
type Pending struct {
	Files      int   `json:"files"`      // contents to be uploaded
	Bytes      int64 `json:"bytes"`      // of those
	Operations int   `json:"operations"` // changes of the catalog in the outbox
}

// None tells whether everything is in the store.
func (p Pending) None() bool { return p.Files == 0 && p.Bytes == 0 && p.Operations == 0 }

// CacheState is the read cache.
type CacheState struct {
	Bytes   int64 `json:"bytes"`
	Limit   int64 `json:"limit"`
	Hits    int64 `json:"hits"`   // blocks found
	Misses  int64 `json:"misses"` // blocks waited for
	Fetched int64 `json:"fetched_bytes"`
}

// HitRate is the share of blocks that were found, 0 to 1; ok is false when none was asked for.
func (c CacheState) HitRate() (rate float64, ok bool) {
	if c.Hits+c.Misses == 0 {
		return 0, false
	}
	return float64(c.Hits) / float64(c.Hits+c.Misses), true
}

// LogState is how far the catalog follows the store's log.
type LogState struct {
	Applied    uint64  `json:"applied"`     // newest commit that the catalog has
	Newest     uint64  `json:"newest"`      // newest commit that was seen in the store
	LagSeconds float64 `json:"lag_seconds"` // since the store last answered
}

// MediaState is how far the library knows its media.
type MediaState struct {
	// what the bytes of some media say is still to be read, by this machine
	FactsPending bool `json:"facts_pending"`
	// while the index is made: records that are in it; until then searches miss media
	Indexed uint64 `json:"indexed,omitempty"`
	ToIndex uint64 `json:"to_index,omitempty"` // while the index is made: records in all, about; 0: it is ready
}

// LastError is the newest failure behind the user's back: an upload, an append, a read of the log
// that will be tried again.
type LastError struct {
	Text string    `json:"text"`
	Time time.Time `json:"time,omitzero"` // zero: not known
}
