package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/fs/daemon"
)

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	timeout := span(answerTimeout)
	cmd := &cobra.Command{
		Use:   "status [DIR]",
		Short: "Say how a mount, or every mount of this user, stands",
		Long:  "Says how a mount, or every mount of this user, stands. With --json: an object with DIR, a list without.",
		Args:  args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			statuses, err := p.statuses(cmd.Context(), given, time.Duration(timeout))
			if err != nil {
				return err
			}
			if asJSON {
				return p.statusJSON(statuses, len(given) == 1)
			}
			if len(statuses) == 0 {
				p.printf("nothing is mounted\n")
			}
			for i, s := range statuses {
				if i > 0 {
					p.printf("\n")
				}
				p.statusText(s, time.Now())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().Var(flagValue{&timeout, "TIME"}, "timeout", "how long each daemon has to answer")
	return cmd
}

// statuses asks the daemon of one mount, or every daemon.
func (p *program) statuses(ctx context.Context, given []string, timeout time.Duration) ([]control.Status, error) {
	var found []daemon.Place
	if len(given) == 1 {
		place, _, err := p.find(given[0], true)
		if err != nil {
			return nil, err
		}
		found = append(found, place)
	} else {
		pl, err := p.places()
		if err != nil {
			return nil, err
		}
		all, err := pl.registry().Places()
		if err != nil {
			return nil, err
		}
		for _, place := range all {
			if place.Known { // others are another user's business
				found = append(found, place)
			}
		}
	}
	statuses := []control.Status{}
	for _, place := range found {
		statuses = append(statuses, ask(ctx, place, timeout))
	}
	return statuses, nil
}

// ask gets the status of one mount; of a daemon that is dead, silent or another user's it says what
// is known.
func ask(ctx context.Context, place daemon.Place, timeout time.Duration) control.Status {
	known := control.Status{Mount: place.Dir, Store: place.Source}
	if place.Known {
		known.Store, known.CatalogDir, known.PID, known.Started = place.Mount.Store, place.Mount.CatalogDir, place.Mount.PID, place.Mount.Started
	}
	client, err := place.Client()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var s control.Status
		if s, err = client.Status(ctx); err == nil {
			return s
		}
	}
	if !place.Known || !place.Mount.Alive() {
		known.PID = 0
	}
	known.LastError = &control.LastError{Text: err.Error(), Time: time.Now()}
	return known
}

func (p *program) statusJSON(statuses []control.Status, one bool) error {
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	if one {
		return out.Encode(statuses[0])
	}
	return out.Encode(statuses)
}

// statusText writes one status for people. Everything that came from a store or a name is made
// harmless to the terminal.
func (p *program) statusText(s control.Status, now time.Time) {
	p.printf("%s\n", printable(s.Mount))
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("store", "%s", s.Store)
	if !s.Running {
		switch {
		case s.CatalogDir == "":
			line("state", "mounted by somebody else, or from another home folder")
		case s.PID != 0:
			line("state", "process %d does not answer: umount --force unmounts without it", s.PID)
		default:
			line("state", "not running: umount cleans up, the next mount goes on")
		}
		if s.LastError != nil {
			line("why", "%s", s.LastError.Text)
		}
		return
	}
	line("state", "%s", stateText(s))
	if b := s.Blocked; b != nil {
		line("", "its log cannot be read on after commit %d: %s", b.Commit, b.Why)
		line("", "%s", b.Advice)
	}
	line("library", "%s", s.Library)
	if s.Client > 0 {
		line("client", "%d", s.Client)
	}
	line("used", "%s", bytesText(s.Used))
	line("pending", "%s", pendingText(s.Pending))
	cache := fmt.Sprintf("%s of %s", bytesText(s.Cache.Bytes), bytesText(s.Cache.Limit))
	if rate, ok := s.Cache.HitRate(); ok {
		cache += fmt.Sprintf(", %.1f %% hits", 100*rate)
	}
	line("cache", "%s", cache)
	line("log", "commit %d of %d, store answered %.1f s ago", s.Log.Applied, s.Log.Newest, s.Log.LagSeconds)
	if text := mediaText(s.Media); text != "" {
		line("media", "%s", text)
	}
	line("daemon", "process %d, %s, since %s", s.PID, s.Version, s.Started.Local().Format(time.DateTime))
	line("kept in", "%s (cache %s)", s.CatalogDir, s.CacheDir)
	if s.Dropped+s.Kept > 0 {
		line("late", "%s not made and %d made otherwise, for what other machines had changed meanwhile",
			count(s.Dropped, "change", "changes"), s.Kept)
	}
	for _, text := range s.Conflicts {
		line("", "%s", text)
	}
	if s.ObjectLock != "" {
		line("locked", "%s", s.ObjectLock)
	}
	for i, t := range s.Troubles {
		name := ""
		if i == 0 {
			name = "failing"
		}
		if i == maxFailing {
			line(name, "and %d more", len(s.Troubles)-i)
			break
		}
		path := t.Path
		if path == "" {
			path = fmt.Sprintf("a file without a name (%d)", t.Node)
		}
		line(name, "%s of %s, %s: %s", t.What, path, ago(now, t.Time), t.Error)
	}
	if e := s.LastError; e != nil {
		when := ""
		if !e.Time.IsZero() {
			when = ago(now, e.Time) + ": "
		}
		line("last error", "%s%s", when, e.Text)
	}
}

// maxFailing is how many media that could not be read or sent are named.
const maxFailing = 20

func stateText(s control.Status) string {
	text := "mounted"
	switch {
	case s.Blocked != nil:
		text += ", read-only for now"
	case s.ReadOnly:
		text += " read-only"
	}
	if s.Offline {
		text += ", offline: the store is not reached"
	}
	return text
}

// mediaText says what is not known of the media yet; empty: nothing is missing.
func mediaText(m control.MediaState) string {
	var missing []string
	if m.FactsPending {
		missing = append(missing, "what the bytes of some say is being read")
	}
	if m.ToIndex > 0 {
		missing = append(
			missing,
			fmt.Sprintf(
				"the index is being made (%d of about %d records): searches miss media", min(m.Indexed, m.ToIndex),
				m.ToIndex,
			),
		)
	}
	return strings.Join(missing, "; ")
}
