// Package open finds the implementation of object storage that a URL names. It is apart from
// package object, which knows none of them. It opens nothing twice and keeps nothing.
package open

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/s3"
	"mediafs/remote/transport"
)

// Options are what a URL does not say; the zero value works.
type Options struct {
	Create    bool              // make the folder of a file URL when it is missing
	Transport transport.Options // how requests are sent; encryption and CA file are decided by the URL
}

// URL opens the bucket that a URL names:
//
//	file:///folder                  a local directory; an absolute path alone means the same
//	s3://bucket/prefix?endpoint=…   see s3.ParseURL
//
// Errors: Invalid for what is no such URL, and those of dir.Open and s3.Open.
func URL(ctx context.Context, name string, opt Options) (object.Bucket, error) {
	const op = "open store"
	if filepath.IsAbs(name) {
		return openDir(name, opt)
	}
	scheme, _, ok := strings.Cut(name, ":")
	switch {
	case ok && strings.EqualFold(scheme, "file"):
		path, err := filePath(name)
		if err != nil {
			return nil, err
		}
		return openDir(path, opt)
	case ok && strings.EqualFold(scheme, "s3"):
		o, err := s3.ParseURL(name)
		if err != nil {
			return nil, err
		}
		o.Transport = opt.Transport
		b, err := s3.Open(ctx, o)
		if err != nil {
			return nil, err // not b: a nil *s3.Bucket is no nil object.Bucket
		}
		return b, nil
	}
	// The rest may hold anything, also a password: only the scheme is shown.
	shown := ""
	if ok {
		shown = scheme + ":"
	}
	return nil, remote.E(op, shown, remote.Invalid, errors.New("it is no store that is known")).
		WithHint("write file:///folder or s3://bucket/prefix")
}

// filePath is the folder of a file URL.
func filePath(name string) (string, error) {
	u, err := url.Parse(name)
	bad := func(why string) (string, error) {
		return "", remote.E("parse store URL", "file:", remote.Invalid, errors.New(why)).
			WithHint("write file:///folder")
	}
	switch {
	case err != nil:
		return bad("it is not well-formed")
	case u.User != nil || u.Host != "" && u.Host != "localhost":
		return bad("it names a host: two slashes too few?")
	case u.RawQuery != "" || u.Fragment != "":
		return bad(
			fmt.Sprintf("it has parameters: write %%3F for ? and %%23 for # in the name of a folder (%s)", u.Path),
		)
	case !filepath.IsAbs(u.Path):
		return bad("the folder is not absolute")
	}
	return u.Path, nil
}

func openDir(path string, opt Options) (object.Bucket, error) {
	b, err := dir.Open(path, dir.Options{Create: opt.Create})
	if err != nil {
		return nil, err
	}
	return b, nil
}
