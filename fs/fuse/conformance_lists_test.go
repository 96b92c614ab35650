package fuse

import (
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
)

// namedList is a list, in hex digits, that gives a named user something and the group and others
// nothing.
func namedList(uid, perm uint32) string {
	return hex.EncodeToString(
		acl.List{
			{Tag: acl.Owner, Perm: 6},
			{Tag: acl.User, Perm: perm, ID: uid},
			{Tag: acl.Group},
			{Tag: acl.Mask, Perm: 6},
			{Tag: acl.Other},
		}.Bytes(),
	)
}

// list reads a list; nil when there is none.
func (g *ground) list(name, attr string) acl.List {
	g.Helper()
	b := make([]byte, 1<<16)
	n, err := unix.Lgetxattr(g.p(name), attr, b)
	if err == unix.ENODATA {
		return nil
	}
	g.ok("get "+attr, err)
	l, err := acl.Parse(b[:n])
	g.ok("read "+attr, err)
	return l
}

func (g *ground) setList(name, attr string, l acl.List) {
	g.Helper()
	g.ok("set "+attr, unix.Setxattr(g.p(name), attr, l.Bytes(), 0))
}

// has checks mode and list of a name; want nil: there is none.
func (g *ground) has(name string, mode uint32, attr string, want acl.List) {
	g.Helper()
	if st := g.stat(name); st.Mode&0o7777 != mode {
		g.Errorf("%s: mode %o, want %o", name, st.Mode&0o7777, mode)
	}
	if got := g.list(name, attr); string(got.Bytes()) != string(want.Bytes()) {
		g.Errorf("%s: %s %v, want %v", name, attr, got, want)
	}
}

// of makes a list in the order of acl(5): owner, bert, group, friends, mask, others.
func listOf(owner, user, group, friend, mask, other uint32) acl.List {
	return acl.List{{Tag: acl.Owner, Perm: owner}, {Tag: acl.User, Perm: user, ID: bert}, {Tag: acl.Group, Perm: group},
		{Tag: acl.Member, Perm: friend, ID: friends}, {Tag: acl.Mask, Perm: mask}, {Tag: acl.Other, Perm: other}}
}

func minimal(owner, group, other uint32) acl.List {
	return acl.List{{Tag: acl.Owner, Perm: owner}, {Tag: acl.Group, Perm: group}, {Tag: acl.Other, Perm: other}}
}

// Cases of access control lists.
var listCases = []conformanceCase{
	{"lists-and-modes", func(g *ground) {
		g.close(g.create("f"))
		g.has("f", 0o644, acl.Access, nil)
		g.setList("f", acl.Access, listOf(6, 7, 4, 2, 5, 1))
		g.has("f", 0o651, acl.Access, listOf(6, 7, 4, 2, 5, 1))
		// chmod changes the owner's entry, the mask and the others'.
		g.ok("chmod", unix.Chmod(g.p("f"), 0o4720))
		g.has("f", 0o4720, acl.Access, listOf(7, 7, 4, 2, 2, 0))
		g.ok("chmod", unix.Chmod(g.p("f"), 0))
		g.has("f", 0, acl.Access, listOf(0, 7, 4, 2, 0, 0))
		if names, err := listed(g.p("f")); err != nil || len(names) != 1 || names[0] != acl.Access {
			g.Errorf("listed %q, %v", names, err)
		}
		g.again()
		g.has("f", 0, acl.Access, listOf(0, 7, 4, 2, 0, 0))
		// One that says what a mode says becomes a mode.
		g.setList("f", acl.Access, minimal(6, 4, 2))
		g.has("f", 0o642, acl.Access, nil)
		g.setList(
			"f", acl.Access,
			acl.List{{Tag: acl.Owner, Perm: 7}, {Tag: acl.Group, Perm: 7}, {Tag: acl.Mask, Perm: 1}, {Tag: acl.Other}},
		)
		g.has(
			"f", 0o710, acl.Access,
			acl.List{{Tag: acl.Owner, Perm: 7}, {Tag: acl.Group, Perm: 7}, {Tag: acl.Mask, Perm: 1}, {Tag: acl.Other}},
		)
		// Without a list the mode stays what it was.
		g.ok("remove", unix.Removexattr(g.p("f"), acl.Access))
		g.has("f", 0o710, acl.Access, nil)
		g.ok("remove again", unix.Removexattr(g.p("f"), acl.Access))
		g.ok("remove what a file cannot have", unix.Removexattr(g.p("f"), acl.Default))
		if names, err := listed(g.p("f")); err != nil || len(names) != 1 || names[0] != "" {
			g.Errorf("listed %q, %v", names, err)
		}
		// The list goes with the file, whatever its name.
		g.setList("f", acl.Access, listOf(6, 4, 0, 0, 4, 0))
		g.ok("link", unix.Link(g.p("f"), g.p("second")))
		g.write("over", "x")
		g.ok("rename", unix.Rename(g.p("f"), g.p("over")))
		g.ok("chmod", unix.Chmod(g.p("second"), 0o600))
		g.has("over", 0o600, acl.Access, listOf(6, 4, 0, 0, 0, 0))
		g.ok("chown", unix.Chown(g.p("over"), anna, carl))
		g.has("over", 0o600, acl.Access, listOf(6, 4, 0, 0, 0, 0))
		g.again()
		g.has("second", 0o600, acl.Access, listOf(6, 4, 0, 0, 0, 0))
	}},
	{"lists-refused", func(g *ground) {
		g.close(g.create("f"))
		g.ok("symlink", unix.Symlink("f", g.p("l")))
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		ok := listOf(6, 4, 4, 4, 4, 4)
		for what, b := range map[string][]byte{
			"half of it": ok.Bytes()[:9],
			"no mask":    acl.List{ok[0], ok[1], ok[2], ok[5]}.Bytes(),
			"no owner":   ok[1:].Bytes(),
			"twice":      acl.List{ok[0], ok[0], ok[2], ok[5]}.Bytes(),
			"order":      acl.List{ok[0], ok[2], ok[1], ok[4], ok[5]}.Bytes(),
		} {
			g.want(what, unix.Setxattr(g.p("f"), acl.Access, b, 0), unix.EINVAL)
			g.want(what, unix.Setxattr(g.p("d"), acl.Default, b, 0), unix.EINVAL)
		}
		g.want("a file's default", unix.Setxattr(g.p("f"), acl.Default, ok.Bytes(), 0), unix.EACCES)
		g.want("a symlink's", unix.Lsetxattr(g.p("l"), acl.Access, ok.Bytes(), 0), unix.EOPNOTSUPP)
		g.ok("chown", unix.Chown(g.p("f"), anna, friends))
		g.ok("chmod", unix.Chmod(g.p("f"), 0o666))
		text := hex.EncodeToString(ok.Bytes())
		for _, uid := range []uint32{bert, carl} {
			g.said("another user sets", says(g, actor(uid, friends, "setlist", g.p("f"), acl.Access, text)), "EPERM")
			g.said(
				"another user sets a folder's", says(g, actor(uid, friends, "setlist", g.p("d"), acl.Default, text)),
				"EPERM",
			)
			g.said("another user removes", says(g, actor(uid, friends, "removexattr", g.p("f"), acl.Access)), "EPERM")
		}
		g.has("f", 0o666, acl.Access, nil)
		g.said("the owner sets", says(g, actor(anna, anna, "setlist", g.p("f"), acl.Access, text)), "ok")
		g.has("f", 0o644, acl.Access, ok)
		g.said("another user removes", says(g, actor(bert, friends, "removexattr", g.p("f"), acl.Access)), "EPERM")
		g.said("all who reach the file may see it", says(g, actor(carl, carl, "listxattr", g.p("f"))), acl.Access)
		g.said("the owner removes", says(g, actor(anna, anna, "removexattr", g.p("f"), acl.Access)), "ok")
		g.has("f", 0o644, acl.Access, nil)
	}},
	{"lists-permit", func(g *ground) {
		g.write("f", "text")
		g.ok("chown", unix.Chown(g.p("f"), anna, 99))
		may := func(what string, want map[uint32]string) {
			g.Helper()
			for uid, modes := range want {
				for _, c := range []struct {
					name  string
					flags string
				}{{"r", "0"}, {"w", "1"}, {"rw", "2"}} {
					gid := uid
					if uid == carl {
						gid = friends
					}
					answer := "EACCES"
					if modes == "rw" || modes == c.name {
						answer = "ok"
					}
					if got := says(g, actor(uid, gid, "may", g.p("f"), c.flags)); got != answer {
						g.Errorf("%s: %d opens for %s: %s, want %s", what, uid, c.name, got, answer)
					}
				}
			}
		}
		const dora = 4714
		for _, c := range []struct {
			what string
			l    acl.List
			want map[uint32]string // users and what they may; carl is one of the friends
		}{
			{"named", listOf(4, 6, 0, 2, 6, 4), map[uint32]string{anna: "r", bert: "rw", carl: "w", dora: "r"}},
			{"masked", listOf(6, 6, 6, 6, 4, 0), map[uint32]string{anna: "rw", bert: "r", carl: "r", dora: ""}},
			{"shut out", listOf(6, 0, 0, 0, 6, 6), map[uint32]string{anna: "rw", bert: "", carl: "", dora: "rw"}},
			{"only others", listOf(0, 0, 0, 0, 6, 6), map[uint32]string{anna: "", bert: "", carl: "", dora: "rw"}},
		} {
			g.setList("f", acl.Access, c.l)
			may(c.what, c.want)
			g.said("root", says(g, actor(0, 0, "may", g.p("f"), "2")), "ok")
		}
		g.again()
		may("another machine", map[uint32]string{anna: "", bert: "", carl: "", dora: "rw"})
		g.ok("remove", unix.Removexattr(g.p("f"), acl.Access))
		may("removed", map[uint32]string{anna: "", bert: "rw", dora: "rw"})
		// A folder: who may search it, list it, make names in it.
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o700))
		g.write("d/in", "text")
		g.said("closed", says(g, actor(bert, bert, "sum", g.p("d/in"))), "EACCES")
		g.setList("d", acl.Access, listOf(7, 1, 0, 3, 7, 0))
		g.said("search", says(g, actor(bert, bert, "sum", g.p("d/in"))), checksum([]byte("text")))
		g.said("list", says(g, actor(bert, bert, "may", g.p("d"), "0")), "EACCES")
		g.said("make", says(g, actor(bert, bert, "create", g.p("d/new"), "0644")), "EACCES")
		g.said("make", says(g, actor(carl, friends, "create", g.p("d/new"), "0644")), "ok")
		g.said("closed", says(g, actor(dora, dora, "sum", g.p("d/in"))), "EACCES")
		g.ok("chmod", unix.Chmod(g.p("d"), 0o700))
		g.said("closed by chmod", says(g, actor(carl, friends, "sum", g.p("d/in"))), "EACCES")
	}},
	{"lists-inherited", func(g *ground) {
		unix.Umask(0o077) // does not count where there is a list
		defer unix.Umask(0o022)
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.has("d", 0o700, acl.Access, nil)
		d := listOf(7, 6, 5, 7, 7, 5)
		g.setList("d", acl.Default, d)
		g.has("d", 0o700, acl.Default, d)
		g.has("d", 0o700, acl.Access, nil)
		fd, err := unix.Open(g.p("d/f"), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o640)
		g.ok("create", err)
		g.close(fd)
		g.has("d/f", 0o640, acl.Access, listOf(6, 6, 5, 7, 4, 0))
		g.has("d/f", 0o640, acl.Default, nil)
		g.ok("mkdir", unix.Mkdir(g.p("d/s"), 0o777))
		g.has("d/s", 0o775, acl.Access, d)
		g.has("d/s", 0o775, acl.Default, d)
		g.ok("mkfifo", unix.Mkfifo(g.p("d/s/p"), 0o666))
		g.has("d/s/p", 0o664, acl.Access, listOf(6, 6, 5, 7, 6, 4))
		g.ok("mknod", unix.Mknod(g.p("d/s/n"), unix.S_IFREG|0o604, 0))
		g.has("d/s/n", 0o604, acl.Access, listOf(6, 6, 5, 7, 0, 4))
		g.ok("symlink", unix.Symlink("f", g.p("d/l")))
		if st := g.stat("d/l"); st.Mode&0o777 != 0o777 {
			g.Errorf("symlink: %o", st.Mode)
		}
		// A file that gets its name later, too.
		fd, err = unix.Open(g.p("d"), unix.O_TMPFILE|unix.O_WRONLY, 0o666)
		g.ok("create without a name", err)
		g.ok(
			"link",
			unix.Linkat(
				unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.AT_FDCWD, g.p("d/t"), unix.AT_SYMLINK_FOLLOW,
			),
		)
		g.close(fd)
		g.has("d/t", 0o664, acl.Access, listOf(6, 6, 5, 7, 6, 4))
		fd, err = unix.Open(g.dir, unix.O_TMPFILE|unix.O_WRONLY, 0o666)
		g.ok("create without a name", err)
		g.ok(
			"link",
			unix.Linkat(
				unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.AT_FDCWD, g.p("t"), unix.AT_SYMLINK_FOLLOW,
			),
		)
		g.close(fd)
		g.has("t", 0o600, acl.Access, nil)
		// What was there before, or comes by a rename, keeps its own.
		g.close(g.create("old"))
		g.ok("rename", unix.Rename(g.p("old"), g.p("d/old")))
		g.has("d/old", 0o600, acl.Access, nil)
		// A list that says what a mode says counts for the mode alone, in place of the umask.
		g.ok("mkdir", unix.Mkdir(g.p("m"), 0o700))
		g.setList("m", acl.Default, minimal(7, 5, 1))
		fd, err = unix.Open(g.p("m/f"), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o666)
		g.ok("create", err)
		g.close(fd)
		g.has("m/f", 0o640, acl.Access, nil)
		g.ok("mkdir", unix.Mkdir(g.p("m/s"), 0o777))
		g.has("m/s", 0o751, acl.Default, minimal(7, 5, 1))
		g.again()
		g.has("d/s/p", 0o664, acl.Access, listOf(6, 6, 5, 7, 6, 4))
		g.has("d/s", 0o775, acl.Default, d)
		// Without the list it is the umask again.
		g.ok("remove", unix.Removexattr(g.p("d"), acl.Default))
		g.ok("remove again", unix.Removexattr(g.p("d"), acl.Default))
		for _, c := range []struct {
			mask, want uint32
			text       string
		}{{0, 0o777, "0"}, {0o027, 0o750, "027"}, {0o777, 0, "0777"}} {
			name := "masked " + c.text
			g.said(name, says(g, actor(0, 0, "mkdir-masked", g.p("d/"+name), "0777", c.text)), "ok")
			g.has("d/"+name, c.want, acl.Access, nil)
		}
	}},
	{"lists-setgid", func(g *ground) {
		text := func(l acl.List) string { return hex.EncodeToString(l.Bytes()) }
		for _, folder := range []bool{false, true} {
			for _, c := range []struct {
				what string
				gid  uint32
				l    acl.List
				want uint32
				kept acl.List
			}{
				{"in the group", anna, minimal(7, 7, 7), 0o2777, nil},
				{"not in the group", 101, minimal(7, 7, 7), 0o777, nil},
				{"in the group, named", anna, listOf(7, 7, 7, 7, 7, 7), 0o2777, listOf(7, 7, 7, 7, 7, 7)},
				{"not in the group, named", 101, listOf(7, 7, 7, 7, 7, 7), 0o777, listOf(7, 7, 7, 7, 7, 7)},
			} {
				if folder {
					g.ok("mkdir", unix.Mkdir(g.p("x"), 0o755))
				} else {
					g.close(g.create("x"))
				}
				g.ok("chown", unix.Chown(g.p("x"), anna, anna))
				g.ok("chmod", unix.Chmod(g.p("x"), 0o2755))
				g.said(c.what, says(g, actor(anna, c.gid, "setlist", g.p("x"), acl.Access, text(c.l))), "ok")
				g.has("x", c.want, acl.Access, c.kept)
				g.ok("remove", os.Remove(g.p("x")))
			}
		}
		// What is made in a setgid folder with a list has both.
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.setList("d", acl.Default, listOf(7, 7, 5, 5, 7, 5))
		g.ok("chown", unix.Chown(g.p("d"), anna, friends))
		g.ok("chmod", unix.Chmod(g.p("d"), 0o2755))
		for _, gid := range []uint32{friends, anna} {
			g.said("mkdir", says(g, actor(anna, gid, "mkdir", g.p("d/s"), "0777")), "ok")
			g.has("d/s", 0o2775, acl.Access, listOf(7, 7, 5, 5, 7, 5))
			if st := g.stat("d/s"); st.Gid != friends {
				g.Errorf("group %d", st.Gid)
			}
			g.ok("rmdir", unix.Rmdir(g.p("d/s")))
		}
	}},
	{"lists-unlinked", func(g *ground) {
		// A file that is open keeps its list when its name is gone, and it changes with the mode.
		fd := g.create("f")
		g.setList("f", acl.Access, listOf(6, 6, 4, 4, 6, 4))
		g.ok("unlink", unix.Unlink(g.p("f")))
		read := func(want acl.List, mode uint32) {
			g.Helper()
			b := make([]byte, 1000)
			n, err := unix.Fgetxattr(fd, acl.Access, b)
			if want == nil {
				g.want("get", err, unix.ENODATA)
			} else if g.ok("get", err); string(b[:n]) != string(want.Bytes()) {
				g.Errorf("% x", b[:n])
			}
			if st := g.fstat(fd); st.Mode&0o7777 != mode {
				g.Errorf("mode %o, want %o", st.Mode&0o7777, mode)
			}
		}
		read(listOf(6, 6, 4, 4, 6, 4), 0o664)
		g.ok("fchmod", unix.Fchmod(fd, 0o640))
		read(listOf(6, 6, 4, 4, 4, 0), 0o640)
		g.ok("set", unix.Fsetxattr(fd, acl.Access, listOf(7, 7, 7, 7, 1, 1).Bytes(), 0))
		read(listOf(7, 7, 7, 7, 1, 1), 0o711)
		g.ok("set", unix.Fsetxattr(fd, acl.Access, minimal(6, 4, 0).Bytes(), 0))
		read(nil, 0o640)
		g.close(fd)
	}},
}
