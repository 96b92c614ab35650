package main

import (
	"time"

	"github.com/spf13/cobra"
)

// drainTimeout is how long flush and umount bear that nothing moves: longer than a store's bad
// minute.
const drainTimeout = 2 * time.Minute

func (p *program) flushCommand() *cobra.Command {
	timeout := span(drainTimeout)
	cmd := &cobra.Command{
		Use:   "flush DIR",
		Short: "Return when everything written and changed in DIR is in the store",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			place, _, err := p.find(given[0], true)
			if err != nil {
				return err
			}
			client, err := place.Client()
			if err != nil {
				return &exitError{exitUnavailable, err}
			}
			return p.drain(cmd.Context(), client, time.Duration(timeout))
		},
	}
	cmd.Flags().Var(flagValue{&timeout, "TIME"}, "timeout", "give up when nothing has moved for this long")
	return cmd
}
