package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// truths remembers what was found out for a change. That takes Bazel seconds, or
// minutes in this repository, and follows from the files before and after, and from
// what is run as Bazel: after an edit of affected alone, nothing has to be found out
// again, and a run that was broken off goes on where it was.
type truths struct {
	path, fingerprint string
	known             map[string]finding
}

// finding is the truth for one change.
type finding struct {
	// Tests are all tests that have a verdict after the change.
	Tests []string `json:"tests"`
	// Truth has the tests that affected must select, with the reason.
	Truth map[string]string `json:"truth"`
	// CutOff are tests whose keys are others in the action graph only.
	CutOff []string `json:"cut_off,omitempty"`
}

// truthsVersion is part of each finding's name. It changes with what this program
// takes for truth.
const truthsVersion = "1"

// openTruths reads what is remembered in dir. Nothing is, if the file is not what
// this program wrote; that is the second result.
func openTruths(dir, fingerprint string) (*truths, string, error) {
	t := &truths{path: filepath.Join(dir, "truths.json"), fingerprint: fingerprint, known: map[string]finding{}}
	text, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(text, &t.known); err != nil {
		t.known = map[string]finding{}
		return t, fmt.Sprintf("%s can't be read (%v): all is found out again", t.path, err), nil
	}
	return t, "", nil
}

// name is a finding's.
func (t *truths) name(base, head gittree.Tree) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %q\n", truthsVersion, t.fingerprint)
	for _, tree := range []gittree.Tree{base, head} {
		fmt.Fprintln(hash, len(tree))
		for _, path := range sorted(tree) {
			fmt.Fprintf(hash, "%q %s %q\n", path, tree[path].Mode, tree[path].Content)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// remember keeps a finding, on disk too.
func (t *truths) remember(name string, f finding) error {
	t.known[name] = f
	text, err := json.MarshalIndent(t.known, "", " ")
	if err != nil {
		return err
	}
	temporary := t.path + ".new"
	if err := os.WriteFile(temporary, text, 0o666); err != nil {
		return err
	}
	return os.Rename(temporary, t.path)
}

// fingerprintOf is over what is run as Bazel: its version, and the files of stormgate's
// that choose and make it.
func fingerprintOf(version, repository string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, strings.TrimSpace(version))
	for _, part := range []string{"tools/bazel", "tools/offline"} {
		err := filepath.WalkDir(filepath.Join(repository, part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(repository, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(hash, "%q %x\n", relative, sha256.Sum256(content))
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
