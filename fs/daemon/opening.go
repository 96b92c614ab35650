package daemon

import "mediafs/cache/catalog"

// Opening is how far Open has brought a library to the store's state: first its newest checkpoint
// is read, then the commits after it.
type Opening = catalog.Progress
