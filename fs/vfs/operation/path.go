package operation

import (
	"strings"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
)

// MaxDepth bounds the way from a node to the root: where folders lie in a ring, which no operation
// makes, it ends.
const MaxDepth = 4096

// PathsOf gives the names of a node as paths. None leads through the trash.
func PathsOf(tx *catalog.Tx, id vfs.ID) (paths []string) {
	if id == vfs.Root {
		return []string{"/"}
	}
	for nm := range tx.Names(id) {
		if p, ok := folderPath(tx, nm.Folder); ok {
			paths = append(paths, JoinPath(p, nm.Name))
		}
	}
	return paths
}

func folderPath(tx *catalog.Tx, id vfs.ID) (string, bool) {
	var parts []string
	for range MaxDepth {
		if id == vfs.Root {
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
			return "/" + strings.Join(parts, "/"), true
		}
		parent := vfs.ID(0)
		for nm := range tx.Names(id) {
			parent = nm.Folder
			parts = append(parts, nm.Name)
			break
		}
		if parent == 0 {
			return "", false
		}
		id = parent
	}
	return "", false
}

// JoinPath returns the path of a name in folder.
func JoinPath(folder, name string) string {
	if folder == "/" {
		return "/" + name
	}
	return folder + "/" + name
}
