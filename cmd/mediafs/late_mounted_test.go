package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote/storetest/wiretap"
)

// One of two machines is cut off: what its programs are told has failed runs late. Meanwhile the
// other one writes the same files, and is told that they are in the store. Nothing of that is lost,
// however young the files are and without a trash.
func TestLateChangesMeetConfirmedOnes(t *testing.T) {
	w := newWire(t)
	cutOff, other := w.machine(), w.machine()
	cutOff.env = append(cutOff.env, testLimits+"="+faultLimits)
	other.mount(w.server.URL("family/photos"), "--trash=0")
	other.sh(`mkdir unlink over edit; for d in unlink over edit; do echo original >$d/t; done; echo source >over/x`)
	cutOff.mount(w.store, "--trash=0", "--append-timeout=2s")
	cutOff.sh(`cat */* >/dev/null`)
	in := func(m *machine, name string) string { return filepath.Join(m.mnt, name) }

	back := w.tap.Fault(wiretap.Fault{Status: 503, Code: "ServiceUnavailable"})
	for _, o := range []outcome{
		cutOff.operate(runAsOperator, "unlink", in(cutOff, "unlink/t")),
		cutOff.operate(runAsOperator, "rename", in(cutOff, "over/x"), in(cutOff, "over/t")),
		cutOff.operate(runAsOperator, "edit", in(cutOff, "edit/t"), "0", "ORIGINAL", "1"),
	} {
		if o.errno() != "EIO" {
			t.Errorf("while it is cut off: %q, want EIO", o.failed)
		}
	}
	other.sh(`for d in unlink over edit; do echo confirmed >$d/t; done`)
	back()
	cutOff.do("flush", cutOff.mnt)

	for _, m := range []*machine{cutOff, other} {
		for name, want := range map[string]string{"unlink/t": "confirmed\n", "over/t": "confirmed\n", "edit/t": "confirmed\n", "over/t (conflict*": "source\n"} {
			var got []byte
			if !eventually(func() bool {
				found, _ := filepath.Glob(in(m, name))
				if len(found) != 1 {
					return false
				}
				got, _ = os.ReadFile(found[0])
				return string(got) == want
			}) {
				t.Errorf("%s holds %q on %s, want %q", name, got, m.mnt, want)
			}
		}
	}
	if out := other.sh(`cat .media/versions/edit/t/* 2>/dev/null || true`); !strings.Contains(out, "ORIGINAL") {
		t.Errorf("the late edit is no version: %q", out)
	}
	s := cutOff.status()
	if s.Dropped != 1 || s.Kept != 2 ||
		!strings.Contains(strings.Join(s.Conflicts, "\n"), "not made: unlink /unlink/t") {
		t.Errorf("status: %d dropped, %d kept, %q", s.Dropped, s.Kept, s.Conflicts)
	}
	cutOff.umount()
	other.umount()
}
