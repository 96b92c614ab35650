package s3_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

var discard = log.New(io.Discard, "", 0)

// clean takes every key of this machine out of the test's sight.
func clean(t *testing.T) (home string) {
	home = t.TempDir()
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	return home
}

func TestCredentials(t *testing.T) {
	var signedBy, token string
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		_, rest, _ := strings.Cut(auth, "Credential=")
		signedBy, _, _ = strings.Cut(rest, "/")
		token = r.Header.Get("X-Amz-Security-Token")
		w.Header().Set("Etag", `"tag"`)
	})
	metadata := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(
			w, `{"AccessKeyId":"meta","SecretAccessKey":"HUSH","Token":"meta-token","Expiration":"%s"}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		)
	})
	const file = "[default]\naws_access_key_id = file\naws_secret_access_key = HUSH\n[other]\naws_access_key_id = other\naws_secret_access_key = HUSH\n"
	for _, c := range []struct {
		name    string
		env     map[string]string
		file    string
		profile string
		signed  string
		token   string
		text    string // of the error, when there is one
	}{
		{name: "environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "HUSH", "AWS_SESSION_TOKEN": "env-token"}, file: file, signed: "env", token: "env-token"},
		{name: "half an environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "env"}, file: file, text: "only one of"},
		{name: "file", file: file, signed: "file"},
		{name: "profile from the environment", env: map[string]string{"AWS_PROFILE": "other"}, file: file, signed: "other"},
		{name: "profile", env: map[string]string{"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "HUSH"}, file: file, profile: "other", signed: "other"},
		{name: "missing profile", file: file, profile: "missing", text: "profile"},
		{name: "metadata", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.URL}, signed: "meta", token: "meta-token"},
		{name: "none", text: "AWS_ACCESS_KEY_ID"},
		{name: "none, metadata off", env: map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, text: "AWS_ACCESS_KEY_ID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := clean(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(home, "credentials"), []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			signedBy, token = "", ""
			before := p.requests.Load()
			opt := p.options()
			opt.AccessKey, opt.SecretKey, opt.Profile = "", "", c.profile
			if c.signed != "meta" {
				opt.MetadataURL = "http://127.0.0.1:1"
			}
			b := open(t, opt)
			if p.requests.Load() != before {
				t.Error("open sent something")
			}
			for range 2 {
				err := put(t, b, object.PutOptions{})
				if c.text != "" {
					check(t, "put", err, remote.Permission, c.text)
					continue
				}
				if err != nil || signedBy != c.signed || token != c.token {
					t.Errorf("signed by %q with token %q, want %q and %q; %v", signedBy, token, c.signed, c.token, err)
				}
			}
			if sent := p.requests.Load() - before; c.text != "" && sent != 0 {
				t.Errorf("%d requests went out without a signature", sent)
			}
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		clean(t)
		opt := p.options()
		opt.AccessKey, opt.SecretKey, opt.Anonymous = "", "", true
		signedBy = ""
		if err := put(t, open(t, opt), object.PutOptions{}); err != nil || signedBy != "" {
			t.Errorf("signed by %q, %v", signedBy, err)
		}
	})
}
