package actionkeys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Files digests sources on disk. It remembers files by what changes with them (size,
// times, inode), so that asking again costs a stat.
type Files struct {
	// Root is the workspace's directory, OutputBase Bazel's.
	Root, OutputBase string
	// Status says that the values of the workspace status are on disk, as after a
	// build; without it they count as unchanged.
	Status bool
	// Same, if not nil, says of which sources any content is as good as another.
	Same func(path string) bool

	known map[string]known
}

type known struct {
	stamp  stamp
	digest string
}

type stamp struct {
	size, modified, changed int64
	inode                   uint64
}

// Paths of what Bazel writes for --workspace_status_command; no action of the graph
// makes them.
const (
	stableStatus   = "stable-status.txt"
	volatileStatus = "volatile-status.txt"
)

// Content implements Content for paths in the execution root. A directory's digest is
// over all files below it; symbolic links are followed.
func (f *Files) Content(path string) (string, error) {
	if f.Same != nil && f.Same(path) {
		return "same", nil
	}
	switch filepath.Base(path) {
	case volatileStatus:
		return volatileStatus, nil // by definition no reason to run anything again
	case stableStatus:
		if !f.Status {
			return stableStatus, nil
		}
		return f.digest(filepath.Join(f.OutputBase, "execroot", "_main", path))
	}
	if strings.HasPrefix(path, "external/") {
		return f.digest(filepath.Join(f.OutputBase, path))
	}
	if strings.HasPrefix(path, "bazel-out/") {
		return "", fmt.Errorf("%s is made by no action of the graph", path)
	}
	return f.digest(filepath.Join(f.Root, path))
}

func (f *Files) digest(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		// A target may name what is not there as long as nobody builds it.
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return f.digestDirectory(path)
	}
	var now stamp
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		now = stamp{info.Size(), info.ModTime().UnixNano(), system.Ctim.Nano(), system.Ino}
		if before, ok := f.known[path]; ok && before.stamp == now {
			return before.digest, nil
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	digest := hex.EncodeToString(hash.Sum(nil))
	if f.known == nil {
		f.known = map[string]known{}
	}
	f.known[path] = known{now, digest}
	return digest, nil
}

func (f *Files) digestDirectory(dir string) (string, error) {
	hash := sha256.New()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		digest, err := f.digest(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%q %s\n", entry.Name(), digest)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
