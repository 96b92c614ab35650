package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/fs/daemon"
	"mediafs/remote"
)

// closeTimeout is how long umount waits for the daemon's end once everything is uploaded: longer
// than the daemon's own limit by default.
const closeTimeout = 90 * time.Second

func (p *program) umountCommand() *cobra.Command {
	timeout := span(drainTimeout)
	var (
		force, lazy, unused bool
		helper              helperFlags
	)
	cmd := &cobra.Command{
		Use:     "umount DIR",
		Aliases: []string{"unmount"},
		Short:   "Finish uploads and unmount",
		Long: "Has the daemon upload what is pending, unmounts DIR and returns when the daemon has ended. The mount of a daemon that died is\n" +
			"taken away; what it had not uploaded goes on with the next mount of the same library on this machine.",
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := helper.check(); err != nil {
				return err
			}
			if err := helper.enter(p.args); err != nil {
				return err
			}
			place, registry, err := p.find(given[0], false)
			if err != nil {
				return err
			}
			if lazy {
				return place.Detach()
			}
			return p.umount(cmd.Context(), place, registry, force, time.Duration(timeout))
		},
	}
	short := ""
	if p.as == asUmount {
		short = "f"
		cmd.Flags().
			BoolVarP(&lazy, "lazy", "l", false, "take the mount out of the tree now; the daemon ends when the last file in it is closed")
		cmd.Flags().BoolVarP(&unused, "read-only", "r", false, "")
		cmd.Flags().MarkHidden("read-only") //nolint:errcheck // the flag is there
		helper.define(cmd, p.as)
	}
	cmd.Flags().
		BoolVarP(&force, "force", short, false, "unmount at once, even when files are open; what is not uploaded stays on this machine")
	cmd.Flags().
		Var(flagValue{&timeout, "TIME"}, "timeout", "without --force, give up and stay mounted when no upload has moved for this long")
	return cmd
}

func (p *program) umount(
	ctx context.Context, place daemon.Place, registry daemon.Registry, force bool, timeout time.Duration,
) error {
	client, err := place.Client()
	if err != nil {
		return p.umountWithout(place, registry, force)
	}
	if !force && place.Mounted { // else it uploads already, and ends
		if err := p.drain(ctx, client, timeout); errors.Is(err, remote.NotExist) {
			return p.umountWithout(place, registry, force)
		} else if err != nil {
			return exitWith(
				err,
				fmt.Errorf(
					"%w; still mounted (--force unmounts and keeps the rest in %s)", err, place.Mount.CatalogDir,
				),
			)
		}
	}
	asking, cancel := context.WithTimeout(ctx, min(timeout, answerTimeout))
	_, err = client.Status(asking)
	cancel()
	var left control.Pending
	if err == nil {
		ctx, cancel = context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		left, err = client.Stop(ctx, force, nil)
	}
	if err != nil && force && !errors.Is(err, remote.NotExist) {
		// A daemon that does not answer gets to keep neither the mount nor who waits there.
		if cutErr := place.Cut(); cutErr != nil {
			return errors.Join(err, cutErr)
		}
		p.errorf("mediafs: %s; unmounted without it, process %d still runs\n", printable(err.Error()), place.Mount.PID)
		return nil
	}
	switch {
	case errors.Is(err, remote.NotExist):
		return p.umountWithout(place, registry, force)
	case errors.Is(err, remote.Unavailable) && !p.stillMounted(place, registry):
		return &exitError{
			exitPending, fmt.Errorf("unmounted, but process %d still uploads: %s", place.Mount.PID, pendingText(left)),
		}
	case err != nil:
		return err
	case left.None():
		return nil
	}
	// With force that was asked for. Without, somebody wrote between the last upload and the
	// unmount.
	kept := fmt.Errorf(
		"unmounted, but not in the store yet: %s; kept in %s, goes on with the next mount", pendingText(left),
		place.Mount.CatalogDir,
	)
	if !force {
		return &exitError{exitPending, kept}
	}
	p.complain(kept)
	return nil
}

func (p *program) stillMounted(place daemon.Place, registry daemon.Registry) bool {
	now, err := registry.Locate(place.Dir)
	return err != nil || now.Mounted
}

// umountWithout unmounts where no daemon of this user answers: it died, or it is not this user's.
func (p *program) umountWithout(place daemon.Place, registry daemon.Registry, force bool) error {
	dead, err := place.Dead(answerTimeout)
	switch {
	case err != nil && !force:
		return err
	case dead:
		if err := place.Detach(); err != nil {
			return err
		}
		if place.Known {
			p.errorf(
				"mediafs: the daemon of %s had died; what it had not uploaded is kept in %s, goes on with the next mount\n",
				printable(place.Dir), printable(place.Mount.CatalogDir),
			)
			return registry.Forget(place.Mount)
		}
		p.errorf("mediafs: the daemon of %s had died; its mount is gone\n", printable(place.Dir))
		return nil
	case force && err != nil: // it does not answer
		return place.Cut()
	case force:
		return place.Detach()
	}
	return place.Unmount()
}

// exitWith gives text the exit code of err.
func exitWith(err, text error) error { return &exitError{exitCode(err), text} }
