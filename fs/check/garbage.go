package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// A GarbageClass is a sort of garbage. The word is for programs and keeps its meaning.
type GarbageClass string

// What garbage collection takes.
const (
	UnusedContent GarbageClass = "content"    // an object with content that no head or version refers to
	UnusedSide    GarbageClass = "side"       // a side object of such a content, or of none
	UnusedRecord  GarbageClass = "record"     // the catalog's record of a content that no head or version refers to
	StaleUpload   GarbageClass = "upload"     // a multipart upload that was not finished
	StaleProbe    GarbageClass = "probe"      // what a probe of the store left when its program died
	OldVersion    GarbageClass = "version"    // a version past the retention
	OldCheckpoint GarbageClass = "checkpoint" // the manifest of one that newer ones replace
	UnusedPart    GarbageClass = "part"       // a part that no checkpoint names that stays
	OldCommit     GarbageClass = "commit"     // a commit that no reader needs
	// a content that an earlier collection condemned: it is deleted a grace later
	AlreadyDoomed GarbageClass = "condemned"
	// not garbage yet: an unused content or side object, or an upload, younger than 2 days
	TooYoungContent GarbageClass = "young"
)

// GarbageClasses lists all classes, in the order in which they are shown.
func GarbageClasses() []GarbageClass {
	return []GarbageClass{
		UnusedContent, UnusedSide, UnusedRecord, StaleUpload, StaleProbe, OldVersion, OldCheckpoint, UnusedPart,
		OldCommit, AlreadyDoomed, TooYoungContent,
	}
}

// Means says what a class is, for people.
func (c GarbageClass) Means() string {
	return map[GarbageClass]string{
		UnusedContent:   "contents that nothing refers to",
		UnusedSide:      "side objects of contents that nothing refers to",
		UnusedRecord:    "records of contents that nothing refers to",
		StaleUpload:     "uploads that were not finished in 2 days",
		StaleProbe:      "objects that probes of the store left",
		OldVersion:      "versions past the retention",
		OldCheckpoint:   "checkpoints that newer ones replace",
		UnusedPart:      "parts of checkpoints that none names",
		OldCommit:       "commits that every machine has",
		AlreadyDoomed:   "contents that are condemned already",
		TooYoungContent: "too young to be judged: uploads on their way, maybe",
	}[c]
}

// An Item is one piece of garbage.
type Item struct {
	Class GarbageClass
	Place Place  // of a version: where its media is
	What  string // key, or what is meant
	// that its deletion frees; of a version those of its head, which it may share with others; of
	// an upload 0: not known
	Bytes    int64
	Modified time.Time
}

// Litter is what Garbage found: what a garbage collection would condemn or delete if it ran now.
type Litter struct {
	Library string
	Commit  uint64    // nothing refers to it in the state after this one, nor in an earlier one that was read first
	Now     time.Time // the store's clock, by which ages count
	Sums    map[GarbageClass]Tally
}

// The rules of ages, by the store's clock; see FORMAT.md.
const (
	manifestAge = 24 * time.Hour
	partAge     = 48 * time.Hour
	commitAge   = 7 * 24 * time.Hour
)

// Garbage finds what a garbage collection would take. It deletes nothing. A content is garbage when
// the state of the catalog that was read before the objects were listed does not refer to it, nor
// that after the newest commit when they were.
//
// Corrupt: the catalog is damaged or cannot be read as a whole, so that nothing can be said to be
// unused: see Check. Unsupported: the store does not say what time it is.
func Garbage(ctx context.Context, opt Options) (Litter, error) {
	c := newChecker(ctx, opt)
	r, err := newReplica(c.opt)
	if err != nil {
		return Litter{}, err
	}
	g := &collector{checker: c, litter: Litter{Library: c.report.Library, Sums: make(map[GarbageClass]Tally)}}
	err = errors.Join(g.run(r), r.close())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Litter{}, err
	}
	return g.litter, nil
}

// A collector is one run of Garbage.
type collector struct {
	*checker
	litter Litter
	unused []unused
}

func (g *collector) run(r *replica) error {
	const op = "look for garbage"
	g.meter.phase("loading the catalog", 0, false)
	switch err := r.catchUp(g.ctx); remote.KindOf(err) {
	case remote.Corrupt, remote.Stale:
		return remote.E(op, g.litter.Library, remote.Corrupt, err).WithHint("run mediafs check")
	default:
		if err != nil {
			return err
		}
	}
	g.litter.Commit = r.applied()
	if g.litter.Now = g.opt.Store.Now(); g.litter.Now.IsZero() {
		return remote.E(
			op, g.opt.Store.Facts().URL, remote.Unsupported,
			errors.New("the store does not say what time it is, and ages are counted by its clock"),
		)
	}
	g.opt.step("loaded")
	err := r.cat.View(func(tx *catalog.Tx) error {
		s, err := g.survey(tx)
		if err != nil {
			return err
		}
		if err := g.unusedContents(s); err != nil {
			return err
		}
		return g.oldVersions(s)
	})
	if err != nil {
		return err
	}
	if err := g.stillUnused(r); err != nil {
		return err
	}
	if err := g.uploads(); err != nil {
		return err
	}
	if err := g.probes(); err != nil {
		return err
	}
	return g.history()
}

// survey reads the whole catalog as it is in one state; Corrupt when it is damaged.
func (g *collector) survey(tx *catalog.Tx) (*survey, error) {
	s := newSurvey(g.ctx, tx, g.find, g.meter)
	if err := s.run(); err != nil {
		return nil, err
	}
	if n := g.report.Damaged; n > 0 {
		return nil, remote.E("look for garbage", g.litter.Library, remote.Corrupt, fmt.Errorf("the catalog is damaged in %d places, so nothing is known to be unused", n)).
			WithHint("run mediafs check")
	}
	return s, nil
}

func (g *collector) take(i Item) error {
	t := g.litter.Sums[i.Class]
	t.add(i.Bytes)
	g.litter.Sums[i.Class] = t
	if g.opt.Each == nil {
		return nil
	}
	return g.opt.Each(i)
}

func (g *collector) old(t time.Time, age time.Duration) bool { return g.litter.Now.Sub(t) >= age }

// An unused is what the first state does not refer to. It is small: there may be as many as
// objects.
type unused struct {
	id       contentID // of the content, or what the side objects of an external content are named after
	class    uint8     // place in GarbageClasses
	side     uint8     // 0: the content; else the place in sides
	external bool      // side objects: of an external content
	record   bool      // the catalog's record is meant
	bytes    int64
	modified int64 // nanoseconds since 1970; 0: not known
}

var sides = []string{1: bucket.SuffixSum, 2: bucket.SuffixFacts}

func (u unused) object() bucket.ContentObject {
	id := u.id.String()
	switch {
	case u.side == 0:
		return bucket.ContentObject{Key: "content/" + id[:2] + "/" + id, ID: remote.ContentID{ID: id}}
	case u.external:
		return bucket.ContentObject{Key: "content/external/" + id + sides[u.side], Side: sides[u.side]}
	}
	return bucket.ContentObject{
		Key:  "content/" + id[:2] + "/" + id + sides[u.side],
		ID:   remote.ContentID{ID: id},
		Side: sides[u.side],
	}
}

func (u unused) item() Item {
	i := Item{Class: GarbageClasses()[u.class], What: u.object().Key, Bytes: u.bytes}
	if u.record {
		i.What = "content " + u.id.String()
	}
	if u.modified != 0 {
		i.Modified = time.Unix(0, u.modified)
	}
	return i
}

// unusedContents lists the contents. One whose object is young may be what an operation on its way
// is about to refer to.
func (g *collector) unusedContents(s *survey) error {
	condemned := make(map[contentID]bool)
	err := s.records(record.KeyCondemned, func(key, _ []byte) error {
		if len(key) == 1+len(contentID{}) {
			condemned[contentID(key[1:])] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.meter.phase("listing contents", int64(len(s.contents)), false)
	g.opt.step("listing")
	young := make(map[contentID]bool) // of the catalog, unused, and not to be judged yet
	note := func(u unused, class GarbageClass) {
		u.class = uint8(slices.Index(GarbageClasses(), class))
		g.unused = append(g.unused, u)
	}
	for o, err := range g.opt.Store.Contents(g.ctx) {
		if err != nil {
			return err
		}
		g.meter.add(1)
		owner, ours := s.owner(o)
		if !ours || needed(owner, o) {
			continue
		}
		u := unused{side: uint8(max(slices.Index(sides, o.Side), 0)), bytes: o.Size}
		if !o.Modified.IsZero() {
			u.modified = o.Modified.UnixNano()
		}
		id, owned := parseID(o.ID.ID)
		if u.id = id; !owned {
			_, u.id, _ = cutSide(o)
			u.external = true
		}
		switch {
		case owner != nil && condemned[owner.id], owned && condemned[id]:
			note(u, AlreadyDoomed)
		case !g.old(o.Modified, youngAge):
			note(u, TooYoungContent)
			if owner != nil && o.Side == "" {
				young[owner.id] = true
			}
		case o.Side != "":
			note(u, UnusedSide)
		default:
			note(u, UnusedContent)
		}
	}
	for _, e := range s.contents {
		if e.is(used) || young[e.id] || condemned[e.id] {
			continue
		}
		key := record.ContentKey(e.id[:])
		note(unused{id: e.id, record: true, bytes: int64(len(key) + len(s.tx.Get(key)))}, UnusedRecord)
	}
	return s.tx.Err()
}

// stillUnused drops what a commit that came meanwhile refers to, or did away with, and takes the
// rest.
func (g *collector) stillUnused(r *replica) error {
	var s *survey
	take := func() error {
		for _, u := range g.unused {
			if s != nil {
				c := s.content(u.id[:])
				owner, _ := s.owner(u.object())
				if u.record && (c == nil || c.is(used)) || !u.record && needed(owner, u.object()) {
					continue
				}
			}
			if err := g.take(u.item()); err != nil {
				return err
			}
		}
		return nil
	}
	if len(g.unused) == 0 {
		return nil
	}
	g.meter.phase("looking for newer commits", 0, false)
	if err := r.catchUp(g.ctx); err != nil {
		return err
	}
	if r.applied() == g.litter.Commit {
		return take()
	}
	g.litter.Commit = r.applied()
	return r.cat.View(func(tx *catalog.Tx) (err error) {
		if s, err = g.survey(tx); err != nil {
			return err
		}
		return take()
	})
}

// oldVersions applies the retention to each media's versions, as the file system does whenever it
// keeps another one of the media.
func (g *collector) oldVersions(s *survey) error {
	type version struct {
		number uint64
		time   time.Time
		bytes  int64
	}
	var of mediaID
	var vs []version
	flush := func() error {
		times := make([]vfs.Time, len(vs))
		for i, v := range vs {
			times[i] = vfs.TimeOf(v.time)
		}
		for i, kept := range operation.Retained(times, vfs.TimeOf(g.litter.Now)) {
			if kept {
				continue
			}
			item := Item{
				Class:    OldVersion,
				What:     fmt.Sprintf("version %d of media %x", vs[i].number, of),
				Bytes:    vs[i].bytes,
				Modified: vs[i].time,
			}
			if g.opt.Each != nil {
				node := search(s.media, of).node
				places, err := placesOf(s.tx, []uint64{node})
				if err != nil {
					return err
				}
				item.Place = places[node]
				item.Place.Version = vs[i].number
			}
			if err := g.take(item); err != nil {
				return err
			}
		}
		vs = vs[:0]
		return g.ctx.Err()
	}
	for k, value := range s.tx.Records([]byte{record.KeyVersion}) {
		var v record.Version
		if len(k) != 1+len(mediaID{})+8 || proto.Unmarshal(value, &v) != nil {
			continue
		}
		if id := mediaID(k[1:17]); id != of {
			if err := flush(); err != nil {
				return err
			}
			of = id
		}
		vs = append(vs, version{beUint64(k[17:]), stdTime(v.Time), int64(v.Head.GetSize())})
	}
	return errors.Join(flush(), s.tx.Err())
}

func (g *collector) uploads() error {
	g.meter.phase("listing unfinished uploads", 0, false)
	ups, err := g.opt.Store.Unfinished(g.ctx)
	if errors.Is(err, remote.Unsupported) {
		return nil // where uploads are not listed, none can be collected
	}
	if err != nil {
		return err
	}
	for _, u := range ups {
		class := StaleUpload
		if !g.old(u.Initiated, youngAge) {
			class = TooYoungContent
		}
		if err := g.take(Item{Class: class, What: u.Key + " (upload)", Modified: u.Initiated}); err != nil {
			return err
		}
	}
	return nil
}

func (g *collector) probes() error {
	g.meter.phase("listing other objects", 0, false)
	for o, err := range g.opt.Store.Others(g.ctx) {
		if err != nil {
			return err
		}
		if !o.Probe || !g.old(o.Modified, youngAge) {
			continue
		}
		if err := g.take(Item{Class: StaleProbe, What: o.Key, Bytes: o.Size, Modified: o.Modified}); err != nil {
			return err
		}
	}
	return nil
}

// history applies the rules by which checkpoints are swept and the log is trimmed.
func (g *collector) history() error {
	g.meter.phase("listing log and checkpoints", 0, false)
	var manifests []bucket.ManifestObject
	for m, err := range g.opt.Store.Manifests(g.ctx) {
		if err != nil {
			return err
		}
		if remote.KindOf(m.Err) == remote.NotExist {
			continue // deleted since it was listed
		}
		manifests = append(manifests, m)
	}
	named := make(map[string]bool)
	unreadable := false
	for i, m := range manifests {
		if i < len(manifests)-2 && g.old(m.Modified, manifestAge) {
			if err := g.take(Item{Class: OldCheckpoint, What: m.Key, Bytes: m.Size, Modified: m.Modified}); err != nil {
				return err
			}
			continue
		}
		unreadable = unreadable || m.Err != nil
		for _, p := range m.Parts {
			named[p.Key] = true
		}
	}
	var parts []bucket.PartObject
	for p, err := range g.opt.Store.Parts(g.ctx) {
		if err != nil {
			return err
		}
		if !unreadable && !named[p.Key] && g.old(p.Modified, partAge) { // a manifest that cannot be read may name any
			parts = append(parts, p)
		}
	}
	if len(parts) > 0 {
		// A checkpoint that was being written when they were listed names parts of an older one.
		for m, err := range g.opt.Store.Manifests(g.ctx) {
			if err != nil {
				return err
			}
			if slices.ContainsFunc(manifests, func(known bucket.ManifestObject) bool { return known.Seq == m.Seq }) {
				continue
			}
			unreadable = unreadable || m.Err != nil
			for _, p := range m.Parts {
				named[p.Key] = true
			}
		}
	}
	for _, p := range parts {
		if unreadable || named[p.Key] {
			continue
		}
		if err := g.take(Item{Class: UnusedPart, What: p.Key, Bytes: p.Size, Modified: p.Modified}); err != nil {
			return err
		}
	}
	return g.oldCommits(manifests)
}

// oldCommits lists the log. Trimming ascends and stops at the first commit that stays.
func (g *collector) oldCommits(manifests []bucket.ManifestObject) error {
	if len(manifests) < 2 {
		return nil // what comes after the older of the two newest checkpoints stays: all
	}
	older, last := manifests[len(manifests)-2].Seq, g.litter.Commit
	for o, err := range g.opt.Store.LogObjects(g.ctx) {
		if err != nil {
			return err
		}
		if o.Seq > older || o.Seq+keptCommits > last || !g.old(o.Modified, commitAge) {
			return nil
		}
		if err := g.take(Item{Class: OldCommit, What: o.Key, Bytes: o.Size, Modified: o.Modified}); err != nil {
			return err
		}
	}
	return nil
}
