package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A deed of a story is one command. Its words are split at spaces, ~ is a space, @/ the root of the
// library as the story sees it.
type deed struct {
	do   string
	code int
	out  string // standard output; "*": whatever
	says string // in standard error; empty: nothing is said
}

// story is what a person does with a library of a few media, with what it must look like, in a
// mount and in a library that is not mounted.
var story = []deed{
	{do: "tag --add sea,sun @/a.jpg @/b.jpg"},
	{do: "tag @/a.jpg", out: "@/a.jpg: sea, sun\n"},
	{do: "tag --remove sun --add sand @/b.jpg"},
	{do: "tag --all", out: "sand  1\nsea   2\nsun   1\n"},
	{
		do:  "tag --all --json",
		out: `{"tag":"sand","count":1}` + "\n" + `{"tag":"sea","count":2}` + "\n" + `{"tag":"sun","count":1}` + "\n",
	},
	{do: "tag --set= @/b.jpg"},
	{do: "tag --json @/b.jpg", out: `{"path":"@/b.jpg","tags":[]}` + "\n"},
	{do: "tag --add a/b @/a.jpg", code: exitUsage, says: "without '/'"},
	{do: "tag --add x @/missing.jpg", code: exitFailed, says: "@/missing.jpg: "},
	{do: "tag --add x @/folder", code: exitFailed, says: "@/folder: "},

	{do: "rate 8 @/a.jpg"},
	{do: "rate --stars 4.5 @/b.jpg"},
	{do: "rate 11 @/a.jpg", code: exitUsage, says: "allowed are 0 to 10, and none"},
	{do: "rate --stars 4.2 @/a.jpg", code: exitUsage, says: "allowed are 0 to 5 and halves"},
	{do: "favorite --user ana @/a.jpg"},
	{do: "favorite --user a/b @/a.jpg", code: exitUsage, says: "without '/'"},
	{do: "vote --user ben 3 @/a.jpg"},
	{do: "vote --anonymous 1 @/a.jpg"},
	{do: "vote --user cem -- -1 @/a.jpg"},
	{do: "vote --user cem --remove @/a.jpg"},
	{do: "vote much @/a.jpg", code: exitUsage, says: "allowed are whole numbers from -1000 to 1000"},
	{do: "comment --user ana @/a.jpg Where~is~that?"},
	{do: "comment --user ben --answers 1 @/a.jpg At~the~sea"},
	{do: "comment @/a.jpg", out: "TIME  1 ana: Where is that?\nTIME  2 ben: At the sea\n"},
	{do: "comment --moderate 2=denied --reason 3 @/a.jpg"},
	{
		do: "comment --json @/a.jpg",
		out: `{"number":1,"user":"ana","text":"Where is that?","time":"TIME","moderation":0}` + "\n" +
			`{"number":2,"user":"ben","text":"At the sea","time":"TIME","moderation":-1,"denied_reason":3,"answers":1}` + "\n",
	},
	{do: "comment --remove 2 @/a.jpg"},
	{do: "comment --remove 2 @/a.jpg", code: exitFailed, says: "comment 2: does not exist"},
	{do: "set @/a.jpg title=The~beach taken=2024-05-01T10:00:00+02:00 place=38.71,-9.14 groups+=7"},
	{do: "set @/a.jpg rating=many", code: exitUsage, says: "a whole number from 0 to 10"},
	{do: "set @/a.jpg colour=red", code: exitUsage, says: "fields to edit: "},
	{do: "set @/a.jpg size=3", code: exitPermission, says: "nobody sets it"},
	{do: "set --field language=pt --field privacy=public --clear description @/a.jpg @/b.jpg"},
	{do: "moderate approved @/a.jpg"},
	{do: "moderate perhaps @/a.jpg", code: exitUsage, says: "allowed are none (0), approved (1), 2, 3 or denied (-1)"},

	{do: "find beach", out: "@/a.jpg\n"},
	{do: "find -0 rating:>=1", out: "@/a.jpg\x00@/b.jpg\x00"},
	{do: "hide @/b.jpg"},
	{do: "find --count rating:>=1", out: "1\n"},
	{do: "find --count --json hidden:yes", out: `{"count":1}` + "\n"},
	{do: "hide --show @/b.jpg"},
	{do: "find --limit 1 rating:>=1", out: "@/a.jpg\n"},
	{do: "find --in @/folder c", out: "@/folder/c.txt\n"},
	{do: "find --in @/folder beach"},
	{do: "find --in @/a.jpg beach", code: exitFailed, says: "not a folder"},
	{
		do:  "find --long beach",
		out: "       1 B  2024-05-01 10:00  -                  8  @/a.jpg  \"The beach\"  #sea  #sun\n",
	},
	{do: "find colour:red", code: exitUsage, says: "colour"},
	{do: "info @/a.jpg @/missing.jpg", code: exitFailed, out: "*", says: "missing.jpg: "},

	{
		do:  "versions list --json @/edited",
		out: `{"number":1,"size":4096,"modified":"TIME","replaced":"TIME","reason":"edit"}` + "\n",
	},
	{do: "versions show @/edited 1", out: strings.Repeat("x", 4096)},
	{do: "versions show @/edited 9", code: exitFailed, says: "@/edited: "},
	{do: "versions restore @/edited 1"},
	{
		do:  "versions list --json @/edited",
		out: `{"number":2,"size":4,"modified":"TIME","replaced":"TIME","reason":"restore"}` + "\n",
	},
	{do: "versions list @/folder", code: exitFailed, says: "@/folder: "},

	{
		do:  "trash list",
		out: "ENTRY  TIME  1 B     USER  @/folder/gone.jpg\nENTRY  TIME  1 B     USER  @/gone.jpg\nENTRY  TIME  folder  USER  @/gone\n",
	},
	{do: "trash restore @/gone.jpg", out: "@/gone.jpg\n"},
	{do: "trash restore @/gone.jpg", code: exitFailed, says: "nothing of that number or path is in the trash"},
	{do: "trash restore @/folder/gone.jpg --to @/found.jpg", out: "@/found.jpg\n"},
	{do: "trash purge @/gone", code: exitUsage, says: "--yes says that you mean it"},
	{do: "trash purge @/gone --yes"},
	{do: "trash list"},
	{do: "trash empty --yes"},

	{do: "uploads list"},
	{do: "uploads cancel @/missing.jpg", code: exitFailed, says: "@/missing.jpg: "},

	{do: "setting view-folder", out: ".media\n"},
	{do: "setting view-folder .views"},
	{
		do:  "setting --json",
		out: `{"name":"view-folder","value":".views","means":"name at the root under which views appear"}` + "\n",
	},
	{do: "setting --unset view-folder"},
	{do: "setting view-folder a.jpg", code: exitFailed, says: "already exists"},
	{do: "setting colour", code: exitUsage, says: "there is no such setting"},
	{do: "setting colour red", code: exitUsage, says: "there is no such setting"},
}

var (
	someTime  = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}(\.[0-9]+)?(Z| ?[+-][0-9]{2}:[0-9]{2})?`)
	someEntry = regexp.MustCompile(`(?m)^[0-9]+  TIME`)
	someUser  = regexp.MustCompile(`(?m)^(ENTRY  TIME  [^@]*?)(\S+)  @`)
)

// told makes one output the same for all libraries.
func told(text, root string) string {
	if root != "" {
		text = strings.ReplaceAll(text, root+"/", "@/")
	} else {
		text = regexp.MustCompile(`(?m)(^|"|\x00| )/(a\.jpg|b\.jpg|folder|gone|found|edited|missing)`).
			ReplaceAllString(text, "$1@/$2")
	}
	return text
}

func (m *machine) tells(t *testing.T, s deed, root string, flags ...string) {
	t.Helper()
	var args []string
	for i, word := range strings.Fields(s.do) {
		word = strings.ReplaceAll(strings.ReplaceAll(word, "@/", root+"/"), "~", " ")
		args = append(args, word)
		if i == 0 && word != "trash" && word != "versions" && word != "uploads" ||
			i == 1 && len(args) == 2 && len(flags) > 0 && args[len(args)-1] == word && sub[args[0]] {
			args = append(args, flags...)
		}
	}
	// In this process: with the race detector each process of its own takes a second to end.
	var out, errs bytes.Buffer
	code := Main(t.Context(), append([]string{"mediafs"}, args...), m.variable, strings.NewReader(""), &out, &errs)
	stdout, stderr := out.String(), errs.String()
	stdout, stderr = told(stdout, root), told(stderr, root)
	if !strings.HasPrefix(s.do, "find") {
		stdout = someTime.ReplaceAllString(stdout, "TIME")
		stdout = someUser.ReplaceAllString(someEntry.ReplaceAllString(stdout, "ENTRY  TIME"), "${1}USER  @")
	}
	if code != s.code || s.out != "*" && stdout != s.out {
		t.Errorf("mediafs %s: exit code %d, want %d\n%s\nwant\n%s\nsaid %s", s.do, code, s.code, stdout, s.out, stderr)
	}
	if !strings.Contains(stderr, s.says) || (s.says == "") != (stderr == "") {
		t.Errorf("mediafs %s: said %q, want %q", s.do, stderr, s.says)
	}
}

// variable is one of the machine's environment.
func (m *machine) variable(name string) (value string) {
	for _, v := range m.env {
		if text, ok := strings.CutPrefix(v, name+"="); ok {
			value = text // the last one counts
		}
	}
	return value
}

// sub are commands with subcommands.
var sub = map[string]bool{"trash": true, "versions": true, "uploads": true}

// fill makes the library of the story in the mount.
func (m *machine) fill() {
	m.t.Helper()
	m.sh(`
		mkdir folder gone
		printf a >a.jpg; printf b >b.jpg; printf c >folder/c.txt
		printf d >gone.jpg; printf e >folder/gone.jpg; printf f >gone/f
		printf 'x%.0s' $(seq 4096) >edited; printf new. >edited
		mv folder/gone.jpg .media/trash/; mv gone.jpg .media/trash/; mv gone .media/trash/`)
}

func TestMediaCommands(t *testing.T) {
	t.Run("mounted", func(t *testing.T) {
		m := newMachine(t, "MEDIAFS_FACTS=off") // a type that comes meanwhile would be shown
		m.mount(fileURL(newFolder(t, m.home, "store")))
		m.fill()
		for _, s := range story {
			if !strings.Contains(s.do, "@") {
				m.tells(t, s, m.mnt, "--library="+m.mnt)
				continue
			}
			m.tells(t, s, m.mnt)
		}
		m.umount()
	})
	t.Run("not mounted", func(t *testing.T) {
		m := newMachine(t, "MEDIAFS_FACTS=off") // a type that comes meanwhile would be shown
		store := fileURL(newFolder(t, m.home, "store"))
		m.mount(store)
		m.fill()
		m.umount()
		for _, s := range story {
			m.tells(t, s, "", "--library="+store)
		}
		m.mount(store)
		if got := m.sh(
			`getfattr --only-values -n user.xdg.tags a.jpg; echo; getfattr --only-values -n user.baloo.rating b.jpg`,
		); got != "sea,sun\n9" {
			t.Errorf("after the commands the mount has %q", got)
		}
		m.umount()
	})
}

func newFolder(t *testing.T, dir, name string) string {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	return at
}
