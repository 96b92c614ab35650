package engine_test

import (
	"context"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/mem"
)

// A date beyond all calendars, which another program wrote, is in no list of years, and a list
// comes to its end.
func TestYearsEnd(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("a", "bytes")
	_, n := s.node("a")
	s.ok(s.Update(bg, func(tx *catalog.Tx) error {
		tx.Store(record.MediaKey(n.MediaId), &record.Media{Taken: &record.Date{Time: &record.Time{Seconds: 1 << 60}}})
		return nil
	}))
	done := make(chan []string, 1)
	go func() {
		years, _ := s.Values(context.Background(), "year", nil)
		done <- years
	}()
	select {
	case years := <-done:
		if len(years) != 0 {
			t.Errorf("%q", years)
		}
	case <-time.After(5 * time.Second):
		panic("the catalog is locked for ever")
	}
}
