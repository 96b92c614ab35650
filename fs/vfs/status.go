package vfs

import "time"

// Status is what a library tells of itself, in plain numbers. Its JSON is .media/status.json, where
// a field is only ever added. Sizes are bytes.
type Status struct {
	Catalog CatalogStatus `json:"catalog"`
	Cache   CacheStatus   `json:"cache"`
	Pending Pending       `json:"pending"`
	Used    int64         `json:"used"` // bytes, as statfs tells it

	// Troubles are media that could not be read or sent when that was last tried, oldest first.
	Troubles []Trouble `json:"troubles,omitempty"`
}

// CatalogStatus is how the catalog stands to the log.
type CatalogStatus struct {
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

	Usage Usage `json:"usage"`
}

// Usage is what a library holds, what the outbox changes of it included. Sizes are bytes.
type Usage struct {
	Nodes    uint64 // those in the trash included
	Live     uint64 // heads of all media, those in the trash included
	Versions uint64 // kept versions
	Contents uint64 // contents that the catalog knows, whether referred to or not
}

// Blocked is why the log cannot be read on.
type Blocked struct {
	Commit uint64 `json:"commit"` // the last one that could be read
	Why    string `json:"why"`    // names the object
	Advice string `json:"advice"` // what people can do
}

// CacheStatus is how the read cache does. Sizes are bytes.
type CacheStatus struct {
	Bytes    int64 // on disk, as far as the directory has been scanned
	Pinned   int64 // of those, bytes that may not be evicted
	Contents int   // contents with bytes on disk
	Memory   int64 // all buffers in use

	Hits      int64 // blocks that were on disk or in memory when they were asked for
	Misses    int64 // blocks that had to be waited for
	Requests  int64 // ranges asked of the store, retries included
	Fetched   int64 // bytes that the store sent
	Evictions int64 // segments of up to 16 MiB that made room for others
	Damaged   int64 // blocks on disk or from the store that failed their checksum
}

// Pending is what is written and not in the store.
type Pending struct {
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`           // holes, and what an edit left as it was, not counted
	Error string `json:"error,omitempty"` // why the last try of one of them failed
}
