package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// A directory's identity is its client number. Node ids are made of it, so two directories that
// write under one number would give two nodes one id. It happens when a directory is copied, or
// comes back from an image or a backup. Then the number belongs to whoever wrote last, and this
// directory takes another (see join) or stops.
type identity struct {
	Library string `json:"library"`
	Client  uint32 `json:"client"`
	Machine []byte `json:"machine"`
}

// authored is a place in what a client wrote: an operation of a session.
type authored struct {
	session []byte
	last    uint64
}

func (a authored) equal(b authored) bool {
	return a.last == b.last && bytes.Equal(a.session, b.session)
}

func (c *Catalog) readIdentity(tx *Tx) (id identity, ok bool) {
	b := tx.get(localKey("identity"))
	return id, b != nil && json.Unmarshal(b, &id) == nil
}

const sessionSize = 16

// vouched tells whether this directory has appended under a session, or has been about to.
func (c *Catalog) vouched(session []byte) bool {
	for s := c.st.sessions; len(s) >= sessionSize; s = s[sessionSize:] {
		if bytes.Equal(s[:sessionSize], session) {
			return true
		}
	}
	return false
}

// vouch stores, synced, that this directory appends under a session, before it does so for the
// first time. Sessions before that of the newest commit of ours are over and are forgotten. The
// sync also settles on disk that their operations have left the outbox. mu is held.
func (c *Catalog) vouch(session []byte) error {
	if c.vouched(session) {
		return nil
	}
	keep := c.st.sessions
	for s := keep; len(s) >= sessionSize; s = s[sessionSize:] {
		if bytes.Equal(s[:sessionSize], c.st.own.session) {
			keep = s
			break
		}
	}
	list := append(append([]byte(nil), keep...), session...)
	err := c.updateLocal(func(tx *Tx) error {
		tx.raw(localKey("sessions"), list)
		return nil
	})
	if err == nil {
		err = c.sync()
	}
	if err == nil {
		c.st.sessions = list
	}
	return err
}

// readAuthored reads how far the log has got with a client's operations; ok is false when the
// client is not in the library.
func (c *Catalog) readAuthored(client uint32) (a authored, ok bool, err error) {
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	defer tx.discard()
	var cl record.Client
	ok = tx.load(record.ClientKey(client), &cl)
	return authored{cl.Session, cl.LastOperation}, ok, tx.err
}

// contained counts the operations at the head of the outbox that are in the log when it has got to
// an operation of a session. mu is held.
func (c *Catalog) contained(session []byte, last uint64) int {
	n := 0
	for n < len(c.st.pending) && bytes.Equal(c.st.pending[n].session, session) && c.st.pending[n].number <= last {
		n++
	}
	return n
}

// settle answers the first n operations of the outbox, which are in the log. Status tells of them
// before their callers are answered. mu is held.
func (c *Catalog) settle(n int) {
	if n == 0 {
		return
	}
	done := c.st.pending[:n]
	c.st.pending = append([]*operation(nil), c.st.pending[n:]...)
	for _, op := range done {
		if len(op.reports) > 0 {
			c.status.set(func(s *Status) { s.Kept++ })
		}
		for _, text := range op.reports {
			c.tell(op, text)
		}
	}
	c.status.set(func(s *Status) { s.Applied, s.Outbox = c.st.seq, len(c.st.pending) })
	for _, op := range done {
		op.finish(nil)
	}
	c.forgetReplaced()
	c.drain.Broadcast()
}

// settleTo drops the operations that are in the log from the outbox. It may be done again after a
// crash. mu is held.
func (c *Catalog) settleTo(a authored) error {
	n := c.contained(a.session, a.last)
	err := c.inPieces(func(set func(key, value []byte) error) error {
		for _, op := range c.st.pending[:n] {
			if err := errors.Join(set(outboxKey(op.number), nil), set(baseKey(op.number), nil)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.settle(n)
	return nil
}

// judge settles the outbox after commits under our number came in other ways than one by one: the
// log says how far it has got with our operations. When that is neither where we were nor our
// pinned batch, somebody else writes as us. mu is held.
func (c *Catalog) judge() error {
	a, ok, err := c.readAuthored(c.st.client)
	if err != nil {
		return err
	}
	ours := ok && a.equal(c.st.own)
	if p := c.st.pin; ok && p != nil && !ours {
		commit, err := record.DecodeCommit(p.body)
		ours = err == nil && a.equal(authored{commit.Session, commit.LastOperation})
	}
	if !ours {
		c.setFatal(c.impostor())
		return nil
	}
	c.st.own = a
	return c.settleTo(a)
}

func (c *Catalog) impostor() error {
	return remote.E("apply commit", "", remote.Conflict, fmt.Errorf("another process writes as client %d: the catalog directory was copied", c.st.client)).
		WithHint("unmount here and mount with a new catalog directory")
}

// takeUp takes the client number of an earlier start, unless it is not this directory's any more:
// it came from another machine, or somebody else has written under the number, which shows in a
// session that this directory never appended under, or in an operation beyond those it has numbers
// for. Then stranger tells why.
func (c *Catalog) takeUp() (taken bool, stranger string, err error) {
	c.mu.Lock()
	defer c.unlock()
	tx := &Tx{c: c, txn: c.db.NewTransaction(false)}
	id, ok := c.readIdentity(tx)
	tx.discard()
	if tx.err != nil || !ok {
		return false, "", tx.err
	}
	if !bytes.Equal(id.Machine, c.opt.Machine) {
		return false, "the directory was copied from another machine", nil
	}
	a, ok, err := c.readAuthored(id.Client)
	if err != nil {
		return false, "", err
	}
	if err := c.settleTo(a); err != nil {
		return false, "", err
	}
	if !ok || !c.vouched(a.session) || a.last >= c.st.ops.limit {
		return false, fmt.Sprintf(
			"somebody else has written as client %d: the directory was copied, or is an old state that was restored",
			id.Client,
		), nil
	}
	c.st.client, c.st.own = id.Client, a
	return true, "", nil
}

// join takes a client number for this catalog directory, if it has none of its own.
func (c *Catalog) join(ctx context.Context) error {
	taken, stranger, err := c.takeUp()
	if err != nil || taken {
		return err
	}
	if n := len(c.st.pending); stranger != "" && n > 0 {
		return remote.E("open catalog", c.opt.Dir, remote.Invalid, fmt.Errorf("%s, and it holds %d changes that are not in the store", stranger, n)).
			WithHint("mount the directory that has been in use since; or move this one away, which gives its changes up, and mount again")
	}
	c.mu.Lock()
	c.st.pin = nil // of the former number; if it is in the log it was settled
	err = c.vouch(c.st.session)
	c.unlock()
	if err != nil {
		return err
	}
	for {
		client, body, err := c.joinCommit()
		if err != nil {
			return err
		}
		// A commit that is in doubt when the time is over is another client's to everybody, the
		// next try of this one included.
		joining, cancel := context.WithTimeout(ctx, c.opt.AppendTimeout)
		err = c.store.Append(joining, c.applied()+1, body)
		cancel()
		if k := remote.KindOf(err); k == remote.Conflict || k == remote.Stale {
			if err := c.catchUp(ctx); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = c.catchUp(ctx)
		}
		if err != nil {
			return err
		}
		id := identity{Library: c.opt.Library, Client: client, Machine: c.opt.Machine}
		err = c.updateLocal(func(tx *Tx) error {
			b, err := json.Marshal(id)
			tx.raw(localKey("identity"), b)
			tx.raw(localKey("ids"), nil) // they were the former number's
			return err
		})
		if err == nil {
			err = c.sync()
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.st.client, c.st.ids, c.st.own = client, counter{}, authored{session: c.st.session}
		c.unlock()
		c.log.WithField("client", client).Info("joined the library")
		return nil
	}
}

// joinCommit builds the commit that takes the next client number; in an empty library it also makes
// the first records.
func (c *Catalog) joinCommit() (client uint32, body []byte, err error) {
	commit := &record.Commit{Session: c.st.session}
	err = c.View(func(tx *Tx) error {
		if k, _ := tx.Last([]byte{record.KeyClient}); len(k) == 5 {
			client = binary.BigEndian.Uint32(k[1:])
		}
		client++
		commit.Previous = c.st.hash
		if c.st.seq == 0 && c.opt.Init != nil {
			for _, r := range c.opt.Init() {
				commit.Writes = append(commit.Writes, &record.Write{Key: r.Key, Value: r.Value})
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	if client > record.MaxClient {
		return 0, nil, remote.E("join library", "", remote.TooLarge, errors.New("all client numbers are taken"))
	}
	now := c.now()
	cl, err := proto.Marshal(
		&record.Client{Session: c.st.session, Machine: c.opt.Machine, Host: c.opt.Host, Joined: now},
	)
	if err != nil {
		return 0, nil, err
	}
	commit.Time = now
	commit.Writes = append(commit.Writes, &record.Write{Key: record.ClientKey(client), Value: cl})
	body, err = record.EncodeCommit(commit)
	return client, body, err
}
