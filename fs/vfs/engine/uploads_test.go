package engine_test

import (
	"testing"

	"mediafs/remote/object/mem"
)

// What is written and of which nothing was sent yet is on its way as well.
func TestUploadsOfWhatWaits(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	f := s.create("small", "bytes")
	us, err := s.Uploads(bg)
	s.ok(err)
	if len(us) != 1 || us[0].Path != "/small" || us[0].Size != 5 || us[0].Sent != 0 || us[0].Running {
		t.Errorf("%+v", us)
	}
	s.close(f)
}
