package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrangeLists makes, as root, files and folders with attributes and access control lists.
const arrangeLists = `cd "$1"; umask 022
mkdir team shared closed sticky
for n in none read write deny group; do echo x >$n; chown 64711:65000 $n; done
chmod 600 none; setfacl -m u:64712:r,o::- read; setfacl -m u:64712:rw,g::-,o::r write; setfacl -m u:64712:-,g::r,o::r deny
chmod 660 group; setfacl -m g:64713:r group
chown 64711:65000 team shared closed
setfacl -m g:65000:rwx,d:g:65000:rwx,d:u:64713:rx,d:o::- team
chmod 777 shared; chmod 700 closed; echo x >closed/in; setfacl -m u:64713:x closed
chmod 1777 sticky; setfattr -n user.a -v x sticky
for n in none read write deny group shared; do setfattr -n user.a -v x -- $n; setfattr -n trusted.a -v y $n; setfattr -n security.a -v z $n; done
`

// attemptsAtLists are tried by each of the users in turn.
const attemptsAtLists = `cd "$DIR" 2>/dev/null || { echo "no way in"; exit 0; }
try() { if out=$( (eval "$1") 2>/dev/null ); then echo "$1: yes $out"; else echo "$1: no $out"; fi; }
acl() { getfacl -cnE "$@"; }
for f in none read write deny group; do
	try "cat $f"
	try "echo more >>$f"
	try "acl $f"
	try "getfattr -n user.a --only-values $f"
	try "setfattr -n user.b-$UID -v 1 $f"
	try "setfattr -x user.b-$UID $f"
	try "getfattr -d -m - $f"
	try "setfattr -n trusted.b -v 1 $f"
	try "setfattr -x trusted.a $f"
	try "getfattr -n trusted.a $f"
	try "getfattr -n security.a --only-values $f"
	try "setfattr -n security.b -v 1 $f"
	try "setfattr -n system.x -v 1 $f"
	try "getfattr -n system.x $f"
	try "setfacl -m u:65534:r $f && acl $f"
	try "setfacl -x u:65534 $f && acl $f"
	try "setfacl -b $f"
done
try "cat closed/in"
try "ls closed"
try "setfattr -n user.b -v 1 sticky"
try "setfattr -x user.a sticky"
try "setfattr -n user.b-$UID -v 1 shared"
try "ls team"
try "mkdir team/d-$UID && touch team/d-$UID/f team/f-$UID && acl team/d-$UID team/d-$UID/f team/f-$UID"
try "umask 077; touch team/u-$UID && acl team/u-$UID"
try "umask 077; mkdir shared/u-$UID && acl shared/u-$UID"
try "cp -a read shared/copy-$UID && acl shared/copy-$UID"
try "cp read team/copied-$UID && acl team/copied-$UID"
try "chmod 640 shared/copy-$UID && acl shared/copy-$UID"
try "chmod 2755 shared/copy-$UID && setfacl -m u::rwx,g::rwx shared/copy-$UID && stat -c %a shared/copy-$UID"
try "setfacl -d -m u:1:rwx shared/u-$UID && mkdir shared/u-$UID/in && acl shared/u-$UID/in; rmdir shared/u-$UID/in"
try "setfacl -k shared/u-$UID && acl shared/u-$UID"
try "mv shared/copy-$UID team/moved-$UID && acl team/moved-$UID"
try "rm -r team/*-$UID shared/*-$UID"
true
`

// Three users do what attributes, access control lists and default lists let them do or not, on the
// mount and on a file system of this machine: every attempt ends in the same way, and the same is
// left.
func TestThreeUsersLists(t *testing.T) {
	needsRoot(t)
	needs(t, "setfattr", "setfacl", "getfacl")
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url, "--allow-other")
	local := filepath.Join(m.home, "local")
	if err := os.Mkdir(local, 0o755); err != nil {
		t.Fatal(err)
	}
	passable(t, m.home)
	if out, err := run(
		t, "bash", "-euc",
		`cd "$1"; touch x; setfacl -m u:1:r x; setfattr -n user.a -v 1 x; setfattr -n trusted.a -v 1 x; rm x`, "bash",
		local,
	); err != nil {
		t.Skipf("the file system of TMPDIR has no access control lists or attributes: %v: %s", err, out)
	}
	var told [2][]string
	for i, dir := range []string{local, m.mnt} {
		if out, err := run(t, "bash", "-euc", arrangeLists, "bash", dir); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, user := range []int{2, 1, 0, 1, 2} {
			for line := range strings.Lines(as(t, user, dir, attemptsAtLists)) {
				told[i] = append(told[i], users[user].name+": "+strings.TrimSuffix(line, "\n"))
			}
		}
		out, err := run(
			t, "bash", "-euc",
			`cd "$1"; find . -mindepth 1 | LC_ALL=C sort | while read -r f; do stat -c '%n %a %u %g' "$f"; getfacl -cnE "$f"; getfattr -d -m '^(user|trusted)' "$f"; done`,
			"bash", dir,
		)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		told[i] = append(told[i], strings.Split(out, "\n")...)
	}
	if len(told[0]) != len(told[1]) || len(told[0]) < 500 {
		t.Errorf("%d lines here, %d on the mount", len(told[0]), len(told[1]))
	}
	for i, want := range told[0][:min(len(told[0]), len(told[1]))] {
		if got := told[1][i]; got != want {
			t.Errorf("%q, on a local file system %q", got, want)
			if t.Failed() && i > 0 {
				t.Logf("after %q", told[1][i-1])
			}
		}
	}
	m.umount()
}

// What copies lists carries them: cp, rsync, tar, and the import of a tree. A second machine,
// views, archives and names that stay here go by them.
func TestListsAreCarried(t *testing.T) {
	needsRoot(t)
	needs(t, "setfacl", "getfacl", "rsync", "tar")
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url, "--allow-other")
	passable(t, m.home)
	m.sh(`mkdir -p tree/sub; echo text >tree/sub/doc.txt; echo plain >tree/sub/plain.txt; chmod 640 tree/sub/doc.txt
		setfacl -R -m u:64712:rX,g:65000:-,o::- tree; setfacl -d -m u:64712:rwx tree/sub; setfacl -b tree/sub/plain.txt; chmod 604 tree/sub/plain.txt
		setfacl -d -m u:1:rwx . # what is copied keeps its own list, or none
		mkdir in; cp -a tree in/cp; rsync -aA tree/ in/rsync; tar --acls -cf - tree | tar --acls -C in --transform s/^tree/tar/ -xpf -`)
	if out, err := run(t, "cp", "-a", filepath.Join(m.mnt, "tree"), filepath.Join(m.home, "tree")); err != nil {
		t.Skipf("the file system of TMPDIR has no access control lists: %v: %s", err, out)
	}
	m.do("import", filepath.Join(m.home, "tree"), filepath.Join(m.mnt, "in", "import"))
	lists := func(dir string) string {
		return m.sh(
			`cd "$1"; find . ! -name .DS_Store | LC_ALL=C sort | while read -r f; do echo "$f"; getfacl -cn "$f"; stat -c %a "$f"; done`,
			dir,
		)
	}
	want := lists("tree/sub")
	if !strings.Contains(want, "default:user:64712:rwx") || !strings.Contains(want, "group:65000:---") {
		t.Fatalf("arranged:\n%s", want)
	}
	for _, how := range []string{"cp", "rsync", "tar", "import"} {
		if got := lists("in/" + how + "/sub"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", how, got, want)
		}
	}
	m.sh(`setfacl -b -k .; echo two >>tree/sub/doc.txt; echo mac >tree/sub/.DS_Store; cat tree/sub/.DS_Store`)
	m.umount()
	m.mount(url, "--allow-other")
	if got := lists("tree/sub"); got != want {
		t.Errorf("after a remount:\n%s", got)
	}
	if got := m.sh(`getfacl -cn tree/sub/.DS_Store | head -n 2`); !strings.Contains(got, "user:64712:rw") {
		t.Errorf("a name that stays here:\n%s", got)
	}
	views := `for f in tree/sub/doc.txt tree/sub/.DS_Store .media/info/tree/sub/doc.txt.json .media/zip/tree/sub/doc.txt.zip .media/zip/tree.zip .media/search/doc/doc.txt; do
		cat "$DIR/$f" >/dev/null 2>&1 && echo yes || echo no; done; ls "$DIR/.media/info/tree/sub" >/dev/null 2>&1 && echo yes || echo no`
	told := map[int]string{
		0: "no no no no no no no", // of the group, which has nothing
		1: "yes yes yes yes yes yes yes",
		2: "no no no no no no no",
	}
	for user, want := range told {
		if got := strings.Fields(as(t, user, m.mnt, views)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v, want %v", users[user].name, got, want)
		}
	}
	m.umount()
}
