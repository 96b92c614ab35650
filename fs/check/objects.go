package check

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

const (
	blockSize  = 256 << 10 // of checksums, in bytes; part of the format
	sideHeader = 64        // bytes before the body of a side object

	// youngAge is how long an object that nothing refers to may belong to an upload on its way;
	// garbage collection waits as long.
	youngAge = 48 * time.Hour
)

// sumsSize is the size of the object with the block checksums of a content.
func sumsSize(size uint64) int64 {
	return sideHeader + 4*int64((size+blockSize-1)/blockSize)
}

// owner finds the content that an object under content/ belongs to; nil: none of the catalog's.
// ours is false for a key that no library makes.
func (s *survey) owner(o bucket.ContentObject) (c *content, ours bool) {
	if id, ok := parseID(o.ID.ID); ok {
		return s.content(id[:]), true
	}
	if o.Side == "" {
		return nil, false
	}
	// The side object of an external content: its name is all that is known.
	_, name, ok := cutSide(o)
	if !ok {
		return nil, false
	}
	if i, ok := s.sides[name]; ok {
		return &s.contents[i], true
	}
	return nil, true
}

func cutSide(o bucket.ContentObject) (prefix string, name contentID, ok bool) {
	end := len(o.Key) - len(o.Side)
	begin := end - 2*len(name)
	if begin < 0 {
		return "", name, false
	}
	name, ok = parseID(o.Key[begin:end])
	return o.Key[:begin], name, ok
}

// listObjects goes through all objects under content/ once.
func (c *checker) listObjects(s *survey) error {
	c.meter.phase("listing contents", int64(len(s.contents)), false)
	c.opt.step("listing")
	for o, err := range c.opt.Store.Contents(c.ctx) {
		if err != nil {
			return err
		}
		if o.Side == "" {
			c.meter.add(1)
		}
		owner, ours := s.owner(o)
		if !ours {
			c.report.Foreign++
			c.find.add(ForeignObject, Place{}, o.Key, "%d bytes", o.Size)
			continue
		}
		c.report.Objects.add(o.Size)
		if !needed(owner, o) {
			c.report.Garbage.add(o.Size)
			if c.now().Sub(o.Modified) < youngAge {
				c.report.Young.add(o.Size)
			}
			continue
		}
		switch o.Side {
		case "":
			owner.flags |= present
			if uint64(o.Size) != owner.stored {
				owner.flags |= doubted
			}
		case bucket.SuffixSum:
			owner.flags |= sumsHere
			if o.Size != sumsSize(owner.size) {
				owner.flags |= doubted
			}
		}
	}
	for i := range s.contents {
		e := &s.contents[i]
		if !e.is(used) {
			c.report.Unused.add(int64(e.size))
			continue
		}
		c.report.Contents.add(int64(e.size))
		if e.is(external) {
			c.report.External.add(int64(e.size))
		}
		if e.is(foreign) {
			e.flags &^= doubted
			continue
		}
		object := !e.is(inline) && !e.is(external)
		if object && !e.is(present) || e.is(sums) && !e.is(sumsHere) {
			e.flags |= doubted
		}
		if e.is(doubted) {
			c.doubt(e.id, doubt{})
		}
	}
	return nil
}

// needed tells whether a content of the catalog is what o is there for.
func needed(owner *content, o bucket.ContentObject) bool {
	switch {
	case owner == nil || !owner.is(used):
		return false
	case o.Side == "":
		return !owner.is(external | inline)
	case o.Side == bucket.SuffixSum:
		return owner.is(sums)
	}
	return true
}

// askExternals asks for each external content that is in use: they lie anywhere in the bucket.
func (c *checker) askExternals(s *survey) error {
	if len(s.imported) == 0 {
		return nil
	}
	c.meter.phase("asking for imported objects", c.report.External.Count, false)
	g, ctx := errgroup.WithContext(c.ctx)
	g.SetLimit(c.opt.Readers)
	wrong := make([]bool, len(s.contents)) // each written by one goroutine
	for i, e := range s.contents {
		if ctx.Err() != nil {
			break
		}
		if !e.is(external) || !e.is(used) || e.is(foreign|doubted) {
			continue
		}
		rec := s.tx.Content(e.id[:])
		if rec == nil {
			break // the transaction's error says why
		}
		g.Go(func() error {
			defer c.meter.add(1)
			size, err := c.opt.Store.StatContent(ctx, e.id.remoteID(rec))
			switch remote.KindOf(err) {
			case remote.NotExist, remote.Stale, remote.Invalid: // Invalid: its record names no object that could be
				wrong[i] = true
				return nil
			}
			if c.ofObject(err) {
				wrong[i] = true
				return nil
			}
			wrong[i] = err == nil && uint64(size) != e.stored
			return err
		})
	}
	if err := errors.Join(g.Wait(), s.tx.Err()); err != nil {
		return err
	}
	for i := range wrong {
		if wrong[i] {
			s.contents[i].flags |= doubted
			c.doubt(s.contents[i].id, doubt{})
		}
	}
	return nil
}

// listOthers counts what is in the bucket beside the library.
func (c *checker) listOthers(s *survey) error {
	c.meter.phase("listing other objects", 0, false)
	for o, err := range c.opt.Store.Others(c.ctx) {
		if err != nil {
			return err
		}
		c.meter.add(1)
		if s.imported[sha256.Sum256([]byte(o.Key))] {
			continue
		}
		c.report.Foreign++
		why := "%d bytes"
		if o.Probe {
			why = "%d bytes, left over by a probe of the store"
		}
		c.find.add(ForeignObject, Place{}, o.Key, why, o.Size)
	}
	uploads, err := c.opt.Store.Unfinished(c.ctx)
	if errors.Is(err, remote.Unsupported) {
		c.find.add(UnlistedUploads, Place{}, "uploads", "%v", err)
		return nil
	}
	c.report.Unfinished = int64(len(uploads))
	return err
}

// A user is a head that refers to a content.
type user struct {
	node    uint64
	media   mediaID
	version uint64
}

// maxUsers bounds the heads that are named for one content.
const maxUsers = 100

// usersOf finds the heads and versions that refer to the contents of doubts.
func (c *checker) usersOf(tx *catalog.Tx) (map[contentID][]user, error) {
	users := make(map[contentID][]user)
	note := func(h *record.Head, u user) (found bool) {
		for _, e := range h.GetExtents() {
			if len(e.Content) != len(contentID{}) {
				continue
			}
			id := contentID(e.Content)
			if _, doubted := c.doubts[id]; !doubted {
				continue
			}
			found = true
			if n := len(users[id]); n < maxUsers && (n == 0 || users[id][n-1] != u) {
				users[id] = append(users[id], u)
			}
		}
		return found
	}
	holders := make(map[mediaID]uint64)
	n := 0
	called := func() error {
		if n++; n%1024 == 0 {
			return c.ctx.Err()
		}
		return nil
	}
	for k, v := range tx.Records([]byte{record.KeyVersion}) {
		var r record.Version
		if err := called(); err != nil {
			return nil, err
		}
		if len(k) != 1+len(mediaID{})+8 || proto.Unmarshal(v, &r) != nil {
			continue
		}
		if id := mediaID(k[1:17]); note(r.Head, user{media: id, version: beUint64(k[17:])}) {
			holders[id] = 0
		}
	}
	for k, v := range tx.Records([]byte{record.KeyNode}) {
		var r record.Node
		if err := called(); err != nil {
			return nil, err
		}
		if len(k) != 9 || proto.Unmarshal(v, &r) != nil {
			continue
		}
		note(r.Head, user{node: beUint64(k[1:])})
		if len(r.MediaId) == len(mediaID{}) {
			if _, wanted := holders[mediaID(r.MediaId)]; wanted {
				holders[mediaID(r.MediaId)] = beUint64(k[1:])
			}
		}
	}
	for _, us := range users {
		for i, u := range us {
			if u.version != 0 {
				us[i].node = holders[u.media]
			}
		}
	}
	return users, tx.Err()
}

// lookAgain settles the doubts in a newer state: what it no longer refers to, and what is in order
// by now, is no damage.
func (c *checker) lookAgain(tx *catalog.Tx) error {
	users, err := c.usersOf(tx)
	if err != nil {
		return err
	}
	var nodes []uint64
	for _, us := range users {
		for _, u := range us {
			nodes = append(nodes, u.node)
		}
	}
	places, err := placesOf(tx, nodes)
	if err != nil {
		return err
	}
	for _, id := range sortedIDs(c.doubts) {
		c.meter.add(1)
		d, rec := c.doubts[id], tx.Content(id[:])
		if err := errors.Join(c.ctx.Err(), tx.Err()); err != nil {
			return err
		}
		if len(users[id]) == 0 || rec == nil {
			continue
		}
		if d.class == "" {
			if d, err = c.examine(id, rec); err != nil {
				return err
			}
		}
		if d.class == "" {
			continue
		}
		what := "content " + id.String()
		if rec.External != nil {
			what = "object " + rec.External.Key
		}
		for _, u := range users[id] {
			p := places[u.node]
			p.Version = u.version
			class := d.class
			if class == ChangedExternal && (p.Version != 0 || p.Trash) {
				class = PastExternal // objects that are not ours change: only what a media holds now counts
			}
			c.find.add(class, p, what, "%s", d.why)
		}
	}
	c.report.Damaged += c.beyond
	return nil
}

// ofObject reports whether an error is about one object and says nothing of the others: then it is
// reported, and the rest is looked at. A store that is not reached ends the check, but the disk of
// a local one may fail to read a single file.
func (c *checker) ofObject(err error) bool {
	if err == nil || c.ctx.Err() != nil {
		return false
	}
	switch remote.KindOf(err) {
	case remote.Throttled, remote.Interrupted:
		return false
	case remote.Unavailable:
		return c.opt.Store.Facts().Local
	}
	return true
}

// occupied is what lies where an object should be, when the store says that.
func occupied(err error) string {
	var e *remote.Error
	for errors.As(err, &e) {
		if err = e.Err; err == nil {
			return ""
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "" // in other words
	}
	return ": " + err.Error()
}

// examine asks the store about one content.
func (c *checker) examine(id contentID, rec *record.Content) (doubt, error) {
	rid := id.remoteID(rec)
	if rec.Inline == nil {
		stored := rec.Stored
		if stored == 0 {
			stored = rec.Size
		}
		missing, differs := MissingContent, WrongSize
		if rec.External != nil {
			missing, differs = ChangedExternal, ChangedExternal
		}
		switch size, err := c.opt.Store.StatContent(c.ctx, rid); {
		case remote.KindOf(err) == remote.NotExist:
			return doubt{missing, "the object is not there" + occupied(err)}, nil
		case remote.KindOf(err) == remote.Stale, remote.KindOf(err) == remote.Invalid:
			return doubt{differs, err.Error()}, nil
		case c.ofObject(err):
			return doubt{Unreadable, err.Error()}, nil
		case err != nil:
			return doubt{}, err
		case uint64(size) != stored:
			return doubt{differs, fmt.Sprintf("the object has %d bytes, not %d", size, stored)}, nil
		}
	}
	_, d, err := c.loadSums(c.ctx, rid, rec)
	return d, err
}
