package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mediafs/remote/storetest/wiretap"
)

// A store that is full says so at the close, keeps nobody from working on, and gets everything once
// it has room.
func TestStoreQuota(t *testing.T) {
	source := t.TempDir()
	pseudoRandom(t, filepath.Join(source, "small"), 300_000)
	pseudoRandom(t, filepath.Join(source, "large"), 2*testChunk+1000)
	content := func(r *wiretap.Request) bool {
		return strings.HasPrefix(r.Key, "content/") && (r.Method == "PUT" || r.Method == "POST")
	}
	for _, tt := range []struct {
		name  string
		fault wiretap.Fault
		errno string
	}{
		{"quota", wiretap.Fault{Status: 403, Code: "QuotaExceeded"}, "EDQUOT"},
		{"no room", wiretap.Fault{Status: 507}, "ENOSPC"},
		{"disks are full", wiretap.Fault{Status: 507, Code: "XMinioStorageFull"}, "ENOSPC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t)
			m := w.machine()
			m.env = append(m.env, testLimits+"="+faultLimits)
			m.mount(w.store)
			m.sh(`cp "$1/small" edited`, source)
			tt.fault.Match = content
			room := w.tap.Fault(tt.fault)
			for _, name := range []string{"small", "large"} {
				o := m.operate(runAsOperator, "create", filepath.Join(m.mnt, name), filepath.Join(source, name))
				if o.errno() != tt.errno || !strings.Contains(o.output, "written") {
					t.Errorf("%s: %q after %q, want %s at the close", name, o.failed, o.output, tt.errno)
				}
			}
			if o := m.operate(
				runAsOperator, "edit", filepath.Join(m.mnt, "edited"), "100", "edit", "1",
			); o.errno() != tt.errno ||
				!strings.Contains(o.output, "written") {
				t.Errorf("edit: %q after %q, want %s at the close", o.failed, o.output, tt.errno)
			}
			// What was written is here, names change, and status says why the rest is not in the
			// store.
			m.sh(
				`cmp small "$1/small"; cmp large "$1/large"; mkdir folder; mv large folder; rm small; cp -r folder/large /dev/null`,
				source,
			)
			if s := m.status(); s.Pending.Files < 2 || s.LastError == nil ||
				!strings.Contains(s.LastError.Text, "room") && !strings.Contains(s.LastError.Text, "quota") &&
					!strings.Contains(s.LastError.Text, "space") {
				t.Errorf("status of a full store: %+v, %+v", s.Pending, s.LastError)
			}
			if code, _, stderr := m.mediafs("umount", "--timeout=300ms", m.mnt); code == exitOK || !m.mounted() {
				t.Errorf("umount: exit code %d, %s", code, stderr)
			}
			room()
			m.do("flush", m.mnt)
			if s := m.status(); !s.Pending.None() || s.LastError != nil || s.Dropped != 0 {
				t.Errorf("once there is room: %+v, %+v", s.Pending, s.LastError)
			}
			m.umount()
			edited, err := os.ReadFile(filepath.Join(source, "small"))
			if err != nil {
				t.Fatal(err)
			}
			copy(edited[100:], "edit")
			m = w.machine()
			m.mount(w.store)
			if got, err := os.ReadFile(filepath.Join(m.mnt, "edited")); err != nil || !slices.Equal(got, edited) {
				t.Errorf("the edit: %d bytes, %v", len(got), err)
			}
			if out := m.sh(`cmp folder/large "$1/large"; ls`, source); out != "edited\nfolder\n" {
				t.Errorf("in the store is %q", out)
			}
			m.umount()
		})
	}
}

// The same with a library in a folder whose file system fills up.
func TestFullLocalStore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes a file system to fill up")
	}
	m := newMachine(t)
	disk := filepath.Join(m.home, "disk")
	image := filepath.Join(m.home, "disk.img")
	script := `mkdir "$1" && truncate -s 96M "$2" && mkfs.ext4 -q -m 0 "$2" && mount -o loop "$2" "$1" && mkdir "$1/store"`
	if out, err := exec.Command("sh", "-c", script, "sh", disk, image).CombinedOutput(); err != nil {
		t.Skipf("no file system on a loop device: %v, %s", err, out)
	}
	t.Cleanup(func() {
		m.clear()
		if out, err := exec.Command("umount", "-l", disk).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	source := t.TempDir()
	pseudoRandom(t, filepath.Join(source, "film"), 12<<20)
	pseudoRandom(t, filepath.Join(disk, "ballast"), 54<<20) // somebody else's
	m.env = append(m.env, testLimits+"="+faultLimits)
	url := fileURL(filepath.Join(disk, "store"))
	m.mount(url, "--append-timeout=3s")
	film := filepath.Join(source, "film")
	if o := m.operate(runAsOperator, "create", filepath.Join(m.mnt, "first"), film); o.failed != "" {
		t.Fatalf("while there is room: %s", o.failed)
	}
	o := m.operate(runAsOperator, "create", filepath.Join(m.mnt, "second"), film)
	if o.errno() != "ENOSPC" {
		t.Errorf("in a full store: %q after %q, want ENOSPC", o.failed, o.output)
	}
	m.sh(`cmp first "$1"; ls second`, film)
	written := strings.Contains(o.output, "written")
	if written {
		m.sh(`cmp second "$1"`, film)
	}
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	m.do("flush", m.mnt)
	m.umount()
	m.again(url)
	m.sh(`cmp first "$1"`, film)
	if written {
		m.sh(`cmp second "$1"`, film)
	}
	m.umount()
}
