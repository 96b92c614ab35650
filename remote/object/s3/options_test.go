package s3_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object/s3"
)

func TestParseURL(t *testing.T) {
	got, err := s3.ParseURL(
		"s3://my-bucket/a/prefix/?endpoint=http://127.0.0.1:9000&region=eu-central-1&path-style=true&ca=/etc/ca.pem&profile=p",
	)
	if err != nil {
		t.Fatal(err)
	}
	if got.Bucket != "my-bucket" || got.Prefix != "a/prefix" || got.Endpoint != "http://127.0.0.1:9000" || got.Region != "eu-central-1" ||
		!got.PathStyle || got.CAFile != "/etc/ca.pem" || got.Profile != "p" ||
		!got.AllowHTTP ||
		got.Anonymous {
		t.Errorf("got %+v", got)
	}
	got, err = s3.ParseURL("s3://my-bucket?anonymous=1&endpoint=https://s3.example.org")
	if err != nil || got.Prefix != "" || !got.Anonymous || got.AllowHTTP || got.PathStyle {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseURLRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"http://bucket/x":                          "not s3",
		"s3:///prefix":                             "bucket is missing",
		"s3:bucket":                                "must look like",
		"s3://bucket#x":                            "must look like",
		"s3://bu_cket_/x":                          "invalid characters",
		"s3://bucket/a//b":                         "empty segment",
		"s3://bucket/../b":                         "segment ..",
		"s3://bucket?pathstyle=true":               `"pathstyle" is not known`,
		"s3://bucket?path-style=maybe":             "must be true or false",
		"s3://bucket?region=a&region=b":            "comes 2 times",
		"s3://bucket?endpoint=ftp://host":          "must look like https://host:port",
		"s3://bucket?endpoint=https://host/path":   "must look like https://host:port",
		"s3://bucket?endpoint=https://u:HUSH@host": "user or password",
		"s3://AKIA:HUSH@bucket/x":                  "AWS_ACCESS_KEY_ID",
		"s3://bucket?secret=HUSH":                  `"secret" is not known`,
		"s3://AKIA:HUSH@buc ket/%zz":               "",
		"s3://bucket?region=%zzHUSH":               "well-formed",
	} {
		_, err := s3.ParseURL(url)
		if !errors.Is(err, remote.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want Invalid with %q", url, err, want)
			continue
		}
		if strings.Contains(err.Error(), "HUSH") {
			t.Errorf("%s: the error shows the secret: %v", url, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for what, opt := range map[string]s3.Options{
		"no bucket":      {},
		"plain HTTP":     {Bucket: "bucket", Endpoint: "http://host"},
		"half a key":     {Bucket: "bucket", AccessKey: "a"},
		"other half":     {Bucket: "bucket", SecretKey: "a"},
		"long prefix":    {Bucket: "bucket", Prefix: strings.Repeat("x", 300)},
		"not an address": {Bucket: "bucket", Endpoint: "http://host:port:port", AllowHTTP: true},
	} {
		b, err := s3.Open(t.Context(), opt)
		if !errors.Is(err, remote.Invalid) {
			t.Errorf("%s: got %v, %v, want Invalid", what, b, err)
		}
	}
	_, err := s3.Open(t.Context(), s3.Options{Bucket: "bucket", CAFile: "/no/such/file"})
	if !errors.Is(err, remote.NotExist) {
		t.Errorf("missing CA file: %v", err)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	opt := s3.Options{Bucket: "b", AccessKey: "id", SecretKey: "hush", SessionToken: "hush"}
	text, err := json.Marshal(opt.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprint(opt), fmt.Sprintf("%+v", opt), fmt.Sprintf("%#v", opt), fmt.Sprintf("%v %s %q %x %d", opt.SecretKey, opt.SecretKey, opt.SecretKey, opt.SecretKey, opt.SecretKey),
		opt.SecretKey.String(), string(text), fmt.Sprintf("%v", &opt),
	} {
		if strings.Contains(s, "hush") || strings.Contains(s, "68757368") || !strings.Contains(s, "***") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestFactsURL(t *testing.T) {
	for url, want := range map[string]string{
		"s3://bucket/p/q?endpoint=https://host:9000&region=x": "s3://bucket/p/q/?endpoint=https://host:9000",
		"s3://bucket?profile=x":                               "s3://bucket/",
	} {
		opt, err := s3.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		b := open(t, opt)
		if got := b.Facts().URL; got != want {
			t.Errorf("%s: facts say %s, want %s", url, got, want)
		}
	}
}
