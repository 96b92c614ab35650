package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/transport"
)

// A Secret is a text that is never shown: it prints as ***, in every format.
type Secret string

const hidden = "***"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { f.Write([]byte(hidden)) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Options say where a bucket is and who asks. Only Bucket must be set.
type Options struct {
	Endpoint string // https://host:port; empty: Amazon's
	Region   string // empty: us-east-1, but with Amazon it is asked for before the first request
	Bucket   string
	Prefix   string // all keys lie below it; slashes at its ends do not matter
	// the bucket is always part of the path, never of the host name. Endpoints other than Amazon's
	// get that anyway
	PathStyle bool

	// AccessKey, SecretKey and SessionToken, when the first two are set, are all there is.
	// Otherwise the keys come from where the tools of Amazon look, in this order: the environment,
	// the shared files with Profile (or AWS_PROFILE), the metadata service of the machine or
	// container.
	AccessKey    string
	SecretKey    Secret
	SessionToken Secret
	Profile      string
	Anonymous    bool // sign nothing

	// MetadataURL and MetadataTimeout are for the metadata service: empty is that of EC2, and 0 a
	// second for each of its (at most three) answers: it is next door or it is not there.
	MetadataURL     string
	MetadataTimeout time.Duration

	CAFile    string // PEM certificates trusted beside those of the system
	AllowHTTP bool   // without encryption, bytes and names are readable on the way; keys are not sent even then

	// Transport is how requests are sent. Its CAFile and AllowHTTP are overruled by those above.
	Transport transport.Options
}

const defaultEndpoint = "https://s3.amazonaws.com"

// ParseURL reads options from a URL such as
//
//	s3://bucket/prefix?endpoint=https://host:9000&region=eu-central-1&path-style=true&ca=/file&profile=name&anonymous=true
//
// All parameters may be left out; one that is not known is an error. An endpoint that begins with
// http:// allows plain HTTP. Keys have no place in a URL: it is shown to people and stored in
// files.
func ParseURL(s string) (Options, error) {
	const op = "parse store URL"
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold what it should not
		}
		return Options{}, remote.E(op, "", remote.Invalid, err)
	}
	shown := transport.RedactURL(u)
	invalid := func(format string, args ...any) (Options, error) {
		return Options{}, remote.E(op, shown, remote.Invalid, fmt.Errorf(format, args...))
	}
	switch {
	case u.Scheme != "s3":
		return invalid("the scheme is %q, not s3", u.Scheme)
	case u.User != nil:
		return Options{}, remote.E(op, shown, remote.Invalid, errors.New("there is a user or password in it")).
			WithHint("leave the keys out of the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	case u.Opaque != "" || u.Fragment != "":
		return invalid("it must look like s3://bucket/prefix")
	case u.Host == "":
		return invalid("the name of the bucket is missing")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return invalid("the part after the question mark is not well-formed")
	}
	opt := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	for name, values := range query {
		if len(values) != 1 {
			return invalid("parameter %s comes %d times", name, len(values))
		}
		value, err := values[0], error(nil)
		switch name {
		case "endpoint":
			opt.Endpoint = value
			opt.AllowHTTP = strings.HasPrefix(value, "http://")
		case "region":
			opt.Region = value
		case "ca":
			opt.CAFile = value
		case "profile":
			opt.Profile = value
		case "path-style":
			opt.PathStyle, err = strconv.ParseBool(value)
		case "anonymous":
			opt.Anonymous, err = strconv.ParseBool(value)
		default:
			return Options{}, remote.E(op, shown, remote.Invalid, fmt.Errorf("parameter %q is not known", name)).
				WithHint("known are endpoint, region, path-style, ca, profile, anonymous")
		}
		if err != nil {
			return invalid("parameter %s must be true or false", name)
		}
	}
	checked := opt
	if _, err := checked.check(); err != nil {
		return Options{}, err
	}
	return opt, nil
}

// check refuses options that cannot work, fills in defaults and returns the endpoint.
func (o *Options) check() (*url.URL, error) {
	const op = "open bucket"
	invalid := func(format string, args ...any) *remote.Error {
		return remote.E(op, o.Bucket, remote.Invalid, fmt.Errorf(format, args...))
	}
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return nil, invalid("%s", lowerFirst(err.Error()))
	}
	if o.Endpoint == "" {
		o.Endpoint = defaultEndpoint
	}
	if !strings.Contains(o.Endpoint, "://") {
		o.Endpoint = "https://" + o.Endpoint
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil:
		return nil, invalid("the endpoint is not a URL")
	case u.User != nil:
		return nil, invalid("there is a user or password in the endpoint")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("the endpoint %s must look like https://host:port", transport.RedactURL(u))
	case u.Scheme == "http" && !o.AllowHTTP:
		return nil, invalid("the endpoint %s is not encrypted", o.Endpoint).WithHint("use https, or allow plain HTTP")
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return nil, invalid("of access key and secret key only one is given")
	}
	u.Path = ""
	o.Prefix = strings.Trim(o.Prefix, "/")
	if o.Prefix != "" {
		if err := object.CheckKey(op, o.Prefix); err != nil {
			return nil, invalid("prefix: %w", err)
		}
		o.Prefix += "/"
	}
	if o.Region == "" && !s3utils.IsAmazonEndpoint(*u) {
		o.Region = "us-east-1"
	}
	return u, nil
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
