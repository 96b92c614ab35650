package check

import (
	"context"
	"errors"
	"slices"
	"time"

	"mediafs/cache/catalog"
	"mediafs/remote"
)

// Check compares a library's catalog with itself and with the objects of its store. What is wrong
// is in the report; an error means that it could not be checked: the store was not reached,
// refused, or ctx ended.
//
// It costs the download of the newest checkpoint and the log after it, a listing of everything, a
// HEAD for each external content, and with Options.Data the download of all contents that are in
// use.
func Check(ctx context.Context, opt Options) (Report, error) {
	c := newChecker(ctx, opt)
	r, err := newReplica(c.opt)
	if err != nil {
		return Report{}, err
	}
	r.stays = true
	err = errors.Join(c.run(r), r.close())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Report{}, err
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int { return rank(a) - rank(b) })
	return *c.report, nil
}

func rank(f Finding) int {
	if f.Class.Damage() {
		return 0
	}
	return 1
}

// A checker is one run of Check.
type checker struct {
	ctx    context.Context
	opt    Options
	report *Report
	find   *finder
	meter  *meter

	doubts map[contentID]doubt // contents that something is wrong with, in the state that was read
	beyond int                 // contents that something is wrong with and that doubts has no room for
}

// A doubt is what is wrong with a content; the zero value: it is to be found out again.
type doubt struct {
	class Class
	why   string
}

func newChecker(ctx context.Context, opt Options) *checker {
	opt = opt.withDefaults()
	report := &Report{Library: opt.Store.Facts().Library, Data: opt.Data}
	return &checker{
		ctx: ctx, opt: opt, report: report, find: newFinder(report, opt.MaxFindings), meter: &meter{tell: opt.Progress},
		doubts: make(map[contentID]doubt),
	}
}

func (c *checker) run(r *replica) error {
	c.meter.phase("loading the catalog", 0, false)
	switch err := r.catchUp(c.ctx); remote.KindOf(err) {
	case remote.Corrupt, remote.Stale:
		c.find.add(Unloadable, Place{}, "catalog", "%v", err)
		return c.checkLog()
	default:
		if err != nil {
			return err
		}
	}
	c.report.Commit = r.applied()
	if b := r.cat.Status().Blocked; b != nil {
		c.find.add(Unloadable, Place{}, "catalog", "%s", b.Why)
	}
	c.opt.step("loaded")
	if err := r.cat.View(c.compare); err != nil {
		return err
	}
	if len(c.doubts) > 0 {
		c.meter.phase("looking again at what seems wrong", int64(len(c.doubts)), false)
		if err := r.catchUp(c.ctx); err != nil {
			return err
		}
		c.report.Again = r.applied()
		if err := r.cat.View(c.lookAgain); err != nil {
			return err
		}
	}
	return c.checkLog()
}

// compare reads the catalog, then lists the objects. The view is held all the time: nobody else
// uses the replica.
func (c *checker) compare(tx *catalog.Tx) error {
	s := newSurvey(c.ctx, tx, c.find, c.meter)
	if err := s.run(); err != nil {
		return err
	}
	c.report.Nodes = int64(max(len(s.nodes)-1, 0))
	c.report.Folders = max(c.report.Folders-1, 0)
	if err := c.listObjects(s); err != nil {
		return err
	}
	if err := c.askExternals(s); err != nil {
		return err
	}
	if c.opt.Data {
		if err := c.readContents(s); err != nil {
			return err
		}
	}
	return c.listOthers(s)
}

// doubt notes that something is wrong with a content. d may be zero.
func (c *checker) doubt(id contentID, d doubt) {
	if _, known := c.doubts[id]; !known && len(c.doubts) >= c.opt.MaxFindings {
		c.beyond++
		return
	}
	c.doubts[id] = d
}

// now is the store's clock; this machine's when it does not say.
func (c *checker) now() time.Time {
	if t := c.opt.Store.Now(); !t.IsZero() {
		return t
	}
	return time.Now()
}
