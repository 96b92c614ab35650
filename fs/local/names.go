package local

import (
	"errors"
	"fmt"
	"strings"

	"mediafs/remote"
)

// DefaultNames are the names that macOS and Windows drop into every folder that a person looks at.
func DefaultNames() []string { return []string{"._*", ".DS_Store", "Thumbs.db", "desktop.ini"} }

// maxName is the longest name of a file, in bytes: the kernel's, the format's and that of the usual
// local disks.
const maxName = 255

// A pattern is one name of the list, or the beginning of many.
type pattern struct {
	text   string
	prefix bool // a star followed
	fold   bool // A and a are the same; text is in lower case
}

// patterns are a list that is asked for every name that the kernel sends.
type patterns struct {
	list  []pattern
	first [256]bool // with what a name may begin: most are told apart by that
}

// CheckNames tells what is wrong with a list, as New would: Invalid, or nil.
func CheckNames(names []string) error {
	_, err := parseNames(names)
	return err
}

// parseNames reads a list. A star may stand at the end. Systems whose names begin with a dot tell
// case apart, those that drop others do not: so a name that begins with a dot is compared as it is,
// any other without regard to the case of ASCII letters.
func parseNames(names []string) (p patterns, err error) {
	for _, name := range names {
		text, prefix := strings.CutSuffix(name, "*")
		bad := func(why string) error {
			return remote.E("read the list of local names", fmt.Sprintf("%q", name), remote.Invalid, errors.New(why))
		}
		switch {
		case strings.Contains(text, "*"):
			return p, bad("a star may stand at the end only")
		case text == "":
			return p, bad("it would keep every file on this machine")
		case text == "." || text == "..":
			return p, bad("it has no letter of its own")
		case strings.ContainsAny(text, "/\x00"):
			return p, bad("no name of a file has this")
		case len(text) > maxName:
			return p, bad(fmt.Sprintf("longer than %d bytes", maxName))
		}
		fold := text[0] != '.'
		if fold {
			text = strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					r += 'a' - 'A'
				}
				return r
			}, text)
		}
		p.list = append(p.list, pattern{text, prefix, fold})
		p.first[text[0]] = true
		if fold && 'a' <= text[0] && text[0] <= 'z' {
			p.first[text[0]-('a'-'A')] = true
		}
	}
	return p, nil
}

// match tells whether a file of this name is a dropping. It costs one look into a table for a name
// that begins like none of the list.
func (p *patterns) match(name string) bool {
	if name == "" || !p.first[name[0]] {
		return false
	}
	if len(name) > maxName || strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0 {
		return false // no name at all: the inner library says so
	}
	for i := range p.list {
		if p.list[i].match(name) {
			return true
		}
	}
	return false
}

func (p *pattern) match(name string) bool {
	if len(name) < len(p.text) || len(name) > len(p.text) && !p.prefix {
		return false
	}
	name = name[:len(p.text)]
	if !p.fold {
		return name == p.text
	}
	for i := range len(name) {
		b := name[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != p.text[i] {
			return false
		}
	}
	return true
}
