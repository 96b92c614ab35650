package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// desktopUser is nobody: an ordinary user whom every Linux has. A session bus serves only users of
// whom the system knows the name.
const desktopUser = 65534

// notMountedOnByDesktops is what a mount point must not lie below for desktops to have a trash
// there: GLib takes such a mount for one of the system's own.
const notMountedOnByDesktops = "/dev/"

// trashTools are functions of the shell around the desktop's trash. What is deleted shows there
// when its daemon has heard of it.
const trashTools = `
	uri() { gio trash --list | while IFS=$'\t' read -r uri path; do if [ "$path" = "$1" ]; then printf '%s\n' "$uri"; fi; done; }
	appears() { local i; for i in $(seq 300); do if [ -n "$(uri "$1")" ]; then return; fi; sleep 0.1; done; echo "$1 never came into the trash"; gio trash --list; exit 1; }
	goes() { local i; for i in $(seq 300); do if [ -z "$(uri "$1")" ]; then return; fi; sleep 0.1; done; echo "$1 stayed in the trash"; gio trash --list; exit 1; }
`

// session runs a script in a desktop session of its own, without a screen, as another user when uid
// is not this one. $1 is the mount.
func (m *machine) session(uid int, script string) string {
	m.t.Helper()
	home := filepath.Join(m.home, "user"+strconv.Itoa(uid))
	if err := os.MkdirAll(home, 0o700); err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	args := []string{"dbus-run-session", "--", "bash", "-euo", "pipefail", "-c", trashTools + script, "bash", m.mnt}
	if uid != os.Getuid() {
		if err := os.Chown(home, uid, uid); err != nil {
			m.t.Fatal(err)
		}
		args = append(
			[]string{"setpriv", "--reuid=" + strconv.Itoa(uid), "--regid=" + strconv.Itoa(uid), "--clear-groups", "--"},
			args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second // nobody stays in the mount
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "GVFS_DISABLE_FUSE=1",
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("as user %d: %s: %v\n%s\n%s", uid, script, err, out, errs.String())
	}
	return string(out)
}

// The trash of the desktop, with its own programs and its own daemon: what gio deletes shows in
// trash:/// and in .media/trash, comes back to where it was as the media it was, and is deleted for
// good; each user has a trash of their own. Emptying all of it at once is not tried: that would
// empty the trash of every disk of this machine.
func TestDesktopTrash(t *testing.T) {
	needs(t, "gio", "dbus-run-session", "setfattr")
	if _, err := os.Stat("/usr/share/gvfs/mounts/trash.mount"); err != nil {
		t.Skip("no gvfs here: trash:/// needs it (scripts/deps installs it)")
	}
	if strings.HasPrefix(os.TempDir()+"/", notMountedOnByDesktops) {
		t.Setenv("TMPDIR", "/var/tmp")
	}
	m := newMachine(t)
	users := []int{os.Getuid()}
	flags := []string{}
	if os.Geteuid() == 0 {
		needs(t, "setpriv")
		users, flags = append(users, desktopUser), append(flags, "--allow-other")
		for dir := m.home; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o711); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, store := m.localStore()
	m.mount(store, flags...)
	for _, uid := range users {
		m.sh(
			`mkdir -p "$1/sub" && cp "$2/photo.jpg" "$1/100% sheep.jpg" && cp "$2/plain.jpg" "$1/plain.jpg" && cp "$2/drawing.png" "$1/sub/" && chown -R "$1:$1" "$1"
			setfattr -n user.xdg.tags -v sheep,summer "$1/100% sheep.jpg"`,
			strconv.Itoa(uid),
			filepath.Join(repository(t), "testdata/media"),
		)
	}
	for _, uid := range users {
		dir := strconv.Itoa(uid)
		sheep := filepath.Join(dir, "100% sheep.jpg")
		id := m.attribute(sheep, "user.media.id")
		if out := m.session(uid, `gio info -a 'xattr::xdg.tags' "$1/`+sheep+`"`); !strings.Contains(
			out, "xattr::xdg.tags: sheep,summer",
		) {
			t.Errorf("gio info: %s", out)
		}
		out := m.session(uid, `cd "$1/`+dir+`" && D=$PWD && cd /
			gio trash "$D/100% sheep.jpg" "$D/plain.jpg" "$D/sub"
			for n in "100% sheep.jpg" plain.jpg sub; do appears "$D/$n"; test ! -e "$D/$n"; done
			gio trash --list | wc -l
			ls -A "$1/.media/trash" | sort | tr '\n' '|'
			gio list "$(uri "$D/sub")"
			gio cat "$(uri "$D/plain.jpg")" | cksum
			gio trash --restore "$(uri "$D/100% sheep.jpg")"; goes "$D/100% sheep.jpg"
			gio trash --restore "$(uri "$D/sub")"; goes "$D/sub"
			gio remove "$(uri "$D/plain.jpg")"; goes "$D/plain.jpg"
			for d in "$D" "$D/sub" "$1/.media/trash"; do ls -A "$d" | tr '\n' '|'; echo; done`)
		picture, err := run(
			t, "bash", "-c", `cksum <"$1"`, "bash", filepath.Join(repository(t), "testdata/media/plain.jpg"),
		)
		if err != nil {
			t.Fatal(err)
		}
		// Nothing of another user's is among it.
		want := "3\n100% sheep.jpg|plain.jpg|sub|drawing.png\n" + picture + "100% sheep.jpg|sub|\ndrawing.png|\n\n"
		if out != want {
			t.Errorf("user %d: %q, want %q", uid, out, want)
		}
		if now := m.attribute(sheep, "user.media.id"); now != id ||
			m.attribute(sheep, "user.xdg.tags") != "sheep,summer" {
			t.Errorf(
				"user %d: the restored picture is media %s, before %s; tags %q", uid, now, id,
				m.attribute(sheep, "user.xdg.tags"),
			)
		}
		// it stays there for the next user not to see
		m.session(uid, `gio trash "$1/`+dir+`/sub"; appears "$1/`+dir+`/sub"`)
	}
	if got := m.names(".media/trash"); len(got) != len(users) {
		t.Errorf("the whole trash: %q, want one folder of each of %d users", got, len(users))
	}
	m.umountAfter()
}
