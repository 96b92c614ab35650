package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/fs/query"
	"mediafs/remote"
)

func (p *program) findCommand() *cobra.Command {
	var (
		in                                   string
		limit                                int
		long, zero, count, asJSON, queryHelp bool
	)
	s := &subject{instead: "ls '%s/.media/search/QUERY'"}
	cmd := &cobra.Command{
		Use:   "find QUERY…",
		Short: "Find media by what they are and what was said of them",
		Long: "Prints the paths of the media that match, as they are found. The words of QUERY are put together with spaces; --help-query tells the\n" +
			"language. Hidden media are found only when QUERY asks for them, media in the trash never.\n\n" +
			"Without --in and --library, the library is that of the mount which the working folder lies in, or this user's only mount.",
		Example: "  mediafs find holiday 'taken:2024-05'\n  mediafs find --in ~/Photos/2024 'rating:>=8' -0 | xargs -0 cp -t /tmp/best\n  mediafs find --count type:video\n" +
			"  mediafs find --library photos beach",
		Args: args(0, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&in, "in", "", "only media below `FOLDER`")
	f.BoolVarP(&long, "long", "l", false, "with size, time, type, rating, title and tags")
	f.BoolVarP(&zero, "print0", "0", false, "end each path with a zero byte, for xargs -0")
	f.IntVar(&limit, "limit", 0, "stop after `N`")
	f.BoolVar(&count, "count", false, "only print how many there are")
	f.BoolVar(&asJSON, "json", false, "print the record of each media as JSON, a line each")
	f.BoolVar(&queryHelp, "help-query", false, "tell what a query can say")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		switch {
		case queryHelp:
			p.printf("%s", query.Help())
			return nil
		case len(given) == 0:
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		case limit < 0:
			return usage(cmd, "--limit takes a number from 1 on")
		}
		r := control.MediaRequest{Query: strings.Join(given, " "), Limit: limit, Long: long || asJSON, Count: count}
		look := func(ctx context.Context, o *opened) error {
			return p.findings(ctx, o, r, asJSON, zero)
		}
		if in == "" {
			return p.whole(cmd.Context(), s, nil, look)
		}
		return p.aims(cmd.Context(), s, []string{in}, func(ctx context.Context, a aim) error {
			r.Folder = &a.targets[0]
			return look(ctx, a.opened)
		})
	}
	return cmd
}

// findings prints what is found, at once where a person looks on.
func (p *program) findings(ctx context.Context, o *opened, r control.MediaRequest, asJSON, zero bool) error {
	terminal := isTerminal(p.stdout)
	buffered := bufio.NewWriter(p.stdout)
	out := &program{stdout: buffered}
	err := o.ask(ctx, control.VerbFind, r, func(a control.MediaAnswer) (err error) {
		path := o.path(string(a.Path))
		switch {
		case a.Note != "":
			err = buffered.Flush()
			fmt.Fprintf(p.stderr, "mediafs: %s\n", printable(a.Note))
		case r.Count && asJSON:
			err = out.printLine(struct {
				Count int64 `json:"count"`
			}{a.Count})
		case r.Count:
			out.printf("%d\n", a.Count)
		case r.Long && a.Media == nil:
			err = remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without a record"))
		case asJSON:
			found := foundJSON{Media: a.Media}
			if !utf8.ValidString(path) {
				found.Bytes = []byte(path)
			}
			err = out.printLine(found)
		case zero:
			out.printf("%s\x00", path)
		case r.Long:
			out.printf("%s\n", printable(longText(path, a.Media)))
		case terminal:
			out.printf("%s\n", printable(path))
		default:
			out.printf("%s\n", path)
		}
		if err == nil && terminal {
			err = buffered.Flush()
		}
		return err
	})
	return errors.Join(err, buffered.Flush())
}

// foundJSON is a record of what was found, with its path as bytes when that is not UTF-8.
type foundJSON struct {
	*remote.Media
	Bytes []byte `json:"path_bytes,omitempty"`
}

// longText is one line about a media.
func longText(path string, m *remote.Media) string {
	at := m.Taken
	if at.IsZero() {
		at = m.Modified.Local()
	}
	text := fmt.Sprintf(
		"%10s  %s  %-16s  %2s  %s", bytesText(m.Size), at.Format("2006-01-02 15:04"), cmp.Or(m.Type, "-"),
		strings.TrimPrefix(fmt.Sprint(m.Rating), "0"), path,
	)
	if m.Title != "" {
		text += "  " + strconv.Quote(m.Title)
	}
	for _, tag := range m.Tags {
		text += "  #" + tag
	}
	return text
}
