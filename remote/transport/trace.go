package transport

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// shownHeaders and shownQuery are all that a trace ever shows of headers and query values. Lists of
// what may be shown cannot miss a secret that a service invents; lists of secrets can.
var (
	shownHeaders = []string{
		"Range", "If-Match", "If-None-Match", "Content-Length", "Content-Range", "Content-Type", "Etag",
		"Last-Modified", "Date", "Retry-After", "X-Amz-Request-Id", "X-Amz-Copy-Source-Range",
	}
	shownQuery = []string{
		"list-type", "prefix", "delimiter", "start-after", "max-keys", "encoding-type", "fetch-owner", "uploads",
		"max-uploads", "key-marker", "part-number-marker", "max-parts", "partNumber", "delete", "location",
		"versioning", "page", "limit", "offset", "sort", "order",
	}
)

// tracer is the link that logs.
type tracer struct {
	next http.RoundTripper
	log  *logrus.Entry
}

func (t *tracer) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.log.Logger.IsLevelEnabled(logrus.TraceLevel) {
		return t.next.RoundTrip(req)
	}
	began := time.Now()
	res, err := t.next.RoundTrip(req)
	log := t.log.WithFields(logrus.Fields{
		"method":  req.Method,
		"url":     RedactURL(req.URL),
		"request": shown(req.Header),
		"took":    time.Since(began).Round(time.Microsecond),
	})
	if err != nil {
		log.WithError(withoutURL(err)).Trace("request failed")
		return nil, err
	}
	log.WithFields(logrus.Fields{"status": res.StatusCode, "answer": shown(res.Header)}).Trace("request")
	return res, nil
}

// withoutURL drops the URL, with its query, that net/http puts into its errors.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// shown writes down the headers that may be seen.
func shown(h http.Header) string {
	var b strings.Builder
	for _, name := range shownHeaders {
		if v := h.Get(name); v != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(name + "=" + v)
		}
	}
	return b.String()
}

// RedactURL writes down a URL for people: without user and password, and with *** for every query
// value but those known to be harmless.
func RedactURL(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	query := u.Query()
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(c.String())
	for i, name := range names {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(url.QueryEscape(name) + "=")
		if slices.Contains(shownQuery, name) {
			b.WriteString(url.QueryEscape(query.Get(name)))
		} else {
			b.WriteString("***")
		}
	}
	return b.String()
}
