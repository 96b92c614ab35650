package house

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLines is the longest a Go file that people write may be: past it, it does more than one job.
const maxLines = 700

// mayBeLonger are the files that exceed maxLines, each with its reason.
var mayBeLonger = map[string]string{}

// topLevel is all that lies at the top, beside dot files and dot folders.
var topLevel = []string{
	"cmd", "fs", "cache", "remote", "testdata", "scripts",
	"go.mod", "go.sum", "LICENSE", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
}

// checkTopLevel: a newcomer finds everything from a handful of names.
func checkTopLevel(files tree) (complaints []string) {
	seen := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		if strings.HasPrefix(top, ".") || slices.Contains(topLevel, top) || seen[top] {
			continue
		}
		seen[top] = true
		complaints = append(
			complaints,
			fmt.Sprintf(
				"%s: not one of the names at the top level; move it below one of %s", top,
				strings.Join(topLevel[:6], ", "),
			),
		)
	}
	return complaints
}

// checkPackageDocs: every package says what it is for.
func checkPackageDocs(files []goFile) (complaints []string) {
	documented := map[string]bool{}
	for _, f := range files {
		if f.test {
			continue
		}
		documented[f.pkg()] = documented[f.pkg()] || f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != ""
	}
	for pkg, ok := range documented {
		if !ok {
			complaints = append(
				complaints,
				pkg+": no doc comment on the package; write one in the file that a newcomer should read first: what it is for, what it never does",
			)
		}
	}
	return complaints
}

// checkLength: files stay short enough to read in one sitting.
func checkLength(files []goFile) (complaints []string) {
	for _, f := range files {
		lines := bytes.Count(f.src, []byte("\n"))
		if f.generated || lines <= maxLines || mayBeLonger[f.path] != "" {
			continue
		}
		complaints = append(
			complaints, fmt.Sprintf("%s: %d lines, at most %d; split it by job", f.path, lines, maxLines),
		)
	}
	return complaints
}

// maxColumns is the longest that a line of a comment or of Markdown may be; a tab counts as four.
const maxColumns = 100

// tooLong reports whether a line of prose is too long. What is laid out in columns, and addresses,
// cannot be broken.
func tooLong(line, prose string) bool {
	laidOut := strings.HasPrefix(prose, "  ") || strings.HasPrefix(prose, "\t") || strings.HasPrefix(prose, " \t") ||
		strings.HasPrefix(prose, "|") || strings.Contains(prose, "://")
	return !laidOut && utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")) > maxColumns
}

// checkCommentWidth: comments can be read beside each other.
func checkCommentWidth(files []goFile) (complaints []string) {
	for _, f := range files {
		if f.generated {
			continue
		}
		for i, line := range strings.Split(string(f.src), "\n") {
			prose, comment := strings.CutPrefix(strings.TrimLeft(line, "\t "), "//")
			if comment && tooLong(line, prose) {
				complaints = append(complaints, fmt.Sprintf("%s:%d: a comment over %d columns; wrap it", f.path, i+1, maxColumns))
			}
		}
	}
	return complaints
}

// checkTextWidth: the same of documents.
func checkTextWidth(files tree) (complaints []string) {
	for name, src := range files {
		if path.Ext(name) != ".md" || strings.HasPrefix(name, "testdata/") {
			continue
		}
		fenced := false
		for i, line := range strings.Split(string(src), "\n") {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			if !fenced && !strings.HasPrefix(line, "    ") && tooLong(line, line) {
				complaints = append(complaints, fmt.Sprintf("%s:%d: over %d columns; wrap it", name, i+1, maxColumns))
			}
		}
	}
	return complaints
}

// checkAllowList: an exception that nothing needs any more goes.
func checkAllowList(files []goFile, allowed map[string]string) (complaints []string) {
	for name := range allowed {
		i := slices.IndexFunc(files, func(f goFile) bool { return f.path == name })
		if i < 0 || bytes.Count(files[i].src, []byte("\n")) <= maxLines {
			complaints = append(complaints, name+": is not longer than others; take it off mayBeLonger")
		}
	}
	return complaints
}

// vagueName matches names that say nothing of what a file does.
var vagueName = regexp.MustCompile(`^(utils?|helpers?|commons?|types?|misc)(_.*)?\.go$`)

// checkFileNames: a file is named for its one job.
func checkFileNames(files []goFile) (complaints []string) {
	for _, f := range files {
		if vagueName.MatchString(path.Base(f.path)) {
			complaints = append(complaints, f.path+": the name does not say what is in it; name it for its one job")
		}
	}
	return complaints
}

// foreignPath matches paths of one particular workplace, where nobody else can follow them.
var foreignPath = regexp.MustCompile(`(^|[^\w./~*-])/wor` + `k/|\bshared/(seed` + `s|DESIGN\.md|STYLE\.md|hooks)`)

// checkForeignPaths looks at every file that is text.
func checkForeignPaths(files tree) (complaints []string) {
	for name, b := range files {
		if bytes.IndexByte(b, 0) >= 0 {
			continue
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := foreignPath.FindString(line); m != "" {
				complaints = append(
					complaints,
					fmt.Sprintf(
						"%s:%d: mentions %q, a path of one workplace; say it without", name, i+1, strings.TrimSpace(m),
					),
				)
			}
		}
	}
	return complaints
}

// leftover matches marks of unfinished work. They are put together so that this file does not match
// itself.
var leftover = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// checkLeftovers: what is committed is finished; what is missing is an issue, not a comment.
func checkLeftovers(files []goFile) (complaints []string) {
	for _, f := range files {
		if f.generated {
			continue
		}
		for i, line := range strings.Split(string(f.src), "\n") {
			if m := leftover.FindString(line); m != "" {
				complaints = append(
					complaints, fmt.Sprintf("%s:%d: %s; finish it, or take it out and file it", f.path, i+1, m),
				)
			}
		}
	}
	return complaints
}
