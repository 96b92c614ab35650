package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sharedFolder is where every churning process makes, renames and removes the same few names.
const sharedFolder = "shared"

func (c *churn) shared() bool {
	name := func() string { return fmt.Sprint("s", c.r.IntN(4)) }
	o := &op{Path: name(), To: name()}
	switch x := c.r.IntN(20); {
	case x < 6:
		o.Do, o.To = "shared create", ""
	case x < 9:
		o.Do, o.To = "shared unlink", ""
	case x < 11:
		o.Do, o.To = "shared mkdir", ""
	case x < 12:
		o.Do, o.To = "shared rmdir", ""
	case x < 14:
		o.Do = "shared link"
	case x < 18:
		o.Do, o.Flags = "shared rename", []int{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[c.r.IntN(4)]
	default:
		o.Do, o.To = "shared stat", ""
	}
	return c.do(o)
}

func (c *churn) carryOutShared(o *op) (int64, error) {
	at, to := filepath.Join(c.Mount, sharedFolder, o.Path), filepath.Join(c.Mount, sharedFolder, o.To)
	var st unix.Stat_t
	switch o.Do {
	case "shared create":
		fd, err := unix.Open(at, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return 0, err
		}
		err = unix.Fstat(fd, &st)
		unix.Close(fd) //nolint:errcheck // nothing was written
		return int64(st.Ino), err
	case "shared unlink":
		return 0, unix.Unlink(at)
	case "shared mkdir":
		return 0, unix.Mkdir(at, 0o755)
	case "shared rmdir":
		return 0, unix.Rmdir(at)
	case "shared link":
		return 0, unix.Link(at, to)
	case "shared rename":
		return 0, unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, to, uint(o.Flags))
	case "shared stat":
		err := unix.Lstat(at, &st)
		return sharedEntry(&st), err
	}
	panic(o.Do)
}

// What a name of the shared folder stands for: the number of a file, or one of these.
const (
	noEntry     = 0
	folderEntry = 1 // numbers of folders are not looked at
	anyFile     = 2 // made by a call that never returned; the root has number 1, and no file has this one
)

func sharedEntry(st *unix.Stat_t) int64 {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return folderEntry
	}
	return int64(st.Ino)
}

// names is the shared folder: four names.
type names [4]int64

func (n names) same(is names) bool {
	for i := range n {
		if n[i] != is[i] && (n[i] != anyFile || is[i] <= anyFile) {
			return false
		}
	}
	return true
}

func readShared(dir string) (names, error) {
	var n names
	entries, err := os.ReadDir(dir)
	if err != nil {
		return n, err
	}
	for _, e := range entries {
		i := slices.Index([]string{"s0", "s1", "s2", "s3"}, e.Name())
		if i < 0 {
			return n, fmt.Errorf("%s is in the shared folder and was never made", e.Name())
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name()), &st); err != nil {
			return n, err
		}
		n[i] = sharedEntry(&st)
	}
	return n, nil
}

// after is the folder once an operation was carried out on it, and how that ends.
func (n names) after(o *op) (names, syscall.Errno) {
	at := int(o.Path[1] - '0')
	src := n[at]
	to, dst := 0, int64(0)
	if o.To != "" {
		to = int(o.To[1] - '0')
		dst = n[to]
	}
	switch o.Do {
	case "shared create", "shared mkdir":
		if src != noEntry {
			return n, syscall.EEXIST
		}
		switch {
		case o.Do == "shared mkdir":
			n[at] = folderEntry
		case o.Done && o.Err == "":
			n[at] = o.Res
		default:
			n[at] = anyFile
		}
		return n, 0
	}
	if src == noEntry {
		return n, syscall.ENOENT
	}
	switch o.Do {
	case "shared unlink":
		if src == folderEntry {
			return n, syscall.EISDIR
		}
		n[at] = noEntry
	case "shared rmdir":
		if src != folderEntry {
			return n, syscall.ENOTDIR
		}
		n[at] = noEntry
	case "shared link":
		if src == folderEntry || dst != noEntry {
			return n, syscall.EEXIST
		}
		n[to] = src
	case "shared rename":
		switch {
		case o.Flags == unix.RENAME_EXCHANGE && dst == noEntry:
			return n, syscall.ENOENT
		case o.Flags == unix.RENAME_NOREPLACE && dst != noEntry:
			return n, syscall.EEXIST
		case at == to, src == dst && src != folderEntry:
			return n, 0
		case o.Flags == unix.RENAME_EXCHANGE:
			n[at], n[to] = dst, src
			return n, 0
		case dst != noEntry && (src == folderEntry) != (dst == folderEntry):
			return n, syscall.EISDIR
		}
		n[at], n[to] = noEntry, src
	}
	return n, 0
}

// outcomes lists what the folder may be after a call that ended as this one did, if it came next;
// none when it cannot have come next.
func (n names) outcomes(o *op) (all []names) {
	next, errno := n.after(o)
	link := o.Do == "shared link"
	switch {
	case o.Do == "shared stat" && o.Err == "" && n[o.Path[1]-'0'] != o.Res:
	case link && o.Err != "" && !o.inDoubt():
		all = append(all, n) // also when what it had found lost its name meanwhile, as on every file system
	case errno == 0 && (o.inDoubt() || o.Err == ""):
		all = append(all, next)
	case errno != 0 && o.Err != "" && !o.inDoubt():
		all = append(all, next)
	}
	// A link is made of what its first name stood for when that was looked up, whatever has that
	// name by now.
	if to := n; link && (o.inDoubt() || o.Err == "") && n[o.To[1]-'0'] == noEntry {
		for _, found := range n {
			if to[o.To[1]-'0'] = found; found != noEntry && found != folderEntry && to != next {
				all = append(all, to)
			}
		}
	}
	return all
}

// explain looks for an order of what several processes did in the shared folder in which each call
// has the answer that it got, calls that returned before another began come first, and the end is
// what is there now. Calls in doubt happened or did not.
func explain(before, now names, histories [][]*op) bool {
	type place struct {
		at    string // how far each process is
		names names
	}
	failed := map[place]bool{}
	at := make([]int, len(histories))
	var search func(names) bool
	search = func(n names) bool {
		key := place{fmt.Sprint(at), n}
		if failed[key] {
			return false
		}
		rest, first := false, int64(1)<<62 // when the first of those returned that are still to come
		for i, h := range histories {
			if at[i] == len(h) {
				continue
			}
			if o := h[at[i]]; !o.inDoubt() {
				rest, first = true, min(first, o.Ended)
			}
		}
		if !rest && n.same(now) {
			return true
		}
		for i, h := range histories {
			if at[i] == len(h) || h[at[i]].Begun > first {
				continue
			}
			for _, next := range n.outcomes(h[at[i]]) {
				at[i]++
				found := search(next)
				at[i]--
				if found {
					return true
				}
			}
		}
		failed[key] = true
		return false
	}
	return search(before)
}

// split takes what was done in the shared folder out of a journal.
func split(ops []*op) (own, shared []*op) {
	for _, o := range ops {
		if strings.HasPrefix(o.Do, "shared ") {
			shared = append(shared, o)
		} else {
			own = append(own, o)
		}
	}
	return own, shared
}

func describeShared(n names, histories [][]*op) string {
	var b strings.Builder
	fmt.Fprintln(&b, "before:", n)
	lines := map[int64]string{}
	for i, h := range histories {
		for _, o := range h {
			lines[o.Begun] = fmt.Sprintf(
				"  process %d, %d to %d: %s %s %s %d: %q %d", i, o.Begun, o.Ended, o.Do, o.Path, o.To, o.Flags, o.Err,
				o.Res,
			)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintln(&b, lines[at])
	}
	return b.String()
}

// The answers of calls that overlap are explained where Linux may give them, and nowhere else.
func TestExplain(t *testing.T) {
	const file, other = 70, 80
	call := func(do, path, to string, begun, ended int64, err error) *op {
		o := &op{Do: "shared " + do, Path: path, To: to, Begun: begun, Ended: ended, Done: true}
		if err != nil {
			o.Err = err.Error()
		}
		return o
	}
	rename := call("rename", "s3", "s2", 10, 20, nil)
	link := func(begun, ended int64) *op { return call("link", "s3", "s3", begun, ended, nil) }
	for _, c := range []struct {
		what      string
		now       names
		histories [][]*op
		explained bool
	}{
		{"a link of what was found before a rename", names{0, 0, file, file}, [][]*op{{rename}, {link(15, 25)}}, true},
		{"a link of something else", names{0, 0, file, other}, [][]*op{{rename}, {link(15, 25)}}, false},
		{"a link over what is there", names{0, 0, 0, file}, [][]*op{{link(15, 25)}}, false},
		{"a link that was lost", names{0, 0, file, 0}, [][]*op{{rename}, {link(15, 25)}}, false},
		{"a rename that was lost", names{0, 0, 0, file}, [][]*op{{rename}}, false},
		{"a failure that succeeded", names{0, 0, file, 0}, [][]*op{{call("rename", "s3", "s2", 10, 20, syscall.ENOENT)}}, false},
	} {
		if explain(names{0, 0, 0, file}, c.now, c.histories) != c.explained {
			t.Errorf("%s: explained is %v", c.what, !c.explained)
		}
	}
}
