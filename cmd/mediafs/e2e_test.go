package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediafs/remote/object"
	"mediafs/remote/object/open"
)

// sourceFiles is how many files of Go's source tree are copied: the crowd of small files that a
// real tree is.
const sourceFiles = 2000

// repository is the root of this source tree.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// needs skips a test on a machine without a program that it runs.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s here (scripts/deps installs it)", p)
		}
	}
}

// run runs a program of this machine, outside the mount.
func run(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sourceTree makes the tree that is copied: part of Go's own, real media, and everything that
// copies get wrong.
func sourceTree(t *testing.T) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	goroot, err := run(t, "go", "env", "GOROOT")
	if err != nil {
		t.Fatalf("%v: %s", err, goroot)
	}
	from := filepath.Join(strings.TrimSpace(goroot), "src")
	var names []string
	err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if rel, _ := filepath.Rel(from, name); rel != "" {
				names = append(names, rel)
			}
		}
		if len(names) == sourceFiles {
			return filepath.SkipAll
		}
		return err
	})
	if err != nil || len(names) < sourceFiles {
		t.Fatalf("%s: %d files, %v", from, len(names), err)
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	root := repository(t)
	for _, args := range [][]string{
		{"rsync", "-a", "--mkpath", "--files-from=" + list, from, tree + "/go"},
		{"rsync", "-a", root + "/testdata/media", tree},
		{root + "/scripts/hostile-tree", tree + "/hostile"},
	} {
		if out, err := run(t, args[0], args[1:]...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return tree
}

// TestMission is what all of this is for: people copy trees to the drive, and every machine that
// mounts it has them, exactly.
func TestMission(t *testing.T) {
	if testing.Short() {
		t.Skip("copies thousands of files")
	}
	needs(t, "rsync", "perl", "setfattr")
	tree := sourceTree(t)
	const all = "--local-names=none" // the tree has such a name
	bothStores(t, func(t *testing.T, m *machine, store string) {
		copied := filepath.Join(m.mnt, "copied")
		m.mount(store, all)
		m.sh(`rsync -aHX "$1/" copied/`, tree)
		m.compare(tree, copied)

		// One more change of thousands of files: one operation, one object.
		m.do("flush", m.mnt)
		before := m.logObjects(store)
		m.sh(`mv copied/go copied/renamed`)
		m.do("flush", m.mnt)
		if after := m.logObjects(store); after != before+1 {
			t.Errorf("renaming a folder of %d files made %d objects in the log, want 1", sourceFiles, after-before)
		}
		m.sh(`mv copied/renamed copied/go && touch -r "$1" copied`, tree)
		m.umount()

		m.again(store, all)
		m.compare(tree, copied)
		m.umount()
	})
}

// compare fails unless both trees are the same in everything.
func (m *machine) compare(tree, copied string) {
	m.t.Helper()
	out, err := run(m.t, "rsync", "-aHXnc", "--delete", "--modify-window=-1", "--itemize-changes", tree+"/", copied+"/")
	if err != nil || out != "" {
		m.t.Errorf("rsync finds differences: %v\n%s", err, shortened(out))
	}
	if out, err = run(m.t, filepath.Join(repository(m.t), "scripts/compare-trees"), tree, copied); err != nil {
		m.t.Errorf("compare-trees: %v\n%s", err, shortened(out))
	}
}

func shortened(text string) string {
	if len(text) > 4000 {
		return text[:4000] + "…"
	}
	return text
}

// logObjects counts the commits in the store.
func (m *machine) logObjects(store string) (n int) {
	m.t.Helper()
	for _, pair := range m.env {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			m.t.Setenv(name, value)
		}
	}
	b, err := open.URL(context.Background(), store, open.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	defer b.Close()
	for after, more := "", true; more; {
		var page []object.Info
		if page, more, err = b.List(context.Background(), "log/", after, 0); err != nil {
			m.t.Fatal(err)
		}
		n += len(page)
		if len(page) > 0 {
			after = page[len(page)-1].Key
		}
	}
	return n
}

// Programs that people run on a drive find one.
func TestPrograms(t *testing.T) {
	needs(t, "git", "sqlite3", "tar", "rsync")
	m := newMachine(t)
	_, store := m.localStore()
	m.mount(store)

	t.Run("git", func(t *testing.T) {
		m.sh(`
			git init -q -b main origin && cd origin
			git config user.email someone@example.org && git config user.name Someone && git config gc.auto 0
			for i in $(seq 60); do printf 'line %d\n' "$i" >>file; printf '%d' "$i" >"f$i"; git add . && git commit -q -m "change $i"; done
			git checkout -q -b side HEAD~20 && echo side >side && git add . && git commit -q -m side
			git checkout -q main && git merge -q -m merged side && git gc -q --prune=now
			cd .. && git clone -q --no-local origin clone
			git -C origin fsck --strict && git -C clone fsck --strict
			test "$(git -C origin rev-parse main)" = "$(git -C clone rev-parse HEAD)"
			test -z "$(git -C clone status --porcelain)"`)
	})
	t.Run("sqlite", func(t *testing.T) {
		const script = `
			sqlite3 -bail "$1" "pragma journal_mode=$2; create table t(id integer primary key, v text);"
			for i in $(seq 20); do
				sqlite3 -bail "$1" "begin; insert into t(v) with recursive c(x) as (select 1 union all select x+1 from c where x<100) select hex(randomblob(100)) from c; commit;"
			done
			sqlite3 -bail "$1" "delete from t where id%3=0; update t set v=upper(v) where id%5=0; vacuum;"
			test "$(sqlite3 "$1" 'pragma integrity_check')" = ok
			test "$(sqlite3 "$1" 'select count(*) from t')" = 1334`
		for _, journal := range []string{"delete", "truncate", "persist"} {
			m.sh(script, journal+".db", journal)
		}
	})
	t.Run("tar", func(t *testing.T) {
		m.sh(`
			mkdir tree && cp -a "$1/." tree/ && ln tree/README.md tree/hard && ln -s README.md tree/soft && truncate -s 3M tree/sparse && echo end >>tree/sparse
			tar --xattrs -Scf tree.tar tree && mkdir out && tar --xattrs -C out -xf tree.tar
			test -z "$(rsync -aHXnc --delete --modify-window=-1 --itemize-changes tree/ out/tree/)"
			tar -df tree.tar`, filepath.Join(repository(t), "testdata/media"))
	})
	t.Run("save by rename", func(t *testing.T) {
		m.sh(`
			for i in $(seq 50); do echo "$i" >doc.tmp && mv doc.tmp doc && test "$(cat doc)" = "$i"; done
			printf abc >edit && printf X | dd of=edit bs=1 seek=1 conv=notrunc status=none && test "$(cat edit)" = aXc
			sed -i s/X/b/ edit && test "$(cat edit)" = abc`)
	})
	if t.Failed() {
		return
	}
	sums := m.sh(`find . -type f -not -path './.git/*' -print0 | sort -z | xargs -0 sha256sum`)
	m.umount()
	m.again(store)
	if again := m.sh(`find . -type f -not -path './.git/*' -print0 | sort -z | xargs -0 sha256sum`); again != sums {
		t.Errorf("a second machine has other bytes:\n%s", difference(sums, again))
	}
	m.umount()
}

// difference shows the lines that only one of two texts has.
func difference(a, b string) string {
	count := map[string]int{}
	for line := range strings.SplitSeq(a, "\n") {
		count[line]++
	}
	for line := range strings.SplitSeq(b, "\n") {
		count[line]--
	}
	var out strings.Builder
	for line, n := range count {
		if n != 0 {
			fmt.Fprintf(&out, "%+d %s\n", n, line)
		}
	}
	return shortened(out.String())
}
