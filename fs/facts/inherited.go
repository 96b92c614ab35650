package facts

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CloseInherited closes the files, folders and sockets that this process was born with besides the
// first three descriptors. It is what the program of a child calls before ServeWorker: the parent
// may have had something open at the moment of the fork that is not closed by itself (go-fuse opens
// a file in each new mount so), and as long as the child has it, a mount cannot be taken away. What
// the Go runtime has opened for itself stays.
func CloseInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // no /proc: nothing is known, and nothing is closed
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "pipe:") {
			continue
		}
		_ = unix.Close(fd)
	}
}
