package terms

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// How much of a text counts.
const (
	MaxWords  = 64  // of a name, title, tag and the like
	LongWords = 256 // of a description or comment
	MaxWord   = 64  // bytes of a word; the rest of a longer one does not count
)

// Fold makes texts that differ in case, accents or compatibility forms the same.
func Fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(s)
	}
	s = norm.NFKD.String(strings.ToValidUTF8(s, "\uFFFD"))
	s = cases.Fold().String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, s))
	return norm.NFC.String(s)
}

// unspaced are the scripts that put no spaces between words.
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// Words gives the folded words of a text in their order, at most limit of them.
func Words(text string, limit int) (words []string) {
	s := Fold(text)
	for len(s) > 0 && len(words) < limit {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case !inWord(r):
			s = s[n:]
		case isUnspaced(r):
			next, m := utf8.DecodeRuneInString(s[n:])
			if isUnspaced(next) {
				words = append(words, s[:n+m])
			} else {
				words = append(words, s[:n])
			}
			s = s[n:]
		default:
			end := strings.IndexFunc(s, func(r rune) bool { return !inWord(r) || isUnspaced(r) })
			if end < 0 {
				end = len(s)
			}
			words = append(words, cut(s[:end]))
			s = s[end:]
		}
	}
	return words
}

// Open tells that a word stands for all words that begin with it, also where whole words are meant:
// a single sign of a script without spaces is the beginning of a pair wherever another follows it.
func Open(word string) bool {
	r, n := utf8.DecodeRuneInString(word)
	return n == len(word) && isUnspaced(r)
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mc, r))
}

func isUnspaced(r rune) bool {
	return r >= 0x0E00 && unicode.IsLetter(r) && unicode.In(r, unspaced...)
}

// cut shortens a word to MaxWord bytes, between two runes.
func cut(word string) string {
	if len(word) <= MaxWord {
		return word
	}
	end := MaxWord
	for !utf8.RuneStart(word[end]) {
		end--
	}
	return word[:end]
}
