package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMediaInfo pins what mediafs info tells of a media with all sorts of things said of it:
// programs read the JSON. -update writes it anew.
func TestMediaInfo(t *testing.T) {
	m := newMachine(t, "TZ=UTC", "MEDIAFS_FACTS=off")
	m.mount(fileURL(newFolder(t, m.home, "store")))
	m.sh(`mkdir 2024; printf abc >2024/beach.jpg; touch -d 2024-05-02T08:00:00Z 2024/beach.jpg`)
	at := filepath.Join(m.mnt, "2024/beach.jpg")
	for _, args := range []string{
		"tag --add sea,sun", "rate 9", "favorite --user ana", "vote --user ben 2", "comment --user ana",
		"set title=Beach description=two~lines taken=2024-05-01T10:00:00+02:00 place=38.71,-9.14,12 language=pt privacy=public", "moderate approved",
	} {
		var given []string
		for i, word := range strings.Fields(args) {
			if i > 0 && (args[0:3] == "set" && i == 1) {
				given = append(given, at)
			}
			given = append(given, strings.ReplaceAll(word, "~", " "))
		}
		switch given[0] {
		case "set":
		case "comment":
			given = append(given, at, "Where is that?")
		default:
			given = append(given, at)
		}
		m.do(given...)
	}
	replace := func(text, pattern, by string) string {
		return regexp.MustCompile(pattern).ReplaceAllString(text, by)
	}
	for _, form := range []struct{ name, flag string }{{"info.json", "--json"}, {"info.txt", "--document=false"}} {
		got := m.says(t, exitOK, "", "info", form.flag, at)
		got = strings.ReplaceAll(got, m.mnt, "MNT")
		got = replace(got, `[0-9a-f]{64}`, "SHA256")
		got = replace(got, `[0-9a-f]{32}`, "HEX")
		got = replace(got, `\b[0-9]{13,19}\b`, "NODE")
		got = replace(got, `2[0-9]{3}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}\.[0-9]+Z`, "NOW")
		got = replace(got, `(uploaded|edited) ( *)2[0-9]{3}.*`, "$1 $2 NOW")
		got = replace(got, `"id": "[0-9]+"`, `"id": "UID"`)
		got = replace(got, `("name"|owner name)(: | +)"?[a-z0-9_-]+"?(,?\n)`, "$1$2 USER$3")
		name := filepath.Join("testdata", "media", form.name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, name, got)
			continue
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is another now (-update after a look):\n%s\nwant\n%s", form.name, got, want)
		}
	}
	m.umount()
}
