package vfstest

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

type entry = vfs.DirEntry

// Cases of rename.
var renameCases = []testCase{
	{"rename", func(e *env) {
		e.write("a", "x")
		a := e.stat("a")
		e.rename("a", "b")
		e.gone("a")
		if b := e.stat("b"); b.ID != a.ID || b.Mtime != a.Mtime {
			e.Errorf("%+v became %+v", a, b)
		}
		e.mkdir("d")
		e.rename("b", "d/c")
		e.holds("d/c", "x")
		if len(e.list("d")) != 1 || len(e.list("")) != 1 {
			e.Errorf("listed: %v, %v", e.list("d"), e.list(""))
		}
	}},
	{"rename-over-file", func(e *env) {
		e.write("a", "new")
		e.write("b", "old")
		a := e.stat("a")
		e.rename("a", "b")
		e.gone("a")
		e.holds("b", "new")
		if b := e.stat("b"); b.ID != a.ID || b.Nlink != 1 {
			e.Errorf("inode %d with %d links, want %d", b.ID, b.Nlink, a.ID)
		}
	}},
	{"rename-over-linked", func(e *env) {
		e.write("a", "new")
		e.write("b", "old")
		e.ok("link", e.sys.Link(e.p("b"), e.p("b2")))
		e.rename("a", "b")
		e.holds("b", "new")
		e.holds("b2", "old")
		if n := e.stat("b2").Nlink; n != 1 {
			e.Errorf("%d links", n)
		}
	}},
	{"rename-folder", func(e *env) {
		e.mkdir("a")
		e.mkdir("a/s")
		e.write("a/s/f", "deep")
		ino := e.stat("a/s/f").ID
		e.mkdir("b")
		e.rename("a", "b/c")
		e.gone("a")
		e.holds("b/c/s/f", "deep")
		if e.stat("b/c/s/f").ID != ino {
			e.Error("a file in a renamed folder has another inode")
		}
		if n := e.stat("b").Nlink; n != 3 {
			e.Errorf("new parent has %d links", n)
		}
		if n := e.stat("").Nlink; n != 3 {
			e.Errorf("old parent has %d links", n)
		}
		d, err := e.sys.OpenDir(e.p("b/c"))
		e.ok("open folder", err)
		es, err := d.Next()
		e.ok("list", err)
		for _, x := range es {
			if x.Name == ".." && x.ID != e.stat("b").ID {
				e.Errorf(".. of a moved folder is %d, its parent %d", x.ID, e.stat("b").ID)
			}
		}
		e.ok("close folder", d.Close())
	}},
	{"rename-over-folder", func(e *env) {
		e.mkdir("a")
		e.write("a/f", "x")
		e.mkdir("empty")
		e.mkdir("full")
		e.write("full/g", "y")
		e.want("over a full folder", e.sys.Rename(e.p("a"), e.p("full"), 0), syscall.ENOTEMPTY)
		e.rename("a", "empty")
		e.gone("a")
		e.holds("empty/f", "x")
		e.holds("full/g", "y")
		if n := e.stat("").Nlink; n != 4 {
			e.Errorf("%d links, want 4", n)
		}
	}},
	{"rename-kinds", func(e *env) {
		e.write("f", "x")
		e.mkdir("d")
		e.ok("symlink", e.sys.Symlink("x", e.p("l")))
		e.want("file over folder", e.sys.Rename(e.p("f"), e.p("d"), 0), syscall.EISDIR)
		e.want("folder over file", e.sys.Rename(e.p("d"), e.p("f"), 0), syscall.ENOTDIR)
		e.want("symlink over folder", e.sys.Rename(e.p("l"), e.p("d"), 0), syscall.EISDIR)
		e.want("folder over symlink", e.sys.Rename(e.p("d"), e.p("l"), 0), syscall.ENOTDIR)
		e.rename("l", "f")
		if got, err := e.sys.Readlink(e.p("f")); got != "x" || err != nil {
			e.Errorf("symlink over file: %q, %v", got, err)
		}
	}},
	{"rename-into-itself", func(e *env) {
		e.mkdir("a")
		e.mkdir("a/b")
		e.mkdir("a/b/c")
		e.want("into itself", e.sys.Rename(e.p("a"), e.p("a/x"), 0), syscall.EINVAL)
		e.want("into a grandchild", e.sys.Rename(e.p("a"), e.p("a/b/c/x"), 0), syscall.EINVAL)
		e.want("over its parent", e.sys.Rename(e.p("a/b"), e.p("a"), 0), syscall.ENOTEMPTY)
		e.stat("a/b/c")
	}},
	{"rename-onto-itself", func(e *env) {
		e.write("a", "x")
		e.mkdir("d")
		before := e.stat("a")
		tick()
		e.rename("a", "a")
		e.rename("d", "d")
		e.holds("a", "x")
		now := e.stat("a")
		now.Atime = before.Atime // it was read
		if now != before {
			e.Errorf("%+v became %+v", before, now)
		}
	}},
	{"rename-onto-link", func(e *env) {
		// Two names of one inode: nothing happens, both stay.
		e.write("a", "x")
		e.ok("link", e.sys.Link(e.p("a"), e.p("b")))
		e.rename("a", "b")
		e.holds("a", "x")
		e.holds("b", "x")
		if n := e.stat("a").Nlink; n != 2 {
			e.Errorf("%d links", n)
		}
	}},
	{"rename-times", func(e *env) {
		e.mkdir("a")
		e.mkdir("b")
		e.write("a/f", "x")
		a, b, f := e.stat("a"), e.stat("b"), e.stat("a/f")
		tick()
		e.rename("a/f", "b/g")
		a2, b2, f2 := e.stat("a"), e.stat("b"), e.stat("b/g")
		if !after(a2.Mtime, a.Mtime) || !after(b2.Mtime, b.Mtime) || !after(a2.Ctime, a.Ctime) {
			e.Error("the folders' times stay")
		}
		if !after(f2.Ctime, f.Ctime) || f2.Mtime != f.Mtime {
			e.Errorf("the file's times: %v %v, were %v %v", f2.Ctime, f2.Mtime, f.Ctime, f.Mtime)
		}
	}},
	{"no-replace", func(e *env) {
		e.write("a", "x")
		e.write("b", "y")
		e.mkdir("d")
		e.want("over a file", e.sys.Rename(e.p("a"), e.p("b"), vfs.RenameNoReplace), syscall.EEXIST)
		e.want("over a folder", e.sys.Rename(e.p("a"), e.p("d"), vfs.RenameNoReplace), syscall.EEXIST)
		e.ok("to a free name", e.sys.Rename(e.p("a"), e.p("c"), vfs.RenameNoReplace))
		e.holds("c", "x")
		e.holds("b", "y")
		e.want("both flags", e.sys.Rename(e.p("b"), e.p("c"), vfs.RenameNoReplace|vfs.RenameExchange), syscall.EINVAL)
	}},
	{"exchange", func(e *env) {
		e.write("a", "x")
		e.mkdir("s")
		e.write("s/b", "y")
		a, b := e.stat("a"), e.stat("s/b")
		e.ok("files", e.sys.Rename(e.p("a"), e.p("s/b"), vfs.RenameExchange))
		e.holds("a", "y")
		e.holds("s/b", "x")
		if e.stat("a").ID != b.ID || e.stat("s/b").ID != a.ID {
			e.Error("the inodes did not go with their content")
		}
		e.mkdir("d")
		e.write("d/f", "z")
		e.ok("file and folder", e.sys.Rename(e.p("d"), e.p("s/b"), vfs.RenameExchange))
		e.holds("d", "x")
		e.holds("s/b/f", "z")
		if n, m := e.stat("").Nlink, e.stat("s").Nlink; n != 3 || m != 3 {
			e.Errorf("links of the folders: %d and %d, want 3 and 3", n, m)
		}
		e.want("with nothing", e.sys.Rename(e.p("d"), e.p("none"), vfs.RenameExchange), syscall.ENOENT)
		e.want("with its own folder", e.sys.Rename(e.p("s"), e.p("s/b"), vfs.RenameExchange), syscall.EINVAL)
		e.want("with the folder it is in", e.sys.Rename(e.p("s/b/f"), e.p("s"), vfs.RenameExchange), syscall.EINVAL)
	}},
}

// Cases of folders.
var folderCases = []testCase{
	{"mkdir", func(e *env) {
		before := e.stat("")
		tick()
		e.mkdir("d")
		a := e.stat("d")
		if a.Mode != unix.S_IFDIR|0o755 || a.Nlink != 2 {
			e.Errorf("mode %o, %d links", a.Mode, a.Nlink)
		}
		now := e.stat("")
		if now.Nlink != before.Nlink+1 || !after(now.Mtime, before.Mtime) || !after(now.Ctime, before.Ctime) {
			e.Errorf("parent: %+v, was %+v", now, before)
		}
		e.want("again", e.sys.Mkdir(e.p("d"), 0o755), syscall.EEXIST)
		e.write("f", "")
		e.want("over a file", e.sys.Mkdir(e.p("f"), 0o755), syscall.EEXIST)
		e.want("in no folder", e.sys.Mkdir(e.p("x/y"), 0o755), syscall.ENOENT)
	}},
	{"rmdir", func(e *env) {
		e.mkdir("d")
		e.write("d/f", "x")
		e.want("not empty", e.sys.Rmdir(e.p("d")), syscall.ENOTEMPTY)
		e.unlink("d/f")
		before := e.stat("")
		tick()
		e.ok("empty", e.sys.Rmdir(e.p("d")))
		e.gone("d")
		if now := e.stat(""); now.Nlink != 2 || !after(now.Mtime, before.Mtime) {
			e.Errorf("parent: %+v", now)
		}
		e.mkdir("d")
		e.mkdir("d/s")
		e.want("with a folder", e.sys.Rmdir(e.p("d")), syscall.ENOTEMPTY)
	}},
	{"links-of-folder", func(e *env) {
		e.mkdir("d")
		for i := range 5 {
			e.mkdir(fmt.Sprintf("d/s%d", i))
			e.write(fmt.Sprintf("d/f%d", i), "")
		}
		if n := e.stat("d").Nlink; n != 7 {
			e.Errorf("%d links, want 7", n)
		}
		e.ok("rmdir", e.sys.Rmdir(e.p("d/s0")))
		e.rename("d/s1", "out")
		if n := e.stat("d").Nlink; n != 5 {
			e.Errorf("%d links, want 5", n)
		}
	}},
	{"deep", func(e *env) {
		path := ""
		for i := range 60 {
			path += fmt.Sprintf("level%d", i)
			e.mkdir(path)
			path += "/"
		}
		e.write(path+"f", "bottom")
		e.rename("level0", "moved")
		e.holds("moved"+path[len("level0"):]+"f", "bottom")
	}},
	{"setgid-folder", func(e *env) {
		e.mkdir("d")
		e.ok("chown", e.sys.Chown(e.p("d"), 0, 4711))
		e.ok("chmod", e.sys.Chmod(e.p("d"), 0o2755))
		e.write("d/f", "")
		e.mkdir("d/s")
		e.ok("symlink", e.sys.Symlink("x", e.p("d/l")))
		e.ok("mknod", e.sys.Mknod(e.p("d/p"), unix.S_IFIFO|0o644, 0))
		for _, n := range []string{"f", "s", "l", "p"} {
			if a := e.stat("d/" + n); a.GID != 4711 {
				e.Errorf("%s: group %d", n, a.GID)
			}
		}
		if m := e.stat("d/s").Mode; m != unix.S_IFDIR|0o2755 {
			e.Errorf("a folder in it has mode %o", m)
		}
		if m := e.stat("d/f").Mode; m != unix.S_IFREG|0o644 {
			e.Errorf("a file in it has mode %o", m)
		}
	}},
	{"listed", func(e *env) {
		e.write("f", "")
		e.mkdir("d")
		e.ok("symlink", e.sys.Symlink("x", e.p("l")))
		e.ok("mknod", e.sys.Mknod(e.p("p"), unix.S_IFIFO|0o644, 0))
		all := e.list("")
		for name, mode := range map[string]uint32{"f": unix.S_IFREG, "d": unix.S_IFDIR, "l": unix.S_IFLNK, "p": unix.S_IFIFO} {
			x := all[name]
			if x.Mode&unix.S_IFMT != mode || x.ID != e.stat(name).ID {
				e.Errorf("%s is listed as type %o, node %d", name, x.Mode, x.ID)
			}
		}
		if len(all) != 4 {
			e.Errorf("%d entries", len(all))
		}
		if n := len(e.list("d")); n != 0 {
			e.Errorf("an empty folder lists %d entries", n)
		}
	}},
	{"list-while-changing", func(e *env) {
		// What stays is listed exactly once, whatever comes and goes between the calls.
		const n = 3000
		for i := range n {
			e.close(e.create(fmt.Sprintf("file number %d", i)))
		}
		d, err := e.sys.OpenDir(e.p(""))
		e.ok("open folder", err)
		seen := make(map[string]int)
		for round := 0; ; round++ {
			es, err := d.Next()
			e.ok("list", err)
			if len(es) == 0 {
				break
			}
			for _, x := range es {
				seen[x.Name]++
			}
			// Every third of the first 1,500 goes, new ones come.
			if i := round * 3; i < 1500 {
				e.unlink(fmt.Sprintf("file number %d", i))
				e.write(fmt.Sprintf("new %d", i), "")
				e.rename(fmt.Sprintf("new %d", i), fmt.Sprintf("newer %d", i))
			}
		}
		e.ok("close folder", d.Close())
		for i := range n {
			name := fmt.Sprintf("file number %d", i)
			stays := i >= 1500 || i%3 != 0
			if seen[name] > 1 || stays && seen[name] != 1 {
				e.Errorf("%s was listed %d times", name, seen[name])
			}
		}
	}},
	{"remove-while-listing", func(e *env) {
		// As rm -r does: remove what a call gave, then ask for more.
		const n = 1000
		e.mkdir("d")
		for i := range n {
			e.close(e.create(fmt.Sprintf("d/%d", i)))
		}
		d, err := e.sys.OpenDir(e.p("d"))
		e.ok("open folder", err)
		for {
			es, err := d.Next()
			e.ok("list", err)
			if len(es) == 0 {
				break
			}
			for _, x := range es {
				if x.Name != "." && x.Name != ".." {
					e.unlink("d/" + x.Name)
				}
			}
		}
		e.ok("close folder", d.Close())
		e.ok("rmdir", e.sys.Rmdir(e.p("d")))
	}},
	{"seek-folder", func(e *env) {
		for i := range 500 {
			e.close(e.create(fmt.Sprint(i)))
		}
		d, err := e.sys.OpenDir(e.p(""))
		e.ok("open folder", err)
		var all []entry
		for {
			es, err := d.Next()
			e.ok("list", err)
			if len(es) == 0 {
				break
			}
			all = append(all, es...)
		}
		for _, i := range []int{0, 1, 2, 250, 37, 498, len(all) - 2} {
			e.ok("seek", d.Seek(all[i].Cookie))
			es, err := d.Next()
			e.ok("list", err)
			if len(es) == 0 || es[0].Name != all[i+1].Name {
				e.Errorf("after entry %d (%q) comes %v, want %q", i, all[i].Name, es, all[i+1].Name)
			}
		}
		e.ok("seek", d.Seek(all[len(all)-1].Cookie))
		if es, err := d.Next(); len(es) != 0 || err != nil {
			e.Errorf("behind the last entry: %v, %v", es, err)
		}
		e.ok("rewind", d.Seek(0))
		if es, err := d.Next(); err != nil || len(es) == 0 || es[0].Name != all[0].Name {
			e.Errorf("rewound: %v, %v", es, err)
		}
		e.ok("close folder", d.Close())
	}},
}
