package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mediafs/fs/control"

	"golang.org/x/sys/unix"
)

func (p *program) printf(format string, args ...any) { fmt.Fprintf(p.stdout, format, args...) }
func (p *program) errorf(format string, args ...any) { fmt.Fprintf(p.stderr, format, args...) }

// printable makes text safe for a terminal: a name or an error of a store may hold escape
// sequences. Control characters, what is not UTF-8, and characters that turn the direction of
// writing become escapes; the rest stays.
func printable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == ' ', unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n), 0
	for value >= 1023.95 && unit < 5 { // what would be rounded to 1024.0 is the next unit
		value /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, " KMGTP"[unit])
}

// count writes a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// pendingText says what is not in the store yet.
func pendingText(p control.Pending) string {
	if p.None() {
		return "nothing"
	}
	text := fmt.Sprintf("%s (%s)", count(p.Files, "file", "files"), bytesText(p.Bytes))
	if p.Operations > 0 {
		text += ", " + count(p.Operations, "change", "changes")
	}
	return text
}

// ago writes how long t is past.
func ago(now, t time.Time) string {
	return now.Sub(t).Round(time.Second).String() + " ago"
}

// isTerminal tells whether a stream of this program is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
