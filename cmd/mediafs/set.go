package main

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/fs/media"
)

func (p *program) setCommand() *cobra.Command {
	var (
		fields         []string
		clear          []string
		list, asJSON   bool
		fieldsAreNamed = func() bool { return len(fields) > 0 || len(clear) > 0 }
	)
	s := &subject{instead: "setfattr -n user.media.FIELD -v VALUE FILE"}
	cmd := &cobra.Command{
		Use:   "set PATH FIELD=VALUE…",
		Short: "Set any field of media",
		Long: "Sets fields of what is known of a media. FIELD+=VALUE adds to a list or count, FIELD-=VALUE takes off a list. --fields prints all fields, and what their\n" +
			"values may be. With --field and --clear, what is left are all PATHs.",
		Example: "  mediafs set ~/Photos/beach.jpg title='The beach' taken=2024-05-01 place=38.71,-9.14\n  mediafs set --field privacy=public --clear description ~/Photos/*.jpg\n" +
			"  mediafs set --fields",
		Args: args(0, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&fields, "field", "f", nil, "`FIELD=VALUE` to set, of all PATHs")
	f.StringArrayVar(&clear, "clear", nil, "say nothing of `FIELD` any more: what the bytes say counts again")
	f.BoolVar(&list, "fields", false, "print the table of fields")
	f.BoolVar(&asJSON, "json", false, "with --fields: print it as JSON")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if list {
			return p.fieldTable(asJSON)
		}
		if len(given) == 0 || len(given) == 1 && !fieldsAreNamed() {
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		}
		if !fieldsAreNamed() {
			fields, given = given[1:], given[:1]
		}
		var edits []control.MediaEdit
		for _, text := range fields {
			e, ok := parseAssignment(text)
			if !ok {
				return usage(cmd, "%q is not FIELD=VALUE", text)
			}
			edits = append(edits, e)
		}
		for _, name := range clear {
			edits = append(edits, control.MediaEdit{Field: name, Do: "clear"})
		}
		return p.change(cmd.Context(), s, "setting", given, control.MediaRequest{Edits: edits})
	}
	return cmd
}

// parseAssignment reads FIELD=VALUE, FIELD+=VALUE and FIELD-=VALUE.
func parseAssignment(text string) (control.MediaEdit, bool) {
	name, value, ok := strings.Cut(text, "=")
	e := control.MediaEdit{Do: "set", Value: value}
	if bare, add := strings.CutSuffix(name, "+"); add {
		name, e.Do = bare, "add"
	} else if bare, remove := strings.CutSuffix(name, "-"); remove {
		name, e.Do = bare, "remove"
	}
	e.Field = name
	return e, ok && name != ""
}

// fieldTable prints what is known of a media: every field, what a value is, who may set it, and as
// which attribute it is read.
func (p *program) fieldTable(asJSON bool) error {
	if asJSON {
		type row struct {
			Name       string   `json:"name"`
			Type       string   `json:"type"`
			Unit       string   `json:"unit,omitempty"`
			Writer     string   `json:"writer"`
			Allowed    string   `json:"allowed,omitempty"`
			Attributes []string `json:"attributes"`
		}
		for _, f := range media.Fields() {
			r := row{
				Name:       f.Name,
				Type:       f.Type.String(),
				Unit:       f.Unit,
				Writer:     f.Writer.String(),
				Attributes: f.Attributes,
			}
			if f.Writer != media.Nobody {
				r.Allowed = f.Allowed()
			}
			if err := p.printLine(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "field\tset by\tvalue\tattribute\n")
	for _, f := range media.Fields() {
		value := f.Type.String()
		if f.Unit != "" {
			value += ", " + f.Unit
		}
		if f.Writer != media.Nobody {
			value = f.Allowed()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Name, f.Writer, value, f.Attributes[0])
	}
	return w.Flush()
}
