package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/s3"
	"mediafs/remote/transport"
)

// A wire answers every request with the same status, headers and body.
type wire struct {
	status int
	header http.Header
	body   []byte
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // as a server does
		r.Body.Close()
	}
	length := int64(len(w.body))
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	body := io.NopCloser(bytes.NewReader(w.body))
	if r.Method == http.MethodHead {
		body = http.NoBody
	}
	return &http.Response{
		StatusCode: w.status, Status: strconv.Itoa(w.status) + " x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), Body: body, ContentLength: length, Request: r,
	}, nil
}

// FuzzAnswers has a server answer whatever it likes. Every call ends with an answer that makes
// sense or with an error that has a kind of the contract; keys stay within the prefix that was
// asked for.
func FuzzAnswers(f *testing.F) {
	const list = `<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>p/log/1</Key><Size>3</Size><ETag>"e"</ETag><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents></ListBucketResult>`
	headers := "ETag: \"e\"\nLast-Modified: Fri, 02 Jan 2026 03:04:05 GMT\nContent-Length: 3\nDate: Fri, 02 Jan 2026 03:04:05 GMT"
	f.Add(200, headers, []byte("abc"))
	f.Add(206, headers+"\nContent-Range: bytes 1-3/10", []byte("abc"))
	f.Add(206, "Content-Range: bytes 5-1/*\nContent-Length: -1", []byte("abc"))
	f.Add(416, "Content-Range: bytes */9999999999999999999", []byte("<Error><Code>InvalidRange</Code></Error>"))
	f.Add(200, "", []byte(list))
	f.Add(
		200, "",
		[]byte(strings.ReplaceAll(strings.ReplaceAll(list, "p/log/1", "../etc/passwd"), "<Size>3", "<Size>-3")),
	)
	f.Add(200, "", []byte(strings.Replace(list, "false", "true", 1)))
	f.Add(
		200,
		"",
		[]byte(
			`<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker><Part><PartNumber>-1</PartNumber><Size>9223372036854775807</Size></Part></ListPartsResult>`,
		),
	)
	f.Add(
		200,
		"",
		[]byte(
			`<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><Upload><Key>p/../x</Key><UploadId></UploadId></Upload></ListMultipartUploadsResult>`,
		),
	)
	f.Add(200, "", []byte(`<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`))
	f.Add(200, "", []byte(`<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`))
	f.Add(200, "", []byte(`<Error><Code>InternalError</Code><Message>`+"\x1b[2J"+`</Message></Error>`))
	f.Add(200, "", []byte(`<CopyPartResult><ETag>"e"</ETag></CopyPartResult>`))
	f.Add(301, "Location: http://169.254.169.254/", []byte{})
	f.Add(503, "Retry-After: 99999999999", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, header string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		w := &wire{status: status, header: http.Header{}, body: body}
		for line := range strings.SplitSeq(header, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && name != "" {
				w.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
			}
		}
		b, err := s3.Open(
			t.Context(),
			s3.Options{
				Endpoint:  "http://127.0.0.1:1",
				AllowHTTP: true,
				Bucket:    "bucket",
				Prefix:    "p",
				AccessKey: "id",
				SecretKey: "HUSH",
				Transport: transport.Options{Base: w},
			},
		)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		check := func(what string, err error) {
			if err == nil {
				return
			}
			var known *remote.Error
			if !errors.As(err, &known) || strings.Contains(err.Error(), "HUSH") {
				t.Errorf("%s: %v", what, err)
			}
		}
		small := strings.NewReader("xyz")
		info, err := b.Head(ctx, "log/1")
		check("head", err)
		if err == nil && info.Size < 0 {
			t.Errorf("head: %+v", info)
		}
		r, info, err := b.Get(ctx, "log/1", object.GetOptions{Offset: 1, Length: 3})
		check("get", err)
		if err == nil {
			got, err := io.ReadAll(r)
			check("read", err)
			if len(got) > 3 || info.Size < 0 || info.Size == 0 && len(got) > 0 {
				t.Errorf("get: %d bytes of %+v", len(got), info)
			}
			r.Close()
		}
		_, err = b.Put(ctx, "log/1", small, 3, object.PutOptions{IfAbsent: true})
		check("put", err)
		page, _, err := b.List(ctx, "log/", "log/0", 10)
		check("list", err)
		last := "log/0"
		for _, o := range page {
			if !strings.HasPrefix(o.Key, "log/") || o.Key <= last || o.Size < 0 {
				t.Errorf("list: %+v after %q", o, last)
			}
			last = o.Key
		}
		check("delete", b.Delete(ctx, "log/1", "log/2"))
		id, err := b.CreateMultipart(ctx, "log/1", "")
		check("begin", err)
		if err == nil && id == "" {
			t.Error("an upload without an id")
		}
		part, err := b.PutPart(ctx, "log/1", "u", 1, small, 3)
		check("put part", err)
		_, err = b.CopyPart(ctx, "log/1", "u", 2, "log/2", 0, 3)
		check("copy part", err)
		parts, err := b.ListParts(ctx, "log/1", "u")
		check("list parts", err)
		for i, p := range parts {
			if p.Number < 1 || p.Size < 0 || i > 0 && p.Number <= parts[i-1].Number {
				t.Errorf("list parts: %+v", parts)
			}
		}
		_, err = b.CompleteMultipart(ctx, "log/1", "u", []object.Part{part})
		check("complete", err)
		ups, err := b.ListMultiparts(ctx, "log/")
		check("list uploads", err)
		for _, u := range ups {
			if !strings.HasPrefix(u.Key, "log/") || u.ID == "" {
				t.Errorf("list uploads: %+v", u)
			}
		}
		check("abort", b.AbortMultipart(ctx, "log/1", "u"))
	})
}
