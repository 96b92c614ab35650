package house

import (
	"fmt"
	"path"
	"regexp"
)

var (
	declaredTest = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	namedTest    = regexp.MustCompile("`(?:([a-z]+)\\.)?(Test\\w+)`")
)

// checkPromises wants every test that a document names as showing something to be there, in the
// package that it names; without one, in the command's.
func checkPromises(files tree, parsed []goFile) (complaints []string) {
	declared := map[string]bool{}
	for _, f := range parsed {
		for _, m := range declaredTest.FindAllSubmatch(f.src, -1) {
			declared[path.Base(f.pkg())+"."+string(m[1])] = true
		}
	}
	for doc, text := range files {
		if path.Ext(doc) != ".md" {
			continue
		}
		for _, m := range namedTest.FindAllSubmatch(text, -1) {
			pkg := string(m[1])
			if pkg == "" {
				pkg = "mediafs"
			}
			if name := pkg + "." + string(m[2]); !declared[name] {
				complaints = append(complaints, fmt.Sprintf("%s: there is no %s that would show it", doc, name))
			}
		}
	}
	return complaints
}
