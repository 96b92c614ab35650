package view

import (
	"bytes"
	"context"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"mediafs/fs/acl"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Permissions, as one digit of a mode has them.
const (
	mayRead   = acl.Read
	mayWrite  = acl.Write
	maySearch = acl.Search
)

// An asker is who makes one request, and what was found out for it about folders and groups. It is
// used by one goroutine.
type asker struct {
	l      *Library
	caller vfs.Caller
	own    bool // the library's own work: nobody asks
	groups []uint32
	looked bool            // groups is filled
	search map[string]bool // folder → may be searched, with all above it
	list   map[string]bool // folder → may be searched so, and listed
}

// asking is who asks in a context.
func (l *Library) asking(ctx context.Context) *asker {
	c, ok := vfs.CallerOf(ctx)
	return &asker{l: l, caller: c, own: !ok}
}

func (l *Library) askedBy(c vfs.Caller) *asker { return &asker{l: l, caller: c} }

// root tells whether nothing is closed to the caller.
func (who *asker) root() bool { return who.own || who.caller.UID == 0 }

// may tells whether the caller has a permission to a node of the tree, by its access control list
// or by the first class of the mode that fits, as the kernel decides: with nothing in the mode for
// the group's class it does not look for a list. The root user has all, but also for him a file is
// executable only when somebody may execute it; that is not asked here.
func (who *asker) may(ctx context.Context, a *vfs.Attr, want uint32) bool {
	switch {
	case who.root():
		return true
	case who.caller.UID == a.UID:
		return a.Mode>>6&want == want
	case a.Mode&0o070 != 0:
		l, err := who.l.list(ctx, a.ID)
		if err != nil {
			return false
		}
		if l != nil {
			return l.Permits(who.caller.UID, a.GID, who.in, want)
		}
	}
	switch {
	case a.Mode>>3&want == want && a.Mode&want == want:
		return true
	case a.Mode>>3&want != want && a.Mode&want != want:
		return false
	case who.in(a.GID):
		return a.Mode>>3&want == want
	}
	return a.Mode&want == want
}

// list gives the access control list of a node of the tree; nil when the mode says it all.
func (l *Library) list(ctx context.Context, id vfs.ID) (acl.List, error) {
	value, err := l.MediaLibrary.GetXattr(ctx, id, acl.Access)
	switch {
	case err == nil:
		return acl.Parse(value)
	case remote.KindOf(err) == remote.NoAttribute, remote.KindOf(err) == remote.Unsupported:
		return nil, nil
	}
	return nil, err
}

// owns tells whether the caller may do what the owner of a node may.
func (who *asker) owns(a *vfs.Attr) bool { return who.root() || who.caller.UID == a.UID }

// in tells whether the caller is in a group. The other groups of a process are read when they
// decide.
func (who *asker) in(gid uint32) bool {
	switch {
	case who.caller.GID == gid:
		return true
	case who.caller.UID == vfs.NoID:
		return false // the groups of its process are not those that the mount would map them to
	}
	if !who.looked {
		who.groups, who.looked = who.l.opt.Groups(who.caller.PID), true
	}
	return slices.Contains(who.groups, gid)
}

// reaches tells whether the caller may search every folder above a path.
func (who *asker) reaches(ctx context.Context, p string) bool {
	return who.root() || who.searches(ctx, path.Dir(p))
}

func (who *asker) searches(ctx context.Context, dir string) bool {
	if may, ok := who.search[dir]; ok {
		return may
	}
	may := dir == "/" || who.searches(ctx, path.Dir(dir))
	if may {
		a, err := who.l.Resolve(ctx, dir)
		may = err == nil && who.may(ctx, &a, maySearch)
	}
	if who.search == nil {
		who.search = make(map[string]bool)
	}
	who.search[dir] = may
	return may
}

// reached gives the first of a node's paths that the caller can reach.
func (who *asker) reached(ctx context.Context, paths []string) (string, bool) {
	for _, p := range paths {
		if len(p) > 1 && p[0] == '/' && who.reaches(ctx, p) {
			return p, true
		}
	}
	return "", false
}

// shown gives the first of a media's paths under which the caller may be shown it: he may list the
// folder that has the name, reach it, and read the media. What people said of a media and what its
// bytes say is for who may read it, and a name in a folder that cannot be listed is for who knows
// it.
func (who *asker) shown(ctx context.Context, m *remote.Media) (string, bool) {
	if who.root() {
		return who.reached(ctx, m.Paths)
	}
	p, ok := who.listed(ctx, m.Paths)
	if !ok {
		return "", false
	}
	a, err := who.l.MediaLibrary.GetAttr(ctx, m.Node)
	return p, err == nil && who.may(ctx, &a, mayRead)
}

// listed gives the first of some paths that the caller can reach, in a folder that he may list.
func (who *asker) listed(ctx context.Context, paths []string) (string, bool) {
	for _, p := range paths {
		if len(p) > 1 && p[0] == '/' && who.lists(ctx, path.Dir(p)) {
			return p, true
		}
	}
	return "", false
}

func (who *asker) lists(ctx context.Context, dir string) bool {
	if who.root() {
		return true
	}
	if may, ok := who.list[dir]; ok {
		return may
	}
	may := who.searches(ctx, dir)
	if may {
		a, err := who.l.Resolve(ctx, dir)
		may = err == nil && who.may(ctx, &a, mayRead)
	}
	if who.list == nil {
		who.list = make(map[string]bool)
	}
	who.list[dir] = may
	return may
}

// withoutNames takes out of a record what names tell of folders that the caller cannot reach: the
// media goes by its names that he can reach.
func (who *asker) withoutNames(ctx context.Context, m *remote.Media) {
	all := m.Paths
	m.Paths = nil
	for _, p := range all {
		if who.reaches(ctx, p) {
			m.Paths = append(m.Paths, p)
		}
	}
	if len(m.Paths) == len(all) {
		return
	}
	m.Name, m.Extension, m.FolderID = "", "", ""
	if len(m.Paths) > 0 {
		m.Name = path.Base(m.Paths[0])
		_, ext := split(m.Name)
		m.Extension = strings.ToLower(strings.TrimPrefix(ext, "."))
	}
}

// writes fails with Permission when the caller may not write to a media, or may not reach it.
func (who *asker) writes(ctx context.Context, op string, id vfs.ID, name string) error {
	if who.root() {
		return nil
	}
	a, err := who.l.MediaLibrary.GetAttr(ctx, id)
	if err != nil {
		return err
	}
	if !who.may(ctx, &a, mayWrite) {
		return remote.E(op, quoted(name), remote.Permission, nil).WithHint("it takes the right to write to the file")
	}
	return nil
}

// groupsOf reads the supplementary groups of a process or thread. One that cannot be seen has none.
func groupsOf(pid uint32) []uint32 {
	if pid == 0 {
		return nil
	}
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/status")
	if err != nil {
		return nil
	}
	return parseGroups(status)
}

func parseGroups(status []byte) []uint32 {
	_, rest, ok := bytes.Cut(status, []byte("\nGroups:"))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	var groups []uint32
	for _, word := range bytes.Fields(line) {
		if g, err := strconv.ParseUint(string(word), 10, 32); err == nil {
			groups = append(groups, uint32(g))
		}
	}
	return groups
}
