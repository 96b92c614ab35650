// Package fakes3 is an S3 server in memory for tests that need one that does wrong: what it keeps,
// gives and says can be changed. It knows what this project asks of a server and no more, compares
// no signatures, and takes every body as it comes: the framing of signed chunks would be stored as
// data. It is never used outside of tests.
package fakes3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bucket is the name of the only bucket.
const Bucket = "bucket"

// What a Server does with the checksums that come with a body.
const (
	Verify = iota // a wrong one is refused; a CRC-32C is given back
	Ignore        // they are not looked at
	Refuse        // x-amz-checksum headers are refused, Content-MD5 is compared
)

// Habits of a Server. They are set before the first request, or with Change.
type Habits struct {
	Checksums int
	// Keep is what is stored of a body; nil: all of it. part is 0 for a whole object; a copied part
	// is passed through it as well.
	Keep func(key string, part int, body []byte) []byte
	// Tag is the etag of a body; nil: its MD5. A completed upload has the MD5 of its parts' etags
	// and their number.
	Tag func(body []byte) string
	// Give is what a GET gives of what was asked for; nil: just that. Headers are those of the true
	// bytes.
	Give func(key string, body []byte) []byte
	// Size is what a listing says of an object; nil: the truth.
	Size func(key string, size int) int

	IgnoreRange     bool // a GET gives the whole object
	IgnoreCondition bool // If-None-Match and If-Match
	NoCopy          bool // a copied part is taken for an empty upload
	EatsCopy        bool // the range of a copied part is not looked at
	CopySum         bool // an upload with checksums has the one of the whole source as that of a copied part
	// Object Lock with a default retention of so many days: a body without a checksum is refused,
	// and nothing may be replaced
	LockDays int

	// Answer takes a request over when it returns true.
	Answer func(w http.ResponseWriter, r *http.Request) bool
}

type object struct {
	body []byte
	etag string
	at   time.Time
	meta http.Header // Content-Type, and what tests set
}

type upload struct {
	key    string
	meta   http.Header
	parts  map[int]object
	summed bool
}

// A Server is one bucket on a free port of 127.0.0.1.
type Server struct {
	*httptest.Server

	mu       sync.Mutex
	habits   Habits
	objects  map[string]object
	uploads  map[string]*upload
	requests []Request
}

// A Request is what came.
type Request struct {
	Method string
	Key    string
	Query  url.Values
	Header http.Header
}

// Start runs a server until the end of the test.
func Start(tb testing.TB, h Habits) *Server {
	tb.Helper()
	s := &Server{habits: h, objects: map[string]object{}, uploads: map[string]*upload{}}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// Store is the URL of a library in the bucket, as the command line takes it.
func (s *Server) Store(prefix string) string {
	return "s3://" + Bucket + "/" + prefix + "?endpoint=" + url.QueryEscape(s.URL) + "&region=us-east-1&path-style=true"
}

// Change changes its habits.
func (s *Server) Change(f func(h *Habits)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.habits)
}

// Requests are those that came since the last call, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	rs := s.requests
	s.requests = nil
	return rs
}

// Put makes an object, whatever its key.
func (s *Server) Put(key, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = object{[]byte(body), s.tag([]byte(body)), time.Now(), http.Header{}}
}

// Keys are those of the objects.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// SetHeader sets a header that GET and HEAD of an object answer with; empty takes it off.
func (s *Server) SetHeader(key, name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	o.meta = o.meta.Clone()
	o.meta.Del(name)
	if value != "" {
		o.meta.Set(name, value)
	}
	s.objects[key] = o
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	key, ok := strings.CutPrefix(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/")
	q := r.URL.Query()
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, key, q, r.Header.Clone()})
	answer := s.habits.Answer
	s.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	switch {
	case !ok || key == "":
		s.bucket(w, r, q, body)
	case q.Has("uploads") && r.Method == http.MethodPost:
		id := fmt.Sprintf("upload%d", len(s.uploads)+1)
		s.uploads[id] = &upload{
			key, http.Header{"Content-Type": {r.Header.Get("Content-Type")}}, map[int]object{},
			r.Header.Get("X-Amz-Checksum-Algorithm") != "",
		}
		reply(w, "InitiateMultipartUploadResult", xmlOf("UploadId", id))
	case q.Has("uploadId"):
		s.upload(w, r, key, q, body)
	case r.Method == http.MethodPut:
		s.put(w, r, key, body)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.get(w, r, key)
	case r.Method == http.MethodDelete:
		if s.habits.LockDays > 0 {
			Fail(w, 403, "AccessDenied", "Access Denied because object protected by object lock.")
			return
		}
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		Fail(w, 501, "NotImplemented", r.Method)
	}
}

// Fail answers with an error of S3.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

func xmlOf(name string, value any) string {
	var b strings.Builder
	xml.EscapeText(&b, fmt.Append(nil, value)) //nolint:errcheck // a Builder takes all
	return "<" + name + ">" + b.String() + "</" + name + ">"
}

func reply(w http.ResponseWriter, name, inner string) {
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprintf(w, `<?xml version="1.0"?><%s>%s</%s>`, name, inner, name)
}

// checks compares the checksums of a body, and gives back the one that a store would keep.
func (s *Server) checks(w http.ResponseWriter, r *http.Request, body []byte) (ok bool) {
	sum, tag := r.Header.Get("X-Amz-Checksum-Crc32c"), r.Header.Get("Content-Md5")
	if s.habits.LockDays > 0 && sum == "" && tag == "" {
		Fail(
			w, 400, "InvalidRequest",
			"Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with Object Lock parameters",
		)
		return false
	}
	crc := sumOf(body)
	md := md5.Sum(body)
	switch {
	case s.habits.Checksums == Ignore:
		return true
	case s.habits.Checksums == Refuse && sum != "":
		Fail(w, 400, "InvalidRequest", "a checksum of that kind is not known here")
		return false
	case sum != "" && sum != crc, tag != "" && tag != base64.StdEncoding.EncodeToString(md[:]):
		Fail(w, 400, "BadDigest", "the checksum did not match")
		return false
	}
	if sum != "" {
		w.Header().Set("X-Amz-Checksum-Crc32c", crc)
	}
	return true
}

func sumOf(body []byte) string {
	return base64.StdEncoding.EncodeToString(
		binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))),
	)
}

func (s *Server) tag(body []byte) string {
	if s.habits.Tag != nil {
		return s.habits.Tag(body)
	}
	return fmt.Sprintf("%x", md5.Sum(body))
}

func (s *Server) keep(key string, part int, body []byte) object {
	if s.habits.Keep != nil {
		body = s.habits.Keep(key, part, bytes.Clone(body))
	}
	return object{body: body, etag: s.tag(body), at: time.Now()}
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	_, there := s.objects[key]
	switch {
	case there && r.Header.Get("If-None-Match") == "*" && !s.habits.IgnoreCondition:
		Fail(w, 412, "PreconditionFailed", "it is there")
		return
	case there && s.habits.LockDays > 0:
		Fail(w, 403, "AccessDenied", "Access Denied because object protected by object lock.")
		return
	case !s.checks(w, r, body):
		return
	}
	o := s.keep(key, 0, body)
	o.meta = http.Header{"Content-Type": {r.Header.Get("Content-Type")}}
	s.objects[key] = o
	w.Header().Set("Etag", `"`+o.etag+`"`)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	o, there := s.objects[key]
	if !there {
		Fail(w, 404, "NoSuchKey", key)
		return
	}
	if m := r.Header.Get("If-Match"); m != "" && strings.Trim(m, `"`) != o.etag && !s.habits.IgnoreCondition {
		Fail(w, 412, "PreconditionFailed", "it has another etag")
		return
	}
	h := w.Header()
	maps.Copy(h, o.meta)
	h.Set("Etag", `"`+o.etag+`"`)
	h.Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	body, status := o.body, http.StatusOK
	if span, ranged := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ranged && !s.habits.IgnoreRange {
		from, to, _ := strings.Cut(span, "-")
		first, _ := strconv.Atoi(from)
		last := len(body) - 1
		if to != "" {
			n, _ := strconv.Atoi(to)
			last = min(n, last)
		}
		if first > last {
			Fail(w, 416, "InvalidRange", span)
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
		body, status = body[first:last+1], http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		if s.habits.Give != nil {
			body = s.habits.Give(key, bytes.Clone(body))
		}
		w.Write(body) //nolint:errcheck // the client may have gone
	}
}

// upload answers what is asked of a multipart upload.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, key string, q url.Values, body []byte) {
	id := q.Get("uploadId")
	u := s.uploads[id]
	if u == nil || u.key != key {
		Fail(w, 404, "NoSuchUpload", id)
		return
	}
	switch r.Method {
	case http.MethodDelete:
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		var b strings.Builder
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			p := u.parts[n]
			b.WriteString(
				"<Part>" + xmlOf("PartNumber", n) + xmlOf("ETag", p.etag) + xmlOf("Size", len(p.body)) + "</Part>",
			)
		}
		reply(w, "ListPartsResult", xmlOf("IsTruncated", false)+b.String())
	case http.MethodPut:
		s.part(w, r, u, q, body)
	case http.MethodPost:
		s.complete(w, u, id, body)
	}
}

func (s *Server) part(w http.ResponseWriter, r *http.Request, u *upload, q url.Values, body []byte) {
	n, _ := strconv.Atoi(q.Get("partNumber"))
	from := r.Header.Get("X-Amz-Copy-Source")
	if from == "" || s.habits.NoCopy {
		if s.checks(w, r, body) {
			u.parts[n] = s.keep(u.key, n, body)
			w.Header().Set("Etag", `"`+u.parts[n].etag+`"`)
		}
		return
	}
	from, _ = url.PathUnescape(from)
	o, there := s.objects[strings.TrimPrefix(from, Bucket+"/")]
	if !there {
		Fail(w, 404, "NoSuchKey", from)
		return
	}
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("X-Amz-Copy-Source-Range"), "bytes=%d-%d", &first, &last); err != nil ||
		s.habits.EatsCopy {
		first, last = 0, len(o.body)-1
	}
	if last >= len(o.body) {
		Fail(w, 416, "InvalidRange", from)
		return
	}
	u.parts[n] = s.keep(u.key, n, o.body[first:last+1])
	sum := ""
	if s.habits.CopySum && u.summed {
		sum = xmlOf("ChecksumCRC32C", sumOf(o.body))
	}
	reply(w, "CopyPartResult", xmlOf("ETag", u.parts[n].etag)+sum)
}

func (s *Server) complete(w http.ResponseWriter, u *upload, id string, body []byte) {
	var list struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		Fail(w, 400, "MalformedXML", err.Error())
		return
	}
	var all, tags []byte
	for _, p := range list.Part {
		have, ok := u.parts[p.PartNumber]
		if !ok || have.etag != strings.Trim(p.ETag, `"`) {
			Fail(w, 400, "InvalidPart", strconv.Itoa(p.PartNumber))
			return
		}
		all = append(all, have.body...)
		tag, _ := hex.DecodeString(have.etag)
		tags = append(tags, tag...)
	}
	if _, there := s.objects[u.key]; there && s.habits.LockDays > 0 {
		Fail(w, 403, "AccessDenied", "Access Denied because object protected by object lock.")
		return
	}
	etag := fmt.Sprintf("%s-%d", s.tag(tags), len(list.Part))
	s.objects[u.key] = object{all, etag, time.Now(), u.meta}
	delete(s.uploads, id)
	reply(w, "CompleteMultipartUploadResult", xmlOf("Bucket", Bucket)+xmlOf("Key", u.key)+xmlOf("ETag", `"`+etag+`"`))
}

// bucket answers what is asked of the bucket.
func (s *Server) bucket(w http.ResponseWriter, r *http.Request, q url.Values, body []byte) {
	switch {
	case r.Method == http.MethodPost && q.Has("delete"):
		var list struct{ Object []struct{ Key string } }
		if err := xml.Unmarshal(body, &list); err != nil {
			Fail(w, 400, "MalformedXML", err.Error())
			return
		}
		for _, o := range list.Object {
			if s.habits.LockDays == 0 {
				delete(s.objects, o.Key)
			}
		}
		reply(w, "DeleteResult", "")
	case q.Has("object-lock"):
		if s.habits.LockDays == 0 {
			Fail(
				w, 404, "ObjectLockConfigurationNotFoundError",
				"Object Lock configuration does not exist for this bucket",
			)
			return
		}
		reply(
			w,
			"ObjectLockConfiguration",
			xmlOf("ObjectLockEnabled", "Enabled")+"<Rule><DefaultRetention>"+xmlOf("Mode", "GOVERNANCE")+
				xmlOf("Days", s.habits.LockDays)+"</DefaultRetention></Rule>",
		)
	case q.Has("versioning"):
		reply(w, "VersioningConfiguration", "")
	case q.Has("uploads"):
		var b strings.Builder
		for _, id := range slices.Sorted(maps.Keys(s.uploads)) {
			if u := s.uploads[id]; strings.HasPrefix(u.key, q.Get("prefix")) {
				b.WriteString(
					"<Upload>" + xmlOf("Key", u.key) + xmlOf(
						"UploadId", id,
					) + xmlOf("Initiated", time.Now().UTC().Format(time.RFC3339)) + "</Upload>",
				)
			}
		}
		reply(w, "ListMultipartUploadsResult", xmlOf("IsTruncated", false)+b.String())
	case r.Method == http.MethodGet && q.Has("list-type"):
		s.list(w, q)
	default:
		Fail(w, 501, "NotImplemented", r.URL.RawQuery)
	}
}

func (s *Server) list(w http.ResponseWriter, q url.Values) {
	limit, _ := strconv.Atoi(q.Get("max-keys"))
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	var b strings.Builder
	n, last := 0, ""
	truncated := false
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= after {
			continue
		}
		if n == limit {
			truncated = true
			break
		}
		o := s.objects[key]
		size := len(o.body)
		if s.habits.Size != nil {
			size = s.habits.Size(key, size)
		}
		b.WriteString(
			"<Contents>" + xmlOf("Key", url.QueryEscape(key)) + xmlOf(
				"LastModified", o.at.UTC().Format("2006-01-02T15:04:05.000Z"),
			) +
				xmlOf("ETag", `"`+o.etag+`"`) + xmlOf(
				"Size",
				size,
			) + "</Contents>",
		)
		n, last = n+1, key
	}
	reply(
		w, "ListBucketResult",
		xmlOf("EncodingType", "url")+xmlOf("IsTruncated", truncated)+xmlOf("NextContinuationToken", last)+b.String(),
	)
}
