package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/control"
	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// fakeMedia is a library of some media in one folder, node 10, that remembers who changed what.
// What it does not implement nobody asks for.
type fakeMedia struct {
	vfs.MediaLibrary
	names map[vfs.ID]string // of media, by node

	mu     sync.Mutex
	edits  map[vfs.ID][]vfs.MediaChange
	caller vfs.Caller
	gate   chan struct{} // edits wait for it or the end of their context
}

func newFakeMedia(names ...string) *fakeMedia {
	l := &fakeMedia{names: map[vfs.ID]string{}, edits: map[vfs.ID][]vfs.MediaChange{}}
	for i, name := range names {
		l.names[vfs.ID(100+i)] = name
	}
	return l
}

func (l *fakeMedia) GetAttr(_ context.Context, id vfs.ID) (vfs.Attr, error) {
	switch {
	case id == vfs.Root || id == 10:
		return vfs.Attr{ID: id, Mode: unix.S_IFDIR | 0o755}, nil
	case l.names[id] != "":
		return vfs.Attr{ID: id, Mode: unix.S_IFREG | 0o644}, nil
	}
	return vfs.Attr{}, remote.E("look up", fmt.Sprint(id), remote.NotExist, nil)
}

func (l *fakeMedia) Resolve(ctx context.Context, path string) (vfs.Attr, error) {
	path = "/" + strings.Trim(path, "/")
	for id, name := range l.names {
		if path == "/folder/"+name {
			return l.GetAttr(ctx, id)
		}
	}
	switch path {
	case "/":
		return l.GetAttr(ctx, vfs.Root)
	case "/folder":
		return l.GetAttr(ctx, 10)
	}
	return vfs.Attr{}, remote.E("look up", path, remote.NotExist, nil)
}

func (l *fakeMedia) Indexed() (done, total uint64, ready bool) { return 0, 0, true }

func (l *fakeMedia) Paths(_ context.Context, id vfs.ID) ([]string, error) {
	if id == 10 {
		return []string{"/folder"}, nil
	}
	return []string{"/folder/" + l.names[id]}, nil
}

func (l *fakeMedia) Media(_ context.Context, id vfs.ID) (*remote.Media, error) {
	name, ok := l.names[id]
	if !ok {
		return nil, remote.E("describe", "", remote.Unsupported, errors.New("it is a folder"))
	}
	return &remote.Media{Node: id, Paths: []string{strings.ToValidUTF8("/folder/"+name, "\uFFFD")},
		Comments: []remote.Comment{{Number: 2, User: "ana", Text: "nice"}}}, nil
}

func (l *fakeMedia) Find(ctx context.Context, q *query.Query, _ vfs.ID, yield func(*remote.Media) bool) error {
	for _, id := range slices.Sorted(func(yield func(vfs.ID) bool) {
		for id := range l.names {
			if !yield(id) {
				return
			}
		}
	}) {
		if m, _ := l.Media(ctx, id); !yield(m) {
			return nil
		}
	}
	return nil
}

func (l *fakeMedia) EditMedia(ctx context.Context, c vfs.Caller, id vfs.ID, ch vfs.MediaChange) error {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return remote.E("edit", "", remote.Interrupted, context.Cause(ctx))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names[id] == "not mine" {
		return remote.E("edit", "rating", remote.Permission, nil).WithHint("ask its owner")
	}
	l.caller = c
	l.edits[id] = append(l.edits[id], ch)
	return nil
}

// askMedia collects the answer of a daemon over a fake library.
func askMedia(t *testing.T, r *rig, verb string, req control.MediaRequest) ([]control.MediaAnswer, error) {
	t.Helper()
	var lines []control.MediaAnswer
	err := control.Dial(r.opt.CatalogDir).Media(t.Context(), verb, req, func(a control.MediaAnswer) error {
		lines = append(lines, a)
		return nil
	})
	slices.SortFunc(lines, func(a, b control.MediaAnswer) int { return a.Index - b.Index })
	return lines, err
}

func mediaRig(t *testing.T, names ...string) (*rig, *fakeMedia) {
	t.Helper()
	l := newFakeMedia(names...)
	return newRig(t, func(r *rig) { r.lib.lib = l }), l
}

func TestMediaEditOverTheSocket(t *testing.T) {
	r, l := mediaRig(t, "a", "not mine", "c")
	lines, err := askMedia(t, r, control.VerbEdit, control.MediaRequest{
		Targets: []control.Target{{Node: 100}, {Node: 101}, {Path: "/folder/c"}, {Path: "/missing"}, {Node: 1<<62 | 5}},
		Edits:   []control.MediaEdit{{Field: "rating", Do: "set", Value: "8"}},
		Attach:  []control.MediaAttach{{Kind: "favorite"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range lines {
		got = append(got, fmt.Sprint(a.Err()))
	}
	want := []string{
		"<nil>", "edit rating: permission denied (ask its owner)", "<nil>", "look up /missing: does not exist",
		"look up: not supported: it is made up by a view, or kept on this machine only",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !errors.Is(lines[1].Err(), remote.Permission) || !errors.Is(lines[3].Err(), remote.NotExist) {
		t.Error("the kind of an error was lost")
	}
	if len(l.edits) != 2 || l.caller.UID != uint32(os.Geteuid()) || l.caller.PID != uint32(os.Getpid()) {
		t.Errorf("changed %v by %+v", l.edits, l.caller)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ch := l.edits[102]
	if len(ch) != 1 || len(ch[0].Edits) != 1 || len(ch[0].Attached) != 1 ||
		string(ch[0].Attached[0].Which) != me.Username {
		t.Errorf("change %+v", ch)
	}
}

// Nothing is changed by a request that does not make sense.
func TestMediaEditThatMakesNoSense(t *testing.T) {
	r, l := mediaRig(t, "a")
	one, two := 1, 2
	for _, tt := range []struct {
		name string
		req  control.MediaRequest
		says string
	}{
		{"value", control.MediaRequest{Edits: []control.MediaEdit{{Field: "rating", Do: "set", Value: "11"}}}, "a whole number from 0 to 10"},
		{"field", control.MediaRequest{Edits: []control.MediaEdit{{Field: "ratio", Do: "set", Value: "1"}}}, "fields to edit: "},
		{"do", control.MediaRequest{Edits: []control.MediaEdit{{Field: "rating", Do: "shake"}}}, "allowed: set, clear, add, remove"},
	} {
		tt.req.Targets = []control.Target{{Node: 100}}
		if _, err := askMedia(t, r, control.VerbEdit, tt.req); !errors.Is(err, remote.Invalid) ||
			!strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
	}
	for _, tt := range []struct {
		name string
		with control.MediaAttach
		says string
	}{
		{"kind", control.MediaAttach{Kind: "sticker"}, "allowed: favorite, vote, comment"},
		{"user", control.MediaAttach{Kind: "favorite", User: "a/b"}, "without '/'"},
		{"vote", control.MediaAttach{Kind: "vote", Value: 1001}, "from -1000 to 1000"},
		{"empty comment", control.MediaAttach{Kind: "comment"}, "it has no text"},
		{"no such comment", control.MediaAttach{Kind: "comment", Number: 7, Remove: true}, "look up the comment 7: does not exist"},
		{"judging no such comment", control.MediaAttach{Kind: "comment", Number: 7, Moderation: &one}, "look up the comment 7: does not exist"},
	} {
		lines, err := askMedia(
			t, r, control.VerbEdit,
			control.MediaRequest{Targets: []control.Target{{Node: 100}}, Attach: []control.MediaAttach{tt.with}},
		)
		if err != nil || len(lines) != 1 || lines[0].Err() == nil ||
			!strings.Contains(lines[0].Err().Error(), tt.says) {
			t.Errorf("%s: got %v, %v, want %q", tt.name, lines, err, tt.says)
		}
	}
	if len(l.edits) != 0 {
		t.Errorf("changed %v", l.edits)
	}
	lines, err := askMedia(
		t,
		r,
		control.VerbEdit,
		control.MediaRequest{
			Targets: []control.Target{{Node: 100}},
			Attach:  []control.MediaAttach{{Kind: "comment", Number: 2, Moderation: &two}},
		},
	)
	if err != nil || len(lines) != 1 || lines[0].Err() != nil || len(l.edits[100]) != 1 {
		t.Errorf("judging a comment that is there: %v, %v, %v", lines, err, l.edits)
	}
}

func TestMediaFindStreams(t *testing.T) {
	r, _ := mediaRig(t, "a", "b\xff\n", "c")
	paths := func(lines []control.MediaAnswer) (paths []string) {
		for _, a := range lines {
			paths = append(paths, string(a.Path))
		}
		return paths
	}
	all := []string{"/folder/a", "/folder/b\xff\n", "/folder/c"}
	for _, tt := range []struct {
		name string
		req  control.MediaRequest
		want []string
	}{
		{"all", control.MediaRequest{}, all},
		{"in the folder", control.MediaRequest{Folder: &control.Target{Node: 10}}, all},
		{"in the root", control.MediaRequest{Folder: &control.Target{Path: "/"}}, all},
		{"two are enough", control.MediaRequest{Limit: 2, Long: true}, all[:2]},
	} {
		tt.req.Query = "beach"
		lines, err := askMedia(t, r, control.VerbFind, tt.req)
		if got := paths(lines); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
		if tt.req.Long && lines[0].Media == nil {
			t.Errorf("%s: no record", tt.name)
		}
	}
	lines, err := askMedia(t, r, control.VerbFind, control.MediaRequest{Query: "beach", Count: true})
	if err != nil || len(lines) != 1 || lines[0].Count != 3 {
		t.Errorf("count: %+v, %v", lines, err)
	}
	if _, err := askMedia(
		t, r, control.VerbFind, control.MediaRequest{Query: "beach", Folder: &control.Target{Node: 100}},
	); !errors.Is(err, remote.NotDir) {
		t.Errorf("in a media: %v", err)
	}
}

// The reader of a long answer may have enough of it.
func TestMediaAnswerIsCutShort(t *testing.T) {
	r, _ := mediaRig(t, "a", "b")
	enough := errors.New("enough")
	n := 0
	err := control.Dial(r.opt.CatalogDir).
		Media(t.Context(), control.VerbFind, control.MediaRequest{Query: "beach"}, func(control.MediaAnswer) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestMediaRequestEndsWithTheDaemon(t *testing.T) {
	r, l := mediaRig(t, "a")
	l.gate = make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		lines, err := askMedia(
			t,
			r,
			control.VerbEdit,
			control.MediaRequest{
				Targets: []control.Target{{Node: 100}},
				Edits:   []control.MediaEdit{{Field: "rating", Do: "set", Value: "1"}},
			},
		)
		if err == nil && len(lines) == 1 {
			err = lines[0].Err()
		}
		failed <- err
	}()
	began := func() bool { r.mu.RLock(); defer r.mu.RUnlock(); return !r.deaf }
	if !began() {
		t.Fatal("closed already")
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Either it was under way and was ended, or it came too late.
	if err := <-failed; err == nil {
		t.Error("a change went on without its library")
	}
	if err := r.Media(t.Context(), vfs.Caller{}, control.VerbInfo, &control.MediaRequest{}, nil); !errors.Is(
		err, remote.Interrupted,
	) {
		t.Errorf("after the end: %v", err)
	}
}

func TestMediaUnknownVerb(t *testing.T) {
	r, _ := mediaRig(t)
	if _, err := askMedia(t, r, "dance", control.MediaRequest{}); !errors.Is(err, remote.Unsupported) ||
		!strings.Contains(err.Error(), "another version of mediafs") {
		t.Errorf("got %v", err)
	}
	r = newRig(t, nil)
	if _, err := askMedia(t, r, control.VerbInfo, control.MediaRequest{}); !errors.Is(err, remote.Unsupported) {
		t.Errorf("of a library without media: %v", err)
	}
}
