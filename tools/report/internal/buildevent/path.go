package buildevent

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Path returns the file of this machine that a URI of a File names. The error says what
// to do if the file is in a remote cache.
func Path(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("find %q: %w", uri, err)
	}
	switch u.Scheme {
	case "file":
		path := filepath.FromSlash(u.Path)
		if !filepath.IsAbs(path) || strings.Contains(path, "\x00") {
			return "", fmt.Errorf("find %q: it names no file", uri)
		}
		return path, nil
	case "bytestream":
		return "", fmt.Errorf("find %q: it is in a remote cache: run Bazel with --remote_download_outputs=all", uri)
	}
	return "", fmt.Errorf("find %q: it can be file:// only", uri)
}

// TestLog returns what follows "testlogs/" in a URI, such as
// "e2e/storm_test/shard_1_of_2/test.xml": where a file lies in a copy of bazel-testlogs.
func TestLog(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", false
	}
	_, inside, found := strings.Cut(u.Path, "/testlogs/")
	if !found || !filepath.IsLocal(inside) {
		return "", false
	}
	return inside, true
}
