package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object"
	"mediafs/remote/object/open"
	"mediafs/remote/transport"
)

// openStore opens the library at opt.Store, within opt.ConnectTimeout; an empty place becomes a new
// library, one with other objects only when opt.Create says so. Its requests are counted by
// classify.
func openStore(ctx context.Context, opt Options, counter *transport.Counter) (*bucket.Store, []string, error) {
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, opt.ConnectTimeout)
	defer cancel()
	b, err := open.URL(ctx, withProfile(opt.Store, opt.Profile), open.Options{
		Transport: transport.Options{
			UserAgent:     "mediafs/" + opt.Version,
			Stall:         opt.StallTimeout,
			HeaderTimeout: opt.AnswerTimeout,
			Counter:       counter,
			Classify:      classify,
		},
	})
	if err != nil {
		return nil, nil, err
	}
	s, notes, err := openLibrary(ctx, b, opt)
	if err == nil {
		if err = probe(all, s, opt); err != nil {
			err = errors.Join(err, s.Close())
			return nil, nil, err
		}
		return s, notes, nil
	}
	err = errors.Join(err, b.Close())
	if ctx.Err() == context.DeadlineExceeded {
		err = remote.E("reach the store", b.Facts().URL, remote.Unavailable, err)
	}
	return nil, nil, err
}

// contents is the class of requests for the bytes of media, which polls of the log are not.
const contents = "contents"

func classify(r *http.Request) string {
	if strings.Contains(r.URL.Path, "/content/") {
		return contents
	}
	return ""
}

// withProfile adds the profile to an S3 URL that names none itself.
func withProfile(store, profile string) string {
	u, err := url.Parse(store)
	if err != nil || profile == "" || u.Scheme != "s3" {
		return store
	}
	q := u.Query()
	if q.Has("profile") {
		return store
	}
	q.Set("profile", profile)
	u.RawQuery = q.Encode()
	return u.String()
}

// openLibrary takes b over when it succeeds.
func openLibrary(ctx context.Context, b object.Bucket, opt Options) (*bucket.Store, []string, error) {
	o := bucket.Options{ReadOnly: opt.ReadOnly, ChunkSize: opt.ChunkSize}
	s, err := bucket.Open(ctx, b, o)
	url := b.Facts().URL
	switch {
	case errors.Is(err, remote.NotExist) && opt.existing:
		return nil, nil, remote.Rehint(err, "mount it once to make a library")
	case errors.Is(err, remote.NotExist) && opt.ReadOnly:
		return nil, nil, remote.Rehint(err, "mount it once without --read-only to make a library")
	case errors.Is(err, remote.NotExist):
		s, err = bucket.Create(ctx, b, o)
		if errors.Is(err, remote.Exist) { // another machine made it just now
			s, err = bucket.Open(ctx, b, o)
			return s, nil, err
		}
		return s, []string{url + " was empty: made a new library there"}, err
	case errors.Is(err, remote.Invalid) && opt.Create && !opt.ReadOnly:
		o.CreateInForeign = true
		s, err = bucket.Create(ctx, b, o)
		return s, []string{"made a new library among the other objects of " + url}, err
	case errors.Is(err, remote.Invalid) && opt.existing:
		return nil, nil, marked{remote.Rehint(err, ""), ErrForeign}
	case errors.Is(err, remote.Invalid):
		return nil, nil, marked{remote.Rehint(err, "--create makes a library among them"), ErrForeign}
	}
	return s, nil, err
}

// probeName is the file in the catalog directory that has what was found out of the store. Losing
// it costs some requests.
const probeName = "probed"

// probeVersion changes when a probe tries more than those before did: what an older one found out
// is then not enough.
const probeVersion = 3

// A noted is what the file says. Before version 2 it was the URL alone.
type noted struct {
	Version int           `json:"version"`
	Store   string        `json:"store"` // its URL
	Habits  object.Habits `json:"habits"`
}

// probe tries once for each store and catalog directory whether the store keeps its word:
// everything rests on that. A slow line gets more time for it than it has to be reached: some
// megabytes are moved.
func probe(ctx context.Context, s *bucket.Store, opt Options) error {
	if opt.ReadOnly {
		return nil
	}
	name := filepath.Join(opt.CatalogDir, probeName)
	var n noted
	if b, err := os.ReadFile(
		name,
	); err == nil && json.Unmarshal(b, &n) == nil && n.Version == probeVersion &&
		n.Store == s.Facts().URL {
		s.SetHabits(n.Habits)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opt.ConnectTimeout+opt.AppendTimeout)
	defer cancel()
	if err := s.Probe(ctx); err != nil {
		return err
	}
	b, err := json.Marshal(noted{probeVersion, s.Facts().URL, s.Habits()})
	if err != nil {
		return remote.E("note the probe", name, remote.Other, err)
	}
	if err := writePrivate(name, append(b, '\n')); err != nil {
		return remote.OSError("note the probe", name, err)
	}
	return nil
}

// lockText says what Object Lock of the bucket means for who wants room back; empty: there is none.
func lockText(l object.Lock) string {
	const then = "a rule of the bucket (lifecycle) deletes old versions"
	switch {
	case !l.On:
		return ""
	case l.Mode == "":
		return "the bucket has Object Lock, without a retention of its own: what the library deletes keeps its room until " + then
	}
	return fmt.Sprintf(
		"the bucket has Object Lock (%s, %d days): what the library deletes keeps its room until that time is over and %s",
		l.Mode, l.Days, then,
	)
}
