package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An exported file, as a reader has it who knows nothing but the documentation.
type exported struct {
	header map[string]any
	nodes  map[string]map[string]any // by path; one that is not UTF-8 as base64
	order  []string
	trash  []map[string]any
}

func readExport(t *testing.T, text string) exported {
	t.Helper()
	x := exported{nodes: map[string]map[string]any{}}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v map[string]any
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		switch {
		case x.header == nil:
			x.header = v
		case v["kind"] == "trash":
			x.trash = append(x.trash, v)
		default:
			path, plain := v["path"].(string)
			if !plain {
				path = v["path"].(map[string]any)["base64"].(string)
			}
			x.nodes[path] = v
			x.order = append(x.order, path)
		}
	}
	return x
}

// A library in a local directory is exported without a mount, to standard output and to a file, all
// of it and a folder.
func TestExport(t *testing.T) {
	s, temp := newShelf(t), t.TempDir()
	user := newSession(t)
	user.env["TMPDIR"] = temp
	code, stdout, stderr := user.run(t, "export", "--library", s.url)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	x := readExport(t, stdout)
	if x.header["format"] != "mediafs-export/1" || x.header["library"] == "" || x.header["commit"].(float64) == 0 ||
		x.header["store"] != s.url ||
		x.header["folder"] != "/" {
		t.Errorf("header %v", x.header)
	}
	red := base64.StdEncoding.EncodeToString([]byte("/" + spiteful))
	if len(x.nodes) != 4 || x.order[0] != "/" || x.nodes["/"]["type"] != "folder" || x.nodes[red] == nil {
		t.Fatalf("nodes %v", x.order)
	}
	a, b := x.nodes["/a.txt"], x.nodes["/b.txt"]
	if a["type"] != "media" || a["mode"] != "0644" || a["size"].(float64) != float64(len("content of a.txt")) ||
		a["mtime"] == "" ||
		a["media"].(map[string]any)["id"] == "" {
		t.Errorf("a.txt is %v", a)
	}
	extents := a["head"].(map[string]any)["extents"].([]any)
	contents := a["contents"].([]any)
	if len(extents) != 1 || len(contents) != 1 ||
		extents[0].(map[string]any)["content"] != contents[0].(map[string]any)["id"] ||
		contents[0].(map[string]any)["crc32"] == nil {
		t.Errorf("head %v, contents %v", extents, contents)
	}
	versions := b["versions"].([]any)
	if len(versions) != 1 || versions[0].(map[string]any)["reason"] != "edit" || len(b["contents"].([]any)) != 2 {
		t.Errorf("b.txt is %v", b)
	}

	file := filepath.Join(t.TempDir(), "export.jsonl")
	code, stdout, stderr = user.run(t, "export", "--library", s.url, "-o", file)
	written, err := os.ReadFile(file)
	if code != exitOK || stdout != "" || err != nil || len(readExport(t, string(written)).nodes) != 4 ||
		!strings.HasPrefix(stderr, "4 nodes, of which 3 are media, and 0 in the trash") {
		t.Errorf("to a file: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--library", s.url, "/none"}, exitNoLibrary, "find folder /none: does not exist"},
		{[]string{"--library", s.url, "a.txt"}, exitFailed, "find folder /a.txt: not a folder"},
		{[]string{s.url}, exitUsage, "a store is named with --library"},
		{[]string{"--library", s.url, "a", "b"}, exitUsage, "too many arguments"},
		{[]string{"--library", "file:///none/at/all"}, exitNoLibrary, "does not exist"},
		{[]string{"--library", s.url, "-o", "/none/at/all"}, exitFailed, "no such file"},
	} {
		code, stdout, stderr := user.run(t, append([]string{"export"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d, %q, %s", c.args, code, stdout, stderr)
		}
	}
}
