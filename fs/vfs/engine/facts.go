package engine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/facts"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/terms"
)

// A FactsReader reads what the bytes of a media say: fs/facts, in a process of its own.
type FactsReader interface {
	Extract(ctx context.Context, src facts.Source) (remote.MediaFacts, *remote.FactsDocument, error)
}

// factsBatch is how many media's facts go into one operation; the first waits Options.FactsDelay
// for others. A card of ten thousand pictures must not make ten thousand commits more.
const factsBatch = 64

// orphanedFacts is how old a head of another machine is when this one reads its facts: that one is
// gone.
const orphanedFacts = time.Hour

// A factsAgent reads facts of heads that were set, one media at a time, and writes them in batches.
// It keeps no list on disk: at a mount it looks through the library for heads without facts.
type factsAgent struct {
	fs   *FS
	wake chan struct{}

	mu sync.Mutex
	// Guarded by mu:
	due     map[vfs.ID]time.Time
	batch   []*intent.Facts
	since   time.Time // when the batch began
	busy    bool
	scanned bool
	failed  map[vfs.ID]int  // how often in a row
	renewed map[vfs.ID]bool // read even if there are facts of the head
}

func newFactsAgent(fs *FS) *factsAgent {
	return &factsAgent{
		fs:      fs,
		wake:    make(chan struct{}, 1),
		due:     make(map[vfs.ID]time.Time),
		failed:  make(map[vfs.ID]int),
		renewed: make(map[vfs.ID]bool),
	}
}

// queue has the facts of a media read when nobody has changed it for a moment.
func (a *factsAgent) queue(id vfs.ID) { a.queueIn(id, a.fs.opt.FactsDelay) }

// renew has the facts of a media read again though there are some: their document is damaged or
// gone.
func (a *factsAgent) renew(id vfs.ID) {
	if a.fs.opt.Facts == nil || a.fs.opt.ReadOnly {
		return
	}
	a.mu.Lock()
	known := a.renewed[id]
	a.renewed[id] = true
	a.mu.Unlock()
	if !known { // else whoever asks again and again would put it off
		a.queue(id)
	}
}

func (a *factsAgent) queueIn(id vfs.ID, delay time.Duration) {
	if a.fs.opt.Facts == nil || a.fs.opt.ReadOnly {
		return
	}
	a.mu.Lock()
	a.due[id] = time.Now().Add(delay)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// loop reads facts until the file system closes.
func (a *factsAgent) loop() {
	defer a.fs.wg.Done()
	if a.fs.opt.Facts == nil || a.fs.opt.ReadOnly {
		return
	}
	if !a.fs.awaitLog() { // a machine that has not joined knows none of its own
		return
	}
	a.scan()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for a.fs.awaitLog() {
		id, wait := a.next()
		if id != 0 {
			a.read(id)
			continue
		}
		timer.Reset(wait)
		select {
		case <-a.fs.ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		if a.batchDue() {
			a.write()
		}
	}
}

// next takes a media that is due, or tells how long to wait.
func (a *factsAgent) next() (vfs.ID, time.Duration) {
	if a.batchDue() {
		a.write()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := time.Hour
	if len(a.batch) > 0 {
		wait = max(time.Until(a.since.Add(a.fs.opt.FactsDelay)), time.Millisecond)
	}
	for id, due := range a.due {
		if d := time.Until(due); d > 0 {
			wait = min(wait, d)
			continue
		}
		delete(a.due, id)
		a.busy = true
		return id, 0
	}
	return 0, wait
}

func (a *factsAgent) batchDue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.batch) >= factsBatch || len(a.batch) > 0 && time.Since(a.since) >= a.fs.opt.FactsDelay
}

// write makes the batch one operation. What fails for good is found again by the next look through
// the library.
func (a *factsAgent) write() {
	a.mu.Lock()
	batch := a.batch
	a.batch, a.busy = nil, len(batch) > 0
	a.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	defer func() {
		a.mu.Lock()
		a.busy = false
		a.mu.Unlock()
	}()
	in := a.fs.newIntent(intent.Kind_SET_FACTS, vfs.Caller{})
	in.Facts = batch
	if _, err := a.fs.do(a.fs.ctx, in); err != nil && a.fs.ctx.Err() == nil {
		a.fs.log.WithError(err).Warn("facts of media were not written; the next mount reads them again")
	}
}

// idle tells whether nothing is due or under way.
func (a *factsAgent) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scanned && len(a.due) == 0 && len(a.batch) == 0 && !a.busy
}

// read reads the facts of one media and puts them into the batch.
func (a *factsAgent) read(id vfs.ID) {
	a.mu.Lock()
	again := a.renewed[id]
	delete(a.renewed, id)
	a.mu.Unlock()
	f, err := a.fs.readFacts(a.fs.ctx, id, again)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
	if err != nil && again {
		a.renewed[id] = true
	}
	switch {
	case err == nil:
		delete(a.failed, id)
		if f != nil {
			if len(a.batch) == 0 {
				a.since = time.Now()
			}
			a.batch = append(a.batch, &intent.Facts{Node: id, Facts: f})
		}
	case a.fs.ctx.Err() != nil || errors.Is(err, remote.NotExist):
		delete(a.renewed, id)
	case a.failed[id] < 8,
		errors.Is(err, remote.Unavailable),
		errors.Is(err, remote.Throttled): // a store that is away comes back
		a.failed[id] = min(a.failed[id]+1, 8)
		a.due[id] = time.Now().Add(a.fs.opt.RetryInterval << a.failed[id])
	default:
		delete(a.failed, id)
		delete(a.renewed, id)
		a.fs.log.WithError(err).
			WithField("node", id).
			Info("what the bytes of a media say could not be read; the next mount tries again")
	}
}

// readFacts reads the facts of a media's head; nil when they are there and are not to be read
// again.
func (fs *FS) readFacts(ctx context.Context, id vfs.ID, again bool) (*record.Facts, error) {
	var head *record.Head
	var former *record.Facts // of this head
	var whole *record.Content
	var l layout
	var name string
	own, client := false, fs.cat.Client()
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil || tx.Orphan(id) || len(n.MediaId) == 0 || n.Head.GetSize() == 0 {
			return tx.Err()
		}
		if former = operation.FactsOf(tx, id, n); former != nil && former.Version >= facts.Version && !again {
			return tx.Err()
		}
		var err error
		if l, err = fs.layoutOf(tx, n.Head, 0, int64(n.Head.Size)); err != nil {
			return err
		}
		for nm := range tx.Names(id) {
			name = nm.Name
			break
		}
		head, whole = n.Head, wholeContent(tx, n.Head)
		own = head.Client == client && whole.GetExternal() == nil
		return tx.Err()
	})
	if err != nil || head == nil {
		return nil, err
	}
	ino := fs.hold(id)
	defer fs.release(ino)
	r := readers{cache: fs.cache}
	defer r.close()
	src := &bytesOf{ctx: ctx, fs: fs, ino: ino, head: operation.HeadID(head), l: &l, r: &r}
	mf, doc, err := fs.opt.Facts.Extract(ctx, facts.Source{ReaderAt: src, Size: l.size, Name: name})
	if err != nil {
		return nil, err
	}
	mf.Version = facts.Version
	mf.Read = fs.opt.Now().UTC()
	f := media.FactsRecord(&mf, media.HeadHash(head))
	switch {
	case len(former.GetSha256()) > 0:
		f.Sha256, f.Md5 = former.Sha256, former.Md5
	case len(whole.GetSha256()) > 0:
		f.Sha256, f.Md5 = whole.Sha256, whole.Md5
	case own:
		if f.Sha256, f.Md5, err = src.sums(); err != nil {
			return nil, err
		}
	}
	if doc != nil && len(head.Extents) > 0 {
		if err := fs.putDocument(ctx, f, l.extents[0].content.ID, head.Extents[0].Content, doc); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// putDocument stores the long part of facts beside the content that a head begins with.
func (fs *FS) putDocument(
	ctx context.Context, f *record.Facts, at remote.ContentID, content []byte, doc *remote.FactsDocument,
) error {
	side, ok := fs.store.(sideStore)
	if !ok {
		return nil
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return remote.E("encode facts", at.ID, remote.Invalid, err)
	}
	if err := side.PutSide(ctx, at, factsSuffix, b); err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	f.Document, f.DocumentSum = content, sum[:]
	return nil
}

func sumIs(b, sum []byte) bool {
	got := sha256.Sum256(b)
	return string(got[:]) == string(sum)
}

// scanPage is how many nodes a look through the library takes at once.
const scanPage = 1000

// scan queues the media whose head has no facts: of this machine, and of others that had an hour
// for it. The index knows them; while it is being built all nodes are looked at.
func (a *factsAgent) scan() {
	fs := a.fs
	client, after := fs.cat.Client(), vfs.ID(0)
	_, _, indexed := fs.cat.IndexReady()
	for fs.ctx.Err() == nil {
		var found []vfs.ID
		read := 0
		err := fs.cat.View(func(tx *catalog.Tx) error {
			for id := range candidates(tx, after, indexed) {
				after = id
				if n := tx.Node(
					id,
				); n != nil && len(n.MediaId) > 0 && n.Head.GetSize() > 0 &&
					operation.FactsOf(tx, id, n) == nil {
					if n.Head.Client == client ||
						fs.opt.Now().Sub(operation.Unstamp(n.Head.Time).Std()) > orphanedFacts {
						found = append(found, id)
					}
				}
				if read++; read == scanPage {
					break
				}
			}
			return tx.Err()
		})
		if err != nil {
			fs.log.WithError(err).
				Info("the library could not be looked through for media without facts; the next mount does it")
			break
		}
		for _, id := range found {
			a.queueIn(id, 0)
		}
		if read < scanPage {
			break
		}
	}
	a.mu.Lock()
	a.scanned = true
	a.mu.Unlock()
}

// candidates yields nodes above after, ascending, among which all media without facts are.
func candidates(tx *catalog.Tx, after vfs.ID, indexed bool) iter.Seq[vfs.ID] {
	return func(yield func(vfs.ID) bool) {
		if indexed {
			for id := range tx.PostingsAfter(terms.Pending, "", after) {
				if !yield(id) {
					return
				}
			}
			return
		}
		for k := range tx.RecordsFrom([]byte{record.KeyNode}, record.NodeKey(after+1)) {
			if id, _, ok := record.NumberOf(k); ok && !yield(id) {
				return
			}
		}
	}
}

// FactsIdle tells whether the facts of all media are read: for tests and for who waits for them.
func (fs *FS) FactsIdle() bool { return fs.facts.idle() }
