package api

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Prefixes that a reference has when its writer leaves nothing to default.
var defaultPrefixes = []string{"index.docker.io/", "docker.io/"}

// NormalizeReference returns the form in which references are compared: without the
// default registry and its library folder, with the tag "latest" when neither
// a tag nor a digest is given. It does not fail: text that is no
// reference matches nothing.
func NormalizeReference(reference string) string {
	for _, prefix := range defaultPrefixes {
		if rest, found := strings.CutPrefix(reference, prefix); found {
			reference = strings.TrimPrefix(rest, "library/")
			break
		}
	}
	// Without a registry "library/redis" means the same as "redis".
	if rest, found := strings.CutPrefix(reference, "library/"); found && !strings.Contains(rest, "/") {
		reference = rest
	}
	if reference == "" || strings.Contains(reference, "@") {
		return reference
	}
	// A colon before the last slash belongs to a registry's port.
	if !strings.Contains(reference[strings.LastIndexByte(reference, '/')+1:], ":") {
		reference += ":latest"
	}
	return reference
}

func validateReference(reference string) error {
	if reference == "" {
		return errors.New("image without a reference")
	}
	invalid := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if strings.ContainsFunc(reference, invalid) {
		return fmt.Errorf("image reference %q contains white space or control characters", reference)
	}
	return nil
}
