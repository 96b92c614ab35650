package view

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"mediafs/remote/bucket/record"
)

// maxExtension is how long, in bytes, what follows the last dot may be to stay where it is when a
// name is cut.
const maxExtension = 32

// minDigits is how many digits a number in a suffix has at least. Numbers of nodes and of trash
// entries have the client's number above bit 40, so they have eleven, and names as people and
// programs make them, such as "picture (1).jpg", are no suffixed ones.
const minDigits = record.ClientShift/4 + 1

// split parts a name before its extension.
func split(name string) (stem, ext string) {
	ext = path.Ext(name)
	if len(ext) > maxExtension || len(ext) == len(name) {
		ext = ""
	}
	return name[:len(name)-len(ext)], ext
}

// suffixed is the spelling of a name that only one node has: its number stands before the
// extension, and the name is cut to what a name may be, between characters.
func suffixed(name string, id uint64) string {
	return suffixedTo(name, id, record.MaxName)
}

// suffixedTo is suffixed for a name that has at most so many bytes.
func suffixedTo(name string, id uint64, limit int) string {
	stem, ext := split(name)
	return cutTo(stem, " ("+strconv.FormatUint(id, 16)+")"+ext, limit)
}

// cut gives stem with tail behind it, cut to fit a name.
func cut(stem, tail string) string { return cutTo(stem, tail, record.MaxName) }

func cutTo(stem, tail string, limit int) string {
	if room := limit - len(tail); len(stem) > room {
		stem = stem[:room]
		for len(stem) > 0 && !utf8.RuneStart(stem[len(stem)-1]) {
			stem = stem[:len(stem)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(stem); r == utf8.RuneError && n == 1 {
			stem = stem[:len(stem)-1]
		}
	}
	return stem + tail
}

// suffix reads the number out of a suffixed name. Whether the rest is right is for the caller to
// see: suffixed must give it again.
func suffix(name string) (id uint64, ok bool) {
	stem, _ := split(name)
	i := strings.LastIndex(stem, " (")
	if i < 0 || !strings.HasSuffix(stem, ")") {
		return 0, false
	}
	digits := stem[i+2 : len(stem)-1]
	if len(digits) < minDigits {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 16, 64)
	return id, err == nil && strconv.FormatUint(id, 16) == digits
}

// entryName tells whether text can be a name in a folder.
func entryName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= record.MaxName && !strings.ContainsAny(s, "/\x00")
}
