package engine_test

import (
	"testing"
	"time"

	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
)

// However long a store is away, the facts of what was waiting are read after it.
func TestFactsAfterALongOutage(t *testing.T) {
	r := &teller{}
	s := openMachine(
		t, mem.New(mem.Options{}), t.TempDir(), r.use,
		func(o *engine.Options) { o.RetryInterval = 100 * time.Microsecond },
	).with(t)
	defer s.Close()
	r.fail.Store(12)
	s.write("a", "bytes")
	waitFor(t, func() bool { return s.whole("a").Facts != nil })
}
