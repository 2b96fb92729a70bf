package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Image describes what containers of one reference run. Nothing is pulled and
// there are no layers: an Image names the files of the host that appear,
// read-only, inside each container, and how its program is started. The zero
// value of every field but Reference is usable. The JSON form is what --images
// and the control interface take.
type Image struct {
	// Reference is the name pods use, such as "stormgate/gateway:dev". It is
	// compared in its normal form, see NormalizeReference. Required.
	Reference string `json:"reference"`
	// Entrypoint is the program and its first arguments, used when the
	// container gives no command of its own. A container of an image without
	// an entrypoint must give one.
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Env holds environment variables; those of the container win.
	Env map[string]string `json:"env,omitempty"`
	// WorkingDir is an absolute container path; "/" when empty. It is created
	// when missing.
	WorkingDir string `json:"workingDir,omitempty"`
	// User is a numeric "uid" or "uid:gid"; root when empty. Names are not
	// accepted because no user database of an image is read.
	User string `json:"user,omitempty"`
	// StopSignal asks the program to end, such as "SIGQUIT"; SIGTERM when
	// empty. A container's own stop signal wins.
	StopSignal string `json:"stopSignal,omitempty"`
	// Files maps absolute container paths to absolute host paths. A host path
	// may be a file or a directory (symbolic links are followed) and is
	// mounted read-only.
	Files map[string]string `json:"files,omitempty"`
}

// maxID is the largest user or group id that Linux can represent; the one
// after it means "no id" to the system calls.
const maxID = 1<<32 - 2

// Validate reports the first thing that makes the image unusable, whatever
// the state of the host's files.
func (i Image) Validate() error {
	if err := validateReference(i.Reference); err != nil {
		return err
	}
	if _, _, err := i.UserIDs(); err != nil {
		return err
	}
	if i.StopSignal != "" && unix.SignalNum(i.StopSignal) == 0 {
		return fmt.Errorf("image %q: unknown stop signal %q; they are written like SIGTERM", i.Reference, i.StopSignal)
	}
	if i.WorkingDir != "" && !path.IsAbs(i.WorkingDir) {
		return fmt.Errorf("image %q: working directory %q is not an absolute path", i.Reference, i.WorkingDir)
	}
	for name := range i.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("image %q: %q is no name for an environment variable", i.Reference, name)
		}
	}
	for _, target := range i.Targets() {
		switch {
		case !path.IsAbs(target) || path.Clean(target) != target:
			return fmt.Errorf("image %q: container path %q is not a clean absolute path", i.Reference, target)
		case target == "/":
			return fmt.Errorf("image %q: container path \"/\" cannot be replaced as a whole; map its directories", i.Reference)
		case !filepath.IsAbs(i.Files[target]):
			return fmt.Errorf("image %q: host path %q of %s is not absolute", i.Reference, i.Files[target], target)
		}
	}
	return nil
}

// Targets returns the container paths of Files in the order in which they have
// to be mounted: a directory before what lies in it.
func (i Image) Targets() []string {
	return slices.Sorted(maps.Keys(i.Files))
}

// CheckFiles reports the files that the host lacks, naming the image, all of
// the missing paths and the container paths they stand for.
func (i Image) CheckFiles() error {
	var missing []error
	for _, target := range i.Targets() {
		if _, err := os.Stat(i.Files[target]); err != nil {
			missing = append(missing, fmt.Errorf("image %q: file for %s: %w", i.Reference, target, err))
		}
	}
	return errors.Join(missing...)
}

// UserIDs parses User. The group is 0 when User names none.
func (i Image) UserIDs() (uid, gid int64, err error) {
	if i.User == "" {
		return 0, 0, nil
	}
	user, group, hasGroup := strings.Cut(i.User, ":")
	if uid, err = parseID(user); err == nil && hasGroup {
		gid, err = parseID(group)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("image %q: user %q is not of the form \"uid\" or \"uid:gid\" with numbers up to %d", i.Reference, i.User, int64(maxID))
	}
	return uid, gid, nil
}

func parseID(s string) (int64, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err == nil && id > maxID {
		err = strconv.ErrRange
	}
	return int64(id), err
}

// ID is "sha256:" and the hash of all that the image says, its reference in the
// normal form: what tells two images of one reference apart, and the imageID in a
// pod's status. Files enter by their host paths, not by their content: whoever
// replaces a file under its path gets no new ID.
func (i Image) ID() string {
	i.Reference = NormalizeReference(i.Reference)
	encoded, err := json.Marshal(i)
	if err != nil {
		panic(err) // strings, lists and maps of strings have no form that fails
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(encoded))
}

// Clone returns an image that shares no memory with i.
func (i Image) Clone() Image {
	i.Entrypoint = slices.Clone(i.Entrypoint)
	i.Env = maps.Clone(i.Env)
	i.Files = maps.Clone(i.Files)
	return i
}
