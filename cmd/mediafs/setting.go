package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/remote"
)

func (p *program) settingCommand() *cobra.Command {
	var asJSON, unset bool
	s := &subject{}
	cmd := &cobra.Command{
		Use:     "setting [NAME [VALUE]]",
		Short:   "Show or change the settings of a library, which hold for all machines",
		Example: "  mediafs setting\n  mediafs setting view-folder .views\n  mediafs setting --unset view-folder",
		Args:    args(0, 2),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&unset, "unset", false, "take the setting back")
	f.BoolVar(&asJSON, "json", false, "print JSON, a line each")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		r := control.MediaRequest{}
		switch {
		case unset && len(given) != 1:
			return usage(cmd, "--unset takes the NAME of a setting")
		case len(given) == 2 && given[1] == "":
			return usage(cmd, "a setting is not empty: --unset takes it back")
		case len(given) == 2:
			r.Value = given[1]
		}
		if len(given) > 0 {
			r.Name = control.RawName(given[0])
		}
		s.changes = unset || len(given) == 2
		return p.whole(cmd.Context(), s, nil, func(ctx context.Context, o *opened) error {
			if s.changes {
				return o.ask(ctx, control.VerbSetSetting, r, func(control.MediaAnswer) error { return nil })
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			defer w.Flush()
			shown := 0
			err := o.ask(ctx, control.VerbSettings, control.MediaRequest{}, func(a control.MediaAnswer) error {
				v := a.Setting
				switch {
				case v == nil:
					return remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without a setting"))
				case r.Name != "" && v.Name != string(r.Name):
					return nil
				}
				shown++
				switch {
				case asJSON:
					return p.printLine(v)
				case r.Name != "":
					p.printf("%s\n", printable(v.Value))
				default:
					fmt.Fprintf(w, "%s\t%s\t%s\n", v.Name, printable(v.Value), v.Means)
				}
				return nil
			})
			if err == nil && shown == 0 && r.Name != "" {
				err = &exitError{
					exitUsage,
					fmt.Errorf(
						"%s: there is no such setting (mediafs setting lists them)", strconv.Quote(string(r.Name)),
					),
				}
			}
			return err
		})
	}
	return cmd
}
