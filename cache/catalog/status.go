package catalog

import (
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Status is what the catalog tells of itself.
type Status struct {
	Client    uint32    `json:"client"`
	Applied   uint64    `json:"applied"`             // number of the last commit that was applied
	Newest    uint64    `json:"newest"`              // number of the newest commit that was seen in the store
	Outbox    int       `json:"outbox"`              // operations that are not in the log
	Reached   time.Time `json:"reached"`             // when the store last answered
	Error     string    `json:"error,omitempty"`     // last error of the log
	ErrorTime time.Time `json:"error_time,omitzero"` // when
	Fatal     string    `json:"fatal,omitempty"`     // why nothing is written any more
	// why the log cannot be read on, and nothing is written until it can
	Blocked    *Blocked `json:"blocked,omitempty"`
	Loading    string   `json:"loading,omitempty"`    // why there is no catalog to read now
	Dropped    int      `json:"dropped,omitempty"`    // late operations that were not carried out
	Kept       int      `json:"kept,omitempty"`       // late operations that were carried out in part or otherwise
	Conflicts  []string `json:"conflicts,omitempty"`  // what became of the last of both, oldest first
	Checkpoint uint64   `json:"checkpoint,omitempty"` // newest checkpoint written or loaded by this machine
	Indexed    uint64   `json:"indexed,omitempty"`    // while the index is made: records that are in it
	// while the index is made: records in all, about; 0: it is ready, or not kept
	ToIndex uint64 `json:"to_index,omitempty"`

	// what the library holds, the outbox included; while a checkpoint is loaded, what it held
	Usage record.Usage `json:"usage"`
}

// A statusBox is the status under a lock of its own, so that asking for it waits for nothing.
type statusBox struct {
	mu   sync.Mutex
	s    Status
	kind remote.Kind // of the error that is in s
}

func (b *statusBox) set(f func(*Status)) {
	b.mu.Lock()
	f(&b.s)
	b.mu.Unlock()
}

// Status tells how the catalog stands to its log. It waits neither for the store nor for a
// checkpoint that is being loaded.
func (c *Catalog) Status() Status {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	s := c.status.s
	s.Newest = max(s.Newest, s.Applied)
	return s
}

// unlock ends a change of the catalog: Status tells of it from now on.
func (c *Catalog) unlock() {
	c.publish()
	c.mu.Unlock()
}

// publish copies what Status tells. mu is held.
func (c *Catalog) publish() {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	usage, known := c.usage()
	c.status.set(func(s *Status) {
		if known {
			s.Usage = usage
		}
		s.Client, s.Applied, s.Outbox = c.st.client, c.st.seq, len(c.st.pending)
		s.Fatal, s.Loading, s.Blocked = text(c.st.fatal), text(c.st.loading), c.st.blocked
		s.Indexed, s.ToIndex = 0, 0
		if done, total, ready := c.indexReady(); !ready && !c.opt.NoIndex {
			s.Indexed, s.ToIndex = done, max(total, 1)
		}
	})
}

// usage reads what the library holds. mu is held.
func (c *Catalog) usage() (u record.Usage, known bool) {
	if c.st.loading != nil || c.st.closed {
		return u, false
	}
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	u = tx.Usage()
	return u, tx.err == nil
}

func (c *Catalog) failed(err error) {
	c.status.set(func(s *Status) {
		s.Error, s.ErrorTime = err.Error(), time.Now()
		if blocking(err) {
			s.Reached = s.ErrorTime // what it answered was wrong
		}
		c.status.kind = remote.KindOf(err)
	})
}

func (c *Catalog) reached(newest uint64) {
	c.status.set(func(s *Status) {
		s.Reached, s.Error, s.ErrorTime = time.Now(), "", time.Time{}
		c.status.kind = remote.Other
		s.Newest = max(s.Newest, newest)
	})
}
