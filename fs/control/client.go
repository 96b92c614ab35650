package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"mediafs/remote"
)

// A Client speaks with the daemon that has one catalog directory.
type Client struct {
	dir  string
	http *http.Client
}

// Dial gives a client for the daemon of catalogDir; it connects with the first call. NotExist from
// a call: no daemon is there.
func Dial(catalogDir string) *Client {
	c := &Client{dir: catalogDir}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:       c.dial,
		DisableKeepAlives: true,
	}}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var conn net.Conn
	err := throughDir(c.dir, func(path string) error {
		var d net.Dialer
		var err error
		conn, err = d.DialContext(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	peer, err := peerOf(conn.(*net.UnixConn))
	if err == nil && int(peer.Uid) != os.Geteuid() && peer.Uid != 0 {
		err = fmt.Errorf("user %d listens there", peer.Uid)
	}
	if err != nil {
		conn.Close()
		return nil, remote.E("", "", remote.Permission, err)
	}
	return conn, nil
}

// Status asks the daemon how it stands.
func (c *Client) Status(ctx context.Context) (Status, error) {
	body, err := c.do(ctx, "ask the daemon", http.MethodGet, "/status")
	if err != nil {
		return Status{}, err
	}
	defer body.Close()
	var s Status
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&s); err != nil {
		return Status{}, c.broken("ask the daemon", err)
	}
	s.Running = true
	return s, nil
}

// Flush returns when everything is in the store. each, which may be nil, is called with how it
// stands, several times a second.
func (c *Client) Flush(ctx context.Context, each func(Pending)) error {
	return c.follow(ctx, "flush", "/flush", nil, each)
}

// Stop has the daemon unmount and end. It returns when the mount is gone and the daemon has given
// its catalog directory free: the same library can be mounted again at once. left is what did not
// get into the store and goes on with the next mount. Busy: files are open there and force was not
// given.
func (c *Client) Stop(ctx context.Context, force bool, each func(Pending)) (left Pending, err error) {
	path := "/stop"
	if force {
		path += "?force=true"
	}
	err = c.follow(ctx, "stop the daemon", path, nil, func(p Pending) {
		left = p
		if each != nil {
			each(p)
		}
	})
	if err != nil {
		return left, err
	}
	for Locked(c.dir) {
		select {
		case <-ctx.Done():
			return left, remote.E("wait for the daemon's end", c.dir, remote.KindOf(ctx.Err()), nil)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return left, nil
}

// follow sends content and reads reports until the last one.
func (c *Client) follow(ctx context.Context, op, path string, content io.Reader, each func(Pending)) error {
	body, err := c.send(ctx, op, http.MethodPost, path, content)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var r Report
		if err := lines.Decode(&r); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return c.broken(op, err)
		}
		if each != nil {
			each(r.Pending)
		}
		switch {
		case r.Failed != nil:
			return r.Failed.err()
		case r.Done:
			return nil
		}
	}
}

// Remount has the daemon change its mount. each, which may be nil, is called with what is still to
// be uploaded before it is read-only.
func (c *Client) Remount(ctx context.Context, r Remount, each func(Pending)) error {
	body, err := json.Marshal(r)
	if err != nil {
		return remote.E("remount", c.dir, remote.Invalid, err)
	}
	return c.follow(ctx, "remount", "/remount", bytes.NewReader(body), each)
}

// Media asks the daemon about media; each is called for every line of the answer but the last, in
// order, and ends the request by its error.
func (c *Client) Media(ctx context.Context, verb string, r MediaRequest, each func(MediaAnswer) error) error {
	const op = "ask the daemon"
	body, err := json.Marshal(r)
	if err != nil {
		return remote.E(op, verb, remote.Invalid, err)
	}
	answer, err := c.send(ctx, op, http.MethodPost, "/media/"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := json.NewDecoder(answer)
	for {
		var a MediaAnswer
		if err := lines.Decode(&a); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return c.broken(op, err)
		}
		if a.End {
			return a.Err()
		}
		if err := each(a); err != nil {
			return err
		}
	}
}

func (c *Client) do(ctx context.Context, op, method, path string) (io.ReadCloser, error) {
	return c.send(ctx, op, method, path, nil)
}

// send is do with a body.
func (c *Client) send(ctx context.Context, op, method, path string, content io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+protocol+path, content)
	if err != nil {
		return nil, remote.E(op, c.dir, remote.Invalid, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() == nil && !Locked(c.dir) {
			return nil, remote.E(op, c.dir, remote.NotExist, errors.New("no daemon is running"))
		}
		return nil, c.broken(op, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, remote.E(op, c.dir, remote.Unsupported, fmt.Errorf("the daemon answered %s", resp.Status)).
			WithHint("it is of another version of mediafs: umount with that one, or stop the daemon with SIGTERM")
	}
	return resp.Body, nil
}

// broken is a conversation that ended early: the caller's time is up, or the daemon died meanwhile.
func (c *Client) broken(op string, err error) error {
	switch kind := remote.KindOf(err); {
	case kind == remote.Permission, kind == remote.Interrupted:
		return remote.E(op, c.dir, kind, err)
	case errors.Is(err, context.DeadlineExceeded):
		return remote.E(op, c.dir, remote.Unavailable, errors.New("the daemon did not answer in time"))
	case !Locked(c.dir):
		return remote.E(op, c.dir, remote.NotExist, errors.New("the daemon has ended"))
	}
	return remote.E(op, c.dir, remote.Unavailable, err)
}
