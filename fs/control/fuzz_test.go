package control

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// answers is a daemon that says what it is told to.
type answers []byte

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// Whatever a daemon of another version or a broken one says, each call ends, and only a report that
// says so is success.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"pending":{"files":1}}` + "\n" + `{"pending":{},"done":true}`))
	f.Add([]byte(`{"failed":{"kind":"quota exceeded","text":"x"}}`))
	f.Add([]byte(`{"failed":{}}`))
	f.Add([]byte(`{"mount":"/a","pid":1,"started":"2026-01-02T03:04:05Z","pending":{"bytes":-1}}`))
	f.Add([]byte(`[{"done":true}]`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{dir: dir, http: &http.Client{Transport: answers(b)}}
		if s, err := c.Status(context.Background()); err == nil && !s.Running || err != nil && s.Running {
			t.Errorf("%q: %+v, %v", b, s, err)
		}
		err := c.Flush(context.Background(), func(Pending) {})
		if err == nil && !bytes.Contains(b, []byte("true")) {
			t.Errorf("%q is success", b)
		}
		if err != nil && err.Error() == "" {
			t.Errorf("%q: an error without a word", b)
		}
	})
}

// The process id in a lock file is a number or not known.
func FuzzHolder(f *testing.F) {
	f.Add([]byte("123\n"))
	f.Add([]byte("\x1b[2J"))
	name := filepath.Join(f.TempDir(), "lock")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, c := range holder(file) {
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' && c != '+' {
				t.Errorf("%q", holder(file))
			}
		}
	})
}
