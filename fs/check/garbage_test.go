package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// garbage is what Garbage finds, one line an item; it also holds that nothing was written.
func (l *library) garbage() (Litter, []string) {
	l.t.Helper()
	before := l.everything()
	var items []string
	o := l.options(func(o *Options) {
		o.Each = func(i Item) error {
			items = append(items, fmt.Sprintf("%s %s %d %s", i.Class, i.What, i.Bytes, i.Place))
			return nil
		}
	})
	l.bad.Reset()
	litter, err := Garbage(l.t.Context(), o)
	l.ok(err)
	for op, of := range l.bad.Counts() {
		switch op {
		case storetest.Get, storetest.Head, storetest.List, storetest.Uploads:
		default:
			l.t.Errorf("requests %s: %v", op, of)
		}
	}
	if !equalObjects(before, l.everything()) {
		l.t.Error("the bucket was changed")
	}
	l.nothingLeft(o.TempDir)
	return litter, items
}

func (l *library) expect(what string, got []string, want ...string) {
	l.t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	same := len(got) == len(want)
	for i := 0; same && i < len(want); i++ {
		same = strings.HasPrefix(got[i], want[i])
	}
	if !same {
		l.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	_, items := l.garbage()
	l.expect("a library in which all is used", items)

	// The film goes: its object is old by the time, its side object and its record with it.
	w := writes{string(record.NodeKey(film)): nil, string(record.DentryKey(dcim, "film.mov")): nil}
	l.commit(w)
	l.content('X', []byte("never referred to"), false)
	begun, err := l.mem.CreateMultipart(t.Context(), at('Y'), "")
	l.ok(err)
	if begun == "" {
		t.Fatal("no upload")
	}
	probe := "probe/" + strings.Repeat("0a", 16)
	for _, key := range []string{probe, "probe/notes.txt"} {
		_, err := l.mem.Put(t.Context(), key, strings.NewReader("x"), 1, object.PutOptions{})
		l.ok(err)
	}
	_, items = l.garbage()
	l.expect(
		"young garbage", items, "young "+at('B')+" 307200", "young "+at('B')+".sum 72", "young "+at('X')+" 17",
		"young "+at('Y')+" (upload) 0",
	)

	l.passes(2*day - time.Minute)
	_, items = l.garbage()
	l.expect(
		"almost 2 days old", items, "young "+at('B')+" 307200", "young "+at('B')+".sum 72", "young "+at('X')+" 17",
		"young "+at('Y')+" (upload) 0",
	)

	l.passes(time.Minute)
	l.content('Z', []byte("new"), false)
	litter, items := l.garbage()
	l.expect(
		"2 days old", items, "content "+at('B')+" 307200", "side "+at('B')+".sum 72", "content "+at('X')+" 17",
		"upload "+at('Y')+" (upload) 0", "probe "+probe+" 1", "record content 42424242424242424242424242424242 ",
		"young "+at('Z')+" 3",
	)
	if sum := litter.Sums[UnusedContent]; sum != (Tally{2, 307217}) || litter.Commit != 3 ||
		litter.Now.Sub(l.now()).Abs() > time.Hour {
		t.Errorf("litter %+v", litter)
	}

	// Condemned already: nobody condemns it again.
	w = writes{"k" + strings.Repeat("B", 16): []byte{}, "k" + strings.Repeat("X", 16): []byte{}}
	l.commit(w)
	_, items = l.garbage()
	l.expect(
		"condemned", items, "condemned "+at('B')+" 307200", "condemned "+at('B')+".sum 72", "condemned "+at('X')+" 17",
		"upload "+at('Y'), "probe "+probe, "young "+at('Z')+" 3",
	)

	// The trash and versions keep what they refer to; a record whose object is gone goes at once.
	w = writes{}
	w.set(record.ContentKey(bytes.Repeat([]byte{'W'}, 16)), &record.Content{Size: 5})
	l.commit(w)
	_, items = l.garbage()
	l.expect(
		"record alone", items, "condemned "+at('B')+" 307200", "condemned "+at('B')+".sum 72",
		"condemned "+at('X')+" 17", "upload "+at('Y'), "probe "+probe, "young "+at('Z')+" 3",
		"record content 57575757575757575757575757575757 19",
	)
}

func TestGarbageOfVersions(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	w := writes{}
	for i := range uint64(60) { // one each minute
		w.set(
			record.VersionKey(photoMedia, 2+i),
			&record.Version{
				Head: &record.Head{Size: 10},
				Time: &record.Time{Seconds: l.now().Unix() - 3000 + 50*int64(i)},
			},
		)
	}
	l.commit(w)
	litter, items := l.garbage()
	if sum := litter.Sums[OldVersion]; sum != (Tally{11, 14 + 100}) ||
		!slices.Contains(
			items,
			"version version 1 of media 33333333333333333333333333333333 14 version 1 of /link.jpg (and 1 more of its names)",
		) {
		t.Errorf("%v, %q", sum, items)
	}
}

func TestGarbageOfHistory(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	for i := range 3 {
		w := writes{}
		for node := range uint64(40) { // no part is shared
			w.set(record.NodeKey(5000+node), &record.Node{Mode: 0o140644, Uid: uint32(i)})
			w.name(record.Root, fmt.Sprint("socket", node), 5000+node, kindSocket)
		}
		l.commit(w)
		l.checkpoint()
	}
	var parts, named []string
	for _, i := range l.list("checkpoint/part/") {
		parts = append(parts, i.Key)
	}
	keep := map[string]bool{}
	first := true
	for m, err := range l.store.Manifests(t.Context()) {
		l.ok(err)
		for _, p := range m.Parts {
			keep[p.Key] = keep[p.Key] || !first
		}
		first = false
	}
	for _, p := range parts {
		if !keep[p] {
			named = append(named, "part "+p)
		}
	}
	if len(named) == 0 {
		t.Fatal("every part is shared")
	}
	_, items := l.garbage()
	l.expect("young checkpoints", items)
	l.passes(day)
	_, items = l.garbage()
	l.expect("a day old", items, "checkpoint checkpoint/manifest/00000000000000000003")
	l.passes(day)
	_, items = l.garbage()
	l.expect("two days old", items, append(named, "checkpoint checkpoint/manifest/00000000000000000003")...)
	l.passes(30 * day)
	_, items = l.garbage()
	l.expect(
		"commits of a short log stay",
		items,
		append(named, "checkpoint checkpoint/manifest/00000000000000000003", "version version 1 of media")...)

	// A log of more than 10,000: only the number in the keys is looked at.
	body := l.get("log/0/00000000000000000005")
	for n := uint64(6); n <= 10004; n++ {
		_, err := l.mem.Put(
			t.Context(), fmt.Sprintf("log/0/%020d", n), bytes.NewReader(body), int64(len(body)), object.PutOptions{},
		)
		l.ok(err)
	}
	g := &collector{
		checker: newChecker(t.Context(), l.options()),
		litter:  Litter{Now: l.now(), Commit: 10004, Sums: map[GarbageClass]Tally{}},
	}
	var commits []string
	g.opt.Each = func(i Item) error {
		if i.Class == OldCommit {
			commits = append(commits, i.What)
		}
		return nil
	}
	l.ok(g.history())
	l.expect(
		"commits", commits, "log/0/00000000000000000001", "log/0/00000000000000000002", "log/0/00000000000000000003",
		"log/0/00000000000000000004",
	)
	commits = nil
	g.litter.Now = g.litter.Now.Add(-26 * day)
	l.ok(g.history())
	l.expect("commits of 6 days", commits)
	g.litter.Now, g.litter.Commit = l.now(), 20000
	l.ok(g.history())
	l.expect(
		"up to the older of two checkpoints", commits, "log/0/00000000000000000001", "log/0/00000000000000000002",
		"log/0/00000000000000000003", "log/0/00000000000000000004",
	)
}

func TestGarbageRefuses(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	l.commit(writes{string(record.NodeKey(film)): nil})
	if _, err := Garbage(t.Context(), l.options()); !errors.Is(err, remote.Corrupt) ||
		!strings.Contains(err.Error(), "damaged in 1 places") {
		t.Errorf("of a damaged catalog: %v", err)
	}
	enough := errors.New("enough")
	l = newLibrary(t)
	l.furnish()
	l.content('X', []byte("x"), false)
	if _, err := Garbage(
		t.Context(), l.options(func(o *Options) { o.Each = func(Item) error { return enough } }),
	); !errors.Is(err, enough) {
		t.Errorf("error of Each: %v", err)
	}
	timeless := &library{t: t, mem: mem.New(mem.Options{NoDate: true})}
	timeless.bad = storetest.New(timeless.mem)
	l.copyTo(timeless.mem)
	if _, err := Garbage(t.Context(), timeless.options()); !errors.Is(err, remote.Unsupported) {
		t.Errorf("of a store without a clock: %v", err)
	}
}

func (l *library) copyTo(b *mem.Bucket) {
	for k, v := range l.everything() {
		_, err := b.Put(l.t.Context(), k, io.ReadSeeker(strings.NewReader(v)), int64(len(v)), object.PutOptions{})
		l.ok(err)
	}
}
