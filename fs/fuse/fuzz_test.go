package fuse

import (
	"strings"
	"testing"
)

// What other file systems put into the mount table (names of devices and folders are anybody's) is
// read without harm, and escapes are undone once.
func FuzzMounts(f *testing.F) {
	f.Add("36 35 0:45 / /mnt/my\\040photos rw,nosuid shared:7 - fuse.mediafs s3://bucket ro,user_id=0\n")
	f.Add("36 35 0:99999999999999999999 / /mnt ro - fuse.mediafs x\n\n - \n1 2 3 4 5 6 - fuse.mediafs a - b")
	f.Add("1 2 :: / \\134\\777\\04 rw - fuse.mediafs \\")
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := parseMounts(strings.NewReader(text))
		if err != nil {
			return // a line that is too long
		}
		if len(ms) > strings.Count(text, TypeName) {
			t.Errorf("%d mounts in %q", len(ms), text)
		}
		for _, m := range ms {
			if m.Dir == "" || m.FSName == "" || len(m.Dir)+len(m.FSName) > len(text) {
				t.Errorf("%+v in %q", m, text)
			}
		}
	})
}

// The kernel writes a word with escapes for what would end it; whatever it was, it comes back.
func FuzzUnescape(f *testing.F) {
	f.Add("/mnt/a b\t\\c\n")
	f.Fuzz(func(t *testing.T, s string) {
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
		if got := Unescape(escaped); got != s {
			t.Errorf("%q became %q, and that %q", s, escaped, got)
		}
		if got := Unescape(s); len(got) > len(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzKillPending(f *testing.F) {
	f.Add([]byte("Name:\tsh\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"))
	f.Add([]byte("Name:\t\nShdPnd: 100\nSigPnd:\t\nShdPnd:"))
	f.Fuzz(func(t *testing.T, status []byte) {
		if killPending(status) && !strings.Contains(string(status), "Pnd:") {
			t.Errorf("%q", status)
		}
	})
}
