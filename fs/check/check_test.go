package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

func glob(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSound(t *testing.T) {
	t.Parallel()
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		r := newLibrary(t).check(withData)
		if len(r.Findings) != 0 || r.Damaged != 0 || r.Noted != 0 || r.Commit != 0 {
			t.Errorf("report %+v", r)
		}
	})
	for _, checkpoints := range []int{0, 1, 2} {
		t.Run([]string{"log", "checkpoint", "checkpoints"}[checkpoints], func(t *testing.T) {
			t.Parallel()
			l := newLibrary(t)
			l.furnish()
			for i := range checkpoints {
				l.checkpoint()
				w := writes{}
				w.set(record.SettingKey("s"), &record.Setting{Value: []byte{byte(i)}})
				l.commit(w)
			}
			before := l.everything()
			r := l.check(withData)
			if len(r.Findings) != 0 || r.Damaged != 0 || r.Noted != 0 {
				t.Errorf("findings %+v", r.Findings)
			}
			want := Report{
				Library:     l.store.Facts().Library,
				Commit:      l.seq,
				Data:        true,
				Nodes:       6,
				Folders:     1,
				Media:       Tally{4, 921600 + 24},
				Versions:    Tally{1, 14},
				Trash:       1,
				Contents:    Tally{5, 921600 + 38},
				External:    Tally{1, 17},
				Read:        Tally{5, 921600 + 38},
				Objects:     Tally{5, 921600 + 21 + 72},
				Log:         r.Log,
				First:       1,
				Last:        l.seq,
				Checkpoints: int64(checkpoints),
				Parts:       r.Parts,
			}
			if r.Findings = nil; r.Log.Count != int64(l.seq) || !equalReports(r, want) {
				t.Errorf("report\n%+v, want\n%+v", r, want)
			}
			if after := l.everything(); !equalObjects(before, after) {
				t.Error("the bucket was changed")
			}
			for _, op := range []storetest.Op{storetest.Put, storetest.Delete} {
				l.bad.Reset()
				l.check()
				if n := l.bad.Count(op, ""); n != 0 {
					t.Errorf("%d requests %s", n, op)
				}
			}
		})
	}
}

func equalObjects(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func equalReports(a, b Report) bool {
	a.Findings, b.Findings = nil, nil
	return slices.Equal(
		[]any{
			a.Library, a.Commit, a.Again, a.Data, a.Damaged, a.Noted, a.Nodes, a.Folders, a.Media, a.Versions, a.Trash,
			a.Contents, a.Unused, a.External, a.Read, a.Objects, a.Garbage, a.Young, a.Unfinished, a.Foreign, a.Log,
			a.First, a.Last, a.Checkpoints, a.Parts,
		},
		[]any{
			b.Library, b.Commit, b.Again, b.Data, b.Damaged, b.Noted, b.Nodes, b.Folders, b.Media, b.Versions, b.Trash,
			b.Contents, b.Unused, b.External, b.Read, b.Objects, b.Garbage, b.Young, b.Unfinished, b.Foreign, b.Log,
			b.First, b.Last, b.Checkpoints, b.Parts,
		},
	)
}

// Each kind of damage once: what is found, where people see it, and that nothing else is.
func TestDamage(t *testing.T) {
	t.Parallel()
	const photoPlace = "/link.jpg (and 1 more of its names)"
	type found struct {
		class Class
		place string
		why   string // part of What and Why
	}
	tests := []struct {
		name   string
		data   bool // only --data finds it
		damage func(l *library)
		found  []found
	}{
		{
			name:   "object deleted",
			damage: func(l *library) { l.delete(at('A')) },
			found:  []found{{MissingContent, photoPlace, "not there"}},
		},
		{
			name:   "object of a version deleted",
			damage: func(l *library) { l.delete(at('C')) },
			found:  []found{{MissingContent, "version 1 of " + photoPlace, "not there"}},
		},
		{
			name:   "object in the trash deleted",
			damage: func(l *library) { l.delete(at('D')) },
			found:  []found{{MissingContent, "/DCIM/gone.jpg (in the trash since", "not there"}},
		},
		{name: "object cut", damage: func(l *library) { l.replace(at('A'), func(b []byte) []byte { return b[:1000] }) },
			found: []found{{WrongSize, photoPlace, "1000 bytes, not 614400"}}},
		{
			name:   "side object deleted",
			damage: func(l *library) { l.delete(at('B') + ".sum") },
			found:  []found{{MissingSums, "/DCIM/film.mov", "not there"}},
		},
		{
			name:   "side object cut",
			damage: func(l *library) { l.replace(at('B')+".sum", func(b []byte) []byte { return b[:70] }) },
			found:  []found{{AlteredSums, "/DCIM/film.mov", "follow its header"}},
		},
		{name: "side object altered", data: true, damage: func(l *library) { l.replace(at('B')+".sum", flip(70)) },
			found: []found{{AlteredSums, "/DCIM/film.mov", "checksum"}}},
		{name: "side object of other bytes", data: true, damage: func(l *library) {
			l.ok(
				l.store.PutSide(
					l.t.Context(), remote.ContentID{ID: contentID(bytes.Repeat([]byte{'B'}, 16)).String()}, ".sum",
					make([]byte, 8),
				),
			)
		}, found: []found{{AlteredSums, "/DCIM/film.mov", "not those that the catalog means"}}},
		{
			name:   "byte altered",
			data:   true,
			damage: func(l *library) { l.replace(at('A'), flip(300<<10)) },
			found: []found{
				{
					AlteredContent, photoPlace,
					"1 of 3 blocks of 256 KiB differ from their checksums, the first at byte 262144",
				},
			},
		},
		{name: "byte altered, sums beside", data: true, damage: func(l *library) { l.replace(at('B'), flip(0)) },
			found: []found{{AlteredContent, "/DCIM/film.mov", "1 of 2 blocks"}}},
		{
			name:   "external changed",
			damage: func(l *library) { l.replace("old/scan.tif", flip(3)) },
			found:  []found{{ChangedExternal, "/import.tif", "old/scan.tif"}},
		},
		{name: "external of a version changed", damage: func(l *library) {
			x := &record.Extent{Length: 17, Content: bytes.Repeat([]byte{'E'}, 16)}
			w := writes{}
			w.set(
				record.VersionKey(photoMedia, 1),
				&record.Version{Head: &record.Head{Size: 17, Extents: []*record.Extent{x}}, Node: photo},
			)
			w[string(record.NodeKey(import_))] = nil
			w[string(record.DentryKey(record.Root, "import.tif"))] = nil
			l.commit(w)
			l.replace("old/scan.tif", flip(3))
		}, found: []found{{PastExternal, "version 1 of /link.jpg", "replaced in the bucket"}}},
		{name: "external in the trash deleted", damage: func(l *library) {
			w := writes{}
			w[string(record.DentryKey(record.Root, "import.tif"))] = nil
			w.set(
				record.TrashKey(101),
				&record.TrashEntry{Node: import_, Parent: record.Root, Name: []byte("import.tif")},
			)
			l.commit(w)
			l.delete("old/scan.tif")
		}, found: []found{{PastExternal, "/import.tif (in the trash", "not there"}}},
		{
			name:   "external deleted",
			damage: func(l *library) { l.delete("old/scan.tif") },
			found:  []found{{ChangedExternal, "/import.tif", "not there"}},
		},

		{name: "name without node", damage: func(l *library) { l.commit(writes{string(record.NodeKey(film)): nil}) },
			found: []found{{DanglingName, "/DCIM/film.mov", "node 4 is not there"}}},
		{name: "another kind", damage: func(l *library) {
			w := writes{}
			w.name(record.Root, "soft", soft, kindMedia)
			l.commit(w)
		}, found: []found{{WrongKind, "/soft", "type 8, node 7 is of type 10"}}},
		{
			name:   "no name",
			damage: func(l *library) { l.commit(writes{string(record.DentryKey(dcim, "film.mov")): nil}) },
			found:  []found{{LostNode, "node 4, which has no name", "not in the trash"}},
		},
		{name: "two names of a folder", damage: func(l *library) {
			w := writes{}
			w.name(record.Root, "again", dcim, kindFolder)
			l.commit(w)
		}, found: []found{{SeveralNames, "/DCIM (and 1 more", "it has 2"}}},
		{name: "cycle", damage: func(l *library) {
			w := writes{string(record.DentryKey(record.Root, "DCIM")): nil}
			w.set(record.NodeKey(8), &record.Node{Mode: 0o40755})
			w.name(8, "DCIM", dcim, kindFolder)
			w.name(dcim, "sub", 8, kindFolder)
			l.commit(w)
		}, found: []found{{Cycle, "", "lies in itself"}}},
		{name: "illegal name", damage: func(l *library) {
			w := writes{string(record.DentryKey(record.Root, "soft")): nil}
			w.name(record.Root, "so/ft", soft, kindSymlink)
			l.commit(w)
		}, found: []found{{IllegalName, "/", "slash"}}},
		{name: "names in no folder", damage: func(l *library) {
			w := writes{}
			w.name(99, "x", soft, kindSymlink)
			l.commit(w)
		}, found: []found{{StrayNames, "node 99", "it is not there"}}},
		{name: "extent outside of the media", damage: func(l *library) {
			l.head(photo, &record.Extent{Offset: 614400, Length: 1, Content: bytes.Repeat([]byte{'A'}, 16)})
		},
			found: []found{{BadHead, photoPlace, "past the size"}}},
		{name: "extent outside of its content", damage: func(l *library) {
			l.head(photo, &record.Extent{Length: 614400, ContentOffset: 1, Content: bytes.Repeat([]byte{'A'}, 16)})
		},
			found: []found{{BadHead, photoPlace, "from 1 of content"}}},
		{name: "extents overlap", damage: func(l *library) {
			x := &record.Extent{Length: 4, Content: bytes.Repeat([]byte{'A'}, 16)}
			l.head(photo, x, x)
		}, found: []found{{BadHead, photoPlace, "extent 1 begins at 0, before 4"}}},
		{name: "too many extents", damage: func(l *library) {
			var xs []*record.Extent
			for i := range uint64(record.MaxExtents + 1) {
				xs = append(xs, &record.Extent{Offset: i, Length: 1, Content: bytes.Repeat([]byte{'A'}, 16)})
			}
			l.head(photo, xs...)
		}, found: []found{{BadHead, photoPlace, "it has 65 extents"}}},
		{
			name:   "content without record",
			damage: func(l *library) { l.commit(writes{string(record.ContentKey(bytes.Repeat([]byte{'C'}, 16))): nil}) },
			found:  []found{{UnknownContent, "version 1 of " + photoPlace, "the catalog does not know it"}},
		},
		{name: "trash without node", damage: func(l *library) { l.commit(writes{string(record.NodeKey(binned)): nil}) },
			found: []found{{DanglingTrash, "gone.jpg (in the trash", "node 5 is not there"}}},
		{
			name:   "record that cannot be read",
			damage: func(l *library) { l.commit(writes{string(record.TrashKey(101)): []byte("\xff")}) },
			found:  []found{{BadRecord, "", "record"}},
		},
		{name: "number of a view", damage: func(l *library) {
			w := writes{}
			w.set(record.NodeKey(record.ViewBit|5), &record.Node{Mode: 0o120777})
			w.name(record.Root, "view", record.ViewBit|5, kindSymlink)
			l.commit(w)
		}, found: []found{{BadRecord, "/view", "never stored"}}},

		{
			name:   "counter of names",
			damage: func(l *library) { l.counters(record.LinksKey(photo), record.EncodeCounters(3)) },
			found:  []found{{WrongCounter, photoPlace, "names of node 3: the catalog counts 3, there are 2"}},
		},
		{name: "counter missing", damage: func(l *library) { l.counters(record.LinksKey(photo), nil) },
			found: []found{{WrongCounter, photoPlace, "counts 0, there are 2"}}},
		{
			name:   "counter of nothing",
			damage: func(l *library) { l.counters(record.LinksKey(77), record.EncodeCounters(1)) },
			found:  []found{{WrongCounter, "", "there is no such node"}},
		},
		{
			name:   "counter of a folder",
			damage: func(l *library) { l.counters(record.CountsKey(dcim), record.EncodeCounters(2, 1)) },
			found:  []found{{WrongCounter, "/DCIM", "folders in folder 2: the catalog counts 1, there are 0"}},
		},
		{name: "counter of a folder missing", damage: func(l *library) { l.counters(record.CountsKey(dcim), nil) },
			found: []found{{WrongCounter, "/DCIM", "counts 0, there are 2"}}},
		{
			name:   "usage",
			damage: func(l *library) { l.counters(record.UsageKey(), record.EncodeCounters(7, 1, 14, 921638)) },
			found: []found{
				{WrongCounter, "", "bytes of heads in the library: the catalog counts 1, there are 921624"},
			},
		},

		{name: "gap in the log", damage: func(l *library) {
			l.checkpoint()
			l.commit(writes{"sa": []byte{}})
			l.commit(writes{"sb": []byte{}})
			l.checkpoint()
			l.delete("log/0/00000000000000000002")
		}, found: []found{{LogGap, "", "log from commit 2 to 2"}}},
		{name: "gap that nobody can pass", damage: func(l *library) {
			l.commit(writes{"sa": []byte{}})
			l.delete("log/0/00000000000000000002")
		}, found: []found{{Unloadable, "", "missing"}, {LogGap, "", "log from commit 2 to 2"}, {ForeignObject, "", "old/scan.tif"}}},
		{name: "log shorter than a checkpoint", damage: func(l *library) {
			l.checkpoint()
			l.delete("log/0/00000000000000000002")
		}, found: []found{{Unloadable, "", "gone"}, {LogGap, "", "it ends at commit 1, and there is a checkpoint after commit 2"}}},
		{name: "commit altered", data: true, damage: func(l *library) {
			l.checkpoint()
			l.replace("log/0/00000000000000000001", flip(70))
		}, found: []found{{BadCommit, "", "commit 1"}}},
		{
			name:   "commit altered that is needed",
			damage: func(l *library) { l.replace("log/0/00000000000000000002", flip(70)) },
			found: []found{
				{Unloadable, "", "00002"},
				{BadCommit, "", "commit 2"},
				{ForeignObject, "", "old/scan.tif"},
			},
		},
		{name: "part missing", damage: func(l *library) {
			l.checkpoint()
			l.delete(l.only("checkpoint/part/"))
		}, found: []found{{MissingPart, "", "is not there"}}},
		{name: "part of an old checkpoint cut", damage: func(l *library) {
			l.checkpoint()
			old := l.only("checkpoint/part/")
			l.commit(writes{"sa": []byte{}})
			l.checkpoint()
			l.replace(old, func(b []byte) []byte { return b[:100] })
		}, found: []found{{MissingPart, "", "has 100 bytes"}}},
		{name: "manifest altered", damage: func(l *library) {
			l.checkpoint()
			l.replace(l.only("checkpoint/manifest/"), flip(200))
		}, found: []found{{BadManifest, "", "checksum"}}},
		{name: "bad commit after the last, beside other damage", damage: func(l *library) {
			l.delete(at('A'))
			_, err := l.mem.Put(
				l.t.Context(), fmt.Sprintf("log/0/%020d", l.seq+1), strings.NewReader("x"), 1, object.PutOptions{},
			)
			l.ok(err)
		}, found: []found{{Unloadable, "", "log/0/"}, {MissingContent, photoPlace, "not there"}, {BadCommit, "", "log/0/"}}},

		{name: "foreign keys", damage: func(l *library) {
			for _, k := range []string{"notes.txt", "content/readme", "log/0/1"} {
				_, err := l.mem.Put(l.t.Context(), k, strings.NewReader("x"), 1, object.PutOptions{})
				l.ok(err)
			}
		}, found: []found{{ForeignObject, "", "content/readme"}, {ForeignObject, "", "log/0/1"}, {ForeignObject, "", "notes.txt"}}},
		{name: "version of nothing", damage: func(l *library) {
			w := writes{}
			w.set(record.VersionKey(bytes.Repeat([]byte{9}, 16), 1), &record.Version{})
			l.commit(w)
		}, found: []found{{OrphanVersion, "", "1 versions of media 0909"}}},
		{name: "attribute of nothing", damage: func(l *library) {
			w := writes{}
			w.set(record.XattrKey(77, "user.a"), &record.Xattr{})
			w.set(record.XattrKey(77, "user.b"), &record.Xattr{})
			l.commit(w)
		}, found: []found{{OrphanRecord, "", "of node 77"}}},
		{name: "facts of nothing", damage: func(l *library) {
			w := writes{}
			w.set(record.FactsKey(77), &record.Facts{Type: "image/jpeg"})
			l.commit(w)
		}, found: []found{{OrphanRecord, "", "facts of node 77"}}},
		{name: "comment on nothing", damage: func(l *library) {
			w := writes{}
			for n := range byte(3) {
				w.set(
					record.AttachedKey(bytes.Repeat([]byte{9}, 16), record.AttachedComment, 0, 0, 0, 0, 0, 0, 0, n),
					&record.Comment{Text: "nice"},
				)
			}
			w.set(record.AttachedKey(bytes.Repeat([]byte{8}, 16), record.AttachedVote, 'a'), &record.Vote{})
			w.set(record.EndedKey(bytes.Repeat([]byte{8}, 16)), &record.Ended{})
			l.commit(w)
		}, found: []found{{OrphanRecord, "", "said of media 0909"}}},
		{name: "damaged comment", damage: func(l *library) {
			l.commit(
				writes{
					string(record.AttachedKey(bytes.Repeat([]byte{9}, 16), record.AttachedComment, 1)): []byte{0xff},
				},
			)
		}, found: []found{{BadRecord, "", ""}}},
		{name: "letter of later", damage: func(l *library) { l.commit(writes{"z1": []byte("?"), "z2": []byte("?")}) },
			found: []found{{UnknownRecord, "", "2 records of letter 'z'"}}},
		{name: "in the trash and not", damage: func(l *library) {
			w := writes{}
			w.name(record.Root, "back", binned, kindMedia)
			l.commit(w)
		}, found: []found{{NamedTrash, "/back", "has 1 names"}}},
		{name: "coding of later", damage: func(l *library) {
			w := writes{}
			w.set(
				record.ContentKey(bytes.Repeat([]byte{'B'}, 16)), &record.Content{Size: 300 << 10, Codec: 9, Stored: 5},
			)
			l.commit(w)
		}, found: []found{{UnknownCoding, "", "codec 9"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLibrary(t)
			l.furnish()
			tt.damage(l)
			if tt.data {
				if r := l.check(); len(r.Findings) != 0 {
					t.Errorf("found without reading: %+v", r.Findings)
				}
			}
			r := l.check(withData)
			damaged := 0
			for i, f := range tt.found {
				if f.class.Damage() {
					damaged++
				}
				if i >= len(r.Findings) {
					t.Errorf("not found: %+v", f)
					continue
				}
				g := r.Findings[i]
				text := g.What + ": " + g.Why
				if g.Class != f.class || !strings.HasPrefix(g.Place.String(), f.place) ||
					f.place == "" && f.class != Cycle && g.Place != (Place{}) ||
					!strings.Contains(text, f.why) {
					t.Errorf("found %s at %q, %s; want %+v", g.Class, g.Place, text, f)
				}
			}
			if len(r.Findings) != len(tt.found) || r.Damaged != damaged || r.Sound() != (damaged == 0) {
				t.Errorf("%d damaged, found %q", r.Damaged, r.Findings)
			}
		})
	}
}

// head gives a media other extents, at its size.
func (l *library) head(node uint64, xs ...*record.Extent) {
	w := writes{}
	w.set(
		record.NodeKey(node),
		&record.Node{Mode: 0o100644, MediaId: photoMedia, Head: &record.Head{Size: 614400, Extents: xs}},
	)
	l.commit(w)
}

// counters writes a checkpoint with another value of one counter; nil leaves it out.
func (l *library) counters(key, value []byte) {
	met := false
	l.checkpoint(func(k, v []byte) []byte {
		if bytes.Equal(k, key) {
			met = true
			return value
		}
		return v
	})
	if met {
		return
	}
	l.delete(l.only("checkpoint/manifest/"))
	l.addRecord(remote.Record{Key: key, Value: value})
}

func TestEveryClassIsExplained(t *testing.T) {
	for c := range classes {
		if c.Means() == "" || strings.HasSuffix(c.Means(), ".") {
			t.Errorf("%s: means %q", c, c.Means())
		}
	}
	for _, c := range GarbageClasses() {
		if c.Means() == "" {
			t.Errorf("%s is not explained", c)
		}
	}
}

// What the store cannot answer is no finding.
func TestCouldNotCheck(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	for _, prefix := range []string{"log/", "checkpoint/", "content/", "old/"} {
		for _, kind := range []remote.Kind{remote.Unavailable, remote.Permission} {
			remove := l.bad.Fail(storetest.Fault{Prefix: prefix, Times: -1, Err: remote.E("get", prefix, kind, nil)})
			o := l.options(withData)
			_, err := Check(t.Context(), o)
			remove()
			// The one imported object that may not be looked at says nothing of the others.
			if ofOne := prefix == "old/" &&
				kind == remote.Permission; ofOne != (err == nil) ||
				!ofOne && !errors.Is(err, kind) {
				t.Errorf("%s, %s: %v", prefix, kind, err)
			}
			l.nothingLeft(o.TempDir)
		}
	}
}

// A store that does not list uploads is checked all the same, and that is said.
func TestUploadsThatAreNotListed(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	l.bad.Fail(
		storetest.Fault{Op: storetest.Uploads, Times: -1, Err: remote.E("list uploads", "", remote.Unsupported, nil)},
	)
	r := l.check()
	if !r.Sound() || len(r.Findings) == 0 || r.Findings[0].Class != UnlistedUploads {
		t.Errorf("%+v", r.Findings)
	}
	g, err := Garbage(t.Context(), l.options())
	if err != nil {
		t.Errorf("garbage: %+v, %v", g, err)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	for _, point := range []string{"loaded", "listing"} {
		ctx, cancel := context.WithCancel(t.Context())
		o := l.options(func(o *Options) {
			o.step = func(p string) {
				if p == point {
					cancel()
				}
			}
		})
		if _, err := Check(ctx, o); !errors.Is(err, context.Canceled) && remote.KindOf(err) != remote.Interrupted {
			t.Errorf("called off at %s: %v", point, err)
		}
		l.nothingLeft(o.TempDir)
	}
}

// Others go on writing: what a newer commit explains is no damage.
func TestLibraryInUse(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	steps := 0
	r := l.check(withData, func(o *Options) {
		o.step = func(point string) {
			if point != "listing" {
				return
			}
			steps++
			// The version ends and its content is collected; a new media comes.
			l.commit(
				writes{
					string(record.VersionKey(photoMedia, 1)):                 nil,
					string(record.ContentKey(bytes.Repeat([]byte{'C'}, 16))): nil,
				},
			)
			l.delete(at('C'))
			id, rec := l.content('F', []byte("new"), false)
			w := writes{}
			w.set(record.ContentKey(id), rec)
			w.set(record.NodeKey(9), &record.Node{Mode: 0o100644, Head: whole(id, rec)})
			w.name(record.Root, "new", 9, kindMedia)
			l.commit(w)
		}
	})
	if len(r.Findings) != 0 || steps != 1 || r.Commit != 2 || r.Again != 4 || r.Last != 4 {
		t.Errorf("report %+v", r)
	}
	if r.Young != (Tally{1, 3}) || r.Garbage != r.Young {
		t.Errorf("garbage %v, young %v", r.Garbage, r.Young)
	}
}

// What was damaged on its way is asked for again; what breaks off goes on where it broke.
func TestReadingAgain(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	l.bad.Fail(storetest.Fault{Prefix: at('A'), Action: storetest.Alter, At: 5})
	l.bad.Fail(storetest.Fault{Prefix: at('B'), Op: storetest.Get, Action: storetest.Cut, At: 100, Times: 2})
	if r := l.check(withData); len(r.Findings) != 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	remove := l.bad.Fail(storetest.Fault{Prefix: at('D'), Op: storetest.Get, Action: storetest.Cut, At: 3, Times: -1})
	defer remove()
	if _, err := Check(t.Context(), l.options(withData)); !errors.Is(err, remote.Unavailable) {
		t.Errorf("a content that always breaks off: %v", err)
	}
}

func TestManyFindings(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	w := writes{}
	for i := range uint64(30) {
		w.set(record.NodeKey(1000+i), &record.Node{Mode: 0o100644})
		w.set(record.XattrKey(2000+i, "user.x"), &record.Xattr{})
	}
	l.commit(w)
	for _, c := range []byte("ABCD") {
		l.delete(at(c))
	}
	r := l.check(func(o *Options) { o.MaxFindings = 3 })
	if len(r.Findings) != 3+maxNotes || r.Damaged != 30+4 || r.Noted != 30 {
		t.Errorf("%d findings, %d damaged, %d noted", len(r.Findings), r.Damaged, r.Noted)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.furnish()
	var phases []string
	l.check(withData, func(o *Options) {
		o.Progress = func(p Progress) {
			if p.Done > p.Total && p.Total > 0 {
				t.Errorf("progress %+v", p)
			}
			if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
				phases = append(phases, p.Phase)
			}
		}
	})
	want := []string{
		"loading the catalog", "reading the catalog", "listing contents", "asking for imported objects",
		"reading contents", "listing other objects", "listing log and checkpoints", "reading the log",
	}
	if !slices.Equal(phases, want) {
		t.Errorf("phases %q", phases)
	}
}
