package fuse

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Cases of extended attributes, by processes of several users.
var attributeCases = []conformanceCase{
	{"attributes-user", func(g *ground) {
		// A user's attributes go by the right to read and to write; that they are there is told to
		// all who reach the file, as ext4 does.
		for _, c := range []struct {
			mode      uint32
			get, set  string // of a stranger
			folder    bool
			stickySet string
		}{
			{0o600, "EACCES", "EACCES", false, ""},
			{0o604, "kept", "EACCES", false, ""},
			{0o602, "EACCES", "ok", false, ""},
			{0o666, "kept", "ok", false, ""},
			{0o700, "EACCES", "EACCES", true, "EPERM"},
			{0o705, "kept", "EACCES", true, "EPERM"},
			{0o777, "kept", "ok", true, "EPERM"},
		} {
			f := g.p("f")
			if c.folder {
				g.ok("mkdir", unix.Mkdir(f, 0o755))
			} else {
				g.close(g.create("f"))
			}
			g.ok("set", unix.Setxattr(f, "user.a", []byte("kept"), 0))
			g.ok("set", unix.Setxattr(f, "user.b", []byte("gone"), 0))
			g.ok("chown", unix.Chown(f, anna, anna))
			g.ok("chmod", unix.Chmod(f, c.mode))
			g.said("list", says(g, actor(carl, carl, "listxattr", f)), "user.a user.b")
			g.said("get", says(g, actor(carl, carl, "getxattr", f, "user.a")), c.get)
			g.said("set", says(g, actor(carl, carl, "setxattr", f, "user.c", "x")), c.set)
			g.said("change", says(g, actor(carl, carl, "setxattr", f, "user.b", "x")), c.set)
			g.said("remove", says(g, actor(carl, carl, "removexattr", f, "user.b")), c.set)
			g.said("the owner sets", says(g, actor(anna, anna, "setxattr", f, "user.d", "x")), "ok")
			g.said("the owner removes", says(g, actor(anna, anna, "removexattr", f, "user.d")), "ok")
			if c.folder {
				// In a folder with the sticky bit, only its owner and root.
				g.ok("chmod", unix.Chmod(f, c.mode|0o1000))
				g.said("sticky: set", says(g, actor(carl, carl, "setxattr", f, "user.a", "x")), c.stickySet)
				g.said("sticky: remove", says(g, actor(carl, carl, "removexattr", f, "user.a")), c.stickySet)
				g.said("sticky: the owner sets", says(g, actor(anna, anna, "setxattr", f, "user.a", "x")), "ok")
				g.said("sticky: root removes", says(g, actor(0, 0, "removexattr", f, "user.a")), "ok")
				g.ok("rmdir", unix.Rmdir(f))
			} else {
				g.ok("unlink", unix.Unlink(f))
			}
		}
	}},
	{"attributes-special", func(g *ground) {
		// Only files and folders have a user's attributes; what is no file has those of root.
		g.ok("symlink", unix.Symlink("nowhere", g.p("link")))
		g.ok("mkfifo", unix.Mkfifo(g.p("fifo"), 0o666))
		g.ok("mknod", unix.Mknod(g.p("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		for _, name := range []string{"link", "fifo", "device"} {
			for _, uid := range []uint32{0, carl} {
				g.said(name+": set", says(g, actor(uid, uid, "setxattr", g.p(name), "user.a", "x")), "EPERM")
				g.said(name+": get", says(g, actor(uid, uid, "getxattr", g.p(name), "user.a")), "ENODATA")
				g.said(name+": remove", says(g, actor(uid, uid, "removexattr", g.p(name), "user.a")), "EPERM")
			}
			g.said(name+": root's", says(g, actor(0, 0, "setxattr", g.p(name), "trusted.a", "x")), "ok")
			g.said(name+": root's", says(g, actor(0, 0, "getxattr", g.p(name), "trusted.a")), "x")
			g.said(name+": list", says(g, actor(carl, carl, "listxattr", g.p(name))), "")
		}
	}},
	{"attributes-trusted", func(g *ground) {
		g.write("f", "x")
		f := g.p("f")
		g.ok("chown", unix.Chown(f, anna, anna))
		g.ok("set", unix.Setxattr(f, "trusted.a", []byte("root's"), 0))
		g.ok("set", unix.Setxattr(f, "security.a", []byte("for all"), 0))
		g.ok("set", unix.Setxattr(f, "user.a", nil, 0))
		for _, uid := range []uint32{anna, carl} {
			g.said("set", says(g, actor(uid, uid, "setxattr", f, "trusted.b", "x")), "EPERM")
			g.said("get", says(g, actor(uid, uid, "getxattr", f, "trusted.a")), "ENODATA")
			g.said("remove", says(g, actor(uid, uid, "removexattr", f, "trusted.a")), "EPERM")
			g.said("security: set", says(g, actor(uid, uid, "setxattr", f, "security.b", "x")), "EPERM")
			g.said("security: get", says(g, actor(uid, uid, "getxattr", f, "security.a")), "for all")
			g.said("security: remove", says(g, actor(uid, uid, "removexattr", f, "security.a")), "EPERM")
			g.said("capability", says(g, actor(uid, uid, "removexattr", f, "security.capability")), "EPERM")
			g.said("list", says(g, actor(uid, uid, "listxattr", f)), "security.a user.a")
		}
		g.said("root's list", says(g, actor(0, 0, "listxattr", f)), "security.a trusted.a user.a")
		// CAP_SYS_ADMIN
		g.said("root without the right", says(g, actor(0, 0, "listxattr-without", f, "21")), "security.a user.a")
		g.said(
			"root without another right", says(g, actor(0, 0, "listxattr-without", f, "1")),
			"security.a trusted.a user.a",
		)
		g.said("root reads", says(g, actor(0, 0, "getxattr", f, "trusted.a")), "root's")
		g.said("root removes", says(g, actor(0, 0, "removexattr", f, "trusted.a")), "ok")
	}},
	{"attributes-elsewhere", func(g *ground) {
		// What is in no namespace is nobody's: not the owner's, not root's, and not of who may not
		// even read the file.
		g.write("f", "x")
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o700))
		g.ok("symlink", unix.Symlink("f", g.p("l")))
		g.ok("chmod", unix.Chmod(g.p("f"), 0o600))
		for _, name := range []string{"f", "d", "l"} {
			g.ok("chown", unix.Lchown(g.p(name), anna, anna))
			for _, uid := range []uint32{0, anna, carl} {
				for _, attr := range []string{"system.x", "system.nfs4_acl", "system.", "plain", "other.x"} {
					f, want := g.p(name), "ENOTSUP" // the same number as EOPNOTSUPP
					if uid == carl && !strings.HasPrefix(attr, "system.") && name != "l" {
						want = "EACCES"
					}
					if attr == "system." && g.remount == nil {
						continue // EINVAL
					}
					g.said("set", says(g, actor(uid, uid, "setxattr", f, attr, "x")), want)
					g.said("get", says(g, actor(uid, uid, "getxattr", f, attr)), want)
					g.said("remove", says(g, actor(uid, uid, "removexattr", f, attr)), want)
				}
			}
			g.said("list", says(g, actor(0, 0, "listxattr", g.p(name))), "")
		}
	}},
	{"attributes-room", func(g *ground) {
		// Who may write to a file takes no more room for attributes than leaves some to its owner
		// and to root.
		if g.remount == nil {
			g.Skip("file systems of the kernel have their own limits")
		}
		for _, size := range []string{"1", "30000"} {
			g.close(g.create("f"))
			f := g.p("f")
			g.ok("chown", unix.Chown(f, anna, anna))
			g.ok("chmod", unix.Chmod(f, 0o666))
			says(g, actor(carl, carl, "fill", f, size))
			g.said(
				"another", says(g, actor(bert, bert, "setxattr", f, "user.bert", strings.Repeat("x", 30_000))),
				"ENOSPC",
			)
			g.said("the owner", says(g, actor(anna, anna, "setxattr", f, "user.anna", "x")), "ok")
			g.said("root", says(g, actor(0, 0, "setxattr", f, "trusted.root", "x")), "ok")
			says(g, actor(anna, anna, "fill", f, size))
			g.said(
				"the owner's list",
				says(g, actor(anna, anna, "setlist", f, "system.posix_acl_access", namedList(carl, 4))), "ok",
			)
			g.said("the owner takes one away", says(g, actor(anna, anna, "removexattr", f, "user.fill4713.0")), "ok")
			g.said("and has room", says(g, actor(anna, anna, "setxattr", f, "user.more", "x")), "ok")
			g.again()
			if names, err := listed(
				f,
			); err != nil || !slices.Contains(names, "user.anna") ||
				!slices.Contains(names, "trusted.root") {
				g.Errorf("%q, %v", names, err)
			}
			g.ok("unlink", unix.Unlink(f))
		}
	}},
}
