package main

import (
	"fmt"
	"strings"
	"testing"
)

// df, du and status say the same, and it is what the store has.
func TestDfAndDu(t *testing.T) {
	m := newMachine(t)
	dir, url := m.localStore()
	m.mount(url)
	const mib = 1 << 20
	// numbers are: used by df, by du, du's sum of lengths, and the contents of the store.
	numbers := func() (df, du, length, store int64) {
		out := m.sh(`df -B1 --output=used . | tail -n 1; du -s -B1 . | cut -f 1; du -s --apparent-size -B1 . | cut -f 1
			find "$1/content" -type f ! -name '*.sum' -printf '%s\n' | awk '{ n += $1 } END { print n+0 }'`, dir)
		if _, err := fmt.Sscan(out, &df, &du, &length, &store); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		return df, du, length, store
	}
	check := func(what string, used, blocks int64) {
		t.Helper()
		df, du, length, store := numbers()
		if df != used || du != blocks || store != used {
			t.Errorf("%s: df %d and the store %d, want %d; du %d, want %d", what, df, store, used, du, blocks)
		}
		if s := m.status(); s.Used != used {
			t.Errorf("%s: status says %d, want %d", what, s.Used, used)
		}
		if length < du {
			t.Errorf("%s: %d bytes long, %d in blocks", what, length, du)
		}
	}
	m.sh(`mkdir -p "$1/content"`, dir)
	check("empty", 0, 0)
	m.sh(`truncate -s 100G holes`)
	check("a hole", 0, 0)
	m.sh(`head -c 8M /dev/urandom >film; sync film`)
	check("a film", 8*mib, 8*mib)
	m.sh(`cp --reflink=auto film copy; sync copy`)
	check("a copy", 8*mib, 16*mib)
	m.sh(`dd if=/dev/urandom of=film bs=1M seek=2 count=1 conv=notrunc,fsync 2>/dev/null`)
	check("an edit", 9*mib, 16*mib)
	m.sh(`fallocate -p -o 4M -l 1M film; sync film`)
	check("a punch", 9*mib, 15*mib)
	m.sh(`rm holes copy`)
	check("deleted", 9*mib, 7*mib)
	if code, out, _ := m.mediafs("status", m.mnt); code != exitOK || !strings.Contains(out, "used     9.0 MiB\n") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	m.umount()
}
