package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mountTimeout is how long a daemon may take until its mount is there, and how long it may take
	// to end: generous, it ends a hang.
	mountTimeout = 5 * time.Minute
	// sampleEvery is how often a daemon's memory is looked at. The kernel keeps a peak of the whole
	// (VmHWM), and none of the anonymous part, which leaves mapped files out.
	sampleEvery = 20 * time.Millisecond
)

// memory is what a daemon held at most, in KiB.
type memory struct {
	anon int64 // RssAnon, as sampled
	peak int64 // VmHWM
}

func (m memory) most(o memory) memory { return memory{max(m.anon, o.anon), max(m.peak, o.peak)} }

// A machine is a home of its own with one mount in it.
type machine struct {
	home    string
	program string
	env     []string
	daemon  *exec.Cmd
	log     bytes.Buffer
	ended   chan struct{} // closed when the daemon has
	stop    chan struct{} // closed to end the sampling
	sampled chan memory
}

// mount mounts a store on a machine that has nothing of it.
func (b *bench) mount(ctx context.Context, name, store string) (*machine, error) {
	m := &machine{
		home:    filepath.Join(b.dir, name),
		program: b.program,
		ended:   make(chan struct{}),
		stop:    make(chan struct{}),
		sampled: make(chan memory, 1),
	}
	if err := os.MkdirAll(m.path("mnt"), 0o700); err != nil {
		return nil, err
	}
	m.env = append(
		os.Environ(), "HOME="+m.home, "XDG_STATE_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "XDG_CONFIG_HOME=",
	)
	args := append([]string{"mount", "--foreground", store, m.path("mnt")}, b.flags...)
	m.daemon = exec.CommandContext(ctx, m.program, args...)
	m.daemon.Cancel = func() error { return m.daemon.Process.Signal(syscall.SIGTERM) }
	m.daemon.Env, m.daemon.Stderr = m.env, &m.log
	if err := m.daemon.Start(); err != nil {
		return nil, err
	}
	go func() {
		m.daemon.Wait() //nolint:errcheck // its state is looked at
		close(m.ended)
	}()
	go m.sample()
	for deadline := time.Now().Add(mountTimeout); ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-m.ended:
			return nil, errors.Join(fmt.Errorf("mount: %s", strings.TrimSpace(m.log.String())), m.remove())
		default:
		}
		if m.mounted() {
			return m, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("mount: it takes too long"), m.remove())
		}
	}
}

// path is a name on this machine; an absolute one stays.
func (m *machine) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(m.home, name)
}

// mounted tells whether the mount point is another file system than its folder.
func (m *machine) mounted() bool {
	var in, above unix.Stat_t
	return unix.Stat(m.path("mnt"), &in) == nil && unix.Stat(m.home, &above) == nil && in.Dev != above.Dev
}

// sample looks at the daemon's memory until told to stop.
func (m *machine) sample() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var used memory
	for {
		used = used.most(memoryOf(m.daemon.Process.Pid))
		select {
		case <-tick.C:
		case <-m.stop:
			m.sampled <- used
			return
		}
	}
}

// memoryOf reads what a process holds; nothing when it is gone.
func memoryOf(pid int) (used memory) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "RssAnon":
			fmt.Sscan(value, &used.anon) //nolint:errcheck // 0 says that it is not known
		case "VmHWM":
			fmt.Sscan(value, &used.peak) //nolint:errcheck // the same
		}
	}
	return used
}

// umount ends the daemon, tells what it held, and removes the machine.
func (m *machine) umount() (memory, error) {
	cmd := exec.Command(m.program, "umount", m.path("mnt"))
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("umount: %w: %s\n%s", err, strings.TrimSpace(string(out)), m.log.String())
	}
	err = errors.Join(err, m.remove())
	return <-m.sampled, err
}

// remove takes away what is left of the machine, whatever state it is in.
func (m *machine) remove() error {
	if m.mounted() {
		unix.Unmount(m.path("mnt"), unix.MNT_DETACH) //nolint:errcheck // removing the home says it
	}
	m.daemon.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-m.ended:
	case <-time.After(mountTimeout):
		m.daemon.Process.Kill() //nolint:errcheck // the same
		<-m.ended
	}
	close(m.stop)
	return os.RemoveAll(m.home)
}
